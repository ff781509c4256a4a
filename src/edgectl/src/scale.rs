//! `scale`: another number of replicas, through the scale subresource.
//!
//! In: workloads, a number, what must hold before. Out: a line each; with --timeout only once the pods are there.

use std::process::ExitCode;

use kedge_client::{Informer, PatchKind, PatchOptions, ResourcePath, Step, WatchOptions, WriteOptions};
use serde_json::{Value, json};

use crate::args::{DryRun, Scale};
use crate::delete::within;
use crate::error::Failure;
use crate::label::{One, targets};
use crate::session::{Session, duration};
use crate::written::Written;

/// Runs the verb.
pub async fn run(session: Session, args: Scale) -> Result<ExitCode, Failure> {
    if args.replicas < 0 {
        return Err(Failure::said(
            "The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0",
        ));
    }
    let waits = duration(&args.timeout)?.is_some_and(|limit| !limit.is_zero()) && args.told.dry_run == DryRun::None;
    let chosen = targets(&session, &args.which, &args.files, args.all).await?;
    if chosen.len() > 1 && args.resource_version.is_some() {
        return Err(Failure::said("cannot use --resource-version with multiple resources"));
    }
    let mut written = Written::new(args.told.output.as_deref(), args.told.dry_run)?;
    for one in &chosen {
        let done = async {
            let scale = change(&session, &args, one).await?;
            if waits {
                within(&args.timeout, there(&session, one, i64::from(args.replicas))).await?;
            }
            Ok::<_, Failure>(scale)
        };
        match done.await {
            Ok(scale) => written.done(&one.0, scale, "scaled"),
            Err(failure) => written.failed(&failure.words()),
        }
    }
    written.end()
}

fn path((resource, namespace, name): &One) -> ResourcePath {
    resource.path(namespace.as_deref()).name(&**name)
}

async fn change(session: &Session, args: &Scale, one: &One) -> Result<Value, Failure> {
    let path = path(one).subresource("scale");
    let mut patch = json!({"spec": {"replicas": args.replicas}});
    let dry = args.told.dry_run;
    if args.current_replicas.is_some() || args.resource_version.is_some() || dry == DryRun::Client {
        let mut now = session.client.get(&path).await?;
        let count = now["spec"]["replicas"].as_i64().unwrap_or(0);
        // Less than nothing stands for any number.
        if let Some(expected) = args.current_replicas.filter(|expected| *expected >= 0)
            && count != i64::from(expected)
        {
            return Err(Failure::said(format!("Expected replicas to be {expected}, was {count}")));
        }
        let version = now["metadata"]["resourceVersion"].as_str().unwrap_or("").to_owned();
        if let Some(expected) = args.resource_version.as_ref().filter(|expected| **expected != version) {
            return Err(Failure::said(format!("Expected resource version to be {expected}, was {version}")));
        }
        if dry == DryRun::Client && now["spec"].is_object() {
            now["spec"]["replicas"] = json!(args.replicas);
            return Ok(now);
        }
        // What was looked at must still be so when it is written.
        patch["metadata"] = json!({"resourceVersion": version});
    }
    let write = WriteOptions { dry_run: dry == DryRun::Server, ..WriteOptions::default() };
    Ok(session.client.patch(&path, PatchKind::Merge, &patch, &PatchOptions { write, force: false }).await?)
}

/// Waits until a workload has so many pods and its controller has seen the change.
async fn there(session: &Session, one: &One, wanted: i64) -> Result<(), Failure> {
    let (resource, namespace, name) = one;
    let options =
        WatchOptions { fields: Some(format!("metadata.name={name}")), remote: true, ..WatchOptions::default() };
    let mut informer = Informer::<Value>::new(session.client.clone(), resource.path(namespace.as_deref()), options);
    loop {
        match informer.next().await {
            Step::Apply(object) if is_there(&object, wanted) => return Ok(()),
            Step::Delete(_) => return Err(Failure::said(format!("{} has been deleted", resource.named(name)))),
            _ => {}
        }
    }
}

fn is_there(object: &Value, wanted: i64) -> bool {
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    number(&object["status"]["replicas"]) == wanted
        && number(&object["status"]["observedGeneration"]) >= number(&object["metadata"]["generation"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Verb, read};
    use crate::fake;

    #[tokio::test]
    async fn what_must_hold_is_looked_at_first() {
        for (flags, ends_well, patched) in [
            ("", true, Some(json!({"spec": {"replicas": 3}}))),
            (
                "--current-replicas=2",
                true,
                Some(json!({"spec": {"replicas": 3}, "metadata": {"resourceVersion": "7"}})),
            ),
            ("--current-replicas=1", false, None),
            (
                "--current-replicas=-1",
                true,
                Some(json!({"spec": {"replicas": 3}, "metadata": {"resourceVersion": "7"}})),
            ),
            (
                "--resource-version=7",
                true,
                Some(json!({"spec": {"replicas": 3}, "metadata": {"resourceVersion": "7"}})),
            ),
            ("--resource-version=6", false, None),
            ("--dry-run=client", true, None),
            ("--timeout=5s", true, Some(json!({"spec": {"replicas": 3}}))),
        ] {
            let (session, log) = fake::session(|asked| match asked.line.contains("/scale") {
                true => (200, json!({"metadata": {"name": "web", "resourceVersion": "7"}, "spec": {"replicas": 2}})),
                false => (200, json!({"metadata": {"resourceVersion": "8"}, "items": [{"status": {"replicas": 3}}]})),
            });
            let line = format!("edgectl scale deploy/web --replicas=3 {flags}");
            let Verb::Scale(args) = read(line.trim()).unwrap().verb else { panic!("{line}") };
            let code = run(session, args).await.unwrap();
            assert_eq!(code == ExitCode::SUCCESS, ends_well, "{flags}");
            let patch = log.all().into_iter().find(|asked| asked.line.starts_with("PATCH")).map(|asked| asked.body);
            assert_eq!(patch, patched, "{flags}");
        }
    }
}
