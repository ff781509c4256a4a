//! Where to call and as whom, as a kubeconfig says it.
//!
//! In: a `clientConfig`, or a file in kubeconfig's form. Out: an [`Endpoint`]. Plug-ins that fetch
//! credentials are refused: nothing is run.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use kedge_api::meta;
use serde_json::Value;

use super::Outbound;
use super::target::Target;
use super::trust::{Roots, Tls, Trust};

/// Where to call and as whom.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where to.
    pub target: Target,
    /// Whom to believe, and the certificate to show.
    pub tls: Tls,
    /// The `Authorization` header.
    pub authorization: Option<HeaderValue>,
}

/// Why a kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// A file cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It says something that cannot be used.
    #[error("{path} was not accepted: {fault}", path = path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
}

impl Endpoint {
    /// The endpoint that a `clientConfig` of a webhook names.
    pub fn of_client_config(config: &Value, outbound: &Outbound) -> Result<Endpoint, String> {
        let target = Target::of_client_config(config)?;
        let roots = match meta::text(config, "caBundle") {
            "" => Roots::System,
            bundle => Roots::Bundle(STANDARD.decode(bundle).map_err(|e| format!("caBundle: {e}"))?),
        };
        let tls = outbound.tls(&Trust { roots, client: None })?;
        Ok(Endpoint { target, tls, authorization: None })
    }

    /// The endpoint of the current context of a kubeconfig.
    pub fn of_kubeconfig(path: &Path, outbound: &Outbound) -> Result<Endpoint, EndpointError> {
        let text = read(path)?;
        let refuse = |fault: String| EndpointError::Content { path: path.to_owned(), fault };
        let text = String::from_utf8(text).map_err(|e| refuse(e.to_string()))?;
        let config = kedge_api::decode::settings(&text).map_err(refuse)?;
        let (cluster, user) = current(&config).map_err(refuse)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for key in ["exec", "auth-provider"] {
            if user.get(key).is_some_and(|v| !v.is_null()) {
                return Err(refuse(format!("users.user.{key} is not supported: give a token or a certificate")));
            }
        }
        // A number or a truth is nobody's name: it needs quotes.
        for key in ["token", "tokenFile", "username", "password"] {
            if user.get(key).is_some_and(|said| !said.is_null() && !said.is_string()) {
                return Err(refuse(format!("users.user.{key}: must be a text")));
            }
        }
        if !meta::text(cluster, "proxy-url").is_empty() {
            return Err(refuse("clusters.cluster.proxy-url is not supported".to_owned()));
        }
        let server = meta::text(cluster, "server");
        let target = Target::of_url(server).map_err(|e| refuse(format!("clusters.cluster.server: {e}")))?;
        let roots = if meta::bool_at(cluster, &["insecure-skip-tls-verify"]) {
            Roots::Anybody
        } else {
            material(cluster, "certificate-authority", folder, path)?.map_or(Roots::System, Roots::Bundle)
        };
        let certificate = material(user, "client-certificate", folder, path)?;
        let key = material(user, "client-key", folder, path)?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|e| refuse(e.to_string()));
        let client = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((text(certificate)?, text(key)?)),
            (None, None) => None,
            _ => return Err(refuse("a client certificate and its key belong together".to_owned())),
        };
        let tls = outbound.tls(&Trust { roots, client }).map_err(refuse)?;
        let authorization = authorization(user, folder)?
            .map(|value| {
                let mut value = HeaderValue::from_str(&value).map_err(|e| refuse(format!("users.user: {e}")))?;
                value.set_sensitive(true);
                Ok(value)
            })
            .transpose()?;
        Ok(Endpoint { target: target.named(meta::text(cluster, "tls-server-name")), tls, authorization })
    }

    /// Says who we are, unless the request does.
    pub fn authorize(&self, headers: &mut HeaderMap) {
        if let Some(value) = &self.authorization {
            headers.entry(header::AUTHORIZATION).or_insert_with(|| value.clone());
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, EndpointError> {
    std::fs::read(path).map_err(|source| EndpointError::Read { path: path.to_owned(), source })
}

/// Cluster and user of the current context.
fn current(config: &Value) -> Result<(&Value, &Value), String> {
    let named = |list: &str, name: &str, key: &str| {
        meta::list_at(config, &[list]).iter().find(|one| meta::text(one, "name") == name).and_then(|one| one.get(key))
    };
    let context = meta::text(config, "current-context");
    let found = named("contexts", context, "context").ok_or_else(|| format!("it has no context {context:?}"))?;
    let (cluster, user) = (meta::text(found, "cluster"), meta::text(found, "user"));
    let cluster = named("clusters", cluster, "cluster").ok_or_else(|| format!("it has no cluster {cluster:?}"))?;
    let nobody = &Value::Null;
    let user = match user {
        "" => nobody,
        user => named("users", user, "user").ok_or_else(|| format!("it has no user {user:?}"))?,
    };
    Ok((cluster, user))
}

/// What is given inline under `key-data`, or in the file that `key` names, relative to the kubeconfig.
fn material(of: &Value, key: &str, folder: &Path, path: &Path) -> Result<Option<Vec<u8>>, EndpointError> {
    let (inline, file) = (meta::text(of, &format!("{key}-data")), meta::text(of, key));
    if !inline.is_empty() {
        let decoded = STANDARD.decode(inline.trim());
        let refuse = |e| EndpointError::Content { path: path.to_owned(), fault: format!("{key}-data: {e}") };
        return decoded.map(Some).map_err(refuse);
    }
    if file.is_empty() { Ok(None) } else { read(&folder.join(file)).map(Some) }
}

fn authorization(user: &Value, folder: &Path) -> Result<Option<String>, EndpointError> {
    let (token, file, name) = (meta::text(user, "token"), meta::text(user, "tokenFile"), meta::text(user, "username"));
    if !token.is_empty() {
        return Ok(Some(format!("Bearer {token}")));
    }
    if !file.is_empty() {
        let bytes = read(&folder.join(file))?;
        return Ok(Some(format!("Bearer {}", String::from_utf8_lossy(&bytes).trim())));
    }
    if name.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!("Basic {}", STANDARD.encode(format!("{name}:{}", meta::text(user, "password"))))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::random::Random;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    /// `expected`: "place authorization", or a part of the fault.
    #[track_caller]
    fn check(cluster: &str, user: &str, expected: Result<&str, &str>) {
        let dir = tempfile::tempdir().unwrap();
        let store = kedge_store::Store::open(kedge_store::Options::new(dir.path().join("store"))).unwrap();
        let store = crate::vault::Vault::new(store, Default::default());
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let outbound = Outbound::new(store, Clock::system(), Random::system(), stop, tasks);
        std::fs::write(dir.path().join("token"), "t0ken\n").unwrap();
        let text = format!(
            "current-context: c\ncontexts: [{{name: c, context: {{cluster: a, user: b}}}}]\n\
             clusters: [{{name: a, cluster: {cluster}}}]\nusers: [{{name: b, user: {user}}}]\n"
        );
        let path = dir.path().join("config");
        std::fs::write(&path, text).unwrap();
        match (Endpoint::of_kubeconfig(&path, &outbound), expected) {
            (Ok(endpoint), Ok(expected)) => {
                let said = endpoint.authorization.as_ref().map_or("-", |v| v.to_str().unwrap());
                assert_eq!(format!("{} {said}", endpoint.target.place), expected);
            }
            (Err(fault), Err(expected)) => assert!(fault.to_string().contains(expected), "{fault}"),
            (seen, expected) => panic!("{seen:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn a_kubeconfig_names_server_and_credentials() {
        let any = "{server: 'https://h:1/x', insecure-skip-tls-verify: true}";
        check(any, "{token: abc}", Ok("h:1 Bearer abc"));
        check(any, "{tokenFile: token}", Ok("h:1 Bearer t0ken"));
        check(any, "{username: a, password: b}", Ok("h:1 Basic YTpi"));
        check(any, "{}", Ok("h:1 -"));
        // As everywhere in Kubernetes.
        check("{server: 'https://h:1', insecure-skip-tls-verify: yes, certificate-authority: gone}", "{}", Ok("h:1 -"));
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let any = "{server: 'https://h:1', insecure-skip-tls-verify: true}";
        check(any, "{exec: {command: x}}", Err("users.user.exec is not supported"));
        check(any, "{client-certificate-data: YQ==}", Err("belong together"));
        check(any, "{token: 0123}", Err("users.user.token: must be a text"));
        check(any, "{username: no, password: b}", Err("users.user.username: must be a text"));
        check(any, "{username: a, username: b}", Err("is given twice"));
        check(any, "{tokenFile: gone}", Err("cannot read"));
        check("{server: 'http://h'}", "{}", Err("does not begin with https://"));
        check("{server: 'https://h', certificate-authority-data: YQ==}", "{}", Err("unable to load root certificates"));
    }
}
