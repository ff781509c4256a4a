//! `drain`: takes the pods off a node, with respect for their budgets.
//!
//! In: nodes, what may be lost. Out: a node that is closed and empty but for what belongs there. Nothing is evicted before
//! it is known that everything may be. Ends of pods are watched and not polled; only an eviction that a budget forbids for
//! now is tried again, when the server says or after some seconds.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use kedge_api::clock;
use kedge_client::{ClientError, DeleteOptions, ListOptions, ResourcePath, WriteOptions};
use serde_json::{Value, json};

use crate::args::{Drain, DryRun};
use crate::delete::gone;
use crate::error::Failure;
use crate::nodes::{close, named};
use crate::session::{Session, duration};
use crate::written::dry;

/// How long an eviction waits that a budget forbids, as kubectl does.
const AGAIN: u64 = 5;

/// Runs the verb.
pub async fn run(session: Session, args: Drain) -> Result<ExitCode, Failure> {
    let nodes = named(&session, &args.cordon, "drain").await?;
    let limit = duration(&args.timeout)?.filter(|limit| !limit.is_zero());
    let mut failed = Vec::new();
    for name in &nodes {
        close(&session, name, true, args.cordon.dry_run).await?;
    }
    for name in &nodes {
        let work = drain(&session, &args, name);
        let done = match limit {
            None => work.await,
            Some(limit) => tokio::time::timeout(limit, work)
                .await
                .unwrap_or_else(|_| Err(Refused(vec![format!("drain did not complete within {}", args.timeout)]))),
        };
        match done {
            Ok(()) => println!("node/{name} drained{}", dry(args.cordon.dry_run)),
            Err(refused) => {
                let Refused(why) = &refused;
                eprintln!("error: unable to drain node \"{name}\" due to error: {refused}, continuing command...");
                failed.extend(why.iter().map(|why| (name, why.clone())));
            }
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("There are pending nodes to be drained:");
    let mut names: Vec<&String> = failed.iter().map(|(name, _)| *name).collect();
    names.dedup();
    names.iter().for_each(|name| eprintln!(" {name}"));
    failed.iter().for_each(|(_, why)| eprintln!("{why}"));
    Ok(ExitCode::FAILURE)
}

/// Why a node was not drained, each reason by itself.
struct Refused(Vec<String>);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_slice() {
            [one] => f.write_str(one),
            many => write!(f, "[{}]", many.join(", ")),
        }
    }
}

impl<F: Into<Failure>> From<F> for Refused {
    fn from(failure: F) -> Self {
        let words = failure.into().words();
        Refused(vec![words.trim_end().trim_start_matches("error: ").to_owned()])
    }
}

async fn drain(session: &Session, args: &Drain, node: &str) -> Result<(), Refused> {
    let options = ListOptions {
        labels: args.pod_selector.clone(),
        fields: Some(format!("spec.nodeName={node}")),
        ..ListOptions::default()
    };
    let list = session.client.list(&ResourcePath::core("pods"), &options).await?;
    let mut plan = Plan::default();
    let now = SystemTime::now();
    list["items"].as_array().into_iter().flatten().for_each(|pod| plan.add(pod, args, now));
    if let Some(words) = plan.warning() {
        eprintln!("Warning: {words}");
    }
    if let Some(refused) = plan.refusal() {
        return Err(refused);
    }
    let dry_run = args.cordon.dry_run;
    let ends = plan.going.iter().map(|pod| end(session, args, pod, dry_run));
    for done in futures::future::join_all(ends).await {
        done?;
    }
    Ok(())
}

/// What becomes of the pods of a node.
#[derive(Debug, Default)]
struct Plan {
    going: Vec<Value>,
    passed_over: Vec<String>,
    lost: Vec<String>,
    unmanaged: Vec<String>,
    refused_daemons: Vec<String>,
    refused_local: Vec<String>,
    refused_unmanaged: Vec<String>,
}

impl Plan {
    fn add(&mut self, pod: &Value, args: &Drain, now: SystemTime) {
        let (meta, name) = (&pod["metadata"], full_name(pod));
        if !meta["annotations"]["kubernetes.io/config.mirror"].is_null() {
            // Such a pod is the node's own; deleting it here would do nothing.
            return;
        }
        let ending = meta["deletionTimestamp"].as_str().and_then(|time| clock::seconds_since(now, time));
        let patience = args.skip_wait_for_delete_timeout;
        if patience > 0 && ending.is_some_and(|seconds| seconds > patience) {
            return;
        }
        let finished = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let owners = meta["ownerReferences"].as_array();
        let controller = owners.into_iter().flatten().find(|owner| owner["controller"] == true);
        if !finished && controller.is_some_and(|owner| owner["kind"] == "DaemonSet") {
            let list = if args.ignore_daemonsets { &mut self.passed_over } else { &mut self.refused_daemons };
            return list.push(name);
        }
        let volumes = pod["spec"]["volumes"].as_array();
        let mut refused = false;
        if !finished && volumes.into_iter().flatten().any(|volume| !volume["emptyDir"].is_null()) {
            refused |= !args.delete_emptydir_data;
            let list = if args.delete_emptydir_data { &mut self.lost } else { &mut self.refused_local };
            list.push(name.clone());
        }
        if !finished && controller.is_none() {
            refused |= !args.force;
            let list = if args.force { &mut self.unmanaged } else { &mut self.refused_unmanaged };
            list.push(name);
        }
        if !refused {
            self.going.push(pod.clone());
        }
    }

    fn warning(&self) -> Option<String> {
        told(&[
            ("deleting Pods that declare no controller", &self.unmanaged),
            ("ignoring DaemonSet-managed Pods", &self.passed_over),
            ("deleting Pods with local storage", &self.lost),
        ])
        .map(|words| words.join("; "))
    }

    fn refusal(&self) -> Option<Refused> {
        let words = told(&[
            ("cannot delete Pods that declare no controller (use --force to override)", &self.refused_unmanaged),
            ("cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)", &self.refused_daemons),
            ("cannot delete Pods with local storage (use --delete-emptydir-data to override)", &self.refused_local),
        ])?;
        Some(Refused(words))
    }
}

fn told(lists: &[(&str, &Vec<String>)]) -> Option<Vec<String>> {
    let words: Vec<String> = lists
        .iter()
        .filter(|(_, pods)| !pods.is_empty())
        .map(|(what, pods)| format!("{what}: {}", pods.join(", ")))
        .collect();
    (!words.is_empty()).then_some(words)
}

fn full_name(pod: &Value) -> String {
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or("").to_owned();
    format!("{}/{}", text("namespace"), text("name"))
}

/// Ends one pod, and waits until it is gone.
async fn end(session: &Session, args: &Drain, pod: &Value, dry_run: DryRun) -> Result<(), Failure> {
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or("");
    let (verb, done) = if args.disable_eviction { ("deleting", "deleted") } else { ("evicting", "evicted") };
    println!("{verb} pod {}{}", full_name(pod), dry(dry_run));
    if dry_run == DryRun::Client {
        return Ok(());
    }
    let path = ResourcePath::core("pods").namespace(text("namespace")).name(text("name"));
    let options = DeleteOptions {
        grace_period_seconds: Some(args.grace_period).filter(|grace| *grace >= 0),
        uid: Some(text("uid").to_owned()).filter(|_| args.disable_eviction),
        dry_run: dry_run == DryRun::Server,
        ..DeleteOptions::default()
    };
    loop {
        let asked = if args.disable_eviction {
            session.client.delete(&path, &options).await.map(drop)
        } else {
            let eviction = json!({
                "apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": text("name"), "namespace": text("namespace")},
                "deleteOptions": options.body(),
            });
            let write = WriteOptions { dry_run: options.dry_run, ..WriteOptions::default() };
            session.client.create(&path.clone().subresource("eviction"), &eviction, &write).await.map(drop)
        };
        match asked {
            Ok(()) => break,
            Err(e) if e.is_not_found() => return Ok(()),
            Err(ClientError::Status { code: 429, message, retry_after, .. }) => {
                let pause = retry_after.unwrap_or(AGAIN).clamp(1, AGAIN);
                eprintln!(
                    "error when evicting pods/\"{}\" -n \"{}\" (will retry after {pause}s): {message}",
                    text("name"),
                    text("namespace")
                );
                tokio::time::sleep(Duration::from_secs(pause)).await;
            }
            Err(e) => return Err(e.into()),
        }
    }
    if dry_run == DryRun::None {
        gone(session, &path, Some(text("uid"))).await?;
        println!("pod/{} {done}", text("name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Verb, read};

    fn pod(name: &str, controller: Option<&str>, extra: Value) -> Value {
        let mut pod = json!({"metadata": {"name": name, "namespace": "a"}});
        if let Some(kind) = controller {
            pod["metadata"]["ownerReferences"] = json!([{"kind": kind, "controller": true}]);
        }
        extra.as_object().unwrap().iter().for_each(|(key, value)| pod[key] = value.clone());
        pod
    }

    fn plan(flags: &str, pods: &[Value]) -> Plan {
        let Verb::Drain(args) = read(format!("edgectl drain n {flags}").trim()).unwrap().verb else {
            panic!("{flags}")
        };
        let mut plan = Plan::default();
        let now = clock::parse("2026-11-30T10:10:00Z").unwrap();
        pods.iter().for_each(|pod| plan.add(pod, &args, now));
        plan
    }

    #[track_caller]
    fn check(flags: &str, going: &[&str], refusal: Option<&str>, warning: Option<&str>) {
        let local = json!({"spec": {"volumes": [{"emptyDir": {}}]}});
        let mut mirror = pod("mirror", Some("Node"), json!({}));
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        let pods = [
            pod("web", Some("ReplicaSet"), json!({})),
            pod("local", Some("ReplicaSet"), local.clone()),
            pod("bare", None, json!({})),
            pod("over", None, json!({"status": {"phase": "Succeeded"}, "spec": local["spec"]})),
            pod("daemon", Some("DaemonSet"), json!({})),
            mirror,
        ];
        let plan = plan(flags, &pods);
        let names: Vec<&str> = plan.going.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, going, "{flags}");
        assert_eq!(plan.refusal().map(|refused| refused.to_string()).as_deref(), refusal, "{flags}");
        assert_eq!(plan.warning().as_deref(), warning, "{flags}");
    }

    #[test]
    fn what_may_be_lost_must_be_said() {
        check(
            "",
            &["web", "over"],
            Some(
                "[cannot delete Pods that declare no controller (use --force to override): a/bare, \
                 cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): a/daemon, \
                 cannot delete Pods with local storage (use --delete-emptydir-data to override): a/local]",
            ),
            None,
        );
        check(
            "--ignore-daemonsets --force",
            &["web", "bare", "over"],
            Some("cannot delete Pods with local storage (use --delete-emptydir-data to override): a/local"),
            Some("deleting Pods that declare no controller: a/bare; ignoring DaemonSet-managed Pods: a/daemon"),
        );
        check(
            "--ignore-daemonsets --force --delete-emptydir-data",
            &["web", "local", "bare", "over"],
            None,
            Some(
                "deleting Pods that declare no controller: a/bare; ignoring DaemonSet-managed Pods: a/daemon; \
                 deleting Pods with local storage: a/local",
            ),
        );
    }

    #[test]
    fn pods_that_never_end_can_be_passed_over() {
        let mut stuck = pod("stuck", Some("ReplicaSet"), json!({}));
        stuck["metadata"]["deletionTimestamp"] = json!("2026-11-30T10:00:00Z");
        assert_eq!(plan("", std::slice::from_ref(&stuck)).going.len(), 1);
        assert!(plan("--skip-wait-for-delete-timeout=60", &[stuck]).going.is_empty());
    }
}
