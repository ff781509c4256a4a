//! Kept entries in the form a client asked for: whole, metadata only, or rows of a table.
//!
//! In: entries and a [`View`]. Out: JSON bytes. Entries that are served as they are kept are not
//! parsed at all.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use kedge_api::custom::Version;
use kedge_api::kinds::{Gvk, Kind, Removed};
use kedge_api::status::Status;
use kedge_api::{Object, convert, meta, print};
use kedge_store::Entry;
use serde_json::{Value, json};

use super::encoded::Form;
use super::list::Listing;
use super::{body, decode_kept, rules};
use crate::core::Core;
use crate::media::{Accepted, Format, Shape};
use crate::query::Query;

/// What a row of a table carries beside its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Carried {
    /// Nothing.
    Nothing,
    /// The object's metadata.
    #[default]
    Metadata,
    /// The whole object.
    Whole,
}

/// The form a client asked for.
#[derive(Clone)]
pub struct View {
    /// The kind, in the served version.
    pub kind: Arc<Kind>,
    /// Format and shape.
    pub accepted: Accepted,
    /// What rows carry.
    pub carried: Carried,
    /// Today's form of the kind, if it is of a version that Kubernetes no longer serves: tables show that.
    today: Option<Gvk>,
    /// The time ages are told at.
    pub now: SystemTime,
}

impl View {
    /// From what a request asks for.
    pub fn new(core: &Core, kind: &Arc<Kind>, accepted: Accepted, query: &Query) -> Result<View, Status> {
        let carried = match query.get("includeObject") {
            None | Some("" | "Metadata") => Carried::Metadata,
            Some("None") => Carried::Nothing,
            Some("Object") => Carried::Whole,
            Some(other) => {
                return Err(Status::bad_request(format!(
                    "includeObject: Unsupported value: {other:?}: supported values: \"Metadata\", \"None\", \"Object\""
                )));
            }
        };
        let today = if rules::served_as_kept(kind) { None } else { Removed::of(&kind.gvk()).and_then(Removed::modern) };
        Ok(View { kind: kind.clone(), accepted, carried, today, now: core.clock.now() })
    }

    /// Whether kept bytes can be sent as they are, once they are JSON.
    pub fn is_plain(&self) -> bool {
        // Entries of custom kinds were converted before they get here.
        self.accepted.shape == Shape::Whole && (self.kind.custom || rules::served_as_kept(&self.kind))
    }

    /// What tells two views' encodings apart.
    pub fn form(&self, revision: u64, previous: bool) -> Form {
        let shape = match (self.accepted.shape, self.carried) {
            (Shape::Whole, _) => 0,
            (Shape::Metadata, _) => 1,
            (Shape::Table, Carried::Nothing) => 2,
            (Shape::Table, Carried::Metadata) => 3,
            (Shape::Table, Carried::Whole) => 4,
        };
        let format = if self.accepted.format == Format::Protobuf { 10 } else { 0 };
        Form { revision, previous, view: (shape + format, format!("{}/{}", self.kind.group, self.kind.version)) }
    }
}

/// One entry: an object, its metadata, or a table of one row.
pub fn entry(view: &View, entry: &Entry) -> Result<Bytes, Status> {
    if view.is_plain() {
        return Ok(entry.bytes.clone());
    }
    object(view, decode_kept(entry)?)
}

/// One object in the storage version: as it is served, its metadata, or a table of one row.
pub fn object(view: &View, mut object: Object) -> Result<Bytes, Status> {
    rules::to_served(&view.kind, &mut object);
    let value = match view.accepted.shape {
        Shape::Whole => object,
        Shape::Metadata => metadata_only(&object),
        Shape::Table => {
            let version = meta::resource_version(&object).to_owned();
            json!({
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": version},
                "columnDefinitions": columns(view),
                "rows": [row(view, &object)],
            })
        }
    };
    Ok(Bytes::from(value.to_string()))
}

/// What a subresource shows of an object, of a kind of its own, in the shape that was asked for.
pub fn of_subresource(view: &View, gvk: &Gvk, object: Object) -> Object {
    match view.accepted.shape {
        Shape::Whole => object,
        Shape::Metadata => metadata_only(&object),
        Shape::Table => {
            let mut row = print::row(gvk, false, &object, view.now);
            carry(view, &mut row, &object);
            json!({
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": meta::resource_version(&object)},
                "columnDefinitions": print::column_definitions(print::columns(gvk, false)),
                "rows": [row],
            })
        }
    }
}

/// Objects that are made for this answer only: a list, or a table with a row for each.
pub fn objects(view: &View, objects: &[Object]) -> Bytes {
    let (gvk, metadata) = (view.kind.gvk(), json!({"resourceVersion": ""}));
    let value = match view.accepted.shape {
        Shape::Whole => json!({
            "kind": format!("{}List", gvk.kind), "apiVersion": gvk.api_version(), "metadata": metadata, "items": objects,
        }),
        Shape::Metadata => json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "items": objects.iter().map(metadata_only).collect::<Vec<_>>(),
        }),
        Shape::Table => json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": columns(view),
            "rows": objects.iter().map(|object| row(view, object)).collect::<Vec<_>>(),
        }),
    };
    Bytes::from(value.to_string())
}

/// The row of a table for a watch event: whole tables of one row, with or without their head.
pub fn table_event(view: &View, mut object: Object, with_columns: bool) -> Bytes {
    rules::to_served(&view.kind, &mut object);
    let version = meta::resource_version(&object).to_owned();
    let columns = if with_columns { columns(view) } else { Value::Null };
    let table = json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version},
        "columnDefinitions": columns,
        "rows": [row(view, &object)],
    });
    Bytes::from(table.to_string())
}

fn metadata_only(object: &Object) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

/// What a definition says of the kind's tables; those of kinds that are measured are built in.
fn defined(view: &View) -> Option<&Version> {
    view.kind.custom_version().filter(|_| view.kind.is_kept())
}

fn columns(view: &View) -> Value {
    if let Some(version) = defined(view) {
        return print::custom::column_definitions(&version.columns);
    }
    let gvk = view.today.clone().unwrap_or_else(|| view.kind.gvk());
    print::column_definitions(print::columns(&gvk, view.kind.custom))
}

fn row(view: &View, object: &Object) -> Value {
    let gvk = view.kind.gvk();
    let mut row = match (defined(view), &view.today) {
        (Some(version), _) => json!({"cells": print::custom::cells(&version.columns, object, view.now)}),
        (None, None) => print::row(&gvk, view.kind.custom, object, view.now),
        (None, Some(today)) => match convert::to(&gvk, today, object.clone()) {
            Ok(object) => print::row(today, false, &object, view.now),
            Err(_) => print::row(&gvk, false, object, view.now),
        },
    };
    carry(view, &mut row, object);
    row
}

fn carry(view: &View, row: &mut Value, object: &Object) {
    match view.carried {
        Carried::Nothing => {}
        Carried::Metadata => row["object"] = metadata_only(object),
        Carried::Whole => row["object"] = object.clone(),
    }
}

/// A list in pieces of about [`PIECE`] bytes: nothing is copied twice, and the first piece leaves
/// before the last is made.
pub struct ListBody {
    view: View,
    entries: std::vec::IntoIter<Arc<Entry>>,
    state: State,
    head: String,
}

#[derive(PartialEq)]
enum State {
    Head,
    Items { first: bool },
    Done,
}

/// Four TLS records.
const PIECE: usize = 64 * 1024;

impl ListBody {
    /// A list's body.
    pub fn new(view: View, listing: Listing) -> Self {
        let mut metadata = json!({"resourceVersion": listing.revision.to_string()});
        if let Some(next) = &listing.next {
            metadata["continue"] = json!(next);
        }
        if let Some(remaining) = listing.remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
        let (kind, version, items) = match view.accepted.shape {
            Shape::Whole => (view.kind.list_kind.to_string(), view.kind.gvk().api_version(), "\"items\":[".to_owned()),
            Shape::Metadata => {
                ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned(), "\"items\":[".to_owned())
            }
            Shape::Table => (
                "Table".to_owned(),
                "meta.k8s.io/v1".to_owned(),
                format!("\"columnDefinitions\":{},\"rows\":[", columns(&view)),
            ),
        };
        let head =
            format!("{{\"kind\":{},\"apiVersion\":{},\"metadata\":{metadata},{items}", json!(kind), json!(version));
        ListBody { view, entries: listing.entries.into_iter(), state: State::Head, head }
    }

    /// The next piece; `None` at the end. Entries that cannot be read are left out and logged.
    pub fn piece(&mut self) -> Option<Bytes> {
        if self.state == State::Done {
            return None;
        }
        let mut out = BytesMut::with_capacity(4096);
        let mut first = match self.state {
            State::Head => {
                out.extend_from_slice(self.head.as_bytes());
                true
            }
            State::Items { first } => first,
            State::Done => return None,
        };
        while out.len() < PIECE {
            let Some(next) = self.entries.next() else {
                out.extend_from_slice(b"]}");
                self.state = State::Done;
                return Some(out.freeze());
            };
            let Ok(bytes) = self.item(&next) else { continue };
            if !std::mem::replace(&mut first, false) {
                out.extend_from_slice(b",");
            }
            out.extend_from_slice(&bytes);
        }
        self.state = State::Items { first };
        Some(out.freeze())
    }

    fn item(&self, entry: &Entry) -> Result<Bytes, Status> {
        if self.view.is_plain() {
            return Ok(entry.bytes.clone());
        }
        let mut object = decode_kept(entry)?;
        rules::to_served(&self.view.kind, &mut object);
        Ok(Bytes::from(match self.view.accepted.shape {
            Shape::Whole => object.to_string(),
            Shape::Metadata => metadata_only(&object).to_string(),
            Shape::Table => row(&self.view, &object).to_string(),
        }))
    }

    /// The whole list at once.
    pub fn collect(mut self) -> Bytes {
        let mut out = BytesMut::new();
        while let Some(piece) = self.piece() {
            out.extend_from_slice(&piece);
        }
        out.freeze()
    }
}

/// The object that tells a watch how far it has come.
pub fn bookmark(view: &View, revision: u64, initial_done: bool) -> Bytes {
    let (kind, version) = match view.accepted.shape {
        Shape::Whole => (view.kind.kind.to_string(), view.kind.gvk().api_version()),
        Shape::Metadata => ("PartialObjectMetadata".to_owned(), "meta.k8s.io/v1".to_owned()),
        Shape::Table => ("Table".to_owned(), "meta.k8s.io/v1".to_owned()),
    };
    let mut object = json!({
        "kind": kind,
        "apiVersion": version,
        "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null},
    });
    if initial_done {
        object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    if view.accepted.shape == Shape::Table {
        object["metadata"] = json!({"resourceVersion": revision.to_string()});
        object["columnDefinitions"] = Value::Null;
        let carried = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {
            "resourceVersion": revision.to_string(), "creationTimestamp": null,
            "annotations": if initial_done { json!({"k8s.io/initial-events-end": "true"}) } else { Value::Null },
        }});
        object["rows"] = json!([{"cells": [], "object": carried}]);
    }
    Bytes::from(object.to_string())
}

/// The kept bytes of an object before an event, as of the event.
pub fn previous(entry: &Entry, revision: u64) -> Bytes {
    body::at_revision(&entry.bytes, revision)
}
