//! The way of every request: what is asked, who asks, is there room, may they, do it.
//!
//! In: a request and where it came from. Out: an answer, always; a panic on the way is a 500.
//! What is done to objects lives in `resource.rs` and `registry`; what is no resource in `paths.rs`.

mod impersonate;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use futures::FutureExt as _;
use http::Request;
use kedge_api::status::{Access, Reason, Status};

use crate::audit::{Notes, Trail};
use crate::authn::Shown;
use crate::authz::{Detail, Fields, Wanted, kubelet, node};
use crate::core::Core;
use crate::flow::Seat;
use crate::flow::width::{self, Work};
use crate::gate::{Class, Counted};
use crate::identity::{Identity, UNAUTHENTICATED};
use crate::media::{self, Format};
use crate::metrics::Series;
use crate::query::{ListOptions, Query};
use crate::registry::keys;
use crate::request::{self, RequestInfo, Verb};
use crate::respond::{self, Answer};
use crate::{aggregation, compress, error, paths, pretty, resource};

/// Where a request came from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A connection; headers may carry more than it showed.
    Connection(Shown),
    /// The daemon itself, as somebody.
    Loopback(Arc<Identity>),
}

/// A request that was let in.
pub struct Call {
    /// Everything there is.
    pub core: Arc<Core>,
    /// What is asked.
    pub info: RequestInfo,
    /// The query.
    pub query: Query,
    /// Who asks.
    pub who: Identity,
    /// The head.
    pub head: http::request::Parts,
    /// The body, not read yet. The lock only makes it shareable between threads.
    pub body: Mutex<Body>,
    /// Whether it came on a connection, rather than from within the daemon.
    pub connected: bool,
    /// What the client is told beside the answer.
    pub warnings: Vec<String>,
    /// What is noted for the audit log.
    pub audit: Arc<Notes>,
    /// Its seats, for what goes on after the answer. The lock is as that of the body.
    pub seat: Mutex<Option<Seat>>,
}

/// Handles a request.
pub async fn handle(core: Arc<Core>, origin: Origin, request: Request<Body>) -> Answer {
    let started = Instant::now();
    let query = Query::parse(request.uri().query().unwrap_or(""));
    let info = request::parse(request.method(), request.uri().path(), &query);
    let class = classify(&info);
    let series = series(&core, &info, &query, request.headers());
    let exempt = matches!(origin, Origin::Loopback(_)) || is_probe(&info);
    let head_only = request.method() == http::Method::HEAD;

    let Some(pass) = core.gate.enter(class, exempt) else {
        core.metrics.dropped.fetch_add(1, Ordering::Relaxed);
        let status = Status::too_many_requests("Too many requests, please try again later.", 1);
        core.metrics.record(series, 429, None);
        return respond::status(&status, Format::Json);
    };
    let counted = match class {
        Class::Read => Some(Counted::up(&core.metrics.inflight_reads)),
        Class::Write => Some(Counted::up(&core.metrics.inflight_writes)),
        Class::Long => None,
    };
    let running = (class == Class::Long).then(|| core.metrics.begin(series.clone()));

    let longest = core.config.limits.request;
    let patience = query.patience(longest);
    let (patience, misread) = match patience {
        _ if class == Class::Long => (None, None),
        Ok(patience) => (Some(patience), None),
        Err(why) => (Some(longest), Some(Status::bad_request(why))),
    };
    let pretty = class != Class::Long && is_pretty(&core, &info, &query, request.headers());
    // Pinned where it is: what a request may need is large, and would be copied from hand to hand.
    let begun = admit(core.clone(), origin, info, query, request, pretty, misread);
    let work = std::pin::pin!(AssertUnwindSafe(begun).catch_unwind());
    let late = || Status::timeout("request did not complete within the allotted timeout", 0);
    let outcome = match patience {
        None => work.await,
        Some(patience) => match tokio::time::timeout(patience, work).await {
            Ok(outcome) => outcome,
            Err(_) => Ok(respond::status(&late(), Format::Json)),
        },
    };
    let mut answer = outcome.unwrap_or_else(|_| {
        core.metrics.panics.fetch_add(1, Ordering::Relaxed);
        respond::status(&error::panicked(), Format::Json)
    });
    drop(counted);
    core.metrics.record(series, answer.status().as_u16(), (class != Class::Long).then(|| started.elapsed()));
    if let Some(running) = running {
        // The place is taken until the last byte of the body is sent.
        let place = Place { _running: running, _pass: pass };
        answer = answer.map(move |body| Body::new(HeldBody { body, place: Some(place) }));
    }
    if pretty {
        answer = pretty::indented(answer);
    }
    if head_only {
        *answer.body_mut() = Body::empty();
    }
    answer
}

/// Authenticates, authorizes and does it; what is `misread` is refused before anybody asks who asks.
async fn admit(
    core: Arc<Core>,
    origin: Origin,
    info: RequestInfo,
    query: Query,
    request: Request<Body>,
    pretty: bool,
    misread: Option<Status>,
) -> Answer {
    let (head, body) = request.into_parts();
    let format = media::negotiate(&head.headers, media::Offer { shapes: true, protobuf: true })
        .map_or(Format::Json, |a| a.format);
    let long = classify(&info) == Class::Long;
    if let Some(status) = misread {
        Trail::refused(&core, &info, &head, long, &status);
        return respond::status(&status, format);
    }
    let known = match &origin {
        Origin::Loopback(who) => Ok(Identity::clone(who)),
        Origin::Connection(shown) => crate::authn::authenticate(&core, shown, &head.headers, &info.path).await,
    };
    let who = match known {
        Ok(who) => who,
        Err(status) => {
            Trail::nobody(&core, &info, &head, long);
            return respond::status(&status, format);
        }
    };
    let mut trail = Trail::begin(&core, &who, &info, &head, long);
    let connected = matches!(origin, Origin::Connection(_));
    let answer = act(core, who, Asked { info, query, head, body, format, connected, pretty }, &mut trail).await;
    match trail {
        Some(trail) => trail.finish(answer),
        None => answer,
    }
}

/// What somebody asks who is known.
struct Asked {
    info: RequestInfo,
    query: Query,
    head: http::request::Parts,
    body: Body,
    format: Format,
    /// Whether it came on a connection.
    connected: bool,
    /// Whether the answer is indented, which is done before it is compressed.
    pretty: bool,
}

/// Authorizes and does it.
async fn act(core: Arc<Core>, who: Identity, asked: Asked, trail: &mut Option<Trail>) -> Answer {
    let Asked { info, query, head, body, format, connected, pretty } = asked;
    let who = match impersonate::apply(&core, who, &head.headers, wanted(&info)).await {
        Ok(who) => who,
        Err(status) => return respond::status(&status, format),
    };
    let work = if connected { work(&core, &info, &query) } else { Work::NONE };
    let (marks, seat) = core.flow.enter(&who, &info, work).await;
    let Ok(seat) = seat else {
        core.metrics.dropped.fetch_add(1, Ordering::Relaxed);
        let status = Status::too_many_requests("Too many requests, please try again later.", 1);
        return respond::mark(respond::status(&status, format), marks);
    };
    let audit = trail.as_ref().map(Trail::notes).unwrap_or_default();
    if let Some(trail) = trail {
        trail.acts_as(&who);
    }
    match authorize(&core, &who, &info, &query).await {
        Ok(reason) => {
            audit.annotate("authorization.k8s.io/decision", "allow");
            audit.annotate("authorization.k8s.io/reason", reason);
        }
        Err(status) => {
            audit.annotate("authorization.k8s.io/decision", "forbid");
            audit.annotate("authorization.k8s.io/reason", "");
            return respond::mark(respond::status(&status, format), marks);
        }
    }
    // What is read at once and may be large. What is written down of an answer is read as it is.
    let compress = matches!(info.verb, Verb::Get | Verb::List)
        && classify(&info) != Class::Long
        && connected
        && compress::accepts(&head.headers)
        && !audit.wants_bodies();
    let remote = core.aggregator.route(&info.path);
    let mut call = Call {
        core,
        info,
        query,
        who,
        head,
        body: Mutex::new(body),
        connected,
        warnings: Vec::new(),
        audit,
        seat: Mutex::new(seat),
    };
    if let Some(remote) = remote {
        return respond::mark(aggregation::proxy::serve(&mut call, &remote).await, marks);
    }
    let outcome =
        if call.info.resource_request { resource::answer(&mut call).await } else { paths::answer(&mut call).await };
    linger(&mut call);
    let mut answer = outcome.unwrap_or_else(|status| respond::status(&status, format));
    respond::warn(&mut answer, &call.warnings);
    if compress {
        if pretty {
            answer = pretty::indented(answer);
        }
        answer = compress::large(answer).await;
    }
    respond::mark(answer, marks)
}

/// Whether the answer is made for people. Documents and what others serve come as they are.
fn is_pretty(core: &Core, info: &RequestInfo, query: &Query, headers: &http::HeaderMap) -> bool {
    pretty::is_wanted(query, headers)
        && !info.path.starts_with("/openapi")
        && core.aggregator.route(&info.path).is_none()
}

/// What a request would take: a stream nothing, a watch what its begin takes.
fn work(core: &Core, info: &RequestInfo, query: &Query) -> Work {
    if classify(info) == Class::Long && info.verb != Verb::Watch {
        return Work::NONE;
    }
    if width::is_told(info) {
        return width::of_write(core.flow.watchers.of(info));
    }
    let Ok(options) = ListOptions::parse(query) else { return Work::ONE };
    if !width::reads_collection(info, &options) {
        return Work::ONE;
    }
    let kinds = core.kinds();
    let Some(kind) = kinds.resource(&info.group, &info.version, &info.resource) else { return Work::ONE };
    let size = core.flow.sizes.get(&keys::collection(kind, &info.namespace));
    Work::of(if info.verb == Verb::Watch { width::of_watch(size) } else { width::of_list(size, &options) })
}

/// Keeps the seats of a write while those who watch are told; the client does not wait for it.
fn linger(call: &mut Call) {
    let seat = call.seat.get_mut().unwrap_or_else(PoisonError::into_inner);
    let after = seat.as_ref().map_or(Duration::ZERO, Seat::after);
    if let Some(seat) = seat.take_if(|_| !after.is_zero()) {
        call.core.tasks.spawn(async move {
            tokio::time::sleep(after).await;
            drop(seat);
        });
    }
}

/// Whether they may; out: which rule lets them.
pub(crate) async fn authorize(
    core: &Core,
    who: &Identity,
    info: &RequestInfo,
    query: &Query,
) -> Result<String, Status> {
    let wanted = wanted(info);
    let mut detail = Detail { version: &info.version, ..Detail::default() };
    if matches!(info.verb, Verb::List | Verb::Watch | Verb::DeleteCollection) {
        detail.fields = query.get("fieldSelector").unwrap_or("");
        detail.labels = query.get("labelSelector").unwrap_or("");
    }
    let decision = core.authorizer.decide_selected(who, &wanted, Fields(detail.fields));
    if decision.allowed {
        return Ok(decision.reason);
    }
    if let Some(node) = node::name_of(who)
        && crate::upkeep::nodes::look_again(core, node, &wanted).await
    {
        return Ok(String::new());
    }
    let decision = core.or_elsewhere(decision, who, &wanted, detail).await;
    if decision.allowed {
        return Ok(decision.reason);
    }
    if let Some(narrower) = kubelet::narrower(info) {
        let narrow = core.decide(who, &narrower, Detail::default()).await;
        if narrow.allowed {
            return Ok(narrow.reason);
        }
    }
    let status = match wanted {
        Wanted::Path { verb, path } => Status::path_denied(&who.name, verb, path),
        Wanted::Resource { verb, group, resource, subresource, namespace, name } => {
            let access = Access { user: &who.name, verb, group, resource, subresource, namespace, name };
            Status::access_denied(access, &decision.reason)
        }
    };
    // Whoever did not say who they are is asked to, on paths that are not for everybody.
    debug_assert!(status.reason == Reason::Forbidden || who.is_in(UNAUTHENTICATED));
    Err(status)
}

fn wanted(info: &RequestInfo) -> Wanted<'_> {
    if info.resource_request {
        Wanted::Resource {
            verb: info.verb.as_str(),
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
        }
    } else {
        Wanted::Path { verb: info.verb.as_str(), path: &info.path }
    }
}

/// Health is told however busy the server is.
fn is_probe(info: &RequestInfo) -> bool {
    !info.resource_request && ["/healthz", "/livez", "/readyz"].iter().any(|p| info.path.starts_with(p))
}

fn classify(info: &RequestInfo) -> Class {
    // An archive takes as long as the link does.
    let archive = !info.resource_request && info.path.starts_with(crate::backup::ROOT);
    let stream = archive || connects(&info.subresource);
    match info.verb {
        _ if stream => Class::Long,
        Verb::Watch => Class::Long,
        verb if verb.mutates() => Class::Write,
        _ => Class::Read,
    }
}

/// Subresources that are streams.
fn connects(subresource: &str) -> bool {
    matches!(subresource, "exec" | "attach" | "portforward" | "proxy" | "log")
}

/// Labels of a request's series; only words of our own tables, so nobody can make up series.
fn series(core: &Core, info: &RequestInfo, query: &Query, headers: &http::HeaderMap) -> Series {
    let verb = match info.verb {
        _ if info.resource_request && connects(&info.subresource) => "CONNECT",
        Verb::Get => "GET",
        Verb::List => "LIST",
        Verb::Watch => "WATCH",
        Verb::Create | Verb::Post => "POST",
        Verb::Update | Verb::Put => "PUT",
        Verb::Patch if media::is_apply(headers) => "APPLY",
        Verb::Patch => "PATCH",
        Verb::Delete => "DELETE",
        Verb::DeleteCollection => "DELETECOLLECTION",
        Verb::Head => "HEAD",
        Verb::Options | Verb::Other => "OTHER",
    };
    let mut trials = query.all("dryRun");
    let dry_run = match trials.next() {
        None => "",
        Some("All") if trials.all(|word| word == "All") => "All",
        Some(_) => "invalid",
    };
    let kinds = core.kinds();
    let kind = kinds.resource(&info.group, &info.version, &info.resource).filter(|_| info.resource_request).cloned();
    let known = kind.is_some();
    Series {
        verb,
        kind,
        subresource: kedge_api::kinds::Sub::parse(&info.subresource).filter(|_| known).map_or("", |s| s.name()),
        dry_run,
        scope: match (known, info.name.is_empty(), info.namespace.is_empty()) {
            (false, _, _) => "",
            _ if info.verb == Verb::Create => "resource",
            (true, false, _) => "resource",
            (true, true, false) => "namespace",
            (true, true, true) => "cluster",
        },
    }
}

/// The place of a long-running answer, kept until its body ends or is dropped.
struct Place {
    _running: crate::metrics::Longrunning,
    _pass: crate::gate::Pass,
}

struct HeldBody {
    body: Body,
    place: Option<Place>,
}

impl http_body::Body for HeldBody {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) {
            self.place = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
