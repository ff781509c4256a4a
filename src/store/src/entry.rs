//! The words of the store: revisions, tiers, bodies, entries and events.
//!
//! In: bytes from a caller. Out: the same bytes with their place in the one order of writes.
//! Never looks inside a value or an index: both are opaque.

use std::sync::Arc;

use bytes::Bytes;

/// The place of a write in the one order that both tiers share. It only grows and never repeats.
pub type Revision = u64;

/// How much a write may lose when the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Acknowledged after it has reached the disk.
    Durable,
    /// Held in memory only; gone after a restart.
    Volatile,
}

/// Bytes to be written.
#[derive(Debug, Clone)]
pub struct Body {
    /// What is stored.
    pub bytes: Bytes,
    /// Where the decimal revision is inserted at commit, so that what is stored is what a reader gets.
    pub stamp: Option<usize>,
}

impl Body {
    /// A body that is stored as it is.
    pub fn plain(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), stamp: None }
    }

    /// A body into which the revision is written at byte `offset`.
    pub fn stamped_at(bytes: impl Into<Bytes>, offset: usize) -> Self {
        Self { bytes: bytes.into(), stamp: Some(offset) }
    }

    /// The bytes as they are stored under `revision`. An offset beyond the end counts as the end.
    pub(crate) fn stamped(&self, revision: Revision) -> Bytes {
        let Some(offset) = self.stamp else { return self.bytes.clone() };
        let offset = offset.min(self.bytes.len());
        let mut digits = [0u8; 20];
        let digits = decimal(revision, &mut digits);
        let mut out = Vec::with_capacity(self.bytes.len() + digits.len());
        out.extend_from_slice(&self.bytes[..offset]);
        out.extend_from_slice(digits);
        out.extend_from_slice(&self.bytes[offset..]);
        Bytes::from(out)
    }
}

fn decimal(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &buffer[at..];
        }
    }
}

/// One version of one key.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// The stored value, stamped.
    pub bytes: Bytes,
    /// Opaque bytes given by the writer (labels and selectable fields), so that selectors never parse values.
    pub index: Bytes,
    /// The write that made this version.
    pub revision: Revision,
    /// The write that created the key.
    pub created: Revision,
}

impl Entry {
    /// Roughly what this version occupies in memory: its bytes, three allocations and the struct.
    pub(crate) fn cost(&self) -> usize {
        self.key.len() + self.bytes.len() + self.index.len() + 192
    }
}

/// What a write did to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// The key was not there before.
    Created,
    /// The key had another value before.
    Updated,
    /// The key is gone.
    Deleted,
}

/// One write, as watchers see it.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// The write's place in the order.
    pub revision: Revision,
    /// What it did.
    pub change: Change,
    /// The version it made; for a deletion the last body, stamped with the deletion's revision.
    pub entry: Arc<Entry>,
    /// The version before, if there was one.
    pub previous: Option<Arc<Entry>>,
}

impl Event {
    pub(crate) fn cost(&self) -> usize {
        64 + self.entry.cost() + self.previous.as_ref().map_or(0, |entry| entry.cost())
    }
}

/// One write of a transaction over durable keys.
#[derive(Debug, Clone)]
pub enum Op {
    /// Make a key that is not there.
    Create {
        /// The key.
        key: Arc<str>,
        /// Its value.
        body: Body,
        /// Its index bytes.
        index: Bytes,
    },
    /// Replace the value of a key that is at revision `expected`.
    Update {
        /// The key.
        key: Arc<str>,
        /// The revision it must be at.
        expected: Revision,
        /// Its new value.
        body: Body,
        /// Its new index bytes.
        index: Bytes,
    },
    /// Remove a key that is at revision `expected`.
    Delete {
        /// The key.
        key: Arc<str>,
        /// The revision it must be at.
        expected: Revision,
        /// The last body, which watchers get.
        last: Body,
    },
}

impl Op {
    pub(crate) fn key(&self) -> &Arc<str> {
        match self {
            Op::Create { key, .. } | Op::Update { key, .. } | Op::Delete { key, .. } => key,
        }
    }

    pub(crate) fn body(&self) -> &Body {
        match self {
            Op::Create { body, .. } | Op::Update { body, .. } => body,
            Op::Delete { last, .. } => last,
        }
    }

    pub(crate) fn size(&self) -> usize {
        let index = match self {
            Op::Create { index, .. } | Op::Update { index, .. } => index.len(),
            Op::Delete { .. } => 0,
        };
        self.key().len() + self.body().bytes.len() + index
    }

    /// The event this write makes at `revision`, given the key's present version.
    pub(crate) fn decide(
        &self,
        present: Option<Arc<Entry>>,
        revision: Revision,
    ) -> Result<Event, crate::error::WriteError> {
        use crate::error::WriteError::{Conflict, Exists, NotFound};
        let key = self.key().clone();
        let bytes = || self.body().stamped(revision);
        match (self, present) {
            (Op::Create { .. }, Some(present)) => Err(Exists(present)),
            (Op::Create { index, .. }, None) => {
                let entry = Entry { key, bytes: bytes(), index: index.clone(), revision, created: revision };
                Ok(Event { revision, change: Change::Created, entry: Arc::new(entry), previous: None })
            }
            (Op::Update { .. } | Op::Delete { .. }, None) => Err(NotFound),
            (Op::Update { expected, .. } | Op::Delete { expected, .. }, Some(present))
                if *expected != present.revision =>
            {
                Err(Conflict(present))
            }
            (Op::Update { index, .. }, Some(present)) => {
                let entry = Entry { key, bytes: bytes(), index: index.clone(), revision, created: present.created };
                Ok(Event { revision, change: Change::Updated, entry: Arc::new(entry), previous: Some(present) })
            }
            (Op::Delete { .. }, Some(present)) => {
                let entry =
                    Entry { key, bytes: bytes(), index: present.index.clone(), revision, created: present.created };
                Ok(Event { revision, change: Change::Deleted, entry: Arc::new(entry), previous: Some(present) })
            }
        }
    }
}

/// One page of a list.
#[derive(Debug)]
pub struct Page {
    /// The versions, in key order.
    pub entries: Vec<Arc<Entry>>,
    /// The revision at which all of them were current; ask for the next page at the same one.
    pub revision: Revision,
    /// Whether there is a next page.
    pub more: bool,
    /// How many entries follow this page, where that is known without looking at them: see
    /// [`Store::rest`](crate::Store::rest).
    pub remaining: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, stamp: Option<usize>, revision: Revision, expected: &str) {
        let body = Body { bytes: Bytes::copy_from_slice(text.as_bytes()), stamp };
        assert_eq!(body.stamped(revision), expected.as_bytes());
    }

    #[test]
    fn the_revision_is_written_where_the_caller_said() {
        check("{}", None, 7, "{}");
        check(r#"{"rv":""}"#, Some(7), 42, r#"{"rv":"42"}"#);
        check("", Some(0), 0, "0");
        check("ab", Some(2), u64::MAX, "ab18446744073709551615");
        check("ab", Some(9), 1, "ab1");
    }
}
