//! The history of templates: ControllerRevisions of StatefulSets and DaemonSets.
//!
//! In: an owner and its present template. Out: the revision that has it, found, moved to the front, or made; old ones
//! removed.

use kedge_plugin_sdk::controller::kedge::plugin::objects::Kind;
use serde_json::{Map, Value, json};

use crate::deployment::template_hash;
use crate::pods::Owner;
use crate::world;

/// Names that are taken by something else are passed over so many times.
const COLLISIONS_MOST: i64 = 10;

/// A revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Revision {
    pub name: String,
    pub uid: String,
    pub number: i64,
    pub created: String,
    /// What it holds, as a patch.
    pub data: Value,
    /// The short text by which pods of a DaemonSet name it.
    pub hash: String,
    /// Nobody controls it.
    pub orphan: bool,
    /// The UID of what controls it.
    pub owner: String,
}

/// Where an owner's hash stands in the labels of its revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashLabel(pub &'static str);

fn kind() -> Kind {
    world::kind("apps", "v1", "ControllerRevision")
}

/// The patch that brings a template back.
pub fn data(template: &Value) -> Value {
    let mut template = template.clone();
    template["$patch"] = json!("replace");
    json!({"spec": {"template": template}})
}

/// The template that a revision holds.
pub fn template(revision: &Revision) -> Value {
    let mut template = revision.data["spec"]["template"].clone();
    if let Some(template) = template.as_object_mut() {
        template.remove("$patch");
    }
    template
}

fn read(object: &Value, label: HashLabel) -> Revision {
    let meta = &object["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let owners = meta["ownerReferences"].as_array().cloned().unwrap_or_default();
    let owner = owners.iter().find(|owner| owner["controller"] == true);
    Revision {
        name: text(&meta["name"]),
        uid: text(&meta["uid"]),
        number: object["revision"].as_i64().unwrap_or(0),
        created: text(&meta["creationTimestamp"]),
        data: object["data"].clone(),
        hash: text(&meta["labels"][label.0]),
        orphan: owner.is_none(),
        owner: owner.map(|owner| text(&owner["uid"])).unwrap_or_default(),
    }
}

/// An owner's revisions, the oldest first. Those that match and that nobody controls become its own.
pub fn list(owner: &Owner, selector: &str, label: HashLabel) -> Result<Vec<Revision>, String> {
    let mut all: Vec<Revision> = Vec::new();
    for object in world::list(&kind(), &owner.namespace, selector)? {
        let revision = read(&object, label);
        if revision.orphan && object["metadata"]["deletionTimestamp"].is_null() {
            let mut owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            owners.push(owner.reference());
            let patch = json!({"metadata": {"uid": revision.uid, "ownerReferences": owners}});
            match world::one(world::merge(&kind(), &owner.namespace, &revision.name, "", &patch)) {
                Ok(_) => all.push(revision),
                Err(e) if e.code == 404 || e.code == 409 => {}
                Err(e) => return Err(world::said("adopt", "ControllerRevision", &revision.name, &e)),
            }
        } else if revision.owner == owner.uid {
            all.push(revision);
        }
    }
    crate::order::sort(&mut all, |a, b| (a.number, &a.created, &a.name).cmp(&(b.number, &b.created, &b.name)));
    Ok(all)
}

/// The step that gives the present template its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The one at this place has it.
    Have(usize),
    /// An older one has it, and becomes the newest with this number.
    Renew(usize, i64),
    /// None has it: make one with this number.
    Make(i64),
}

/// Decides. `revisions` are sorted, the oldest first.
pub fn plan(revisions: &[Revision], data: &Value) -> Step {
    let next = revisions.last().map_or(1, |last| last.number + 1);
    match revisions.iter().rposition(|revision| revision.data == *data) {
        Some(at) if at + 1 == revisions.len() => Step::Have(at),
        Some(at) => Step::Renew(at, next),
        None => Step::Make(next),
    }
}

/// The revision of the present template, put into `revisions` where it is new. `collisions` counts names that were taken.
pub fn current(
    owner: &Owner,
    label: HashLabel,
    revisions: &mut Vec<Revision>,
    template: &Value,
    annotations: &Value,
    collisions: &mut i64,
) -> Result<Revision, String> {
    let data = data(template);
    let number = match plan(revisions, &data) {
        Step::Have(at) => return Ok(revisions[at].clone()),
        Step::Renew(at, number) => {
            let mut revision = revisions.remove(at);
            let patch = json!({"metadata": {"uid": revision.uid}, "revision": number});
            world::one(world::merge(&kind(), &owner.namespace, &revision.name, "", &patch))
                .map_err(|e| world::said("renew", "ControllerRevision", &revision.name, &e))?;
            revision.number = number;
            revisions.push(revision.clone());
            return Ok(revision);
        }
        Step::Make(number) => number,
    };
    for _ in 0..COLLISIONS_MOST {
        let hash = template_hash(&data, *collisions);
        let name = format!("{}-{hash}", owner.name);
        let mut labels = template["metadata"]["labels"].as_object().cloned().unwrap_or_else(Map::new);
        labels.insert(label.0.into(), json!(hash));
        let object = json!({
            "apiVersion": "apps/v1", "kind": "ControllerRevision",
            "metadata": {
                "name": name, "namespace": owner.namespace, "labels": labels, "annotations": annotations,
                "ownerReferences": [owner.reference()],
            },
            "data": data, "revision": number,
        });
        match world::one(world::creation(&kind(), &owner.namespace, &object)) {
            Ok(_) => {}
            Err(e) if e.reason == "AlreadyExists" => {}
            Err(e) => return Err(world::said("create", "ControllerRevision", &name, &e)),
        }
        if let Some(made) = world::get(&kind(), &owner.namespace, &name)? {
            let made = read(&made, label);
            if made.data == data && made.owner == owner.uid {
                revisions.push(made.clone());
                return Ok(made);
            }
        }
        *collisions += 1;
    }
    Err(format!("cannot create ControllerRevision of {}: {COLLISIONS_MOST} names are taken", owner.name))
}

/// The names of revisions that are too many, the oldest first. Those that somebody uses stay.
pub fn surplus<'a>(revisions: &'a [Revision], used: &dyn Fn(&Revision) -> bool, limit: i64) -> Vec<&'a Revision> {
    let unused: Vec<&Revision> = revisions.iter().filter(|revision| !used(revision)).collect();
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    unused.iter().take(unused.len().saturating_sub(most)).copied().collect()
}

/// Removes what is too many.
pub fn truncate(
    owner: &Owner,
    revisions: &[Revision],
    used: &dyn Fn(&Revision) -> bool,
    limit: i64,
) -> Result<(), String> {
    for revision in surplus(revisions, used, limit) {
        let change = world::delete(&kind(), &owner.namespace, &revision.name, &revision.uid, None);
        match world::one(change) {
            Ok(_) => {}
            Err(e) if e.code == 404 || e.code == 409 => {}
            Err(e) => return Err(world::said("delete", "ControllerRevision", &revision.name, &e)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(number: i64, image: &str) -> Revision {
        Revision { name: format!("r{number}"), number, data: data(&json!({"image": image})), ..Revision::default() }
    }

    #[test]
    fn a_template_has_one_revision() {
        let all = [revision(1, "a"), revision(2, "b")];
        assert_eq!(plan(&all, &data(&json!({"image": "b"}))), Step::Have(1));
        assert_eq!(plan(&all, &data(&json!({"image": "a"}))), Step::Renew(0, 3));
        assert_eq!(plan(&all, &data(&json!({"image": "c"}))), Step::Make(3));
        assert_eq!(plan(&[], &data(&json!({}))), Step::Make(1));
        assert_eq!(template(&all[0]), json!({"image": "a"}));
    }

    #[test]
    fn old_revisions_go_unless_they_are_used() {
        let all = [revision(1, "a"), revision(2, "b"), revision(3, "c")];
        let names = |limit: i64| -> Vec<i64> {
            surplus(&all, &|revision| revision.number == 1, limit).iter().map(|revision| revision.number).collect()
        };
        assert_eq!((names(0), names(1), names(9)), (vec![2, 3], vec![2], vec![]));
    }
}
