//! Logs, exec, attach and port-forward of a pod.
//!
//! In: a call. Out: the log, or a WebSocket over which the session runs. The pod and container
//! are looked up here; what happens in them is the node's.

use axum::body::Body;
use futures::StreamExt as _;
use http::StatusCode;
use kedge_api::kinds::Sub;
use kedge_api::status::Status;
use kedge_api::{Object, meta};

use crate::admission;
use crate::chain::Call;
use crate::registry::{Act, decode_kept};
use crate::respond::{self, Answer};
use crate::streams::{ContainerRef, options, websocket};

/// Answers a call for a stream.
pub async fn answer(call: &mut Call, act: &Act<'_>) -> Result<Answer, Status> {
    if act.sub == Some(Sub::Proxy) && act.kind.plural == "nodes" {
        return node_proxy(call, act).await;
    }
    if act.sub == Some(Sub::Proxy) || act.kind.plural != "pods" {
        return Err(Status::new(501, kedge_api::status::Reason::Unknown, "proxying is not offered by this server"));
    }
    let pod = decode_kept(&*act.kept().await?)?;
    let core = call.core.clone();
    match act.sub {
        Some(Sub::Log) => {
            let container = container(act, &pod, &call.query, true)?;
            let options = options::log(&call.query)?;
            let log = core.streams.logs(container, options).await?;
            let pieces = log.map(|piece| piece.inspect_err(|e| tracing::warn!(error = %e, "a log ended early")));
            Ok(respond::stream("text/plain", Body::from_stream(pieces)))
        }
        Some(sub @ (Sub::Exec | Sub::Attach)) => {
            admission::connect(act, &options::object(act.kind, sub, &call.query), &pod).await?;
            let container = container(act, &pod, &call.query, false)?;
            let options = options::exec(&call.query, sub == Sub::Exec)?;
            let handshake = websocket::Handshake::read(&mut call.head, &websocket::EXEC)?;
            let session = if sub == Sub::Exec {
                core.streams.exec(container, options.clone()).await?
            } else {
                core.streams.attach(container, options.clone()).await?
            };
            Ok(handshake.run(&core.tasks, core.stop.clone(), move |socket, protocol, stop| {
                websocket::session(socket, protocol, session, options, stop)
            }))
        }
        _ => Err(Status::new(
            StatusCode::NOT_IMPLEMENTED.as_u16(),
            kedge_api::status::Reason::Unknown,
            "port-forwarding is not offered by this server yet",
        )),
    }
}

/// The node agent's own interface, for whoever may use `nodes/proxy`.
async fn node_proxy(call: &mut Call, act: &Act<'_>) -> Result<Answer, Status> {
    act.kept().await?;
    let body = super::body(call).await?;
    let rest = if call.info.rest.is_empty() { "/" } else { &call.info.rest };
    let target = match call.head.uri.query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    let request = http::Request::builder()
        .method(call.head.method.clone())
        .uri(target)
        .body(body)
        .map_err(|fault| Status::bad_request(format!("the path below the proxy: {fault}")))?;
    call.core.clone().streams.node_proxy(act.name, request).await
}

/// The container that is meant: the named one, or the only one, or the default one.
fn container(act: &Act<'_>, pod: &Object, query: &crate::query::Query, logs: bool) -> Result<ContainerRef, Status> {
    let names: Vec<&str> = meta::list_at(pod, &["spec", "containers"]).iter().map(|c| meta::text(c, "name")).collect();
    let others: Vec<&str> = ["initContainers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| meta::list_at(pod, &["spec", list]))
        .map(|c| meta::text(c, "name"))
        .collect();
    let asked = query.get("container").unwrap_or("");
    let by_annotation = meta::annotation(pod, "kubectl.kubernetes.io/default-container").unwrap_or("");
    let name = match (asked, names.as_slice()) {
        ("", [only]) => *only,
        ("", several) if several.contains(&by_annotation) => by_annotation,
        ("", several) => {
            let init = meta::list_at(pod, &["spec", "initContainers"]);
            let mut text = format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                act.name,
                several.join(" ")
            );
            if !init.is_empty() {
                let names: Vec<&str> = init.iter().map(|c| meta::text(c, "name")).collect();
                text.push_str(&format!(" or one of the init containers: [{}]", names.join(" ")));
            }
            return Err(Status::bad_request(text));
        }
        (name, _) if names.contains(&name) || others.contains(&name) => name,
        (name, _) => {
            return Err(Status::bad_request(format!("container {name} is not valid for pod {}", act.name)));
        }
    };
    if meta::text_at(pod, &["spec", "nodeName"]).is_empty() {
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", act.name)));
    }
    if !logs && matches!(meta::text_at(pod, &["status", "phase"]), "Succeeded" | "Failed") {
        let phase = meta::text_at(pod, &["status", "phase"]);
        return Err(Status::bad_request(format!(
            "cannot exec into a container in a completed pod; current phase is {phase}"
        )));
    }
    Ok(ContainerRef {
        namespace: act.namespace.to_owned(),
        pod: act.name.to_owned(),
        uid: meta::uid(pod).to_owned(),
        container: name.to_owned(),
    })
}
