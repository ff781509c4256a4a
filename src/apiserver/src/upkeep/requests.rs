//! Certificate signing requests: nodes' own are approved, approved ones are signed, old ones go.
//!
//! In: the store's events below `/certificates.k8s.io/certificatesigningrequests/`. Out: conditions,
//! certificates, deletions, through the registry under the controller's own account. [`plan`] decides
//! and is pure. It lives here and not in a guest because the authority's key must not leave this
//! crate. Without requests nothing wakes up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kedge_api::kinds::Sub;
use kedge_api::status::{Reason, Status};
use kedge_api::{Object, clock, meta};
use kedge_store::{Change, Entry};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};

use super::{BREATH, DAY};
use crate::authz::Wanted;
use crate::core::Core;
use crate::identity::Identity;
use crate::registry::own::Own;
use crate::registry::{Act, decode_kept, delete, keys, update};
use crate::tls::renewal::LEAF_LIFETIME;
use crate::tls::request::{Request, Signer, kubelet_client};
use crate::vault::Watch;

const GROUP: &str = "certificates.k8s.io";
const PLURAL: &str = "certificatesigningrequests";
const PREFIX: &str = "/certificates.k8s.io/certificatesigningrequests/";
/// How long an answered request stays.
const ANSWERED: Duration = Duration::from_secs(3600);
/// How long one stays that nobody answers.
const PENDING: Duration = DAY;
/// A certificate is good for at least this long.
const SHORTEST: Duration = Duration::from_secs(600);
/// Old requests go together this often at most.
const COALESCE: Duration = Duration::from_secs(60);

/// What is to be done about a request.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It is approved, with this message.
    Approve(&'static str),
    /// It cannot be signed, for this reason.
    Fail(String),
    /// It is signed for so long.
    Sign { request: Box<Request>, usages: Vec<String>, lifetime: Duration },
    /// It is approved without a person if who asks may have that, in their own name or in another's; else it waits.
    Ask { who: Identity, own: bool, until: SystemTime },
    /// It has been there long enough.
    Delete,
    /// Nothing before then.
    Wait(SystemTime),
}

/// Follows requests until the server stops.
pub async fn run(core: Arc<Core>) {
    // When to look again, by name: as many as there are requests.
    let mut due: BTreeMap<String, SystemTime> = BTreeMap::new();
    loop {
        match core.store.list(PREFIX, None, None, 0).await {
            Ok(page) => {
                due.clear();
                for entry in &page.entries {
                    look(&core, entry, &mut due).await;
                }
                if let Ok(watch) = core.store.watch(PREFIX, page.revision) {
                    follow(&core, watch, &mut due).await;
                }
            }
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "cannot read signing requests"),
        }
        tokio::select! {
            () = tokio::time::sleep(BREATH) => {}
            () = core.stop.cancelled() => return,
        }
    }
}

async fn follow(core: &Core, mut watch: Watch, due: &mut BTreeMap<String, SystemTime>) {
    loop {
        let now = core.clock.now();
        let wait = due.values().min().map(|t| t.duration_since(now).unwrap_or_default().clamp(COALESCE, DAY));
        tokio::select! {
            events = watch.next() => {
                let Ok(events) = events else { return };
                for event in events {
                    if event.change == Change::Deleted {
                        due.remove(name_of(&event.entry.key));
                    } else {
                        look(core, &event.entry, due).await;
                    }
                }
            }
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                let now = core.clock.now();
                let names: Vec<String> = due.iter().filter(|(_, t)| **t <= now).map(|(n, _)| n.clone()).collect();
                for name in names {
                    match core.store.get(&keys::fixed(GROUP, PLURAL, "", &name)).await {
                        Ok(Some(entry)) => look(core, &entry, due).await,
                        _ => drop(due.remove(&name)),
                    }
                }
            }
            () = core.stop.cancelled() => return,
        }
    }
}

fn name_of(key: &str) -> &str {
    keys::parse(key).map_or("", |(_, name)| name)
}

/// Decides about one request and does it; notes when to look again.
async fn look(core: &Core, entry: &Entry, due: &mut BTreeMap<String, SystemTime>) {
    let name = name_of(&entry.key).to_owned();
    due.remove(&name);
    let Ok(object) = decode_kept(entry) else { return };
    let now = core.clock.now();
    let step = match plan(&object, now) {
        Step::Ask { who, own, until } => approval(core, &who, own).await.map_or(Step::Wait(until), Step::Approve),
        step => step,
    };
    if let Step::Wait(until) = step {
        due.insert(name, until);
        return;
    }
    match act(core, &name, object, step).await {
        Ok(()) => {}
        // Whoever changed it made an event; whoever deleted it, too.
        Err(status) if matches!(status.reason, Reason::Conflict | Reason::NotFound) => {}
        Err(status) => {
            tracing::warn!(request = name, %status, "a certificate signing request cannot be answered");
            due.insert(name, now + COALESCE);
        }
    }
}

/// What somebody must be allowed to create for a request to be approved without a person, and what is said then.
const WAYS: [(&str, &str); 2] = [
    ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
    ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
];

/// The ways that are open: the first is for those who ask in their own name.
fn ways(own: bool) -> &'static [(&'static str, &'static str)] {
    &WAYS[usize::from(!own)..]
}

/// Why a request is approved without a person, if it is.
async fn approval(core: &Core, who: &Identity, own: bool) -> Option<&'static str> {
    for (subresource, message) in ways(own) {
        let wanted =
            Wanted::Resource { verb: "create", group: GROUP, resource: PLURAL, subresource, namespace: "", name: "" };
        if core.may(who, &wanted).await {
            return Some(message);
        }
    }
    None
}

/// What to do about a request now.
fn plan(object: &Object, now: SystemTime) -> Step {
    let state = State::of(object);
    if state.ends.is_some_and(|t| t < now) {
        return Step::Delete;
    }
    let until = state.ends.unwrap_or(now + PENDING);
    let wait = Step::Wait(until);
    let usages: Vec<&str> = meta::list_at(object, &["spec", "usages"]).iter().filter_map(Value::as_str).collect();
    let signer = Signer::parse(meta::text_at(object, &["spec", "signerName"]));
    let asked = || {
        let pem = STANDARD.decode(meta::text_at(object, &["spec", "request"])).unwrap_or_default();
        Request::parse(&pem)
    };
    if !state.approved && !state.denied && !state.issued && signer == Some(Signer::KubeletClient) {
        let Ok(request) = asked() else { return wait };
        if kubelet_client(&request, &usages).is_err() {
            return wait;
        }
        let who = asker(object);
        let own = who.name == request.common_name;
        return Step::Ask { who, own, until };
    }
    let Some(signer) = signer else { return wait };
    if !state.approved || state.denied || state.failed || state.issued {
        return wait;
    }
    let Ok(request) = asked() else { return wait };
    if let Err(why) = signer.accepts(&request, &usages) {
        return Step::Fail(why);
    }
    let lifetime = match meta::int_at(object, &["spec", "expirationSeconds"]) {
        Some(seconds) => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).clamp(SHORTEST, LEAF_LIFETIME),
        None => LEAF_LIFETIME,
    };
    Step::Sign { request: Box::new(request), usages: usages.into_iter().map(str::to_owned).collect(), lifetime }
}

/// Where a request stands.
struct State {
    approved: bool,
    denied: bool,
    failed: bool,
    issued: bool,
    /// When it has been there long enough.
    ends: Option<SystemTime>,
}

impl State {
    fn of(object: &Object) -> State {
        let conditions = meta::list_at(object, &["status", "conditions"]);
        let certificate = meta::text_at(object, &["status", "certificate"]);
        let has = |kind: &str| conditions.iter().any(|c| meta::text(c, "type") == kind);
        let issued = !certificate.is_empty();
        let ends = conditions.iter().filter_map(|condition| {
            let stay = match (meta::text(condition, "type"), issued) {
                ("Approved", true) | ("Denied" | "Failed", _) => ANSWERED,
                ("Approved", false) => PENDING,
                _ => return None,
            };
            Some(clock::parse(meta::text(condition, "lastUpdateTime"))? + stay)
        });
        let mut ends = ends.min();
        if conditions.is_empty() {
            ends = clock::parse(meta::creation_timestamp(object)).map(|t| t + PENDING);
        }
        if has("Approved")
            && let Some(expires) = expiry(certificate)
        {
            ends = Some(ends.map_or(expires, |t| t.min(expires)));
        }
        State { approved: has("Approved"), denied: has("Denied"), failed: has("Failed"), issued, ends }
    }
}

/// When an issued certificate ends.
fn expiry(certificate: &str) -> Option<SystemTime> {
    let der = CertificateDer::from_pem_slice(&STANDARD.decode(certificate).ok()?).ok()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).ok()?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Who made the request, as the API server noted.
fn asker(object: &Object) -> Identity {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    Identity {
        name: meta::text_at(object, &["spec", "username"]).to_owned(),
        groups: texts(&object["spec"]["groups"]),
        uid: meta::text_at(object, &["spec", "uid"]).to_owned(),
        extra: object["spec"]["extra"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), texts(v))).collect(),
    }
}

/// Does a step as the controller that does this in Kubernetes.
async fn act(core: &Core, name: &str, mut object: Object, step: Step) -> Result<(), Status> {
    let condition = |kind: &str, reason: &str, message: &str| {
        let now = core.timestamp();
        json!({"type": kind, "status": "True", "reason": reason, "message": message,
            "lastUpdateTime": now, "lastTransitionTime": now})
    };
    let sub = match step {
        Step::Wait(_) | Step::Ask { .. } => return Ok(()),
        Step::Delete => None,
        Step::Approve(message) => {
            note(&mut object, condition("Approved", "AutoApproved", message));
            Some(Sub::Approval)
        }
        Step::Fail(why) => {
            note(&mut object, condition("Failed", "SignerValidationFailure", &why));
            Some(Sub::Status)
        }
        Step::Sign { request, usages, lifetime } => {
            let usages: Vec<&str> = usages.iter().map(String::as_str).collect();
            let pem = core
                .authority
                .sign(&request, &usages, core.clock.now(), lifetime)
                .map_err(|e| Status::internal(format!("the certificate cannot be made: {e}")))?;
            meta::child_mut(&mut object, "status").insert("certificate".into(), json!(STANDARD.encode(pem)));
            Some(Sub::Status)
        }
    };
    let kinds = core.kinds();
    let kind = kinds.resource(GROUP, "v1", PLURAL).ok_or_else(Status::no_such_resource)?;
    let who = Identity::service_account("kube-system", "certificate-controller");
    let own = Own::new(core, who, "kube-controller-manager");
    let act = Act { sub, ..own.act(kind, "", name) };
    if sub.is_some() {
        return update::update(&act, update::Change::Replace(object)).await.map(drop);
    }
    let version = Some(meta::resource_version(&object).to_owned());
    let options = delete::DeleteOptions { version, ..delete::DeleteOptions::default() };
    delete::delete(&act, &options).await.map(drop)
}

fn note(object: &mut Object, condition: Value) {
    let status = meta::child_mut(object, "status");
    match status.get_mut("conditions").and_then(Value::as_array_mut) {
        Some(list) => list.push(condition),
        None => drop(status.insert("conditions".into(), json!([condition]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::request::tests as requests;

    const NOW: u64 = 1_700_000_000;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn asked(signer: &str, who: &str, conditions: Value) -> Object {
        let pem = requests::pem("system:node:n1", "system:nodes", &[]);
        json!({
            "metadata": {"name": "a", "creationTimestamp": clock::rfc3339(at(NOW))},
            "spec": {"request": STANDARD.encode(pem), "signerName": format!("kubernetes.io/{signer}"),
                "usages": ["digital signature", "client auth"], "username": who},
            "status": {"conditions": conditions},
        })
    }

    fn since(kind: &str, seconds: u64) -> Value {
        json!([{"type": kind, "status": "True", "lastUpdateTime": clock::rfc3339(at(seconds))}])
    }

    /// `granted` is the subresource that the asker may create.
    #[track_caller]
    fn check(object: &Object, now: u64, granted: &str, expected: &str) {
        let step = match plan(object, at(now)) {
            Step::Ask { own, until, .. } => {
                let way = ways(own).iter().find(|(sub, _)| *sub == granted);
                way.map_or(Step::Wait(until), |(_, message)| Step::Approve(message))
            }
            step => step,
        };
        let seen = match step {
            Step::Approve(message) => format!("approve: {message}"),
            Step::Fail(why) => format!("fail: {why}"),
            Step::Sign { lifetime, .. } => format!("sign {}", lifetime.as_secs()),
            Step::Delete => "delete".to_owned(),
            Step::Ask { .. } => unreachable!("asked above"),
            Step::Wait(until) => format!("wait {}", until.duration_since(at(NOW)).unwrap().as_secs()),
        };
        assert_eq!(seen, expected);
    }

    #[test]
    fn only_nodes_requests_are_approved_by_themselves() {
        let own = asked("kube-apiserver-client-kubelet", "system:node:n1", json!([]));
        let others = asked("kube-apiserver-client-kubelet", "bootstrapper", json!([]));
        let renew = "approve: Auto approving self kubelet client certificate after SubjectAccessReview.";
        check(&own, NOW, "selfnodeclient", renew);
        check(&own, NOW, "", "wait 86400");
        check(&others, NOW, "selfnodeclient", "wait 86400");
        let first = "approve: Auto approving kubelet client certificate after SubjectAccessReview.";
        check(&others, NOW, "nodeclient", first);
        check(&asked("kube-apiserver-client", "system:node:n1", json!([])), NOW, "nodeclient", "wait 86400");
    }

    #[test]
    fn approved_requests_are_signed_or_fail() {
        let mut object = asked("kube-apiserver-client", "jane", since("Approved", NOW));
        check(&object, NOW, "", "sign 31536000");
        object["spec"]["expirationSeconds"] = json!(3600);
        check(&object, NOW, "", "sign 3600");
        object["spec"]["expirationSeconds"] = json!(1);
        check(&object, NOW, "", "sign 600");
        object["spec"]["usages"] = json!(["server auth"]);
        check(&object, NOW, "", "fail: invalid usage for client certificate: server auth");
        check(
            &asked("kubelet-serving", "jane", since("Approved", NOW)),
            NOW,
            "",
            "fail: DNS or IP subjectAltName is required",
        );
        let mut foreign = object.clone();
        foreign["spec"]["signerName"] = json!("example.com/mine");
        check(&foreign, NOW, "", "wait 86400");
        object["status"]["certificate"] = json!("eA==");
        check(&object, NOW, "", "wait 3600");
    }

    #[test]
    fn old_requests_go() {
        let denied = asked("kube-apiserver-client", "jane", since("Denied", NOW));
        check(&denied, NOW, "", "wait 3600");
        check(&denied, NOW + 3601, "", "delete");
        let pending = asked("kube-apiserver-client", "jane", json!([]));
        check(&pending, NOW + 86_401, "", "delete");
        let failed = asked("kube-apiserver-client", "jane", since("Failed", NOW));
        check(&failed, NOW + 3601, "", "delete");
    }
}
