//! `replace`: objects as their manifests say and in no other way.
//!
//! In: whole manifests of objects that are there. Out: a line for each. Without --force nothing is created; with it what
//! was there is deleted first, and its end is waited for.

use std::process::ExitCode;

use kedge_client::{DeleteOptions, WriteOptions};
use serde_json::Value;

use crate::apply::{check_keys, located, place, validation, with_last_applied};
use crate::args::{DryRun, Replace};
use crate::delete::{gone, propagation, within};
use crate::error::Failure;
use crate::manifest::{self, Item};
use crate::resource::{Catalogue, Resource};
use crate::session::Session;
use crate::written::Written;

/// Runs the verb.
pub async fn run(session: Session, args: Replace) -> Result<ExitCode, Failure> {
    check(&args)?;
    let write = WriteOptions {
        dry_run: args.told.dry_run == DryRun::Server,
        field_validation: Some(validation(&args.validate)?),
        field_manager: Some(args.field_manager.clone()),
    };
    let mut written = Written::new(args.told.output.as_deref(), args.told.dry_run)?;
    let items = manifest::read(&args.files).await?;
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
    args.files.required()?;
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
    check_keys(item, validation(&args.validate)?)?;
    let (resource, object, collection) = place(session, catalogue, item)?;
    item.named()?;
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
        within(&args.timeout, gone(session, &path, None)).await?;
        if let Some(meta) = object["metadata"].as_object_mut() {
            meta.remove("resourceVersion");
        }
        return Ok((resource, session.client.create(&collection, &object, write).await?));
    }
    let path = match &args.subresource {
        Some(part) => path.subresource(&**part),
        None => path,
    };
    if args.told.dry_run == DryRun::Client {
        session.client.get(&path).await?;
        return Ok((resource, object));
    }
    // A version in the manifest is a condition: whoever changed the object since is not overwritten.
    if object["metadata"]["resourceVersion"].as_str().unwrap_or("").is_empty() {
        let now = session.client.get(&path).await?;
        object["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"].clone();
    }
    let stored = session.client.update(&path, &object, write).await?;
    Ok((resource, stored))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{self, Verb};

    #[test]
    fn what_does_not_fit_is_refused() {
        for (words, why) in [
            ("", "must specify one of -f and -k"),
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

    #[tokio::test]
    async fn a_version_in_the_manifest_is_a_condition() {
        for (own, expected) in [("", "9"), ("3", "3")] {
            let (session, log) = crate::fake::session(|asked| match asked.line.starts_with("GET") {
                true => (200, serde_json::json!({"metadata": {"resourceVersion": "9"}})),
                false => crate::fake::refusal(409, "Conflict"),
            });
            let catalogue = session.catalogue().await.unwrap();
            let meta = serde_json::json!({"name": "m", "resourceVersion": own});
            let object = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta});
            let item = Item { origin: String::new(), object, duplicates: Vec::new() };
            let Verb::Replace(args) = args::read("edgectl replace -f a").unwrap().verb else { panic!() };
            let done = one(&session, &args, &catalogue, &item, &WriteOptions::default()).await;
            assert!(matches!(done, Err(Failure::Api(fault)) if fault.is_conflict()));
            let puts: Vec<_> = log.all().into_iter().filter(|asked| asked.line.starts_with("PUT")).collect();
            assert_eq!(puts.len(), 1);
            assert_eq!(puts[0].body["metadata"]["resourceVersion"], expected);
        }
    }
}
