//! `apply`: makes objects as their manifests say, by a three-way patch or on the server.
//!
//! In: manifests. Out: objects created or patched, one line each. Fields that somebody else set stay; fields that an
//! earlier apply set and the manifest no longer has go.

mod prune;
pub mod threeway;

use std::process::ExitCode;

use kedge_api::kinds::Gvk;
use kedge_client::{ClientError, DeleteOptions, FieldValidation, PatchKind, PatchOptions, ResourcePath, WriteOptions};
use serde_json::{Value, json};

use crate::args::{Apply, DryRun};
use crate::error::Failure;
use crate::manifest::{self, Item};
use crate::resource::{Catalogue, Resource};
use crate::session::Session;
use crate::written::Written;

/// The annotation that holds what was applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Tries of one object when somebody else writes it at the same time.
const TRIES: usize = 5;

/// Runs the verb.
pub async fn run(session: Session, args: Apply) -> Result<ExitCode, Failure> {
    check(&args)?;
    let items = manifest::selected(&args.files, args.selector.as_deref()).await?;
    let catalogue = session.catalogue().await?;
    let validation = validation(&args.validate)?;
    if args.prune && items.is_empty() {
        return Err(Failure::said("no objects passed to apply"));
    }
    let prune = match args.prune {
        true => Some(prune::Plan::new(&args, &catalogue)?),
        false => None,
    };
    let mut written = Written::new(args.output.as_deref(), args.dry_run)?;
    let mut applied = Vec::new();
    for item in &items {
        match one(&session, &args, &catalogue, item, validation).await {
            Ok(Applied { resource, object, verb, foreign }) => {
                if foreign {
                    eprintln!(
                        "Warning: resource {} is missing the {LAST_APPLIED} annotation which is required by apply. It will be patched automatically.",
                        resource.named(item.name())
                    );
                }
                let text = |field: &str| object["metadata"][field].as_str().unwrap_or("").to_owned();
                applied.push(prune::Kept {
                    namespace: text("namespace"),
                    uid: text("uid"),
                    named: resource.named(item.name()),
                });
                written.done(&resource, object, verb);
            }
            Err(failure) => written.failed(&located(item, failure)),
        }
    }
    // Where something could not be applied, what is missing among what was applied tells nothing.
    if let Some(plan) = prune.filter(|_| applied.len() == items.len()) {
        plan.run(&session, &applied, &mut written).await?;
    }
    written.end()
}

/// Flags that do not go together, in kubectl's order and words.
fn check(args: &Apply) -> Result<(), Failure> {
    let why = match args.dry_run {
        _ if args.force_conflicts && !args.server_side => "--force-conflicts only works with --server-side",
        DryRun::Client if args.server_side => {
            "--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)"
        }
        _ if args.force && args.server_side => "--force cannot be used with --server-side",
        _ if args.prune && !args.all && args.selector.is_none() => {
            "all resources selected for prune without explicitly passing --all. To prune all resources, pass the --all flag. If you did not mean to prune all resources, specify a label selector"
        }
        _ if args.all && args.selector.is_some() => "cannot set --all and --selector at the same time",
        DryRun::Server if args.force => "--dry-run=server cannot be used with --force",
        _ => return Ok(()),
    };
    Err(Failure::said(why))
}

/// The failure's words, with the place in the manifest.
pub fn located(item: &Item, failure: Failure) -> String {
    match failure {
        Failure::Api(ClientError::Status { .. }) => {
            let words = failure.words();
            format!("{} ({})\n", words.trim_end(), item.origin)
        }
        other => other.words(),
    }
}

/// `--validate`.
pub fn validation(text: &str) -> Result<FieldValidation, Failure> {
    match text {
        "strict" | "true" | "" => Ok(FieldValidation::Strict),
        "warn" => Ok(FieldValidation::Warn),
        "ignore" | "false" => Ok(FieldValidation::Ignore),
        other => Err(Failure::said(format!(
            "invalid - validate option \"{other}\"; must be one of: strict (or true), warn, ignore (or false)"
        ))),
    }
}

/// Of keys that stand twice the server would see one only, so they are told here.
pub fn check_keys(item: &Item, validation: FieldValidation) -> Result<(), Failure> {
    if item.duplicates.is_empty() || validation == FieldValidation::Ignore {
        return Ok(());
    }
    let words = format!("{}: these keys stand twice: {}", item.origin, item.duplicates.join(", "));
    if validation == FieldValidation::Strict {
        return Err(Failure::said(words));
    }
    eprintln!("Warning: {words}");
    Ok(())
}

/// The kind of a manifest's object and its path; the namespace is put in where it is missing.
pub fn place(
    session: &Session,
    catalogue: &Catalogue,
    item: &Item,
) -> Result<(Resource, Value, ResourcePath), Failure> {
    let resource = catalogue.of(item.api_version(), item.kind()).cloned().ok_or_else(|| {
        Failure::said(format!(
            "resource mapping not found for name: \"{}\" namespace: \"{}\" from \"{}\": no matches for kind \"{}\" in version \"{}\"\nensure CRDs are installed first",
            item.name(),
            item.object["metadata"]["namespace"].as_str().unwrap_or(""),
            item.origin,
            item.kind(),
            item.api_version()
        ))
    })?;
    let mut object = item.object.clone();
    let own = object["metadata"]["namespace"].as_str().map(str::to_owned);
    if resource.namespaced {
        match &own {
            Some(own) if session.namespace_given && *own != session.namespace => {
                return Err(Failure::said(format!(
                    "the namespace from the provided object \"{own}\" does not match the namespace \"{}\". You must pass '--namespace={own}' to perform this operation.",
                    session.namespace
                )));
            }
            Some(_) => {}
            None => object["metadata"]["namespace"] = json!(session.namespace),
        }
    }
    let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
    let path = resource.path(namespace.as_deref());
    Ok((resource, object, path))
}

/// What became of an object.
pub struct Applied {
    /// Its kind.
    pub resource: Resource,
    /// The object as stored, or as it would be.
    pub object: Value,
    verb: &'static str,
    /// It was not made by an apply.
    foreign: bool,
}

/// Applies one object.
pub async fn one(
    session: &Session,
    args: &Apply,
    catalogue: &Catalogue,
    item: &Item,
    validation: FieldValidation,
) -> Result<Applied, Failure> {
    let (resource, object, path) = place(session, catalogue, item)?;
    check_keys(item, validation)?;
    item.named()?;
    let write = WriteOptions {
        dry_run: args.dry_run == DryRun::Server,
        field_validation: Some(validation),
        field_manager: Some(args.field_manager.clone().unwrap_or_else(|| {
            if args.server_side { "kubectl".to_owned() } else { "kubectl-client-side-apply".to_owned() }
        })),
    };
    let target = path.clone().name(item.name());
    if args.server_side {
        let options = PatchOptions { write, force: args.force_conflicts };
        let stored = session.client.patch(&target, PatchKind::Apply, &object, &options).await?;
        return Ok(Applied { resource, object: stored, verb: "serverside-applied", foreign: false });
    }
    let applied = |resource, object, verb, foreign| Applied { resource, object, verb, foreign };
    let modified = if args.plain { without_last_applied(&object) } else { with_last_applied(&object) };
    for _ in 0..TRIES {
        let Some(current) = session.client.get_opt(&target).await? else {
            if args.dry_run == DryRun::Client {
                return Ok(applied(resource, modified, "created", false));
            }
            let made = session.client.create(&path, &modified, &write).await?;
            return Ok(applied(resource, made, "created", false));
        };
        let last = current["metadata"]["annotations"][LAST_APPLIED].as_str();
        let foreign = last.is_none();
        let last: Value = last.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
        let gvk = Gvk::from_api_version(item.api_version(), item.kind());
        let patch = threeway::patch(&gvk, &last, &modified, &current);
        if patch.body.as_object().is_none_or(serde_json::Map::is_empty) {
            return Ok(applied(resource, current, "unchanged", foreign));
        }
        if args.dry_run == DryRun::Client {
            return Ok(applied(resource, modified, "configured", foreign));
        }
        let options = PatchOptions { write: write.clone(), force: false };
        match session.client.patch(&target, patch.kind, &patch.body, &options).await {
            Ok(stored) if stored["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"] => {
                return Ok(applied(resource, stored, "unchanged", foreign));
            }
            Ok(stored) => return Ok(applied(resource, stored, "configured", foreign)),
            Err(e) if e.is_conflict() || e.is_not_found() => {}
            // In a dry run nothing is deleted, whatever the flags say.
            Err(e) if args.force && args.dry_run == DryRun::None && e.code() == Some(422) => {
                let made = anew(session, args, &path, &current, &modified, &write).await?;
                return Ok(applied(resource, made, "configured", foreign));
            }
            Err(e) => return Err(e.into()),
        }
    }
    Err(Failure::said(format!("{} is being changed by others all the time; try again", resource.named(item.name()))))
}

/// How objects are deleted.
fn deletion(args: &Apply) -> Result<DeleteOptions, Failure> {
    Ok(DeleteOptions {
        grace_period_seconds: Some(args.grace_period).filter(|seconds| *seconds >= 0),
        propagation: Some(crate::delete::propagation(&args.cascade)?),
        dry_run: args.dry_run == DryRun::Server,
        ..DeleteOptions::default()
    })
}

/// Deletes an object and creates it as it shall be; what cannot be created is put back as it was.
async fn anew(
    session: &Session,
    args: &Apply,
    collection: &ResourcePath,
    current: &Value,
    wanted: &Value,
    write: &WriteOptions,
) -> Result<Value, Failure> {
    let path = collection.clone().name(current["metadata"]["name"].as_str().unwrap_or(""));
    session.client.delete(&path, &deletion(args)?).await?;
    crate::delete::within(&args.timeout, crate::delete::gone(session, &path, None)).await?;
    let fault = match session.client.create(collection, wanted, write).await {
        Ok(made) => return Ok(made),
        Err(fault) => fault,
    };
    let mut before = current.clone();
    if let Some(meta) = before.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.retain(|field, _| !matches!(&**field, "resourceVersion" | "uid" | "managedFields"));
    }
    match session.client.create(collection, &before, &WriteOptions::default()).await {
        Ok(_) => Err(fault.into()),
        Err(second) => Err(Failure::said(format!(
            "the object was deleted and could not be created anew: {fault}\nneither could it be put back as it was: {second}"
        ))),
    }
}

/// The object with itself, as it was applied, in the annotation.
pub fn with_last_applied(object: &Value) -> Value {
    let plain = without_last_applied(object);
    let mut modified = plain.clone();
    modified["metadata"]["annotations"][LAST_APPLIED] = json!(plain.to_string() + "\n");
    modified
}

/// The object as its manifest says, with annotations though there be none.
fn without_last_applied(object: &Value) -> Value {
    let mut plain = object.clone();
    if let Some(annotations) = plain["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    if plain["metadata"]["annotations"].is_null() {
        plain["metadata"]["annotations"] = json!({});
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Verb, read};
    use crate::fake::{self, Asked, Log, refusal};

    fn parsed(flags: &str) -> Apply {
        match read(format!("edgectl apply -f x {flags}").trim()).unwrap().verb {
            Verb::Apply(args) => args,
            other => panic!("{other:?}"),
        }
    }

    fn item() -> Item {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "2"}});
        Item { origin: "x:1".to_owned(), object, duplicates: Vec::new() }
    }

    /// Applies over a server that holds another object.
    async fn applied(
        flags: &str,
        answer: impl Fn(&Asked) -> (u16, Value) + Send + Sync + 'static,
    ) -> (Result<&'static str, String>, Log) {
        let (session, log) = fake::session(answer);
        let catalogue = session.catalogue().await.unwrap();
        let done = one(&session, &parsed(flags), &catalogue, &item(), FieldValidation::Strict).await;
        (done.map(|applied| applied.verb).map_err(|fault| fault.to_string()), log)
    }

    fn held() -> Value {
        json!({"metadata": {"name": "m", "namespace": "default", "uid": "u", "resourceVersion": "1"}, "data": {"a": "1"}})
    }

    #[test]
    fn flags_that_do_not_go_together_are_refused() {
        for (flags, why) in [
            ("--force", ""),
            ("--server-side --force-conflicts", ""),
            ("--force-conflicts", "--force-conflicts only works with --server-side"),
            ("--server-side --force", "--force cannot be used with --server-side"),
            ("--force --dry-run=server", "--dry-run=server cannot be used with --force"),
            ("--prune -l a=b", ""),
            ("--prune --all", ""),
            ("--prune", "all resources selected for prune"),
            ("--prune --all -l a=b", "cannot set --all and --selector"),
            ("--server-side --dry-run", "--dry-run=client doesn't work with --server-side"),
        ] {
            let said = check(&parsed(flags)).err().map_or(String::new(), |fault| fault.to_string());
            assert!(said.starts_with(why) && said.is_empty() == why.is_empty(), "{flags}: {said}");
        }
    }

    #[tokio::test]
    async fn only_force_deletes_and_never_in_a_dry_run() {
        for (flags, deletes) in
            [("--force-conflicts", false), ("", false), ("--force --dry-run=server", false), ("--force", true)]
        {
            let (_, log) = applied(flags, |asked| match &asked.line[..3] {
                "PAT" => refusal(422, "Invalid"),
                // Gone once it was deleted, for which the name alone is asked again.
                "GET" => (200, held()),
                _ => refusal(500, "Broken"),
            })
            .await;
            let lines = log.lines();
            assert_eq!(lines.iter().any(|line| line.starts_with("DELETE")), deletes, "{flags}: {lines:?}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_made_anew_is_put_back() {
        let deleted = std::sync::atomic::AtomicBool::new(false);
        let (said, log) = applied("--force", move |asked| match &asked.line[..3] {
            "PAT" => refusal(422, "Invalid"),
            "DEL" => {
                deleted.store(true, std::sync::atomic::Ordering::Relaxed);
                (200, json!({}))
            }
            "GET" if deleted.load(std::sync::atomic::Ordering::Relaxed) => refusal(404, "NotFound"),
            "GET" => (200, held()),
            _ if asked.body["data"]["a"] == "2" => refusal(422, "Invalid"),
            _ => (201, asked.body.clone()),
        })
        .await;
        assert_eq!(said, Err("it is Invalid".to_owned()));
        let last = log.all().pop().unwrap();
        assert!(last.line.starts_with("POST"), "{last:?}");
        assert_eq!(last.body, json!({"metadata": {"name": "m", "namespace": "default"}, "data": {"a": "1"}}));
    }

    #[tokio::test]
    async fn what_a_server_holds_may_be_anything() {
        let (session, _) = fake::session(|asked| match asked.line.starts_with("DELETE") {
            true => (200, json!({})),
            false => refusal(404, "NotFound"),
        });
        let (collection, write) = (ResourcePath::core("configmaps"), WriteOptions::default());
        for current in [json!([]), json!("x"), json!({"metadata": 7})] {
            let done = anew(&session, &parsed("--force"), &collection, &current, &json!({}), &write).await;
            assert!(done.is_err(), "{current}");
        }
    }

    #[test]
    fn keys_that_stand_twice_are_told() {
        let twice = Item { duplicates: vec!["data.a".to_owned()], ..item() };
        assert!(check_keys(&twice, FieldValidation::Strict).unwrap_err().to_string().contains("data.a"));
        check_keys(&twice, FieldValidation::Warn).unwrap();
        check_keys(&item(), FieldValidation::Strict).unwrap();
    }
}
