//! What versions that Kubernetes no longer serves filled in otherwise than today's do.
//!
//! In: an object in its old form. Out: the same with the old version's own defaults; what they share with today's is
//! filled in once the object has today's form.

use serde_json::{Value, json};

use super::{Fields, is_empty_list, is_empty_map, object, put, text};
use crate::kinds::Gvk;

/// "No limit" in versions that had no other word for it.
const FOR_EVER: i64 = i32::MAX as i64;

pub(super) fn apply(gvk: &Gvk, map: &mut Fields) {
    match (&*gvk.group, &*gvk.version, &*gvk.kind) {
        ("extensions", _, "Deployment") => deployment(map, json!(1), FOR_EVER, Some(FOR_EVER)),
        ("apps", "v1beta1", "Deployment") => deployment(map, json!("25%"), 2, None),
        ("extensions", _, "DaemonSet") => {
            selected(map);
            on_delete(map);
        }
        ("extensions", _, "ReplicaSet") => selected(map),
        ("apps", "v1beta1", "StatefulSet") => {
            selected(map);
            on_delete(map);
        }
        ("extensions" | "networking.k8s.io", _, "Ingress") => ingress(map),
        (
            "admissionregistration.k8s.io",
            "v1beta1",
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
        ) => {
            webhooks(map);
        }
        ("rbac.authorization.k8s.io", "v1alpha1", "RoleBinding" | "ClusterRoleBinding") => subjects(map),
        ("flowcontrol.apiserver.k8s.io", "v1beta1" | "v1beta2", "PriorityLevelConfiguration") => {
            let limited = object(map, "spec").and_then(|spec| spec.get_mut("limited")).and_then(Value::as_object_mut);
            if let Some(limited) = limited.filter(|limited| is_zero(limited, "assuredConcurrencyShares")) {
                limited.insert("assuredConcurrencyShares".to_owned(), json!(30));
            }
        }
        ("certificates.k8s.io", "v1beta1", _) => {
            let Some(spec) = object(map, "spec") else { return };
            put(spec, "signerName", "kubernetes.io/legacy-unknown");
            if is_empty_list(spec, "usages") {
                spec.insert("usages".to_owned(), json!(["digital signature", "key encipherment"]));
            }
        }
        ("apiextensions.k8s.io", ..) => definition(map),
        _ => {}
    }
}

fn is_zero(map: &Fields, field: &str) -> bool {
    map.get(field).and_then(Value::as_i64).unwrap_or_default() == 0
}

/// Labels and selector come from the template.
fn selected(map: &mut Fields) {
    let labels = map.get("spec").and_then(|spec| spec.pointer("/template/metadata/labels")).cloned();
    let Some(labels) = labels.filter(|labels| labels.as_object().is_some_and(|labels| !labels.is_empty())) else {
        return;
    };
    if let Some(spec) = object(map, "spec") {
        spec.entry("selector").or_insert_with(|| json!({ "matchLabels": labels }));
    }
    if let Some(metadata) = object(map, "metadata").filter(|metadata| is_empty_map(metadata, "labels")) {
        metadata.insert("labels".to_owned(), labels);
    }
}

fn deployment(map: &mut Fields, step: Value, history: i64, deadline: Option<i64>) {
    selected(map);
    let Some(spec) = object(map, "spec") else { return };
    put(spec, "revisionHistoryLimit", history);
    if let Some(deadline) = deadline {
        put(spec, "progressDeadlineSeconds", deadline);
    }
    let Some(strategy) = object(spec, "strategy") else { return };
    put(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate"
        && let Some(rolling) = object(strategy, "rollingUpdate")
    {
        put(rolling, "maxUnavailable", step.clone());
        put(rolling, "maxSurge", step);
    }
}

fn on_delete(map: &mut Fields) {
    let strategy = object(map, "spec").and_then(|spec| object(spec, "updateStrategy"));
    if let Some(strategy) = strategy {
        put(strategy, "type", "OnDelete");
    }
}

fn ingress(map: &mut Fields) {
    let rules = map.get_mut("spec").and_then(|spec| spec.get_mut("rules")).and_then(Value::as_array_mut);
    let paths = rules.into_iter().flatten().filter_map(|rule| rule.pointer_mut("/http/paths")?.as_array_mut());
    for path in paths.flatten().filter_map(Value::as_object_mut) {
        path.entry("pathType").or_insert_with(|| json!("ImplementationSpecific"));
    }
}

fn webhooks(map: &mut Fields) {
    let hooks = map.get_mut("webhooks").and_then(Value::as_array_mut);
    for hook in hooks.into_iter().flatten().filter_map(Value::as_object_mut) {
        put(hook, "failurePolicy", "Ignore");
        put(hook, "matchPolicy", "Exact");
        put(hook, "sideEffects", "Unknown");
        put(hook, "timeoutSeconds", 30);
        if is_empty_list(hook, "admissionReviewVersions") {
            hook.insert("admissionReviewVersions".to_owned(), json!(["v1beta1"]));
        }
    }
}

fn subjects(map: &mut Fields) {
    let subjects = map.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten().filter_map(Value::as_object_mut) {
        match text(subject, "kind") {
            "ServiceAccount" => put(subject, "apiVersion", "v1"),
            "User" | "Group" => put(subject, "apiVersion", "rbac.authorization.k8s.io/v1alpha1"),
            _ => {}
        }
    }
}

fn definition(map: &mut Fields) {
    let Some(spec) = object(map, "spec") else { return };
    put(spec, "scope", "Namespaced");
    put(spec, "preserveUnknownFields", true);
    let version = text(spec, "version").to_owned();
    if is_empty_list(spec, "versions") && !version.is_empty() {
        spec.insert("versions".to_owned(), json!([{"name": version, "served": true, "storage": true}]));
    }
    let conversion = spec.get_mut("conversion").and_then(Value::as_object_mut);
    if let Some(conversion) = conversion.filter(|conversion| conversion.contains_key("webhookClientConfig"))
        && is_empty_list(conversion, "conversionReviewVersions")
    {
        conversion.insert("conversionReviewVersions".to_owned(), json!(["v1beta1"]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(version: &str, kind: &str, sent: Value, path: &str, expected: Value) {
        let mut whole = sent;
        super::super::apply(&Gvk::from_api_version(version, kind), &mut whole);
        assert_eq!(whole.pointer(path).unwrap_or(&Value::Null), &expected, "{whole}");
    }

    #[test]
    fn old_workloads_took_much_from_their_template() {
        let sent = json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}});
        for (version, kind) in [
            ("extensions/v1beta1", "Deployment"),
            ("extensions/v1beta1", "DaemonSet"),
            ("extensions/v1beta1", "ReplicaSet"),
            ("apps/v1beta1", "Deployment"),
            ("apps/v1beta1", "StatefulSet"),
        ] {
            check(version, kind, sent.clone(), "/spec/selector", json!({"matchLabels": {"a": "b"}}));
            check(version, kind, sent.clone(), "/metadata/labels", json!({"a": "b"}));
        }
        check("apps/v1beta2", "Deployment", sent.clone(), "/spec/selector", Value::Null);
        let rolling = "/spec/strategy/rollingUpdate";
        check("extensions/v1beta1", "Deployment", sent.clone(), rolling, json!({"maxUnavailable": 1, "maxSurge": 1}));
        check("apps/v1beta1", "Deployment", sent.clone(), rolling, json!({"maxUnavailable": "25%", "maxSurge": "25%"}));
        check("extensions/v1beta1", "Deployment", sent.clone(), "/spec/revisionHistoryLimit", json!(i32::MAX));
        check("apps/v1beta1", "Deployment", sent.clone(), "/spec/revisionHistoryLimit", json!(2));
        check("extensions/v1beta1", "DaemonSet", sent.clone(), "/spec/updateStrategy/type", json!("OnDelete"));
        check("apps/v1beta1", "StatefulSet", sent, "/spec/updateStrategy/type", json!("OnDelete"));
    }

    #[test]
    fn other_kinds() {
        let hooks = json!({"webhooks": [{"name": "a"}]});
        for (field, expected) in [
            ("failurePolicy", json!("Ignore")),
            ("sideEffects", json!("Unknown")),
            ("timeoutSeconds", json!(30)),
            ("admissionReviewVersions", json!(["v1beta1"])),
        ] {
            let path = format!("/webhooks/0/{field}");
            check(
                "admissionregistration.k8s.io/v1beta1",
                "MutatingWebhookConfiguration",
                hooks.clone(),
                &path,
                expected,
            );
        }
        check(
            "networking.k8s.io/v1beta1",
            "Ingress",
            json!({"spec": {"rules": [{"http": {"paths": [{}]}}]}}),
            "/spec/rules/0/http/paths/0/pathType",
            json!("ImplementationSpecific"),
        );
        check(
            "apiextensions.k8s.io/v1beta1",
            "CustomResourceDefinition",
            json!({"spec": {"version": "v1"}}),
            "/spec/versions",
            json!([{"name": "v1", "served": true, "storage": true}]),
        );
        check(
            "flowcontrol.apiserver.k8s.io/v1beta1",
            "PriorityLevelConfiguration",
            json!({"spec": {"limited": {}}}),
            "/spec/limited/assuredConcurrencyShares",
            json!(30),
        );
    }
}
