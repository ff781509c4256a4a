//! Custom resources between the version they are kept in and the one that is served.
//!
//! In: objects as they are kept, or as a client wants them. Out: the same in the other version: pruned and with
//! defaults as their schemas say. What a definition leaves to a webhook is done by the [`Converter`].
//!
//! Custom objects are worked on in the version of the request, which is the one that its schema is of; built-in ones
//! in the version they are kept in. Kinds that are not custom pass through here untouched.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use kedge_api::custom::prune::{self, Malformed};
use kedge_api::custom::{Definition, default};
use kedge_api::kinds::Kind;
use kedge_api::status::{Reason, Status};
use kedge_api::{Object, meta};
use kedge_store::{Change, Entry, Event};
use serde_json::Value;

use super::decode_kept;
use crate::core::Core;

/// Converts what a definition leaves to its webhook (`definition.webhook`).
#[async_trait]
pub trait Converter: Send + Sync {
    /// Converts objects to `version`, an `apiVersion`. None of them is in that version yet.
    ///
    /// Out: as many objects, in the same order, each with its own metadata but for labels and annotations; or the
    /// whole message for the client: `conversion webhook for GROUP/VERSION, Kind=KIND failed: ...`.
    async fn convert(
        &self,
        definition: &Definition,
        objects: Vec<Object>,
        version: &str,
    ) -> Result<Vec<Object>, String>;
}

/// Objects converted in one go: a webhook's answer for them stays below 10 MB at 100 KB each.
const BATCH: usize = 100;

/// Whether what is kept may differ from what is served: another version, or a definition that was changed since
/// objects were kept. Nothing is parsed where it is not.
pub fn is_needed(kind: &Kind) -> bool {
    kind.definition.as_ref().is_some_and(|definition| definition.changed() || *definition.storage != *kind.version)
}

/// A kept object in the version that is worked on.
pub async fn working(core: &Core, kind: &Kind, entry: &Entry) -> Result<Object, Status> {
    let object = decode_kept(entry)?;
    if !is_needed(kind) {
        return Ok(object);
    }
    let mut one = to_served(core, kind, vec![object]).await?;
    one.pop().ok_or_else(|| failed("a conversion yielded nothing".to_owned()))
}

/// Kept objects of a custom kind in the version that is served.
pub async fn to_served(core: &Core, kind: &Kind, objects: Vec<Object>) -> Result<Vec<Object>, Status> {
    let Some(definition) = &kind.definition else { return Ok(objects) };
    let mut objects = objects;
    for object in &mut objects {
        // What was kept before a schema was changed is brought into its form first.
        let version = definition.version(version_of(object)).ok_or_else(|| from_nowhere(object))?;
        let schema = definition.schema(version);
        prune::coerce(schema, object, Malformed::Dropped).map_err(failed)?;
        default::fill(schema, object);
    }
    turn(core, definition, objects, &kind.version).await
}

/// An object of a custom kind in the version that is kept.
pub async fn to_kept(core: &Core, kind: &Kind, object: Object) -> Result<Object, Status> {
    let Some(definition) = kind.definition.as_ref().filter(|definition| *definition.storage != *kind.version) else {
        return Ok(object);
    };
    let mut one = turn(core, definition, vec![object], &definition.storage).await?;
    one.pop().ok_or_else(|| failed("a conversion yielded nothing".to_owned()))
}

fn version_of(object: &Object) -> &str {
    meta::api_version(object).rsplit('/').next().unwrap_or_default()
}

fn from_nowhere(object: &Object) -> Status {
    failed(format!("request to convert CR from an invalid group/version: {}", meta::api_version(object)))
}

fn failed(why: String) -> Status {
    Status::new(500, Reason::Unknown, why)
}

/// Objects in another version of their definition.
async fn turn(
    core: &Core,
    definition: &Definition,
    mut objects: Vec<Object>,
    version: &str,
) -> Result<Vec<Object>, Status> {
    let target = definition.version(version).ok_or_else(|| {
        failed(format!("request to convert CR to an invalid group/version: {}/{version}", definition.group))
    })?;
    let wanted = format!("{}/{version}", definition.group);
    let places: Vec<usize> = (0..objects.len()).filter(|at| meta::api_version(&objects[*at]) != wanted).collect();
    if definition.webhook.is_none() {
        for at in &places {
            objects[*at]["apiVersion"] = Value::from(wanted.as_str());
        }
    } else {
        for some in places.chunks(BATCH) {
            let sent: Vec<Object> = some.iter().map(|at| std::mem::take(&mut objects[*at])).collect();
            let converted = core.converter.convert(definition, sent, &wanted).await.map_err(failed)?;
            if converted.len() != some.len() {
                let (got, wanted) = (converted.len(), some.len());
                let name = &definition.name;
                return Err(failed(format!("conversion webhook for {name} returned {got} objects, expected {wanted}")));
            }
            for (at, object) in some.iter().zip(converted) {
                objects[*at] = object;
            }
        }
    }
    for at in places {
        prune::coerce(definition.schema(target), &mut objects[at], Malformed::Refused).map_err(failed)?;
    }
    Ok(objects)
}

/// Kept entries of a custom kind as entries of the version that is served.
pub async fn entries(core: &Core, kind: &Kind, entries: Vec<Arc<Entry>>) -> Result<Vec<Arc<Entry>>, Status> {
    if !is_needed(kind) {
        return Ok(entries);
    }
    let objects = entries.iter().map(|entry| decode_kept(entry)).collect::<Result<Vec<_>, _>>()?;
    let served = to_served(core, kind, objects).await?;
    Ok(entries.iter().zip(served).map(|(entry, object)| Arc::new(with_bytes(entry, &object))).collect())
}

/// One entry, as [`entries`].
pub async fn entry(core: &Core, kind: &Kind, entry: Arc<Entry>) -> Result<Arc<Entry>, Status> {
    Ok(entries(core, kind, vec![entry.clone()]).await?.pop().unwrap_or(entry))
}

fn with_bytes(entry: &Entry, object: &Object) -> Entry {
    Entry {
        key: entry.key.clone(),
        bytes: Bytes::from(object.to_string()),
        index: entry.index.clone(),
        revision: entry.revision,
        created: entry.created,
    }
}

/// Events of a custom kind, told in the version that is served.
pub async fn events(core: &Core, kind: &Kind, events: Vec<Arc<Event>>) -> Result<Vec<Arc<Event>>, Status> {
    if !is_needed(kind) {
        return Ok(events);
    }
    let kept: Vec<Arc<Entry>> =
        events.iter().flat_map(|event| std::iter::once(&event.entry).chain(&event.previous)).cloned().collect();
    let mut served = entries(core, kind, kept).await?.into_iter();
    let mut out = Vec::with_capacity(events.len());
    for event in &events {
        let Some(entry) = served.next() else { break };
        let previous = event.previous.as_ref().and_then(|_| served.next());
        let Event { revision, change, .. } = **event;
        debug_assert!(matches!(change, Change::Created | Change::Updated | Change::Deleted));
        out.push(Arc::new(Event { revision, change, entry, previous }));
    }
    Ok(out)
}
