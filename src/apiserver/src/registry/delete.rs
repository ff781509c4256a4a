//! Deleting objects: at once, with grace, or once their finalizers are gone.
//!
//! In: options. Out: the object as it is now, or gone. [`plan`] decides, without time or store;
//! `delete` does it.

use bytes::Bytes;
use kedge_api::custom::conditions;
use kedge_api::field::{FieldError, Path};
use kedge_api::fields::Index;
use kedge_api::kinds::Kind;
use kedge_api::selector::Lookup as _;
use kedge_api::status::Status;
use kedge_api::{Object, meta, validate};
use kedge_store::WriteError;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use super::{Act, Outcome, body, convert, hooks, rules};
use crate::admission::{self, Given, Operation};
use crate::authz::Wanted;
use crate::error;

/// What becomes of the dependents of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They stay, without their owner.
    Orphan,
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
}

/// Options of a deletion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Seconds of grace; `None` for the kind's own.
    pub grace: Option<i64>,
    /// Only an object of this uid.
    pub uid: Option<String>,
    /// Only an object of this version.
    pub version: Option<String>,
    /// What becomes of dependents; `None` for the kind's own.
    pub propagation: Option<Propagation>,
    /// Whether `propagation` was said in the old way, as `orphanDependents`.
    pub said_as_orphan: bool,
    /// Whether an object that cannot be read is removed without being looked at
    /// (`ignoreStoreReadErrorWithClusterBreakingPotential`).
    pub unread: bool,
    /// Whether nothing is kept.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Puts what was said into a `DeleteOptions` object, but for `dryRun`.
    pub fn show(&self, options: &mut Value) {
        if let Some(seconds) = self.grace {
            options["gracePeriodSeconds"] = json!(seconds);
        }
        for (key, text) in [("uid", &self.uid), ("resourceVersion", &self.version)] {
            if let Some(text) = text {
                options["preconditions"][key] = json!(text);
            }
        }
        match self.propagation {
            Some(propagation) if self.said_as_orphan => {
                options["orphanDependents"] = json!(propagation == Propagation::Orphan);
            }
            Some(propagation) => options["propagationPolicy"] = json!(propagation.as_str()),
            None => {}
        }
        if self.unread {
            options[UNREAD] = json!(true);
        }
    }

    /// What an unread deletion cannot be told beside.
    fn faults(&self) -> Vec<FieldError> {
        let said = [
            (self.dry_run, "dryRun"),
            (self.propagation.is_some() && !self.said_as_orphan, "propagationPolicy"),
            (self.said_as_orphan, "orphanDependents"),
            (self.grace.is_some(), "gracePeriodSeconds"),
            (self.uid.is_some() || self.version.is_some(), "preconditions"),
        ];
        let said = said.into_iter().filter(|(said, _)| self.unread && *said);
        let fault = |(_, field)| unread_fault(&format!("cannot be set together with .{field}"));
        said.map(fault).collect()
    }
}

impl Propagation {
    /// The word in options.
    pub const fn as_str(self) -> &'static str {
        match self {
            Propagation::Orphan => "Orphan",
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
        }
    }
}

/// The option of a deletion that looks at nothing.
const UNREAD: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";

fn unread_fault(why: &str) -> FieldError {
    FieldError::invalid(&Path::root(UNREAD), true, why)
}

/// 422 if a deletion of many is to remove what cannot be read.
pub fn of_many(options: &DeleteOptions) -> Result<(), Status> {
    if !options.unread {
        return Ok(());
    }
    let why = "is not allowed with DELETECOLLECTION, try again after removing the option";
    Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", &[unread_fault(why)]))
}

/// How an object is to be deleted.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// At once.
    Remove,
    /// It stays for now, like this.
    Mark(Object),
    /// It is being deleted already, and nothing changes.
    Nothing,
}

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// Seconds a pod has to end by itself unless it says otherwise.
const POD_GRACE: i64 = 30;
/// A deletion that keeps losing races is given up after this many tries.
const TRIES: usize = 10;

/// Whether a marked object has nothing left to wait for.
pub fn is_finished(kind: &Kind, object: &Object) -> bool {
    meta::deletion_timestamp(object).is_some()
        && meta::finalizers(object).next().is_none()
        && meta::deletion_grace_period(object).unwrap_or(0) == 0
        && (!is_namespace(kind) || meta::list_at(object, &["spec", "finalizers"]).is_empty())
}

fn is_namespace(kind: &Kind) -> bool {
    kind.group.is_empty() && kind.plural == "namespaces"
}

/// A definition waits for its instances.
fn is_definition(kind: &Kind) -> bool {
    kind.group == "apiextensions.k8s.io" && kind.plural == "customresourcedefinitions"
}

/// What to do with an object that shall be deleted; `kind` is the version that the client speaks.
pub fn plan(kind: &Kind, object: &Object, options: &DeleteOptions, now: SystemTime) -> Plan {
    let mut marked = Cow::Borrowed(object);
    set_finalizers(&mut marked, kind, options.propagation);
    let grace = match pod_grace(kind, object, options) {
        Some(0) | None => 0,
        Some(seconds) => seconds,
    };
    let waits = grace > 0
        || is_definition(kind) && meta::deletion_timestamp(object).is_none()
        || meta::finalizers(&marked).next().is_some()
        || (is_namespace(kind) && !meta::list_at(&marked, &["spec", "finalizers"]).is_empty());
    if !waits {
        return Plan::Remove;
    }
    let mut marked = marked.into_owned();
    match meta::deletion_timestamp(object) {
        None => {
            let end = kedge_api::clock::rfc3339(now + Duration::from_secs(grace.unsigned_abs()));
            meta::set_deletion(&mut marked, &end, grace);
            if meta::generation(&marked) > 0 {
                let generation = meta::generation(&marked) + 1;
                meta::set_generation(&mut marked, generation);
            }
        }
        Some(end) => {
            // Grace may only get shorter.
            let before = meta::deletion_grace_period(object).unwrap_or(0);
            if grace < before {
                let start = kedge_api::clock::parse(end)
                    .and_then(|t| t.checked_sub(Duration::from_secs(before.unsigned_abs())))
                    .unwrap_or(now);
                let end = kedge_api::clock::rfc3339(start + Duration::from_secs(grace.unsigned_abs()));
                meta::set_deletion(&mut marked, &end, grace);
            }
        }
    }
    if is_namespace(kind) {
        marked["status"]["phase"] = json!("Terminating");
    }
    if is_definition(kind) && meta::deletion_timestamp(object).is_none() {
        conditions::mark_terminating(&mut marked, &kedge_api::clock::rfc3339(now));
    }
    if marked == *object { Plan::Nothing } else { Plan::Mark(marked) }
}

/// Seconds of grace, for the one kind that has it.
fn pod_grace(kind: &Kind, pod: &Object, options: &DeleteOptions) -> Option<i64> {
    if !(kind.group.is_empty() && kind.plural == "pods") {
        return None;
    }
    let asked = options.grace.or_else(|| meta::int_at(pod, &["spec", "terminationGracePeriodSeconds"]));
    let bound = meta::text_at(pod, &["spec", "nodeName"]);
    let phase = meta::text_at(pod, &["status", "phase"]);
    if bound.is_empty() || matches!(phase, "Succeeded" | "Failed") {
        return Some(0);
    }
    // A negative grace means at once, but through the node: one second.
    let grace = match asked.unwrap_or(POD_GRACE) {
        negative if negative < 0 => 1,
        seconds => seconds,
    };
    match meta::deletion_grace_period(pod).filter(|_| meta::deletion_timestamp(pod).is_some()) {
        Some(before) => Some(match options.grace {
            Some(_) => grace.min(before),
            None => before,
        }),
        None => Some(grace),
    }
}

/// The object is copied only if they change.
fn set_finalizers(object: &mut Cow<'_, Object>, kind: &Kind, propagation: Option<Propagation>) {
    let has = |name: &str| meta::finalizers(object).any(|f| f == name);
    let (has_orphan, has_foreground) = (has(ORPHAN), has(FOREGROUND));
    let (orphan, foreground) = match propagation {
        Some(Propagation::Orphan) => (true, false),
        Some(Propagation::Foreground) => (false, true),
        Some(Propagation::Background) => (false, false),
        None if has_orphan => (true, false),
        None if has_foreground => (false, true),
        None => (rules::orphans(kind), false),
    };
    if orphan != has_orphan {
        if orphan {
            meta::add_finalizer(object.to_mut(), ORPHAN);
        } else {
            meta::remove_finalizer(object.to_mut(), ORPHAN);
        }
    }
    if foreground != has_foreground {
        if foreground {
            meta::add_finalizer(object.to_mut(), FOREGROUND);
        } else {
            meta::remove_finalizer(object.to_mut(), FOREGROUND);
        }
    }
}

/// A deletion that was done or has begun.
#[derive(Debug)]
pub struct Deleted {
    /// The object: as it is kept, or as it was.
    pub outcome: Outcome,
    /// Whether it is gone.
    pub gone: bool,
}

/// Tells whoever deletes a Job and does not say what becomes of its pods.
pub fn caution(act: &Act<'_>, options: &DeleteOptions) {
    if options.propagation.is_none() && act.spoken.plural == "jobs" && rules::orphans(act.spoken) {
        act.warn([rules::PODS_STAY.to_owned()]);
    }
}

/// Deletes an object.
pub async fn delete(act: &Act<'_>, options: &DeleteOptions) -> Result<Deleted, Status> {
    let core = act.core;
    let act = &Act { given: Given { deletion: Some(options), ..act.given }, ..*act };
    let attributes = act.attributes(Operation::Delete);
    caution(act, options);
    if options.unread {
        return unread(act).await;
    }
    for _ in 0..TRIES {
        let entry = act.kept().await?;
        let object = convert::working(core, act.kind, &entry).await?;
        preconditions(act, &object, options)?;
        admission::validate(&core.admission, &attributes, None, Some(&object), core.reader()).await?;
        let planned = plan(act.spoken, &object, options, core.clock.now());
        if act.dry_run || options.dry_run {
            return Ok(match planned {
                Plan::Remove => Deleted { outcome: Outcome::Made(object), gone: true },
                Plan::Mark(marked) => Deleted { outcome: Outcome::Made(marked), gone: false },
                Plan::Nothing => Deleted { outcome: Outcome::Kept(entry), gone: false },
            });
        }
        let written = match planned {
            Plan::Nothing => return Ok(Deleted { outcome: Outcome::Kept(entry), gone: false }),
            Plan::Remove => {
                let kept = convert::to_kept(core, act.kind, object).await?;
                let gone = core.store.delete(&entry.key, entry.revision, body::encode(&kept)).await;
                if gone.is_ok() {
                    hooks::release(act, &kept);
                }
                gone.map(|entry| (entry, true))
            }
            Plan::Mark(marked) => {
                let marked = convert::to_kept(core, act.kind, marked).await?;
                let index = Bytes::from(rules::index(act.kind, &marked));
                core.store.update(&entry.key, entry.revision, body::encode(&marked), index).await.map(|e| (e, false))
            }
        };
        match written {
            Ok((entry, gone)) => {
                hooks::settle(act, entry.revision).await;
                return Ok(Deleted { outcome: Outcome::Kept(entry), gone });
            }
            Err(WriteError::Conflict(_)) => {}
            Err(fault) => return Err(error::write(fault, act.about())),
        }
    }
    Err(act.about().conflict())
}

/// Removes an object that cannot be read: no finalizer, grace or precondition counts, and nothing that it held is known.
async fn unread(act: &Act<'_>) -> Result<Deleted, Status> {
    let core = act.core;
    let (group, plural) = (&*act.kind.group, &*act.kind.plural);
    let wanted = Wanted::Resource {
        verb: "unsafe-delete-ignore-read-errors",
        group,
        resource: plural,
        subresource: "",
        namespace: act.namespace,
        name: act.name,
    };
    if !core.may(act.who, &wanted).await {
        return Err(act.about().forbidden("not permitted to do \"unsafe-delete-ignore-read-errors\""));
    }
    let key = act.key();
    let entry = match core.store.locked(&key).await.map_err(|fault| error::read(fault, act.about()))? {
        Some(Err(entry)) => Some(entry),
        Some(Ok(entry)) => Some(entry).filter(|entry| body::decode(&entry.bytes).is_err()),
        None => None,
    };
    // What is not there is as little an object that cannot be read as one that can be: Kubernetes says the same of both.
    let Some(entry) = entry else {
        let why = "is exclusively used to delete corrupt object(s), try again by removing this option";
        return Err(Status::invalid(group, plural, act.name, &[unread_fault(why)]));
    };
    let attributes = act.attributes(Operation::Delete);
    admission::validate(&core.admission, &attributes, None, None, core.reader()).await?;
    // Whoever knows the object must be able to forget it: what the store has beside the value tells which it was.
    let index = Index::read(&entry.index);
    let mut last = json!({"apiVersion": act.kind.stored_gvk().api_version(), "kind": act.kind.kind, "metadata": {
        "name": act.name, "uid": index.fields().value(rules::UID).unwrap_or_default()}});
    if !act.namespace.is_empty() {
        meta::set_namespace(&mut last, act.namespace);
    }
    let gone = core.store.delete(&key, entry.revision, body::encode(&last)).await;
    let gone = gone.map_err(|fault| error::write(fault, act.about()))?;
    // What a Service held is not known: its address is free again at the next start.
    hooks::release(act, &last);
    tracing::warn!(%key, user = %act.who.name, "an object that could not be read was removed unread");
    hooks::settle(act, gone.revision).await;
    Ok(Deleted { outcome: Outcome::Kept(gone), gone: true })
}

fn preconditions(act: &Act<'_>, object: &Object, options: &DeleteOptions) -> Result<(), Status> {
    let (group, plural) = (&act.kind.group, &act.kind.plural);
    if let Some(uid) = options.uid.as_deref().filter(|u| *u != meta::uid(object)) {
        return Err(Status::uid_precondition(group, plural, act.name, uid, meta::uid(object)));
    }
    if let Some(version) = options.version.as_deref().filter(|v| *v != meta::resource_version(object)) {
        return Err(Status::version_precondition(group, plural, act.name, version, meta::resource_version(object)));
    }
    Ok(())
}

/// Reads the options of a deletion from the query and the body; the body counts.
pub fn options(query: &crate::query::Query, body: Option<&Value>) -> Result<DeleteOptions, Status> {
    let mut options = DeleteOptions::default();
    let mut dry_run: Vec<&str> = query.all("dryRun").collect();
    let number = |text: &str| {
        text.parse::<i64>().map_err(|_| Status::bad_request(format!("invalid gracePeriodSeconds {text:?}")))
    };
    if let Some(text) = query.get("gracePeriodSeconds").filter(|t| !t.is_empty()) {
        options.grace = Some(number(text)?);
    }
    let mut policy = query.get("propagationPolicy").filter(|p| !p.is_empty()).map(str::to_owned);
    let mut orphan = query.get("orphanDependents").map(|_| query.flag("orphanDependents"));
    options.unread = query.flag(UNREAD);
    if let Some(body) = body {
        if let Some(fault) = misread(body) {
            return Err(Status::bad_request(format!("the body is no DeleteOptions, and nothing was deleted: {fault}")));
        }
        let text = |path: &[&str]| Some(meta::text_at(body, path)).filter(|t| !t.is_empty()).map(str::to_owned);
        options.grace = meta::int_at(body, &["gracePeriodSeconds"]).or(options.grace);
        options.uid = text(&["preconditions", "uid"]);
        options.version = text(&["preconditions", "resourceVersion"]);
        policy = text(&["propagationPolicy"]).or(policy);
        orphan = body.get("orphanDependents").and_then(Value::as_bool).or(orphan);
        options.unread = body.get(UNREAD).and_then(Value::as_bool).unwrap_or(options.unread);
        dry_run.extend(meta::list_at(body, &["dryRun"]).iter().filter_map(Value::as_str));
    }
    let refused = |faults: &[FieldError]| Status::invalid("meta.k8s.io", "DeleteOptions", "", faults);
    let mut faults = validate::options(None, &dry_run, None);
    options.dry_run = !dry_run.is_empty();
    if policy.is_some() && orphan.is_some() {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        faults.push(FieldError::invalid(&Path::root("propagationPolicy"), policy.as_deref(), why));
    }
    if !faults.is_empty() {
        return Err(refused(&faults));
    }
    options.propagation = match (policy.as_deref(), orphan) {
        (Some("Orphan"), _) | (_, Some(true)) => Some(Propagation::Orphan),
        (Some("Background"), _) | (_, Some(false)) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some(other), _) => {
            let known = ["Foreground", "Background", "Orphan", "nil"];
            return Err(refused(&[FieldError::not_supported(&Path::root("propagationPolicy"), other, &known)]));
        }
        (None, None) => None,
    };
    options.said_as_orphan = orphan.is_some();
    match options.faults().as_slice() {
        [] => Ok(options),
        faults => Err(refused(faults)),
    }
}

/// Why a body cannot be options of a deletion. What is misread must not be passed over: it may say that nothing shall
/// be deleted. Unknown fields may be there, as newer clients know more.
fn misread(body: &Value) -> Option<String> {
    let Some(options) = body.as_object() else {
        return Some(format!("it must be an object, not {}", type_of(body)));
    };
    let kind = options.get("kind").map_or("", |kind| kind.as_str().unwrap_or("?"));
    if !matches!(kind, "" | "DeleteOptions") {
        return Some(format!("it is of kind {kind}"));
    }
    type Fits = fn(&Value) -> bool;
    let texts: Fits = |value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    let fields: [(&str, Fits, &str); 8] = [
        ("apiVersion", Value::is_string, "a string"),
        ("kind", Value::is_string, "a string"),
        ("dryRun", texts, "a list of strings"),
        ("gracePeriodSeconds", Value::is_i64, "an integer"),
        ("orphanDependents", Value::is_boolean, "a boolean"),
        ("preconditions", Value::is_object, "an object"),
        ("propagationPolicy", Value::is_string, "a string"),
        (UNREAD, Value::is_boolean, "a boolean"),
    ];
    let wrong = |(at, place, fits, wanted): (&Value, &str, Fits, &str)| {
        let value = at.get(place.rsplit('.').next()?).filter(|value| !value.is_null() && !fits(value))?;
        Some(format!("{place} must be {wanted}, not {}", type_of(value)))
    };
    let preconditions = &body["preconditions"];
    let inner = ["preconditions.uid", "preconditions.resourceVersion"];
    let own = fields.into_iter().map(|(place, fits, wanted)| (body, place, fits, wanted));
    let inner = inner.into_iter().map(|place| (preconditions, place, Value::is_string as Fits, "a string"));
    own.chain(inner).find_map(wrong)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kedge_api::kinds::Kinds;
    use std::time::UNIX_EPOCH;

    const NOW: u64 = 1_700_000_000; // 2023-11-14T22:13:20Z

    /// `expected`: "remove", "nothing", or "END GRACE FINALIZERS".
    #[track_caller]
    fn check(kind: &str, object: Value, options: DeleteOptions, expected: &str) {
        let kinds = Kinds::builtin().with_removed();
        let kind = kinds.by_word(kind).unwrap();
        let seen = match plan(kind, &object, &options, UNIX_EPOCH + Duration::from_secs(NOW)) {
            Plan::Remove => "remove".to_owned(),
            Plan::Nothing => "nothing".to_owned(),
            Plan::Mark(marked) => format!(
                "{} {} {}",
                meta::deletion_timestamp(&marked).unwrap_or("-"),
                meta::deletion_grace_period(&marked).unwrap_or(-1),
                meta::finalizers(&marked).collect::<Vec<_>>().join(",")
            ),
        };
        assert_eq!(seen.trim_end(), expected);
    }

    fn with(grace: Option<i64>, propagation: Option<Propagation>) -> DeleteOptions {
        DeleteOptions { grace, propagation, ..DeleteOptions::default() }
    }

    #[test]
    fn only_pods_on_nodes_have_grace() {
        let bound = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}});
        check("po", bound.clone(), with(None, None), "2023-11-14T22:13:50Z 30");
        check("po", bound.clone(), with(Some(5), None), "2023-11-14T22:13:25Z 5");
        check("po", bound.clone(), with(Some(0), None), "remove");
        check("po", bound.clone(), with(Some(-1), None), "2023-11-14T22:13:21Z 1");
        check("po", json!({"spec": {}}), with(None, None), "remove");
        let mut done = bound;
        done["status"]["phase"] = json!("Succeeded");
        check("po", done, with(None, None), "remove");
        check("cm", json!({"metadata": {"name": "a"}}), with(Some(30), None), "remove");
    }

    #[test]
    fn grace_only_gets_shorter() {
        let dying = json!({"metadata": {"name": "a", "deletionTimestamp": "2023-11-14T22:13:50Z", "deletionGracePeriodSeconds": 30},
            "spec": {"nodeName": "n"}});
        check("po", dying.clone(), with(Some(60), None), "nothing");
        check("po", dying.clone(), with(None, None), "nothing");
        check("po", dying.clone(), with(Some(10), None), "2023-11-14T22:13:30Z 10");
        check("po", dying, with(Some(0), None), "remove");
    }

    #[test]
    fn propagation_becomes_finalizers() {
        let plain = json!({"metadata": {"name": "a"}});
        check("rs", plain.clone(), with(None, None), "remove");
        check("rs", plain.clone(), with(None, Some(Propagation::Background)), "remove");
        check("rs", plain.clone(), with(None, Some(Propagation::Orphan)), "2023-11-14T22:13:20Z 0 orphan");
        check(
            "rs",
            plain.clone(),
            with(None, Some(Propagation::Foreground)),
            "2023-11-14T22:13:20Z 0 foregroundDeletion",
        );
        check("rc", plain.clone(), with(None, None), "2023-11-14T22:13:20Z 0 orphan");
        check("job", plain.clone(), with(None, None), "2023-11-14T22:13:20Z 0 orphan");
        check("job", plain.clone(), with(None, Some(Propagation::Background)), "remove");
        check("deploy", plain.clone(), with(None, None), "remove");
        check("deployments.v1beta1.extensions", plain, with(None, None), "2023-11-14T22:13:20Z 0 orphan");
        let held = json!({"metadata": {"finalizers": ["x/y", "orphan"]}});
        check("cm", held, with(None, Some(Propagation::Background)), "2023-11-14T22:13:20Z 0 x/y");
    }

    #[test]
    fn a_namespace_waits_for_its_contents() {
        let namespace =
            json!({"metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
        check("ns", namespace, with(None, None), "2023-11-14T22:13:20Z 0");
        check("ns", json!({"metadata": {"name": "a"}, "spec": {}}), with(None, None), "remove");
    }

    #[test]
    fn a_body_that_is_misread_deletes_nothing() {
        let check = |body: Value, expected: Option<&str>| {
            let seen = options(&crate::query::Query::parse(""), Some(&body));
            match expected {
                None => assert!(seen.is_ok(), "{body}: {seen:?}"),
                Some(part) => {
                    let status = seen.expect_err(&body.to_string());
                    assert_eq!(status.code, 400, "{body}");
                    assert!(status.message.contains(part), "{}", status.message);
                }
            }
        };
        for (body, part) in [
            (json!([]), "must be an object, not a list"),
            (json!("x"), "must be an object, not a string"),
            (json!({"kind": "Pod", "apiVersion": "v1"}), "of kind Pod"),
            (json!({"kind": 5}), "of kind ?"),
            (json!({"dryRun": "All"}), "dryRun must be a list of strings, not a string"),
            (json!({"dryRun": [true]}), "dryRun must be a list of strings, not a list"),
            (json!({"preconditions": "x"}), "preconditions must be an object"),
            (json!({"preconditions": {"uid": 5}}), "preconditions.uid must be a string, not a number"),
            (json!({"gracePeriodSeconds": "x"}), "gracePeriodSeconds must be an integer, not a string"),
            (json!({"gracePeriodSeconds": 1.5}), "gracePeriodSeconds must be an integer, not a number"),
            (json!({"propagationPolicy": 5}), "propagationPolicy must be a string"),
            (json!({"orphanDependents": "yes"}), "orphanDependents must be a boolean"),
        ] {
            check(body, Some(part));
        }
        check(json!({}), None);
        check(json!({"kind": "DeleteOptions", "apiVersion": "policy/v1", "preconditions": {"uid": null}}), None);
        check(json!({"dryRun": ["All"], "gracePeriodSeconds": 0, "newer": {"a": 1}}), None);
    }
}
