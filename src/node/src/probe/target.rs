//! Where a probe or hook goes.
//!
//! In: the action's words, the container's named ports, the pod's address. Out: a closed set of things to ask. Pure.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A command in the container.
    Exec(Vec<String>),
    /// An HTTP GET.
    Http(Http),
    /// A TCP connection.
    Tcp(String, u16),
    /// A gRPC health check.
    Grpc(String, u16, String),
    /// A wait; hooks only.
    Sleep(Duration),
}

/// An HTTP GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// With TLS; the certificate is not checked, as in Kubernetes.
    pub tls: bool,
    /// Host to connect to.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path with query.
    pub path: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

impl Http {
    /// As Kubernetes writes it in messages.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", authority(&self.host, self.port), self.path)
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub fn authority(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// What a probe asks. `Err` says why it can ask nothing.
pub fn of_probe(probe: &Probe, container: &Container, ip: &str) -> Result<Target, String> {
    if let Some(exec) = &probe.exec {
        return Ok(Target::Exec(exec.command.clone().unwrap_or_default()));
    }
    if let Some(get) = &probe.http_get {
        return http(get, container, ip);
    }
    if let Some(socket) = &probe.tcp_socket {
        return tcp(socket, container, ip);
    }
    if let Some(grpc) = &probe.grpc {
        let port = u16::try_from(grpc.port).map_err(|_| "invalid port".to_owned())?;
        let service = grpc.service.clone().unwrap_or_default();
        return Ok(Target::Grpc(ip.to_owned(), port, service));
    }
    Err("missing probe handler".into())
}

/// What a hook does.
pub fn of_hook(hook: &LifecycleHandler, container: &Container, ip: &str) -> Result<Target, String> {
    if let Some(exec) = &hook.exec {
        return Ok(Target::Exec(exec.command.clone().unwrap_or_default()));
    }
    if let Some(get) = &hook.http_get {
        return http(get, container, ip);
    }
    if let Some(socket) = &hook.tcp_socket {
        return tcp(socket, container, ip);
    }
    if let Some(sleep) = &hook.sleep {
        return Ok(Target::Sleep(Duration::from_secs(sleep.seconds.max(0).unsigned_abs())));
    }
    Err("invalid handler".into())
}

fn http(get: &HTTPGetAction, container: &Container, ip: &str) -> Result<Target, String> {
    let path = get.path.as_deref().unwrap_or_default();
    let path = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    let own = get.host.as_deref().filter(|host| !host.is_empty());
    Ok(Target::Http(Http {
        tls: get.scheme.as_deref() == Some("HTTPS"),
        host: own.unwrap_or(ip).to_owned(),
        port: port(&get.port, container)?,
        path,
        headers: get.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone())).collect(),
    }))
}

fn tcp(socket: &TCPSocketAction, container: &Container, ip: &str) -> Result<Target, String> {
    let own = socket.host.as_deref().filter(|host| !host.is_empty());
    let host = own.unwrap_or(ip).to_owned();
    Ok(Target::Tcp(host, port(&socket.port, container)?))
}

fn port(words: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match words {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_deref() == Some(name))
            .map(|port| port.container_port)
            .or_else(|| name.parse().ok()),
    };
    let number = number.and_then(|number| u16::try_from(number).ok());
    number.filter(|number| *number > 0).ok_or_else(|| match words {
        IntOrString::Int(number) => format!("invalid port number: {number}"),
        IntOrString::String(name) => format!("couldn't find port: {name}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(probe: Value, want: Result<&str, &str>) {
        let container: Container =
            serde_json::from_value(json!({"name": "a", "ports": [{"name": "web", "containerPort": 8080}]})).unwrap();
        let got = of_probe(&serde_json::from_value(probe).unwrap(), &container, "10.0.0.5");
        let said = got.map(|target| match target {
            Target::Http(get) => get.url(),
            other => format!("{other:?}"),
        });
        assert_eq!(said.as_deref().map_err(String::as_str), want);
    }

    #[test]
    fn named_ports_and_hosts_are_found() {
        check(json!({"httpGet": {"port": 80, "path": "/x?y=1"}}), Ok("http://10.0.0.5:80/x?y=1"));
        check(json!({"httpGet": {"port": "web", "scheme": "HTTPS"}}), Ok("https://10.0.0.5:8080/"));
        check(json!({"httpGet": {"port": 1, "host": "fd00::1"}}), Ok("http://[fd00::1]:1/"));
        check(json!({"httpGet": {"port": "no"}}), Err("couldn't find port: no"));
        check(json!({"tcpSocket": {"port": "web"}}), Ok("Tcp(\"10.0.0.5\", 8080)"));
        check(json!({"tcpSocket": {"port": 0}}), Err("invalid port number: 0"));
        check(json!({"exec": {"command": ["ls"]}}), Ok("Exec([\"ls\"])"));
        check(json!({}), Err("missing probe handler"));
    }
}
