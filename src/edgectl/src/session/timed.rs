//! Requests that may last only so long.
//!
//! In: a client of kube-rs, a limit. Out: a client whose answers end in time, or with an error that says so. Never tries
//! again.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use kedge_client::Client;
use kedge_client::kube::{self, client::Body};
use tokio::time::{Instant, timeout_at};

type Fault = Box<dyn std::error::Error + Send + Sync>;
type Frames = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Fault>> + Send>>;

/// A client whose requests last at most so long, their answers' bodies included.
pub fn client(kube: kube::Client, limit: Duration, namespace: &str) -> Client {
    let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let kube = kube.clone();
        async move {
            let deadline = Instant::now() + limit;
            let (head, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let sent = kube.send(Request::from_parts(head, Body::from(body.to_bytes())));
            let answer: Response<Body> = timeout_at(deadline, sent).await.map_err(|_| late(limit))??;
            Ok::<_, Fault>(answer.map(|body| until(body, deadline, limit)))
        }
    });
    Client::from_service(service, namespace)
}

fn late(limit: Duration) -> Fault {
    format!("no answer within {limit:?} (--request-timeout)").into()
}

/// A body that ends with an error where it lasts too long.
fn until(body: Body, deadline: Instant, limit: Duration) -> StreamBody<Frames> {
    let pieces = Box::pin(body.into_data_stream());
    let frames = stream::unfold(Some(pieces), move |pieces| async move {
        let mut pieces = pieces?;
        match timeout_at(deadline, pieces.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(Frame::data(piece)), Some(pieces))),
            Ok(Some(Err(fault))) => Some((Err(fault.into()), None)),
            Ok(None) => None,
            Err(_) => Some((Err(late(limit)), None)),
        }
    });
    StreamBody::new(Box::pin(frames))
}

#[cfg(test)]
mod tests {
    use kedge_client::ResourcePath;

    use super::*;

    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let config = kube::Config::new(url.parse().unwrap());
        let kube = kube::Client::try_from(config).unwrap();
        let asked = client(kube, Duration::from_millis(50), "a").get(&ResourcePath::core("pods")).await;
        let fault = asked.unwrap_err().to_string();
        assert!(fault.contains("no answer within 50ms"), "{fault}");
        drop(listener);
    }
}
