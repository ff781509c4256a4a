//! One webhook of a configuration, ready to be asked.
//!
//! In: an entry of `webhooks`. Out: a [`Hook`]. Where it listens is read once, when it is first
//! called; a mistake there is told with each call, as failing to call it is.

use std::sync::OnceLock;
use std::time::Duration;

use kedge_api::field::Path;
use kedge_api::meta;
use kedge_api::selector::LabelSelector;
use serde_json::Value;

use super::matching::Rule;
use crate::admission::expression::Conditions;
use crate::outbound::{Endpoint, Outbound};

/// What Kubernetes waits for an answer unless it is told otherwise.
const TIMEOUT: i64 = 10;

/// How a review is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `admission.k8s.io/v1`.
    V1,
    /// `admission.k8s.io/v1beta1`.
    V1beta1,
}

impl Version {
    /// As `apiVersion` has it.
    pub fn api_version(self) -> &'static str {
        match self {
            Version::V1 => "admission.k8s.io/v1",
            Version::V1beta1 => "admission.k8s.io/v1beta1",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Hook {
    /// Tells it from all others: configuration, name, and the how manieth of that name it is.
    pub uid: String,
    /// The configuration's name.
    pub configuration: String,
    /// Its own name.
    pub name: String,
    /// Which requests it wants to see.
    pub rules: Vec<Rule>,
    /// In which namespaces.
    pub namespaces: LabelSelector,
    /// Of which objects.
    pub objects: LabelSelector,
    /// Whether another version of the same object fits a rule, too.
    pub equivalent: bool,
    /// Whether a call that fails is as good as none.
    pub ignores_failure: bool,
    /// Whether a dry run may be shown to it.
    pub knows_dry_run: bool,
    /// Whether it is asked again when somebody after it changed the object.
    pub reinvoked: bool,
    /// How long to wait for its answer.
    pub timeout: Duration,
    /// The first version it takes that we speak.
    pub version: Option<Version>,
    /// Expressions that must hold.
    pub conditions: Conditions,
    client: Value,
    endpoint: OnceLock<Result<Endpoint, String>>,
}

impl Hook {
    /// Where it listens.
    pub fn endpoint(&self, outbound: &Outbound) -> Result<&Endpoint, String> {
        let made = self.endpoint.get_or_init(|| Endpoint::of_client_config(&self.client, outbound));
        made.as_ref().map_err(Clone::clone)
    }
}

/// The webhooks of a configuration.
pub fn read(configuration: &Value) -> Vec<Hook> {
    let mut seen: Vec<&str> = Vec::new();
    let mut hooks = Vec::new();
    for hook in meta::list_at(configuration, &["webhooks"]) {
        let name = meta::text(hook, "name");
        let before = seen.iter().filter(|one| **one == name).count();
        seen.push(name);
        hooks.push(one(hook, meta::name(configuration), before));
    }
    hooks
}

fn one(hook: &Value, configuration: &str, nth: usize) -> Hook {
    let text = |key: &str| meta::text(hook, key);
    let selector = |key: &str| match hook.get(key).filter(|s| !s.is_null()) {
        // Defaults fill it in; a configuration that has none wants everything.
        None => LabelSelector::of(Vec::new()),
        // One that was accepted can be read.
        some => LabelSelector::from_object(some, &Path::root(key)).unwrap_or_else(|_| LabelSelector::nothing()),
    };
    let seconds = meta::int_at(hook, &["timeoutSeconds"]).unwrap_or(TIMEOUT).clamp(1, 30);
    let versions = meta::list_at(hook, &["admissionReviewVersions"]);
    Hook {
        uid: format!("{configuration}/{}/{nth}", text("name")),
        configuration: configuration.to_owned(),
        name: text("name").to_owned(),
        rules: meta::list_at(hook, &["rules"]).iter().map(Rule::read).collect(),
        namespaces: selector("namespaceSelector"),
        objects: selector("objectSelector"),
        equivalent: text("matchPolicy") != "Exact",
        ignores_failure: text("failurePolicy") == "Ignore",
        knows_dry_run: matches!(text("sideEffects"), "None" | "NoneOnDryRun"),
        reinvoked: text("reinvocationPolicy") == "IfNeeded",
        timeout: Duration::from_secs(seconds.unsigned_abs()),
        version: versions.iter().find_map(|version| match version.as_str()? {
            "v1" => Some(Version::V1),
            "v1beta1" => Some(Version::V1beta1),
            _ => None,
        }),
        conditions: Conditions::read(&hook["matchConditions"], false),
        client: hook.get("clientConfig").cloned().unwrap_or(Value::Null),
        endpoint: OnceLock::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_configuration_becomes_hooks_with_kubernetes_defaults() {
        let configuration = json!({"metadata": {"name": "c"}, "webhooks": [
            {"name": "a.b.c", "admissionReviewVersions": ["v7", "v1beta1", "v1"], "sideEffects": "Some"},
            {"name": "a.b.c", "timeoutSeconds": 3, "failurePolicy": "Ignore", "matchPolicy": "Exact",
                "sideEffects": "None", "reinvocationPolicy": "IfNeeded"},
        ]});
        let hooks = read(&configuration);
        let first = &hooks[0];
        assert_eq!(
            (first.uid.as_str(), first.version, first.timeout.as_secs()),
            ("c/a.b.c/0", Some(Version::V1beta1), 10)
        );
        assert!(first.equivalent && !first.ignores_failure && !first.knows_dry_run && !first.reinvoked);
        assert!(first.objects.is_everything());
        let second = &hooks[1];
        assert_eq!((second.uid.as_str(), second.version, second.timeout.as_secs()), ("c/a.b.c/1", None, 3));
        assert!(!second.equivalent && second.ignores_failure && second.knows_dry_run && second.reinvoked);
    }
}
