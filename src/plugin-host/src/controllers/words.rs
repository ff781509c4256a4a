//! The words of controllers, in both spellings: `plugin-api`'s and the component's.

use kedge_plugin_api::controllers as api;

use crate::bindings::controller::exports::kedge::plugin::controllers as wire;
use crate::bindings::controller::kedge::plugin::{cluster, objects};
use crate::bindings::scheduler::kedge::plugin::columns;

/// Controllers in one component, watches of one controller, fields of one watch: far above any in use, far below
/// what would cost memory.
const MOST: usize = 256;

/// What a component declared, if it makes sense.
pub(super) fn declaration(declared: Vec<wire::Controller>) -> Result<Vec<api::Controller>, String> {
    if declared.len() > MOST {
        return Err(format!("{} controllers", declared.len()));
    }
    declared.into_iter().map(controller).collect()
}

fn controller(declared: wire::Controller) -> Result<api::Controller, String> {
    let name = declared.name;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(fits) {
        return Err(format!("a controller is called {name:?}: lower-case letters, digits and dashes, at most 63"));
    }
    if !(1..=MOST).contains(&declared.watches.len()) {
        return Err(format!("{name}: {} watches; at least its own kind, at most {MOST}", declared.watches.len()));
    }
    if let Some(watch) = declared.watches.iter().find(|watch| watch.fields.len() > MOST) {
        return Err(format!("{name}: {} fields of one kind", watch.fields.len()));
    }
    let watches = declared.watches.into_iter().map(watch).collect();
    Ok(api::Controller { name, watches, workers: declared.workers.max(1) })
}

fn watch(watch: wire::Watch) -> api::Watch {
    let target = match watch.target {
        wire::Target::Kind(one) => api::Target::Kind(kind(one)),
        wire::Target::Every => api::Target::Every,
    };
    let field = |field: objects::Field| api::Field { path: field.path, field_type: field_type(field.type_) };
    let wakes = |wakes: wire::Wakes| match wakes {
        wire::Wakes::Itself => api::Wakes::Itself,
        wire::Wakes::ControllerOwner => api::Wakes::ControllerOwner,
        wire::Wakes::Owners => api::Wakes::Owners,
        wire::Wakes::SelectedBy(path) => api::Wakes::SelectedBy(path),
        wire::Wakes::NamedAt(path) => api::Wakes::NamedAt(path),
        wire::Wakes::ClusterNamedAt(path) => api::Wakes::ClusterNamedAt(path),
        wire::Wakes::Namespace => api::Wakes::Namespace,
        wire::Wakes::Dependents => api::Wakes::Dependents,
        wire::Wakes::Siblings => api::Wakes::Siblings,
        wire::Wakes::Everyone => api::Wakes::Everyone,
        wire::Wakes::Nobody => api::Wakes::Nobody,
    };
    api::Watch {
        target,
        fields: watch.fields.into_iter().map(field).collect(),
        wakes: watch.wakes.into_iter().map(wakes).collect(),
    }
}

fn field_type(field_type: objects::FieldType) -> api::FieldType {
    match field_type {
        objects::FieldType::Text => api::FieldType::Text,
        objects::FieldType::Integer => api::FieldType::Integer,
        objects::FieldType::Boolean => api::FieldType::Boolean,
        objects::FieldType::Time => api::FieldType::Time,
        objects::FieldType::Json => api::FieldType::Json,
        objects::FieldType::Count => api::FieldType::Count,
        objects::FieldType::Hash => api::FieldType::Hash,
    }
}

pub(super) fn kind(kind: objects::Kind) -> api::Kind {
    api::Kind { group: kind.group, version: kind.version, kind: kind.kind }
}

pub(super) fn to_kind(kind: api::Kind) -> objects::Kind {
    objects::Kind { group: kind.group, version: kind.version, kind: kind.kind }
}

pub(super) fn key(key: objects::Key) -> api::Key {
    api::Key { namespace: key.namespace, name: key.name }
}

pub(super) fn to_key(key: &api::Key) -> objects::Key {
    objects::Key { namespace: key.namespace.clone(), name: key.name.clone() }
}

pub(super) fn query(query: objects::Query) -> api::Query {
    match query {
        objects::Query::One(one) => api::Query::One(key(one)),
        objects::Query::All => api::Query::All,
        objects::Query::Namespace(namespace) => api::Query::Namespace(namespace),
        objects::Query::OwnedBy(uid) => api::Query::OwnedBy(uid),
        objects::Query::OwnedIn((namespace, uid)) => api::Query::OwnedIn(namespace, uid),
        objects::Query::Labelled((namespace, selector)) => api::Query::Labelled(namespace, selector),
        objects::Query::Uid(uid) => api::Query::Uid(uid),
        objects::Query::Strangers((namespace, selector, uid)) => api::Query::Strangers(namespace, selector, uid),
        objects::Query::Strays((selector, uid)) => api::Query::Strays(selector, uid),
    }
}

pub(super) fn to_table(table: api::Table) -> objects::Table {
    let values = |values: api::Values| match values {
        api::Values::Texts(all) => objects::Values::Texts(to_texts(all)),
        api::Values::Integers(all) => objects::Values::Integers(all),
        api::Values::Booleans(all) => objects::Values::Booleans(all),
    };
    let column = |column: api::Column| objects::Column { present: column.present, values: values(column.values) };
    objects::Table {
        count: table.count,
        namespaces: to_texts(table.namespaces),
        names: to_texts(table.names),
        kinds: table.kinds,
        columns: table.columns.into_iter().map(column).collect(),
    }
}

pub(super) fn to_tally(tally: api::Tally) -> objects::Tally {
    objects::Tally { table: to_table(tally.table), counts: tally.counts }
}

fn to_texts(texts: api::Texts) -> columns::Texts {
    columns::Texts { all: texts.all, ends: texts.ends }
}

pub(super) fn to_failure(failure: api::Failure) -> objects::Failure {
    objects::Failure { code: failure.code, reason: failure.reason, message: failure.message }
}

pub(super) fn to_served(served: api::ServedKind) -> cluster::ServedKind {
    cluster::ServedKind {
        kind: to_kind(served.kind),
        plural: served.plural,
        namespaced: served.namespaced,
        verbs: served.verbs,
    }
}

pub(super) fn change(change: cluster::Change) -> api::Change {
    match change {
        cluster::Change::Create(c) => {
            api::Change::Create { kind: kind(c.kind), namespace: c.namespace, object: c.object }
        }
        cluster::Change::Update(u) => {
            api::Change::Update { kind: kind(u.kind), key: key(u.key), subresource: u.subresource, object: u.object }
        }
        cluster::Change::Patch(p) => api::Change::Patch {
            kind: kind(p.kind),
            key: key(p.key),
            subresource: p.subresource,
            patch_type: match p.type_ {
                cluster::PatchType::Json => api::PatchType::Json,
                cluster::PatchType::Merge => api::PatchType::Merge,
                cluster::PatchType::StrategicMerge => api::PatchType::StrategicMerge,
                cluster::PatchType::Apply => api::PatchType::Apply,
            },
            patch: p.patch,
        },
        cluster::Change::Delete(d) => api::Change::Delete {
            kind: kind(d.kind),
            key: key(d.key),
            uid: d.uid,
            resource_version: d.resource_version,
            propagation: d.propagation.map(|propagation| match propagation {
                cluster::Propagation::Background => api::Propagation::Background,
                cluster::Propagation::Foreground => api::Propagation::Foreground,
                cluster::Propagation::Orphan => api::Propagation::Orphan,
            }),
            grace_seconds: d.grace_seconds,
        },
        cluster::Change::DeleteCollection(d) => {
            api::Change::DeleteCollection { kind: kind(d.kind), namespace: d.namespace, labels: d.label_selector }
        }
    }
}

pub(super) fn order(order: cluster::Order) -> api::Order {
    match order {
        cluster::Order::InTurn => api::Order::InTurn,
        cluster::Order::Together => api::Order::Together,
    }
}

pub(super) fn to_written(written: api::Written) -> cluster::Written {
    cluster::Written { name: written.name, uid: written.uid, resource_version: written.resource_version }
}
