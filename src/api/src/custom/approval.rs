//! Groups that belong to the Kubernetes community, and whether a definition in one says that it was approved.
//!
//! In: a group, annotations. Out: a verdict in Kubernetes' words.

use crate::Object;
use crate::meta;

/// The annotation that says where a definition was approved.
pub const ANNOTATION: &str = "api-approved.kubernetes.io";

/// What a definition says of its approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// Nothing.
    Missing,
    /// That it is not approved.
    Bypassed,
    /// Where it was approved.
    Approved,
    /// Something else.
    Invalid,
}

/// Whether definitions of the group need approval.
pub fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|own| group.strip_suffix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// What a definition says of its approval, and the message about it.
pub fn state(definition: &Object) -> (Approval, String) {
    let said = meta::annotation(definition, ANNOTATION).unwrap_or_default();
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    let is_url = said.split_once("://").is_some_and(|(scheme, rest)| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !host.is_empty()
    });
    if said.is_empty() {
        (Approval::Missing, format!("protected groups must have approval annotation {ANNOTATION:?}, {see}"))
    } else if said.starts_with("unapproved") {
        (Approval::Bypassed, format!("not approved: {said:?}"))
    } else if is_url {
        (Approval::Approved, format!("approved in {said}"))
    } else {
        let why = format!(
            "protected groups must have approval annotation {ANNOTATION:?} with either a URL or a reason starting with \
             \"unapproved\", {see}"
        );
        (Approval::Invalid, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(said: &str, expected: Approval) {
        assert_eq!(state(&json!({"metadata": {"annotations": {ANNOTATION: said}}})).0, expected, "{said}");
    }

    #[test]
    fn approvals() {
        check("", Approval::Missing);
        check("unapproved, experimental-only", Approval::Bypassed);
        check("https://github.com/kubernetes/kubernetes/pull/78458", Approval::Approved);
        check("yes", Approval::Invalid);
        check("https://", Approval::Invalid);
        assert!(is_protected("k8s.io") && is_protected("a.k8s.io") && is_protected("x.kubernetes.io"));
        assert!(!is_protected("ak8s.io") && !is_protected("k8s.io.example.com"));
    }
}
