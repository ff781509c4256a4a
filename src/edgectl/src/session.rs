//! A connection to a server, with what it serves.
//!
//! In: the global flags. Out: a client, the namespace, and the kinds by any of their names. Never caches to disk.

#[cfg(test)]
mod flags;
mod timed;

use std::collections::HashSet;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::sync::Mutex;

use kedge_client::{Client, ConnectOptions, ResourcePath};
use serde_json::Value;

use crate::args::Global;
use crate::error::Failure;
use crate::resource::Catalogue;

/// What all verbs work with.
pub struct Session {
    /// The server.
    pub client: Client,
    /// The same for WebSockets.
    pub kube: kedge_client::kube::Client,
    /// The server's URL.
    pub url: String,
    /// The namespace where none is named.
    pub namespace: String,
    /// `--namespace` was given.
    pub namespace_given: bool,
}

impl Session {
    /// Reads the kubeconfig; does not connect yet. With `at_once` a server that has no time is told of, and not asked
    /// again in silence.
    pub async fn open(global: &Global, at_once: bool) -> Result<Session, Failure> {
        let limit = global.request_timeout.as_deref().map(duration).transpose()?.flatten();
        let own = Own::new(global)?;
        let options = ConnectOptions {
            kubeconfig: own.as_ref().map(Own::path).or_else(|| global.kubeconfig.clone()),
            context: global.context.clone(),
            cluster: global.cluster.clone(),
            user: global.user.clone(),
            server: global.server.clone(),
            namespace: global.namespace.clone(),
            token: global.token.clone(),
            insecure_skip_tls_verify: global.insecure_skip_tls_verify,
            impersonate: global.impersonate.clone(),
            impersonate_groups: global.impersonate_group.clone(),
            at_once,
        };
        let (client, server) = Client::connect(&options).await?;
        let client = match limit.filter(|limit| !limit.is_zero()) {
            None => client,
            Some(limit) => timed::client(server.kube.clone(), limit, &server.namespace),
        };
        // Each once: several requests for one file would say the same.
        let told = Mutex::new(HashSet::new());
        let client = client.on_warning(move |text| {
            if told.lock().is_ok_and(|mut told| told.insert(text.to_owned())) {
                eprintln!("Warning: {text}");
            }
        });
        Ok(Session {
            client,
            kube: server.kube,
            url: server.url,
            namespace: server.namespace,
            namespace_given: global.namespace.is_some(),
        })
    }

    /// What the server serves.
    pub async fn catalogue(&self) -> Result<Catalogue, Failure> {
        Catalogue::ask(&self.client).await
    }

    /// The name of the only node, or of the given one.
    pub async fn node(&self, given: Option<String>) -> Result<String, Failure> {
        if let Some(name) = given {
            return Ok(name);
        }
        let nodes = self.client.list(&ResourcePath::core("nodes"), &Default::default()).await?;
        let names: Vec<&str> = nodes["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|node| node.pointer("/metadata/name").and_then(Value::as_str))
            .collect();
        match names.as_slice() {
            [only] => Ok((*only).to_owned()),
            [] => Err(Failure::said("the server has no nodes yet")),
            many => Err(Failure::said(format!("there are several nodes; choose one with --node: {}", many.join(", ")))),
        }
    }
}

/// A kubeconfig of this command alone. It goes through a pipe, so that no key comes to a disk.
struct Own(std::io::PipeReader);

impl Own {
    /// `None` where the flags leave the kubeconfig as it is.
    fn new(global: &Global) -> Result<Option<Own>, Failure> {
        let files = [&global.certificate_authority, &global.client_certificate, &global.client_key];
        if files.into_iter().all(Option::is_none) && global.tls_server_name.is_none() {
            return Ok(None);
        }
        let text = kedge_api::yaml::text(&crate::config::adjusted(global)?);
        let fault = |error| Failure::said(format!("cannot hand on the kubeconfig: {error}"));
        let (reader, mut writer) = std::io::pipe().map_err(fault)?;
        // A pipe holds only so much until it is read. What cannot be written is missed by the reader, who tells of it.
        std::thread::spawn(move || drop(writer.write_all(text.as_bytes())));
        Ok(Some(Own(reader)))
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/dev/fd/{}", self.0.as_raw_fd()))
    }
}

/// The longest duration that is taken, in seconds: thirty years.
const LONGEST: u64 = 1_000_000_000;

/// A Go duration such as `1m30s`, as whole seconds.
pub fn seconds(text: &str) -> Result<u64, Failure> {
    Ok(duration(text)?.map_or(0, |d| d.as_secs()))
}

/// A Go duration such as `1m30s`; a plain number counts seconds; `None` for nothing.
pub fn duration(text: &str) -> Result<Option<std::time::Duration>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let invalid = || Failure::said(format!("invalid duration \"{text}\"; write it as in 30s, 5m or 1h30m"));
    if let Ok(seconds) = text.parse::<u64>() {
        // No clock counts further, and adding to one must not fail.
        return if seconds > LONGEST { Err(invalid()) } else { Ok(Some(std::time::Duration::from_secs(seconds))) };
    }
    let (mut total, mut number) = (0.0, String::new());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_ascii_digit() || c == '.' {
            number.push(c);
            continue;
        }
        let value: f64 = number.parse().map_err(|_| invalid())?;
        number.clear();
        total += value
            * match (c, chars.peek()) {
                ('h', _) => 3600.0,
                ('m', Some('s')) => {
                    chars.next();
                    0.001
                }
                ('m', _) => 60.0,
                ('s', _) => 1.0,
                _ => return Err(invalid()),
            };
    }
    if !number.is_empty() || total > LONGEST as f64 {
        return Err(invalid());
    }
    Ok(Some(std::time::Duration::from_secs_f64(total)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn durations_are_read_as_in_go() {
        for (text, expected) in [
            ("30s", Some(Duration::from_secs(30))),
            ("1h30m", Some(Duration::from_secs(5400))),
            ("250ms", Some(Duration::from_millis(250))),
            ("5", Some(Duration::from_secs(5))),
            ("", None),
        ] {
            assert_eq!(duration(text).unwrap(), expected);
        }
        for text in ["x", "5x", "s", "1m3", "99999999999h", "18446744073709551615"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_kubeconfig_of_one_command_is_read() {
        let line = "edgectl get pods -s http://127.0.0.1:7 --tls-server-name=a.lan --kubeconfig=/dev/null -n a";
        let session = Session::open(&crate::args::read(line).unwrap().global, false).await.unwrap();
        assert_eq!((session.url.as_str(), session.namespace.as_str()), ("http://127.0.0.1:7/", "a"));
        let wrong = "edgectl get pods -s http://127.0.0.1:7 --request-timeout=soon";
        assert!(Session::open(&crate::args::read(wrong).unwrap().global, false).await.is_err());
    }
}
