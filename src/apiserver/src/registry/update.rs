//! Replacing and patching objects and their subresources.
//!
//! In: a whole object or a patch. Out: what is kept, or why it is not. Each try starts from what
//! is kept at that moment; a write that lost a race is tried again unless the client named the
//! version it is based on.

use std::sync::Arc;

use bytes::Bytes;
use kedge_api::check::FieldValidation;
use kedge_api::decode::Decoded;
use kedge_api::field::{FieldError, Path};
use kedge_api::status::{Access, Status};
use kedge_api::{Object, meta, warn};
use kedge_store::{Entry, WriteError};
use serde_json::Value;

use super::{Act, Outcome, body, convert, create, decode_kept, hooks, managers, patching, rules};
use crate::admission::{self, Operation};
use crate::authz::{Detail, Wanted};
use crate::error;
use crate::media::PatchKind;

/// A patch that keeps losing races is given up after this many tries, as in Kubernetes.
const TRIES: usize = 5;

/// What is to become of an object.
#[derive(Debug, Clone)]
pub enum Change {
    /// It becomes this one, in the storage version, with defaults.
    Replace(Object),
    /// It is patched, in the served version.
    Patch {
        /// How to read the patch.
        kind: PatchKind,
        /// The patch, with the fields that it gives twice.
        patch: Decoded,
        /// What to do about unknown fields.
        validation: FieldValidation,
    },
    /// A configuration is applied to it, in the served version.
    Apply {
        /// The configuration.
        config: Value,
        /// Whether fields are taken over from others.
        force: bool,
    },
}

/// An updated object, and whether it was made.
#[derive(Debug)]
pub struct Updated {
    /// What is kept now.
    pub outcome: Outcome,
    /// Whether it was not there before.
    pub created: bool,
}

/// Updates an object or one of its subresources.
pub async fn update(act: &Act<'_>, change: Change) -> Result<Updated, Status> {
    let mut last = None;
    for _ in 0..TRIES {
        let entry = match act.kept().await {
            Ok(entry) => entry,
            Err(status) => return make(act, change, status).await,
        };
        match attempt(act, &entry, &change).await? {
            Tried::Done(outcome) => return Ok(Updated { outcome, created: false }),
            Tried::Lost(status) => last = Some(status),
        }
    }
    Err(last.unwrap_or_else(|| act.about().conflict()))
}

enum Tried {
    Done(Outcome),
    Lost(Status),
}

/// A PUT of something that is not there makes it, for kinds that allow that.
async fn make(act: &Act<'_>, change: Change, missing: Status) -> Result<Updated, Status> {
    match change {
        Change::Replace(mut object) if act.sub.is_none() && rules::put_creates(act.kind) && missing.code == 404 => {
            if !meta::uid(&object).is_empty() {
                return Err(act.about().conflict());
            }
            if meta::name(&object).is_empty() {
                meta::set_name(&mut object, act.name);
            }
            may_create(act).await?;
            let outcome = create::create(act, object).await?;
            Ok(Updated { outcome, created: true })
        }
        Change::Apply { config, force } if act.sub.is_none() && missing.code == 404 => {
            if !meta::uid(&config).is_empty() {
                let uid = meta::uid(&config);
                let why =
                    format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
                return Err(Status::conflict_because(&act.kind.group, &act.kind.plural, act.name, why));
            }
            let mut object = managers::applied(act, None, &config, force)?;
            if meta::name(&object).is_empty() {
                meta::set_name(&mut object, act.name);
            }
            may_create(act).await?;
            let outcome = create::make(act, object, true).await?;
            Ok(Updated { outcome, created: true })
        }
        _ => Err(missing),
    }
}

/// Whoever makes something by an update or patch must be allowed to create it, too.
async fn may_create(act: &Act<'_>) -> Result<(), Status> {
    let (group, resource, verb, subresource) = (&*act.spoken.group, &*act.spoken.plural, "create", "");
    let (namespace, name) = (act.namespace, act.name);
    let wanted = Wanted::Resource { verb, group, resource, subresource, namespace, name };
    let detail = Detail { version: &act.spoken.version, ..Detail::default() };
    let decision = act.core.decide(act.who, &wanted, detail).await;
    if decision.allowed {
        return Ok(());
    }
    let access = Access { user: &act.who.name, verb, group, resource, subresource, namespace, name };
    Err(Status::access_denied(access, &decision.reason))
}

async fn attempt(act: &Act<'_>, entry: &Arc<Entry>, change: &Change) -> Result<Tried, Status> {
    let core = act.core;
    let old = convert::working(core, act.kind, entry).await?;
    let mut new = match change {
        Change::Replace(object) => object.clone(),
        Change::Patch { kind, patch, validation } => patched(act, &old, *kind, patch, *validation)?,
        Change::Apply { config, force } => managers::applied(act, Some(&old), config, *force)?,
    };
    let replaces = matches!(change, Change::Replace(_));
    let based_on = identify(act, &mut new, &old, entry, !replaces)?;

    rules::prepare_update(act.spoken, act.kind, act.sub, &mut new, &old);
    hooks::date(act, &mut new, &old);
    let attributes = act.attributes(Operation::Update);
    admission::mutate(&core.admission, &attributes, &mut new, Some(&old), core.reader()).await?;
    if attributes.rounds.is_changed() {
        // What is not for the client to set is not for a webhook either.
        rules::prepare_update(act.spoken, act.kind, act.sub, &mut new, &old);
    }
    if act.sub.is_none() {
        act.warn(warn::object(act.kind, &new));
    }
    hooks::may_update(act, &new, &old).await?;
    let claim = hooks::claim(act, &mut new, Some(&old)).await?;
    if !matches!(change, Change::Apply { .. }) {
        managers::note(act, Some(&old), &mut new);
    }
    let mut faults = rules::validate_update(act.spoken, act.kind, act.sub, &new, &old);
    faults.extend(hooks::faults(act, &new, Some(&old)));
    if !faults.is_empty() {
        return Err(act.about().invalid(&faults));
    }
    admission::validate(&core.admission, &attributes, Some(&new), Some(&old), core.reader()).await?;

    if act.dry_run {
        return Ok(Tried::Done(Outcome::Made(new)));
    }
    let finished = super::delete::is_finished(act.kind, &new);
    let kept = convert::to_kept(core, act.kind, new).await?;
    // The last finalizer is gone: what was to be deleted is.
    if finished {
        let gone = match core.store.delete(&entry.key, entry.revision, body::encode(&kept)).await {
            Ok(gone) => gone,
            Err(WriteError::Conflict(_)) if !based_on => return Ok(Tried::Lost(act.about().conflict())),
            Err(fault) => return Err(error::write(fault, act.about())),
        };
        hooks::release(act, &old);
        hooks::settle(act, gone.revision).await;
        return Ok(Tried::Done(Outcome::Kept(gone)));
    }
    // Custom objects are compared as they are kept: writing one again moves it to the version that is kept now.
    let same = if act.kind.custom { body::same(&kept, &decode_kept(entry)?) } else { body::same(&kept, &old) };
    if same {
        return Ok(Tried::Done(Outcome::Kept(entry.clone())));
    }
    let index = Bytes::from(rules::index(act.kind, &kept));
    match core.store.update(&entry.key, entry.revision, body::encode(&kept), index).await {
        Ok(entry) => {
            claim.keep();
            hooks::settle(act, entry.revision).await;
            Ok(Tried::Done(Outcome::Kept(entry)))
        }
        Err(WriteError::Conflict(_)) if !based_on => Ok(Tried::Lost(act.about().conflict())),
        Err(WriteError::NotFound) if !based_on => Err(act.about().not_found()),
        Err(fault) => Err(error::write(fault, act.about())),
    }
}

/// Checks that the new object is the one on the path and, if it says so, of the version that is
/// kept. Out: whether it said so.
fn identify(act: &Act<'_>, new: &mut Object, old: &Object, entry: &Entry, patch: bool) -> Result<bool, Status> {
    match meta::name(new) {
        "" => meta::set_name(new, act.name),
        name if name != act.name => return Err(create::names_differ(name, act.name)),
        _ => {}
    }
    let namespace = if act.kind.namespaced { act.namespace } else { "" };
    match meta::namespace(new) {
        said if said == namespace => {}
        "" => meta::set_namespace(new, namespace),
        _ if namespace.is_empty() => meta::set_namespace(new, ""),
        _ => {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    }
    let (said, kept) = (meta::uid(new), meta::uid(old));
    if !said.is_empty() && said != kept {
        return Err(Status::uid_precondition(&act.kind.group, &act.kind.plural, act.name, said, kept));
    }
    let said = meta::resource_version(new).to_owned();
    let kept = entry.revision.to_string();
    let based_on = !matches!(said.as_str(), "" | "0");
    if based_on && said != kept {
        // An object of an older version, or a patch that says which version it is for.
        if said.parse::<u64>().is_err() {
            let metadata = Path::root("metadata");
            let fault = FieldError::invalid(&metadata.child("resourceVersion"), said, "must be a number");
            return Err(act.about().invalid(&[fault]));
        }
        return Err(act.about().conflict());
    }
    if !based_on && !patch && rules::needs_version(act.kind) {
        let metadata = Path::root("metadata");
        let fault = FieldError::invalid(&metadata.child("resourceVersion"), 0, "must be specified for an update");
        return Err(act.about().invalid(&[fault]));
    }
    meta::set_resource_version(new, &kept);
    // A patch that did not mention the version carries the kept one along.
    Ok(based_on && !patch)
}

/// The kept object with the patch applied, in the storage version.
fn patched(
    act: &Act<'_>,
    old: &Object,
    kind: PatchKind,
    patch: &Decoded,
    validation: FieldValidation,
) -> Result<Object, Status> {
    let served = rules::served(act.spoken, old);
    let sent = patching::apply(&act.spoken.gvk(), act.spoken.schema(), &served, kind, patch, validation)?;
    act.warn(sent.warnings);
    let mut object = sent.object;
    if meta::resource_version(&object).is_empty() {
        meta::set_resource_version(&mut object, meta::resource_version(&served));
    }
    rules::take_in(act.spoken, act.kind, &mut object);
    Ok(object)
}
