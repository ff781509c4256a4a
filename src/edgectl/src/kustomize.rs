//! `kustomize` and `-k`: the objects that the kustomization of a folder makes.
//!
//! In: a folder with a kustomization.yaml. Out: its objects, changed as it says. Never asks a server, never fetches
//! anything, and passes over no field that it does not know.

mod file;
mod generate;
mod images;
mod labels;
mod names;
mod order;
mod patches;
mod paths;
mod references;
mod select;
mod tree;

use std::path::Path;
use std::process::ExitCode;

use kedge_api::kinds::{Gvk, Kinds};
use kedge_api::yaml;
use serde_json::Value;

use crate::args::Kustomize;
use crate::error::Failure;
use crate::manifest::Item;

/// Runs the verb.
pub fn run(args: &Kustomize) -> Result<ExitCode, Failure> {
    let text = text(&build(&args.folder)?);
    match &args.output {
        None => print!("{text}"),
        Some(path) => {
            std::fs::write(path, text).map_err(|e| Failure::said(format!("cannot write {}: {e}", path.display())))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The objects of a folder, in the order in which they are to be made.
pub fn build(folder: &str) -> Result<Vec<Item>, Failure> {
    if paths::is_remote(folder) {
        return Err(Failure::said(format!("{folder}: kustomizations are not fetched from elsewhere; name a folder")));
    }
    let pieces = tree::build(Path::new(folder))?;
    let item = |piece: Piece| Item { origin: piece.origin, object: piece.object, duplicates: piece.duplicates };
    Ok(pieces.into_iter().map(item).collect())
}

fn text(items: &[Item]) -> String {
    items.iter().map(|item| yaml::text(&item.object)).collect::<Vec<_>>().join("---\n")
}

/// An object on its way.
#[derive(Clone, Debug, PartialEq)]
struct Piece {
    /// Where it stands, for messages.
    origin: String,
    object: Value,
    /// Keys that stand twice.
    duplicates: Vec<String>,
    /// Namespaces and names that it had before; the first is how it was read.
    former: Vec<(String, String)>,
    /// A generator made it, and its name ends with a hash of what is in it.
    hashed: bool,
}

impl Piece {
    fn new(item: Item) -> Piece {
        Piece {
            origin: item.origin,
            object: item.object,
            duplicates: item.duplicates,
            former: Vec::new(),
            hashed: false,
        }
    }

    fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap_or("")
    }

    fn gvk(&self) -> Gvk {
        Gvk::from_api_version(self.object["apiVersion"].as_str().unwrap_or(""), self.kind())
    }

    fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or("")
    }

    fn namespace(&self) -> &str {
        self.object["metadata"]["namespace"].as_str().unwrap_or("")
    }

    /// Sets a field of its metadata, and keeps in mind what it was called.
    fn call(&mut self, field: &str, value: &str) {
        let before = (self.namespace().to_owned(), self.name().to_owned());
        paths::put(&mut self.object, &["metadata", field], value);
        self.remember(before);
    }

    /// Keeps in mind what it was called.
    fn remember(&mut self, before: (String, String)) {
        let now = (self.namespace(), self.name());
        if now != (&*before.0, &*before.1) && !self.former.contains(&before) {
            self.former.push(before);
        }
    }

    /// Every namespace and name that it has or had, the present ones first.
    fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        let former = self.former.iter().map(|(namespace, name)| (namespace.as_str(), name.as_str()));
        std::iter::once((self.namespace(), self.name())).chain(former)
    }

    /// As kustomize names it in its messages.
    fn id(&self) -> String {
        let gvk = self.gvk();
        let or = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
        format!(
            "{}.{}.{}/{}.{}",
            gvk.kind,
            gvk.version,
            or(&gvk.group, "[noGrp]"),
            self.name(),
            or(self.namespace(), "[noNs]")
        )
    }
}

/// No namespace is that of the name `default`.
fn effective(namespace: &str) -> &str {
    if namespace.is_empty() { "default" } else { namespace }
}

/// Whether objects of a kind certainly live in no namespace; kinds that nobody knows here do.
fn is_of_cluster(kinds: &Kinds, gvk: &Gvk) -> bool {
    let same_kind = || kinds.iter().find(|kind| kind.group == gvk.group && kind.kind == gvk.kind);
    kinds.by_gvk(gvk).or_else(same_kind).is_some_and(|kind| !kind.namespaced)
}

#[cfg(test)]
mod tests;
