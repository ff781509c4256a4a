//! Which requests a webhook wants to see.
//!
//! In: its rules and selectors, a request. Out: in which version, if at all. Pure.

use kedge_api::kinds::{Kind, Kinds, Sub};
use kedge_api::meta;
use serde_json::Value;
use std::sync::Arc;

use crate::admission::Operation;

/// One rule: a request must fit each of its lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    operations: Vec<Box<str>>,
    groups: Vec<Box<str>>,
    versions: Vec<Box<str>>,
    resources: Vec<Box<str>>,
    scope: Box<str>,
}

/// A request, as rules see it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What is done.
    pub operation: Operation,
    /// To which kind.
    pub kind: &'a Kind,
    /// To which subresource.
    pub sub: Option<Sub>,
    /// In which namespace; of a namespace its own name.
    pub namespace: &'a str,
}

impl Rule {
    /// Reads a rule.
    pub fn read(rule: &Value) -> Rule {
        let list = |key: &str| meta::list_at(rule, &[key]).iter().filter_map(|v| v.as_str().map(Box::from)).collect();
        Rule {
            operations: list("operations"),
            groups: list("apiGroups"),
            versions: list("apiVersions"),
            resources: list("resources"),
            scope: meta::text(rule, "scope").into(),
        }
    }

    /// Whether the request fits.
    pub fn fits(&self, asked: &Asked<'_>) -> bool {
        let has = |list: &[Box<str>], word: &str| list.iter().any(|one| **one == *"*" || **one == *word);
        let kind = asked.kind;
        self.fits_scope(asked)
            && has(&self.operations, asked.operation.as_str())
            && has(&self.groups, &kind.group)
            && has(&self.versions, &kind.version)
            && self.fits_resource(&kind.plural, asked.sub.map_or("", Sub::name))
    }

    fn fits_scope(&self, asked: &Asked<'_>) -> bool {
        let cluster = is_namespaces(asked.kind) || asked.namespace.is_empty();
        match &*self.scope {
            "" | "*" => true,
            "Namespaced" => !cluster,
            "Cluster" => cluster,
            _ => false,
        }
    }

    fn fits_resource(&self, resource: &str, sub: &str) -> bool {
        self.resources.iter().any(|one| {
            let (mine, below) = one.split_once('/').unwrap_or((one, ""));
            (mine == "*" || mine == resource) && (below == "*" || below == sub)
        })
    }
}

/// Whether the kind is the namespace itself.
pub fn is_namespaces(kind: &Kind) -> bool {
    kind.group.is_empty() && kind.plural == "namespaces"
}

/// The kind in which the webhook wants the object: the request's own if a rule names it, else one
/// that is kept in the same place and that a rule names, if `equivalent`.
pub fn wanted(rules: &[Rule], equivalent: bool, asked: &Asked<'_>, kinds: &Kinds) -> Option<Option<Arc<Kind>>> {
    if rules.iter().any(|rule| rule.fits(asked)) {
        return Some(None);
    }
    if !equivalent {
        return None;
    }
    let own = asked.kind;
    let others: Vec<&Arc<Kind>> = kinds
        .iter()
        .filter(|k| k.plural == own.plural && k.stored.0 == own.stored.0)
        .filter(|k| (&k.group, &k.version) != (&own.group, &own.version))
        .filter(|k| asked.sub.is_none_or(|sub| k.has_sub(sub)))
        .collect();
    rules.iter().find_map(|rule| {
        let fits = |kind: &&&Arc<Kind>| rule.fits(&Asked { kind, ..*asked });
        others.iter().find(fits).map(|kind| Some(Arc::clone(kind)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// `expected`: "-" for no, "=" for the request's own version, else the version that is wanted.
    #[track_caller]
    fn check(rule: Value, equivalent: bool, request: (Operation, &str, Option<Sub>, &str), expected: &str) {
        let kinds = Kinds::everything();
        let (operation, word, sub, namespace) = request;
        let kind = kinds.by_word(word).unwrap();
        let asked = Asked { operation, kind, sub, namespace };
        let seen = match wanted(&[Rule::read(&rule)], equivalent, &asked, &kinds) {
            None => "-".to_owned(),
            Some(None) => "=".to_owned(),
            Some(Some(kind)) => kind.gvk().api_version(),
        };
        assert_eq!(seen, expected, "{rule}");
    }

    fn rule(operations: &[&str], group: &str, version: &str, resources: &[&str], scope: &str) -> Value {
        json!({"operations": operations, "apiGroups": [group], "apiVersions": [version], "resources": resources, "scope": scope})
    }

    #[test]
    fn a_rule_names_operation_group_version_and_resource() {
        let create = (Operation::Create, "pods", None, "a");
        check(rule(&["CREATE"], "", "v1", &["pods"], "*"), false, create, "=");
        check(rule(&["*"], "*", "*", &["*"], "*"), false, create, "=");
        check(rule(&["UPDATE"], "", "v1", &["pods"], "*"), false, create, "-");
        check(rule(&["CREATE"], "apps", "v1", &["pods"], "*"), false, create, "-");
        check(rule(&["CREATE"], "", "v2", &["pods"], "*"), false, create, "-");
        check(rule(&["CREATE"], "", "v1", &["pods/*"], "*"), false, create, "=");
    }

    #[test]
    fn subresources_are_named_by_themselves() {
        let status = (Operation::Update, "pods", Some(Sub::Status), "a");
        check(rule(&["*"], "", "v1", &["pods"], "*"), false, status, "-");
        check(rule(&["*"], "", "v1", &["*"], "*"), false, status, "-");
        check(rule(&["*"], "", "v1", &["pods/status"], "*"), false, status, "=");
        check(rule(&["*"], "", "v1", &["pods/*"], "*"), false, status, "=");
        check(rule(&["*"], "", "v1", &["*/status"], "*"), false, status, "=");
        check(rule(&["*"], "", "v1", &["*/*"], "*"), false, status, "=");
        check(
            rule(&["CONNECT"], "", "v1", &["pods/exec"], "*"),
            false,
            (Operation::Connect, "pods", Some(Sub::Exec), "a"),
            "=",
        );
    }

    #[test]
    fn scope_tells_namespaced_and_cluster_wide_apart() {
        let any = |scope| rule(&["*"], "*", "*", &["*"], scope);
        let pod = (Operation::Create, "pods", None, "a");
        let node = (Operation::Create, "nodes", None, "");
        let namespace = (Operation::Create, "namespaces", None, "a");
        check(any("Namespaced"), false, pod, "=");
        check(any("Cluster"), false, pod, "-");
        check(any("Namespaced"), false, node, "-");
        check(any("Cluster"), false, node, "=");
        check(any("Namespaced"), false, namespace, "-");
        check(any("Cluster"), false, namespace, "=");
    }

    #[test]
    fn another_version_of_the_same_object_is_equivalent() {
        let v1 = (Operation::Create, "hpa.v1.autoscaling", None, "a");
        let rule = rule(&["*"], "autoscaling", "v2", &["horizontalpodautoscalers"], "*");
        check(rule.clone(), false, v1, "-");
        check(rule, true, v1, "autoscaling/v2");
        let events = json!({"operations": ["*"], "apiGroups": ["events.k8s.io"], "apiVersions": ["v1"], "resources": ["events"]});
        check(events, true, (Operation::Create, "events.v1", None, "a"), "events.k8s.io/v1");
    }
}
