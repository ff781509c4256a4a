//! What only some kinds need beside their rules: grants are not widened, Services get addresses.
//!
//! In: an object about to be kept. Out: a claim that is given back if it is not kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kedge_api::field::{FieldError, Path};
use kedge_api::kinds::Sub;
use kedge_api::status::Status;
use kedge_api::{Object, meta};
use kedge_store::Revision;
use serde_json::{Value, json};

use super::Act;
use super::services::Claim;
use crate::authz::Wanted;
use crate::authz::rules::{Rule, not_covered};
use crate::identity::MASTERS;
use crate::tls::request::{Request, RequestFault};
use crate::tls::{issued, possession};

/// Where the machine has the time zone database.
const ZONES: &str = "/usr/share/zoneinfo";
const RBAC: &str = "rbac.authorization.k8s.io";

/// Refuses to make what would give its maker's friends more than the maker has. The act has no name but the path's.
pub async fn may_create(act: &Act<'_>, object: &Object) -> Result<(), Status> {
    if act.kind.definition.as_ref().is_some_and(|definition| definition.terminating) {
        let why = "create not allowed while custom resource definition is terminating";
        return Err(act.on(meta::name(object)).about().forbidden(why));
    }
    escalation(act, object, None).await
}

/// The same for every update but one that only lets the object go: whoever touches a role or binding takes part in
/// what it grants.
pub async fn may_update(act: &Act<'_>, new: &Object, old: &Object) -> Result<(), Status> {
    if act.kind.group != RBAC || lets_go(new, old) { Ok(()) } else { escalation(act, new, Some(old)).await }
}

/// Whether nothing changes but what the garbage collector must change.
fn lets_go(new: &Object, old: &Object) -> bool {
    const FREE: [&str; 4] = ["ownerReferences", "finalizers", "selfLink", "managedFields"];
    same_but(new, old, &["metadata"]) && same_but(&new["metadata"], &old["metadata"], &FREE)
}

/// Whether two maps say the same but for some keys. What is empty is as good as not there.
fn same_but(a: &Value, b: &Value, free: &[&str]) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    let said = |value: Option<&Value>| {
        value
            .filter(|v| !v.is_null() && v.as_array().is_none_or(|l| !l.is_empty()))
            .filter(|v| v.as_object().is_none_or(|m| !m.is_empty()))
            .cloned()
    };
    let mut keys = a.keys().chain(b.keys()).filter(|key| !free.contains(&key.as_str()));
    keys.all(|key| a.get(key) == b.get(key) || said(a.get(key)) == said(b.get(key)))
}

/// Writes down who asks, where the object is a request in somebody's name.
pub fn sign(act: &Act<'_>, object: &mut Object) {
    if is_request(act) && object["spec"].is_object() {
        let who = act.who;
        object["spec"]["username"] = json!(who.name);
        object["spec"]["groups"] = json!(who.groups);
        for (key, empty, value) in
            [("uid", who.uid.is_empty(), json!(who.uid)), ("extra", who.extra.is_empty(), json!(who.extra))]
        {
            if let Some(spec) = object["spec"].as_object_mut() {
                spec.remove(key);
                if !empty {
                    spec.insert(key.to_owned(), value);
                }
            }
        }
    }
}

/// What is wrong with an object that only this crate can tell: the signature of a request, a certificate that is none,
/// a time zone that this machine does not know. `old` is the object as it was.
pub fn faults(act: &Act<'_>, object: &Object, old: Option<&Object>) -> Option<FieldError> {
    if act.kind.plural == "cronjobs" && act.kind.group == "batch" && act.sub.is_none() {
        let zone = |object: &Object| meta::text_at(object, &["spec", "timeZone"]).to_owned();
        let said = zone(object);
        let changed = old.is_none_or(|old| zone(old) != said);
        let spec = Path::root("spec");
        let fault = || FieldError::invalid(&spec.child("timeZone"), &*said, format!("unknown time zone {said}"));
        return (changed && is_unknown_zone(std::path::Path::new(ZONES), &said)).then(fault);
    }
    if act.kind.plural == "podcertificaterequests" && act.kind.group == "certificates.k8s.io" && old.is_none() {
        return possession::fault(&object["spec"]);
    }
    if !is_request(act) {
        return None;
    }
    if let Some(old) = old {
        let given = |object: &Object| meta::text_at(object, &["status", "certificate"]).to_owned();
        let (now, before) = (given(object), given(old));
        let changed = act.sub == Some(Sub::Status) && !now.is_empty() && now != before;
        // What was never a certificate may become something else.
        let fault = certificate_fault(&now).filter(|_| changed)?;
        let bound = before.is_empty() || certificate_fault(&before).is_none();
        let status = Path::root("status");
        return bound.then(|| FieldError::invalid(&status.child("certificate"), "<certificate data>", fault));
    }
    let text = meta::text_at(object, &["spec", "request"]);
    // What is no PEM at all is told by the other checks.
    let pem = STANDARD.decode(text).ok()?;
    match Request::parse(&pem) {
        Ok(_) | Err(RequestFault::NotPem) => None,
        Err(fault) => {
            let spec = Path::root("spec");
            Some(FieldError::invalid(&spec.child("request"), text, fault.to_string()))
        }
    }
}

fn certificate_fault(encoded: &str) -> Option<String> {
    let pem = STANDARD.decode(encoded).unwrap_or_default();
    issued::fault(&String::from_utf8_lossy(&pem))
}

/// Whether a name that has the shape of one is in no time zone database of this machine. Where there is no database, the
/// controller tells by an Event.
fn is_unknown_zone(database: &std::path::Path, name: &str) -> bool {
    let shaped = !name.is_empty() && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    shaped
        && name != "UTC"
        && !name.eq_ignore_ascii_case("local")
        && database.is_dir()
        && !database.join(name).is_file()
}

/// Dates a new volume's phase.
pub fn begin(act: &Act<'_>, object: &mut Object) {
    if is_volume(act) {
        object["status"]["lastPhaseTransitionTime"] = json!(act.core.timestamp());
    }
}

/// Dates the conditions of a request that came without dates, and a volume's new phase.
pub fn date(act: &Act<'_>, new: &mut Object, old: &Object) {
    if is_volume(act) && act.sub == Some(Sub::Status) {
        let time = |object: &Object| meta::text_at(object, &["status", "lastPhaseTransitionTime"]).to_owned();
        let phase = |object: &Object| meta::text_at(object, &["status", "phase"]).to_owned();
        if phase(new) != phase(old) && (time(new).is_empty() || time(new) == time(old)) {
            new["status"]["lastPhaseTransitionTime"] = json!(act.core.timestamp());
        }
    }
    if !is_request(act) || !matches!(act.sub, Some(Sub::Approval | Sub::Status)) {
        return;
    }
    let kept = meta::list_at(old, &["status", "conditions"]).to_vec();
    let conditions = new.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten().filter_map(Value::as_object_mut) {
        let text = |c: &serde_json::Map<String, Value>, key: &str| {
            c.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        if text(condition, "lastUpdateTime").is_empty() {
            condition.insert("lastUpdateTime".into(), json!(act.core.timestamp()));
        }
        if text(condition, "lastTransitionTime").is_empty() {
            let same = kept
                .iter()
                .filter_map(Value::as_object)
                .find(|k| text(k, "type") == text(condition, "type") && text(k, "status") == text(condition, "status"));
            let since = same.map(|k| text(k, "lastTransitionTime")).filter(|t| !t.is_empty());
            let since = since.unwrap_or_else(|| act.core.timestamp());
            condition.insert("lastTransitionTime".into(), json!(since));
        }
    }
}

fn is_volume(act: &Act<'_>) -> bool {
    act.kind.plural == "persistentvolumes" && act.kind.group.is_empty()
}

fn is_request(act: &Act<'_>) -> bool {
    act.kind.plural == "certificatesigningrequests" && act.kind.group == "certificates.k8s.io"
}

/// Takes the addresses and ports a Service needs.
pub async fn claim<'a>(act: &Act<'a>, object: &mut Object, old: Option<&Object>) -> Result<Claim<'a>, Status> {
    if act.kind.stored.0.is_empty() && act.kind.plural == "services" && act.sub.is_none() {
        return act.core.services.claim(act.about(), object, old, &act.core.random, act.dry_run);
    }
    Ok(act.core.services.nothing())
}

/// Notes that an object was made.
pub fn made(act: &Act<'_>) {
    act.core.presence.came(act.kind);
}

/// Gives back what an object held that is gone.
pub fn release(act: &Act<'_>, object: &Object) {
    act.core.presence.went(act.kind);
    if act.kind.stored.0.is_empty() && act.kind.plural == "services" {
        act.core.services.release(object);
    }
}

/// Waits until what was written at that revision holds, where others decide by it.
pub async fn settle(act: &Act<'_>, revision: Revision) {
    if act.kind.group == "admissionregistration.k8s.io" && act.sub.is_none() {
        act.core.webhooks.settled(&act.kind.plural, revision).await;
        act.core.policies.settled(&act.kind.plural, revision).await;
    }
}

async fn escalation(act: &Act<'_>, object: &Object, old: Option<&Object>) -> Result<(), Status> {
    if act.kind.group != RBAC || act.sub.is_some() || act.who.is_in(MASTERS) {
        return Ok(());
    }
    let (verb, resource, role_name, handed_out) = match &*act.kind.plural {
        "roles" | "clusterroles" => {
            ("escalate", &*act.kind.plural, act.name.to_owned(), Rule::read_all(object.get("rules")))
        }
        _ => {
            let text = |key: &str| meta::text_at(object, &["roleRef", key]).to_owned();
            let name = text("name");
            let (resource, namespace) = match text("kind").as_str() {
                "Role" => ("roles", Some(act.namespace)),
                _ => ("clusterroles", None),
            };
            let Some(rules) = act.core.authorizer.rules_of_role(namespace, &name) else {
                // Only whoever may bind anything may bind what is not there.
                if allowed(act, "bind", resource, &name).await {
                    return Ok(());
                }
                let kind = if namespace.is_some() { "roles" } else { "clusterroles" };
                return Err(Status::not_found(RBAC, kind, &name));
            };
            ("bind", resource, name, rules)
        }
    };
    if allowed(act, verb, resource, &role_name).await {
        return Ok(());
    }
    let refused = |why: String| Err(act.on(meta::name(object)).about().forbidden(why));
    let held = act.core.authorizer.rules_of(act.who, act.namespace);
    let missing = not_covered(&held, &handed_out);
    if !missing.is_empty() {
        return refused(format!(
            "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
            act.who.name,
            quoted(&act.who.groups),
            told(missing)
        ));
    }
    // Such a role can gather anything, and one that gathers cannot be made narrower.
    let gathers = [Some(object), old].into_iter().flatten().any(is_gathering);
    if gathers && !not_covered(&held, &[Rule::everything(), Rule::every_path()]).is_empty() {
        return refused("must have cluster-admin privileges to use the aggregationRule".to_owned());
    }
    Ok(())
}

/// Whether a role takes its rules from others.
fn is_gathering(role: &Object) -> bool {
    !meta::list_at(role, &["aggregationRule", "clusterRoleSelectors"]).is_empty()
}

async fn allowed(act: &Act<'_>, verb: &str, resource: &str, name: &str) -> bool {
    let wanted = Wanted::Resource { verb, group: RBAC, resource, subresource: "", namespace: act.namespace, name };
    act.core.may(act.who, &wanted).await
}

/// Grants in Kubernetes' words, a line each: the verbs of one resource stand together.
fn told(grants: Vec<Rule>) -> String {
    let mut rules: Vec<Rule> = Vec::new();
    for grant in grants {
        let alike = |rule: &&mut Rule| {
            grant.paths.is_empty()
                && (&rule.groups, &rule.resources, &rule.names) == (&grant.groups, &grant.resources, &grant.names)
        };
        match rules.iter_mut().find(alike) {
            Some(rule) => rule.verbs = rule.verbs.iter().chain(&grant.verbs).cloned().collect(),
            None => rules.push(grant),
        }
    }
    let mut lines: Vec<String> = rules.iter().map(words).collect();
    lines.sort();
    lines.dedup();
    lines.join("\n")
}

fn words(rule: &Rule) -> String {
    let mut parts = Vec::new();
    for (name, words) in [
        ("APIGroups", &rule.groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.paths),
        ("ResourceNames", &rule.names),
        ("Verbs", &rule.verbs),
    ] {
        if !words.is_empty() {
            parts.push(format!("{name}:[{}]", quoted(words)));
        }
    }
    format!("{{{}}}", parts.join(", "))
}

fn quoted(words: &[impl std::fmt::Debug]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lets_an_object_go_is_free() {
        let old = json!({"metadata": {"name": "a", "finalizers": ["x/y"]}, "rules": [{"verbs": ["get"]}]});
        let check = |metadata: Value, rules: Value, expected: bool| {
            let new = json!({"metadata": metadata, "rules": rules});
            assert_eq!(lets_go(&new, &old), expected, "{new}");
        };
        let rules = &old["rules"];
        check(json!({"name": "a"}), rules.clone(), true);
        check(json!({"name": "a", "labels": {}, "ownerReferences": [{"uid": "u"}]}), rules.clone(), true);
        check(json!({"name": "a", "managedFields": [{}]}), rules.clone(), true);
        check(json!({"name": "a", "labels": {"b": "c"}}), rules.clone(), false);
        check(json!({"name": "a", "finalizers": ["x/y"]}), json!([]), false);
    }

    #[test]
    fn grants_are_told_by_resource() {
        let rule = json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["nodes"], "resourceNames": ["a"]},
            {"verbs": ["get"], "nonResourceURLs": ["/x"]}]);
        assert_eq!(
            told(not_covered(&[], &Rule::read_all(Some(&rule)))),
            "{APIGroups:[\"\"], Resources:[\"nodes\"], ResourceNames:[\"a\"], Verbs:[\"get\" \"list\"]}\n\
             {NonResourceURLs:[\"/x\"], Verbs:[\"get\"]}"
        );
    }

    #[test]
    fn zones_are_looked_up_where_there_is_a_database() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("Europe")).unwrap();
        std::fs::write(dir.path().join("Europe/Berlin"), "").unwrap();
        for (name, unknown) in
            [("Europe/Berlin", false), ("Mars/X", true), ("Europe", true), ("UTC", false), ("", false), ("../x", false)]
        {
            assert_eq!(is_unknown_zone(dir.path(), name), unknown, "{name}");
        }
        assert!(!is_unknown_zone(&dir.path().join("none"), "Mars/X"));
    }
}
