//! What the stages of one request note for the audit log.
//!
//! In: annotations, and bodies where the policy asks for them. Out: the same, once, at the end.
//! Notes that nobody wants cost nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use kedge_api::{Object, meta};

/// Annotations of one Event, at most: an admission webhook may send as many as it likes.
const MOST_ANNOTATIONS: usize = 256;
/// Bytes of one annotation's value; what is longer is cut, as a whole object may be named in it.
const LONGEST_VALUE: usize = 64 * 1024;

/// The notes of one request.
#[derive(Debug, Default)]
pub struct Notes(Option<Mutex<Noted>>);

/// What was noted.
#[derive(Debug, Clone, Default)]
pub struct Noted {
    /// Annotations, by key.
    pub annotations: BTreeMap<String, String>,
    /// Whether bodies are wanted.
    pub bodies: bool,
    /// The body of the request.
    pub request: Option<Bytes>,
    /// What the body is about, whatever bodies are wanted: the name of what is made is nowhere else.
    pub about: About,
}

/// What an object says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Its name; empty where one is to be generated.
    pub name: String,
    /// Its uid, if it says one.
    pub uid: String,
    /// The version it is based on, if it says one.
    pub version: String,
}

impl Notes {
    /// Notes that are wanted, with bodies if `bodies`.
    pub fn wanted(bodies: bool) -> Self {
        Notes(Some(Mutex::new(Noted { bodies, ..Noted::default() })))
    }

    /// Whether anybody reads them.
    pub fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Whether bodies are wanted, too.
    pub fn wants_bodies(&self) -> bool {
        self.0.as_ref().is_some_and(|noted| noted.lock().unwrap_or_else(PoisonError::into_inner).bodies)
    }

    /// Notes an annotation; the first value of a key stays.
    pub fn annotate(&self, key: impl Into<String>, value: impl Into<String>) {
        let Some(noted) = &self.0 else { return };
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.annotations.len() >= MOST_ANNOTATIONS {
            return;
        }
        let mut value = value.into();
        if value.len() > LONGEST_VALUE {
            let end = (0..=LONGEST_VALUE).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
            value.truncate(end);
        }
        noted.annotations.entry(key.into()).or_insert(value);
    }

    /// Notes which object the body of the request is.
    pub fn about(&self, object: &Object) {
        let Some(noted) = &self.0 else { return };
        let about = About {
            name: meta::name(object).to_owned(),
            uid: meta::uid(object).to_owned(),
            version: meta::resource_version(object).to_owned(),
        };
        noted.lock().unwrap_or_else(PoisonError::into_inner).about = about;
    }

    /// Notes the body of the request, if bodies are wanted.
    pub fn request_body(&self, body: &Bytes) {
        let Some(noted) = &self.0 else { return };
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.bodies {
            noted.request = Some(body.clone());
        }
    }

    /// What was noted so far.
    pub fn seen(&self) -> Noted {
        let Some(noted) = &self.0 else { return Noted::default() };
        noted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_a_key_stays_and_values_are_cut() {
        let notes = Notes::wanted(false);
        notes.annotate("a", "1");
        notes.annotate("a", "2");
        notes.annotate("long", "é".repeat(LONGEST_VALUE));
        notes.request_body(&Bytes::from_static(b"x"));
        let noted = notes.seen();
        assert_eq!(noted.annotations["a"], "1");
        assert_eq!(noted.annotations["long"].len(), LONGEST_VALUE);
        assert_eq!(noted.request, None);
        notes.about(&serde_json::json!({"metadata": {"name": "a", "uid": "u", "resourceVersion": "7"}}));
        let about = About { name: "a".into(), uid: "u".into(), version: "7".into() };
        assert_eq!(notes.seen().about, about, "whatever bodies are wanted");
    }

    #[test]
    fn unwanted_notes_are_not_kept() {
        let notes = Notes::default();
        notes.annotate("a", "1");
        assert!(!notes.is_wanted() && notes.seen().annotations.is_empty());
    }
}
