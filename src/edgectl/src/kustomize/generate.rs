//! Config maps and secrets that are made of literals, files and files of variables.
//!
//! In: what to make. Out: objects, whose names end with a hash of what is in them, so that what uses them is rolled out
//! anew when it changes. Never reads a file outside of the folder.

use kedge_api::base64;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::file::{Generator, Kustomization, Options};
use super::paths::Folder;
use super::{Piece, effective, tree};
use crate::create::variables;
use crate::error::Failure;

/// Which of the two is made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    ConfigMap,
    Secret,
}

/// Makes those of a kustomization.
pub fn all(folder: &Folder, said: &Kustomization, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
    let maps = said.config_map_generator.iter().map(|one| (What::ConfigMap, one));
    for (what, one) in maps.chain(said.secret_generator.iter().map(|one| (What::Secret, one))) {
        let fail =
            |why: String| Failure::said(format!("{}: generator of \"{}\": {why}", folder.root.display(), one.name));
        if what == What::ConfigMap && !one.of_type.is_empty() {
            return Err(fail("unknown field \"type\"".to_owned()));
        }
        let piece = make(folder, what, one, &said.generator_options).map_err(|failure| fail(failure.to_string()))?;
        let same = |other: &Piece| {
            other.kind() == piece.kind()
                && other.names().any(|(namespace, name)| {
                    name == piece.name() && effective(namespace) == effective(piece.namespace())
                })
        };
        let there = pieces.iter_mut().find(|other| same(other));
        match (one.behavior.as_str(), there) {
            ("" | "create" | "unspecified", _) => tree::add(pieces, piece)?,
            ("merge", Some(held)) => merge(held, piece),
            ("replace", Some(held)) => {
                let name = held.name().to_owned();
                let (former, namespace) = (held.former.clone(), held.namespace().to_owned());
                let metadata = held.object["metadata"].clone();
                *held = Piece { former, ..piece };
                for field in ["labels", "annotations"] {
                    keep(&mut held.object["metadata"], field, &metadata[field]);
                }
                held.call("name", &name);
                if !namespace.is_empty() {
                    held.call("namespace", &namespace);
                }
            }
            ("merge" | "replace", None) => {
                return Err(fail(format!("there is none that its behavior \"{}\" could be done to", one.behavior)));
            }
            (other, _) => return Err(fail(format!("behavior must be create, merge or replace, and not \"{other}\""))),
        }
    }
    Ok(())
}

fn make(folder: &Folder, what: What, one: &Generator, common: &Options) -> Result<Piece, Failure> {
    if one.name.is_empty() {
        return Err(Failure::said("it must have a name"));
    }
    let options = together(common, &one.options);
    let kind = if what == What::Secret { "Secret" } else { "ConfigMap" };
    let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": one.name}});
    if !one.namespace.is_empty() {
        object["metadata"]["namespace"] = json!(one.namespace);
    }
    for (field, pairs) in [("labels", &options.labels), ("annotations", &options.annotations)] {
        if !pairs.is_empty() {
            object["metadata"][field] = json!(pairs);
        }
    }
    if what == What::Secret {
        object["type"] = json!(if one.of_type.is_empty() { "Opaque" } else { &one.of_type });
    }
    if options.immutable {
        object["immutable"] = json!(true);
    }
    for (key, bytes) in data(folder, one)? {
        let (field, text) = match (what, String::from_utf8(bytes)) {
            (What::Secret, Ok(text)) => ("data", base64::encode(text.as_bytes())),
            (What::Secret, Err(e)) => ("data", base64::encode(e.as_bytes())),
            (What::ConfigMap, Ok(text)) => ("data", text),
            (What::ConfigMap, Err(e)) => ("binaryData", base64::encode(e.as_bytes())),
        };
        if ["data", "binaryData"].iter().any(|field| !object[*field][&key].is_null()) {
            return Err(Failure::said(format!("cannot add key {key}, another key by that name already exists")));
        }
        object[field][&key] = json!(text);
    }
    Ok(Piece {
        origin: folder.root.display().to_string(),
        object,
        duplicates: Vec::new(),
        former: Vec::new(),
        hashed: !options.disable_name_suffix_hash,
    })
}

/// Those of all generators, and those of one.
fn together(common: &Options, own: &Options) -> Options {
    let mut all = common.clone();
    all.labels.extend(own.labels.clone());
    all.annotations.extend(own.annotations.clone());
    all.disable_name_suffix_hash |= own.disable_name_suffix_hash;
    all.immutable |= own.immutable;
    all
}

fn data(folder: &Folder, one: &Generator) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut all = Vec::new();
    for name in one.envs.iter().chain(Some(&one.env).filter(|name| !name.is_empty())) {
        let text = String::from_utf8(folder.read(name)?);
        all.extend(variables(&text.map_err(|_| Failure::said(format!("{name} is no text")))?)?);
    }
    for source in &one.files {
        let (key, name) = match source.split_once('=') {
            Some((key, name)) => (key, name),
            None => (source.rsplit('/').next().unwrap_or(source), source.as_str()),
        };
        if key.is_empty() || name.is_empty() || name.contains('=') {
            return Err(Failure::said(format!("invalid file source {source}, expected [key=]file")));
        }
        all.push((key.to_owned(), folder.read(name)?));
    }
    for literal in &one.literals {
        let (key, value) = literal
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| Failure::said(format!("invalid literal source {literal}, expected key=value")))?;
        let quoted = |quote: char| value.strip_prefix(quote).and_then(|inner| inner.strip_suffix(quote));
        all.push((key.to_owned(), quoted('"').or_else(|| quoted('\'')).unwrap_or(value).as_bytes().to_vec()));
    }
    Ok(all)
}

/// Keeps pairs that were there, under those that are new.
fn keep(metadata: &mut Value, field: &str, old: &Value) {
    let Some(mut pairs) = old.as_object().cloned() else { return };
    pairs.extend(metadata[field].as_object().cloned().unwrap_or_default());
    metadata[field] = Value::Object(pairs);
}

/// Adds what a generator made to what another one did.
fn merge(held: &mut Piece, more: Piece) {
    for path in ["/data", "/binaryData", "/metadata/labels", "/metadata/annotations"] {
        let Some(new) = more.object.pointer(path).and_then(Value::as_object) else { continue };
        let steps: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let mut here = &mut held.object;
        for step in steps {
            let Some(map) = here.as_object_mut() else { return };
            here = map.entry(step).or_insert_with(|| json!({}));
        }
        if let Some(map) = here.as_object_mut() {
            map.extend(new.clone());
        }
    }
    // Of one key in both fields the newer counts.
    for (field, other) in [("data", "binaryData"), ("binaryData", "data")] {
        let new: Vec<String> =
            more.object[field].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
        if let Some(map) = held.object.get_mut(other).and_then(Value::as_object_mut) {
            new.iter().for_each(|key| drop(map.remove(key)));
        }
    }
    held.hashed &= more.hashed;
}

/// Puts hashes at the end of names.
pub fn hash(pieces: &mut [Piece]) {
    for piece in pieces.iter_mut().filter(|piece| piece.hashed) {
        let name = format!("{}-{}", piece.name(), digest(&piece.object));
        piece.call("name", &name);
    }
}

/// Ten letters of the digest of what is in it, in an alphabet that spells no words. The name has a place in what is
/// digested, which kustomize leaves empty: what is renamed elsewhere keeps its hash.
fn digest(object: &Value) -> String {
    let field = |name: &str| object.get(name).cloned().unwrap_or_else(|| json!(""));
    let mut whole = Map::new();
    whole.insert("data".to_owned(), field("data"));
    whole.insert("kind".to_owned(), field("kind"));
    whole.insert("name".to_owned(), json!(""));
    if object["kind"] == "Secret" {
        whole.insert("type".to_owned(), field("type"));
    }
    for more in ["binaryData", "stringData"] {
        if object[more].is_object() {
            whole.insert(more.to_owned(), object[more].clone());
        }
    }
    let bytes = Sha256::digest(as_go(&Value::Object(whole)));
    let letters: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let letter = |c: char| match c {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        other => other,
    };
    letters.chars().take(10).map(letter).collect()
}

/// JSON as Go writes it: keys in order, and no letter that means something to HTML.
fn as_go(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => text.push_str(&format!("\\u{:04x}", c as u32)),
            c => text.push(c),
        }
    }
    // The only two that are written in another way.
    text.replace("\\b", "\\u0008").replace("\\f", "\\u000c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_kustomizes() {
        for (object, expected) in [
            (json!({"kind": "ConfigMap"}), "6ct58987ht"),
            (json!({"kind": "ConfigMap", "data": {"one": ""}}), "9g67k2htb6"),
            (json!({"kind": "ConfigMap", "data": {"two": 2, "one": "", "three": 3}}), "7757f9kkct"),
            (json!({"kind": "ConfigMap", "binaryData": {"one": ""}}), "6mtk2m274t"),
            (json!({"kind": "ConfigMap", "data": {"one": ""}, "binaryData": {"two": ""}}), "698h7c7t9m"),
            (json!({"kind": "Secret", "type": "my-type"}), "5gmgkf8578"),
            (json!({"kind": "Secret", "type": "my-type", "data": {"one": ""}}), "74bd68bm66"),
            (json!({"kind": "Secret", "type": "my-type", "data": {"two": 2, "one": "", "three": 3}}), "4gf75c7476"),
        ] {
            let mut named = object.clone();
            named["metadata"] = json!({"name": "any"});
            assert_eq!(digest(&named), expected, "{object}");
        }
    }

    #[test]
    fn json_is_written_as_go_does() {
        assert_eq!(
            as_go(&json!({"b": "<&>\u{2028}\u{8}\n", "a": 1})),
            r#"{"a":1,"b":"\u003c\u0026\u003e\u2028\u0008\n"}"#
        );
    }
}
