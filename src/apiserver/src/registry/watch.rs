//! Watches: what there is, then what changes, until the time is over.
//!
//! In: options of a watch. Out: a body of events, one JSON object a line. Events that are ready
//! together leave together, and a busy watch rests between two pieces so that more are (`pace.rs`);
//! a watch that asked for it hears of progress when the server's one timer says so. A watch never
//! holds up a write: the store drops it if it falls behind.

use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use futures::FutureExt as _;
use kedge_api::field::{FieldError, Path};
use kedge_api::kinds::Kind;
use kedge_api::protobuf;
use kedge_api::status::Status;
use kedge_store::{Change, Entry, Event, Revision};
use tokio::sync::oneshot;
use tokio::sync::watch::Receiver;
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::encoded::{Batch, Piece, groups};
use super::list::{self, reach, refused};
use super::pace::{Inside, Pace};
use super::render::{self, View};
use super::selection::Selection;
use super::{Act, body, convert, keys, rules};
use crate::chain::Call;
use crate::core::Core;
use crate::error;
use crate::flow::watchers::Watching;
use crate::media::{Format, Shape};
use crate::metrics::told::{Sizes, Told};
use crate::query::ListOptions;
use crate::respond::{self, Answer};
use crate::vault::Watch;

/// A watch that does not say how long it lasts ends after half an hour to an hour, at random, so
/// that not all come back at once.
const SHORTEST: u64 = 1800;
/// Events that are ready together leave in pieces of about this size: one TLS record.
const PIECE: usize = 16 * 1024;

/// What stands around an object in a line: at most `{"type":"MODIFIED","object":}` and its end.
const FRAME: usize = 32;

/// Where a watch begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With everything there is once it is at least this, told as ADDED; then a bookmark if so.
    Everything {
        /// Not before that revision.
        not_before: Revision,
        /// Whether a bookmark says that this was everything.
        marked: bool,
    },
    /// With what comes after now.
    Now,
    /// With what comes after that revision.
    After(Revision),
}

/// Where the options say that a watch begins.
pub fn start(options: &ListOptions) -> Result<Start, Status> {
    let matching = Path::root("resourceVersionMatch");
    let mut faults = Vec::new();
    let version = match options.resource_version.as_deref().map(str::parse::<Revision>) {
        None => None,
        Some(Ok(version)) => Some(version),
        Some(Err(_)) => {
            let text = options.resource_version.as_deref().unwrap_or("");
            faults.push(FieldError::invalid(&Path::root("resourceVersion"), text, "must be a number"));
            None
        }
    };
    match (options.send_initial_events, options.resource_version_match.as_deref()) {
        (Some(_), Some("NotOlderThan")) | (None, None) => {}
        (Some(_), _) => faults.push(FieldError::forbidden(
            &matching,
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        )),
        (None, Some(_)) => {
            faults.push(FieldError::forbidden(
                &matching,
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        }
    }
    if !faults.is_empty() {
        return Err(refused(&faults));
    }
    Ok(match (options.send_initial_events, version) {
        (Some(true), version) => Start::Everything { not_before: version.unwrap_or(0), marked: options.bookmarks },
        (Some(false), None | Some(0)) => Start::Now,
        (None, None | Some(0)) => Start::Everything { not_before: 0, marked: false },
        (_, Some(version)) => Start::After(version),
    })
}

/// Opens a watch.
pub async fn open(act: &Act<'_>, call: &Call, options: &ListOptions, view: View) -> Result<Answer, Status> {
    let core = &call.core;
    let selection = Selection::parse(act.kind, &options.label_selector, &options.field_selector)?;
    let start = start(options)?;
    let seconds = options.timeout_seconds.filter(|s| *s > 0).unwrap_or_else(|| SHORTEST + core.random.below(SHORTEST));
    let prefix = match selection.name() {
        Some(name) if !act.kind.namespaced || !act.namespace.is_empty() => keys::object(act.kind, act.namespace, name),
        _ => keys::collection(act.kind, act.namespace),
    };
    let content_type = match view.accepted.format {
        Format::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        Format::Yaml => "application/json",
        Format::Json => view.accepted.content_type(),
    };
    let mut feed = Feed {
        core: core.clone(),
        audience: audience(&prefix, options, &view).into(),
        watch: None,
        view,
        selection,
        pace: call.connected.then(|| core.paces.enter()),
        inside: (!call.connected && call.who.as_service_account().is_some()).then(Inside::default),
        _watching: core.flow.watchers.enter(&call.info),
        figures: core.metrics.told.of(act.spoken),
        burst: None,
        bookmarks: options.bookmarks,
        end: Box::pin(tokio::time::sleep(Duration::from_secs(seconds))),
        stop: Box::pin(core.stop.clone().cancelled_owned()),
        progress: core.progress.subscribe(),
        kinds: act.kind.custom.then(|| core.kinds_changed.subscribe()),
        initial: Vec::new().into_iter(),
        pieces: Vec::new().into_iter(),
        first: None,
        after: 0,
        told: 0,
        columns_sent: false,
        fault: None,
        done: false,
    };
    let from = match start {
        Start::Everything { not_before, marked } => {
            reach(act, not_before).await?;
            let all = ListOptions { limit: 0, ..ListOptions::default() };
            let listing = list::list(act, &all, &feed.selection.of_kept()).await?;
            let mut entries = convert::entries(core, act.kind, listing.entries).await?;
            feed.selection.narrow(&mut entries);
            feed.initial = entries.into_iter();
            feed.first = Some(marked);
            feed.burst = keep_seat(call);
            listing.revision
        }
        Start::Now => core.store.revision(),
        Start::After(revision) => {
            // A revision this server has not reached is waited for by letting events up to it pass.
            feed.after = revision;
            revision.min(core.store.revision())
        }
    };
    feed.told = from;
    match core.store.watch(&prefix, from) {
        Ok(_) if rules::is_forgotten(core, act.kind, from) => {
            feed.fault = Some(Status::too_old_version(from, core.started_at));
        }
        Ok(watch) => feed.watch = Some(watch),
        Err(fault) => feed.fault = Some(error::watch(fault, from)),
    }
    let stream = futures::stream::unfold(feed, |mut feed| async move {
        let piece = feed.next().await?;
        feed.figures.piece(&piece.sizes);
        Some((Ok::<Bytes, std::convert::Infallible>(piece.bytes), feed))
    });
    Ok(respond::stream(content_type, Body::from_stream(stream)))
}

/// Keeps the watch's seat until its first burst is over, which is when what comes back is dropped. A client that does not
/// read it keeps a seat no longer than any request may.
fn keep_seat(call: &Call) -> Option<oneshot::Sender<()>> {
    let seat = call.seat.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    let (over, told) = oneshot::channel();
    let longest = call.core.config.limits.request;
    call.core.tasks.spawn(async move {
        let _ = tokio::time::timeout(longest, told).await;
        drop(seat);
    });
    Some(over)
}

struct Feed {
    core: Arc<Core>,
    /// What it has in common with watches that are told the same.
    audience: Arc<str>,
    watch: Option<Watch>,
    view: View,
    selection: Selection,
    /// None for a watch that stays inside the daemon.
    pace: Option<Pace>,
    /// Of a controller's watch inside the daemon. The scheduler and the node's agent are told everything at once: they
    /// place and run pods by what they know of nodes.
    inside: Option<Inside>,
    _watching: Watching,
    /// Of all watches of its kind.
    figures: Arc<Told>,
    /// Dropped when everything that was there is told.
    burst: Option<oneshot::Sender<()>>,
    bookmarks: bool,
    /// Both are kept from one piece to the next: to ask for them anew takes locks that all watches share.
    end: Pin<Box<Sleep>>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    progress: Receiver<u64>,
    /// Told when a custom kind may be served otherwise, or not any more.
    kinds: Option<Receiver<u64>>,
    initial: std::vec::IntoIter<Arc<Entry>>,
    /// What was made and is not handed out yet.
    pieces: std::vec::IntoIter<Piece>,
    /// Set while everything there is is being told; whether a bookmark follows.
    first: Option<bool>,
    /// Events up to here are not told.
    after: Revision,
    /// The newest revision the client knows of.
    told: Revision,
    columns_sent: bool,
    fault: Option<Status>,
    done: bool,
}

impl Feed {
    /// The next piece of the body; `None` at its end.
    async fn next(&mut self) -> Option<Piece> {
        let mut out = Lines::default();
        if let Some(marked) = self.first {
            while out.bytes.len() < PIECE {
                let Some(entry) = self.initial.next() else {
                    (self.first, self.burst) = (None, None);
                    if marked {
                        let end = render::bookmark(&self.view, self.told, true);
                        self.tell_made(&mut out, "BOOKMARK", end);
                    }
                    break;
                };
                self.tell(&mut out, "ADDED", &entry, entry.revision, false);
            }
            if !out.bytes.is_empty() {
                return Some(out.done());
            }
        }
        if let Some(piece) = self.pieces.next() {
            return Some(piece);
        }
        while !self.done {
            if let Some(status) = self.fault.take() {
                self.done = true;
                self.tell_made(&mut out, "ERROR", Bytes::from(status.to_json().to_string()));
                return Some(out.done());
            }
            if let Some(pace) = &self.pace {
                pace.rest().await;
            }
            let watch = self.watch.as_mut()?;
            tokio::select! {
                biased;
                events = watch.next() => match events {
                    Ok(mut events) => {
                        if let Some(pace) = &mut self.pace {
                            pace.tell(events.len());
                        }
                        if let Some(inside) = &mut self.inside
                            && inside.tell().await
                        {
                            // A fault is met again by the next turn.
                            events.extend(watch.next().now_or_never().and_then(Result::ok).into_iter().flatten());
                        }
                        if let Some(pieces) = self.shared(&events) {
                            self.pieces = pieces.into_iter();
                            match self.pieces.next() {
                                Some(piece) => return Some(piece),
                                None => continue,
                            }
                        }
                        match convert::events(&self.core, &self.view.kind, events).await {
                            Ok(events) => events.iter().for_each(|event| self.event(&mut out, event)),
                            Err(status) => self.fault = Some(status),
                        }
                    }
                    Err(fault) => self.fault = Some(error::watch(fault, self.told)),
                },
                changed = self.progress.changed(), if self.bookmarks => {
                    if changed.is_err() {
                        return None;
                    }
                    let reached = self.watch.as_ref().map_or(0, Watch::progress);
                    if reached > self.told && reached > self.after {
                        self.told = reached;
                        let mark = render::bookmark(&self.view, reached, false);
                        self.tell_made(&mut out, "BOOKMARK", mark);
                    }
                }
                () = changed(&mut self.kinds) => self.follow_kind(),
                () = &mut self.end => self.done = true,
                () = &mut self.stop => self.done = true,
            }
            if !out.bytes.is_empty() {
                return Some(out.done());
            }
        }
        None
    }

    /// A custom kind is told as its definition says now; the watch ends with the definition.
    fn follow_kind(&mut self) {
        let kinds = self.core.kinds();
        let kind = &self.view.kind;
        let uid = |kind: &Kind| kind.definition.as_ref().map(|definition| definition.uid.clone());
        match kinds.resource(&kind.group, &kind.version, &kind.plural).filter(|now| uid(now) == uid(kind)) {
            Some(now) => self.view.kind = now.clone(),
            None => self.done = true,
        }
    }

    /// The events as all of this watch's audience are told them; none where this watch is told otherwise than others.
    fn shared(&mut self, events: &[Arc<Event>]) -> Option<Vec<Piece>> {
        let first = events.first()?;
        // A table's first rows come with their columns. How a custom kind is served changes with its definition.
        let alike = self.view.accepted.shape != Shape::Table
            && !convert::is_needed(&self.view.kind)
            && !self.selection.reads_objects();
        if !alike || first.revision <= self.after {
            return None;
        }
        let core = self.core.clone();
        let mut pieces = Vec::new();
        for (group, whole) in groups(events, self.told) {
            let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
            let batch = Batch { audience: self.audience.clone(), run: (first.revision, last.revision, group.len()) };
            pieces.push(core.batches.get(batch, whole, || {
                let size = group.iter().map(|e| e.entry.bytes.len() + FRAME).sum();
                let mut out = Lines { bytes: BytesMut::with_capacity(size), ..Lines::default() };
                group.iter().for_each(|event| self.event(&mut out, event));
                out.done()
            }));
            self.told = last.revision;
        }
        pieces.retain(|piece| !piece.bytes.is_empty());
        Some(pieces)
    }

    fn event(&mut self, out: &mut Lines, event: &Event) {
        if event.revision <= self.after {
            return;
        }
        self.told = event.revision;
        let now = event.change != Change::Deleted && self.selection.has(&event.entry);
        let before = event.previous.as_ref().filter(|entry| self.selection.has(entry));
        match (now, before) {
            (true, None) => self.tell(out, "ADDED", &event.entry, event.revision, false),
            (true, Some(_)) => self.tell(out, "MODIFIED", &event.entry, event.revision, false),
            (false, Some(_)) if event.change == Change::Deleted => {
                self.tell(out, "DELETED", &event.entry, event.revision, false);
            }
            (false, Some(previous)) => {
                let previous = previous.clone();
                self.tell(out, "DELETED", &previous, event.revision, true);
            }
            (false, None) => {}
        }
    }

    /// Appends one event. `previous`: the entry is the one before the event, told at its revision.
    fn tell(&mut self, out: &mut Lines, kind: &'static str, entry: &Entry, revision: Revision, previous: bool) {
        let view = &self.view;
        let format = view.accepted.format;
        let json = || if previous { render::previous(entry, revision) } else { entry.bytes.clone() };
        if view.is_plain() && format != Format::Protobuf {
            frame(out, format, kind, &json());
            return;
        }
        let make = |columns: bool| {
            let object = body::decode(&json()).unwrap_or_default();
            wire(
                format,
                match view.accepted.shape {
                    Shape::Table => render::table_event(view, object, columns),
                    _ => render::object(view, object).unwrap_or_default(),
                },
            )
        };
        let bytes = if view.accepted.shape == Shape::Table && !self.columns_sent {
            make(true)
        } else {
            self.core.encoded.get(view.form(revision, previous), || make(false))
        };
        frame(out, format, kind, &bytes);
        self.columns_sent = true;
    }

    /// Appends something that is no entry.
    fn tell_made(&self, out: &mut Lines, kind: &'static str, json: Bytes) {
        let format = self.view.accepted.format;
        frame(out, format, kind, &wire(format, json));
    }
}

/// What watches have in common that are told the same of the same events.
fn audience(prefix: &str, options: &ListOptions, view: &View) -> String {
    let form = view.form(0, false).view;
    format!("{prefix}\n{}\n{}\n{form:?}", options.label_selector, options.field_selector)
}

/// Whether kinds changed; never, for kinds that are built in.
async fn changed(kinds: &mut Option<Receiver<u64>>) {
    if let Some(kinds) = kinds
        && kinds.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// JSON in the watch's own encoding. A watch as YAML is one as JSON.
fn wire(format: Format, json: Bytes) -> Bytes {
    if format != Format::Protobuf {
        return json;
    }
    let object = body::decode(&json).unwrap_or_default();
    protobuf::encode(&object).map_or(json, Bytes::from)
}

/// Lines that are put together, and how large each is.
#[derive(Default)]
struct Lines {
    bytes: BytesMut,
    sizes: Sizes,
}

impl Lines {
    fn done(self) -> Piece {
        Piece { bytes: self.bytes.freeze(), sizes: self.sizes }
    }
}

fn frame(out: &mut Lines, format: Format, kind: &str, object: &[u8]) {
    let (before, bytes) = (out.bytes.len(), &mut out.bytes);
    if format == Format::Protobuf {
        bytes.extend_from_slice(&protobuf::watch_frame(kind, object));
    } else {
        bytes.reserve(object.len() + FRAME);
        bytes.put_slice(b"{\"type\":\"");
        bytes.put_slice(kind.as_bytes());
        bytes.put_slice(b"\",\"object\":");
        bytes.put_slice(object);
        bytes.put_slice(b"}\n");
    }
    out.sizes.add(bytes.len() - before);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    #[track_caller]
    fn check(query: &str, expected: Result<Start, u16>) {
        let options = ListOptions::parse(&Query::parse(query)).unwrap();
        assert_eq!(start(&options).map_err(|s| s.code), expected, "{query}");
    }

    #[test]
    fn options_say_where_a_watch_begins() {
        let everything = |not_before, marked| Ok(Start::Everything { not_before, marked });
        check("", everything(0, false));
        check("resourceVersion=0", everything(0, false));
        check("resourceVersion=7", Ok(Start::After(7)));
        check("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", everything(0, true));
        check("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=7", everything(7, false));
        check("sendInitialEvents=false&resourceVersionMatch=NotOlderThan", Ok(Start::Now));
        check("sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=7", Ok(Start::After(7)));
        check("sendInitialEvents=true", Err(422));
        check("resourceVersionMatch=NotOlderThan", Err(422));
        check("resourceVersion=x", Err(422));
    }
}
