//! The revisions of a workload, and the way back to one.
//!
//! In: a Deployment with its ReplicaSets; a DaemonSet or StatefulSet with its ControllerRevisions. Out: kubectl's
//! sentences, and a patch. Never changes anything but the workload.

use kedge_client::{ListOptions, PatchKind, PatchOptions, ResourcePath, WriteOptions};
use serde_json::{Map, Value, json};

use super::{HASH, path};
use crate::args::DryRun;
use crate::describe::selector;
use crate::error::Failure;
use crate::label::One;
use crate::resource::Resource;
use crate::screen::padded;
use crate::session::Session;

const REVISION: &str = "deployment.kubernetes.io/revision";
const CAUSE: &str = "kubernetes.io/change-cause";
/// Annotations of a Deployment that are not those of one of its revisions.
const OF_DEPLOYMENT: [&str; 6] = [
    crate::apply::LAST_APPLIED,
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

/// One revision.
struct Revision {
    number: i64,
    /// The ReplicaSet or ControllerRevision.
    object: Value,
}

impl Revision {
    /// What it was for, where somebody wrote that down.
    fn cause(&self) -> Option<&str> {
        self.object["metadata"]["annotations"][CAUSE].as_str().filter(|cause| !cause.is_empty())
    }

    /// The pod template, as the revision has it.
    fn kept(&self) -> Value {
        let data = self.object["data"]["spec"]["template"].as_object();
        let mut template =
            data.map_or_else(|| self.object["spec"]["template"].clone(), |map| Value::Object(map.clone()));
        if let Some(map) = template.as_object_mut() {
            map.remove("$patch");
        }
        template
    }

    /// The pod template with what it was for, of which only a Deployment tells.
    fn shown(&self) -> Value {
        let mut template = self.kept();
        if let (Some(cause), true) = (self.cause(), self.object["data"].is_null() && template.is_object()) {
            if !template["metadata"].is_object() {
                template["metadata"] = json!({});
            }
            let meta = &mut template["metadata"];
            match meta["annotations"].as_object_mut() {
                Some(annotations) => _ = annotations.insert(CAUSE.to_owned(), json!(cause)),
                None => meta["annotations"] = json!({CAUSE: cause}),
            }
        }
        template
    }

    /// The pod template, as the workload had it.
    fn template(&self) -> Value {
        let mut template = self.kept();
        if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove(HASH);
        }
        template
    }
}

/// What is said of a kind without revisions.
pub fn without(resource: &Resource) -> Failure {
    let group = if resource.group.is_empty() { String::new() } else { format!(".{}", resource.group) };
    Failure::said(format!("no history viewer has been implemented for \"{}{group}\"", resource.kind))
}

/// The workload and its revisions, the oldest first.
async fn revisions(session: &Session, one: &One) -> Result<(Value, Vec<Revision>), Failure> {
    let (resource, namespace, _) = one;
    let plural = match resource.kind.as_str() {
        "Deployment" => "replicasets",
        "DaemonSet" | "StatefulSet" => "controllerrevisions",
        _ => return Err(without(resource)),
    };
    let workload = session.client.get(&path(one)).await?;
    let mut collection = ResourcePath::new("apps", "v1", plural);
    if let Some(namespace) = namespace {
        collection = collection.namespace(&**namespace);
    }
    let options = ListOptions { labels: Some(selector(&workload["spec"]["selector"])), ..ListOptions::default() };
    let list = session.client.list(&collection, &options).await?;
    let uid = &workload["metadata"]["uid"];
    let is_own = |object: &&Value| {
        object["metadata"]["ownerReferences"].as_array().into_iter().flatten().any(|owner| owner["uid"] == *uid)
    };
    let number = |object: &Value| match plural {
        "replicasets" => object["metadata"]["annotations"][REVISION].as_str()?.parse().ok(),
        _ => object["revision"].as_i64(),
    };
    let mut found: Vec<Revision> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(is_own)
        .filter_map(|object| Some(Revision { number: number(object)?, object: object.clone() }))
        .collect();
    found.sort_by_key(|revision| revision.number);
    Ok((workload, found))
}

/// Runs `history`.
pub async fn history(session: &Session, one: &One, wanted: i64) -> Result<(), Failure> {
    if wanted < 0 {
        return Err(Failure::said(format!("revision must be a positive integer: {wanted}")));
    }
    let (_, all) = revisions(session, one).await?;
    let named = one.0.named(&one.2);
    if wanted == 0 || all.is_empty() {
        let of = if wanted == 0 { " ".to_owned() } else { format!(" with revision #{wanted}") };
        println!("{named}{of}");
        println!("{}", listed(&all));
        return Ok(());
    }
    let revision = all
        .iter()
        .find(|revision| revision.number == wanted)
        .ok_or_else(|| Failure::said("unable to find the specified revision"))?;
    println!("{named} with revision #{wanted}");
    println!("{}", crate::describe::pod_template(&revision.shown()));
    Ok(())
}

/// The numbers of revisions and what they were for.
fn listed(all: &[Revision]) -> String {
    if all.is_empty() {
        return "No rollout history found.".to_owned();
    }
    let mut rows = vec![("REVISION".to_owned(), "CHANGE-CAUSE")];
    rows.extend(all.iter().map(|revision| (revision.number.to_string(), revision.cause().unwrap_or("<none>"))));
    let width = rows.iter().map(|(number, _)| number.len()).max().unwrap_or(0) + 2;
    rows.iter().map(|(number, cause)| format!("{}{cause}\n", padded(number, width))).collect()
}

/// Runs `undo`.
pub async fn undo(session: &Session, one: &One, to: i64, dry_run: DryRun) -> Result<(), Failure> {
    let (workload, all) = revisions(session, one).await?;
    let named = one.0.named(&one.2);
    if workload["spec"]["paused"] == true {
        return Err(Failure::said(format!(
            "you cannot rollback a paused deployment; resume it first with 'edgectl rollout resume {named}' and try again"
        )));
    }
    let current = match workload["metadata"]["annotations"][REVISION].as_str() {
        Some(text) => text.parse::<i64>().ok(),
        None => all.last().map(|newest| newest.number),
    };
    let chosen = match to {
        0 => all.iter().rev().find(|revision| Some(revision.number) != current),
        to => all.iter().find(|revision| revision.number == to),
    };
    let Some(revision) = chosen else {
        return Err(Failure::said(if to == 0 {
            format!("no rollout history found for {named}")
        } else {
            format!("unable to find specified revision {to} in history")
        }));
    };
    if revision.template() == workload["spec"]["template"] {
        println!("{named} skipped rollback (current template already matches revision {})", revision.number);
        return Ok(());
    }
    if dry_run != DryRun::Client {
        let (kind, patch) = back(&workload, revision);
        let write = WriteOptions {
            dry_run: dry_run == DryRun::Server,
            field_manager: Some("kubectl-rollout".to_owned()),
            ..WriteOptions::default()
        };
        session.client.patch(&path(one), kind, &patch, &PatchOptions { write, force: false }).await?;
    }
    println!("{named} rolled back{}", crate::written::dry(dry_run));
    Ok(())
}

/// The patch that leads back to a revision.
fn back(workload: &Value, revision: &Revision) -> (PatchKind, Value) {
    if revision.object["data"].is_object() {
        return (PatchKind::Strategic, revision.object["data"].clone());
    }
    // The annotations of the revision, such as the cause of the change, come back with it.
    let of = |object: &Value, of_deployment: bool| -> Map<String, Value> {
        let all = object["metadata"]["annotations"].as_object().into_iter().flatten();
        let wanted = all.filter(|(key, _)| OF_DEPLOYMENT.contains(&key.as_str()) == of_deployment);
        wanted.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let mut annotations = of(workload, true);
    annotations.extend(of(&revision.object, false));
    let patch = json!([
        {"op": "replace", "path": "/spec/template", "value": revision.template()},
        {"op": "add", "path": "/metadata/annotations", "value": annotations},
    ]);
    (PatchKind::Json, patch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    fn one(kind: &str) -> One {
        let resource = Resource {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            kind: kind.to_owned(),
            plural: format!("{}s", kind.to_lowercase()),
            namespaced: true,
            ..Resource::default()
        };
        (resource, Some("default".to_owned()), "web".to_owned())
    }

    fn template(image: &str) -> Value {
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
    }

    fn meta(annotations: Value) -> Value {
        json!({"annotations": annotations, "ownerReferences": [{"uid": "u"}]})
    }

    #[tokio::test]
    async fn a_deployment_goes_back_with_its_annotations() {
        let (session, log) = fake::session(|asked| {
            let set = |number: &str, image: &str, cause: &str| {
                let mut template = template(image);
                template["metadata"]["labels"][HASH] = json!(number);
                json!({"metadata": meta(json!({REVISION: number, CAUSE: cause, "deployment.kubernetes.io/max-replicas": "2"})),
                    "spec": {"template": template}})
            };
            let held = json!({"metadata": {"uid": "u", "annotations": {REVISION: "2", CAUSE: "second", "own": "x"}},
                "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template("b")}});
            match asked.line.contains("replicasets") {
                true => (200, json!({"items": [set("2", "b", "second"), set("1", "a", "first")]})),
                false => (200, held),
            }
        });
        undo(&session, &one("Deployment"), 0, DryRun::None).await.unwrap();
        let patch = log.all().pop().unwrap();
        assert!(patch.line.starts_with("PATCH"), "{patch:?}");
        assert_eq!(patch.body[0]["value"], template("a"));
        assert_eq!(patch.body[1]["value"], json!({REVISION: "2", CAUSE: "first"}));
    }

    #[tokio::test]
    async fn other_workloads_go_back_by_their_revisions() {
        for kind in ["DaemonSet", "StatefulSet"] {
            let (session, log) = fake::session(|asked| {
                let revision = |number: i64, image: &str| {
                    let mut template = template(image);
                    template["$patch"] = json!("replace");
                    json!({"metadata": meta(json!({})), "revision": number, "data": {"spec": {"template": template}}})
                };
                let held = json!({"metadata": {"uid": "u"}, "spec": {"selector": {"matchLabels": {"app": "web"}},
                    "template": template("b")}});
                match asked.line.contains("controllerrevisions") {
                    true => (200, json!({"items": [revision(3, "b"), revision(2, "a"), {"revision": 9}]})),
                    false => (200, held),
                }
            });
            history(&session, &one(kind), 0).await.unwrap();
            history(&session, &one(kind), 2).await.unwrap();
            assert!(history(&session, &one(kind), 9).await.is_err());
            undo(&session, &one(kind), 3, DryRun::None).await.unwrap();
            assert!(log.lines().iter().all(|line| line.starts_with("GET")), "{:?}", log.lines());
            undo(&session, &one(kind), 0, DryRun::None).await.unwrap();
            let patch = log.all().pop().unwrap();
            let mut wanted = template("a");
            wanted["$patch"] = json!("replace");
            assert_eq!(patch.body, json!({"spec": {"template": wanted}}));
        }
    }

    #[test]
    fn a_revision_tells_what_it_was_for() {
        let mut made = template("a");
        made["metadata"]["labels"][HASH] = json!("1");
        let set = |cause: Value| Revision {
            number: 1,
            object: json!({"metadata": {"annotations": {CAUSE: cause}}, "spec": {"template": made}}),
        };
        assert_eq!(
            set(json!("x")).shown()["metadata"],
            json!({"labels": {"app": "web", HASH: "1"}, "annotations": {CAUSE: "x"}})
        );
        assert_eq!(set(json!("")).shown(), made);
        assert_eq!(
            listed(&[set(json!("x")), set(json!(""))]),
            "REVISION  CHANGE-CAUSE\n1         x\n1         <none>\n"
        );
        assert_eq!(listed(&[]), "No rollout history found.");
    }
}
