//! Port-forward: connections of a client's machine to ports of a pod.
//!
//! In: a client's connection, SPDY (plain or within a WebSocket) or a WebSocket with two channels for each port. Out:
//! bytes both ways between it and ports inside the pod's network, and sentences where that fails. A connection that
//! fails never ends the others.

mod channels;
mod streams;

use std::sync::Arc;

use kedge_api::status::Status;

use super::{Channel, ContainerRef, NodeStreams};
use crate::query::Query;

pub use channels::serve as serve_channels;
pub use streams::serve as serve_streams;

/// What is spoken over SPDY.
pub const STREAMS: &str = "portforward.k8s.io";
/// SPDY within a WebSocket.
pub const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// The protocols over a WebSocket.
pub const WEBSOCKET: [&str; 3] = [TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io"];

/// Ports of one request: each takes a connection and two channels of a number that is one byte.
const PORTS: usize = 64;

/// The pod whose ports are meant, and who reaches them.
#[derive(Clone)]
pub struct Target {
    /// Who opens connections.
    pub node: Arc<dyn NodeStreams>,
    /// The pod.
    pub pod: ContainerRef,
}

impl Target {
    async fn connect(&self, port: u16) -> Result<Box<dyn Channel>, String> {
        self.node.connect(self.pod.clone(), port).await.map_err(|status| {
            let ContainerRef { pod, uid, .. } = &self.pod;
            let text = format!("error forwarding port {port} to pod {pod}, uid {uid}: {}", status.message);
            tracing::info!("{text}");
            text
        })
    }
}

/// The ports that a request over channels names.
pub fn ports(query: &Query) -> Result<Vec<u16>, Status> {
    let mut all = Vec::new();
    for text in query.all("ports") {
        if text.is_empty() {
            return Err(Status::bad_request("query parameter \"ports\" cannot be empty"));
        }
        for word in text.split(',') {
            all.push(port(word).map_err(Status::bad_request)?);
        }
    }
    match all.len() {
        0 => Err(Status::bad_request("query parameter \"ports\" is required")),
        count if count > PORTS => Err(Status::bad_request(format!("at most {PORTS} ports can be forwarded at once"))),
        _ => Ok(all),
    }
}

/// One port.
fn port(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(0) => Err(format!("port {text:?} must be > 0")),
        Ok(port) => Ok(port),
        Err(_) => Err(format!("unable to parse {text:?} as a port")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: Result<&[u16], &str>) {
        let found = ports(&Query::parse(query)).map_err(|status| status.message);
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{query}");
    }

    #[test]
    fn ports_are_read_from_the_query() {
        check("ports=80&ports=443", Ok(&[80, 443]));
        check("ports=80,443", Ok(&[80, 443]));
        check("", Err("query parameter \"ports\" is required"));
        check("ports=", Err("query parameter \"ports\" cannot be empty"));
        check("ports=0", Err("port \"0\" must be > 0"));
        check("ports=http", Err("unable to parse \"http\" as a port"));
        check("ports=70000", Err("unable to parse \"70000\" as a port"));
    }
}
