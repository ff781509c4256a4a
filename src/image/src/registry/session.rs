//! One repository of one registry, asked with one credential.
//!
//! In: tags and digests. Out: manifests, documents, streams of blobs from any place.
//! Never sends credentials to another host than the one that asked for them.

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, RANGE, RETRY_AFTER, USER_AGENT,
    WWW_AUTHENTICATE,
};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::RegistryError;
use super::challenge::{self, Challenge, encode};
use super::config::{Endpoint, Registries};
use super::http::Http;
use super::keys::Credential;
use crate::digest::Digest;
use crate::manifest::{self, MAX_DOCUMENT};

/// Registries send blobs to one or two other hosts.
const MAX_REDIRECTS: usize = 5;
/// A token is a few kilobytes.
const MAX_TOKEN: u64 = 256 * 1024;
/// An error is a sentence.
const MAX_REFUSAL: u64 = 16 * 1024;
/// Longest text of a registry that is shown.
const MAX_SHOWN: usize = 300;

/// Opens HTTP for the registries of one pull.
pub fn open(registries: &Registries) -> Result<Connection, RegistryError> {
    Ok(Connection { http: Http::new(registries)? })
}

/// Connections, shared by the sessions of one pull.
pub struct Connection {
    http: Http,
}

/// A repository that is asked.
pub struct Session<'a> {
    connection: &'a Connection,
    endpoint: Endpoint,
    repository: String,
    /// The registry's name as images write it, if it is not the endpoint's: mirrors want to know.
    namespace: Option<String>,
    credential: Credential,
    authorization: Mutex<Option<HeaderValue>>,
}

/// The start of a blob's stream.
pub struct Blob<'a> {
    http: &'a Http,
    host: String,
    body: Incoming,
    /// The place from which the stream starts: what was asked for, or 0.
    pub from: u64,
}

impl Blob<'_> {
    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        self.http.next(&self.host, &mut self.body).await
    }
}

impl<'a> Session<'a> {
    /// Prepares to ask; sends nothing yet.
    pub fn new(
        connection: &'a Connection,
        endpoint: Endpoint,
        registry: &str,
        repository: &str,
        credential: Credential,
    ) -> Self {
        let own =
            registry == endpoint.authority || (registry == "docker.io" && endpoint.authority == "registry-1.docker.io");
        let namespace = (!own).then(|| registry.to_owned());
        Self {
            connection,
            endpoint,
            repository: repository.to_owned(),
            namespace,
            credential,
            authorization: Mutex::new(None),
        }
    }

    /// Whom this session asks.
    pub fn host(&self) -> &str {
        &self.endpoint.authority
    }

    /// The credential that the registry asked for and took.
    pub async fn proof(&self) -> Option<Credential> {
        let asked = self.authorization.lock().await.is_some();
        (asked && self.credential != Credential::Anonymous).then(|| self.credential.clone())
    }

    /// A manifest or an index by tag or digest, with the digest of what came.
    pub async fn manifest(&self, wanted: &str) -> Result<(Vec<u8>, Digest), RegistryError> {
        let answer = self.get("manifests", wanted, Some(manifest::ACCEPT), 0).await?;
        let claimed = answer
            .headers()
            .get("docker-content-digest")
            .and_then(|v| v.to_str().ok())
            .and_then(|v| Digest::parse(v).ok());
        let bytes = self.connection.http.document(self.host(), answer.into_body(), MAX_DOCUMENT).await?;
        let got = Digest::of(&bytes);
        match Digest::parse(wanted).ok().or(claimed) {
            Some(wanted) if wanted != got => Err(RegistryError::Digest { host: self.host().to_owned(), wanted, got }),
            _ => Ok((bytes, got)),
        }
    }

    /// A small blob, checked.
    pub async fn document(&self, wanted: &Digest) -> Result<Vec<u8>, RegistryError> {
        let answer = self.get("blobs", wanted.as_str(), None, 0).await?;
        let bytes = self.connection.http.document(self.host(), answer.into_body(), MAX_DOCUMENT).await?;
        let got = Digest::of(&bytes);
        if got == *wanted {
            Ok(bytes)
        } else {
            Err(RegistryError::Digest { host: self.host().to_owned(), wanted: wanted.clone(), got })
        }
    }

    /// A blob's stream, from a place on if the registry can do that. The caller checks its digest.
    pub async fn blob(&self, wanted: &Digest, from: u64) -> Result<Blob<'a>, RegistryError> {
        let answer = self.get("blobs", wanted.as_str(), None, from).await?;
        let start = |v: &HeaderValue| v.to_str().ok()?.strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok();
        let from = match answer.status() {
            StatusCode::PARTIAL_CONTENT => match answer.headers().get(CONTENT_RANGE).and_then(start) {
                Some(start) if start == from => from,
                _ => return Err(self.garbage("a part of a blob that was not asked for".into())),
            },
            _ => 0,
        };
        Ok(Blob { http: &self.connection.http, host: self.host().to_owned(), body: answer.into_body(), from })
    }

    async fn get(
        &self,
        kind: &str,
        wanted: &str,
        accept: Option<&str>,
        from: u64,
    ) -> Result<Response<Incoming>, RegistryError> {
        let Endpoint { scheme, authority, prefix } = &self.endpoint;
        let namespace = self.namespace.as_ref().map_or_else(String::new, |ns| format!("?ns={}", encode(ns)));
        let start = format!("{scheme}://{authority}{prefix}/v2/{}/{kind}/{wanted}{namespace}", self.repository);
        let mut uri: Uri = start.parse().map_err(|_| RegistryError::Setting(format!("{start:?} is not an address")))?;
        let (mut own, mut authenticated) = (true, false);
        for _ in 0..=MAX_REDIRECTS + 1 {
            let mut request = Request::get(uri.clone()).header(USER_AGENT, AGENT);
            if let Some(accept) = accept {
                request = request.header(ACCEPT, accept);
            }
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            if own && let Some(authorization) = &*self.authorization.lock().await {
                request = request.header(AUTHORIZATION, authorization);
            }
            let answer = self.connection.http.send(self.build(request, Bytes::new())?).await?;
            match answer.status() {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => return Ok(answer),
                status if status.is_redirection() => {
                    let next = self.redirected(&uri, &answer)?;
                    own = own && next.authority() == uri.authority();
                    uri = next;
                }
                StatusCode::UNAUTHORIZED if own && !authenticated => {
                    authenticated = true;
                    self.authenticate(&answer).await?;
                }
                _ => return Err(self.refusal(answer, wanted).await),
            }
        }
        Err(self.garbage(format!("more than {MAX_REDIRECTS} redirects")))
    }

    fn redirected(&self, from: &Uri, answer: &Response<Incoming>) -> Result<Uri, RegistryError> {
        let location = answer.headers().get(LOCATION).and_then(|v| v.to_str().ok()).unwrap_or("");
        let (scheme, authority) = (from.scheme_str().unwrap_or("https"), from.authority().map_or("", |a| a.as_str()));
        let whole = if location.starts_with('/') && !location.starts_with("//") {
            format!("{scheme}://{authority}{location}")
        } else {
            location.to_owned()
        };
        let next: Uri = whole.parse().map_err(|_| self.garbage(format!("a redirect to {:?}", shown(location))))?;
        match (scheme, next.scheme_str()) {
            (_, Some("https")) | ("http", Some("http")) => Ok(next),
            ("https", Some("http")) => Err(self.garbage("a redirect from https to http".into())),
            _ => Err(self.garbage(format!("a redirect to {:?}", shown(location)))),
        }
    }

    /// Meets the registry's challenge and keeps the proof for later requests.
    async fn authenticate(&self, answer: &Response<Incoming>) -> Result<(), RegistryError> {
        let values = answer.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|v| v.to_str().ok());
        let denied = |reason: &str| RegistryError::Denied { host: self.host().to_owned(), reason: reason.to_owned() };
        let proof = match (challenge::parse(values), &self.credential) {
            (None, _) => return Err(denied("it does not say which credentials it wants")),
            (_, Credential::Access(token)) => format!("Bearer {token}"),
            (Some(Challenge::Basic), Credential::Basic { user, password }) => basic(user, password),
            (Some(Challenge::Basic), _) => return Err(denied("it wants a user name and a password")),
            (Some(Challenge::Bearer { realm, service, scope }), _) => {
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.repository));
                format!("Bearer {}", self.token(&realm, service.as_deref(), &scope).await?)
            }
        };
        let mut value =
            HeaderValue::from_str(&proof).map_err(|_| denied("the credentials have characters that cannot be sent"))?;
        value.set_sensitive(true);
        *self.authorization.lock().await = Some(value);
        Ok(())
    }

    async fn token(&self, realm: &str, service: Option<&str>, scope: &str) -> Result<String, RegistryError> {
        #[derive(Deserialize)]
        struct Token {
            #[serde(default)]
            token: String,
            #[serde(default)]
            access_token: String,
        }
        let mut query = format!("scope={}", encode(scope));
        if let Some(service) = service {
            query = format!("service={}&{query}", encode(service));
        }
        let base: Uri = realm.parse().map_err(|_| self.garbage(format!("a token service at {:?}", shown(realm))))?;
        let secure = base.scheme_str() == Some("https");
        if !secure && (base.scheme_str() != Some("http") || self.endpoint.scheme == "https") {
            return Err(self.garbage(format!("a token service at {:?}, which is not https", shown(realm))));
        }
        let request = match &self.credential {
            Credential::Identity(identity) => {
                let body =
                    format!("grant_type=refresh_token&client_id=kedge&refresh_token={}&{query}", encode(identity));
                let request = Request::post(base).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
                self.build(request, body.into())?
            }
            credential => {
                let join = if realm.contains('?') { '&' } else { '?' };
                let mut request = Request::builder().method(Method::GET).uri(format!("{realm}{join}{query}"));
                if let Credential::Basic { user, password } = credential {
                    request = request.header(AUTHORIZATION, basic(user, password));
                }
                self.build(request, Bytes::new())?
            }
        };
        let answer = self.connection.http.send(request).await?;
        if !answer.status().is_success() {
            return Err(self.refusal(answer, "token").await);
        }
        let bytes = self.connection.http.document(self.host(), answer.into_body(), MAX_TOKEN).await?;
        let token: Token =
            serde_json::from_slice(&bytes).map_err(|e| self.garbage(format!("a token that cannot be read: {e}")))?;
        match (token.token, token.access_token) {
            (token, _) if !token.is_empty() => Ok(token),
            (_, token) if !token.is_empty() => Ok(token),
            _ => Err(self.garbage("an empty token".into())),
        }
    }

    fn build(&self, request: http::request::Builder, body: Bytes) -> Result<Request<Full<Bytes>>, RegistryError> {
        request.body(Full::new(body)).map_err(|e| self.garbage(format!("an address that cannot be asked: {e}")))
    }

    /// What an answer other than success means.
    async fn refusal(&self, answer: Response<Incoming>, what: &str) -> RegistryError {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<Reason>,
        }
        #[derive(Deserialize)]
        struct Reason {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let host = self.host().to_owned();
        let status = answer.status();
        let retry_after = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|v| v.to_str().ok()?.parse().ok())
            .map(std::time::Duration::from_secs);
        // Whatever the body is, the status alone is enough to go on.
        let body = self.connection.http.document(&host, answer.into_body(), MAX_REFUSAL).await.unwrap_or_default();
        let reason = serde_json::from_slice::<Errors>(&body).ok().and_then(|e| e.errors.into_iter().next());
        let reason = reason.map(|r| if r.message.is_empty() { r.code } else { r.message });
        let reason = shown(&reason.unwrap_or_default());
        match status {
            StatusCode::NOT_FOUND => {
                let colon = if what.contains(':') { "@" } else { ":" };
                RegistryError::NotFound { host, what: format!("{}{colon}{what}", self.repository) }
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Denied { host, reason },
            _ => RegistryError::Status { host, status, reason, retry_after },
        }
    }

    fn garbage(&self, reason: String) -> RegistryError {
        RegistryError::Garbage { host: self.host().to_owned(), reason }
    }
}

const AGENT: &str = concat!("kedge/", env!("CARGO_PKG_VERSION"));

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Text of a stranger, made fit to be shown.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect()
}
