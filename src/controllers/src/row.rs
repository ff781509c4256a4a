//! One object as the controllers keep it: identity, owners, labels and the declared fields.
//!
//! In: an object as JSON and the fields of its kind. Out: a `Row`. Never keeps the object.

use kedge_api::meta;
use kedge_plugin_api::controllers::FieldType;
use serde_json::Value;

use crate::field::{Cell, FieldPath};

/// A field of a kind, as all controllers of a plugin together need it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldSpec {
    /// Where.
    pub path: FieldPath,
    /// As what.
    pub field_type: FieldType,
}

/// A reference to an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The owner's group.
    pub group: Box<str>,
    /// The owner's kind.
    pub kind: Box<str>,
    /// The owner's name.
    pub name: Box<str>,
    /// The owner's UID.
    pub uid: Box<str>,
    /// `controller: true`.
    pub controller: bool,
    /// `blockOwnerDeletion: true`.
    pub blocks: bool,
}

/// What is kept of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its UID.
    pub uid: Box<str>,
    /// Its version; 0 when the server gave none.
    pub revision: u64,
    /// Its owners.
    pub owners: Box<[Owner]>,
    /// Its labels.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// The declared fields, in their order.
    pub cells: Box<[Option<Cell>]>,
}

/// Where an object is: the kind's number (0 but for watches of every kind), namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    /// Empty for kinds without namespaces.
    pub namespace: Box<str>,
    /// The object's name.
    pub name: Box<str>,
    /// Which kind.
    pub kind: u32,
}

impl Row {
    /// What is kept of `object`, and where it is.
    pub fn of(object: &Value, kind: u32, fields: &[FieldSpec]) -> (RowKey, Row) {
        let key = RowKey { namespace: meta::namespace(object).into(), name: meta::name(object).into(), kind };
        let owners = object
            .pointer("/metadata/ownerReferences")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|reference| {
                let api_version = meta::text(reference, "apiVersion");
                Owner {
                    group: api_version.split_once('/').map_or("", |(group, _)| group).into(),
                    kind: meta::text(reference, "kind").into(),
                    name: meta::text(reference, "name").into(),
                    uid: meta::text(reference, "uid").into(),
                    controller: reference.get("controller").and_then(Value::as_bool).unwrap_or(false),
                    blocks: reference.get("blockOwnerDeletion").and_then(Value::as_bool).unwrap_or(false),
                }
            })
            .collect();
        let row = Row {
            uid: meta::uid(object).into(),
            revision: meta::revision(object).unwrap_or(0),
            owners,
            labels: meta::labels(object).map(|(k, v)| (k.into(), v.into())).collect(),
            cells: fields.iter().map(|field| field.path.cell(object, field.field_type)).collect(),
        };
        (key, row)
    }

    /// Whether an ownerReference names this UID.
    pub fn is_owned_by(&self, uid: &str) -> bool {
        self.owners.iter().any(|owner| &*owner.uid == uid)
    }

    /// Whether anything but the version differs in what somebody could act on.
    pub fn differs(&self, other: &Row) -> bool {
        self.uid != other.uid || self.owners != other.owners || self.labels != other.labels || self.cells != other.cells
    }
}
