//! CustomResourceDefinitions: their status is kept right, their kinds are served, their instances go before them.
//!
//! In: the store's events below `/apiextensions.k8s.io/customresourcedefinitions/`. Out: rows of `Kinds`, writes of
//! definitions. What a status says is decided by `kedge_api::custom::conditions`; here it is only done. A kind is
//! served before its definition says so, and definitions are held as the few names they were granted.

mod cleanup;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kedge_api::custom::conditions::{self, Taken};
use kedge_api::custom::{self, Definition};
use kedge_api::kinds::{Gvr, Kind};
use kedge_api::{Object, meta};
use kedge_store::{Change, Entry, Revision, WriteError};

use crate::core::Core;
use crate::registry::{body, keys, rules};

const PREFIX: &str = "/apiextensions.k8s.io/customresourcedefinitions/";

/// What is remembered of a definition.
#[derive(Debug, Default)]
struct Held {
    group: String,
    granted: Taken,
    /// Whether it waits for names that others have.
    waits: bool,
}

/// All definitions.
#[derive(Debug, Default)]
pub struct Definitions {
    held: BTreeMap<String, Held>,
    cleaning: cleanup::Cleaning,
}

/// Serves what was served before the start; out: what is known, and the revision it is of.
pub async fn fill(core: &Core) -> Result<(Definitions, Revision), kedge_store::ReadError> {
    let page = core.store.list(PREFIX, None, None, 0).await?;
    let mut all = Definitions::default();
    for entry in &page.entries {
        let Some(object) = decode(entry) else { continue };
        all.note(&object);
        serve(core, &object);
    }
    Ok((all, page.revision))
}

/// Follows the store from a revision on.
pub async fn follow(core: Arc<Core>, mut all: Definitions, mut from: Revision) {
    loop {
        // What was not settled when the server stopped, or while events were missed.
        for name in all.held.keys().cloned().collect::<Vec<_>>() {
            again(&core, &mut all, &name).await;
        }
        if let Ok(mut watch) = core.store.watch(PREFIX, from) {
            loop {
                let events = tokio::select! {
                    events = watch.next() => events,
                    () = core.stop.cancelled() => return,
                };
                let Ok(events) = events else { break };
                for event in events {
                    if event.change == Change::Deleted {
                        gone(&core, &mut all, &event.entry).await;
                    } else {
                        changed(&core, &mut all, &event.entry).await;
                    }
                }
            }
        }
        loop {
            if core.stop.is_cancelled() {
                return;
            }
            match fill(&core).await {
                Ok((fresh, revision)) => {
                    retire(&core, &fresh);
                    all = Definitions { held: fresh.held, ..all };
                    from = revision;
                    break;
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot read definitions");
                    tokio::time::sleep(super::BREATH).await;
                }
            }
        }
    }
}

impl Definitions {
    /// Remembers a definition; out: whether it gave up names or was granted others.
    fn note(&mut self, object: &Object) -> bool {
        let mut granted = Taken::default();
        granted.grant(object);
        let held = Held {
            group: meta::text_at(object, &["spec", "group"]).to_owned(),
            waits: !conditions::is_true(object, "NamesAccepted"),
            granted,
        };
        let before = self.held.insert(meta::name(object).to_owned(), held);
        let now = &self.held[meta::name(object)].granted;
        before.is_some_and(|before| before.granted != *now)
    }

    /// The names that others of the group have, those of built-in kinds among them.
    fn taken(&self, core: &Core, name: &str, group: &str) -> Taken {
        let mut taken = Taken::default();
        for (_, held) in self.held.iter().filter(|(other, held)| *other != name && held.group == group) {
            taken.resources.extend(held.granted.resources.iter().cloned());
            taken.kinds.extend(held.granted.kinds.iter().cloned());
        }
        for kind in core.kinds().iter().filter(|kind| is_own(kind) && kind.group == group) {
            taken.resources.extend([kind.plural.to_string(), kind.singular.to_string()]);
            taken.resources.extend(kind.short_names.iter().map(ToString::to_string));
            taken.kinds.extend([kind.kind.to_string(), kind.list_kind.to_string()]);
        }
        taken
    }
}

fn decode(entry: &Entry) -> Option<Object> {
    match body::decode(&entry.bytes) {
        Ok(object) => Some(object),
        Err(error) => {
            tracing::error!(key = &*entry.key, %error, "a kept definition cannot be read");
            None
        }
    }
}

/// Reads a definition and puts it right.
async fn again(core: &Arc<Core>, all: &mut Definitions, name: &str) {
    if let Ok(Some(entry)) = core.store.get(&format!("{PREFIX}{name}")).await {
        Box::pin(changed(core, all, &entry)).await;
    }
}

async fn changed(core: &Arc<Core>, all: &mut Definitions, entry: &Entry) {
    let Some(object) = decode(entry) else { return };
    let (name, group) = (meta::name(&object).to_owned(), meta::text_at(&object, &["spec", "group"]).to_owned());
    let taken = all.taken(core, &name, &group);
    let settled = conditions::settle(&object, &taken, &core.timestamp());
    let now = settled.as_ref().unwrap_or(&object);
    serve(core, now);
    let released = all.note(now);
    if let Some(settled) = &settled
        && !write(core, entry, settled).await
    {
        // Somebody else wrote it meanwhile, which is an event of its own.
        return;
    }
    if meta::deletion_timestamp(now).is_some() && meta::finalizers(now).any(|f| f == custom::CLEANUP) {
        all.cleaning.start(core, &name);
    }
    if released {
        wake(core, all, &name, &group).await;
    }
}

async fn gone(core: &Arc<Core>, all: &mut Definitions, entry: &Entry) {
    let Some((_, name)) = keys::parse(&entry.key) else { return };
    let Some(held) = all.held.remove(name) else { return };
    withdraw(core, name);
    wake(core, all, name, &held.group).await;
}

/// Takes the kinds of a definition out of the table.
fn withdraw(core: &Core, name: &str) {
    core.change_kinds(|kinds| {
        let gone: Vec<Gvr> = rows_of(kinds.iter(), name).map(|kind| kind.gvr()).collect();
        for gvr in &gone {
            kinds.remove(gvr);
        }
        !gone.is_empty()
    });
}

/// Names were given up: others of the group may have them now.
async fn wake(core: &Arc<Core>, all: &mut Definitions, name: &str, group: &str) {
    let waiting = all.held.iter().filter(|(other, held)| held.waits && *other != name && held.group == group);
    for other in waiting.map(|(other, _)| other.clone()).collect::<Vec<_>>() {
        again(core, all, &other).await;
    }
}

async fn write(core: &Core, entry: &Entry, object: &Object) -> bool {
    let kinds = core.kinds();
    let Some(kind) = kinds.resource("apiextensions.k8s.io", "v1", "customresourcedefinitions") else { return false };
    let index = Bytes::from(rules::index(kind, object));
    match core.store.update(&entry.key, entry.revision, body::encode(object), index).await {
        Ok(_) => true,
        Err(WriteError::Conflict(_) | WriteError::NotFound) => false,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, name = meta::name(object), "cannot write the status of a definition");
            false
        }
    }
}

fn rows_of<'a>(rows: impl Iterator<Item = &'a Arc<Kind>>, name: &str) -> impl Iterator<Item = &'a Arc<Kind>> {
    let names = move |kind: &Kind| kind.definition.as_ref().is_some_and(|definition| *definition.name == *name);
    rows.filter(move |kind| !is_own(kind) && names(kind))
}

/// Whether a kind is served without anybody's definition.
fn is_own(kind: &Kind) -> bool {
    !kind.custom || kind.is_measured()
}

/// Puts the rows of a definition into the table of kinds, in place of those it had.
fn serve(core: &Core, object: &Object) {
    let name = meta::name(object);
    let mut rows = Vec::new();
    if conditions::is_served(object) {
        match compiled(core, object) {
            Ok(definition) => rows = custom::rows(&definition, object),
            Err(error) => tracing::error!(name, %error, "a definition cannot be served"),
        }
    }
    core.change_kinds(|kinds| {
        // What is built in is never replaced.
        rows.retain(|row| kinds.by_gvr(&row.gvr()).is_none_or(|known| !is_own(known)));
        let before: Vec<Arc<Kind>> = rows_of(kinds.iter(), name).cloned().collect();
        if before.len() == rows.len() && before.iter().all(|old| rows.iter().any(|row| *row == **old)) {
            return false;
        }
        for old in &before {
            kinds.remove(&old.gvr());
        }
        rows.drain(..).for_each(|row| kinds.insert(row));
        true
    });
}

/// The definition as it is served already, if nothing but its status changed; else compiled.
fn compiled(core: &Core, object: &Object) -> Result<Arc<Definition>, custom::Untypable> {
    let kinds = core.kinds();
    let known = rows_of(kinds.iter(), meta::name(object)).find_map(|kind| kind.definition.clone());
    let terminating = conditions::is_true(object, "Terminating");
    match known.filter(|known| *known.uid == *meta::uid(object) && known.generation == meta::generation(object)) {
        Some(known) if known.terminating == terminating => Ok(known),
        Some(known) => Ok(Arc::new(known.with_terminating(terminating))),
        None => Definition::compile(object).map(Arc::new),
    }
}

/// Takes out the kinds of definitions that went while events were missed.
fn retire(core: &Core, fresh: &Definitions) {
    core.change_kinds(|kinds| {
        let gone: Vec<Gvr> = kinds
            .iter()
            .filter(|kind| kind.definition.as_ref().is_some_and(|d| !fresh.held.contains_key(&*d.name)))
            .map(|kind| kind.gvr())
            .collect();
        for gvr in &gone {
            kinds.remove(gvr);
        }
        !gone.is_empty()
    });
}
