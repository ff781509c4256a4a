//! Kustomizations that build on others.
//!
//! In: a folder. Out: the objects of its resources and bases, changed by each kustomization on the way up. A folder that
//! builds on itself is refused.

use std::path::{Path, PathBuf};

use kedge_api::kinds::Kinds;

use super::file::Kustomization;
use super::paths::{Folder, is_remote};
use super::{Piece, effective, generate, images, labels, names, order, patches, references};
use crate::error::Failure;
use crate::manifest;

/// Folders that are read, each as often as it is built on: a fleet has dozens.
const FOLDERS: usize = 1000;
/// Objects in all: each is compared with each other one, and ten thousand are more than a device takes.
const OBJECTS: usize = 10_000;
/// Objects that say so are for programs that read the folder, and not for the server.
const LOCAL: &str = "config.kubernetes.io/local-config";

/// The objects of a folder, as they are to be made.
pub fn build(folder: &Path) -> Result<Vec<Piece>, Failure> {
    let folder = Folder::open(folder)?;
    let mut walk = Walk { kinds: Kinds::everything().with_removed(), above: Vec::new(), seen: 0 };
    let kustomization = walk.enter(&folder, false)?;
    let mut pieces = walk.accumulate(&folder, &kustomization, Vec::new())?;
    generate::hash(&mut pieces);
    references::mend(&walk.kinds, &mut pieces)?;
    pieces.retain(|piece| {
        let local = piece.object["metadata"]["annotations"][LOCAL].as_str();
        local.is_none_or(|value| value == "false")
    });
    order::sort(&mut pieces, kustomization.sort_options.as_ref())?;
    Ok(pieces)
}

struct Walk {
    kinds: Kinds,
    /// The folders that are being built.
    above: Vec<PathBuf>,
    seen: usize,
}

impl Walk {
    /// Reads the kustomization of a folder, which must not build on itself.
    fn enter(&mut self, folder: &Folder, as_component: bool) -> Result<Kustomization, Failure> {
        let root = &folder.root;
        if let Some(visited) = self.above.iter().find(|visited| visited.starts_with(root)) {
            return Err(Failure::said(format!(
                "cycle detected: candidate root '{}' contains visited root '{}'",
                root.display(),
                visited.display()
            )));
        }
        self.seen += 1;
        if self.seen > FOLDERS {
            return Err(Failure::said(format!("the kustomization builds on more than {FOLDERS} folders")));
        }
        let kustomization = Kustomization::read(folder)?;
        if kustomization.is_component() != as_component {
            let kind = if as_component { "kind" } else { "kind !=" };
            return Err(Failure::said(format!("expected {kind} 'Component' for path '{}'", root.display())));
        }
        Ok(kustomization)
    }

    /// The objects of a kustomization; a component changes those of the one that uses it.
    fn accumulate(
        &mut self,
        folder: &Folder,
        said: &Kustomization,
        mut pieces: Vec<Piece>,
    ) -> Result<Vec<Piece>, Failure> {
        self.above.push(folder.root.clone());
        for entry in said.resources.iter().chain(&said.bases) {
            for piece in self.resource(folder, entry)? {
                add(&mut pieces, piece)?;
            }
        }
        generate::all(folder, said, &mut pieces)?;
        for entry in &said.components {
            let inner = Folder::open(&self.place(folder, entry)?)?;
            let component = self.enter(&inner, true)?;
            pieces = self.accumulate(&inner, &component, pieces)?;
        }
        patches::all(folder, said, &mut pieces)?;
        names::namespace(&self.kinds, &said.namespace, &mut pieces)?;
        names::around(&said.name_prefix, &said.name_suffix, &mut pieces);
        labels::all(said, &mut pieces)?;
        patches::json(folder, said, &mut pieces)?;
        images::replicas(said, &mut pieces)?;
        images::all(said, &mut pieces);
        references::mend(&self.kinds, &mut pieces)?;
        self.above.pop();
        Ok(pieces)
    }

    fn place(&self, folder: &Folder, entry: &str) -> Result<PathBuf, Failure> {
        if is_remote(entry) {
            return Err(Failure::said(format!(
                "{}: '{entry}' is not fetched: resources come from this machine only",
                folder.root.display()
            )));
        }
        Ok(folder.root.join(entry))
    }

    fn resource(&mut self, folder: &Folder, entry: &str) -> Result<Vec<Piece>, Failure> {
        let path = self.place(folder, entry)?;
        if path.is_dir() {
            if Path::new(entry).is_absolute() {
                return Err(Failure::said(format!("new root '{entry}' cannot be absolute")));
            }
            let inner = Folder::open(&path)?;
            let kustomization = self.enter(&inner, false)?;
            return self.accumulate(&inner, &kustomization, Vec::new());
        }
        let mut items = Vec::new();
        manifest::parse(&path.display().to_string(), &folder.read(entry)?, &mut items)?;
        for item in &items {
            if item.name().is_empty() {
                return Err(Failure::said(format!("{}: missing metadata.name in object", item.origin)));
            }
        }
        Ok(items.into_iter().map(Piece::new).collect())
    }
}

/// Adds an object, of which there must be no other.
pub fn add(pieces: &mut Vec<Piece>, piece: Piece) -> Result<(), Failure> {
    if let Some(other) = pieces.iter().find(|other| is_same(other, &piece)) {
        return Err(Failure::said(format!(
            "may not add resource with an already registered id: {} ({}, {})",
            piece.id(),
            piece.origin,
            other.origin
        )));
    }
    if pieces.len() == OBJECTS {
        return Err(Failure::said(format!("the kustomization makes more than {OBJECTS} objects")));
    }
    pieces.push(piece);
    Ok(())
}

/// Whether two are one object.
pub fn is_same(one: &Piece, other: &Piece) -> bool {
    one.name() == other.name() && one.gvk() == other.gvk() && effective(one.namespace()) == effective(other.namespace())
}
