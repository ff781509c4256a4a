//! Which objects of a collection are meant.
//!
//! In: the selectors of a request. Out: [`Selection`], which judges index bytes. Never parses objects.

use kedge_api::fields::{self, Index};
use kedge_api::kinds::Kind;
use kedge_api::selector::{FieldSelector, LabelSelector};
use kedge_api::status::Status;
use kedge_store::Entry;

/// Parsed selectors.
#[derive(Debug, Clone)]
pub struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    /// Reads the selectors of a request.
    pub fn parse(kind: &Kind, labels: &str, fields: &str) -> Result<Self, Status> {
        let labels = LabelSelector::parse(labels).map_err(|e| Status::bad_request(e.to_string()))?;
        let parsed = FieldSelector::parse(fields).map_err(|e| Status::bad_request(e.to_string()))?;
        let fields = fields::resolve(&kind.gvk(), &parsed, &[]).map_err(Status::bad_request)?;
        Ok(Selection { labels, fields })
    }

    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// The one name that is meant, if only one can be.
    pub fn name(&self) -> Option<&str> {
        self.fields.exact("metadata.name")
    }

    /// Whether the entry is meant.
    pub fn has(&self, entry: &Entry) -> bool {
        self.is_everything() || Index::read(&entry.index).matches(&self.labels, &self.fields)
    }
}
