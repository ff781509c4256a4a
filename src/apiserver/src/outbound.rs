//! Everything the API server calls: webhooks, aggregated API servers, the audit log's receiver.
//!
//! In: where to call, whom to trust, a request. Out: the answer's head and body, or in words why
//! there is none. HTTP/1.1 over TLS; a connection that was read to its end is kept for half a
//! minute. Without calls nothing is held and nobody wakes up. Never follows a redirect.

mod answer;
mod connect;
mod credentials;
mod fault;
mod pool;
mod resolve;
mod target;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::random::Random;
use crate::vault::Vault;

pub(crate) use answer::Collected;
pub(crate) use connect::Stream;
pub(crate) use credentials::Endpoint;
pub use credentials::EndpointError;
pub(crate) use fault::Fault;
pub(crate) use resolve::behind;
pub(crate) use target::{Place, Target};
pub(crate) use trust::{Roots, Tls, Trust};

use answer::Returned;
use pool::Pool;

/// An answer of a webhook is at most this: an object with a patch of its own size, twice as large in base64.
pub(crate) const MOST_ANSWER: usize = 16 * 1024 * 1024;
/// A connection must stand within this time; what comes after has the caller's own deadline.
const CONNECT: Duration = Duration::from_secs(10);
/// Backends of one Service that are tried in one call: one that just died and two that may live.
const TRIES: usize = 3;

/// Makes calls. One for each API server.
pub(crate) struct Outbound {
    store: Vault,
    random: Random,
    pool: Arc<Pool>,
    tls: trust::Memory,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outbound")
    }
}

impl Outbound {
    /// Calls on behalf of the server with this store, clock and life.
    pub fn new(store: Vault, clock: Clock, random: Random, stop: CancellationToken, tasks: TaskTracker) -> Self {
        Outbound { store, random, pool: Arc::new(Pool::new(stop, tasks)), tls: trust::Memory::new(clock) }
    }

    /// The TLS settings for that trust; made once for the same trust.
    pub fn tls(&self, trust: &Trust) -> Result<Tls, String> {
        self.tls.get(trust)
    }

    /// Posts JSON and reads the whole answer, within `patience`.
    pub async fn post(&self, to: &Endpoint, query: &str, body: Bytes, patience: Duration) -> Result<Collected, Fault> {
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = Method::POST;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        let accept = HeaderValue::from_static("application/json, */*");
        request.headers_mut().insert(header::ACCEPT, accept);
        self.collect(to, query, request, MOST_ANSWER, patience).await
    }

    /// Sends a request and reads the whole answer, of `most` bytes at most and within `patience`. The request's path is the
    /// endpoint's own if it has none.
    pub async fn collect(
        &self,
        to: &Endpoint,
        query: &str,
        mut request: Request<Body>,
        most: usize,
        patience: Duration,
    ) -> Result<Collected, Fault> {
        let method = request.method().clone();
        if request.uri().path() == "/" {
            *request.uri_mut() = to.target.uri(query);
        }
        let url = to.target.url(request.uri());
        to.authorize(request.headers_mut());
        let work = async { answer::collect(self.send(&to.target, &to.tls, request).await?, most).await };
        match timeout(patience, work).await {
            Ok(outcome) => outcome.map_err(|fault| fault.of(&method, &url)),
            Err(_) => Err(Fault::Deadline.of(&method, &url)),
        }
    }

    /// Sends a request; the answer's body is read by the caller. A kept connection that turns out
    /// to be dead is replaced once.
    pub async fn send(&self, target: &Target, tls: &Tls, request: Request<Body>) -> Result<Response<Returned>, Fault> {
        let host = target.authority();
        let (mut head, body) = request.into_parts();
        if !head.headers.contains_key(header::HOST)
            && let Ok(value) = HeaderValue::from_str(&host)
        {
            head.headers.insert(header::HOST, value);
        }
        let replayable = http_body::Body::size_hint(&body).exact().is_some_and(|size| size <= MOST_ANSWER as u64)
            && !head.headers.contains_key(header::UPGRADE);
        let key = pool::Key::new(&host, target.server_name(), tls);
        if replayable {
            let whole = http_body_util::BodyExt::collect(body).await.map_err(|e| Fault::transport(&e))?.to_bytes();
            while let Some(kept) = self.pool.take(&key) {
                let again = rebuilt(&head, Body::from(whole.clone()));
                match kept.send(again).await {
                    Ok(response) => return Ok(answer::returning(response, self.pool.clone())),
                    Err(fault) if fault.is_before_answer() => {}
                    Err(fault) => return Err(fault),
                }
            }
            let fresh = self.fresh(target, tls, key).await?;
            let response = fresh.send(rebuilt(&head, Body::from(whole))).await?;
            return Ok(answer::returning(response, self.pool.clone()));
        }
        let fresh = self.fresh(target, tls, key).await?;
        let response = fresh.send(Request::from_parts(head, body)).await?;
        Ok(answer::returning(response, self.pool.clone()))
    }

    /// A TLS stream to the target, for who speaks something else on it.
    pub async fn stream(&self, target: &Target, tls: &Tls) -> Result<Stream, Fault> {
        let backends = resolve::backends(&self.store, &target.place).await?;
        let mut last = None;
        let start = self.random.below(backends.len().max(1) as u64) as usize;
        for at in 0..backends.len().min(TRIES) {
            let backend = &backends[(start + at) % backends.len()];
            match timeout(CONNECT, connect::open(backend, target.server_name(), tls)).await {
                Ok(Ok(stream)) => return Ok(stream),
                // Who answers with a wrong certificate is there; another backend would not be better.
                Ok(Err(fault @ Fault::Tls(_))) => return Err(fault),
                Ok(Err(fault)) => last = Some(fault),
                Err(_) => last = Some(Fault::Dial { address: backend.to_string(), why: "i/o timeout".to_owned() }),
            }
        }
        Err(last.unwrap_or_else(|| Fault::NoBackend(target.place.to_string())))
    }

    async fn fresh(&self, target: &Target, tls: &Tls, key: pool::Key) -> Result<pool::Connection, Fault> {
        let stream = self.stream(target, tls).await?;
        self.pool.open(stream, key).await
    }
}

/// A request of the same head; extensions are the first request's alone.
fn rebuilt(head: &http::request::Parts, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    request
}
