//! Creating objects.
//!
//! In: an object in the storage version, with defaults. Out: what is kept, or why nothing is.
//! Names, uids and times are given here; a refused object leaves nothing behind.

use bytes::Bytes;
use kedge_api::status::{Reason, Status};
use kedge_api::{Object, meta, warn};

use super::{Act, Outcome, body, convert, hooks, keys, managers, rules};
use crate::admission::{self, Attributes, Operation};
use crate::error::{self, About};

/// A generated name is tried this often: with 14 million suffixes even a million objects of one
/// prefix make all eight fail less than once in 10^9.
const NAME_TRIES: usize = 8;

/// Creates an object.
pub async fn create(act: &Act<'_>, object: Object) -> Result<Outcome, Status> {
    make(act, object, false).await
}

/// Creates an object; if it was `applied` its managers are noted already.
pub(super) async fn make(act: &Act<'_>, mut object: Object, applied: bool) -> Result<Outcome, Status> {
    place(act, &mut object)?;
    // A generated name is not there yet for whoever may change the object.
    let given = meta::name(&object).to_owned();
    let named = act.on(&given);
    let called = if given.is_empty() { meta::generate_name(&object).to_owned() } else { given.clone() };
    let attributes = Attributes { called: &called, ..named.attributes(Operation::Create) };
    admission::mutate(&act.core.admission, &attributes, &mut object, None, act.core.reader()).await?;

    act.warn(warn::object(act.kind, &object));
    let generated = meta::name(&object).is_empty() && !meta::generate_name(&object).is_empty();
    if !generated {
        return attempt(act, object, applied).await;
    }
    let base = meta::generate_name(&object).to_owned();
    let mut last = String::new();
    for _ in 0..NAME_TRIES {
        last = act.core.random.name(&base);
        let mut object = object.clone();
        meta::set_name(&mut object, &last);
        match attempt(act, object, applied).await {
            Err(status) if status.reason == Reason::AlreadyExists => {}
            outcome => return outcome,
        }
    }
    Err(Status::generate_name_conflict(&act.kind.group, &act.kind.plural, &last))
}

/// Checks that the object belongs where it was sent.
fn place(act: &Act<'_>, object: &mut Object) -> Result<(), Status> {
    let said = meta::namespace(object).to_owned();
    let namespace = if act.kind.namespaced { act.namespace } else { "" };
    if !said.is_empty() && !namespace.is_empty() && said != namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if said != namespace {
        meta::set_namespace(object, namespace);
    }
    if !act.name.is_empty() && meta::name(object) != act.name {
        return Err(names_differ(meta::name(object), act.name));
    }
    if !matches!(meta::resource_version(object), "" | "0") {
        return Err(Status::new(500, Reason::Unknown, "resourceVersion should not be set on objects to be created"));
    }
    Ok(())
}

/// 400: the body names another object than the path.
pub fn names_differ(body: &str, path: &str) -> Status {
    Status::bad_request(format!("the name of the object ({body}) does not match the name on the URL ({path})"))
}

async fn attempt(act: &Act<'_>, mut object: Object, applied: bool) -> Result<Outcome, Status> {
    let core = act.core;
    meta::set_uid(&mut object, &core.random.uid());
    meta::set_creation_timestamp(&mut object, &core.timestamp());
    rules::prepare_create(act.spoken, act.kind, &mut object);
    hooks::sign(act, &mut object);
    hooks::begin(act, &mut object);
    let name = meta::name(&object).to_owned();
    let named = act.on(&name);
    let about = About::new(act.kind, &name);

    hooks::may_create(act, &object).await?;
    let claim = hooks::claim(&named, &mut object, None).await?;
    let mut faults = rules::validate_create(act.spoken, act.kind, &object);
    faults.extend(hooks::faults(&named, &object, None));
    if !faults.is_empty() {
        return Err(about.invalid(&faults));
    }
    if !applied {
        managers::note(&named, None, &mut object);
    }
    let attributes = named.attributes(Operation::Create);
    admission::validate(&core.admission, &attributes, Some(&object), None, core.reader()).await?;

    let key = keys::object(act.kind, named.namespace, &name);
    if act.dry_run {
        return match core.store.get(&key).await {
            Ok(None) => Ok(Outcome::Made(object)),
            Ok(Some(_)) => Err(about.exists()),
            Err(fault) => Err(error::read(fault, about)),
        };
    }
    let kept = convert::to_kept(core, act.kind, object).await?;
    let index = Bytes::from(rules::index(act.kind, &kept));
    let entry = core
        .store
        .create(rules::tier(act.kind), &key, body::encode(&kept), index)
        .await
        .map_err(|fault| error::write(fault, about))?;
    claim.keep();
    hooks::made(act);
    hooks::settle(act, entry.revision).await;
    Ok(Outcome::Kept(entry))
}
