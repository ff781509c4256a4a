//! Whose key a change puts into the queue.
//!
//! In: a change of one row, and what the controller declared. Out: keys of its own kind. Pure.

use kedge_plugin_api::controllers::{Key, Kind};

use crate::field::Cell;
use crate::row::{Row, RowKey};
use crate::selector;

/// One row before and after.
pub struct Change<'a> {
    /// Where.
    pub key: &'a RowKey,
    /// Before; `None` when it comes.
    pub old: Option<&'a Row>,
    /// After; `None` when it goes.
    pub new: Option<&'a Row>,
}

/// A resolved `wakes` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Its own key.
    Itself,
    /// Its owners of the controller's kind.
    Owner {
        /// Only the controlling one.
        only_controller: bool,
    },
    /// Rows of the controller's own cache whose selector chooses it.
    SelectedBy {
        /// The controller's own cache.
        cache: usize,
        /// Where the selector is.
        column: usize,
        /// The selector is a plain map.
        plain: bool,
    },
    /// The object named in this column.
    NamedAt {
        /// Of the watched row.
        column: usize,
        /// In the same namespace; else in none.
        namespaced: bool,
    },
    /// The object called like its namespace.
    Namespace,
    /// Rows of the controller's own cache in its namespace, unless it has just come.
    Siblings {
        /// The controller's own cache.
        cache: usize,
    },
    /// All rows of the controller's own cache.
    Everyone {
        /// The controller's own cache.
        cache: usize,
    },
    /// Rows of the controller's own cache that it owns.
    Dependents {
        /// The controller's own cache.
        cache: usize,
    },
}

/// Which rows of a cache a wake asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those in the namespace of what changed.
    InNamespace,
    /// Those that what changed owns.
    OwnedByIt,
    /// All.
    All,
}

impl<'a> Change<'a> {
    /// Whether anything that a watch with these columns reads is different.
    pub fn touches(&self, columns: &[usize]) -> bool {
        match (self.old, self.new) {
            (Some(old), Some(new)) => {
                old.uid != new.uid
                    || old.owners != new.owners
                    || old.labels != new.labels
                    || columns.iter().any(|c| old.cells.get(*c) != new.cells.get(*c))
            }
            _ => true,
        }
    }

    /// Whether one of these columns has, or had, a value; without columns everything shows.
    pub fn shows(&self, columns: &[usize]) -> bool {
        let has = |row: &Row| columns.iter().any(|column| matches!(row.cells.get(*column), Some(Some(_))));
        columns.is_empty() || self.sides().any(has)
    }

    /// The object's UID.
    pub fn uid(&self) -> &'a str {
        self.new.or(self.old).map_or("", |row| &row.uid)
    }

    fn sides(&self) -> impl Iterator<Item = &'a Row> {
        [self.old, self.new].into_iter().flatten()
    }
}

impl Wake {
    /// The keys that are woken. `own_rows` gives rows of a cache.
    pub fn keys<'r>(
        &self,
        change: &Change<'_>,
        kind: Option<&Kind>,
        own_rows: impl Fn(usize, Which) -> Vec<(&'r RowKey, &'r Row)>,
    ) -> Vec<Key> {
        let namespace = change.key.namespace.to_string();
        let named = |name: &str| Key { namespace: namespace.clone(), name: name.to_owned() };
        match self {
            Wake::Itself if kind.is_none() => by_uid(change.uid()),
            Wake::Itself => vec![named(&change.key.name)],
            // What waits for its dependents to go has to hear of those that went, changed their owner or block it no
            // more, and of nothing else.
            Wake::Owner { .. } if kind.is_none() => {
                let lost = |owner: &&crate::row::Owner| {
                    let holds = |now: &crate::row::Owner| now.uid == owner.uid && (now.blocks || !owner.blocks);
                    !change.new.is_some_and(|row| row.owners.iter().any(holds))
                };
                change
                    .old
                    .into_iter()
                    .flat_map(|row| row.owners.iter().filter(lost))
                    .flat_map(|o| by_uid(&o.uid))
                    .collect()
            }
            Wake::Owner { only_controller } => {
                let mine = |owner: &&crate::row::Owner| {
                    kind.is_some_and(|k| *k.group == *owner.group && *k.kind == *owner.kind)
                        && (owner.controller || !only_controller)
                };
                change.sides().flat_map(|row| row.owners.iter().filter(mine)).map(|owner| named(&owner.name)).collect()
            }
            Wake::SelectedBy { cache, column, plain } => own_rows(*cache, Which::InNamespace)
                .into_iter()
                .filter(|(_, own)| {
                    let Some(Some(Cell::Text(json))) = own.cells.get(*column) else { return false };
                    change.sides().any(|row| selector::chooses(json, &*row.labels, *plain))
                })
                .map(|(key, _)| named(&key.name))
                .collect(),
            Wake::NamedAt { column, namespaced } => change
                .sides()
                .filter_map(|row| match row.cells.get(*column) {
                    Some(Some(Cell::Text(name))) if !name.is_empty() && *namespaced => Some(named(name)),
                    Some(Some(Cell::Text(name))) if !name.is_empty() => {
                        Some(Key { namespace: String::new(), name: name.to_string() })
                    }
                    _ => None,
                })
                .collect(),
            Wake::Namespace if namespace.is_empty() => Vec::new(),
            Wake::Namespace => vec![Key { namespace: String::new(), name: namespace }],
            Wake::Siblings { .. } if change.old.is_none() => Vec::new(),
            Wake::Siblings { cache } => keys_of(&own_rows(*cache, Which::InNamespace), kind),
            Wake::Everyone { cache } => keys_of(&own_rows(*cache, Which::All), kind),
            Wake::Dependents { cache } => keys_of(&own_rows(*cache, Which::OwnedByIt), kind),
        }
    }
}

fn keys_of(rows: &[(&RowKey, &Row)], kind: Option<&Kind>) -> Vec<Key> {
    rows.iter()
        .flat_map(|(key, row)| match kind {
            None => by_uid(&row.uid),
            Some(_) => vec![Key { namespace: key.namespace.to_string(), name: key.name.to_string() }],
        })
        .collect()
}

/// Where watch 0 is every kind, a key is a UID.
fn by_uid(uid: &str) -> Vec<Key> {
    if uid.is_empty() { Vec::new() } else { vec![Key { namespace: String::new(), name: uid.to_owned() }] }
}
