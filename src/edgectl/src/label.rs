//! `label` and `annotate`: sets and removes labels and annotations.
//!
//! In: objects, `KEY=VALUE` and `KEY-`. Out: a merge patch for each. Values that are there stay without --overwrite.

use std::process::ExitCode;

use kedge_api::patch as local;
use kedge_client::{ListOptions, PatchKind, PatchOptions, WriteOptions};
use serde_json::{Map, Value, json};

use crate::args::{DryRun, Files, Label, Which as Chosen};
use crate::error::Failure;
use crate::manifest;
use crate::resource::Resource;
use crate::session::Session;
use crate::written::Written;

/// Which of the two verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// `label`.
    Labels,
    /// `annotate`.
    Annotations,
}

impl Which {
    fn field(self) -> &'static str {
        if self == Which::Labels { "labels" } else { "annotations" }
    }
}

/// An object that a command is about.
pub type One = (Resource, Option<String>, String);

/// A key, and its new value; none removes it.
type Change = (String, Option<String>);

/// Runs the verb.
pub async fn run(mut session: Session, args: Label, which: Which) -> Result<ExitCode, Failure> {
    let (words, changes) = split(&args.words)?;
    let what = which.field().trim_end_matches('s');
    if changes.is_empty() && !args.list {
        return Err(Failure::said(format!("at least one {what} update is required")));
    }
    if !changes.is_empty() && args.list {
        return Err(Failure::said(format!("--list takes no {what} to be changed")));
    }
    if args.all_namespaces {
        session.namespace = String::new();
    }
    let chosen = Chosen { words, selector: args.selector.clone(), field_selector: None };
    let all = args.all || args.selector.is_some();
    let chosen = targets(&session, &chosen, &args.files, all).await?;
    if args.list {
        return list(&session, &chosen, which).await;
    }
    let mut written = Written::new(args.told.output.as_deref(), args.told.dry_run)?;
    for one in &chosen {
        match change(&session, &args, which, one, &changes).await {
            Ok((object, changed)) => written.done(&one.0, object, word(which, changed, &changes)),
            Err(failure) => written.failed(&failure.words()),
        }
    }
    written.end()
}

/// What each object has.
async fn list(session: &Session, chosen: &[One], which: Which) -> Result<ExitCode, Failure> {
    for (resource, namespace, name) in chosen {
        let object = session.client.get(&resource.path(namespace.as_deref()).name(&**name)).await?;
        if chosen.len() > 1 {
            println!("Listing {} for {}:", which.field(), resource.named(name));
        }
        for (key, value) in object["metadata"][which.field()].as_object().into_iter().flatten() {
            println!("{key}={}", value.as_str().unwrap_or(""));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Changes one object; as it is then, and whether it is another one than before.
async fn change(
    session: &Session,
    args: &Label,
    which: Which,
    (resource, namespace, name): &One,
    changes: &[Change],
) -> Result<(Value, bool), Failure> {
    let path = resource.path(namespace.as_deref()).name(&**name);
    let mut now = session.client.get(&path).await?;
    let held = &now["metadata"][which.field()];
    let mut patch = Map::new();
    for (key, value) in changes {
        match value {
            Some(new) if held[key].as_str().is_some_and(|old| old != new) && !args.overwrite => {
                let old = held[key].as_str().unwrap_or("");
                return Err(Failure::said(format!("'{key}' already has a value ({old}), and --overwrite is false")));
            }
            Some(new) if held[key].as_str() == Some(new) => {}
            Some(new) => drop(patch.insert(key.clone(), json!(new))),
            // As kubectl, which tells it of labels only.
            None if held[key].is_null() && which.field() == "labels" => eprintln!("label \"{key}\" not found."),
            None if held[key].is_null() => {}
            None => drop(patch.insert(key.clone(), Value::Null)),
        }
    }
    if patch.is_empty() {
        return Ok((now, false));
    }
    let mut body = json!({"metadata": {which.field(): patch}});
    if args.told.dry_run == DryRun::Client {
        local::merge(&mut now, body).map_err(|fault| Failure::said(fault.to_string()))?;
        return Ok((now, true));
    }
    if let Some(version) = &args.resource_version {
        body["metadata"]["resourceVersion"] = json!(version);
    }
    let verb = if which == Which::Labels { "kubectl-label" } else { "kubectl-annotate" };
    let write = WriteOptions {
        dry_run: args.told.dry_run == DryRun::Server,
        field_manager: Some(args.field_manager.clone().unwrap_or_else(|| verb.to_owned())),
        ..WriteOptions::default()
    };
    let options = PatchOptions { write, force: false };
    Ok((session.client.patch(&path, PatchKind::Merge, &body, &options).await?, true))
}

fn word(which: Which, changed: bool, changes: &[Change]) -> &'static str {
    let only_removals = changes.iter().all(|(_, value)| value.is_none());
    match (which, changed) {
        (Which::Labels, false) => "not labeled",
        (Which::Labels, true) if only_removals => "unlabeled",
        (Which::Labels, true) => "labeled",
        (Which::Annotations, _) => "annotated",
    }
}

/// Words that name objects, and changes; `KEY-` is a removal once a type and a name were given.
fn split(words: &[String]) -> Result<(Vec<String>, Vec<Change>), Failure> {
    let (mut names, mut changes) = (Vec::new(), Vec::new());
    for word in words {
        match word.split_once('=') {
            Some(("", _)) => return Err(Failure::said(format!("invalid label spec: {word}"))),
            Some((key, value)) => changes.push((key.to_owned(), Some(value.to_owned()))),
            None if word.ends_with('-') && !names.is_empty() => {
                changes.push((word.trim_end_matches('-').to_owned(), None));
            }
            None if !changes.is_empty() => {
                return Err(Failure::said(format!("all resources must be specified before the changes: {word}")));
            }
            None => names.push(word.clone()),
        }
    }
    Ok((names, changes))
}

/// The objects that words, files and selectors choose. Without a name or selector `all` must be said. Where the
/// session's namespace is empty, it is in all of them.
pub async fn targets(session: &Session, which: &Chosen, files: &Files, all: bool) -> Result<Vec<One>, Failure> {
    let catalogue = session.catalogue().await?;
    let mut found = Vec::new();
    if files.are_given() {
        for item in manifest::read(files).await? {
            let (resource, object, _) = crate::apply::place(session, &catalogue, &item)?;
            let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
            found.push((resource, namespace, item.named()?.to_owned()));
        }
        return Ok(found);
    }
    for target in catalogue.targets(&which.words)? {
        let namespace = Some(session.namespace.clone());
        if let Some(name) = target.name {
            if session.namespace.is_empty() && target.resource.namespaced {
                return Err(Failure::said("a resource cannot be retrieved by name across all namespaces"));
            }
            found.push((target.resource, namespace, name));
            continue;
        }
        if !all && which.selector.is_none() && which.field_selector.is_none() {
            return Err(Failure::said("resource(s) were provided, but no name was specified"));
        }
        let options = ListOptions {
            labels: which.selector.clone(),
            fields: which.field_selector.clone(),
            ..ListOptions::default()
        };
        let list = session.client.list(&target.resource.path(namespace.as_deref()), &options).await?;
        for item in list["items"].as_array().into_iter().flatten() {
            let text = |field: &str| item["metadata"][field].as_str().map(str::to_owned);
            // The path of an object without a name is that of them all.
            let Some(name) = text("name").filter(|name| !name.is_empty()) else { continue };
            found.push((target.resource.clone(), text("namespace"), name));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_names_or_changes() {
        let words: Vec<String> = ["pods", "a", "x=y", "z-"].map(str::to_owned).to_vec();
        let (names, changes) = split(&words).unwrap();
        assert_eq!(names, ["pods", "a"]);
        assert_eq!(changes, [("x".to_owned(), Some("y".to_owned())), ("z".to_owned(), None)]);
        assert!(split(&["a".into(), "x=y".into(), "b".into()]).is_err());
        assert!(split(&["a".into(), "=y".into()]).is_err());
    }

    #[tokio::test]
    async fn a_dry_run_writes_nothing() {
        for (flags, patches) in [("", 1), ("--dry-run=client -o yaml", 0), ("--dry-run=server", 1), ("--list", 0)] {
            let (session, log) =
                crate::fake::session(|_| (200, json!({"metadata": {"name": "a", "labels": {"z": "1"}}})));
            let change = if flags == "--list" { "" } else { "x=y" };
            let line = format!("edgectl label pods a {change} {flags}");
            let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
            let crate::args::Verb::Label(args) = crate::args::read(&words).unwrap().verb else { panic!("{line}") };
            assert_eq!(run(session, args, Which::Labels).await.unwrap(), ExitCode::SUCCESS, "{flags}");
            let lines = log.lines().into_iter().filter(|line| line.starts_with("PATCH")).collect::<Vec<_>>();
            assert_eq!(lines.len(), patches, "{flags}");
            assert_eq!(lines.iter().any(|line| line.contains("dryRun=All")), flags == "--dry-run=server");
        }
    }
}
