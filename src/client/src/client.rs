//! Requests to the API and their answers.
//!
//! In: a transport (an in-process service or HTTPS) and a path. Out: JSON values, bytes or streams.
//! Never retries and never caches.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use serde_json::Value;
use tower::{BoxError, Service};

use crate::options::{DeleteOptions, ListOptions, PatchKind, PatchOptions, WriteOptions};
use crate::transport::{Body, Transport, Within};
use crate::{ClientError, ResourcePath, Result};

/// The largest answer that is held in memory: a list of 110 pods of 64 KiB, with room.
const ANSWER_LIMIT: usize = 64 << 20;

/// An answer's body, piece by piece.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A body, piece by piece.
pub fn pieces(body: Body) -> ByteStream {
    Box::pin(body.into_data_stream().map(|piece| piece.map_err(|e| ClientError::Unreachable(e.into()))))
}

/// Takes the server's warnings.
type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// A handle on the API. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    default_namespace: Arc<str>,
    warned: Option<Tell>,
}

impl Client {
    /// A client over a tower service, e.g. the API server's in-process loopback.
    pub fn from_service<S, B>(service: S, default_namespace: &str) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Client::over(Within(service), default_namespace)
    }

    pub(crate) fn over(transport: impl Transport + 'static, default_namespace: &str) -> Self {
        Client { transport: Arc::new(transport), default_namespace: default_namespace.into(), warned: None }
    }

    /// Tells the server's warnings: deprecated and unknown fields and the like.
    #[must_use]
    pub fn on_warning(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.warned = Some(Arc::new(tell));
        self
    }

    /// The namespace used where none is named.
    pub fn default_namespace(&self) -> &str {
        &self.default_namespace
    }

    /// Sends a request as it is and gives the answer as it is, whatever its code.
    pub async fn pass(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        self.transport.send(request).await.map_err(ClientError::Unreachable)
    }

    /// Sends a request as it is; answers of 400 and above become errors.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        let path = request.uri().path().to_owned();
        let answer = self.pass(request).await?;
        let (head, body) = answer.into_parts();
        self.told(&head.headers);
        let code = head.status.as_u16();
        if code < 400 {
            return Ok(Response::from_parts(head, body));
        }
        let retry_after = head.headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        let body = collect(&path, body).await?;
        Err(ClientError::from_status(code, &body, retry_after))
    }

    /// Hands on what the server warns of.
    fn told(&self, headers: &http::HeaderMap) {
        let Some(tell) = &self.warned else { return };
        let warnings = headers.get_all(header::WARNING).iter();
        warnings.filter_map(|value| warning(value.to_str().ok()?)).for_each(|text| tell(&text));
    }

    /// Sends a request with a body of bytes and gives the whole answer.
    pub async fn call(&self, method: Method, target: &str, media_type: Option<&str>, body: Vec<u8>) -> Result<Bytes> {
        let answer = self.send(request(method, target, media_type, body)?).await?;
        collect(target, answer.into_body()).await
    }

    /// Sends a request as it is and gives the whole answer, of at most `limit` bytes.
    pub async fn fetch(&self, request: Request<Bytes>, limit: usize) -> Result<Bytes> {
        let path = request.uri().path().to_owned();
        collect_within(&path, self.send(request).await?.into_body(), limit).await
    }

    /// Sends a GET and gives the answer piece by piece (logs, watches).
    pub async fn stream(&self, target: &str) -> Result<ByteStream> {
        let answer = self.send(request(Method::GET, target, None, Vec::new())?).await?;
        Ok(pieces(answer.into_body()))
    }

    /// One object.
    pub async fn get(&self, path: &ResourcePath) -> Result<Value> {
        self.json(Method::GET, &path.to_string(), None, Vec::new()).await
    }

    /// One object, or `None` when it is not there.
    pub async fn get_opt(&self, path: &ResourcePath) -> Result<Option<Value>> {
        match self.get(path).await {
            Ok(object) => Ok(Some(object)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// One page of a collection, as the API's list object.
    pub async fn list(&self, path: &ResourcePath, options: &ListOptions) -> Result<Value> {
        self.json(Method::GET, &path.with_query(&options.query()), None, Vec::new()).await
    }

    /// Creates an object and gives it as stored.
    pub async fn create(&self, path: &ResourcePath, object: &Value, options: &WriteOptions) -> Result<Value> {
        self.json(Method::POST, &path.with_query(&options.query()), Some(JSON), encode(object)).await
    }

    /// Replaces an object and gives it as stored.
    pub async fn update(&self, path: &ResourcePath, object: &Value, options: &WriteOptions) -> Result<Value> {
        self.json(Method::PUT, &path.with_query(&options.query()), Some(JSON), encode(object)).await
    }

    /// Patches an object and gives it as stored.
    pub async fn patch(
        &self,
        path: &ResourcePath,
        kind: PatchKind,
        patch: &Value,
        options: &PatchOptions,
    ) -> Result<Value> {
        let target = path.with_query(&options.query());
        self.json(Method::PATCH, &target, Some(kind.media_type()), encode(patch)).await
    }

    /// Deletes an object (or a collection); gives the object or the `Status`.
    pub async fn delete(&self, path: &ResourcePath, options: &DeleteOptions) -> Result<Value> {
        self.json(Method::DELETE, &path.to_string(), Some(JSON), encode(&options.body())).await
    }

    async fn json(&self, method: Method, target: &str, media_type: Option<&str>, body: Vec<u8>) -> Result<Value> {
        let body = self.call(method, target, media_type, body).await?;
        serde_json::from_slice(&body).map_err(|source| ClientError::Decode { path: target.to_owned(), source })
    }
}

const JSON: &str = "application/json";

fn encode(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a JSON value has string keys only, so it encodes")
}

pub(crate) fn request(method: Method, target: &str, media_type: Option<&str>, body: Vec<u8>) -> Result<Request<Bytes>> {
    let mut builder = Request::builder().method(method).uri(target).header(header::ACCEPT, JSON);
    if let Some(media_type) = media_type {
        builder = builder.header(header::CONTENT_TYPE, media_type);
    }
    builder.body(Bytes::from(body)).map_err(|source| ClientError::Request { path: target.to_owned(), source })
}

/// The text of a `Warning: 299 - "text"` header; others are about caches and of no interest.
fn warning(header: &str) -> Option<String> {
    let quoted = header.trim().strip_prefix("299 ")?.split_once(' ')?.1.trim();
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.replace("\\\"", "\"").replace("\\\\", "\\"))
}

async fn collect(path: &str, body: Body) -> Result<Bytes> {
    collect_within(path, body, ANSWER_LIMIT).await
}

async fn collect_within(path: &str, body: Body, limit: usize) -> Result<Bytes> {
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(e) if e.downcast_ref::<LengthLimitError>().is_some() => {
            Err(ClientError::TooLarge { path: path.to_owned(), limit })
        }
        Err(e) => Err(ClientError::Unreachable(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::warning;

    #[track_caller]
    fn check(header: &str, expected: Option<&str>) {
        assert_eq!(warning(header).as_deref(), expected, "{header}");
    }

    #[test]
    fn warnings_are_unquoted() {
        check(r#"299 - "unknown field \"spec.foo\"""#, Some(r#"unknown field "spec.foo""#));
        check(r#"299 kedge "a b""#, Some("a b"));
        check(r#"110 - "Response is Stale""#, None);
        check("299", None);
    }
}
