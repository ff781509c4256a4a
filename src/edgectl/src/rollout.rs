//! `rollout`: status, history, undo, pause, resume and restart of workloads.
//!
//! In: a Deployment (StatefulSets and DaemonSets for status and restart). Out: kubectl's sentences.

use std::process::ExitCode;

use kedge_client::{Informer, ListOptions, PatchKind, PatchOptions, ResourcePath, Step, WatchOptions, WriteOptions};
use serde_json::{Value, json};

use crate::args::{DryRun, Files, Rollout, RolloutWhat};
use crate::error::Failure;
use crate::label::{One, targets};
use crate::output::columns;
use crate::session::{Session, duration};

const REVISION: &str = "deployment.kubernetes.io/revision";
const HASH: &str = "pod-template-hash";

/// Runs the verb.
pub async fn run(session: Session, args: Rollout) -> Result<ExitCode, Failure> {
    let which = match &args.what {
        RolloutWhat::Status { which, .. }
        | RolloutWhat::History { which, .. }
        | RolloutWhat::Undo { which, .. }
        | RolloutWhat::Pause { which }
        | RolloutWhat::Resume { which }
        | RolloutWhat::Restart { which } => which,
    };
    let chosen = targets(&session, which, &Files::default(), which.selector.is_some()).await?;
    let mut failed = false;
    for one in &chosen {
        let done = match &args.what {
            RolloutWhat::Status { watch, timeout, .. } => {
                let waiting = status(&session, one, *watch);
                match duration(timeout)?.filter(|limit| !limit.is_zero()) {
                    None => waiting.await,
                    Some(limit) => match tokio::time::timeout(limit, waiting).await {
                        Ok(done) => done,
                        Err(_) => Err(Failure::said("timed out waiting for the condition")),
                    },
                }
            }
            RolloutWhat::History { revision, .. } => history(&session, one, *revision).await,
            RolloutWhat::Undo { to_revision, dry_run, .. } => undo(&session, one, *to_revision, *dry_run).await,
            RolloutWhat::Pause { .. } => pause(&session, one, true).await,
            RolloutWhat::Resume { .. } => pause(&session, one, false).await,
            RolloutWhat::Restart { .. } => restart(&session, one).await,
        };
        if let Err(failure) = done {
            failed = true;
            eprint!("{}", failure.words());
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn path((resource, namespace, name): &One) -> ResourcePath {
    resource.path(namespace.as_deref()).name(&**name)
}

async fn status(session: &Session, one: &One, watch: bool) -> Result<(), Failure> {
    let (resource, namespace, name) = one;
    let first = session.client.get(&path(one)).await?;
    let mut said = String::new();
    let mut tell = |object: &Value| -> Result<bool, Failure> {
        let (words, done) = progress(&resource.kind, object)?;
        if words != said {
            println!("{words}");
            said = words;
        }
        Ok(done)
    };
    if tell(&first)? || !watch {
        return Ok(());
    }
    let options =
        WatchOptions { fields: Some(format!("metadata.name={name}")), remote: true, ..WatchOptions::default() };
    let mut informer = Informer::<Value>::new(session.client.clone(), resource.path(namespace.as_deref()), options);
    loop {
        match informer.next().await {
            Step::Apply(object) if tell(&object)? => return Ok(()),
            Step::Delete(_) => return Err(Failure::said(format!("{} was deleted", resource.named(name)))),
            _ => {}
        }
    }
}

/// What is to be said about a rollout, and whether it has ended.
fn progress(kind: &str, object: &Value) -> Result<(String, bool), Failure> {
    let name = object["metadata"]["name"].as_str().unwrap_or("");
    let n = |value: &Value| value.as_i64().unwrap_or(0);
    let (spec, status) = (&object["spec"], &object["status"]);
    let observed = n(&object["metadata"]["generation"]) <= n(&status["observedGeneration"]);
    match kind {
        "Deployment" => {
            if !observed {
                return Ok(("Waiting for deployment spec update to be observed...".to_owned(), false));
            }
            let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
            if conditions.iter().any(|c| c["type"] == "Progressing" && c["reason"] == "ProgressDeadlineExceeded") {
                return Err(Failure::said(format!("deployment \"{name}\" exceeded its progress deadline")));
            }
            let wanted = spec["replicas"].as_i64().unwrap_or(1);
            let (updated, all, available) =
                (n(&status["updatedReplicas"]), n(&status["replicas"]), n(&status["availableReplicas"]));
            let waiting = format!("Waiting for deployment \"{name}\" rollout to finish:");
            Ok(if updated < wanted {
                (format!("{waiting} {updated} out of {wanted} new replicas have been updated..."), false)
            } else if all > updated {
                (format!("{waiting} {} old replicas are pending termination...", all - updated), false)
            } else if available < updated {
                (format!("{waiting} {available} of {updated} updated replicas are available..."), false)
            } else {
                (format!("deployment \"{name}\" successfully rolled out"), true)
            })
        }
        "DaemonSet" => {
            if !observed {
                return Ok(("Waiting for daemon set spec update to be observed...".to_owned(), false));
            }
            let (updated, wanted, available) = (
                n(&status["updatedNumberScheduled"]),
                n(&status["desiredNumberScheduled"]),
                n(&status["numberAvailable"]),
            );
            let waiting = format!("Waiting for daemon set \"{name}\" rollout to finish:");
            Ok(if updated < wanted {
                (format!("{waiting} {updated} out of {wanted} new pods have been updated..."), false)
            } else if available < wanted {
                (format!("{waiting} {available} of {wanted} updated pods are available..."), false)
            } else {
                (format!("daemon set \"{name}\" successfully rolled out"), true)
            })
        }
        "StatefulSet" => {
            if !observed {
                return Ok(("Waiting for statefulset spec update to be observed...".to_owned(), false));
            }
            let wanted = spec["replicas"].as_i64().unwrap_or(1);
            let ready = n(&status["readyReplicas"]);
            if ready < wanted {
                return Ok((format!("Waiting for {} pods to be ready...", wanted - ready), false));
            }
            if status["updateRevision"] != status["currentRevision"] {
                let updated = n(&status["updatedReplicas"]);
                let words = format!(
                    "waiting for statefulset rolling update to complete {updated} pods at revision {}...",
                    status["updateRevision"].as_str().unwrap_or("")
                );
                return Ok((words, false));
            }
            Ok((
                format!(
                    "statefulset rolling update complete {ready} pods at revision {}...",
                    status["currentRevision"].as_str().unwrap_or("")
                ),
                true,
            ))
        }
        other => Err(Failure::said(format!("no status viewer has been implemented for {other}"))),
    }
}

/// The ReplicaSets of a Deployment with their revisions, the oldest first.
async fn revisions(session: &Session, one: &One) -> Result<(Value, Vec<(i64, Value)>), Failure> {
    let (resource, namespace, _) = one;
    if resource.kind != "Deployment" {
        return Err(Failure::said(format!("no history viewer has been implemented for {}", resource.kind)));
    }
    let deployment = session.client.get(&path(one)).await?;
    let labels: Vec<String> = deployment["spec"]["selector"]["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
        .collect();
    let mut sets = ResourcePath::new("apps", "v1", "replicasets");
    if let Some(namespace) = namespace {
        sets = sets.namespace(&**namespace);
    }
    let options = ListOptions { labels: Some(labels.join(",")), ..ListOptions::default() };
    let list = session.client.list(&sets, &options).await?;
    let uid = &deployment["metadata"]["uid"];
    let mut found: Vec<(i64, Value)> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|set| set["metadata"]["ownerReferences"].as_array().into_iter().flatten().any(|o| o["uid"] == *uid))
        .filter_map(|set| Some((set["metadata"]["annotations"][REVISION].as_str()?.parse().ok()?, set.clone())))
        .collect();
    found.sort_by_key(|(revision, _)| *revision);
    Ok((deployment, found))
}

async fn history(session: &Session, one: &One, revision: i64) -> Result<(), Failure> {
    let (_, sets) = revisions(session, one).await?;
    let named = one.0.named(&one.2);
    if revision == 0 {
        println!("{named} ");
        let mut rows = vec![vec!["REVISION".to_owned(), "CHANGE-CAUSE".to_owned()]];
        for (number, set) in &sets {
            let cause = set["metadata"]["annotations"]["kubernetes.io/change-cause"].as_str().unwrap_or("<none>");
            rows.push(vec![number.to_string(), cause.to_owned()]);
        }
        println!("{}", columns(&rows));
        return Ok(());
    }
    let (_, set) = sets
        .iter()
        .find(|(number, _)| *number == revision)
        .ok_or_else(|| Failure::said("unable to find the specified revision"))?;
    println!("{named} with revision #{revision}");
    print!("{}", crate::describe::pod_template(&set["spec"]["template"]));
    Ok(())
}

async fn undo(session: &Session, one: &One, to: i64, dry_run: DryRun) -> Result<(), Failure> {
    let (deployment, sets) = revisions(session, one).await?;
    let named = one.0.named(&one.2);
    if deployment["spec"]["paused"] == true {
        return Err(Failure::said(format!(
            "you cannot rollback a paused deployment; resume it first with 'edgectl rollout resume {named}' and try again"
        )));
    }
    let current = deployment["metadata"]["annotations"][REVISION].as_str().and_then(|text| text.parse::<i64>().ok());
    let chosen = if to == 0 {
        sets.iter().rev().find(|(number, _)| Some(*number) != current)
    } else {
        sets.iter().find(|(number, _)| *number == to)
    };
    let Some((number, set)) = chosen else {
        return Err(Failure::said(if to == 0 {
            format!("no rollout history found for {named}")
        } else {
            format!("unable to find specified revision {to} in history")
        }));
    };
    let mut template = set["spec"]["template"].clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    if template == deployment["spec"]["template"] {
        println!("{named} skipped rollback (current template already matches revision {number})");
        return Ok(());
    }
    if dry_run != DryRun::Client {
        let patch = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
        let write = WriteOptions { dry_run: dry_run == DryRun::Server, ..WriteOptions::default() };
        let options = PatchOptions { write, force: false };
        session.client.patch(&path(one), PatchKind::Json, &patch, &options).await?;
    }
    println!("{named} rolled back{}", crate::written::dry(dry_run));
    Ok(())
}

async fn pause(session: &Session, one: &One, pause: bool) -> Result<(), Failure> {
    let named = one.0.named(&one.2);
    if one.0.kind != "Deployment" {
        return Err(Failure::said(format!("{} pausing is not supported", one.0.plural)));
    }
    let now = session.client.get(&path(one)).await?;
    let paused = now["spec"]["paused"] == true;
    if paused == pause {
        let state = if pause { "already paused" } else { "not paused" };
        return Err(Failure::said(format!("{} \"{}\" is {state}", one.0.plural, one.2)));
    }
    let patch = json!({"spec": {"paused": pause}});
    session.client.patch(&path(one), PatchKind::Merge, &patch, &PatchOptions::default()).await?;
    println!("{named} {}", if pause { "paused" } else { "resumed" });
    Ok(())
}

async fn restart(session: &Session, one: &One) -> Result<(), Failure> {
    if !matches!(one.0.kind.as_str(), "Deployment" | "DaemonSet" | "StatefulSet") {
        return Err(Failure::said(format!("{} restarting is not supported", one.0.plural)));
    }
    let now = session.client.get(&path(one)).await?;
    if now["spec"]["paused"] == true {
        return Err(Failure::said("can't restart paused deployment (run rollout resume first)"));
    }
    let time = kedge_api::clock::rfc3339(std::time::SystemTime::now());
    let annotations = json!({"kubectl.kubernetes.io/restartedAt": time});
    let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    session.client.patch(&path(one), PatchKind::Strategic, &patch, &PatchOptions::default()).await?;
    println!("{} restarted", one.0.named(&one.2));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: Value, words: &str, done: bool) {
        let object = json!({"metadata": {"name": "web", "generation": 2}, "spec": {"replicas": 3}, "status": status});
        assert_eq!(progress("Deployment", &object).unwrap(), (words.to_owned(), done));
    }

    #[test]
    fn a_rollout_is_told_in_kubectls_words() {
        check(json!({"observedGeneration": 1}), "Waiting for deployment spec update to be observed...", false);
        let status = |updated: i64, all: i64, available: i64| json!({"observedGeneration": 2, "updatedReplicas": updated, "replicas": all, "availableReplicas": available});
        let waiting = "Waiting for deployment \"web\" rollout to finish:";
        check(status(1, 3, 3), &format!("{waiting} 1 out of 3 new replicas have been updated..."), false);
        check(status(3, 4, 3), &format!("{waiting} 1 old replicas are pending termination..."), false);
        check(status(3, 3, 2), &format!("{waiting} 2 of 3 updated replicas are available..."), false);
        check(status(3, 3, 3), "deployment \"web\" successfully rolled out", true);
    }

    #[test]
    fn a_passed_deadline_is_a_failure() {
        let status = json!({"observedGeneration": 2, "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]});
        let object = json!({"metadata": {"name": "web", "generation": 2}, "spec": {}, "status": status});
        assert!(progress("Deployment", &object).is_err());
    }
}
