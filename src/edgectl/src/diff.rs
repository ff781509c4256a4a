//! `diff`: what an apply would change.
//!
//! In: manifests. Out: the differences as `diff` shows them, between what is there and what the server would make of it
//! (a dry run); exit code 0 without any, 1 with some, more for errors. Never changes an object, never shows a secret.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use kedge_api::yaml;
use kedge_client::FieldValidation;
use serde_json::{Value, json};

use crate::apply::{self, located, place};
use crate::args::{Apply, Diff, DryRun};
use crate::error::Failure;
use crate::manifest;
use crate::resource::Resource;
use crate::session::Session;

/// The exit code of errors: 1 says that there are differences.
const FAILED: u8 = 2;
/// Names that are tried for a folder.
const NAMES: u32 = 100;

/// Runs the verb.
pub async fn run(session: Result<Session, Failure>, args: Diff) -> Result<ExitCode, Failure> {
    let compared = async { compare(session?, args).await };
    match compared.await {
        Ok(code) => Ok(ExitCode::from(code)),
        Err(failure @ Failure::Print(_)) => Err(failure),
        Err(failure) => {
            eprint!("{}", failure.words());
            Ok(ExitCode::from(FAILED))
        }
    }
}

async fn compare(session: Session, args: Diff) -> Result<u8, Failure> {
    if args.force_conflicts && !args.server_side {
        return Err(Failure::said("--force-conflicts only works with --server-side"));
    }
    let items = manifest::selected(&args.files, args.selector.as_deref()).await?;
    let catalogue = session.catalogue().await?;
    let (live, merged) = (Folder::new("LIVE")?, Folder::new("MERGED")?);
    let as_apply = Apply {
        files: args.files.clone(),
        server_side: args.server_side,
        force_conflicts: args.force_conflicts,
        force: false,
        field_manager: args.field_manager.clone(),
        dry_run: DryRun::Server,
        validate: String::new(),
        output: None,
        selector: None,
        prune: false,
        all: false,
        prune_allowlist: Vec::new(),
        cascade: "background".to_owned(),
        grace_period: -1,
        timeout: "0s".to_owned(),
        wait: false,
        plain: true,
    };
    for item in &items {
        let both = async {
            let (resource, object, path) = place(&session, &catalogue, item)?;
            let before = session.client.get_opt(&path.name(item.named()?)).await?;
            let after = apply::one(&session, &as_apply, &catalogue, item, FieldValidation::Warn).await?.object;
            let name = file_name(&resource, object["metadata"]["namespace"].as_str(), item.name());
            Ok::<_, Failure>((name, before.unwrap_or(Value::Null), after))
        };
        let (name, mut before, mut after) = match both.await {
            Ok(both) => both,
            Err(failure) => {
                eprint!("{}", located(item, failure));
                return Ok(FAILED);
            }
        };
        if !args.show_managed_fields {
            [&mut before, &mut after].into_iter().for_each(unmanaged);
        }
        mask(&mut before, &mut after);
        live.write(&name, &before)?;
        merged.write(&name, &after)?;
    }
    let (program, words) = program(std::env::var("KUBECTL_EXTERNAL_DIFF").ok());
    let status = Command::new(&program).args(words).arg(&live.0).arg(&merged.0).status();
    let status = status.map_err(|error| Failure::said(format!("cannot run \"{program}\": {error}")))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED))
}

/// The program that compares, and its first words. Words that a shell would take for something else are left out.
fn program(given: Option<String>) -> (String, Vec<String>) {
    let given = given.unwrap_or_default();
    let mut words = given.split_whitespace().map(str::to_owned);
    match words.next() {
        None => ("diff".to_owned(), vec!["-u".to_owned(), "-N".to_owned()]),
        Some(program) => {
            let plain = |word: &String| word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '='));
            (program, words.filter(plain).collect())
        }
    }
}

/// `apps.v1.Deployment.default.web`.
fn file_name(resource: &Resource, namespace: Option<&str>, name: &str) -> String {
    let namespace = namespace.filter(|_| resource.namespaced).unwrap_or("");
    let parts = [&resource.group, &resource.version, &resource.kind, namespace, name];
    // A name may not lead out of the folder.
    parts.join(".").trim_start_matches('.').replace('/', "_")
}

fn unmanaged(object: &mut Value) {
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.remove("managedFields");
    }
}

/// Values of secrets are replaced by stars that tell whether they differ.
fn mask(before: &mut Value, after: &mut Value) {
    if before["kind"] != "Secret" && after["kind"] != "Secret" {
        return;
    }
    for field in ["data", "stringData"] {
        let held = [&*before, &*after].map(|object| object[field].as_object().cloned().unwrap_or_default());
        let differs =
            |key: &String| held[0].get(key) != held[1].get(key) && held.iter().all(|map| map.contains_key(key));
        for (object, differing) in [(&mut *before, "*** (before)"), (&mut *after, "*** (after)")] {
            for (key, value) in object.get_mut(field).and_then(Value::as_object_mut).into_iter().flatten() {
                *value = json!(if differs(key) { differing } else { "***" });
            }
        }
    }
    for object in [before, after] {
        if let Some(map) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
            // What was applied last holds the values again.
            map.remove(apply::LAST_APPLIED);
        }
    }
}

/// A folder of ours, which goes in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Folder, Failure> {
        let mut last = None;
        for number in 0..NAMES {
            let path = std::env::temp_dir().join(format!("{name}-{}{number:02}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Folder(path)),
                Err(error) => last = Some(error),
            }
        }
        let why = last.map_or_else(String::new, |error| error.to_string());
        Err(Failure::said(format!("cannot make a folder in {}: {why}", std::env::temp_dir().display())))
    }

    /// What is not there is an empty file.
    fn write(&self, name: &str, object: &Value) -> Result<(), Failure> {
        let path = Path::join(&self.0, name);
        let text = if object.is_null() { String::new() } else { yaml::text(object) };
        std::fs::write(&path, text).map_err(|e| Failure::said(format!("cannot write {}: {e}", path.display())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans the folder of temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_diff_or_the_users() {
        for (given, expected) in [
            (None, "diff -u -N"),
            (Some(""), "diff -u -N"),
            (Some("colordiff -N -u"), "colordiff -N -u"),
            (Some("mydiff --color=always ;rm"), "mydiff --color=always"),
        ] {
            let (program, words) = program(given.map(str::to_owned));
            assert_eq!(format!("{program} {}", words.join(" ")), expected);
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        let secret = |data: Value| json!({"kind": "Secret", "metadata": {"annotations": {apply::LAST_APPLIED: "x"}}, "data": data});
        let mut before = secret(json!({"same": "eA==", "changed": "eA==", "gone": "eA=="}));
        let mut after = secret(json!({"same": "eA==", "changed": "eQ==", "new": "eA=="}));
        mask(&mut before, &mut after);
        assert_eq!(before["data"], json!({"same": "***", "changed": "*** (before)", "gone": "***"}));
        assert_eq!(after["data"], json!({"same": "***", "changed": "*** (after)", "new": "***"}));
        assert_eq!(after["metadata"]["annotations"], json!({}));
        let (mut nothing, mut first) = (Value::Null, secret(json!({"a": "eA=="})));
        mask(&mut nothing, &mut first);
        assert_eq!((nothing, first["data"].clone()), (Value::Null, json!({"a": "***"})));
    }

    #[test]
    fn files_are_named_by_kind_and_name() {
        let resource = |group: &str, namespaced| Resource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            kind: "Kettle".to_owned(),
            namespaced,
            ..Resource::default()
        };
        assert_eq!(file_name(&resource("a", true), Some("n"), "web"), "a.v1.Kettle.n.web");
        assert_eq!(file_name(&resource("", false), Some("n"), "../x"), "v1.Kettle...._x");
    }

    #[test]
    fn folders_go_in_the_end() {
        let folder = Folder::new("LIVE").unwrap();
        let path = folder.0.clone();
        folder.write("a", &json!({"kind": "Pod"})).unwrap();
        assert_eq!(std::fs::read_to_string(path.join("a")).unwrap(), "kind: Pod\n");
        drop(folder);
        assert!(!path.exists());
    }
}
