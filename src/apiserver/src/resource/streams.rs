//! Logs, exec, attach and port-forward of a pod.
//!
//! In: a call. Out: the log, or an upgraded connection over which a session or ports run. The pod and container are
//! looked up here; what happens in them is the node's.

use axum::body::Body;
use futures::StreamExt as _;
use http::StatusCode;
use kedge_api::kinds::Sub;
use kedge_api::status::Status;
use kedge_api::{Object, meta};

use crate::admission;
use crate::chain::{self, Call};
use crate::registry::{Act, decode_kept};
use crate::request::{RequestInfo, Verb};
use crate::respond::{self, Answer};
use crate::streams::spdy::Wire;
use crate::streams::upgrade::Upgrade;
use crate::streams::{ContainerRef, exec, options, portforward, websocket};

/// Answers a call for a stream.
pub async fn answer(call: &mut Call, act: &Act<'_>) -> Result<Answer, Status> {
    // What is asked for is looked at before the pod is.
    let log = match act.sub {
        Some(Sub::Log) => Some(options::log(&call.query, act.name)?),
        // A WebSocket begins with GET, but whoever may only read must not run anything.
        _ if call.info.verb != Verb::Create => {
            chain::authorize(
                &call.core,
                &call.who,
                &RequestInfo { verb: Verb::Create, ..call.info.clone() },
                &call.query,
            )
            .await?;
            None
        }
        _ => None,
    };
    let pod = decode_kept(&*act.kept().await?)?;
    let core = call.core.clone();
    match act.sub {
        Some(Sub::Log) => {
            let container = container(act, &pod, &call.query, true)?;
            let options = log.unwrap_or_default();
            if has_host(act, &pod).is_err() {
                // There is nothing yet, which is no fault.
                return Ok(respond::text(StatusCode::NO_CONTENT, String::new()));
            }
            let log = core.streams.logs(container, options).await?;
            let pieces = log.map(|piece| piece.inspect_err(|e| tracing::warn!(error = %e, "a log ended early")));
            Ok(respond::stream("text/plain", Body::from_stream(pieces)))
        }
        Some(sub @ (Sub::Exec | Sub::Attach)) => {
            admission::connect(act, &options::object(act.kind, sub, &call.query), &pod).await?;
            let container = container(act, &pod, &call.query, false)?;
            let options = options::exec(&call.query, sub == Sub::Exec)?;
            let upgrade = Upgrade::read(&mut call.head, &websocket::EXEC, &exec::PROTOCOLS)?;
            if let Upgrade::Refused(answer) = upgrade {
                return Ok(*answer);
            }
            let session = if sub == Sub::Exec {
                core.streams.exec(container, options.clone()).await?
            } else {
                core.streams.attach(container, options.clone()).await?
            };
            let (tasks, stop) = (&core.tasks, core.stop.clone());
            Ok(match upgrade {
                Upgrade::WebSocket(handshake) => {
                    let protocol = handshake.protocol();
                    handshake.run(tasks, stop, move |socket, stop| {
                        websocket::session(socket, protocol, session, options, stop)
                    })
                }
                Upgrade::Spdy(spdy) => {
                    let protocol = spdy.protocol;
                    spdy.run(tasks, stop, move |io, stop| {
                        exec::session(Wire::Raw(Box::new(io)), protocol, session, options, stop)
                    })
                }
                Upgrade::Refused(answer) => *answer,
            })
        }
        _ => {
            admission::connect(act, &options::object(act.kind, Sub::PortForward, &call.query), &pod).await?;
            port_forward(call, act, &pod)
        }
    }
}

/// Forwards ports of a pod.
fn port_forward(call: &mut Call, act: &Act<'_>, pod: &Object) -> Result<Answer, Status> {
    has_host(act, pod)?;
    let core = call.core.clone();
    let target = portforward::Target {
        node: core.streams.clone(),
        pod: ContainerRef {
            namespace: act.namespace.to_owned(),
            pod: act.name.to_owned(),
            uid: meta::uid(pod).to_owned(),
            container: String::new(),
        },
    };
    let (tasks, stop) = (&core.tasks, core.stop.clone());
    Ok(match Upgrade::read(&mut call.head, &portforward::WEBSOCKET, &[portforward::STREAMS])? {
        Upgrade::WebSocket(handshake) if handshake.protocol() == portforward::TUNNEL => {
            handshake.run(tasks, stop, move |socket, stop| {
                portforward::serve_streams(Wire::Tunnel(Box::new(socket)), target, stop)
            })
        }
        Upgrade::WebSocket(handshake) => {
            let ports = portforward::ports(&call.query)?;
            let coding = websocket::Coding::of(handshake.protocol());
            handshake
                .run(tasks, stop, move |socket, stop| portforward::serve_channels(socket, coding, target, ports, stop))
        }
        Upgrade::Spdy(spdy) => {
            spdy.run(tasks, stop, move |io, stop| portforward::serve_streams(Wire::Raw(Box::new(io)), target, stop))
        }
        Upgrade::Refused(answer) => *answer,
    })
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
    if !logs {
        has_host(act, pod)?;
        let phase = meta::text_at(pod, &["status", "phase"]);
        if matches!(phase, "Succeeded" | "Failed") {
            return Err(Status::bad_request(format!(
                "cannot exec into a container in a completed pod; current phase is {phase}"
            )));
        }
    }
    Ok(ContainerRef {
        namespace: act.namespace.to_owned(),
        pod: act.name.to_owned(),
        uid: meta::uid(pod).to_owned(),
        container: name.to_owned(),
    })
}

/// What runs nowhere has no process and no port.
fn has_host(act: &Act<'_>, pod: &Object) -> Result<(), Status> {
    if meta::text_at(pod, &["spec", "nodeName"]).is_empty() {
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", act.name)));
    }
    Ok(())
}
