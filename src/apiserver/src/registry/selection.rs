//! Which objects of a collection are meant.
//!
//! In: the selectors of a request. Out: [`Selection`], which judges index bytes. Never parses objects.

use std::sync::Arc;

use kedge_api::fields::{self, Index};
use kedge_api::kinds::Kind;
use kedge_api::selector::{FieldSelector, LabelSelector, Lookup};
use kedge_api::status::Status;
use kedge_store::Entry;

/// The fields that a selector asks for, read from an object.
struct Seen(Vec<(String, String)>);

impl Seen {
    fn of(entry: &Entry, selector: &FieldSelector) -> Seen {
        let object = super::body::decode(&entry.bytes).unwrap_or_default();
        let value = |field: &str| Some((field.to_owned(), fields::custom_value(&object, field)?));
        Seen(selector.terms().iter().filter_map(|term| value(&term.field)).collect())
    }
}

impl Lookup for Seen {
    fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Parsed selectors.
#[derive(Debug, Clone)]
pub struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
    /// Whether fields are read from objects as they are served: a definition may name new ones after objects were
    /// kept, and a webhook may have them elsewhere in each version.
    reads: bool,
}

impl Selection {
    /// Reads the selectors of a request.
    pub fn parse(kind: &Kind, labels: &str, fields: &str) -> Result<Self, Status> {
        let labels = LabelSelector::parse(labels).map_err(|e| Status::bad_request(e.to_string()))?;
        let parsed = FieldSelector::parse(fields).map_err(|e| Status::bad_request(e.to_string()))?;
        let (fields, reads) = match kind.custom_version() {
            Some(version) => {
                let known = |name: &str| {
                    name == "metadata.name"
                        || name == "metadata.namespace" && kind.namespaced
                        || version.selectable.iter().any(|field| **field == *name)
                };
                if let Some(term) = parsed.terms().iter().find(|term| !known(&term.field)) {
                    return Err(Status::bad_request(format!("field label not supported: {}", term.field)));
                }
                let names_custom = parsed.terms().iter().any(|term| !term.field.starts_with("metadata."));
                let moves = kind.definition.as_ref().is_some_and(|d| d.changed() || d.webhook.is_some());
                (parsed, names_custom && moves)
            }
            None => (fields::resolve(&kind.gvk(), &parsed, &[]).map_err(Status::bad_request)?, false),
        };
        Ok(Selection { labels, fields, reads })
    }

    /// What of it can be said of objects as they are kept; the rest is for when they are as they are served.
    pub fn of_kept(&self) -> Selection {
        if !self.reads {
            return self.clone();
        }
        let terms = self.fields.terms().iter().filter(|term| term.field.starts_with("metadata.")).cloned();
        Selection { labels: self.labels.clone(), fields: FieldSelector::of(terms.collect()), reads: false }
    }

    /// Leaves out what is not meant, of entries as they are served.
    pub fn narrow(&self, entries: &mut Vec<Arc<Entry>>) {
        if self.reads {
            entries.retain(|entry| self.has(entry));
        }
    }

    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// Whether objects are read to judge them, as their definition has it now.
    pub fn reads_objects(&self) -> bool {
        self.reads
    }

    /// The one name that is meant, if only one can be.
    pub fn name(&self) -> Option<&str> {
        self.fields.exact("metadata.name")
    }

    /// Whether the entry is meant.
    pub fn has(&self, entry: &Entry) -> bool {
        if self.reads {
            let index = Index::read(&entry.index);
            return self.labels.matches(&index.labels()) && self.fields.matches(&Seen::of(entry, &self.fields));
        }
        self.means(&entry.index)
    }

    /// Whether the object with that index is meant, where objects are not read to judge them.
    pub fn means(&self, index: &[u8]) -> bool {
        self.is_everything() || Index::read(index).matches(&self.labels, &self.fields)
    }
}
