//! What one plugin sees of the cluster: the declared columns of every object that it watches.
//!
//! In: a declaration, then rows that come and go. Out: the keys that a change wakes, and tables of rows. Never reads
//! whole objects (`row.rs` does) and never calls anybody.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, HashMap, HashSet};

use kedge_api::selector::LabelSelector;
use kedge_plugin_api::controllers::{
    Column, Controller, Field, FieldType, Key, Kind, Query, Table, Tally, Target, Texts, Values, Wakes,
};

use crate::field::{Cell, FieldPath, PathError};
use crate::row::{FieldSpec, Row, RowKey};
use crate::selector;
use crate::wakes::{Change, Wake, Which};

/// Deletions of our own that have not come back yet; beyond this the oldest knowledge is given up.
const TOMBSTONES: usize = 10_000;

/// An owner's rows are walked to, not looked up, when they are at least this part of all: a look-up compares about ten
/// keys, each some thirty bytes, and costs as much as walking past about eight rows.
const SPARSE: usize = 8;

/// A plugin's view.
#[derive(Debug, Default)]
pub struct World {
    caches: Vec<Cache>,
    controllers: Vec<Plan>,
}

/// The rows of one kind, or of every kind.
#[derive(Debug)]
pub struct Cache {
    /// What is watched.
    pub target: Target,
    /// The union of the fields that the plugin's controllers need.
    pub fields: Vec<FieldSpec>,
    rows: BTreeMap<RowKey, Row>,
    by_uid: HashMap<Box<str>, RowKey>,
    by_owner: HashMap<Box<str>, BTreeSet<RowKey>>,
    deleted: HashSet<Box<str>>,
}

/// A controller with its watches resolved to caches and columns.
#[derive(Debug)]
struct Plan {
    kind: Option<Kind>,
    watches: Vec<WatchPlan>,
}

#[derive(Debug)]
struct WatchPlan {
    cache: usize,
    columns: Vec<usize>,
    wakes: Vec<Wake>,
}

/// A key to be put into the queue of a controller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Woken {
    /// Its place in the declaration.
    pub controller: usize,
    /// The key.
    pub key: Key,
}

impl World {
    /// An empty view for a declaration.
    pub fn new(declaration: &[Controller]) -> Result<World, PathError> {
        let mut world = World::default();
        for controller in declaration {
            let own = controller.watches.first().map(|watch| watch.target.clone());
            let own_kind = match &own {
                Some(Target::Kind(kind)) => Some(kind.clone()),
                _ => None,
            };
            let mut watches = Vec::new();
            for watch in &controller.watches {
                let cache = world.cache_for(&watch.target);
                let columns =
                    watch.fields.iter().map(|field| world.column_for(cache, field)).collect::<Result<_, _>>()?;
                let mut wakes = Vec::new();
                for wake in &watch.wakes {
                    wakes.push(match wake {
                        Wakes::Itself => Wake::Itself,
                        Wakes::ControllerOwner => Wake::Owner { only_controller: true },
                        Wakes::Owners => Wake::Owner { only_controller: false },
                        Wakes::SelectedBy(path) => {
                            let own = own.as_ref().expect("a wake belongs to a watch, so watch 0 exists");
                            let own_cache = world.cache_for(own);
                            let field = Field { path: path.clone(), field_type: FieldType::Json };
                            let column = world.column_for(own_cache, &field)?;
                            let plain = own_kind.as_ref().is_some_and(|k| selector::is_plain(&k.group, &k.kind));
                            Wake::SelectedBy { cache: own_cache, column, plain }
                        }
                        Wakes::NamedAt(path) | Wakes::ClusterNamedAt(path) => {
                            let field = Field { path: path.clone(), field_type: FieldType::Text };
                            let namespaced = matches!(wake, Wakes::NamedAt(_));
                            Wake::NamedAt { column: world.column_for(cache, &field)?, namespaced }
                        }
                        Wakes::Namespace => Wake::Namespace,
                        Wakes::Dependents => {
                            let own = own.as_ref().expect("a wake belongs to a watch, so watch 0 exists");
                            Wake::Dependents { cache: world.cache_for(own) }
                        }
                        Wakes::Siblings | Wakes::Everyone => {
                            let own = own.as_ref().expect("a wake belongs to a watch, so watch 0 exists");
                            let cache = world.cache_for(own);
                            if *wake == Wakes::Siblings { Wake::Siblings { cache } } else { Wake::Everyone { cache } }
                        }
                        Wakes::Nobody => continue,
                    });
                }
                watches.push(WatchPlan { cache, columns, wakes });
            }
            world.controllers.push(Plan { kind: own_kind, watches });
        }
        Ok(world)
    }

    /// The caches, each to be kept by an informer (or one for each served kind).
    pub fn caches(&self) -> &[Cache] {
        &self.caches
    }

    /// The caches that a controller reads, for itself or to learn whom a change wakes.
    pub fn needs(&self, controller: usize) -> Vec<usize> {
        let watches = self.controllers.get(controller).map_or(&[][..], |plan| &plan.watches);
        watches.iter().map(|watch| watch.cache).collect()
    }

    /// An object is there, in this version. Older versions than the known one change nothing.
    pub fn apply(&mut self, cache: usize, key: RowKey, row: Row) -> Vec<Woken> {
        let held = &mut self.caches[cache];
        if held.deleted.contains(&row.uid) {
            return Vec::new();
        }
        if let Some(old) = held.rows.get_mut(&key) {
            if old.uid == row.uid && old.revision > row.revision {
                return Vec::new();
            }
            if !old.differs(&row) {
                *old = row;
                return Vec::new();
            }
        }
        let old = held.put(key.clone(), Some(row));
        let new = self.caches[cache].rows.get(&key);
        self.woken(cache, &key, old.as_ref(), new)
    }

    /// An object is gone. The answer to a write of ours may come after that news: it is remembered for a while.
    pub fn remove(&mut self, cache: usize, key: &RowKey, uid: &str) -> Vec<Woken> {
        let held = &mut self.caches[cache];
        held.entomb(uid);
        if held.rows.get(key).is_none_or(|row| &*row.uid != uid) {
            return Vec::new();
        }
        let old = held.put(key.clone(), None);
        self.woken(cache, key, old.as_ref(), None)
    }

    /// We deleted an object and the server says that it is gone: late news of it is to be ignored.
    pub fn bury(&mut self, cache: usize, key: &RowKey, uid: &str) -> Vec<Woken> {
        self.remove(cache, key, uid)
    }

    /// The keys of one kind in a cache; taken when a list begins, to find out what is gone when it ends. What a list
    /// has is there, whatever was heard before: a restored backup brings objects back.
    pub fn keys(&mut self, cache: usize, kind: u32) -> Vec<(RowKey, Box<str>)> {
        self.caches[cache].deleted.clear();
        let rows = self.caches[cache].rows.iter();
        rows.filter(|(key, _)| key.kind == kind).map(|(key, row)| (key.clone(), row.uid.clone())).collect()
    }

    /// Where an object of a watched kind is kept.
    pub fn caches_of<'a>(&'a self, kind: &'a Kind) -> impl Iterator<Item = usize> + 'a {
        self.caches
            .iter()
            .enumerate()
            .filter(move |(_, cache)| matches!(&cache.target, Target::Kind(k) if k.group == kind.group && k.kind == kind.kind))
            .map(|(i, _)| i)
    }

    /// Rows for a controller. An unknown controller or watch gives an empty table.
    pub fn table(&self, controller: usize, watch: usize, query: &Query) -> Table {
        let Some(plan) = self.controllers.get(controller).and_then(|c| c.watches.get(watch)) else {
            return Table::default();
        };
        let cache = &self.caches[plan.cache];
        table(&cache.select(query), cache, &plan.columns)
    }

    /// Rows counted by some of a watch's fields. A field that was not declared is passed over.
    pub fn tally(&self, controller: usize, watch: usize, query: &Query, fields: &[u32]) -> Tally {
        let Some(plan) = self.controllers.get(controller).and_then(|c| c.watches.get(watch)) else {
            return Tally::default();
        };
        let cache = &self.caches[plan.cache];
        let columns: Vec<usize> = fields.iter().filter_map(|at| plan.columns.get(*at as usize).copied()).collect();
        let (groups, counts) = groups(&cache.select(query), &columns);
        let table = Table {
            count: u32::try_from(groups.len()).unwrap_or(u32::MAX),
            columns: columns.iter().map(|c| one_column(&groups, *c, cache.fields[*c].field_type)).collect(),
            ..Table::default()
        };
        Tally { table, counts }
    }

    fn woken(&self, cache: usize, key: &RowKey, old: Option<&Row>, new: Option<&Row>) -> Vec<Woken> {
        let mut woken = BTreeSet::new();
        for (number, controller) in self.controllers.iter().enumerate() {
            for watch in controller.watches.iter().filter(|watch| watch.cache == cache) {
                let change = Change { key, old, new };
                if !change.touches(&watch.columns) {
                    continue;
                }
                for wake in &watch.wakes {
                    // What is written all day are objects that no controller of every kind has to look at.
                    if *wake == Wake::Itself && controller.kind.is_none() && !change.shows(&watch.columns) {
                        continue;
                    }
                    let keys = wake.keys(&change, controller.kind.as_ref(), |own, which| {
                        let own: &Cache = &self.caches[own];
                        match which {
                            Which::InNamespace => own.in_namespace(&key.namespace).collect(),
                            Which::OwnedByIt => own.owned_by(change.uid()),
                            Which::All => own.rows.iter().collect(),
                        }
                    });
                    woken.extend(keys.into_iter().map(|key| Woken { controller: number, key }));
                }
            }
        }
        woken.into_iter().collect()
    }

    fn cache_for(&mut self, target: &Target) -> usize {
        if let Some(found) = self.caches.iter().position(|cache| cache.target == *target) {
            return found;
        }
        self.caches.push(Cache::new(target.clone()));
        self.caches.len() - 1
    }

    fn column_for(&mut self, cache: usize, field: &Field) -> Result<usize, PathError> {
        let spec = FieldSpec { path: FieldPath::parse(&field.path)?, field_type: field.field_type };
        let fields = &mut self.caches[cache].fields;
        if let Some(found) = fields.iter().position(|other| *other == spec) {
            return Ok(found);
        }
        fields.push(spec);
        Ok(fields.len() - 1)
    }
}

fn disown(by_owner: &mut HashMap<Box<str>, BTreeSet<RowKey>>, uid: &str, key: &RowKey) {
    if let Some(keys) = by_owner.get_mut(uid) {
        keys.remove(key);
        if keys.is_empty() {
            by_owner.remove(uid);
        }
    }
}

impl Cache {
    fn entomb(&mut self, uid: &str) {
        if self.deleted.len() >= TOMBSTONES {
            self.deleted.clear();
        }
        if !self.deleted.contains(uid) {
            self.deleted.insert(uid.into());
        }
    }

    fn new(target: Target) -> Self {
        Cache {
            target,
            fields: Vec::new(),
            rows: BTreeMap::new(),
            by_uid: HashMap::new(),
            by_owner: HashMap::new(),
            deleted: HashSet::new(),
        }
    }

    fn put(&mut self, key: RowKey, row: Option<Row>) -> Option<Row> {
        let Cache { rows, by_uid, by_owner, .. } = self;
        let Some(row) = row else {
            let old = rows.remove(&key)?;
            by_uid.remove(&old.uid);
            old.owners.iter().for_each(|owner| disown(by_owner, &owner.uid, &key));
            return Some(old);
        };
        let (old, new) = match rows.entry(key.clone()) {
            Entry::Occupied(mut entry) => (Some(entry.insert(row)), &*entry.into_mut()),
            Entry::Vacant(entry) => (None, &*entry.insert(row)),
        };
        for owner in &new.owners {
            by_owner.entry(owner.uid.clone()).or_default().insert(key.clone());
        }
        let is_same = old.as_ref().is_some_and(|old| old.uid == new.uid);
        if let Some(old) = &old {
            if !is_same {
                by_uid.remove(&old.uid);
            }
            let lost = old.owners.iter().filter(|owner| !new.is_owned_by(&owner.uid));
            lost.for_each(|owner| disown(by_owner, &owner.uid, &key));
        }
        if !is_same {
            by_uid.insert(new.uid.clone(), key);
        }
        old
    }

    fn in_namespace<'a>(&'a self, namespace: &str) -> impl Iterator<Item = (&'a RowKey, &'a Row)> + use<'a> {
        let namespace: Box<str> = namespace.into();
        let first = RowKey { namespace: namespace.clone(), name: "".into(), kind: 0 };
        self.rows.range(first..).take_while(move |(key, _)| key.namespace == namespace)
    }

    /// Rows of that name: one, or one of each kind.
    fn named<'a>(&'a self, namespace: &str, name: &str) -> impl Iterator<Item = (&'a RowKey, &'a Row)> + use<'a> {
        let key = |kind| RowKey { namespace: namespace.into(), name: name.into(), kind };
        self.rows.range(key(0)..=key(u32::MAX))
    }

    fn owned_by(&self, uid: &str) -> Vec<(&RowKey, &Row)> {
        let Some(keys) = self.by_owner.get(uid) else { return Vec::new() };
        match (keys.first(), keys.last()) {
            // Where most of what lies between belongs to the owner, walking past the rest beats looking each up.
            (Some(first), Some(last)) if keys.len() * SPARSE >= self.rows.len() => {
                let own = |(_, row): &(&RowKey, &Row)| row.is_owned_by(uid);
                self.rows.range(first..=last).filter(own).collect()
            }
            _ => keys.iter().filter_map(|key| self.rows.get_key_value(key)).collect(),
        }
    }

    fn select<'a>(&'a self, query: &Query) -> Vec<(&'a RowKey, &'a Row)> {
        match query {
            Query::One(key) => self.named(&key.namespace, &key.name).collect(),
            Query::All => self.rows.iter().collect(),
            Query::Namespace(namespace) => self.in_namespace(namespace).collect(),
            Query::OwnedBy(uid) => self.owned_by(uid),
            Query::OwnedIn(namespace, uid) => {
                let mut rows = self.owned_by(uid);
                rows.retain(|(key, _)| *key.namespace == **namespace);
                rows
            }
            Query::Uid(uid) => {
                self.by_uid.get(uid.as_str()).and_then(|key| self.rows.get_key_value(key)).into_iter().collect()
            }
            Query::Labelled(namespace, text) => self.labelled(namespace, text, &|_| true),
            Query::Strangers(namespace, text, uid) => self.labelled(namespace, text, &|row| !row.is_owned_by(uid)),
            Query::Strays(text, uid) => match LabelSelector::parse(text) {
                Err(_) => Vec::new(),
                Ok(selector) => {
                    let mut rows = self.owned_by(uid);
                    rows.retain(|(_, row)| !selector.matches(&*row.labels));
                    rows
                }
            },
        }
    }

    /// Rows of a namespace (empty: everywhere) that a selector chooses and that pass a test; none by a broken selector.
    fn labelled(&self, namespace: &str, text: &str, also: &dyn Fn(&Row) -> bool) -> Vec<(&RowKey, &Row)> {
        let Ok(selector) = LabelSelector::parse(text) else { return Vec::new() };
        let fits = |(_, row): &(&RowKey, &Row)| also(row) && selector.matches(&*row.labels);
        if namespace.is_empty() {
            self.rows.iter().filter(fits).collect()
        } else {
            self.in_namespace(namespace).filter(fits).collect()
        }
    }
}

/// Each combination of some cells once, by its first row, and how many rows have it.
fn groups<'a>(rows: &[(&'a RowKey, &'a Row)], columns: &[usize]) -> (Vec<(&'a RowKey, &'a Row)>, Vec<u32>) {
    let (mut groups, mut counts): (Vec<(&RowKey, &Row)>, Vec<u32>) = (Vec::new(), Vec::new());
    let mut known: HashMap<Vec<Option<&Cell>>, usize> = HashMap::new();
    let mut last = 0;
    for (key, row) in rows.iter().copied() {
        // Neighbours are alike, nearly always.
        if groups.get(last).is_some_and(|(_, first)| columns.iter().all(|c| first.cells.get(*c) == row.cells.get(*c))) {
            counts[last] += 1;
            continue;
        }
        let cells: Vec<Option<&Cell>> = columns.iter().map(|c| row.cells.get(*c).and_then(Option::as_ref)).collect();
        last = *known.entry(cells).or_insert_with(|| {
            groups.push((key, row));
            counts.push(0);
            groups.len() - 1
        });
        counts[last] += 1;
    }
    (groups, counts)
}

fn table(rows: &[(&RowKey, &Row)], cache: &Cache, columns: &[usize]) -> Table {
    let every = matches!(cache.target, Target::Every);
    Table {
        count: u32::try_from(rows.len()).unwrap_or(u32::MAX),
        namespaces: rows.iter().map(|(key, _)| &*key.namespace).collect(),
        names: rows.iter().map(|(key, _)| &*key.name).collect(),
        kinds: if every { rows.iter().map(|(key, _)| key.kind).collect() } else { Vec::new() },
        columns: columns.iter().map(|column| one_column(rows, *column, cache.fields[*column].field_type)).collect(),
    }
}

fn one_column(rows: &[(&RowKey, &Row)], column: usize, field_type: FieldType) -> Column {
    let words = rows.len().div_ceil(64);
    let mut present = vec![0; words];
    let cells = rows.iter().map(|(_, row)| row.cells.get(column).and_then(Option::as_ref));
    for (i, _) in cells.clone().enumerate().filter(|(_, cell)| cell.is_some()) {
        present[i / 64] |= 1 << (i % 64);
    }
    let values = match field_type {
        FieldType::Text | FieldType::Json => {
            let mut texts = Texts::default();
            cells.for_each(|cell| texts.push(if let Some(Cell::Text(text)) = cell { text } else { "" }));
            Values::Texts(texts)
        }
        FieldType::Boolean => {
            let mut bits = vec![0; words];
            for (i, _) in cells.enumerate().filter(|(_, cell)| matches!(cell, Some(Cell::Boolean(true)))) {
                bits[i / 64] |= 1 << (i % 64);
            }
            Values::Booleans(bits)
        }
        FieldType::Integer | FieldType::Time | FieldType::Count | FieldType::Hash => {
            Values::Integers(cells.map(|cell| if let Some(Cell::Integer(n)) = cell { *n } else { 0 }).collect())
        }
    };
    Column { present, values }
}

#[cfg(test)]
mod tests;
