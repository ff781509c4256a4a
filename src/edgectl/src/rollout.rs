//! `rollout`: status, history, undo, pause, resume and restart of workloads.
//!
//! In: a Deployment, StatefulSet or DaemonSet. Out: kubectl's sentences.

mod history;

use std::process::ExitCode;

use kedge_client::{Informer, PatchKind, PatchOptions, ResourcePath, Step, WatchOptions};
use serde_json::{Value, json};

use crate::args::{Rollout, RolloutWhat};
use crate::error::Failure;
use crate::label::{One, targets};
use crate::session::{Session, duration};

/// The label that tells the replica sets of a deployment apart.
pub const HASH: &str = "pod-template-hash";

/// Runs the verb.
pub async fn run(session: Session, args: Rollout) -> Result<ExitCode, Failure> {
    let which = match &args.what {
        RolloutWhat::Status { which, files, .. }
        | RolloutWhat::History { which, files, .. }
        | RolloutWhat::Undo { which, files, .. }
        | RolloutWhat::Pause { which, files }
        | RolloutWhat::Resume { which, files }
        | RolloutWhat::Restart { which, files } => (which, files),
    };
    let (which, files) = which;
    let chosen = targets(&session, which, files, true).await?;
    if let Some((resource, ..)) = chosen.iter().find(|(resource, ..)| resource.group != "apps") {
        return Err(match args.what {
            RolloutWhat::History { .. } => history::without(resource),
            _ => Failure::said(format!("{} have no rollout", resource.plural)),
        });
    }
    if chosen.is_empty() && !matches!(args.what, RolloutWhat::History { .. } | RolloutWhat::Undo { .. }) {
        eprintln!("No resources found in {} namespace.", session.namespace);
    }
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
            RolloutWhat::History { revision, .. } => history::history(&session, one, *revision).await,
            RolloutWhat::Undo { to_revision, dry_run, .. } => {
                history::undo(&session, one, *to_revision, *dry_run).await
            }
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
    let mut there = false;
    loop {
        match informer.next().await {
            Step::Restart => there = false,
            Step::Apply(object) if object["metadata"]["uid"] == first["metadata"]["uid"] => {
                there = true;
                if tell(&object)? {
                    return Ok(());
                }
            }
            Step::Synced if there => {}
            // It went, or another one of its name has come: that may have happened while nobody watched.
            Step::Apply(_) | Step::Delete(_) | Step::Synced => {
                return Err(Failure::said(format!("{} has been deleted", resource.named(name))));
            }
        }
    }
}

/// What is to be said about a rollout, and whether it has ended.
fn progress(kind: &str, object: &Value) -> Result<(String, bool), Failure> {
    let name = object["metadata"]["name"].as_str().unwrap_or("");
    let n = |value: &Value| value.as_i64().unwrap_or(0);
    let (spec, status) = (&object["spec"], &object["status"]);
    let strategy = spec["updateStrategy"]["type"].as_str().unwrap_or("RollingUpdate");
    if matches!(kind, "DaemonSet" | "StatefulSet") && strategy != "RollingUpdate" {
        return Err(Failure::said("rollout status is only available for RollingUpdate strategy type"));
    }
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
            let rolling = &spec["updateStrategy"]["rollingUpdate"];
            if rolling.is_object() {
                let (updated, wanted) = (n(&status["updatedReplicas"]), wanted - n(&rolling["partition"]));
                let waiting = "Waiting for partitioned roll out to finish:";
                return Ok(if updated < wanted {
                    (format!("{waiting} {updated} out of {wanted} new pods have been updated..."), false)
                } else {
                    (format!("partitioned roll out complete: {updated} new pods have been updated..."), true)
                });
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

    #[test]
    fn a_stateful_set_rolls_out_down_to_its_partition() {
        let object = |strategy: Value, updated: i64| {
            json!({"metadata": {"name": "web", "generation": 1}, "spec": {"replicas": 3, "updateStrategy": strategy},
                "status": {"observedGeneration": 1, "readyReplicas": 3, "updatedReplicas": updated,
                    "currentRevision": "a", "updateRevision": "b"}})
        };
        let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}});
        let said = |strategy: &Value, updated| progress("StatefulSet", &object(strategy.clone(), updated));
        assert_eq!(
            said(&rolling, 0).unwrap(),
            ("Waiting for partitioned roll out to finish: 0 out of 1 new pods have been updated...".to_owned(), false)
        );
        let done = "partitioned roll out complete: 1 new pods have been updated...";
        assert_eq!(said(&rolling, 1).unwrap(), (done.to_owned(), true));
        assert!(!said(&json!({"type": "RollingUpdate"}), 0).unwrap().1);
        for kind in ["StatefulSet", "DaemonSet"] {
            let fault = progress(kind, &object(json!({"type": "OnDelete"}), 1)).unwrap_err().to_string();
            assert_eq!(fault, "rollout status is only available for RollingUpdate strategy type");
        }
    }

    #[tokio::test]
    async fn what_goes_meanwhile_is_told() {
        for later in [json!([]), json!([{"metadata": {"name": "web", "uid": "other"}}])] {
            let (session, _) = crate::fake::session(move |asked| match asked.line.contains("fieldSelector") {
                true => (200, json!({"metadata": {"resourceVersion": "1"}, "items": later})),
                false => (200, json!({"metadata": {"name": "web", "uid": "u", "generation": 1}, "spec": {}})),
            });
            let deployments = session.catalogue().await.unwrap().find("deploy").unwrap().clone();
            let one = (deployments, Some("default".to_owned()), "web".to_owned());
            let fault = status(&session, &one, true).await.unwrap_err().to_string();
            assert_eq!(fault, "deployment.apps/web has been deleted");
        }
    }
}
