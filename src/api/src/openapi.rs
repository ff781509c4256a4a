//! The OpenAPI documents that are published: version 2 whole, version 3 by group and version.
//!
//! In: the served kinds. Out: bytes, written definition by definition and kept by nobody here; a caller that serves
//! them often keeps them compressed. Never knows HTTP.

mod custom;
mod definitions;
mod gnostic;
mod others;
mod paths;
mod shape;

pub use custom::{NoSchemas, Schemas};
pub use others::{PartFault, part};
pub use shape::ShapeFault;

use crate::kinds::{Kind, Kinds, Sub, Verb};
use crate::schema::{self, Docs, Node};
use definitions::Flavour;
use others::Merged;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Version 2 (`/openapi/v2`) as JSON, with the parts that other servers publish. Old versions are not in it: whoever
/// reads the whole document would pay for them, and clients that need theirs read version 3.
pub fn v2(kinds: &Kinds, schemas: &dyn Schemas, others: &[&[u8]]) -> Vec<u8> {
    let mut out = Writer::new();
    out.member("swagger", &json!("2.0"));
    out.member("info", &info());
    let merged = merged(kinds, schemas, others);
    let mut part = "";
    each_of_v2(kinds, schemas, &merged, |wanted, name, value| {
        if part != wanted {
            if !part.is_empty() {
                out.close();
            }
            out.open(wanted);
            part = wanted;
        }
        out.member(name, value);
    });
    if !part.is_empty() {
        out.close();
    }
    out.member("securityDefinitions", &security());
    out.member("security", &json!([{"BearerToken": []}]));
    out.finish()
}

/// Version 2 in the protobuf form that `kubectl` asks for
/// (`application/com.github.proto-openapi.spec.v2@v1.0+protobuf`).
pub fn v2_protobuf(kinds: &Kinds, schemas: &dyn Schemas, others: &[&[u8]]) -> Vec<u8> {
    let mut document = gnostic::Document::new(&info());
    let merged = merged(kinds, schemas, others);
    each_of_v2(kinds, schemas, &merged, |part, name, value| match part {
        PATHS => document.path(name, value),
        _ => document.definition(name, value),
    });
    document.finish()
}

const PATHS: &str = "paths";
const DEFINITIONS: &str = "definitions";

/// Every path, then every definition of version 2, one at a time.
fn each_of_v2(kinds: &Kinds, schemas: &dyn Schemas, merged: &Merged, mut out: impl FnMut(&'static str, &str, &Value)) {
    let kinds = &kinds.without_removed();
    let docs = Docs::open();
    paths::all(kinds).iter().for_each(|(path, item)| out(PATHS, path, item));
    merged.paths.iter().for_each(|(path, item)| out(PATHS, path, item));
    for (name, node) in definitions_of(kinds, |_| true) {
        let mut definition = definitions::render(node, &docs, Flavour::V2, kinds);
        merged.note_kinds(name, &mut definition);
        out(DEFINITIONS, name, &definition);
    }
    for (name, mut definition) in kinds.iter().flat_map(|kind| custom::definitions(kind, schemas, Flavour::V2)) {
        merged.note_kinds(&name, &mut definition);
        out(DEFINITIONS, &name, &definition);
    }
    merged.definitions.iter().for_each(|(name, definition)| out(DEFINITIONS, name, definition));
}

/// What others publish, beside our own; without others nothing is looked at.
fn merged(kinds: &Kinds, schemas: &dyn Schemas, others: &[&[u8]]) -> Merged {
    if others.is_empty() {
        return Merged::default();
    }
    let kinds = &kinds.without_removed();
    let docs = Docs::open();
    let paths: BTreeSet<String> = paths::all(kinds).into_iter().map(|(path, _)| path).collect();
    let nodes = definitions_of(kinds, |_| true);
    let custom: BTreeMap<String, Value> =
        kinds.iter().flat_map(|kind| custom::definitions(kind, schemas, Flavour::V2)).collect();
    let own = |name: &str| match nodes.get(name) {
        Some(node) => Some(definitions::render(*node, &docs, Flavour::V2, kinds)),
        None => custom.get(name).cloned(),
    };
    Merged::of(others, |path| paths.contains(path), own)
}

/// `/openapi/v3`: where each group and version's document is, with a mark that changes when the document may.
pub fn v3_index(kinds: &Kinds) -> Value {
    let mut entries: BTreeMap<String, Value> = BTreeMap::new();
    for (group, version) in group_versions(kinds) {
        let link = v3_link(kinds, &group, &version);
        entries.insert(v3_path(&group, &version), json!({"serverRelativeURL": link}));
    }
    json!({"paths": entries})
}

/// Where the document of a group and version is, with its mark.
pub fn v3_link(kinds: &Kinds, group: &str, version: &str) -> String {
    format!("/openapi/v3/{}?hash={}", v3_path(group, version), mark(kinds, group, version))
}

/// The path of a group and version below `/openapi/v3/`: `api/v1`, `apis/apps/v1`.
pub fn v3_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// Version 3 of one group and version as JSON; `None` if it is not served.
pub fn v3(kinds: &Kinds, group: &str, version: &str, schemas: &dyn Schemas) -> Option<Vec<u8>> {
    if kinds.of_version(group, version).is_empty() {
        return None;
    }
    let docs = Docs::open();
    let mut out = Writer::new();
    out.member("openapi", &json!("3.0.0"));
    out.member("info", &info());
    out.open("paths");
    for (path, item) in paths::of_version(kinds, group, version) {
        out.member(&path, &paths::to_v3(item));
    }
    out.close();
    out.open("components");
    out.open("schemas");
    for (name, node) in definitions_of(kinds, |kind| kind.group == group && kind.version == version) {
        out.member(name, &definitions::render(node, &docs, Flavour::V3, kinds));
    }
    for kind in kinds.of_version(group, version) {
        for (name, definition) in custom::definitions(kind, schemas, Flavour::V3) {
            out.member(&name, &definition);
        }
    }
    out.close();
    out.member("securitySchemes", &security());
    out.close();
    Some(out.finish())
}

/// A mark of the version 2 document that changes when the document may: for `ETag`.
pub fn v2_mark(kinds: &Kinds) -> String {
    let parts: String = group_versions(kinds).iter().map(|(group, version)| mark(kinds, group, version)).collect();
    hex(&Sha256::digest(parts))
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": "v1.36"})
}

fn security() -> Value {
    json!({"BearerToken": {"description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey"}})
}

fn group_versions(kinds: &Kinds) -> BTreeSet<(String, String)> {
    kinds.iter().map(|kind| (kind.group.to_string(), kind.version.to_string())).collect()
}

/// Everything that a document is made of is either compiled in or in the rows of its version.
fn mark(kinds: &Kinds, group: &str, version: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(env!("CARGO_PKG_VERSION"));
    for kind in kinds.of_version(group, version) {
        hasher.update(format!("{kind:?}"));
    }
    hex(&hasher.finalize())
}

/// The first 16 bytes, which are enough to tell documents apart.
fn hex(digest: &[u8]) -> String {
    digest.iter().take(16).fold(String::new(), |text, byte| format!("{text}{byte:02X}"))
}

/// Every definition that the wanted kinds need, by full name.
fn definitions_of(kinds: &Kinds, wanted: impl Fn(&Kind) -> bool) -> BTreeMap<&'static str, Node<'static>> {
    const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
    let mut found = BTreeMap::new();
    let mut add = |name: &str| {
        if let Some(node) = schema::named(name) {
            reach(node, &mut found);
        }
    };
    for name in
        ["APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "DeleteOptions", "Patch", "Status", "WatchEvent"]
    {
        add(&format!("{META}{name}"));
    }
    add("io.k8s.apimachinery.pkg.version.Info");
    for kind in kinds.iter().filter(|kind| wanted(kind)) {
        if kind.custom {
            for name in ["ObjectMeta", "ListMeta"] {
                add(&format!("{META}{name}"));
            }
            if kind.has_sub(Sub::Scale) {
                add("io.k8s.api.autoscaling.v1.Scale");
            }
            continue;
        }
        let Some(own) = schema::of(&kind.gvk()) else { continue };
        add(own.name());
        if kind.verbs.has(Verb::List) {
            add(&format!("{}List", own.name()));
        }
        for sub in &kind.subresources {
            let is_connect = matches!(sub, Sub::Attach | Sub::Exec | Sub::PortForward | Sub::Proxy);
            if let Some(own) = schema::of(&sub.gvk(kind)).filter(|_| !is_connect) {
                add(own.name());
            }
        }
    }
    found
}

fn reach(node: Node<'static>, found: &mut BTreeMap<&'static str, Node<'static>>) {
    if let Some(name) = node.name() {
        if found.contains_key(name) {
            return;
        }
        // Under its own name, whichever field led here.
        found.insert(name, schema::named(name).unwrap_or(node));
    }
    match node.shape() {
        schema::Shape::Struct(own) => own.fields().for_each(|field| reach(field.node(), found)),
        schema::Shape::List(item) | schema::Shape::Map(item) => reach(item, found),
        _ => {}
    }
}

/// Writes one object, member by member, so that no more than one member is ever held as a tree.
struct Writer {
    bytes: Vec<u8>,
    is_first: bool,
}

impl Writer {
    fn new() -> Writer {
        Writer { bytes: vec![b'{'], is_first: true }
    }

    fn key(&mut self, key: &str) {
        if !self.is_first {
            self.bytes.push(b',');
        }
        self.is_first = false;
        self.value(&Value::from(key));
        self.bytes.push(b':');
    }

    fn value(&mut self, value: &Value) {
        // Writing a tree of text keys to memory cannot fail.
        if serde_json::to_writer(&mut self.bytes, value).is_err() {
            self.bytes.extend_from_slice(b"null");
        }
    }

    fn member(&mut self, key: &str, value: &Value) {
        self.key(key);
        self.value(value);
    }

    fn open(&mut self, key: &str) {
        self.key(key);
        self.bytes.push(b'{');
        self.is_first = true;
    }

    fn close(&mut self) {
        self.bytes.push(b'}');
        self.is_first = false;
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.push(b'}');
        self.bytes
    }
}

#[cfg(test)]
mod tests;
