//! `replace`: objects as their manifests say and in no other way.
//!
//! In: whole manifests of objects that are there. Out: a line for each. Without --force nothing is created; with it what
//! was there is deleted first, and its end is waited for.

use std::process::ExitCode;

use kedge_client::{DeleteOptions, WriteOptions};
use serde_json::{Value, json};

use crate::apply::{located, place, validation, with_last_applied};
use crate::args::{DryRun, Replace};
use crate::delete::{gone, propagation};
use crate::error::Failure;
use crate::manifest::{self, Item};
use crate::resource::{Catalogue, Resource};
use crate::session::{Session, duration};
use crate::written::Written;

/// Tries of one object when somebody else writes it at the same time.
const TRIES: usize = 5;

/// Runs the verb.
pub async fn run(session: Session, args: Replace) -> Result<ExitCode, Failure> {
    check(&args)?;
    let write = WriteOptions {
        dry_run: args.told.dry_run == DryRun::Server,
        field_validation: Some(validation(&args.validate)?),
        field_manager: Some(args.field_manager.clone()),
    };
    let mut written = Written::new(args.told.output.as_deref(), args.told.dry_run)?;
    let items = manifest::read(&args.files)?;
    let catalogue = session.catalogue().await?;
    for item in &items {
        match one(&session, &args, &catalogue, item, &write).await {
            Ok((resource, object)) => written.done(&resource, object, "replaced"),
            Err(failure) => written.failed(&located(item, failure)),
        }
    }
    written.end()
}

fn check(args: &Replace) -> Result<(), Failure> {
    if args.files.filename.is_empty() {
        return Err(Failure::said("must specify one of -f and -k"));
    }
    if args.grace_period >= 0 && !args.force {
        return Err(Failure::said("--grace-period must have --force specified"));
    }
    if args.timeout != "0s" && !args.force {
        return Err(Failure::said("--timeout must have --force specified"));
    }
    if args.force && args.told.dry_run != DryRun::None {
        return Err(Failure::said("--dry-run can not be used when --force is set"));
    }
    if args.force && args.subresource.is_some() {
        return Err(Failure::said("--subresource can not be used when --force is set"));
    }
    propagation(&args.cascade).map(drop)
}

async fn one(
    session: &Session,
    args: &Replace,
    catalogue: &Catalogue,
    item: &Item,
    write: &WriteOptions,
) -> Result<(Resource, Value), Failure> {
    let (resource, object, collection) = place(session, catalogue, item)?;
    if item.name().is_empty() {
        return Err(Failure::said(format!("{}: resource name may not be empty", item.origin)));
    }
    let mut object = if args.save_config { with_last_applied(&object) } else { object };
    let path = collection.clone().name(item.name());
    if args.force {
        let grace = if args.grace_period == 0 { Some(0) } else { Some(args.grace_period).filter(|g| *g >= 0) };
        let options = DeleteOptions {
            grace_period_seconds: grace,
            propagation: Some(propagation(&args.cascade)?),
            ..DeleteOptions::default()
        };
        match session.client.delete(&path, &options).await {
            Ok(_) => println!("{} \"{}\" deleted", resource.named("").trim_end_matches('/'), item.name()),
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e.into()),
        }
        let waiting = gone(session, &path, None);
        match duration(&args.timeout)?.filter(|limit| !limit.is_zero()) {
            None => waiting.await?,
            Some(limit) => tokio::time::timeout(limit, waiting)
                .await
                .map_err(|_| Failure::said("timed out waiting for the condition"))??,
        }
        if let Some(meta) = object["metadata"].as_object_mut() {
            meta.remove("resourceVersion");
        }
        return Ok((resource, session.client.create(&collection, &object, write).await?));
    }
    let path = match &args.subresource {
        Some(part) => path.subresource(&**part),
        None => path,
    };
    let mut tried = 0;
    loop {
        // Whatever was read when the manifest was written: it replaces what is there now.
        let now = session.client.get(&path).await?;
        object["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"].clone();
        if args.told.dry_run == DryRun::Client {
            return Ok((resource, object));
        }
        tried += 1;
        match session.client.update(&path, &object, write).await {
            Ok(stored) => return Ok((resource, stored)),
            Err(e) if e.is_conflict() && tried < TRIES => {}
            Err(e) => return Err(e.into()),
        }
        object["metadata"]["resourceVersion"] = json!(null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{self, Verb};

    #[test]
    fn what_does_not_fit_is_refused() {
        for (words, why) in [
            ("", "must specify one of -f"),
            ("-f a --grace-period=0", "--grace-period must have --force"),
            ("-f a --timeout=1s", "--timeout must have --force"),
            ("-f a --force --dry-run=server", "--dry-run can not"),
            ("-f a --cascade=sideways", "invalid cascade value (sideways)"),
            ("-f a --force --grace-period=0 --timeout=1s", ""),
        ] {
            let parsed = args::read(format!("edgectl replace {words}").trim()).unwrap();
            let Verb::Replace(replace) = parsed.verb else { panic!("{words}") };
            let said = check(&replace).err().map_or(String::new(), |e| e.to_string());
            assert!(said.contains(why) && said.is_empty() == why.is_empty(), "{words}: {said}");
        }
    }
}
