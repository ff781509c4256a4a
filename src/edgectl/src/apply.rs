//! `apply`: makes objects as their manifests say, by a three-way patch or on the server.
//!
//! In: manifests. Out: objects created or patched, one line each. Fields that somebody else set stay; fields that an
//! earlier apply set and the manifest no longer has go.

pub mod threeway;

use std::process::ExitCode;

use kedge_api::kinds::Gvk;
use kedge_client::{ClientError, FieldValidation, PatchKind, PatchOptions, ResourcePath, WriteOptions};
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
    let items = manifest::selected(&args.files, args.selector.as_deref())?;
    let catalogue = session.catalogue().await?;
    let validation = validation(&args.validate)?;
    let mut written = Written::new(args.output.as_deref(), args.dry_run)?;
    for item in &items {
        match one(&session, &args, &catalogue, item, validation).await {
            Ok(Applied { resource, object, verb, foreign }) => {
                if foreign {
                    eprintln!(
                        "Warning: resource {} is missing the {LAST_APPLIED} annotation which is required by apply. It will be patched automatically.",
                        resource.named(item.name())
                    );
                }
                written.done(&resource, object, verb);
            }
            Err(failure) => written.failed(&located(item, failure)),
        }
    }
    written.end()
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
    if !item.duplicates.is_empty() && validation == FieldValidation::Strict {
        return Err(Failure::said(format!("{}: these keys stand twice: {}", item.origin, item.duplicates.join(", "))));
    }
    if item.name().is_empty() {
        return Err(Failure::said(format!("{}: resource name may not be empty", item.origin)));
    }
    let write = WriteOptions {
        dry_run: args.dry_run == DryRun::Server,
        field_validation: Some(validation),
        field_manager: Some(args.field_manager.clone().unwrap_or_else(|| {
            if args.server_side { "kubectl".to_owned() } else { "kubectl-client-side-apply".to_owned() }
        })),
    };
    let target = path.clone().name(item.name());
    if args.server_side {
        if args.dry_run == DryRun::Client {
            return Err(Failure::said(
                "--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)",
            ));
        }
        let options = PatchOptions { write, force: args.force };
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
            Err(e) if args.force && e.code() == Some(422) => {
                session.client.delete(&target, &Default::default()).await?;
                crate::delete::gone(session, &target, None).await?;
                let made = session.client.create(&path, &modified, &write).await?;
                return Ok(applied(resource, made, "configured", foreign));
            }
            Err(e) => return Err(e.into()),
        }
    }
    Err(Failure::said(format!("{} is being changed by others all the time; try again", resource.named(item.name()))))
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
