//! Who manages which field of an object, and server-side apply.
//!
//! In: an act, the object as it was and as it shall be, or a configuration to apply. Out: the
//! object with its `managedFields`, or who is in the way. The rules are `kedge_api::apply`'s.

use std::borrow::Cow;

use kedge_api::apply::{self, ApplyError, Reset, Writer};
use kedge_api::kinds::{Gvk, Kind, Sub};
use kedge_api::status::{Reason, Status};
use kedge_api::{Object, meta};
use serde_json::Value;

use super::{Act, rules};

/// Where the account stands in an object's metadata.
const MANAGED: &str = "managedFields";

/// Accounts for a create, replace or patch, by the paths of the served version.
pub fn note(act: &Act<'_>, old: Option<&Object>, new: &mut Object) {
    let served = act.kind.gvk();
    let Some(schema) = act.kind.schema() else { return };
    let now = act.core.timestamp();
    let writer = Writer {
        manager: act.manager,
        gvk: &served,
        subresource: act.sub.map_or("", Sub::name),
        now: &now,
        reset: reset(act.kind, act.sub),
    };
    if act.kind.custom || rules::served_as_kept(act.kind) {
        return apply::update(schema, &writer, old, new);
    }
    let old = old.map(|old| rules::served(act.kind, old));
    if &*act.kind.kind == "Event" {
        // Nothing but names differ, so it goes there and back as it is; Events are written often.
        rules::to_served(act.kind, new);
        apply::update(schema, &writer, old.as_deref(), new);
        rules::to_kept(act.kind, new);
        return;
    }
    let mut seen = rules::served(act.kind, new).into_owned();
    apply::update(schema, &writer, old.as_deref(), &mut seen);
    let metadata = meta::metadata_mut(new);
    match meta::metadata_mut(&mut seen).remove(MANAGED) {
        Some(fields) => metadata.insert(MANAGED.to_owned(), fields),
        None => metadata.remove(MANAGED),
    };
}

/// Applies a configuration, in the served version; out: the object in the storage version, with defaults.
pub fn applied(act: &Act<'_>, live: Option<&Object>, config: &Value, force: bool) -> Result<Object, Status> {
    let gvk = act.kind.gvk();
    let Some(schema) = act.kind.schema() else {
        return Err(Status::unsupported_media_type(&["application/json-patch+json", "application/merge-patch+json"]));
    };
    let spoken = act.spoken.gvk();
    is_of(config, &spoken)?;
    let mut config = Cow::Borrowed(config);
    let mut old_form = None;
    // What an old version says is owned as what it means today.
    if spoken != gvk
        && let Some(old) = kedge_api::schema::of(&spoken)
    {
        let unknown =
            kedge_api::check::fit(old, config.to_mut()).map_err(|fault| Status::bad_request(fault.to_string()))?;
        act.warn(unknown.into_iter().map(|path| format!("unknown field {path:?}")));
        let mut whole = config.clone().into_owned();
        rules::fill_in(act.spoken, act.kind, &mut whole);
        rules::renew(act.spoken, act.kind, config.to_mut());
        old_form = Some(whole);
    }
    let served = live.map(|object| rules::served(act.kind, object));
    let now = act.core.timestamp();
    let writer = Writer {
        manager: act.manager,
        gvk: &gvk,
        subresource: act.sub.map_or("", Sub::name),
        now: &now,
        reset: reset(act.kind, act.sub),
    };
    let applied = apply::apply(schema, &writer, served.as_deref(), &config, force).map_err(refused)?;
    let mut object = applied.object;
    if let Some(whole) = &old_form {
        fill(&mut object, &config, whole);
    }
    rules::default(act.kind, &mut object);
    rules::to_kept(act.kind, &mut object);
    Ok(object)
}

/// Refuses a configuration that says that it is of another kind than the request.
pub fn is_of(config: &Value, wanted: &Gvk) -> Result<(), Status> {
    for (field, wanted) in [("apiVersion", wanted.api_version()), ("kind", wanted.kind.to_string())] {
        let said = meta::text(config, field);
        if said != wanted {
            return Err(Status::bad_request(format!(
                "the {field} of the applied configuration ({said}) does not match that of the request ({wanted})"
            )));
        }
    }
    Ok(())
}

/// Fills in, where a configuration was applied, what the version that it was written in fills in and today's does not.
/// `said` is the configuration, `whole` the same with those defaults. What is there stays.
fn fill(object: &mut Value, said: &Value, whole: &Value) {
    match (object, whole) {
        (Value::Object(map), Value::Object(whole)) => {
            for (key, value) in whole {
                match map.get_mut(key) {
                    Some(there) => fill(there, &said[key.as_str()], value),
                    None => drop(map.insert(key.clone(), value.clone())),
                }
            }
        }
        (Value::Array(list), Value::Array(whole)) => {
            let said = said.as_array().map_or(&[][..], Vec::as_slice);
            for (said, whole) in said.iter().zip(whole) {
                if let Some(item) = list.iter_mut().find(|item| holds(item, said)) {
                    fill(item, said, whole);
                }
            }
        }
        _ => {}
    }
}

/// Whether everything that was said is there.
fn holds(there: &Value, said: &Value) -> bool {
    match (there, said) {
        (Value::Object(map), Value::Object(said)) => {
            said.iter().all(|(key, value)| map.get(key).is_some_and(|there| holds(there, value)))
        }
        (Value::Array(list), Value::Array(said)) => {
            list.len() == said.len() && list.iter().zip(said).all(|(there, said)| holds(there, said))
        }
        _ => there == said,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(object: Value, said: Value, whole: Value, expected: Value) {
        let mut object = object;
        fill(&mut object, &said, &whole);
        assert_eq!(object, expected);
    }

    #[test]
    fn what_an_old_version_fills_in_is_filled_in() {
        check(json!({"a": 1}), json!({"a": 1}), json!({"a": 1, "b": 2}), json!({"a": 1, "b": 2}));
        check(json!({"a": 1, "b": 3}), json!({"a": 1}), json!({"a": 1, "b": 2}), json!({"a": 1, "b": 3}));
        let (said, whole) = (json!([{"n": "x"}, {"n": "y"}]), json!([{"n": "x", "d": 1}, {"n": "y", "d": 2}]));
        check(
            json!([{"n": "other"}, {"n": "y", "more": true}, {"n": "x"}]),
            said.clone(),
            whole.clone(),
            json!([{"n": "other"}, {"n": "y", "more": true, "d": 2}, {"n": "x", "d": 1}]),
        );
        check(json!("text"), said, whole, json!("text"));
    }
}
