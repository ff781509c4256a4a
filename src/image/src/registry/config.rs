//! Which hosts are asked for a registry, and how.
//!
//! In: the configuration's mirrors and exceptions. Out: endpoints in the order in which they are tried.
//! Never connects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::RegistryError;

/// Settings of registries.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    /// Base addresses (`https://mirror.example:5000`, `http://10.0.0.7`) that are asked before the registry itself,
    /// by the registry's name; `*` stands for every registry that is not named.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Registries (`host` or `host:port`) that are asked over plain HTTP. Loopback addresses always are.
    pub insecure: BTreeSet<String>,
    /// Certificates of authorities that are trusted beside the system's, in PEM.
    pub authorities: Vec<PathBuf>,
    /// How long to wait.
    pub patience: Patience,
}

/// How long to wait for a registry.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the first byte of an answer.
    pub answer: Duration,
    /// For the next byte of a blob.
    pub stall: Duration,
    /// For a whole document (at most 4 MiB).
    pub document: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(15), answer: seconds(30), stall: seconds(30), document: seconds(120) }
    }
}

/// A host that speaks the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// `host` or `host:port`.
    pub authority: String,
    /// A path before `/v2`, if the mirror has one.
    pub prefix: String,
}

impl Registries {
    /// Where to ask for images of this registry, in order.
    pub fn endpoints(&self, registry: &str) -> Result<Vec<Endpoint>, RegistryError> {
        let mirrors = self.mirrors.get(registry).or_else(|| self.mirrors.get("*"));
        let mut all = mirrors.into_iter().flatten().map(|m| Endpoint::parse(m)).collect::<Result<Vec<_>, _>>()?;
        let authority = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        let plain = self.insecure.contains(registry) || is_loopback(registry);
        all.push(Endpoint {
            scheme: if plain { "http" } else { "https" },
            authority: authority.to_owned(),
            prefix: String::new(),
        });
        Ok(all)
    }
}

impl Endpoint {
    fn parse(text: &str) -> Result<Self, RegistryError> {
        let fault = || {
            RegistryError::Setting(format!(
                "the registry mirror {text:?} is not of the form https://HOST[:PORT][/PATH]"
            ))
        };
        let (scheme, rest) = match text.split_once("://") {
            Some(("https", rest)) => ("https", rest),
            Some(("http", rest)) => ("http", rest),
            _ => return Err(fault()),
        };
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        authority.parse::<http::uri::Authority>().map_err(|_| fault())?;
        let prefix = prefix.trim_end_matches('/').trim_end_matches("v2").trim_end_matches('/');
        Ok(Self {
            scheme,
            authority: authority.to_owned(),
            prefix: if prefix.is_empty() { String::new() } else { format!("/{prefix}") },
        })
    }
}

fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_come_before_the_registry_itself() {
        let mut registries = Registries::default();
        registries
            .mirrors
            .insert("docker.io".into(), vec!["http://10.0.0.7:5000".into(), "https://m.example/proxy/v2/".into()]);
        registries.mirrors.insert("*".into(), vec!["https://all.example".into()]);
        registries.insecure.insert("lab:5000".into());
        let check = |registry: &str, expected: &[&str]| {
            let all: Vec<String> = registries
                .endpoints(registry)
                .unwrap()
                .iter()
                .map(|e| format!("{}://{}{}", e.scheme, e.authority, e.prefix))
                .collect();
            assert_eq!(all, expected);
        };
        check("docker.io", &["http://10.0.0.7:5000", "https://m.example/proxy", "https://registry-1.docker.io"]);
        check("lab:5000", &["https://all.example", "http://lab:5000"]);
        check("localhost:5000", &["https://all.example", "http://localhost:5000"]);
        check("ghcr.io", &["https://all.example", "https://ghcr.io"]);
        registries.mirrors.insert("x".into(), vec!["ftp://x".into()]);
        assert!(registries.endpoints("x").is_err());
    }
}
