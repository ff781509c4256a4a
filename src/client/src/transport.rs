//! How requests travel: through a service in this process, or by kube-rs over HTTPS.
//!
//! In: requests. Out: answers as they come, or why none came. Never reads a body.
//! The daemon only ever makes the first of the two, so the second, with its kubeconfigs and TLS, is no part of it.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use tower::{BoxError, Service, ServiceExt as _};

/// The body of an answer, piece by piece.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// An answer to come.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

/// Carries a request.
pub trait Transport: Send + Sync {
    /// Sends it.
    fn send(&self, request: Request<Bytes>) -> Answering;
}

/// A service in this process.
pub struct Within<S>(pub S);

impl<S, B> Transport for Within<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn send(&self, request: Request<Bytes>) -> Answering {
        let answer = self.0.clone().oneshot(request.map(Full::new));
        Box::pin(async move {
            let answer = answer.await.map_err(Into::into)?;
            Ok(answer.map(|body| body.map_err(std::io::Error::other).boxed_unsync()))
        })
    }
}

/// kube-rs.
pub struct Kube(pub kube::Client);

impl Transport for Kube {
    fn send(&self, request: Request<Bytes>) -> Answering {
        let client = self.0.clone();
        Box::pin(async move {
            let answer = client.send(request.map(kube::client::Body::from)).await?;
            Ok(answer.map(|body| body.map_err(std::io::Error::other).boxed_unsync()))
        })
    }
}
