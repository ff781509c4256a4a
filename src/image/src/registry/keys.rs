//! Credentials for registries, as Docker's configuration files and Kubernetes' pull secrets hold them.
//!
//! In: `.dockerconfigjson` or `.dockercfg`. Out: the credentials that fit an image, best first.
//! Never shows a password in a debug text.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::reference::Reference;

/// One way to prove who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// Nobody in particular.
    Anonymous,
    /// User name and password.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
    /// A token that buys access tokens.
    Identity(String),
    /// An access token.
    Access(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic(..)",
            Self::Identity(_) => "Identity(..)",
            Self::Access(_) => "Access(..)",
        })
    }
}

/// Credentials by the registries and paths that they are for.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    all: Vec<(Pattern, Credential)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Pattern {
    host: String,
    path: String,
}

/// Why a configuration of credentials is not usable.
#[derive(Debug, thiserror::Error)]
#[error("the registry credentials are not usable: {0}")]
pub struct KeysFault(String);

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
    #[serde(default)]
    registrytoken: String,
}

impl Keys {
    /// Adds the credentials of a `.dockerconfigjson`.
    pub fn add_docker_config(&mut self, json: &[u8]) -> Result<(), KeysFault> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            auths: BTreeMap<String, Entry>,
        }
        let file: File = serde_json::from_slice(json).map_err(|e| KeysFault(e.to_string()))?;
        self.add(file.auths)
    }

    /// Adds the credentials of a `.dockercfg`, the older form.
    pub fn add_dockercfg(&mut self, json: &[u8]) -> Result<(), KeysFault> {
        self.add(serde_json::from_slice(json).map_err(|e| KeysFault(e.to_string()))?)
    }

    /// Adds one credential for a registry, or for a path in it.
    pub fn add_login(&mut self, registry: &str, credential: Credential) {
        self.all.push((Pattern::parse(registry), credential));
    }

    /// The credentials to try for an image, the most specific first, nobody in particular at the end.
    pub fn for_image(&self, reference: &Reference) -> Vec<Credential> {
        let mut fitting: Vec<_> = self.all.iter().filter(|(pattern, _)| pattern.fits(reference)).collect();
        fitting.sort_by_key(|(pattern, _)| std::cmp::Reverse((pattern.path.len(), pattern.host.len())));
        let mut all: Vec<Credential> = fitting.into_iter().map(|(_, credential)| credential.clone()).collect();
        all.push(Credential::Anonymous);
        all
    }

    fn add(&mut self, entries: BTreeMap<String, Entry>) -> Result<(), KeysFault> {
        for (name, entry) in entries {
            if let Some(credential) = entry.credential(&name)? {
                self.all.push((Pattern::parse(&name), credential));
            }
        }
        Ok(())
    }
}

impl Entry {
    fn credential(self, name: &str) -> Result<Option<Credential>, KeysFault> {
        if !self.registrytoken.is_empty() {
            return Ok(Some(Credential::Access(self.registrytoken)));
        }
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credential::Identity(self.identitytoken)));
        }
        if !self.auth.is_empty() {
            let fault = || KeysFault(format!("auths[{name:?}].auth is not the base64 form of user:password"));
            let text =
                STANDARD.decode(self.auth.trim()).ok().and_then(|b| String::from_utf8(b).ok()).ok_or_else(fault)?;
            let (user, password) = text.split_once(':').ok_or_else(fault)?;
            return Ok(Some(Credential::Basic {
                user: user.to_owned(),
                password: password.trim_end_matches('\0').to_owned(),
            }));
        }
        Ok((!self.username.is_empty()).then_some(Credential::Basic { user: self.username, password: self.password }))
    }
}

impl Pattern {
    /// `https://index.docker.io/v1/`, `registry:5000`, `*.example.com/team`.
    fn parse(name: &str) -> Self {
        let name = name.split_once("://").map_or(name, |(_, rest)| rest);
        let (host, path) = name.split_once('/').unwrap_or((name, ""));
        let path = path.trim_matches('/');
        let host = if host == "index.docker.io" { "docker.io" } else { host };
        let path = if matches!(path, "v1" | "v2") { "" } else { path };
        Self { host: host.to_owned(), path: path.to_owned() }
    }

    fn fits(&self, reference: &Reference) -> bool {
        let (host, port) = split_port(&self.host);
        let (their_host, their_port) = split_port(&reference.registry);
        let (parts, theirs): (Vec<&str>, Vec<&str>) = (host.split('.').collect(), their_host.split('.').collect());
        port == their_port
            && parts.len() == theirs.len()
            && parts.iter().zip(&theirs).all(|(pattern, text)| glob(pattern, text))
            && reference.repository.starts_with(&self.path)
    }
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, Some(port)),
        _ => (host, None),
    }
}

/// `*` stands for any characters.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => {
            let Some(rest) = text.strip_prefix(before) else { return false };
            (0..=rest.len()).filter(|i| rest.is_char_boundary(*i)).any(|i| glob(after, &rest[i..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[&str], image: &str, expected: &[&str]) {
        let auths: serde_json::Map<String, serde_json::Value> =
            names.iter().map(|n| ((*n).to_owned(), serde_json::json!({"username": n, "password": "p"}))).collect();
        let mut keys = Keys::default();
        keys.add_docker_config(serde_json::json!({"auths": auths}).to_string().as_bytes()).unwrap();
        let found = keys.for_image(&Reference::parse(image).unwrap());
        let users: Vec<&str> = found
            .iter()
            .filter_map(|c| if let Credential::Basic { user, .. } = c { Some(user.as_str()) } else { None })
            .collect();
        assert_eq!(users, expected, "{image}");
    }

    #[test]
    fn the_most_specific_credentials_come_first() {
        check(&["https://index.docker.io/v1/"], "nginx", &["https://index.docker.io/v1/"]);
        check(&["ghcr.io", "ghcr.io/team", "quay.io"], "ghcr.io/team/app", &["ghcr.io/team", "ghcr.io"]);
        check(&["*.example.com"], "a.example.com/x", &["*.example.com"]);
        check(&["*.example.com"], "a.b.example.com/x", &[]);
        check(&["r:5000", "r"], "r.x:5000/y", &[]);
        check(&["r.x:5000", "r.x"], "r.x:5000/y", &["r.x:5000"]);
        check(&["r*.x"], "reg.x/y", &["r*.x"]);
    }

    #[test]
    fn every_form_is_read_and_no_password_is_shown() {
        let mut keys = Keys::default();
        let auth = STANDARD.encode("me:se:cret");
        keys.add_docker_config(
            format!(r#"{{"auths":{{"a.io":{{"auth":"{auth}"}},"b.io":{{"identitytoken":"t"}},"c.io":{{}}}}}}"#)
                .as_bytes(),
        )
        .unwrap();
        keys.add_dockercfg(br#"{"d.io":{"username":"u","password":"p","email":"e"}}"#).unwrap();
        let first = |image: &str| keys.for_image(&Reference::parse(image).unwrap()).remove(0);
        assert_eq!(first("a.io/x"), Credential::Basic { user: "me".into(), password: "se:cret".into() });
        assert_eq!(first("b.io/x"), Credential::Identity("t".into()));
        assert_eq!(first("c.io/x"), Credential::Anonymous);
        assert_eq!(first("d.io/x"), Credential::Basic { user: "u".into(), password: "p".into() });
        assert!(!format!("{keys:?}").contains("cret"));
        for bad in [&b"x"[..], br#"{"auths":{"a":{"auth":"!"}}}"#, br#"{"auths":{"a":{"auth":"YQ=="}}}"#] {
            assert!(keys.add_docker_config(bad).is_err());
        }
    }
}
