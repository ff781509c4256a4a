//! The garbage collector: what is owned goes when its owners are gone.
//!
//! In: every object's UID, owners, finalizers and deletion. Out: deletions, orphans' references taken away, and the
//! finalizers of foreground and orphan deletion. Keys are UIDs. Level-triggered: an object is judged by what is there.

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers as wire;
use kedge_plugin_sdk::controller::kedge::plugin::cluster;
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind, Query};
use kedge_plugin_sdk::table::{Row, Rows};
use serde_json::{Value, json};

use crate::world::{self, Outcome, Propagation};

/// Waits for the dependents that block.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Waits until dependents have lost their reference.
pub const ORPHAN: &str = "orphan";

/// What it watches: everything.
pub fn declare() -> wire::Controller {
    let fields = [
        ("metadata.ownerReferences", FieldType::Json),
        ("metadata.deletionTimestamp", FieldType::Time),
        ("metadata.finalizers", FieldType::Json),
    ];
    wire::Controller {
        name: "garbage-collector".into(),
        watches: vec![wire::Watch {
            target: wire::Target::Every,
            fields: world::fields(&fields),
            wakes: vec![wire::Wakes::Itself, wire::Wakes::Dependents, wire::Wakes::Owners],
        }],
        workers: 4,
    }
}

/// An owner, as seen from a dependent.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    pub uid: String,
    /// It blocks its owner's foreground deletion.
    pub blocks: bool,
    pub there: There,
}

/// Whether an owner is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    Yes,
    /// It is there and waits for its dependents to go.
    WaitsForDependents,
    No,
}

/// What to do with an object because of its owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    /// Take away the references to owners that are gone, or that go first.
    Drop(Vec<String>),
    /// Delete it; in the foreground when it has dependents that block.
    Delete(Mode),
}

/// How a dependent is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As its finalizers or its kind say.
    Background,
    Foreground,
    Orphan,
}

/// Judges an object by its owners. `finalizers` are its own; `has_dependents` whether something names it as owner.
pub fn judge(owners: &[Owner], finalizers: &[String], has_dependents: bool) -> Verdict {
    if owners.is_empty() {
        return Verdict::Keep;
    }
    let gone = |owner: &&Owner| owner.there != There::Yes;
    if owners.iter().any(|owner| owner.there == There::Yes) {
        let drop: Vec<String> = owners.iter().filter(gone).map(|owner| owner.uid.clone()).collect();
        return if drop.is_empty() { Verdict::Keep } else { Verdict::Drop(drop) };
    }
    let waited_for = owners.iter().any(|owner| owner.there == There::WaitsForDependents);
    if waited_for && has_dependents {
        return Verdict::Delete(Mode::Foreground);
    }
    let has = |finalizer: &str| finalizers.iter().any(|held| held == finalizer);
    Verdict::Delete(if has(ORPHAN) {
        Mode::Orphan
    } else if has(FOREGROUND) {
        Mode::Foreground
    } else {
        Mode::Background
    })
}

/// Judges one object.
pub fn reconcile(key: &Key) -> Outcome {
    let found = by_uid(&key.name);
    let Some(row) = found.first() else { return Ok(None) };
    let finalizers = list_of_texts(row.text(2));
    if row.has(1) {
        if finalizers.iter().any(|f| f == ORPHAN) {
            return orphan(&key.name, row);
        }
        if finalizers.iter().any(|f| f == FOREGROUND) {
            return foreground(&key.name, row);
        }
        return Ok(None);
    }
    let references = world::json(row.text(0));
    let references = references.as_array().cloned().unwrap_or_default();
    if references.is_empty() {
        return Ok(None);
    }
    let owners = references.iter().map(|r| look_up(r, row.namespace())).collect::<Result<Vec<_>, _>>()?;
    let dependents = world::rows(0, Query::OwnedBy(key.name.clone()));
    let Some((kind, _)) = kind_of(row) else { return Ok(None) };
    match judge(&owners, &finalizers, dependents.count() > 0) {
        Verdict::Keep => Ok(None),
        Verdict::Drop(gone) => drop_references(&kind, row, &references, &gone),
        Verdict::Delete(mode) => {
            if closes_circle(&owners, dependents.iter().map(waits_for_dependents)) {
                unblock(&kind, row, &references)?;
            }
            let propagation = match mode {
                Mode::Background => Propagation::Background,
                Mode::Foreground => Propagation::Foreground,
                Mode::Orphan => Propagation::Orphan,
            };
            ignore_gone(
                world::one(world::delete(&kind, row.namespace(), row.name(), &key.name, Some(propagation))),
                "delete",
                &kind,
                row.name(),
            )
        }
    }
}

/// Whether an object waits for its dependents to go.
fn waits_for_dependents(row: Row<'_>) -> bool {
    row.has(1) && list_of_texts(row.text(2)).iter().any(|finalizer| finalizer == FOREGROUND)
}

/// Whether an object that goes with its waiting owner would itself wait for one that waits already: owners may form a
/// circle, and then somebody must not block. Kubernetes' rule; it also finds objects that are in no circle, which do
/// no harm by not blocking.
pub fn closes_circle(owners: &[Owner], dependents_wait: impl IntoIterator<Item = bool>) -> bool {
    owners.iter().any(|owner| owner.there == There::WaitsForDependents)
        && dependents_wait.into_iter().any(|waits| waits)
}

/// The object no longer blocks the deletion of its owners.
fn unblock(kind: &Kind, row: Row<'_>, references: &[Value]) -> Outcome {
    if references.iter().all(|reference| reference["blockOwnerDeletion"] != true) {
        return Ok(None);
    }
    let mut free = references.to_vec();
    free.iter_mut().filter(|r| r["blockOwnerDeletion"] == true).for_each(|r| r["blockOwnerDeletion"] = json!(false));
    let patch = json!({"metadata": {"ownerReferences": free}});
    ignore_gone(world::one(world::merge(kind, row.namespace(), row.name(), "", &patch)), "update", kind, row.name())
}

fn by_uid(uid: &str) -> Rows {
    world::rows(0, Query::Uid(uid.into()))
}

/// An owner that the rows do not know is asked for at the API: rows may be late, and a wrong guess deletes.
fn look_up(reference: &Value, namespace: &str) -> Result<Owner, String> {
    let text = |field: &str| reference[field].as_str().unwrap_or_default().to_string();
    let (uid, blocks) = (text("uid"), reference["blockOwnerDeletion"] == true);
    let found = by_uid(&uid);
    if let Some(row) = found.first() {
        let same_namespace = row.namespace().is_empty() || row.namespace() == namespace;
        let there = match (same_namespace, waits_for_dependents(row)) {
            (false, _) => There::No,
            (true, true) => There::WaitsForDependents,
            (true, false) => There::Yes,
        };
        return Ok(Owner { uid, blocks, there });
    }
    let api_version = text("apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let kind = world::kind(group, version, &text("kind"));
    let served = cluster::kinds().into_iter().find(|k| k.kind.group == kind.group && k.kind.kind == kind.kind);
    // A kind that is not served any more says nothing about its objects.
    let Some(served) = served else { return Ok(Owner { uid, blocks, there: There::Yes }) };
    let namespace = if served.namespaced { namespace } else { "" };
    let whole = world::get(&served.kind, namespace, &text("name"))?;
    let there = whole.is_some_and(|object| object["metadata"]["uid"] == json!(uid));
    Ok(Owner { uid, blocks, there: if there { There::Yes } else { There::No } })
}

fn drop_references(kind: &Kind, row: Row<'_>, references: &[Value], gone: &[String]) -> Outcome {
    let kept: Vec<&Value> =
        references.iter().filter(|r| !gone.iter().any(|uid| r["uid"].as_str() == Some(uid))).collect();
    let patch = json!({"metadata": {"ownerReferences": kept}});
    ignore_gone(world::one(world::merge(kind, row.namespace(), row.name(), "", &patch)), "update", kind, row.name())
}

/// Every dependent loses its reference, then the owner may go.
fn orphan(uid: &str, row: Row<'_>) -> Outcome {
    for dependent in world::rows(0, Query::OwnedBy(uid.into())).iter() {
        let Some((kind, _)) = kind_of(dependent) else { continue };
        let references = world::json(dependent.text(0));
        let references = references.as_array().cloned().unwrap_or_default();
        drop_references(&kind, dependent, &references, &[uid.to_string()])?;
    }
    remove_finalizer(row, uid, ORPHAN)
}

/// Dependents that block go first; when none is left the owner may go. Dependents are judged by their own keys.
fn foreground(uid: &str, row: Row<'_>) -> Outcome {
    let dependents = world::rows(0, Query::OwnedBy(uid.into()));
    let blocked = dependents.iter().any(|dependent| {
        let references = world::json(dependent.text(0));
        references.as_array().into_iter().flatten().any(|r| r["uid"] == json!(uid) && r["blockOwnerDeletion"] == true)
    });
    if blocked { Ok(None) } else { remove_finalizer(row, uid, FOREGROUND) }
}

fn remove_finalizer(row: Row<'_>, uid: &str, finalizer: &str) -> Outcome {
    let Some((kind, _)) = kind_of(row) else { return Ok(None) };
    let Some(whole) = world::get(&kind, row.namespace(), row.name())? else { return Ok(None) };
    if whole["metadata"]["uid"] != json!(uid) {
        return Ok(None);
    }
    let held = whole["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let kept: Vec<&Value> = held.iter().filter(|f| f.as_str() != Some(finalizer)).collect();
    if kept.len() == held.len() {
        return Ok(None);
    }
    // The version makes sure that no finalizer added meanwhile is lost.
    let patch = json!({"metadata": {"resourceVersion": whole["metadata"]["resourceVersion"], "finalizers": kept}});
    ignore_gone(world::one(world::merge(&kind, row.namespace(), row.name(), "", &patch)), "update", &kind, row.name())
}

fn kind_of(row: Row<'_>) -> Option<(Kind, bool)> {
    let served = cluster::kinds().into_iter().nth(row.kind()?)?;
    Some((served.kind, served.namespaced))
}

fn ignore_gone(
    answer: Result<String, kedge_plugin_sdk::controller::kedge::plugin::objects::Failure>,
    act: &str,
    kind: &Kind,
    name: &str,
) -> Outcome {
    match answer {
        Ok(_) => Ok(None),
        Err(e) if e.code == 404 => Ok(None),
        Err(e) => Err(world::said(act, &kind.kind, name, &e)),
    }
}

fn list_of_texts(text: Option<&str>) -> Vec<String> {
    let list = world::json(text);
    list.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_string)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(owners: &[There], finalizers: &[&str], dependents: bool, expected: Verdict) {
        let owners: Vec<Owner> = owners
            .iter()
            .enumerate()
            .map(|(i, there)| Owner { uid: i.to_string(), blocks: true, there: *there })
            .collect();
        let finalizers: Vec<String> = finalizers.iter().map(|f| (*f).to_string()).collect();
        assert_eq!(judge(&owners, &finalizers, dependents), expected);
    }

    #[test]
    fn an_object_stays_as_long_as_one_owner_does() {
        use There::{No, WaitsForDependents, Yes};
        check(&[], &[], false, Verdict::Keep);
        check(&[Yes], &[], false, Verdict::Keep);
        check(&[Yes, No], &[], false, Verdict::Drop(vec!["1".into()]));
        check(&[WaitsForDependents, Yes], &[], true, Verdict::Drop(vec!["0".into()]));
        check(&[No], &[], false, Verdict::Delete(Mode::Background));
        check(&[No, No], &[], true, Verdict::Delete(Mode::Background));
    }

    #[test]
    fn whoever_closes_a_circle_does_not_block() {
        let owner = |there| [Owner { uid: "o".into(), blocks: true, there }];
        assert!(closes_circle(&owner(There::WaitsForDependents), [false, true]));
        assert!(!closes_circle(&owner(There::WaitsForDependents), [false]));
        assert!(!closes_circle(&owner(There::No), [true]));
    }

    #[test]
    fn foreground_goes_down_the_tree() {
        check(&[There::WaitsForDependents], &[], true, Verdict::Delete(Mode::Foreground));
        check(&[There::WaitsForDependents], &[], false, Verdict::Delete(Mode::Background));
        check(&[There::No], &[FOREGROUND], false, Verdict::Delete(Mode::Foreground));
        check(&[There::No], &[ORPHAN], false, Verdict::Delete(Mode::Orphan));
    }
}
