//! Requests for resources: which kind, which verb, which subresource, and the answer's form.
//!
//! In: a call that was let in. Out: its answer. Reads bodies, options and headers; everything done
//! to objects is the registry's.

mod collection;
mod eviction;
mod pods;
mod reviews;
pub(crate) mod scale;
mod streams;
pub mod tokens;
mod usage;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kedge_api::check::FieldValidation;
use kedge_api::field::{FieldError, Path};
use kedge_api::kinds::{self, Gvk, Kind, Sub};
use kedge_api::status::Status;
use kedge_api::{Object, apply, meta, validate, warn};

use crate::admission::Given;
use crate::chain::Call;
use crate::error;
use crate::media::{self, Accepted, Format, PatchKind};
use crate::proxy;
use crate::query::{ListOptions, WriteOptions};
use crate::registry::render::{self, View};
use crate::registry::update::{Change, Updated};
use crate::registry::{Act, Outcome, convert, create, decode, delete, list, rules, update, watch};
use crate::request::{RequestInfo, Verb};
use crate::respond::{self, Answer};

/// Most that is read of a body that is too large.
const DRAINED: usize = 32 << 20;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Answers a call for a resource.
pub async fn answer(call: &mut Call) -> Result<Answer, Status> {
    let kinds = call.core.kinds();
    let info = &call.info;
    let Some(kind) = kinds.resource(&info.group, &info.version, &info.resource).cloned() else {
        return Err(missing(info));
    };
    let sub = match info.subresource.as_str() {
        "" => None,
        name => Some(Sub::parse(name).filter(|sub| kind.has_sub(*sub)).ok_or_else(Status::no_such_resource)?),
    };
    let belongs = if kind.namespaced {
        !(info.namespace.is_empty() && !info.name.is_empty() && !names_by_selector(call))
    } else {
        info.namespace.is_empty() || kind.plural == "namespaces"
    };
    if !belongs {
        return Err(Status::no_such_resource());
    }
    let warnings = Mutex::new(Vec::new());
    let outcome = dispatch(call, &kind, sub, &warnings).await;
    call.warnings.append(&mut warnings.into_inner().unwrap_or_else(PoisonError::into_inner));
    outcome
}

/// What is not served; of what Kubernetes took away without a successor it is told what people use instead.
fn missing(info: &RequestInfo) -> Status {
    let mut status = Status::no_such_resource();
    if info.resource == "podsecuritypolicies" && matches!(&*info.group, "policy" | "extensions") {
        status.message =
            "PodSecurityPolicy is not served since Kubernetes v1.25 and has no successor of its kind; label \
            namespaces with pod-security.kubernetes.io/enforce instead (PodSecurity admission)"
                .to_owned();
    }
    status
}

/// The name came from a field selector, not from the path.
fn names_by_selector(call: &Call) -> bool {
    matches!(call.info.verb, Verb::List | Verb::Watch | Verb::DeleteCollection)
}

async fn dispatch(
    call: &mut Call,
    kind: &Arc<Kind>,
    sub: Option<Sub>,
    warnings: &Mutex<Vec<String>>,
) -> Result<Answer, Status> {
    let verb = kind_verb(call.info.verb);
    // Whoever is behind a proxy knows more methods.
    let proxied = sub == Some(Sub::Proxy) && call.info.verb == Verb::Options;
    let verb = verb.or(proxied.then_some(kinds::Verb::Get)).ok_or_else(Status::method_not_allowed)?;
    let allowed = match sub {
        None => kind.verbs.has(verb) || (verb == kinds::Verb::Update && kind.verbs.has(kinds::Verb::Update)),
        Some(sub) => sub.verbs().has(verb),
    };
    if !allowed {
        return Err(no_such_method(kind, call.info.verb.as_str()));
    }
    let core = call.core.clone();
    let today = core.kinds().modern(kind).cloned();
    let info = call.info.clone();
    let who = call.who.clone();
    let manager = manager(call);
    let audit = call.audit.clone();
    let given = |name: &str| call.query.get(name).unwrap_or_default().to_owned();
    let named = if names_by_selector(call) { "" } else { info.name.as_str() };
    let act = Act {
        core: &core,
        who: &who,
        kind: today.as_deref().unwrap_or(kind),
        spoken: kind,
        sub,
        namespace: if kind.namespaced { &info.namespace } else { "" },
        name: named,
        manager: &manager,
        given: Given { manager: &given("fieldManager"), validation: &given("fieldValidation"), deletion: None },
        // Anything but `All` is refused where the options are read.
        dry_run: call.query.all("dryRun").any(|value| !value.is_empty()),
        warnings,
        audit: &audit,
    };
    let deprecated = warn::version(&kind.gvk()).map(Cow::into_owned);
    let deprecated =
        deprecated.or_else(|| kind.custom_version().and_then(|version| version.warning.as_deref().map(str::to_owned)));
    if let Some(words) = &deprecated {
        audit.annotate("k8s.io/deprecated", "true");
        if let Some(release) = warn::release_without(words) {
            audit.annotate("k8s.io/removed-release", release);
        }
    }
    act.warn(deprecated);
    match sub {
        Some(Sub::Scale) => return scale::answer(call, &act, kind).await,
        Some(Sub::Binding) => return pods::bind(call, &act).await,
        Some(Sub::Eviction) => return eviction::evict(call, &act).await,
        Some(Sub::Token) => return tokens::request(call, &act).await,
        Some(Sub::Log | Sub::Exec | Sub::Attach | Sub::PortForward) => return streams::answer(call, &act).await,
        Some(Sub::Proxy) => return proxy::answer(call, &act).await,
        _ => {}
    }
    if kind.is_measured() {
        return usage::answer(call, &act, kind).await;
    }
    if !kind.is_kept() {
        return reviews::answer(call, &act, kind).await;
    }
    match call.info.verb {
        Verb::Get => get(call, &act, kind).await,
        Verb::List => collection::list(call, &act, kind).await,
        Verb::Watch => {
            let options = ListOptions::parse(&call.query).map_err(|f| error::option(&f))?;
            let view = view(call, kind)?;
            watch::open(&act, call, &options, view).await
        }
        Verb::Create => post(call, &act, kind).await,
        Verb::Update => put(call, &act, kind).await,
        Verb::Patch => patch(call, &act, kind).await,
        Verb::Delete => remove(call, &act, kind).await,
        Verb::DeleteCollection => collection::delete(call, &act, kind).await,
        _ => Err(Status::method_not_allowed()),
    }
}

/// The name under which changes are accounted for: the one that was given, or the program's.
fn manager(call: &Call) -> String {
    let given = call.query.get("fieldManager").unwrap_or("");
    if !given.is_empty() {
        return given.to_owned();
    }
    let agent = call.head.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("");
    match apply::manager_of_user_agent(agent) {
        "" => program_of(&call.who.name).to_owned(),
        name => name.to_owned(),
    }
}

/// The program that acts as somebody without saying its name, as the parts of this daemon do.
fn program_of(who: &str) -> &str {
    match who {
        "system:kube-scheduler" => "kube-scheduler",
        _ if who.starts_with("system:node:") => "kubelet",
        _ => match who.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
            Some(("kube-system", _)) => "kube-controller-manager",
            Some((_, name)) => name,
            None => "unknown",
        },
    }
}

fn kind_verb(verb: Verb) -> Option<kinds::Verb> {
    Some(match verb {
        Verb::Get => kinds::Verb::Get,
        Verb::List => kinds::Verb::List,
        Verb::Watch => kinds::Verb::Watch,
        Verb::Create => kinds::Verb::Create,
        Verb::Update => kinds::Verb::Update,
        Verb::Patch => kinds::Verb::Patch,
        Verb::Delete => kinds::Verb::Delete,
        Verb::DeleteCollection => kinds::Verb::DeleteCollection,
        _ => return None,
    })
}

/// The form the client asked for, with tables and metadata.
fn view(call: &Call, kind: &Arc<Kind>) -> Result<View, Status> {
    let accepted = media::negotiate(&call.head.headers, media::Offer::of(kind))?;
    if call.info.verb == Verb::Watch && accepted.format == Format::Yaml {
        return Err(Status::not_acceptable(&Format::STREAMS));
    }
    View::new(&call.core, kind, accepted, &call.query)
}

async fn get(call: &Call, act: &Act<'_>, kind: &Arc<Kind>) -> Result<Answer, Status> {
    let view = view(call, kind)?;
    list::reach_for_get(act, call.query.get("resourceVersion")).await?;
    let entry = convert::entry(act.core, kind, act.kept().await?).await?;
    Ok(respond::kept(StatusCode::OK, render::entry(&view, &entry)?, view.accepted))
}

/// 405: a path of a built-in kind has no such method, or a custom kind no such verb.
fn no_such_method(kind: &Kind, verb: &str) -> Status {
    match kind.custom {
        true => Status::method_not_supported(&kind.group, &kind.plural, verb),
        false => Status::method_not_allowed(),
    }
}

async fn post(call: &mut Call, act: &Act<'_>, kind: &Arc<Kind>) -> Result<Answer, Status> {
    if kind.namespaced && act.namespace.is_empty() {
        return Err(Status::method_not_allowed());
    }
    if !act.name.is_empty() {
        return Err(no_such_method(kind, "create"));
    }
    let view = view(call, kind)?;
    let options = write_options(call, "CreateOptions")?;
    let object = sent(call, act, &kind.gvk(), &options).await?;
    let outcome = create::create(act, prepared(act, object)).await?;
    written(act, StatusCode::CREATED, &view, outcome).await
}

async fn put(call: &mut Call, act: &Act<'_>, kind: &Arc<Kind>) -> Result<Answer, Status> {
    if act.name.is_empty() {
        return Err(no_such_method(kind, "update"));
    }
    let view = view(call, kind)?;
    let options = write_options(call, "UpdateOptions")?;
    let object = sent(call, act, &kind.gvk(), &options).await?;
    if !meta::name(&object).is_empty() && meta::name(&object) != act.name {
        return Err(create::names_differ(meta::name(&object), act.name));
    }
    let updated = update::update(act, Change::Replace(prepared(act, object))).await?;
    updated_answer(act, &view, updated).await
}

async fn patch(call: &mut Call, act: &Act<'_>, kind: &Arc<Kind>) -> Result<Answer, Status> {
    if act.name.is_empty() {
        return Err(no_such_method(kind, "patch"));
    }
    let view = view(call, kind)?;
    let options = write_options(call, "PatchOptions")?;
    let change = patch_of(call, act, kind.custom, &options).await?;
    let updated = update::update(act, change).await?;
    updated_answer(act, &view, updated).await
}

/// The options of a write, held against Kubernetes' rules.
fn write_options(call: &Call, kind: &str) -> Result<WriteOptions, Status> {
    let dry_run: Vec<&str> = call.query.all("dryRun").collect();
    let faults = validate::options(call.query.get("fieldManager"), &dry_run, call.query.get("fieldValidation"));
    if !faults.is_empty() {
        return Err(Status::invalid("meta.k8s.io", kind, "", &faults));
    }
    WriteOptions::parse(&call.query).map_err(|f| error::option(&f))
}

/// The patch in the body.
async fn patch_of(call: &mut Call, act: &Act<'_>, custom: bool, options: &WriteOptions) -> Result<Change, Status> {
    let patch_kind = media::patch_kind(&call.head.headers, custom)?;
    let applies = patch_kind == PatchKind::Apply;
    let mut faults = Vec::new();
    if applies && options.field_manager.is_empty() {
        faults.push(FieldError::required(&Path::root("fieldManager"), "is required for apply patch"));
    }
    if !applies && options.force.is_some() {
        faults.push(FieldError::forbidden(&Path::root("force"), "may not be specified for non-apply patch"));
    }
    if !faults.is_empty() {
        return Err(Status::invalid("meta.k8s.io", "PatchOptions", "", &faults));
    }
    let bytes = body(call).await?;
    let decoded = decode::value(&bytes, if applies { Format::Yaml } else { Format::Json })?;
    if applies && !decoded.duplicates.is_empty() {
        let lines = decode::twice(&bytes, &decoded.duplicates);
        let told = format!("error converting YAML to JSON: {}{lines}", decode::UNMARSHAL);
        match options.field_validation {
            FieldValidation::Strict => {
                return Err(Status::bad_request(format!("error strict decoding YAML: {told}")));
            }
            FieldValidation::Warn => act.warn([told]),
            FieldValidation::Ignore => {}
        }
    }
    Ok(if applies {
        Change::Apply { config: decoded.value, force: options.force.unwrap_or(false) }
    } else {
        Change::Patch { kind: patch_kind, patch: decoded, validation: options.field_validation }
    })
}

async fn updated_answer(act: &Act<'_>, view: &View, updated: Updated) -> Result<Answer, Status> {
    let code = if updated.created { StatusCode::CREATED } else { StatusCode::OK };
    written(act, code, view, updated.outcome).await
}

async fn remove(call: &mut Call, act: &Act<'_>, kind: &Arc<Kind>) -> Result<Answer, Status> {
    let view = view(call, kind)?;
    let options = delete_options(call).await?;
    let deleted = delete::delete(act, &options).await?;
    if deleted.gone && !rules::deletion_returns_object(kind) {
        let object = deleted.outcome.object()?;
        let uid = kedge_api::meta::uid(&object);
        return Ok(respond::status(&Status::success(&kind.group, &kind.plural, act.name, uid), view.accepted.format));
    }
    written(act, StatusCode::OK, &view, deleted.outcome).await
}

/// The options in query and body of a deletion.
async fn delete_options(call: &mut Call) -> Result<delete::DeleteOptions, Status> {
    let bytes = body(call).await?;
    if bytes.is_empty() {
        return delete::options(&call.query, None);
    }
    let format = media::body_format(&call.head.headers)?;
    let decoded = decode::value(&bytes, format)?;
    delete::options(&call.query, Some(&decoded.value))
}

/// A written object in the form that was asked for.
async fn written(act: &Act<'_>, code: StatusCode, view: &View, outcome: Outcome) -> Result<Answer, Status> {
    let bytes = match outcome {
        Outcome::Kept(entry) => render::entry(view, &*convert::entry(act.core, act.kind, entry).await?)?,
        Outcome::Made(object) => render::object(view, object)?,
    };
    Ok(respond::kept(code, bytes, view.accepted))
}

/// An object that was sent, with defaults, in the storage version.
fn prepared(act: &Act<'_>, mut object: Object) -> Object {
    rules::take_in(act.spoken, act.kind, &mut object);
    object
}

/// The object in the body, held against the schema of its kind.
async fn sent(call: &mut Call, act: &Act<'_>, gvk: &Gvk, options: &WriteOptions) -> Result<Object, Status> {
    let format = media::body_format(&call.head.headers)?;
    if format == Format::Protobuf && act.kind.custom && *gvk == act.kind.gvk() {
        return Err(Status::unsupported_media_type(&["application/json", "application/yaml"]));
    }
    let bytes = body(call).await?;
    let schema = if *gvk == act.kind.gvk() { act.kind.schema() } else { kedge_api::schema::of(gvk) };
    let sent = decode::object(&bytes, format, gvk, schema, options.field_validation)?;
    act.warn(sent.warnings);
    call.audit.about(&sent.object);
    Ok(sent.object)
}

/// An object in the body that asks for something and is not kept.
async fn asked(call: &mut Call, act: &Act<'_>, gvk: &Gvk) -> Result<Object, Status> {
    let options = write_options(call, "CreateOptions")?;
    let mut object = sent(call, act, gvk, &options).await?;
    if act.kind.namespaced && meta::namespace(&object).is_empty() {
        meta::set_namespace(&mut object, act.namespace);
    }
    let faults = validate::request(gvk, &object);
    if faults.is_empty() { Ok(object) } else { Err(Status::invalid(&gvk.group, &gvk.kind, act.name, &faults)) }
}

/// The whole body, within its limits of size and time.
pub(crate) async fn body(call: &mut Call) -> Result<Bytes, Status> {
    let limits = &call.core.config.limits;
    let limit = limits.body;
    let declared =
        call.head.headers.get(http::header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let mut body = std::mem::take(call.body.get_mut().unwrap_or_else(PoisonError::into_inner));
    if declared.is_some_and(|length| length > limit) {
        drain(&mut body).await;
        return Err(Status::too_large(limit));
    }
    let collected = tokio::time::timeout(limits.body_time, Limited::new(&mut body, limit).collect()).await;
    match collected {
        Err(_) => Err(Status::timeout("the body did not arrive in time", 0)),
        Ok(Ok(collected)) => {
            let bytes = collected.to_bytes();
            call.audit.request_body(&bytes);
            Ok(bytes)
        }
        Ok(Err(fault)) if fault.downcast_ref::<LengthLimitError>().is_some() => {
            drain(&mut body).await;
            Err(Status::too_large(limit))
        }
        Ok(Err(fault)) => Err(Status::bad_request(format!("the body could not be read: {fault}"))),
    }
}

/// Reads on, for a while, what will not be taken: many clients write a body whole before they read an answer, and would
/// never hear why it was refused.
async fn drain(body: &mut Body) {
    let read = async {
        let mut length = 0;
        while let Some(Ok(frame)) = body.frame().await
            && length < DRAINED
        {
            length += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, read).await;
}

/// An object that is made for this answer only.
fn made(call: &Call, code: StatusCode, object: &Object) -> Result<Answer, Status> {
    let accepted: Accepted = media::negotiate(&call.head.headers, media::Offer::ITSELF)?;
    Ok(respond::object(code, object, accepted))
}

#[cfg(test)]
mod tests {
    use super::program_of;

    #[test]
    fn who_says_no_name_is_known_by_whom_it_acts_as() {
        for (who, program) in [
            ("system:kube-scheduler", "kube-scheduler"),
            ("system:node:gateway", "kubelet"),
            ("system:serviceaccount:kube-system:deployment-controller", "kube-controller-manager"),
            ("system:serviceaccount:kitchen:brewer", "brewer"),
            ("jane", "unknown"),
        ] {
            assert_eq!(program_of(who), program, "{who}");
        }
    }
}
