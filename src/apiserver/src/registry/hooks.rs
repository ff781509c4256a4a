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
use crate::tls::request::{Request, RequestFault};

/// Where the machine has the time zone database.
const ZONES: &str = "/usr/share/zoneinfo";
const RBAC: &str = "rbac.authorization.k8s.io";

/// Refuses to make what would give its maker's friends more than the maker has.
pub async fn may_create(act: &Act<'_>, object: &Object) -> Result<(), Status> {
    if act.kind.definition.as_ref().is_some_and(|definition| definition.terminating) {
        return Err(act.about().forbidden("create not allowed while custom resource definition is terminating"));
    }
    escalation(act, object).await
}

/// The same for an update that changes what is granted.
pub async fn may_update(act: &Act<'_>, new: &Object, old: &Object) -> Result<(), Status> {
    let same = ["rules", "aggregationRule", "roleRef", "subjects"].iter().all(|key| new.get(key) == old.get(key));
    if same { Ok(()) } else { escalation(act, new).await }
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

/// What is wrong with an object that only this crate can tell: the signature of a request, a time zone that this
/// machine does not know. `old` is the object as it was.
pub fn faults(act: &Act<'_>, object: &Object, old: Option<&Object>) -> Option<FieldError> {
    if act.kind.plural == "cronjobs" && act.kind.group == "batch" && act.sub.is_none() {
        let zone = |object: &Object| meta::text_at(object, &["spec", "timeZone"]).to_owned();
        let said = zone(object);
        let changed = old.is_none_or(|old| zone(old) != said);
        let spec = Path::root("spec");
        let fault = || FieldError::invalid(&spec.child("timeZone"), &*said, format!("unknown time zone {said}"));
        return (changed && is_unknown_zone(std::path::Path::new(ZONES), &said)).then(fault);
    }
    if old.is_some() || !is_request(act) {
        return None;
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

async fn escalation(act: &Act<'_>, object: &Object) -> Result<(), Status> {
    if act.kind.group != RBAC || act.sub.is_some() {
        return Ok(());
    }
    let (verb, resource, role_name, handed_out) = match &*act.kind.plural {
        "roles" | "clusterroles" => {
            ("escalate", &*act.kind.plural, meta::name(object).to_owned(), Rule::read_all(object.get("rules")))
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
    let held = act.core.authorizer.rules_of(act.who, act.namespace);
    let missing = not_covered(&held, &handed_out);
    if missing.is_empty() && object.get("aggregationRule").is_none_or(Value::is_null) {
        return Ok(());
    }
    let listed: Vec<String> = missing.iter().map(words).collect();
    Err(act.on(meta::name(object)).about().forbidden(format!(
        "user {:?} (groups={:?}) is attempting to grant RBAC permissions not currently held:\n{}",
        act.who.name,
        act.who.groups,
        listed.join("\n")
    )))
}

async fn allowed(act: &Act<'_>, verb: &str, resource: &str, name: &str) -> bool {
    let wanted = Wanted::Resource { verb, group: RBAC, resource, subresource: "", namespace: act.namespace, name };
    act.core.may(act.who, &wanted).await
}

fn words(rule: &Rule) -> String {
    let list = |words: &[Box<str>]| words.iter().map(|w| format!("{w:?}")).collect::<Vec<_>>().join(" ");
    let mut parts = Vec::new();
    for (name, words) in [
        ("APIGroups", &rule.groups),
        ("Resources", &rule.resources),
        ("ResourceNames", &rule.names),
        ("NonResourceURLs", &rule.paths),
        ("Verbs", &rule.verbs),
    ] {
        if !words.is_empty() {
            parts.push(format!("{name}:[{}]", list(words)));
        }
    }
    format!("{{{}}}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

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
