//! Which kinds there are: identity, names, verbs, subresources, where they are kept.
//!
//! In: the static table of built-in resources, and rows for custom resources. Out: look-ups by
//! resource, by kind and by the names that people type. Knows a kind's fields only by their schema (`schema.rs`).

mod chosen;
mod identity;
pub mod measured;
mod removed;
mod table;
mod verbs;

pub use chosen::Chosen;
pub use identity::{Gvk, Gvr, Word, group_resource, join_api_version, split_api_version, version_rank};
pub use removed::{REMOVED_GROUPS, Removed};
pub use verbs::{Sub, Verb, Verbs};

use crate::custom::{Definition, Version};
use crate::schema::{self, Struct};
use std::borrow::Cow;
use std::sync::Arc;

/// How well an object must survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// On disk before it is acknowledged.
    Durable,
    /// In memory only.
    Volatile,
}

/// One served resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: Word,
    /// The version within the group.
    pub version: Word,
    /// The kind, as in `Deployment`.
    pub kind: Word,
    /// As in `deployments`.
    pub plural: Word,
    /// As in `deployment`.
    pub singular: Word,
    /// The kind of a list of them, as in `DeploymentList`.
    pub list_kind: Word,
    /// As in `deploy`.
    pub short_names: Vec<Word>,
    /// As in `all`.
    pub categories: Vec<Word>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// What may be done with it.
    pub verbs: Verbs,
    /// What hangs below an object.
    pub subresources: Vec<Sub>,
    /// Group and version in which objects are kept.
    pub stored: (Word, Word),
    /// How well objects are kept.
    pub tier: Tier,
    /// Whether it came from a CustomResourceDefinition.
    pub custom: bool,
    /// That definition, compiled.
    pub definition: Option<Arc<Definition>>,
}

impl Kind {
    /// Its identity by kind.
    pub fn gvk(&self) -> Gvk {
        Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() }
    }

    /// Its identity by resource.
    pub fn gvr(&self) -> Gvr {
        Gvr { group: self.group.clone(), version: self.version.clone(), resource: self.plural.clone() }
    }

    /// The kind in which objects are kept.
    pub fn stored_gvk(&self) -> Gvk {
        Gvk { group: self.stored.0.clone(), version: self.stored.1.clone(), kind: self.kind.clone() }
    }

    /// The schema of its objects in this version.
    pub fn schema(&self) -> Option<Struct<'_>> {
        match &self.definition {
            Some(definition) => Some(definition.schema(self.custom_version()?).as_struct()),
            None => schema::of(&self.gvk()),
        }
    }

    /// What its definition says about this version.
    pub fn custom_version(&self) -> Option<&Version> {
        self.definition.as_ref()?.version(&self.version)
    }

    /// `deployments.apps`, `pods`.
    pub fn group_resource(&self) -> String {
        group_resource(&self.plural, &self.group)
    }

    /// Whether it has that subresource.
    pub fn has_sub(&self, sub: Sub) -> bool {
        self.subresources.contains(&sub)
    }

    /// Whether objects are kept at all (reviews, bindings and component statuses are not).
    pub fn is_kept(&self) -> bool {
        self.verbs.has(Verb::Watch)
    }

    /// Whether objects are made of what is measured when somebody asks.
    pub fn is_measured(&self) -> bool {
        self.custom && !self.is_kept()
    }

    /// Whether Kubernetes no longer serves this version.
    pub fn is_removed(&self) -> bool {
        !self.custom && Removed::of(&self.gvk()).is_some()
    }

    /// Whether upstream serves this version without being asked: generally available ones.
    pub fn served_by_default(&self) -> bool {
        self.custom || !(self.version.contains("alpha") || self.version.contains("beta"))
    }
}

/// The kinds that are served. A value: take a clone, change it, put it in place of the old one.
#[derive(Debug, Clone)]
pub struct Kinds {
    /// Sorted by group, version, plural.
    rows: Vec<Arc<Kind>>,
    /// Where the row of a path is: digests, sorted. Each request asks a few times.
    places: Vec<(u32, u32)>,
}

impl Kinds {
    /// The built-in kinds that upstream serves by default.
    pub fn builtin() -> Kinds {
        Kinds::of_rows(|kind| kind.served_by_default())
    }

    /// Every built-in kind, alpha and beta versions too.
    pub fn everything() -> Kinds {
        Kinds::of_rows(|_| true)
    }

    /// These, and every version that Kubernetes once served and serves no longer.
    pub fn with_removed(mut self) -> Kinds {
        self.rows.extend(removed::kinds().map(Arc::new));
        Kinds::of(self.rows)
    }

    /// These, but for versions that Kubernetes no longer serves.
    pub fn without_removed(&self) -> Kinds {
        Kinds::of(self.rows.iter().filter(|kind| !kind.is_removed()).cloned().collect())
    }

    /// Today's form of a kind in a version that Kubernetes no longer serves.
    pub fn modern(&self, kind: &Kind) -> Option<&Arc<Kind>> {
        if kind.custom {
            return None;
        }
        self.by_gvk(&Removed::of(&kind.gvk())?.modern()?)
    }

    fn of_rows(wanted: impl Fn(&Kind) -> bool) -> Kinds {
        Kinds::of(table::ROWS.iter().map(kind_of_row).filter(|kind| wanted(kind)).map(Arc::new).collect())
    }

    fn of(mut rows: Vec<Arc<Kind>>) -> Kinds {
        rows.sort_by(|a, b| order(a).cmp(&order(b)));
        let mut kinds = Kinds { rows, places: Vec::new() };
        kinds.find_places();
        kinds
    }

    fn find_places(&mut self) {
        self.places = self.rows.iter().zip(0..).map(|(row, at)| (digest(order(row)), at)).collect();
        self.places.sort_unstable();
    }

    /// The kind served under that path.
    pub fn by_gvr(&self, gvr: &Gvr) -> Option<&Arc<Kind>> {
        self.resource(&gvr.group, &gvr.version, &gvr.resource)
    }

    /// The kind served under that path, by its parts.
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        let path = (group, version, plural);
        let wanted = digest(path);
        let first = self.places.partition_point(|(digest, _)| *digest < wanted);
        let same = self.places[first..].iter().take_while(|(digest, _)| *digest == wanted);
        same.filter_map(|(_, at)| self.rows.get(*at as usize)).find(|row| order(row) == path)
    }

    /// The kind that objects of this identity belong to.
    pub fn by_gvk(&self, gvk: &Gvk) -> Option<&Arc<Kind>> {
        self.of_version(&gvk.group, &gvk.version).iter().find(|row| row.kind == gvk.kind)
    }

    /// All resources of one group and version, sorted by plural.
    pub fn of_version(&self, group: &str, version: &str) -> &[Arc<Kind>] {
        let start = self.rows.partition_point(|row| (&*row.group, &*row.version) < (group, version));
        let rest = &self.rows[start..];
        &rest[..rest.partition_point(|row| row.group == group && row.version == version)]
    }

    /// The kind that people mean by a word: `po`, `pods`, `Pod`, `deployments.apps`, `deploy.v1.apps`.
    /// Where several versions match, the preferred one; where several groups match, the core group, then by name.
    pub fn by_word(&self, word: &str) -> Option<&Arc<Kind>> {
        let word = word.to_ascii_lowercase();
        if let Some(found) = self.best(|row| row.answers_to(&word)) {
            return Some(found);
        }
        let (name, rest) = word.split_once('.')?;
        self.best(|row| row.group == rest && row.answers_to(name)).or_else(|| {
            let (version, group) = rest.split_once('.').unwrap_or((rest, ""));
            self.best(|row| row.version == version && row.group == group && row.answers_to(name))
        })
    }

    fn best(&self, wanted: impl Fn(&Kind) -> bool) -> Option<&Arc<Kind>> {
        self.rows
            .iter()
            .filter(|row| wanted(row))
            .min_by_key(|row| (row.is_removed(), row.group.clone(), version_rank(&row.version)))
    }

    /// Every kind, sorted by group, version and plural.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.rows.iter()
    }

    /// The versions of a group, preferred first.
    pub fn versions(&self, group: &str) -> Vec<Word> {
        let mut versions: Vec<Word> =
            self.rows.iter().filter(|row| row.group == group).map(|row| row.version.clone()).collect();
        versions.dedup();
        versions.sort_by_key(|version| version_rank(version));
        versions
    }

    /// Adds a kind, or replaces the one under the same path.
    pub fn insert(&mut self, kind: Kind) {
        match self.rows.binary_search_by(|row| order(row).cmp(&order(&kind))) {
            Ok(at) => self.rows[at] = Arc::new(kind),
            Err(at) => {
                self.rows.insert(at, Arc::new(kind));
                self.find_places();
            }
        }
    }

    /// Removes the kind under that path.
    pub fn remove(&mut self, gvr: &Gvr) -> Option<Arc<Kind>> {
        let at =
            self.rows.binary_search_by(|row| order(row).cmp(&(&*gvr.group, &*gvr.version, &*gvr.resource))).ok()?;
        let removed = self.rows.remove(at);
        self.find_places();
        Some(removed)
    }
}

impl Kind {
    fn answers_to(&self, word: &str) -> bool {
        self.plural == word
            || self.singular == word
            || self.short_names.iter().any(|name| name == word)
            || self.kind.eq_ignore_ascii_case(word)
    }
}

fn order(kind: &Kind) -> (&str, &str, &str) {
    (&kind.group, &kind.version, &kind.plural)
}

/// FNV-1a. Which two paths meet is no secret and does no harm: both are looked at.
fn digest((group, version, plural): (&str, &str, &str)) -> u32 {
    let bytes = [group, version, plural].into_iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0x811c_9dc5, |sum: u32, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn kind_of_row(row: &table::Row) -> Kind {
    let words = |list: &[&'static str]| list.iter().map(|name| Cow::Borrowed(*name)).collect();
    Kind {
        group: Cow::Borrowed(row.group),
        version: Cow::Borrowed(row.version),
        kind: Cow::Borrowed(row.kind),
        plural: Cow::Borrowed(row.plural),
        singular: Cow::Owned(row.kind.to_ascii_lowercase()),
        list_kind: Cow::Owned(format!("{}List", row.kind)),
        short_names: words(row.short),
        categories: words(row.categories),
        namespaced: row.namespaced,
        verbs: row.verbs,
        subresources: row.subs.to_vec(),
        stored: (Cow::Borrowed(row.stored.0), Cow::Borrowed(row.stored.1)),
        tier: row.tier,
        custom: false,
        definition: None,
    }
}

#[cfg(test)]
mod tests;
