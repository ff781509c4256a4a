//! Options of reads and writes, as the API's query parameters and DeleteOptions bodies.
//!
//! In: typed options. Out: query pairs and JSON. Never sends anything.

use serde_json::{Value, json};

/// How a list is narrowed and paged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListOptions {
    /// Label selector in its text form.
    pub labels: Option<String>,
    /// Field selector in its text form.
    pub fields: Option<String>,
    /// At most this many objects for one answer.
    pub limit: Option<u32>,
    /// Where the previous page ended.
    pub continuation: Option<String>,
    /// Resource version; `"0"` accepts any.
    pub resource_version: Option<String>,
}

impl ListOptions {
    /// The options as query pairs.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        [
            ("labelSelector", self.labels.clone()),
            ("fieldSelector", self.fields.clone()),
            ("limit", self.limit.map(|n| n.to_string())),
            ("continue", self.continuation.clone()),
            ("resourceVersion", self.resource_version.clone()),
        ]
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| (key, value)))
        .collect()
    }
}

/// What the server does about unknown and duplicate fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drops them silently.
    Ignore,
    /// Drops them and warns.
    Warn,
    /// Refuses the request.
    Strict,
}

impl FieldValidation {
    fn text(self) -> &'static str {
        match self {
            FieldValidation::Ignore => "Ignore",
            FieldValidation::Warn => "Warn",
            FieldValidation::Strict => "Strict",
        }
    }
}

/// Options of a create or an update.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteOptions {
    /// Do everything but store.
    pub dry_run: bool,
    /// Unknown fields; the server's default is to warn.
    pub field_validation: Option<FieldValidation>,
    /// Who writes, for field ownership.
    pub field_manager: Option<String>,
}

impl WriteOptions {
    /// The options as query pairs.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        if self.dry_run {
            query.push(("dryRun", "All".to_owned()));
        }
        if let Some(validation) = self.field_validation {
            query.push(("fieldValidation", validation.text().to_owned()));
        }
        if let Some(owner) = &self.field_manager {
            query.push(("fieldManager", owner.clone()));
        }
        query
    }
}

/// The kinds of patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' strategic merge.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl PatchKind {
    /// The media type of the request.
    pub fn media_type(self) -> &'static str {
        match self {
            PatchKind::Json => "application/json-patch+json",
            PatchKind::Merge => "application/merge-patch+json",
            PatchKind::Strategic => "application/strategic-merge-patch+json",
            PatchKind::Apply => "application/apply-patch+yaml",
        }
    }
}

/// Options of a patch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PatchOptions {
    /// Those of any write.
    pub write: WriteOptions,
    /// Take over fields of other managers (server-side apply only).
    pub force: bool,
}

impl PatchOptions {
    /// The options as query pairs.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = self.write.query();
        if self.force {
            query.push(("force", "true".to_owned()));
        }
        query
    }
}

/// What happens to the objects that an object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They lose the reference and stay.
    Orphan,
    /// They go afterwards.
    Background,
    /// They go first.
    Foreground,
}

/// Options of a delete.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeleteOptions {
    /// Seconds that the object may take to end.
    pub grace_period_seconds: Option<i64>,
    /// What happens to dependents.
    pub propagation: Option<Propagation>,
    /// Only an object with this UID.
    pub uid: Option<String>,
    /// Only this version of the object.
    pub resource_version: Option<String>,
    /// Do everything but store.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// The `DeleteOptions` body.
    pub fn body(&self) -> Value {
        let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if let Some(seconds) = self.grace_period_seconds {
            body["gracePeriodSeconds"] = json!(seconds);
        }
        if let Some(propagation) = self.propagation {
            body["propagationPolicy"] = json!(match propagation {
                Propagation::Orphan => "Orphan",
                Propagation::Background => "Background",
                Propagation::Foreground => "Foreground",
            });
        }
        if let Some(uid) = &self.uid {
            body["preconditions"]["uid"] = json!(uid);
        }
        if let Some(version) = &self.resource_version {
            body["preconditions"]["resourceVersion"] = json!(version);
        }
        if self.dry_run {
            body["dryRun"] = json!(["All"]);
        }
        body
    }
}
