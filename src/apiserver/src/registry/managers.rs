//! Who manages which field of an object, and server-side apply.
//!
//! In: an act, the object as it was and as it shall be, or a configuration to apply. Out: the
//! object with its `managedFields`, or who is in the way. The rules are `kedge_api::apply`'s.

use kedge_api::apply::{self, ApplyError, Reset, Writer};
use kedge_api::kinds::{Kind, Sub, Tier};
use kedge_api::status::{Reason, Status};
use kedge_api::{Object, meta};
use serde_json::Value;

use super::{Act, rules};

/// Accounts for a create, replace or patch. Objects that live in memory only are rewritten every
/// few seconds by one writer each: nobody keeps account of them.
pub fn note(act: &Act<'_>, old: Option<&Object>, new: &mut Object) {
    if act.kind.tier == Tier::Volatile {
        return;
    }
    let (stored, served) = (act.kind.stored_gvk(), act.kind.gvk());
    let of = if act.kind.custom { act.kind.schema() } else { kedge_api::schema::of(&stored) };
    let Some(schema) = of else { return };
    let now = act.core.timestamp();
    let writer = Writer {
        manager: act.manager,
        gvk: &served,
        subresource: act.sub.map_or("", Sub::name),
        now: &now,
        reset: reset(act.kind, act.sub),
    };
    apply::update(schema, &writer, old, new);
}

/// Applies a configuration, in the served version; out: the object in the storage version, with defaults.
pub fn applied(act: &Act<'_>, live: Option<&Object>, config: &Value, force: bool) -> Result<Object, Status> {
    let gvk = act.kind.gvk();
    let Some(schema) = act.kind.schema() else {
        return Err(Status::unsupported_media_type(&["application/json-patch+json", "application/merge-patch+json"]));
    };
    let spoken = act.spoken.gvk();
    for (field, wanted) in [("apiVersion", spoken.api_version()), ("kind", spoken.kind.to_string())] {
        let said = meta::text(config, field);
        if said != wanted {
            return Err(Status::bad_request(format!(
                "the {field} of the applied configuration ({said}) does not match that of the request ({wanted})"
            )));
        }
    }
    let mut config = config.clone();
    // What an old version says is owned as what it means today.
    if spoken != gvk
        && let Some(old) = kedge_api::schema::of(&spoken)
    {
        let unknown =
            kedge_api::check::fit(old, &mut config).map_err(|fault| Status::bad_request(fault.to_string()))?;
        act.warn(unknown.into_iter().map(|path| format!("unknown field {path:?}")));
        rules::renew(act.spoken, act.kind, &mut config);
    }
    let served = live.map(|object| {
        let mut served = object.clone();
        rules::to_served(act.kind, &mut served);
        served
    });
    let now = act.core.timestamp();
    let writer = Writer {
        manager: act.manager,
        gvk: &gvk,
        subresource: act.sub.map_or("", Sub::name),
        now: &now,
        reset: reset(act.kind, act.sub),
    };
    let applied = apply::apply(schema, &writer, served.as_ref(), config, force).map_err(refused)?;
    let mut object = applied.object;
    rules::default(act.kind, &mut object);
    rules::to_kept(act.kind, &mut object);
    Ok(object)
}

fn reset(kind: &Kind, sub: Option<Sub>) -> Reset {
    match sub {
        None if kind.has_sub(Sub::Status) => Reset::Status,
        Some(Sub::Status) => Reset::AllButStatus,
        _ => Reset::Nothing,
    }
}

fn refused(error: ApplyError) -> Status {
    match error {
        ApplyError::Conflicts(conflicts) => {
            let causes: Vec<(String, String)> = conflicts.into_iter().map(|c| (c.message(), c.path)).collect();
            Status::apply_conflict(&causes)
        }
        ApplyError::Untyped(why) => Status::new(500, Reason::Unknown, why),
        ApplyError::Bad(why) => Status::bad_request(why),
    }
}
