//! `edit`: objects in the user's editor, and back.
//!
//! In: objects, an editor. Out: a patch for each that was changed. What the server refuses comes back into the editor
//! with the reason above it; what could not be saved stays in a file, which is named.

mod draft;

use std::process::ExitCode;

use kedge_api::decode::{self, Limits};
use kedge_api::kinds::Gvk;
use kedge_api::yaml;
use kedge_client::{ClientError, PatchOptions, WriteOptions};
use serde_json::{Value, json};

use crate::apply::{threeway, validation};
use crate::args::Edit;
use crate::error::Failure;
use crate::label::{One, targets};
use crate::output;
use crate::session::Session;
use draft::{Draft, Seen, content, seen};

/// What stands above the objects.
const HEAD: &str = "\
# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
";

/// Runs the verb.
pub async fn run(session: Session, args: Edit) -> Result<ExitCode, Failure> {
    let chosen = targets(&session, &args.which, &args.files, true).await?;
    let mut originals = Vec::new();
    for (resource, namespace, name) in &chosen {
        originals.push(original(&session, &args, resource.path(namespace.as_deref()).name(&**name)).await?);
    }
    if originals.is_empty() {
        return Err(Failure::said("edit cancelled, no objects found"));
    }
    let mut draft = Draft::new(&args.output)?;
    let done = rounds(&session, &args, &chosen, originals, &mut draft).await;
    if done.is_err() && draft.holds_changes() {
        eprintln!("A copy of your changes has been stored to \"{}\"", draft.keep().display());
    }
    done
}

/// Edits until all is saved or the user gives up. On an error the draft holds what the user wrote last.
async fn rounds(
    session: &Session,
    args: &Edit,
    chosen: &[One],
    mut originals: Vec<Value>,
    draft: &mut Draft,
) -> Result<ExitCode, Failure> {
    let mut body = body(&originals, &args.output);
    let mut reason = String::new();
    loop {
        let given = format!("{HEAD}{reason}{body}");
        let edited = draft.edit(&given)?;
        match seen(&given, &edited) {
            Seen::Same if reason.is_empty() => {
                eprintln!("Edit cancelled, no changes made.");
                return Ok(ExitCode::SUCCESS);
            }
            Seen::Same => return Err(Failure::said("Edit cancelled, no valid changes were saved.")),
            Seen::Empty => {
                eprintln!("Edit cancelled, saved file was empty.");
                return Ok(ExitCode::SUCCESS);
            }
            Seen::Changed => {}
        }
        body = content(&edited);
        let objects = match read(body.as_bytes(), &originals) {
            Ok(objects) => objects,
            Err(why) => {
                reason = commented(&format!("The edited file had a syntax error: {why}"));
                continue;
            }
        };
        let faults = save(session, args, chosen, &mut originals, &objects).await?;
        if faults.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        eprint!("{faults}");
        reason = commented(&faults);
    }
}

async fn original(session: &Session, args: &Edit, path: kedge_client::ResourcePath) -> Result<Value, Failure> {
    let path = match &args.subresource {
        Some(part) => path.subresource(&**part),
        None => path,
    };
    let mut object = session.client.get(&path).await?;
    if !args.show_managed_fields
        && let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut)
    {
        meta.remove("managedFields");
    }
    Ok(object)
}

fn body(objects: &[Value], format: &str) -> String {
    let whole = match objects {
        [only] => only.clone(),
        many => json!({"apiVersion": "v1", "kind": "List", "items": many}),
    };
    if format == "json" { output::json(&whole) } else { yaml::text(&whole) }
}

/// Lines of a comment.
fn commented(words: &str) -> String {
    let lines: String = words.lines().map(|line| format!("# {line}\n")).collect();
    lines + "#\n"
}

/// The objects of an edited text, in the order of those that were given to the user.
fn read(text: &[u8], originals: &[Value]) -> Result<Vec<Value>, String> {
    let documents = decode::any(text, &Limits::MANIFEST).map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    for document in documents {
        let object = document.decoded.value;
        match object["items"].as_array() {
            Some(items) if object["kind"] == "List" => found.extend(items.iter().cloned()),
            _ => found.push(object),
        }
    }
    if found.len() != originals.len() {
        return Err(format!("{} objects were given, and there are {} now", originals.len(), found.len()));
    }
    for (before, after) in originals.iter().zip(&found) {
        let identity = |object: &Value| {
            let meta = &object["metadata"];
            [&object["apiVersion"], &object["kind"], &meta["name"], &meta["namespace"]].map(Clone::clone)
        };
        if identity(before) != identity(after) {
            return Err("At least one of apiVersion, kind and name was changed".to_owned());
        }
    }
    Ok(found)
}

/// Sends what was changed; the words of what was refused. What was saved is the original from then on.
async fn save(
    session: &Session,
    args: &Edit,
    chosen: &[One],
    originals: &mut [Value],
    objects: &[Value],
) -> Result<String, Failure> {
    let write = WriteOptions {
        dry_run: false,
        field_validation: Some(validation(&args.validate)?),
        field_manager: Some(args.field_manager.clone()),
    };
    let mut faults = String::new();
    for (((resource, namespace, name), original), object) in chosen.iter().zip(originals).zip(objects) {
        let gvk = Gvk::new(&resource.group, &resource.version, &resource.kind);
        let patch = threeway::patch(&gvk, original, object, original);
        if patch.body.as_object().is_none_or(serde_json::Map::is_empty) {
            if chosen.len() == 1 {
                eprintln!("Edit cancelled, no changes made.");
            } else {
                println!("{} skipped", resource.named(name));
            }
            continue;
        }
        if args.output_patch {
            println!("Patch: {}", patch.body);
        }
        let path = resource.path(namespace.as_deref()).name(&**name);
        let path = match &args.subresource {
            Some(part) => path.subresource(&**part),
            None => path,
        };
        let options = PatchOptions { write: write.clone(), force: false };
        match session.client.patch(&path, patch.kind, &patch.body, &options).await {
            Ok(_) => {
                println!("{} edited", resource.named(name));
                original.clone_from(object);
            }
            Err(refusal @ ClientError::Status { .. }) => faults += &Failure::Api(refusal).words(),
            Err(other) => return Err(other.into()),
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "a"}})
    }

    #[test]
    fn one_object_or_a_list_comes_back() {
        for (originals, format) in [(vec![pod("a")], "yaml"), (vec![pod("a"), pod("b")], "json")] {
            assert_eq!(read(body(&originals, format).as_bytes(), &originals).unwrap(), originals);
        }
    }

    #[test]
    fn what_is_another_object_is_refused() {
        for (text, why) in [
            (body(&[pod("b")], "yaml"), "apiVersion, kind and name"),
            (body(&[pod("a"), pod("b")], "yaml"), "1 objects were given, and there are 2 now"),
            ("a: [".to_owned(), "line"),
            ("text".to_owned(), "apiVersion, kind and name"),
        ] {
            let said = read(text.as_bytes(), &[pod("a")]).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_change_is_a_patch_of_what_differs() {
        let before = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": "1", "b": "2"}},
            "spec": {"containers": [{"name": "x", "image": "1"}, {"name": "y"}]}});
        let mut after = before.clone();
        after["metadata"]["labels"] = json!({"a": "1"});
        after["spec"]["containers"][0]["image"] = json!("2");
        let patch = threeway::patch(&Gvk::new("", "v1", "Pod"), &before, &after, &before);
        assert_eq!(patch.body["metadata"], json!({"labels": {"b": null}}));
        assert_eq!(patch.body["spec"]["containers"], json!([{"name": "x", "image": "2"}]));
    }

    #[test]
    fn reasons_are_comments() {
        assert_eq!(commented("a\nb"), "# a\n# b\n#\n");
    }
}
