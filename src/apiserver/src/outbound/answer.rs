//! Answers: read whole within a bound, or piece by piece by the caller.
//!
//! In: a response on a connection. Out: its bytes; the connection goes back to the pool when the
//! last of them was read, and is closed when they were not.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::fault::{self, Fault};
use super::pool::{Connection, Pool};

/// A body that gives its connection back at its end.
pub struct Returned {
    body: Incoming,
    connection: Option<(Connection, Arc<Pool>)>,
}

/// The response with such a body.
pub fn returning((response, connection): (Response<Incoming>, Connection), pool: Arc<Pool>) -> Response<Returned> {
    let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    response.map(|body| {
        let mut body = Returned { body, connection: (!upgraded).then_some((connection, pool)) };
        if body.body.is_end_stream() {
            body.give_back();
        }
        body
    })
}

impl Returned {
    fn give_back(&mut self) {
        if let Some((connection, pool)) = self.connection.take() {
            pool.keep(connection);
        }
    }
}

impl http_body::Body for Returned {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(None) => self.give_back(),
            Poll::Ready(Some(Err(_))) => self.connection = None,
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A whole answer of a success.
#[derive(Debug, Clone)]
pub struct Collected {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Reads a whole answer of at most `limit` bytes; one that is no success is a fault.
pub async fn collect(response: Response<Returned>, limit: usize) -> Result<Collected, Fault> {
    let (head, mut body) = response.into_parts();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Fault::transport(&error))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > limit {
                return Err(Fault::TooLarge(limit));
            }
            bytes.extend_from_slice(&data);
        }
    }
    let code = head.status.as_u16();
    if !(200..=206).contains(&code) && code != 304 {
        let kind = head.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        return Err(fault::refusal(code, kind.is_none_or(|kind| kind.starts_with("text/")), &bytes));
    }
    Ok(Collected { headers: head.headers, body: bytes.freeze() })
}
