//! Manifests from files, folders, addresses and standard input.
//!
//! In: `-f` arguments. Out: objects with where they stand. Lists are taken apart. Never changes an object.

use std::io::Read;
use std::path::{Path, PathBuf};

use kedge_api::decode::{self, Limits};
use kedge_api::selector::LabelSelector;
use serde_json::Value;

use crate::args::Files;
use crate::error::Failure;
use crate::{elsewhere, kustomize};

/// An object of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// File and line, for messages.
    pub origin: String,
    /// The object.
    pub object: Value,
    /// Keys that stand twice.
    pub duplicates: Vec<String>,
}

impl Item {
    /// `apiVersion`.
    pub fn api_version(&self) -> &str {
        self.object["apiVersion"].as_str().unwrap_or("")
    }

    /// `kind`.
    pub fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap_or("")
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or("")
    }

    /// The name, which must be there: the path of an object without one is that of them all.
    pub fn named(&self) -> Result<&str, Failure> {
        match self.name() {
            "" => Err(Failure::said(format!("{}: resource name may not be empty", self.origin))),
            name => Ok(name),
        }
    }
}

/// The objects of manifests that must be given, and of those the ones that a selector takes.
pub async fn selected(files: &Files, selector: Option<&str>) -> Result<Vec<Item>, Failure> {
    files.required()?;
    let mut items = read(files).await?;
    if let Some(text) = selector {
        let selector = LabelSelector::parse(text).map_err(|e| Failure::said(e.to_string()))?;
        items.retain(|item| selector.matches(&item.object["metadata"]["labels"]));
    }
    Ok(items)
}

/// Reads everything. An error names file and line; nothing is done with a half-read set.
pub async fn read(files: &Files) -> Result<Vec<Item>, Failure> {
    let mut items = Vec::new();
    if let Some(folder) = &files.kustomize {
        if !files.filename.is_empty() {
            return Err(Failure::said("only one of -f or -k can be specified"));
        }
        if files.recursive {
            return Err(Failure::said("the -k flag can't be used with -f or -R"));
        }
        items = kustomize::build(folder)?;
    }
    for name in &files.filename {
        if name == "-" {
            let mut bytes = Vec::new();
            let limit = Limits::MANIFEST.bytes as u64 + 1;
            std::io::stdin()
                .take(limit)
                .read_to_end(&mut bytes)
                .map_err(|source| Failure::Read { path: PathBuf::from("standard input"), source })?;
            parse("STDIN", &bytes, &mut items)?;
            continue;
        }
        if elsewhere::is_address(name) {
            parse(name, &elsewhere::read(name).await?, &mut items)?;
            continue;
        }
        for path in paths(Path::new(name), files.recursive)? {
            let bytes = std::fs::read(&path).map_err(|source| Failure::Read { path: path.clone(), source })?;
            parse(&path.display().to_string(), &bytes, &mut items)?;
        }
    }
    if items.is_empty() {
        return Err(Failure::said("no objects passed to apply, create or delete: the files hold none"));
    }
    Ok(items)
}

/// A file as it is; of a folder what ends in .yaml, .yml or .json, by name.
fn paths(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, Failure> {
    let fail = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => Failure::said(format!("the path \"{}\" does not exist", path.display())),
        _ => Failure::Read { path: path.to_path_buf(), source },
    };
    if !std::fs::metadata(path).map_err(fail)?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?.path();
        if entry.is_dir() {
            if recursive {
                found.extend(paths(&entry, true)?);
            }
        } else if entry.extension().is_some_and(|e| matches!(e.to_str(), Some("yaml" | "yml" | "json"))) {
            found.push(entry);
        }
    }
    found.sort();
    Ok(found)
}

/// The objects of one text.
pub fn parse(origin: &str, bytes: &[u8], into: &mut Vec<Item>) -> Result<(), Failure> {
    let documents =
        decode::any(bytes, &Limits::MANIFEST).map_err(|source| Failure::Parse { origin: origin.to_owned(), source })?;
    for document in documents {
        let place = format!("{origin}:{}", document.line);
        let duplicates = document.decoded.duplicates;
        let mut object = document.decoded.value;
        if !object.is_object() {
            return Err(Failure::said(format!("{place}: an object with apiVersion and kind is expected here")));
        }
        let is_list = object["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) && object["items"].is_array();
        if is_list {
            let Value::Array(items) = object["items"].take() else { continue };
            into.extend(items.into_iter().map(|object| Item { origin: place.clone(), object, duplicates: Vec::new() }));
        } else {
            into.push(Item { origin: place, object, duplicates });
        }
    }
    for item in into.iter() {
        for (field, text) in [("apiVersion", item.api_version()), ("kind", item.kind())] {
            if text.is_empty() {
                return Err(Failure::said(format!("{}: {field} not set", item.origin)));
            }
        }
        if !item.object["metadata"].is_object() && !item.object["metadata"].is_null() {
            return Err(Failure::said(format!("{}: metadata is no object", item.origin)));
        }
        for field in ["annotations", "labels"] {
            let map = &item.object["metadata"][field];
            if !map.is_object() && !map.is_null() {
                return Err(Failure::said(format!("{}: metadata.{field} is no map", item.origin)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, String> {
        let mut items = Vec::new();
        parse("a.yaml", text.as_bytes(), &mut items).map_err(|e| e.to_string())?;
        Ok(items.iter().map(|i| format!("{} {} {}", i.origin, i.kind(), i.name())).collect())
    }

    #[test]
    fn documents_and_lists_are_taken_apart() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n# nothing\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: b}}\n";
        assert_eq!(names(text).unwrap(), ["a.yaml:1 Pod a", "a.yaml:7 Secret b"]);
    }

    #[tokio::test]
    async fn several_files_are_read() {
        let folder = std::env::temp_dir().join(format!("edgectl-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let one = |name: &str| {
            let path = folder.join(name);
            std::fs::write(&path, format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n")).unwrap();
            path.display().to_string()
        };
        let line = format!("edgectl apply -f {},{}", one("a"), one("b"));
        let crate::args::Verb::Apply(args) = crate::args::read(&line).unwrap().verb else { panic!("{line}") };
        let names: Vec<String> = read(&args.files).await.unwrap().iter().map(|item| item.name().to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn faults_name_file_and_line() {
        for (text, words) in [
            ("apiVersion: v1\nkind: [Pod\n", "a.yaml: line"),
            ("kind: Pod\n", "a.yaml:1: apiVersion not set"),
            ("just text\n", "a.yaml:1: an object"),
            ("apiVersion: v1\nkind: Pod\nmetadata: x\n", "a.yaml:1: metadata is no object"),
            ("apiVersion: v1\nkind: Pod\nmetadata: {annotations: []}\n", "a.yaml:1: metadata.annotations is no map"),
            ("apiVersion: v1\nkind: Pod\nmetadata: {labels: x}\n", "a.yaml:1: metadata.labels is no map"),
            ("apiVersion: v1\nkind: List\nitems: [x]\n", "a.yaml:1: apiVersion not set"),
        ] {
            let said = names(text).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }
}
