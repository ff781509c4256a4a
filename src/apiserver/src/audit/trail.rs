//! A request's way through the server, as it is written down.
//!
//! In: the request as it comes, is authorized and ends. Out: Events at the stages that the policy
//! asks for. A trail that is dropped on the way tells that we failed, or that the caller went.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use http_body::{Frame, SizeHint};
use kedge_api::status::{Reason, Status};

use super::Notes;
use super::event::{self, Known, Outcome};
use super::policy::{Level, Stage, Wanted};
use crate::core::Core;
use crate::identity::Identity;
use crate::listen::Peer;
use crate::request::RequestInfo;
use crate::respond::Answer;

/// The header that names a request's Events.
const AUDIT_ID: &str = "audit-id";
/// A mark that a client gives is cut to this.
const LONGEST_ID: usize = 64;
/// A longer answer is not written down.
const MOST_BODY: usize = 1024 * 1024;
/// Addresses that a chain of proxies names, at most.
const MOST_ADDRESSES: usize = 16;

/// See the module.
pub(crate) struct Trail {
    core: Arc<Core>,
    known: Known,
    omit: Vec<Stage>,
    notes: Arc<Notes>,
    long: bool,
    done: bool,
}

impl Trail {
    /// Begins, if the policy asks for anything.
    pub fn begin(
        core: &Arc<Core>,
        who: &Identity,
        info: &RequestInfo,
        head: &http::request::Parts,
        long: bool,
    ) -> Option<Trail> {
        let audit = core.audit.as_ref()?;
        let wanted = audit.policy.wanted(who, info)?;
        let trail = Trail::new(core, who, info, head, long, wanted);
        trail.tell(Stage::RequestReceived, None);
        Some(trail)
    }

    fn new(
        core: &Arc<Core>,
        who: &Identity,
        info: &RequestInfo,
        head: &http::request::Parts,
        long: bool,
        wanted: &Wanted,
    ) -> Trail {
        let given = head.headers.get(AUDIT_ID).and_then(|v| v.to_str().ok()).unwrap_or("");
        let id = match given {
            "" => core.random.uid(),
            given => given.chars().take(LONGEST_ID).collect(),
        };
        let agent = head.headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        let known = Known {
            id,
            level: wanted.level,
            uri: head.uri.path_and_query().map_or_else(String::new, |uri| uri.as_str().to_owned()),
            info: info.clone(),
            who: who.clone(),
            acts_as: None,
            from: sources(&head.headers, head.extensions.get::<Peer>().map(|peer| peer.0)),
            agent,
            received: core.clock.now(),
            omit_managed_fields: wanted.omit_managed_fields,
        };
        let bodies = wanted.level >= Level::Request && !long;
        let notes = Arc::new(Notes::wanted(bodies));
        Trail { core: core.clone(), known, omit: wanted.omit.clone(), notes, long, done: false }
    }

    /// Somebody could not say who they are.
    pub fn nobody(core: &Arc<Core>, info: &RequestInfo, head: &http::request::Parts, long: bool) {
        let tried = if head.headers.contains_key(header::AUTHORIZATION) { "bearer" } else { "x509" };
        let message = format!("Authentication failed, attempted: {tried}");
        Trail::refused(core, info, head, long, &Status::new(401, Reason::Unauthorized, message));
    }

    /// A request was refused before it was known who asks.
    pub fn refused(core: &Arc<Core>, info: &RequestInfo, head: &http::request::Parts, long: bool, why: &Status) {
        let Some(audit) = &core.audit else { return };
        let Some(wanted) = audit.policy.wanted(&Identity::default(), info) else { return };
        let mut trail = Trail::new(core, &Identity::default(), info, head, long, wanted);
        let outcome = Outcome { code: why.code, body: Some(Bytes::from(why.to_json().to_string())) };
        trail.tell(Stage::ResponseStarted, Some(&outcome));
        trail.done = true;
    }

    /// Where the stages leave notes.
    pub fn notes(&self) -> Arc<Notes> {
        self.notes.clone()
    }

    /// The request acts as somebody else.
    pub fn acts_as(&mut self, other: &Identity) {
        if *other != self.known.who {
            self.known.acts_as = Some(other.clone());
        }
    }

    /// The answer has begun; it is written down when it has ended.
    pub fn finish(mut self, answer: Answer) -> Answer {
        let code = answer.status().as_u16();
        if self.long {
            self.tell(Stage::ResponseStarted, Some(&Outcome { code, body: None }));
        }
        let keeps = !self.long && (self.known.level == Level::RequestResponse || code >= 400);
        let id = HeaderValue::from_str(&self.known.id).ok();
        self.done = true;
        let mut answer =
            answer.map(|body| Body::new(Followed { body, trail: Some(self), code, kept: keeps.then(BytesMut::new) }));
        if let Some(id) = id {
            answer.headers_mut().insert(AUDIT_ID, id);
        }
        answer
    }

    fn tell(&self, stage: Stage, outcome: Option<&Outcome>) {
        let Some(audit) = &self.core.audit else { return };
        if self.omit.contains(&stage) {
            return;
        }
        let noted = self.notes.seen();
        audit.tell(&event::event(&self.known, stage, self.core.clock.now(), outcome, &noted));
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        if std::thread::panicking() {
            self.tell(Stage::Panic, Some(&Outcome { code: 500, body: None }));
        } else {
            // It took too long, or the caller did not wait.
            self.tell(Stage::ResponseComplete, Some(&Outcome { code: 504, body: None }));
        }
    }
}

/// An answer's body that is written down at its end.
struct Followed {
    body: Body,
    trail: Option<Trail>,
    code: u16,
    kept: Option<BytesMut>,
}

impl Followed {
    fn end(&mut self) {
        if let Some(trail) = self.trail.take() {
            let body = self.kept.take().map(BytesMut::freeze);
            trail.tell(Stage::ResponseComplete, Some(&Outcome { code: self.code, body }));
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.end();
    }
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(data), Some(kept)) = (frame.data_ref(), &mut self.kept) {
                    if kept.len() + data.len() > MOST_BODY {
                        self.kept = None;
                    } else {
                        kept.extend_from_slice(data);
                    }
                }
            }
            Poll::Ready(_) => self.end(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Where a request came from, as its proxies say, and the nearest of them as we see it.
fn sources(headers: &HeaderMap, peer: Option<IpAddr>) -> Vec<String> {
    let mut found: Vec<IpAddr> = Vec::new();
    for name in ["x-forwarded-for", "x-real-ip"] {
        for value in headers.get_all(name).iter().filter_map(|v| v.to_str().ok()) {
            for address in value.split(',').filter_map(|text| text.trim().parse().ok()) {
                if found.len() < MOST_ADDRESSES && (name != "x-real-ip" || !found.contains(&address)) {
                    found.push(address);
                }
            }
        }
    }
    match peer {
        Some(peer) if found.last() != Some(&peer) => found.push(peer),
        None if found.is_empty() => found.push(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
        _ => {}
    }
    found.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(headers: &[(&'static str, &str)], peer: Option<&str>, expected: &[&str]) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(sources(&map, peer.map(|p| p.parse().unwrap())), expected);
    }

    #[test]
    fn proxies_are_named_before_the_nearest() {
        check(&[], Some("192.0.2.1"), &["192.0.2.1"]);
        check(&[], None, &["127.0.0.1"]);
        check(
            &[("x-forwarded-for", "10.0.0.1, x, 10.0.0.2")],
            Some("192.0.2.1"),
            &["10.0.0.1", "10.0.0.2", "192.0.2.1"],
        );
        check(&[("x-real-ip", "192.0.2.1")], Some("192.0.2.1"), &["192.0.2.1"]);
    }
}
