//! A CustomResourceDefinition, ready to serve: its names, versions with their schemas, columns, scale and selectable fields.
//!
//! In: an accepted definition as JSON. Out: a [`Definition`] and the rows of `Kinds` that it adds. Never judges a
//! definition (`validate/definition`), never reads or writes anything.

pub mod approval;
pub mod conditions;
pub mod default;
mod embedded;
pub mod expressions;
pub(crate) mod formats;
mod lists;
pub mod prune;
mod replicas;
mod rules;
pub mod values;

use crate::Object;
use crate::kinds::{Kind, Sub, Tier, Verbs, Word, version_rank};
use crate::meta;
use crate::print::custom::{self as columns, CustomColumn};
pub use crate::schema::custom::Untypable;
use crate::schema::custom::{Custom, Place};
pub(crate) use rules::declaration;
use serde_json::Value;
use std::sync::{Arc, OnceLock};

/// The finalizer under which instances are deleted before their definition goes.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// A definition, compiled.
#[derive(Clone)]
pub struct Definition {
    /// Its name, `PLURAL.GROUP`.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
    /// How often its spec was changed since it was made; 1 is never.
    pub generation: i64,
    /// The group.
    pub group: Box<str>,
    /// The version in which objects are kept.
    pub storage: Box<str>,
    /// `spec.conversion.webhook`, where objects are converted by one.
    pub webhook: Option<Value>,
    /// Every version.
    pub versions: Arc<[Version]>,
    /// Whether its instances are being deleted, and none may be made.
    pub terminating: bool,
    schemas: Arc<Custom>,
}

/// One version of a definition.
#[derive(Debug)]
pub struct Version {
    /// Its name.
    pub name: Box<str>,
    /// Whether it is served.
    pub served: bool,
    /// What clients are warned with, where it is deprecated.
    pub warning: Option<Box<str>>,
    /// The columns of tables, the name's left out.
    pub columns: Vec<CustomColumn>,
    /// Whether `/status` is served.
    pub status: bool,
    /// Where replicas stand, where `/scale` is served.
    pub scale: Option<Scale>,
    /// Paths of selectable fields, without the leading dot.
    pub selectable: Vec<Box<str>>,
    root: u32,
    rules: OnceLock<rules::Rules>,
}

/// Where `/scale` finds its numbers: paths of fields, without the leading dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// The wanted number.
    pub spec: Box<str>,
    /// The actual number.
    pub status: Box<str>,
    /// The selector as text; empty where there is none.
    pub selector: Box<str>,
}

impl Scale {
    /// The value at such a path.
    pub fn at<'v>(object: &'v Object, path: &str) -> Option<&'v Value> {
        path.split('.').try_fold(object, |value, key| value.get(key)).filter(|value| !value.is_null())
    }
}

impl Definition {
    /// Compiles an accepted definition.
    pub fn compile(definition: &Object) -> Result<Definition, Untypable> {
        let spec = definition.get("spec").unwrap_or(&Value::Null);
        let listed = meta::list_at(spec, &["versions"]);
        let keeps_all = meta::bool_at(spec, &["preserveUnknownFields"]);
        let null = &Value::Null;
        let schemas =
            listed.iter().map(|version| (meta::at(version, &["schema", "openAPIV3Schema"]).unwrap_or(null), keeps_all));
        let (schemas, roots) = Custom::build(schemas)?;
        let mut versions: Vec<Version> = listed.iter().zip(roots).map(|(version, root)| of(version, root)).collect();
        let group = meta::text(spec, "group");
        let kind = meta::text_at(spec, &["names", "kind"]);
        for at in 0..versions.len() {
            if versions[at].warning.as_deref() == Some("") {
                versions[at].warning = Some(deprecation(&versions, &versions[at].name, group, kind));
            }
        }
        let storage = listed.iter().find(|version| meta::bool_at(version, &["storage"]));
        Ok(Definition {
            name: meta::name(definition).into(),
            uid: meta::uid(definition).into(),
            generation: meta::generation(definition),
            group: meta::text(spec, "group").into(),
            storage: storage.map_or("", |version| meta::text(version, "name")).into(),
            webhook: meta::at(spec, &["conversion", "webhook"])
                .filter(|_| meta::text_at(spec, &["conversion", "strategy"]) == "Webhook")
                .cloned(),
            versions: versions.into(),
            terminating: conditions::is_true(definition, "Terminating"),
            schemas: Arc::new(schemas),
        })
    }

    /// The version of that name.
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| *version.name == *name)
    }

    /// The schema of a version.
    pub fn schema(&self, version: &Version) -> Place<'_> {
        self.schemas.place(version.root)
    }

    /// Whether kept bytes may differ from what is served in the storage version: the schema was changed since, or
    /// there were other storage versions.
    pub fn changed(&self) -> bool {
        self.generation > 1
    }

    /// The same, with or without its instances being deleted.
    pub fn with_terminating(&self, terminating: bool) -> Definition {
        Definition { terminating, ..self.clone() }
    }

    /// Roughly what its schemas occupy, in bytes.
    pub fn size(&self) -> usize {
        self.schemas.size()
    }

    /// Every field that a selector of some version may name.
    pub fn selectable(&self) -> impl Iterator<Item = &str> {
        self.versions.iter().flat_map(|version| version.selectable.iter().map(|path| &**path))
    }
}

/// The warning of a deprecated version that names none.
fn deprecation(versions: &[Version], name: &str, group: &str, kind: &str) -> Box<str> {
    let better = versions
        .iter()
        .filter(|version| {
            version.served && version.warning.is_none() && version_rank(&version.name) < version_rank(name)
        })
        .min_by_key(|version| version_rank(&version.name));
    match better {
        Some(better) => format!("{group}/{name} {kind} is deprecated; use {group}/{} {kind}", better.name).into(),
        None => format!("{group}/{name} {kind} is deprecated").into(),
    }
}

fn of(version: &Value, root: u32) -> Version {
    let path = |text: &str| -> Box<str> { text.trim_start_matches('.').into() };
    let scale = meta::at(version, &["subresources", "scale"]).map(|scale| Scale {
        spec: path(meta::text(scale, "specReplicasPath")),
        status: path(meta::text(scale, "statusReplicasPath")),
        selector: path(meta::text(scale, "labelSelectorPath")),
    });
    let selectable =
        meta::list_at(version, &["selectableFields"]).iter().map(|field| path(meta::text(field, "jsonPath")));
    let deprecated = meta::bool_at(version, &["deprecated"]);
    Version {
        name: meta::text(version, "name").into(),
        served: meta::bool_at(version, &["served"]),
        warning: deprecated.then(|| meta::text(version, "deprecationWarning").into()),
        columns: columns::columns(meta::list_at(version, &["additionalPrinterColumns"])),
        status: meta::at(version, &["subresources", "status"]).is_some(),
        scale,
        selectable: selectable.collect(),
        root,
        rules: OnceLock::new(),
    }
}

/// The rows that an established definition adds: one for each served version, under the names it was granted.
pub fn rows(definition: &Arc<Definition>, object: &Object) -> Vec<Kind> {
    definition
        .versions
        .iter()
        .filter(|version| version.served)
        .map(|version| row(definition, version, object))
        .collect()
}

/// The row of the version in which objects are kept, served or not.
pub fn stored_row(definition: &Arc<Definition>, object: &Object) -> Option<Kind> {
    Some(row(definition, definition.version(&definition.storage)?, object))
}

fn row(definition: &Arc<Definition>, version: &Version, object: &Object) -> Kind {
    let namespaced = meta::text_at(object, &["spec", "scope"]) == "Namespaced";
    let names = meta::at(object, &["status", "acceptedNames"]).unwrap_or(&Value::Null);
    let word = |key: &str| Word::Owned(meta::text(names, key).to_owned());
    let words = |key: &str| -> Vec<Word> {
        meta::list_at(names, &[key]).iter().filter_map(|one| Some(Word::Owned(one.as_str()?.to_owned()))).collect()
    };
    let group = Word::Owned(definition.group.to_string());
    let mut subresources = Vec::new();
    subresources.extend(version.status.then_some(Sub::Status));
    subresources.extend(version.scale.is_some().then_some(Sub::Scale));
    Kind {
        group: group.clone(),
        version: Word::Owned(version.name.to_string()),
        kind: word("kind"),
        plural: word("plural"),
        singular: word("singular"),
        list_kind: word("listKind"),
        short_names: words("shortNames"),
        categories: words("categories"),
        namespaced,
        verbs: Verbs::ALL,
        subresources,
        stored: (group, Word::Owned(definition.storage.to_string())),
        tier: Tier::Durable,
        custom: true,
        definition: Some(definition.clone()),
    }
}

/// Two are equal if they are of the same definition at the same generation, both being deleted or not.
impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        (&self.uid, self.generation, self.terminating) == (&other.uid, other.generation, other.terminating)
    }
}

impl Eq for Definition {}

/// Short, and different for every generation: it is part of the marks of published documents.
impl std::fmt::Debug for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.name, self.uid, self.generation)
    }
}
