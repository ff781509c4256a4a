//! Server-side apply: who manages which field, and what an applied configuration makes of an object.
//!
//! In: the object as it is, what somebody wants of it, and who that is. Out: the object with `managedFields`, or the
//! conflicts. Never reads a clock, never fills in defaults, never validates.
//!
//! Paths are those of the request's version; entries of other versions of a kind are taken to have the same paths.

mod faults;
mod managers;
mod path;
mod set;
mod typed;

pub use faults::type_of as go_type;

use crate::check;
use crate::kinds::Gvk;
use crate::schema::Struct;
use managers::{Managers, Who};
use serde_json::{Map, Value};
use set::Set;
use std::collections::BTreeMap;

/// Who writes, through which door and when.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// The field manager's name.
    pub manager: &'a str,
    /// The kind as it was written.
    pub gvk: &'a Gvk,
    /// The subresource; empty for the object itself.
    pub subresource: &'a str,
    /// The time as RFC 3339.
    pub now: &'a str,
    /// What writing through this door cannot change.
    pub reset: Reset,
}

/// Fields that a door does not let through, and that its writers therefore do not come to own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reset {
    /// Everything is let through.
    #[default]
    Nothing,
    /// The object itself, of a kind that has a status of its own.
    Status,
    /// The status.
    AllButStatus,
}

/// Why a configuration was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Others manage fields that would change; 409, reason `Conflict`.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
    /// It does not fit the schema; Kubernetes answers 500 without a reason.
    #[error("{0}")]
    Untyped(String),
    /// It says what it must not say; 400.
    #[error("{0}")]
    Bad(String),
}

/// One field that another manager holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The manager, as messages name it: `"kubectl" using apps/v1 at 2026-01-01T00:00:00Z`.
    pub manager: String,
    /// The field: `.spec.replicas`.
    pub path: String,
}

impl Conflict {
    /// The text of its cause; the cause's reason is `FieldManagerConflict`.
    pub fn message(&self) -> String {
        format!("conflict with {}", self.manager)
    }
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [conflict] = conflicts {
        return format!("Apply failed with 1 conflict: {}: {}", conflict.message(), conflict.path);
    }
    let mut by_manager: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for conflict in conflicts {
        by_manager.entry(&conflict.manager).or_default().push(&conflict.path);
    }
    let mut lines = Vec::new();
    for (manager, paths) in by_manager {
        lines.push(format!("conflicts with {manager}:"));
        lines.extend(paths.into_iter().map(|path| format!("- {path}")));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

/// What applying made of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The object, `managedFields` included.
    pub object: Value,
    /// Whether anything but `managedFields` differs from what was there.
    pub is_changed: bool,
}

/// Applies a configuration to what is there (`None`: nothing is).
///
/// `force` takes fields over from others. The configuration's unknown fields are faults, its nulls say nothing.
pub fn apply(
    schema: Struct<'_>,
    writer: &Writer<'_>,
    live: Option<&Value>,
    config: &Value,
    force: bool,
) -> Result<Applied, ApplyError> {
    if config.pointer("/metadata/managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(ApplyError::Bad("metadata.managedFields must be nil".to_owned()));
    }
    let untyped = |why: String| {
        let described = describe(writer.gvk, config);
        ApplyError::Untyped(format!("failed to create typed patch object ({described}): {why}"))
    };
    // All that is wrong is looked for only where something is.
    let unfit = |first: String| {
        let all = schema.node().custom().is_none().then(|| faults::text(schema, config)).flatten();
        untyped(all.unwrap_or(first))
    };
    let mut own = config.clone();
    let unknown = check::fit(schema, &mut own).map_err(|fault| unfit(fault.to_string()))?;
    if let Some(path) = unknown.first() {
        return Err(unfit(format!(".{path}: field not declared in schema")));
    }
    let mut config = own;
    if let Some(map) = config.as_object_mut() {
        map.retain(|field, _| !writer.reset.keeps_out(field));
    }

    let api_version = writer.gvk.api_version();
    let nothing = Value::Object(Map::new());
    let old = live.unwrap_or(&nothing);
    let mut managers = Managers::decode(live);
    if managers.is_empty() && live.is_some() {
        // Whoever made it before anybody applied is remembered under one name.
        let (everything, _) = typed::compare(schema, None, old, |_| false).split();
        let before = Who::update("before-first-apply", &api_version, "");
        managers.put(before, strip(everything), writer.now.into());
    }
    let mine = Who::apply(writer.manager, &api_version, writer.subresource);
    let wanted = strip(typed::field_set(schema, &config).map_err(untyped)?);
    let before = managers.take(&mine);
    let mut result = without_managed_fields(old);
    typed::merge(schema, &mut result, &config);
    if let Some(before) = &before {
        let mut owned = managers.all();
        owned.union(wanted.clone());
        typed::prune(schema, &mut result, &before.fields, &owned);
    }

    let (changed, removed) = typed::compare(schema, Some(old), &result, |_| false).split();
    let changed = strip(changed);
    if !force {
        let conflicts = managers.conflicts(&changed);
        if !conflicts.is_empty() {
            return Err(ApplyError::Conflicts(conflicts));
        }
    }
    managers.lose(&changed);
    managers.lose(&removed);
    // What Go leaves out is owned, yet not there.
    check::prune(schema, &mut result).map_err(|fault| untyped(fault.to_string()))?;
    let is_changed = live.is_none() || !is_same(&result, old);
    let same = before.filter(|before| !is_changed && before.fields == wanted);
    managers.put(mine, wanted, same.map_or(writer.now.into(), |before| before.time));
    managers::write(managers.into_json(), &mut result);
    Ok(Applied { object: result, is_changed })
}

/// Merges a configuration into an object as applying does, without keeping account of who manages what.
///
/// What an applied configuration replaces as a whole, such as an atomic list, may not be in it.
pub fn merge(schema: Struct<'_>, live: &Value, mut config: Value) -> Result<Value, String> {
    let untyped = |why: String| format!("failed to convert patch object to typed object: {why}");
    let unknown = check::fit(schema, &mut config).map_err(|fault| untyped(fault.to_string()))?;
    if let Some(path) = unknown.first() {
        return Err(untyped(format!(".{path}: field not declared in schema")));
    }
    typed::field_set(schema, &config).map_err(untyped)?;
    let atomics = typed::atomics(schema, &config);
    if !atomics.is_empty() {
        let atomics = atomics.join(", ");
        return Err(format!("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {atomics}"));
    }
    let mut merged = live.clone();
    typed::merge(schema, &mut merged, &config);
    Ok(merged)
}

/// Notes who changed what by creating, replacing or patching an object. `old` is `None` on creation.
///
/// An object of which nobody has kept account since its creation stays without account, as in Kubernetes.
pub fn update(schema: Struct<'_>, writer: &Writer<'_>, old: Option<&Value>, new: &mut Value) {
    let asked = new.as_object_mut().and_then(|map| map.get_mut("metadata")?.as_object_mut()?.remove("managedFields"));
    let mut managers = match &asked {
        // An empty list, or a list of one empty entry, is how people ask to start anew.
        Some(Value::Array(list)) if list.is_empty() || matches!(&list[..], [Value::Object(one)] if one.is_empty()) => {
            return;
        }
        Some(Value::Array(list)) if writer.subresource.is_empty() => {
            let own = Managers::of(list);
            if own.is_empty() { Managers::decode(old) } else { own }
        }
        _ => Managers::decode(old),
    };
    if managers.is_empty() && old.is_some() {
        return;
    }
    let api_version = writer.gvk.api_version();
    // The account itself differs too, which `strip` passes over and nobody holds.
    let (changed, removed) = typed::compare(schema, old, new, |field| writer.reset.keeps_out(field)).split();
    let changed = strip(changed);
    managers.lose(&changed);
    managers.lose(&removed);
    if !changed.is_empty() {
        let mine = Who::update(writer.manager, &api_version, writer.subresource);
        let mut fields = managers.take(&mine).map(|entry| entry.fields).unwrap_or_default();
        fields.union(changed);
        managers.put(mine, fields, writer.now.into());
        managers.cap();
    }
    managers::write(managers.into_json(), new);
}

/// Field managers are named at most this long.
pub const LONGEST_MANAGER: usize = 128;

/// The manager of a request that names none: the start of its user agent.
pub fn manager_of_user_agent(agent: &str) -> &str {
    let name = agent.split('/').next().unwrap_or_default();
    let end = name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= LONGEST_MANAGER).last();
    &name[..end.unwrap_or_default()]
}

fn describe(gvk: &Gvk, object: &Value) -> String {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    format!("{}/{}; {gvk}", text("/metadata/namespace"), text("/metadata/name"))
}

/// A copy without the account.
fn without_managed_fields(object: &Value) -> Value {
    let bare = |(name, value): (&String, &Value)| match value {
        Value::Object(metadata) if name == "metadata" => {
            let kept = bare_metadata(metadata).map(|(name, value)| (name.clone(), value.clone()));
            (name.clone(), Value::Object(kept.collect()))
        }
        value => (name.clone(), value.clone()),
    };
    Value::Object(object.as_object().into_iter().flatten().map(bare).collect())
}

/// Whether two objects are the same but for the account.
fn is_same(a: &Value, b: &Value) -> bool {
    let fields = |object| Value::as_object(object).into_iter().flatten();
    fields(a).map(|(name, _)| name).eq(fields(b).map(|(name, _)| name))
        && fields(a).zip(fields(b)).all(|((name, a), (_, b))| match (a, b) {
            (Value::Object(a), Value::Object(b)) if name == "metadata" => bare_metadata(a).eq(bare_metadata(b)),
            (a, b) => a == b,
        })
}

fn bare_metadata(metadata: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    metadata.iter().filter(|(name, _)| *name != "managedFields")
}

impl Reset {
    /// Whether a door does not let that field of the object through.
    fn keeps_out(self, field: &str) -> bool {
        match self {
            Reset::Nothing => false,
            Reset::Status => field == "status",
            Reset::AllButStatus => !matches!(field, "apiVersion" | "kind" | "metadata" | "status"),
        }
    }
}

/// Nobody owns what the server itself keeps.
fn strip(mut set: Set<'_>) -> Set<'_> {
    set.drop_fields(&["apiVersion", "kind", "metadata"]);
    const KEPT_BY_SERVER: [&str; 9] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    set.drop_fields_of("metadata", &KEPT_BY_SERVER);
    set
}

#[cfg(test)]
mod tests;
