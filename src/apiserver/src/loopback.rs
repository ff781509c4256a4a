//! The API without a socket: a tower service that acts as somebody.
//!
//! In: HTTP requests. Out: the answers a connection would get, by the same chain but for TLS and
//! authentication. So nobody inside the daemon skips authorization or admission.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};

use crate::chain::{self, Origin};
use crate::core::Core;
use crate::identity::Identity;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Loopback {
    pub(crate) core: Arc<Core>,
    pub(crate) who: Arc<Identity>,
}

impl std::fmt::Debug for Loopback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Loopback({})", self.who.name)
    }
}

impl<B> tower::Service<Request<B>> for Loopback
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let core = self.core.clone();
        let origin = Origin::Loopback(self.who.clone());
        Box::pin(async move { Ok(chain::handle(core, origin, request.map(Body::new)).await) })
    }
}
