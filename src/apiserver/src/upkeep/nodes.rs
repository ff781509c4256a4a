//! Keeps the graph of nodes equal to the store, and looks again when it may be behind.
//!
//! In: the store's events of pods, volumes, attachments and slices. Out: changes of the graph. A
//! node hears of a pod as soon as we do, so its first question may come before the graph knows: a
//! refusal is checked against the store once.

use std::sync::Arc;

use kedge_api::fields::Index;
use kedge_api::selector::Lookup as _;
use kedge_store::{Change, Entry, Event, Revision};

use super::BREATH;
use crate::authz::node::{Fields, NodeGraph, Verdict};
use crate::authz::rules::Wanted;
use crate::core::Core;
use crate::registry::{body, keys};

const PODS: &str = "/core/pods/";
const VOLUMES: &str = "/core/persistentvolumes/";
const ATTACHMENTS: &str = "/storage.k8s.io/volumeattachments/";
const SLICES: &str = "/resource.k8s.io/resourceslices/";
const FOLLOWED: [&str; 4] = [PODS, VOLUMES, ATTACHMENTS, SLICES];

/// Fills the graph from the store; out: the revision it is of.
pub async fn fill(core: &Core) -> Result<Revision, kedge_store::ReadError> {
    let from = core.store.revision();
    let mut fresh = NodeGraph::default();
    for prefix in FOLLOWED {
        for entry in core.store.list(prefix, None, None, 0).await?.entries {
            put(&mut fresh, &entry);
        }
    }
    core.authorizer.change_nodes(|graph| *graph = fresh);
    Ok(from)
}

/// Follows the store from a revision on.
pub async fn follow(core: Arc<Core>, mut from: Revision) {
    loop {
        let watches = FOLLOWED.map(|prefix| core.store.watch(prefix, from).ok());
        if let [Some(mut pods), Some(mut volumes), Some(mut attachments), Some(mut slices)] = watches {
            loop {
                let events = tokio::select! {
                    events = pods.next() => events,
                    events = volumes.next() => events,
                    events = attachments.next() => events,
                    events = slices.next() => events,
                    () = core.stop.cancelled() => return,
                };
                let Ok(events) = events else { break };
                events.iter().for_each(|event| note(&core, event));
            }
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(BREATH) => {}
                () = core.stop.cancelled() => return,
            }
            match fill(&core).await {
                Ok(revision) => {
                    from = revision;
                    break;
                }
                Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "cannot read pods"),
            }
        }
    }
}

fn note(core: &Core, event: &Event) {
    let entry = &event.entry;
    if event.change == Change::Deleted {
        core.authorizer.change_nodes(|graph| drop_one(graph, &entry.key));
    } else if matters(event) {
        core.authorizer.change_nodes(|graph| put(graph, entry));
    }
}

/// Most writes of pods are of their status and change nothing here: a bound pod's ties stay as they
/// are, but for these parts.
fn matters(event: &Event) -> bool {
    if !event.entry.key.starts_with(PODS) {
        return true;
    }
    let node = |entry: &Entry| Index::read(&entry.index).fields().value("spec.nodeName").map(str::to_owned);
    let bound = |entry: &Entry| node(entry).is_some_and(|n| !n.is_empty());
    if !bound(&event.entry) {
        return event.previous.as_ref().is_some_and(|e| bound(e));
    }
    let has = |word: &[u8]| event.entry.bytes.windows(word.len()).any(|w| w == word);
    let first = event.previous.as_ref().is_none_or(|e| node(e) != node(&event.entry));
    first || MAY_CHANGE.iter().any(|word| has(word))
}

/// Parts of a bound pod that come later and name something.
const MAY_CHANGE: [&[u8]; 2] = [b"\"resourceClaimStatuses\"", b"\"ephemeralContainers\""];

fn put(graph: &mut NodeGraph, entry: &Entry) {
    let Ok(object) = body::decode(&entry.bytes) else { return };
    match prefix(&entry.key) {
        PODS => graph.put_pod(&object),
        VOLUMES => graph.put_volume(&object),
        ATTACHMENTS => graph.put_attachment(&object),
        _ => graph.put_slice(&object),
    }
}

fn drop_one(graph: &mut NodeGraph, key: &str) {
    let Some((namespace, name)) = keys::parse(key) else { return };
    match prefix(key) {
        PODS => graph.drop_pod(namespace, name),
        VOLUMES => graph.drop_volume(name),
        ATTACHMENTS => graph.drop_attachment(name),
        _ => graph.drop_slice(name),
    }
}

fn prefix(key: &str) -> &'static str {
    FOLLOWED.into_iter().find(|p| key.starts_with(p)).unwrap_or(SLICES)
}

/// Looks whether the store ties something to a node that the graph does not know of yet.
pub async fn look_again(core: &Core, node: &str, wanted: &Wanted<'_>) -> bool {
    let Wanted::Resource { namespace, resource, .. } = *wanted else { return false };
    let mut graph = NodeGraph::default();
    if resource == "persistentvolumes" {
        let Wanted::Resource { name, .. } = *wanted else { return false };
        let Ok(Some(volume)) = core.store.get(&keys::fixed("", resource, "", name)).await else { return false };
        put(&mut graph, &volume);
    }
    let Ok(page) = core.store.list(&keys::fixed("", "pods", namespace, ""), None, None, 0).await else { return false };
    let here = |e: &&Arc<Entry>| Index::read(&e.index).fields().value("spec.nodeName") == Some(node);
    for entry in page.entries.iter().filter(here) {
        put(&mut graph, entry);
    }
    graph.decide(node, wanted, Fields::default()) == Verdict::Allowed
}
