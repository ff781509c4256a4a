//! `patch`: changes some fields of objects.
//!
//! In: objects and a patch in one of three forms. Out: a line for each. Never reads a patch of one form as another.

use std::process::ExitCode;

use kedge_api::decode::{self, Limits};
use kedge_api::kinds::Gvk;
use kedge_api::{patch as local, schema};
use kedge_client::{PatchKind, PatchOptions, WriteOptions};
use serde_json::Value;

use crate::args::{DryRun, Patch, PatchType};
use crate::error::Failure;
use crate::label::targets;
use crate::session::Session;
use crate::written::Written;

/// Runs the verb.
pub async fn run(session: Session, args: Patch) -> Result<ExitCode, Failure> {
    let patch = read(&args)?;
    let mut written = Written::new(args.told.output.as_deref(), args.told.dry_run)?;
    let chosen = targets(&session, &args.which, &args.files, false).await?;
    for (resource, namespace, name) in &chosen {
        let whole = resource.path(namespace.as_deref()).name(&**name);
        let path = match &args.subresource {
            Some(part) => whole.clone().subresource(&**part),
            None => whole.clone(),
        };
        let done = async {
            let before = session.client.get(&path).await?;
            if args.told.dry_run == DryRun::Client {
                let mut after = before.clone();
                change(&mut after, args.of_type, &patch)?;
                return Ok::<_, Failure>((before, after));
            }
            let write = WriteOptions {
                dry_run: args.told.dry_run == DryRun::Server,
                field_manager: Some(args.field_manager.clone()),
                ..WriteOptions::default()
            };
            let options = PatchOptions { write, force: false };
            let after = session.client.patch(&path, kind(args.of_type), &patch, &options).await?;
            Ok((before, after))
        };
        match done.await {
            Ok((before, after)) => {
                let verb = if before == after { "patched (no change)" } else { "patched" };
                written.done(resource, after, verb);
            }
            Err(failure) => written.failed(&failure.words()),
        }
    }
    written.end()
}

fn read(args: &Patch) -> Result<Value, Failure> {
    let (origin, bytes) = match (&args.patch, &args.patch_file) {
        (Some(text), None) if !text.is_empty() => ("--patch".to_owned(), text.clone().into_bytes()),
        (None, Some(path)) => {
            let bytes = std::fs::read(path).map_err(|source| Failure::Read { path: path.clone(), source })?;
            (path.display().to_string(), bytes)
        }
        (Some(_), Some(_)) => return Err(Failure::said("cannot specify --patch and --patch-file together")),
        _ => return Err(Failure::said("must specify --patch or --patch-file containing the contents of the patch")),
    };
    let value = decode::yaml(&bytes, &Limits::MANIFEST).map_err(|source| Failure::Parse { origin, source })?.value;
    match (args.of_type, &value) {
        (PatchType::Json, Value::Array(_)) | (PatchType::Merge | PatchType::Strategic, Value::Object(_)) => Ok(value),
        (PatchType::Json, _) => Err(Failure::said("a patch of --type=json is a list of operations")),
        _ => Err(Failure::said("a patch of this --type is an object with the fields that shall differ")),
    }
}

fn kind(of_type: PatchType) -> PatchKind {
    match of_type {
        PatchType::Json => PatchKind::Json,
        PatchType::Merge => PatchKind::Merge,
        PatchType::Strategic => PatchKind::Strategic,
    }
}

/// What the server would make of an object, for a dry run without it.
fn change(object: &mut Value, of_type: PatchType, patch: &Value) -> Result<(), Failure> {
    let text = |field: &str| object[field].as_str().unwrap_or("").to_owned();
    let gvk = Gvk::from_api_version(&text("apiVersion"), &text("kind"));
    let done = match of_type {
        PatchType::Json => local::json(object, patch.clone()),
        PatchType::Merge => local::merge(object, patch.clone()),
        PatchType::Strategic => match schema::of(&gvk) {
            Some(schema) => local::strategic(schema, object, patch.clone()),
            None => return Err(Failure::said("a custom resource takes no strategic patch; use --type=merge or json")),
        },
    };
    done.map_err(|fault| Failure::said(fault.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::args::{self, Verb};

    fn parsed(words: &str) -> Patch {
        match args::read(&format!("edgectl patch pod a {words}")).unwrap().verb {
            Verb::Patch(patch) => patch,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_patch_is_json_or_yaml_of_its_form() {
        assert_eq!(read(&parsed("-p {\"spec\":{\"a\":1}}")).unwrap(), json!({"spec": {"a": 1}}));
        let yaml = Patch { patch: Some("spec:\n  a:\n  - 1\n".to_owned()), ..parsed("-p {}") };
        assert_eq!(read(&yaml).unwrap(), json!({"spec": {"a": [1]}}));
        assert_eq!(read(&parsed("-p [] --type=json")).unwrap(), json!([]));
        for (words, why) in [
            ("", "must specify --patch"),
            ("-p {} --patch-file=x", "together"),
            ("-p {} --type=json", "list of operations"),
            ("-p [] --type=merge", "an object with"),
            ("-p {", "error parsing --patch"),
            ("--patch-file=/nowhere", "/nowhere"),
        ] {
            let said = read(&parsed(words)).unwrap_err().to_string();
            assert!(said.contains(why), "{words}: {said}");
        }
    }

    #[test]
    fn each_form_changes_in_its_way() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b"}]}});
        let one = json!({"spec": {"containers": [{"name": "a", "image": "y"}]}});
        let add = json!([{"op": "replace", "path": "/spec/containers/0/image", "value": "y"}]);
        for (of_type, patch, left) in
            [(PatchType::Strategic, &one, 2), (PatchType::Merge, &one, 1), (PatchType::Json, &add, 2)]
        {
            let mut object = pod.clone();
            change(&mut object, of_type, patch).unwrap();
            let containers = object["spec"]["containers"].as_array().unwrap();
            assert_eq!((containers.len(), &containers[0]["image"]), (left, &json!("y")), "{of_type:?}");
        }
        let mut custom = json!({"apiVersion": "a/v1", "kind": "Kettle"});
        assert!(change(&mut custom, PatchType::Strategic, &one).is_err());
    }
}
