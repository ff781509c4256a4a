//! Requests that want another protocol on their connection: WebSocket or SPDY/3.1.
//!
//! In: a request's head and the protocols that are offered. Out: which one it is to be, and the answer 101; the
//! connection is handed over once that is sent.

use std::future::Future;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use kedge_api::status::Status;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::websocket::Handshake;
use crate::respond::{self, Answer};

/// The protocol that a SPDY client wants inside.
const VERSION: &str = "x-stream-protocol-version";
/// What is offered to one that wants none of ours.
const ACCEPTED: &str = "x-accepted-stream-protocol-versions";
/// Upgraded connections.
pub type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// What a request wants.
pub enum Upgrade {
    /// A WebSocket.
    WebSocket(Handshake),
    /// SPDY/3.1.
    Spdy(Spdy),
    /// SPDY, but with nothing inside that is offered.
    Refused(Box<Answer>),
}

/// A request to speak SPDY, understood.
pub struct Spdy {
    upgrade: hyper::upgrade::OnUpgrade,
    /// What is spoken inside.
    pub protocol: &'static str,
}

impl Upgrade {
    /// Reads a request's head; the protocols are those of this server, best first.
    pub fn read(
        head: &mut http::request::Parts,
        websocket: &[&'static str],
        spdy: &[&'static str],
    ) -> Result<Upgrade, Status> {
        if !asks_for(&head.headers, "spdy/3.1") {
            return Handshake::read(head, websocket).map(Upgrade::WebSocket);
        }
        let wanted: Vec<&str> = head
            .headers
            .get_all(VERSION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .collect();
        if wanted.is_empty() {
            return Err(Status::bad_request("unable to upgrade: X-Stream-Protocol-Version is required"));
        }
        let Some(protocol) = wanted.iter().find_map(|w| spdy.iter().find(|o| *o == w)).copied() else {
            let why = format!(
                "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]\n",
                wanted.join(" "),
                spdy.join(" ")
            );
            let mut answer = respond::text(StatusCode::FORBIDDEN, why);
            spdy.iter().for_each(|offer| {
                answer.headers_mut().append(ACCEPTED, HeaderValue::from_static(offer));
            });
            return Ok(Upgrade::Refused(Box::new(answer)));
        };
        Ok(Upgrade::Spdy(Spdy { upgrade: take(head)?, protocol }))
    }
}

impl Spdy {
    /// Answers 101 and runs `work` on the connection once it is handed over.
    pub fn run<W, F>(self, tasks: &TaskTracker, stop: CancellationToken, work: W) -> Answer
    where
        W: FnOnce(Upgraded, CancellationToken) -> F + Send + 'static,
        F: Future<Output = ()> + Send,
    {
        run(self.upgrade, tasks, stop, work);
        let mut answer = switching("SPDY/3.1");
        answer.headers_mut().insert(VERSION, HeaderValue::from_static(self.protocol));
        answer
    }
}

/// Whether a request asks for a protocol, given in lower case. Several and any case are allowed in both headers.
pub fn asks_for(headers: &HeaderMap, protocol: &str) -> bool {
    let has = |name: header::HeaderName, word: &str| {
        let values = headers.get_all(name);
        let mut words = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        words.any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    has(header::CONNECTION, "upgrade") && has(header::UPGRADE, protocol)
}

/// The promise of a request's connection.
pub fn take(head: &mut http::request::Parts) -> Result<hyper::upgrade::OnUpgrade, Status> {
    let upgrade = head.extensions.remove::<hyper::upgrade::OnUpgrade>();
    upgrade.ok_or_else(|| Status::bad_request("this connection cannot be upgraded"))
}

/// Runs `work` once the connection is handed over.
pub fn run<W, F>(upgrade: hyper::upgrade::OnUpgrade, tasks: &TaskTracker, stop: CancellationToken, work: W)
where
    W: FnOnce(Upgraded, CancellationToken) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    tasks.spawn(async move {
        let io = tokio::select! {
            io = upgrade => io,
            () = stop.cancelled() => return,
        };
        match io {
            Ok(io) => work(TokioIo::new(io), stop).await,
            Err(error) => tracing::info!(%error, "a connection could not be upgraded"),
        }
    });
}

/// The answer 101.
pub fn switching(protocol: &'static str) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(protocol));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &[(&'static str, &str)]) -> http::request::Parts {
        let mut request = http::Request::new(());
        for (name, value) in lines {
            request.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
        }
        request.into_parts().0
    }

    #[track_caller]
    fn check(lines: &[(&'static str, &str)], expected: &str) {
        let said = match Upgrade::read(&mut head(lines), &["v4.channel.k8s.io"], &["v4.channel.k8s.io"]) {
            Ok(Upgrade::Refused(answer)) => answer.status().to_string(),
            Ok(_) => "accepted".to_owned(),
            Err(status) => status.message,
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn what_is_wanted_is_read_off_the_head() {
        check(&[], "Upgrade request required");
        check(&[("connection", "keep-alive, Upgrade"), ("upgrade", "h2c")], "Upgrade request required");
        let spdy = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];
        check(&spdy, "unable to upgrade: X-Stream-Protocol-Version is required");
        check(&[spdy[0], spdy[1], (VERSION, "v9"), (VERSION, "v8")], "403 Forbidden");
        // There is no connection behind this head, and that is as far as it comes.
        check(&[spdy[0], spdy[1], (VERSION, "v9,v4.channel.k8s.io")], "this connection cannot be upgraded");
    }
}
