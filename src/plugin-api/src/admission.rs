//! The extension point of admission.
//!
//! In: a write. Out: whether it may be done, and how the object shall be changed first. Mirrors interface `admission`
//! of `wit/`.

use std::sync::Arc;

use crate::PluginError;

/// All plugins that have admission hooks. Follows the configuration.
pub trait AdmissionPlugins: Send + Sync {
    /// Whether there is any; costs nothing.
    fn any(&self) -> bool;

    /// The plugins, in the order of the configuration.
    fn all(&self) -> Vec<Arc<dyn AdmissionPlugin>>;
}

/// One component with admission hooks.
///
/// Calls block the calling thread for as long as the plugin runs: call from a thread that may block. Calls may come
/// from several threads at once; each is served by an instance of its own.
pub trait AdmissionPlugin: Send + Sync {
    /// The plugin's name in the configuration.
    fn name(&self) -> &str;

    /// Whether writes pass while the plugin cannot answer.
    fn fails_open(&self) -> bool;

    /// What it wants to see.
    fn hooks(&self) -> &[Hook];

    /// Judges one write.
    fn review(&self, request: Request) -> Result<Verdict, PluginError>;
}

/// No plugins.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAdmissionPlugins;

impl AdmissionPlugins for NoAdmissionPlugins {
    fn any(&self) -> bool {
        false
    }

    fn all(&self) -> Vec<Arc<dyn AdmissionPlugin>> {
        Vec::new()
    }
}

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// Which writes a hook wants to see: all combinations of the lists; `*` stands for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// API groups, as objects are kept.
    pub groups: Vec<String>,
    /// `pods`, `pods/status`, `pods/*`, `*`.
    pub resources: Vec<String>,
    /// What is about to be done.
    pub operations: Vec<Operation>,
}

impl Rule {
    /// Whether it is about that write; `subresource` is empty for the object itself.
    pub fn matches(&self, operation: Operation, group: &str, resource: &str, subresource: &str) -> bool {
        let has = |list: &[String], word: &str| list.iter().any(|one| one == "*" || one == word);
        let covers = |rule: &String| match (rule.split_once('/'), subresource) {
            (None, "") => rule == "*" || rule == resource,
            (None, _) | (Some(_), "") => false,
            (Some((of, sub)), _) => (of == "*" || of == resource) && (sub == "*" || sub == subresource),
        };
        self.operations.contains(&operation) && has(&self.groups, group) && self.resources.iter().any(covers)
    }
}

/// What of a write is handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The object as it shall be.
    pub object: bool,
    /// The object as it is kept.
    pub old_object: bool,
    /// The groups of whoever asks.
    pub groups: bool,
    /// The labels of the object's namespace.
    pub namespace_labels: bool,
}

/// One hook of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hook {
    /// Names it in refusals.
    pub name: String,
    /// Whether it may change the object.
    pub mutates: bool,
    /// Which writes it wants to see.
    pub rules: Vec<Rule>,
    /// What of them.
    pub parts: Parts,
    /// Which fields of objects; empty for whole objects.
    pub fields: Vec<String>,
}

/// A write, as a plugin sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Request {
    /// The hook's place among the plugin's.
    pub hook: u32,
    pub operation: Operation,
    pub group: String,
    pub version: String,
    pub kind: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub user: String,
    pub groups: Vec<String>,
    pub dry_run: bool,
    /// JSON, or empty.
    pub object: String,
    pub old_object: String,
    pub namespace_labels: Vec<(String, String)>,
}

/// Why not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status code.
    pub code: u16,
    /// As in `Forbidden`.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// What a plugin says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may be done.
    Allowed,
    /// It may not.
    Denied(Refusal),
    /// It may be done, changed like this: RFC 6902.
    JsonPatch(String),
    /// It may be done, changed like this: RFC 7386.
    MergePatch(String),
}

/// An answer, and what the client is told beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub answer: Answer,
    /// For the client.
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(resources: &[&str], resource: &str, subresource: &str, expected: bool) {
        let rule = Rule {
            groups: vec!["apps".into()],
            resources: resources.iter().map(|word| (*word).to_owned()).collect(),
            operations: vec![Operation::Create],
        };
        assert_eq!(rule.matches(Operation::Create, "apps", resource, subresource), expected, "{resources:?}");
        assert!(!rule.matches(Operation::Delete, "apps", resource, subresource));
        assert!(!rule.matches(Operation::Create, "", resource, subresource));
    }

    #[test]
    fn rules_name_kinds_and_subresources() {
        check(&["deployments"], "deployments", "", true);
        check(&["deployments"], "deployments", "scale", false);
        check(&["deployments/scale"], "deployments", "scale", true);
        check(&["deployments/*"], "deployments", "status", true);
        check(&["deployments/*"], "deployments", "", false);
        check(&["*"], "replicasets", "", true);
        check(&["*"], "replicasets", "status", false);
        check(&["*/*"], "replicasets", "status", true);
        check(&["pods"], "deployments", "", false);
    }
}
