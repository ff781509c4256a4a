//! Patches: strategic merges, and lists of operations.
//!
//! In: patches in files or in the kustomization itself. Out: objects changed, or gone. A patch for an object that is not
//! there is refused, but for one with a target, which may mean none.

use kedge_api::decode::{self, Limits};
use kedge_api::{patch, schema};
use serde_json::Value;

use super::file::{Kustomization, Patch, PatchOptions};
use super::paths::Folder;
use super::select::Selector;
use super::{Piece, effective};
use crate::error::Failure;
use crate::manifest::Item;

/// Those of a kustomization, but for `patchesJson6902`.
pub fn all(folder: &Folder, said: &Kustomization, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
    for entry in &said.patches_strategic_merge {
        let is_file = !entry.contains('\n') && folder.root.join(entry).is_file();
        let (origin, bytes) = if is_file {
            (place(folder, entry), folder.read(entry)?)
        } else {
            (place(folder, "patchesStrategicMerge"), entry.as_bytes().to_vec())
        };
        for body in documents(&origin, &bytes)? {
            merge(&origin, body, None, &PatchOptions::default(), pieces)?;
        }
    }
    for one in &said.patches {
        let (origin, bodies) = read(folder, one)?;
        let target = one.target.as_ref().map(Selector::parse).transpose()?;
        for body in bodies {
            match (&body, &target) {
                (Value::Array(_), Some(target)) => {
                    for piece in pieces.iter_mut().filter(|piece| target.takes(piece)) {
                        operate(&origin, body.clone(), piece)?;
                    }
                }
                (Value::Array(_), None) => {
                    return Err(Failure::said(format!("{origin}: must specify a target for JSON patch")));
                }
                (_, target) => merge(&origin, body, target.as_ref(), &one.options, pieces)?,
            }
        }
    }
    Ok(())
}

/// `patchesJson6902`, which each are for one object.
pub fn json(folder: &Folder, said: &Kustomization, pieces: &mut [Piece]) -> Result<(), Failure> {
    for one in &said.patches_json {
        let (origin, bodies) = read(folder, one)?;
        let Some(target) = &one.target else {
            return Err(Failure::said(format!("{origin}: must specify the target field")));
        };
        let selector = Selector::parse(target)?;
        let mut meant: Vec<&mut Piece> = pieces.iter_mut().filter(|piece| selector.takes(piece)).collect();
        let [piece] = meant.as_mut_slice() else {
            let (count, name) = (meant.len(), &target.name);
            return Err(Failure::said(format!("{origin}: {count} objects are as the target {name:?} says, not one")));
        };
        for body in bodies {
            operate(&origin, body, piece)?;
        }
    }
    Ok(())
}

fn place(folder: &Folder, what: &str) -> String {
    folder.root.join(what).display().to_string()
}

fn read(folder: &Folder, one: &Patch) -> Result<(String, Vec<Value>), Failure> {
    let (origin, bytes) = match (one.path.as_str(), one.patch.as_str()) {
        ("", "") => return Err(Failure::said(format!("{}: must specify one of patch and path", place(folder, "")))),
        (path, "") => (place(folder, path), folder.read(path)?),
        ("", patch) => (place(folder, "patches"), patch.as_bytes().to_vec()),
        _ => return Err(Failure::said(format!("{}: patch and path can't be set at the same time", place(folder, "")))),
    };
    let bodies = documents(&origin, &bytes)?;
    Ok((origin, bodies))
}

fn documents(origin: &str, bytes: &[u8]) -> Result<Vec<Value>, Failure> {
    let fault = |source| Failure::Parse { origin: origin.to_owned(), source };
    let found = decode::any(bytes, &Limits::MANIFEST).map_err(fault)?;
    let bodies: Vec<Value> = found.into_iter().map(|document| document.decoded.value).collect();
    match bodies.iter().all(|body| body.is_object() || body.is_array()) {
        true if !bodies.is_empty() => Ok(bodies),
        _ => Err(Failure::said(format!("{origin}: unable to parse SM or JSON patch"))),
    }
}

/// A strategic merge; kinds that nobody knows here are merged field by field.
fn merge(
    origin: &str,
    body: Value,
    target: Option<&Selector>,
    options: &PatchOptions,
    pieces: &mut Vec<Piece>,
) -> Result<(), Failure> {
    let wanted = Piece::new(Item { origin: origin.to_owned(), object: body, duplicates: Vec::new() });
    let is_meant = |piece: &Piece| match target {
        Some(target) => target.takes(piece),
        None => {
            piece.gvk() == wanted.gvk()
                && piece.names().any(|(namespace, name)| {
                    let stated = wanted.namespace();
                    name == wanted.name() && (stated.is_empty() || effective(namespace) == effective(stated))
                })
        }
    };
    let count = pieces.iter().filter(|piece| is_meant(piece)).count();
    if target.is_none() && count != 1 {
        let (why, id) = (if count == 0 { "no matches" } else { "multiple matches" }, wanted.id());
        return Err(Failure::said(format!("{origin}: {why} for Id {id}; failed to find unique target for patch {id}")));
    }
    if wanted.object["$patch"] == "delete" {
        pieces.retain(|piece| !is_meant(piece));
        return Ok(());
    }
    for piece in pieces.iter_mut().filter(|piece| is_meant(piece)) {
        let (gvk, before) = (piece.gvk(), (piece.namespace().to_owned(), piece.name().to_owned()));
        let mut body = wanted.object.clone();
        if let Some(map) = body.as_object_mut() {
            map.remove("apiVersion");
            if !options.allow_kind_change {
                map.remove("kind");
            }
        }
        if let Some(meta) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            // Which object is meant is no change of it.
            meta.retain(|field, _| match field.as_str() {
                "name" => options.allow_name_change,
                "namespace" => false,
                _ => true,
            });
        }
        let done = match schema::of(&gvk) {
            Some(schema) => patch::strategic(schema, &mut piece.object, body),
            None => patch::merge(&mut piece.object, body),
        };
        done.map_err(|why| Failure::said(format!("{origin}: cannot patch {}: {why}", piece.id())))?;
        piece.remember(before);
    }
    Ok(())
}

/// A list of operations.
fn operate(origin: &str, body: Value, piece: &mut Piece) -> Result<(), Failure> {
    let before = (piece.namespace().to_owned(), piece.name().to_owned());
    let id = piece.id();
    let fault = |why: String| Failure::said(format!("{origin}: cannot patch {id}: {why}"));
    patch::json(&mut piece.object, body).map_err(|why| fault(why.to_string()))?;
    if piece.kind().is_empty() || piece.name().is_empty() {
        return Err(fault("what it leaves is no object with a kind and a name".to_owned()));
    }
    piece.remember(before);
    Ok(())
}
