//! Where a call goes: a Service of this cluster, or a host.
//!
//! In: a `clientConfig` or a URL. Out: a place, a name to be verified, a path. Pure; never resolves.

use std::fmt;

use http::Uri;
use kedge_api::meta;
use serde_json::Value;

/// The port of HTTPS.
const HTTPS: u16 = 443;

/// A Service or a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A Service, reached by its endpoints.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its port.
        port: u16,
    },
    /// A host by name or address.
    Host {
        /// The name or address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Service { namespace, name, port } => write!(f, "{name}.{namespace}.svc:{port}"),
            Place::Host { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Place::Host { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The Service or host.
    pub place: Place,
    /// The path; empty or with a leading `/`.
    pub path: String,
    /// Whether the URL named the port: error texts repeat the URL as it was given.
    named_port: bool,
    /// The name in the server's certificate, if it is not the place's own.
    name: Option<String>,
}

impl Target {
    /// A Service.
    pub fn service(namespace: &str, name: &str, port: u16, path: &str) -> Target {
        let place = Place::Service { namespace: namespace.to_owned(), name: name.to_owned(), port };
        Target { place, path: slashed(path), named_port: true, name: None }
    }

    /// What a `clientConfig` names.
    pub fn of_client_config(config: &Value) -> Result<Target, String> {
        match (config.get("service").filter(|s| !s.is_null()), meta::text(config, "url")) {
            (Some(service), _) => {
                let port = meta::int_at(service, &["port"]).unwrap_or(i64::from(HTTPS));
                let port = u16::try_from(port).map_err(|_| format!("the port {port} of the service is none"))?;
                let (namespace, name) = (meta::text(service, "namespace"), meta::text(service, "name"));
                if namespace.is_empty() || name.is_empty() || port == 0 {
                    return Err("cannot resolve an empty service name or namespace or port".to_owned());
                }
                Ok(Target::service(namespace, name, port, meta::text(service, "path")))
            }
            (None, "") => Err("webhook configuration must have either service or URL".to_owned()),
            (None, url) => Target::of_url(url),
        }
    }

    /// A URL of the scheme `https`.
    pub fn of_url(url: &str) -> Result<Target, String> {
        let uri: Uri = url.parse().map_err(|e| format!("Unparsable URL: {e}"))?;
        if uri.scheme_str() != Some("https") {
            return Err(format!("Unparsable URL: {url:?} does not begin with https://"));
        }
        let host = uri.host().unwrap_or("");
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(format!("Unparsable URL: {url:?} names no host"));
        }
        let place = Place::Host { host: host.to_owned(), port: uri.port_u16().unwrap_or(HTTPS) };
        let path = if uri.path() == "/" && !url.ends_with('/') { "" } else { uri.path() };
        Ok(Target { place, path: path.to_owned(), named_port: uri.port_u16().is_some(), name: None })
    }

    /// The same, whose certificate bears another name.
    pub fn named(mut self, name: &str) -> Target {
        self.name = (!name.is_empty()).then(|| name.to_owned());
        self
    }

    /// The name in the server's certificate.
    pub fn server_name(&self) -> String {
        match (&self.name, &self.place) {
            (Some(name), _) => name.clone(),
            (None, Place::Service { namespace, name, .. }) => format!("{name}.{namespace}.svc"),
            (None, Place::Host { host, .. }) => host.clone(),
        }
    }

    /// Host and port, as the `Host` header and URLs have them.
    pub fn authority(&self) -> String {
        match &self.place {
            Place::Host { host, .. } if !self.named_port => {
                if host.contains(':') {
                    format!("[{host}]")
                } else {
                    host.clone()
                }
            }
            place => place.to_string(),
        }
    }

    /// Path and query of a request to the target's own path.
    pub fn uri(&self, query: &str) -> Uri {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        let text = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        text.parse().unwrap_or_else(|_| Uri::from_static("/"))
    }

    /// The URL of a request, for messages.
    pub fn url(&self, uri: &Uri) -> String {
        let rest = uri.path_and_query().map_or("/", |p| p.as_str());
        format!("https://{}{rest}", self.authority())
    }
}

fn slashed(path: &str) -> String {
    if path.is_empty() || path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// `expected`: "place name url", or the fault.
    #[track_caller]
    fn check(config: Value, expected: &str) {
        let seen = match Target::of_client_config(&config) {
            Ok(target) => {
                format!("{} {} {}", target.place, target.server_name(), target.url(&target.uri("timeout=10s")))
            }
            Err(fault) => fault,
        };
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_client_config_names_a_service_or_a_host() {
        check(
            json!({"service": {"namespace": "ns", "name": "hook"}}),
            "hook.ns.svc:443 hook.ns.svc https://hook.ns.svc:443/?timeout=10s",
        );
        check(
            json!({"service": {"namespace": "ns", "name": "hook", "port": 8443, "path": "a/b"}}),
            "hook.ns.svc:8443 hook.ns.svc https://hook.ns.svc:8443/a/b?timeout=10s",
        );
        check(json!({"url": "https://h.lan/x"}), "h.lan:443 h.lan https://h.lan/x?timeout=10s");
        check(json!({"url": "https://h.lan:8443"}), "h.lan:8443 h.lan https://h.lan:8443/?timeout=10s");
        check(json!({"url": "https://[::1]:9/"}), "[::1]:9 ::1 https://[::1]:9/?timeout=10s");
        check(json!({}), "webhook configuration must have either service or URL");
        check(
            json!({"service": {"namespace": "ns", "name": ""}}),
            "cannot resolve an empty service name or namespace or port",
        );
        check(json!({"url": "http://h"}), "Unparsable URL: \"http://h\" does not begin with https://");
    }
}
