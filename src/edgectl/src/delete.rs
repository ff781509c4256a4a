//! `delete`: by manifest, by name, by selector; waits until they are gone.
//!
//! In: what to delete and how. Out: one line for each. Never deletes more than was named.

use std::process::ExitCode;

use kedge_client::{DeleteOptions, Informer, ListOptions, Propagation, ResourcePath, Step, WatchOptions};
use serde_json::Value;

use crate::args::{Delete, DryRun};
use crate::error::Failure;
use crate::manifest;
use crate::resource::{Resource, Target};
use crate::session::{Session, duration};

/// Runs the verb.
pub async fn run(session: Session, args: Delete) -> Result<ExitCode, Failure> {
    let options = options(&args)?;
    let targets = targets(&session, &args).await?;
    let (mut failed, mut going) = (false, Vec::new());
    if options.grace_period_seconds == Some(0) {
        eprintln!(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely."
        );
    }
    for (resource, namespace, name) in targets {
        let path = resource.path(namespace.as_deref()).name(&*name);
        let answer =
            if args.dry_run == DryRun::Client { Ok(Value::Null) } else { session.client.delete(&path, &options).await };
        match answer {
            Ok(answer) => {
                if args.output.as_deref() == Some("name") {
                    println!("{}", resource.named(&name));
                } else {
                    let how = if options.grace_period_seconds == Some(0) { "force deleted" } else { "deleted" };
                    let place = namespace.as_deref().filter(|_| resource.namespaced);
                    let place = place.map(|n| format!(" from {n} namespace")).unwrap_or_default();
                    println!(
                        "{} \"{name}\" {how}{place}{}",
                        resource_words(&resource),
                        crate::written::dry(args.dry_run)
                    );
                }
                let uid = answer.pointer("/metadata/uid").or_else(|| answer.pointer("/details/uid"));
                going.push((path, uid.and_then(Value::as_str).map(str::to_owned)));
            }
            Err(e) if e.is_not_found() && args.ignore_not_found => {}
            Err(e) => {
                failed = true;
                eprint!("{}", Failure::Api(e).words());
            }
        }
    }
    if args.wait && args.dry_run == DryRun::None {
        within(&args.timeout, async {
            for (path, uid) in &going {
                gone(&session, path, uid.as_deref()).await?;
            }
            Ok(())
        })
        .await?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn resource_words(resource: &Resource) -> String {
    resource.named("").trim_end_matches('/').to_owned()
}

fn options(args: &Delete) -> Result<DeleteOptions, Failure> {
    let propagation = propagation(&args.cascade)?;
    let grace = match (args.now, args.force, args.grace_period) {
        (true, _, _) => Some(1),
        (false, true, grace) if grace <= 0 => Some(0),
        (false, false, 0) => Some(1),
        (_, _, grace) if grace < 0 => None,
        (_, _, grace) => Some(grace),
    };
    Ok(DeleteOptions {
        grace_period_seconds: grace,
        propagation: Some(propagation),
        dry_run: args.dry_run == DryRun::Server,
        ..DeleteOptions::default()
    })
}

/// `--cascade`.
pub fn propagation(text: &str) -> Result<Propagation, Failure> {
    match text {
        "background" | "true" => Ok(Propagation::Background),
        "foreground" => Ok(Propagation::Foreground),
        "orphan" | "false" => Ok(Propagation::Orphan),
        other => Err(Failure::said(format!(
            "invalid cascade value ({other}). Must be \"background\", \"foreground\", or \"orphan\""
        ))),
    }
}

type One = (Resource, Option<String>, String);

async fn targets(session: &Session, args: &Delete) -> Result<Vec<One>, Failure> {
    let catalogue = session.catalogue().await?;
    let mut found = Vec::new();
    if args.files.are_given() {
        for item in manifest::read(&args.files).await? {
            let (resource, object, _) = crate::apply::place(session, &catalogue, &item)?;
            let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
            found.push((resource, namespace, item.named()?.to_owned()));
        }
        return Ok(found);
    }
    let namespace = (!args.all_namespaces).then(|| session.namespace.clone());
    for Target { resource, name } in catalogue.targets(&args.which.words)? {
        if let Some(name) = name {
            found.push((resource, namespace.clone(), name));
            continue;
        }
        if !args.all && args.which.selector.is_none() && args.which.field_selector.is_none() {
            return Err(Failure::said("resource(s) were provided, but no name was specified"));
        }
        let options = ListOptions {
            labels: args.which.selector.clone(),
            fields: args.which.field_selector.clone(),
            ..ListOptions::default()
        };
        let list = session.client.list(&resource.path(namespace.as_deref()), &options).await?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        if items.is_empty() {
            eprintln!("No resources found");
        }
        for item in items {
            let text = |field: &str| item["metadata"][field].as_str().map(str::to_owned);
            // The path of an object without a name is that of them all.
            let Some(name) = text("name").filter(|name| !name.is_empty()) else { continue };
            found.push((resource.clone(), text("namespace"), name));
        }
    }
    Ok(found)
}

/// Waits for something for so long; nothing or 0 is for ever.
pub async fn within(limit: &str, waiting: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    match duration(limit)?.filter(|limit| !limit.is_zero()) {
        None => waiting.await,
        Some(limit) => tokio::time::timeout(limit, waiting)
            .await
            .map_err(|_| Failure::said("timed out waiting for the condition"))?,
    }
}

/// Waits until an object is gone, or has another UID.
pub async fn gone(session: &Session, path: &ResourcePath, uid: Option<&str>) -> Result<(), Failure> {
    let Some(object) = session.client.get_opt(path).await? else { return Ok(()) };
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or("");
    if uid.is_some_and(|uid| uid != text("uid")) {
        return Ok(());
    }
    let options = WatchOptions {
        fields: Some(format!("metadata.name={}", text("name"))),
        remote: true,
        ..WatchOptions::default()
    };
    let mut informer = Informer::<Value>::new(session.client.clone(), path.clone().collection(), options);
    let mut there = false;
    loop {
        match informer.next().await {
            Step::Restart => there = false,
            Step::Apply(seen) if seen["metadata"]["uid"] == object["metadata"]["uid"] => there = true,
            Step::Apply(_) | Step::Delete(_) => return Ok(()),
            Step::Synced if !there => return Ok(()),
            Step::Synced => {}
        }
    }
}
