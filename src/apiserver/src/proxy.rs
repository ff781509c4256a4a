//! `pods/NAME/proxy`, `services/NAME/proxy`, `nodes/NAME/proxy`: HTTP of others, through the API server.
//!
//! In: a call and what it names. Out: the answer of the pod, service or node, with links that lead through the proxy
//! again, or a connection in both directions if both sides agree on another protocol. Credentials of the caller are
//! never handed on.

mod backend;
mod dial;
mod forward;
pub(crate) mod rewrite;

use axum::body::Body;
use http::{HeaderValue, Method, StatusCode, header};
use kedge_api::kinds::Sub;
use kedge_api::status::Status;

use crate::admission;
use crate::chain::Call;
use crate::registry::{Act, decode_kept};
use crate::respond::Answer;
use crate::streams::options;
use backend::{Named, Place};

/// Path segments before and including `proxy`: `/api/v1/namespaces/NS/pods/NAME/proxy` and `/api/v1/nodes/NAME/proxy`.
const NAMESPACED: usize = 7;
const CLUSTER_WIDE: usize = 5;

/// Answers a call for a proxy.
pub async fn answer(call: &mut Call, act: &Act<'_>) -> Result<Answer, Status> {
    let named = Named::parse(act.name).ok_or_else(|| {
        let what = act.kind.kind.to_lowercase();
        Status::bad_request(format!("invalid {what} request {:?}", act.name))
    })?;
    let segments = if act.kind.namespaced { NAMESPACED } else { CLUSTER_WIDE };
    let path = call.head.uri.path().to_owned();
    let (prefix, rest) = split(&path, segments);
    let object = decode_kept(&*act.on(named.name).kept().await?)?;
    let mut asked = options::object(act.kind, Sub::Proxy, &call.query);
    asked["path"] = rest.into();
    admission::connect(act, &asked, &object).await?;
    let place = backend::find(act, &named, &object).await?;
    if rest.is_empty() && matches!(call.head.method, Method::GET | Method::HEAD) && !matches!(place, Place::Agent) {
        return Ok(with_slash(&path, call.head.uri.query()));
    }
    match place {
        Place::Agent => agent(call, named.name, rest).await,
        Place::At(backend) => forward::forward(call, &backend, prefix, rest).await,
    }
}

/// The path up to `proxy`, and what follows it, both as they were sent.
fn split(path: &str, segments: usize) -> (&str, &str) {
    let mut ends = path.match_indices('/').map(|(at, _)| at).skip(1);
    match ends.nth(segments - 1) {
        Some(end) => path.split_at(end),
        None => (path, ""),
    }
}

/// Sends the caller to the same path with a slash, so that links relative to it lead to the right place.
fn with_slash(path: &str, query: Option<&str>) -> Answer {
    let mut answer = Answer::new(Body::empty());
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    if let Ok(target) = HeaderValue::from_str(&format!("{path}/{query}")) {
        answer.headers_mut().insert(header::LOCATION, target);
    }
    answer
}

/// The node agent's own interface, for whoever may use `nodes/proxy`.
async fn agent(call: &mut Call, node: &str, rest: &str) -> Result<Answer, Status> {
    let body = crate::resource::body(call).await?;
    let rest = if rest.is_empty() { "/" } else { rest };
    let target = match call.head.uri.query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    let request = http::Request::builder()
        .method(call.head.method.clone())
        .uri(target)
        .body(body)
        .map_err(|fault| Status::bad_request(format!("the path below the proxy: {fault}")))?;
    call.core.clone().streams.node_proxy(node, request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, segments: usize, expected: (&str, &str)) {
        assert_eq!(split(path, segments), expected);
    }

    #[test]
    fn paths_are_split_after_the_word_proxy() {
        let pod = "/api/v1/namespaces/a/pods/http:b:80/proxy";
        check(pod, NAMESPACED, (pod, ""));
        check(&format!("{pod}/"), NAMESPACED, (pod, "/"));
        check(&format!("{pod}/x%2Fy//z/"), NAMESPACED, (pod, "/x%2Fy//z/"));
        check("/api/v1/nodes/n/proxy/healthz", CLUSTER_WIDE, ("/api/v1/nodes/n/proxy", "/healthz"));
    }

    #[test]
    fn a_redirect_keeps_the_query() {
        let answer = with_slash("/x/proxy", Some("a=b"));
        assert_eq!((answer.status().as_u16(), &answer.headers()["location"]), (301, &"/x/proxy/?a=b".parse().unwrap()));
    }
}
