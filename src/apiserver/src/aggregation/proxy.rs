//! Requests that another server answers.
//!
//! In: a call that was let in. Out: the other server's answer as it comes, piece by piece; an
//! upgraded connection is joined with the other's. The caller's identity goes along in headers
//! that the other believes because of our certificate; the caller's own credentials do not.

use std::sync::PoisonError;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;

use super::Remote;
use crate::chain::Call;
use crate::identity::Identity;
use crate::metrics::Series;
use crate::outbound::Fault;
use crate::respond::{self, Answer};

const USER: &str = "x-remote-user";
const UID: &str = "x-remote-uid";
const GROUP: &str = "x-remote-group";
const EXTRA: &str = "x-remote-extra-";

/// Headers that are about one connection.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Hands a call on.
pub async fn serve(call: &mut Call, remote: &Remote) -> Answer {
    if !remote.is_available() {
        return unavailable();
    }
    let core = call.core.clone();
    let tls = match remote.tls(&core.outbound, &core.aggregator.front) {
        Ok(tls) => tls,
        Err(fault) => return respond::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{fault}\n")),
    };
    let upgrade =
        call.head.extensions.remove::<hyper::upgrade::OnUpgrade>().filter(|_| wants_upgrade(&call.head.headers));
    let protocol = upgrade.as_ref().and_then(|_| call.head.headers.get(header::UPGRADE).cloned());
    let mut request = Request::new(std::mem::take(call.body.get_mut().unwrap_or_else(PoisonError::into_inner)));
    *request.method_mut() = call.head.method.clone();
    let target = call.head.uri.path_and_query().cloned();
    *request.uri_mut() = target.map_or_else(|| Uri::from_static("/"), Uri::from);
    *request.headers_mut() = passed_on(&call.head.headers);
    if let Some(protocol) = &protocol {
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(header::UPGRADE, protocol.clone());
        *request.body_mut() = Body::empty();
    }
    speak_as(&call.who, request.headers_mut());
    let mut response = match core.outbound.send(&remote.target, &tls, request).await {
        Ok(response) => response,
        Err(fault) => {
            tracing::info!(api = remote.name, %fault, "a request could not be handed on");
            if matches!(fault, Fault::NoService(_) | Fault::NoBackend(_) | Fault::Dial { .. } | Fault::Lookup { .. }) {
                core.aggregator.doubt.notify_one();
            }
            let text = match fault {
                Fault::NoService(_) | Fault::NoBackend(_) => "service unavailable\n".to_owned(),
                fault => format!("error trying to reach service: {fault}\n"),
            };
            return respond::text(StatusCode::SERVICE_UNAVAILABLE, text);
        }
    };
    let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if let (true, Some(ours)) = (upgraded, upgrade) {
        let theirs = hyper::upgrade::on(&mut response);
        join(call, ours, theirs);
    }
    let (mut head, body) = response.into_parts();
    let protocol = head.headers.get(header::UPGRADE).cloned();
    HOP_BY_HOP.iter().for_each(|name| drop(head.headers.remove(name)));
    if let (true, Some(protocol)) = (upgraded, protocol) {
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        head.headers.insert(header::UPGRADE, protocol);
    }
    let mut answer = Answer::new(Body::new(body));
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.headers;
    answer
}

/// 503 as upstream's aggregator writes it.
fn unavailable() -> Answer {
    respond::text(StatusCode::SERVICE_UNAVAILABLE, "service unavailable\n")
}

fn wants_upgrade(headers: &HeaderMap) -> bool {
    let asks = |value: &HeaderValue| value.to_str().is_ok_and(|v| v.to_ascii_lowercase().contains("upgrade"));
    headers.contains_key(header::UPGRADE) && headers.get_all(header::CONNECTION).iter().any(asks)
}

/// The headers of a request without what is about its connection and who it comes from.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut passed = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let own = HOP_BY_HOP.contains(name)
            || matches!(*name, header::AUTHORIZATION | header::HOST)
            || ["x-remote-", "impersonate-"].iter().any(|prefix| name.as_str().starts_with(prefix));
        if !own {
            passed.append(name, value.clone());
        }
    }
    passed
}

/// Says in whose name the request comes.
pub fn speak_as(who: &Identity, headers: &mut HeaderMap) {
    let mut say = |name: &str, value: &str| {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            headers.append(name, value);
        }
    };
    say(USER, &who.name);
    if !who.uid.is_empty() {
        say(UID, &who.uid);
    }
    for group in &who.groups {
        say(GROUP, group);
    }
    for (key, values) in &who.extra {
        for value in values {
            say(&format!("{EXTRA}{}", escaped(key)), value);
        }
    }
}

/// A key as part of a header's name: what no name may have is percent-encoded.
fn escaped(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte);
        if plain {
            out.push(byte.to_ascii_lowercase() as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Joins two upgraded connections until one of them ends.
fn join(call: &Call, ours: hyper::upgrade::OnUpgrade, theirs: hyper::upgrade::OnUpgrade) {
    let stop = call.core.stop.clone();
    let running = call.core.metrics.begin(Series { verb: "CONNECT", ..Series::default() });
    call.core.tasks.spawn(async move {
        let work = async {
            let (Ok(ours), Ok(theirs)) = tokio::join!(ours, theirs) else { return };
            let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
            let _ = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await;
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
        drop(running);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_name_goes_along_and_their_credentials_do_not() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer x"),
            ("x-remote-user", "root"),
            ("impersonate-user", "root"),
            ("connection", "close"),
            ("accept", "a/b"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let mut passed = passed_on(&headers);
        assert_eq!(passed.len(), 1);
        let mut who = Identity::user("jane", ["ops"]);
        who.extra.insert("example.com/a b".to_owned(), vec!["1".to_owned(), "2".to_owned()]);
        speak_as(&who, &mut passed);
        let all = |name: &str| passed.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(all("x-remote-user"), ["jane"]);
        assert_eq!(all("x-remote-group"), ["ops", "system:authenticated"]);
        assert_eq!(all("x-remote-extra-example.com%2fa%20b"), ["1", "2"]);
    }
}
