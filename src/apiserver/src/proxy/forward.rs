//! One proxied request: to the backend and back.
//!
//! In: a call, a backend, the path before and below the proxy. Out: the backend's answer as it comes, links rewritten;
//! or, after an upgrade, bytes both ways until either side ends. Neither body is held in memory.

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use kedge_api::status::Status;

use super::backend::Backend;
use super::dial;
use super::rewrite::{Html, Links};
use crate::chain::Call;
use crate::respond::Answer;
use crate::streams::upgrade;

/// Headers of one connection, not of the message.
const OF_CONNECTION: [&str; 8] = [
    "connection",
    "proxy-connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
];
/// What a backend must not say in the API server's name.
const OF_ORIGINS: [&str; 4] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
];

/// Forwards a call.
pub async fn forward(call: &mut Call, backend: &Backend, prefix: &str, rest: &str) -> Result<Answer, Status> {
    let wants_upgrade = words(&call.head.headers, header::CONNECTION).any(|word| word.eq_ignore_ascii_case("upgrade"));
    let request = request(call, backend, prefix, rest, wants_upgrade)?;
    let host = request.headers().get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let links = Links { prefix: prefix.to_owned(), backend: backend.address.to_string(), asked: host };
    let unreachable = |why: String| match wants_upgrade {
        true => Status::internal(format!("error dialing backend: {why}")),
        false => Status::unavailable(format!("error trying to reach service: {why}")),
    };
    let channel = dial::dial(backend).await.map_err(unreachable)?;
    let failed = |error: hyper::Error| unreachable(chain(&error));
    let (mut sender, connection) = http1::handshake(TokioIo::new(channel)).await.map_err(failed)?;
    let core = call.core.clone();
    let stop = core.stop.clone();
    core.tasks.spawn(async move {
        tokio::select! {
            // How it ended, whoever reads the answer is told.
            _ = connection.with_upgrades() => {}
            () = stop.cancelled() => {}
        }
    });
    let response = sender.send_request(request).await.map_err(failed)?;
    if wants_upgrade && response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return upgraded(call, response);
    }
    if wants_upgrade && response.status().as_u16() < 400 {
        return Err(Status::internal(format!("invalid upgrade response: status code {}", response.status().as_u16())));
    }
    Ok(answer(response, &links, call.head.method == Method::HEAD))
}

/// The request as the backend gets it.
fn request(
    call: &mut Call,
    backend: &Backend,
    prefix: &str,
    rest: &str,
    upgrade: bool,
) -> Result<Request<Body>, Status> {
    let target = match (if rest.is_empty() { "/" } else { rest }, call.head.uri.query()) {
        (path, Some(query)) => format!("{path}?{query}"),
        (path, None) => path.to_owned(),
    };
    let body = std::mem::take(call.body.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner));
    let mut request = Request::new(body);
    *request.method_mut() = call.head.method.clone();
    *request.uri_mut() =
        target.parse().map_err(|fault| Status::bad_request(format!("the path below the proxy: {fault}")))?;
    let mut headers = call.head.headers.clone();
    let kept: Vec<(HeaderName, HeaderValue)> = [header::CONNECTION, header::UPGRADE]
        .into_iter()
        .filter_map(|name| Some((name.clone(), headers.get(&name)?.clone())))
        .collect();
    strip(&mut headers);
    if upgrade {
        headers.extend(kept);
    }
    // Whom the API server knows is no business of the backend's.
    headers.remove(header::AUTHORIZATION);
    let impersonating: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    impersonating.iter().for_each(|name| drop(headers.remove(name)));
    without_token(&mut headers);
    if !headers.contains_key(header::HOST) {
        let host = call.head.uri.authority().map_or_else(|| backend.address.to_string(), |a| a.as_str().to_owned());
        headers.extend(HeaderValue::from_str(&host).ok().map(|host| (header::HOST, host)));
    }
    let page = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("text/html"));
    if page {
        // Links of a packed page could not be rewritten.
        headers.remove(header::ACCEPT_ENCODING);
    }
    let uri = format!("{prefix}{}", if rest.is_empty() { "/" } else { rest });
    headers.extend(HeaderValue::from_str(&uri).ok().map(|uri| (HeaderName::from_static("x-forwarded-uri"), uri)));
    *request.headers_mut() = headers;
    Ok(request)
}

/// Removes what is about one connection.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<String> = words(headers, header::CONNECTION).map(str::to_ascii_lowercase).collect();
    named.iter().for_each(|name| drop(headers.remove(name.as_str())));
    OF_CONNECTION.iter().for_each(|name| drop(headers.remove(*name)));
    headers.remove(header::UPGRADE);
}

fn words(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).map(str::trim)
}

/// Browsers carry the caller's token among the protocols of a WebSocket.
fn without_token(headers: &mut HeaderMap) {
    let name = header::SEC_WEBSOCKET_PROTOCOL;
    if !words(headers, name.clone()).any(|word| word.starts_with(crate::authn::WEBSOCKET_TOKEN)) {
        return;
    }
    let left: Vec<&str> =
        words(headers, name.clone()).filter(|word| !word.starts_with(crate::authn::WEBSOCKET_TOKEN)).collect();
    let left = HeaderValue::from_str(&left.join(", ")).ok().filter(|value| !value.is_empty());
    headers.remove(&name);
    headers.extend(left.map(|value| (name, value)));
}

/// The answer as the caller gets it.
fn answer(response: Response<Incoming>, links: &Links, head_only: bool) -> Answer {
    let (mut head, body) = response.into_parts();
    strip(&mut head.headers);
    OF_ORIGINS.iter().for_each(|name| drop(head.headers.remove(*name)));
    let location = head.headers.get(header::LOCATION).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty());
    if let Some(location) = location {
        if let Ok(value) = HeaderValue::from_str(&links.rewrite(location)) {
            head.headers.insert(header::LOCATION, value);
        }
        return Response::from_parts(head, Body::new(body));
    }
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let is_page = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"));
    if !is_page || head.headers.contains_key(header::CONTENT_ENCODING) || head_only {
        return Response::from_parts(head, Body::new(body));
    }
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, rewritten(body, links.clone()))
}

/// A page whose links are rewritten as it comes.
fn rewritten(body: Incoming, links: Links) -> Body {
    let pieces = body.into_data_stream();
    let state = (pieces, Some(Html::new(links)));
    Body::from_stream(futures::stream::unfold(state, |(mut pieces, html)| async move {
        let mut html = html?;
        match pieces.next().await {
            Some(Ok(piece)) => Some((Ok(Bytes::from(html.feed(&piece))), (pieces, Some(html)))),
            Some(Err(error)) => Some((Err(error), (pieces, None))),
            None => Some((Ok(Bytes::from(html.finish())), (pieces, None))),
        }
    }))
}

/// Both sides speak another protocol from now on.
fn upgraded(call: &mut Call, mut response: Response<Incoming>) -> Result<Answer, Status> {
    let backend = hyper::upgrade::on(&mut response);
    let client = upgrade::take(&mut call.head)?;
    upgrade::run(client, &call.core.tasks, call.core.stop.clone(), |mut client, stop| async move {
        let Ok(backend) = backend.await else { return };
        let mut backend = TokioIo::new(backend);
        // Either side's end is told to the other.
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut backend) => {}
            () = stop.cancelled() => {}
        }
    });
    let (head, _) = response.into_parts();
    Ok(Response::from_parts(head, Body::empty()))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text.push_str(&format!(": {deeper}"));
        cause = deeper.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_a_connection_and_tokens_stay_here() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Own"),
            ("x-own", "1"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
            ("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.c2VjcmV0, chat"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        without_token(&mut headers);
        let mut left: Vec<String> = headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        left.sort();
        assert_eq!(left, ["accept: */*", "sec-websocket-protocol: chat"]);
    }
}
