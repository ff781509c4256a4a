//! Image references as users write them, made whole as Kubernetes does.
//!
//! In: `nginx`, `ghcr.io/a/b:v1`, `repo@sha256:...`. Out: registry, repository, tag and digest.
//! Never asks a registry.

use std::fmt;

use crate::digest::Digest;

/// A parsed, fully qualified reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Registry host with optional port, e.g. `docker.io`.
    pub registry: String,
    /// Repository, e.g. `library/nginx`.
    pub repository: String,
    /// Tag; `latest` when neither tag nor digest was written.
    pub tag: Option<String>,
    /// Digest of the manifest, when written.
    pub digest: Option<Digest>,
}

/// Why a text is no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("couldn't parse image name {text:?}: {reason}")]
pub struct ReferenceFault {
    text: String,
    reason: &'static str,
}

impl ReferenceFault {
    /// What is wrong with the name, without the name.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

/// Longest name that registries accept.
const MAX_NAME: usize = 255;
/// Longest tag that registries accept.
const MAX_TAG: usize = 128;

impl Reference {
    /// Parses and completes a reference.
    pub fn parse(text: &str) -> Result<Self, ReferenceFault> {
        let fault = |reason| ReferenceFault { text: text.chars().take(300).collect(), reason };
        if text.is_empty() {
            return Err(fault("it is empty"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(Digest::parse(digest).map_err(|_| fault("the part after @ is not a sha256 digest"))?))
            }
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if let Some(tag) = tag {
            let first = tag.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !first
                || tag.len() > MAX_TAG
                || !tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
            {
                return Err(fault("the tag is not valid"));
            }
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, rest))
                if first.contains(['.', ':'])
                    || first == "localhost"
                    || first.bytes().any(|b| b.is_ascii_uppercase()) =>
            {
                (first, rest)
            }
            _ => ("docker.io", name),
        };
        let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
        if !host_is_good(registry) {
            return Err(fault("the registry's host name is not valid"));
        }
        let repository =
            if registry == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        if name.bytes().any(|b| b.is_ascii_uppercase()) && path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(fault("repository name must be lowercase"));
        }
        if repository.len() > MAX_NAME || !repository.split('/').all(component_is_good) {
            return Err(fault("invalid reference format"));
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }

    /// `registry/repository`, without tag or digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// `registry/repository:tag`, when there is a tag and no digest.
    pub fn tagged(&self) -> Option<String> {
        self.tag.as_ref().map(|tag| format!("{}:{tag}", self.name()))
    }

    /// `registry/repository@digest` for that digest.
    pub fn with_digest(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.name())
    }

    /// What is asked of the registry: the digest if given, else the tag.
    pub fn wanted(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, Some(tag)) => tag,
            (None, None) => "latest",
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// A host name or address with an optional port.
fn host_is_good(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            return port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok());
        }
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.len() <= 253 && name.split('.').all(label) && port.is_none_or(|p| p.parse::<u16>().is_ok())
}

/// Lower-case letters and digits, joined by one period, one or two underscores, or any number of dashes.
fn component_is_good(component: &str) -> bool {
    let bytes = component.as_bytes();
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !edge(bytes.first()) || !edge(bytes.last()) {
        return false;
    }
    component
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|joint| matches!(joint, "" | "." | "_" | "__") || joint.bytes().all(|b| b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let got = Reference::parse(text).ok().map(|r| r.to_string());
        let expected = expected.map(|e| e.replace("HEX", HEX));
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn short_names_are_made_whole() {
        check("nginx", Some("docker.io/library/nginx:latest"));
        check("nginx:1.27", Some("docker.io/library/nginx:1.27"));
        check("bitnami/redis", Some("docker.io/bitnami/redis:latest"));
        check("index.docker.io/nginx", Some("docker.io/library/nginx:latest"));
        check("localhost/web:v1", Some("localhost/web:v1"));
        check("localhost:5000/web", Some("localhost:5000/web:latest"));
        check("registry.k8s.io/pause:3.10", Some("registry.k8s.io/pause:3.10"));
        check("10.0.0.7:5000/a/b/c:x", Some("10.0.0.7:5000/a/b/c:x"));
        check("[fd00::1]:5000/a:x", Some("[fd00::1]:5000/a:x"));
        check(&format!("nginx@sha256:{HEX}"), Some("docker.io/library/nginx@sha256:HEX"));
        check(&format!("nginx:1@sha256:{HEX}"), Some("docker.io/library/nginx:1@sha256:HEX"));
        check("a/b__c.d---e:x", Some("docker.io/a/b__c.d---e:x"));
    }

    #[test]
    fn bad_names_are_refused() {
        for text in [
            "",
            "Nginx",
            "a//b",
            "a/../b",
            "/a",
            "a/",
            "a:",
            "a:b:c",
            "a b",
            "a@sha256:00",
            "a:-x",
            "a___b",
            "a..b",
            "ho st/x",
            "-h.io/x",
            "a:é",
        ] {
            check(text, None);
        }
        check(&"a".repeat(300), None);
    }
}
