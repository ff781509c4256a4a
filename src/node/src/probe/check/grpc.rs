//! Asks a container by the standard gRPC health service, in clear text.
//!
//! In: address and service name. Out: an outcome. The two messages have one field each, so they are written and read
//! here by hand.

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::super::Outcome;
use super::super::target::authority;
use super::{ANSWER, dial};

/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// One check.
pub async fn check(host: &str, port: u16, service: &str) -> Outcome {
    let address = authority(host, port);
    let stream = match TcpStream::connect(&address).await {
        Ok(stream) => stream,
        Err(error) => return Outcome::Failure(dial(&address, &error)),
    };
    match ask(stream, &address, service).await {
        Ok(SERVING) => Outcome::Success,
        Ok(other) => {
            let name = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
            let name = name.get(other as usize).copied().unwrap_or("UNKNOWN");
            Outcome::Failure(format!("service unhealthy (responded with \"{name}\")"))
        }
        Err(cause) => Outcome::Failure(format!("error: health rpc probe failed: {cause}")),
    }
}

async fn ask(stream: TcpStream, address: &str, service: &str) -> Result<u64, String> {
    let say = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(say)?;
    let request = hyper::Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.36")
        .body(Full::new(Bytes::from(frame(&request_message(service)))))
        .map_err(|error| error.to_string())?;
    let exchange = async move {
        let answer = sender.send_request(request).await.map_err(say)?;
        let early = status(answer.headers());
        let body = Limited::new(answer.into_body(), ANSWER).collect().await.map_err(|error| error.to_string())?;
        let late = body.trailers().and_then(status);
        match late.or(early) {
            Some((0, _)) | None => serving(&body.to_bytes()),
            Some((12, _)) => {
                Err("this server does not implement the grpc health protocol (grpc.health.v1.Health)".into())
            }
            Some((code, message)) => Err(format!("rpc error: code = {code} desc = {message}")),
        }
    };
    tokio::pin!(exchange);
    tokio::pin!(connection);
    tokio::select! {
        result = &mut exchange => result,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(say(error)),
        },
    }
}

fn status(headers: &hyper::HeaderMap) -> Option<(u32, String)> {
    let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    let message = headers.get("grpc-message").and_then(|message| message.to_str().ok());
    Some((code, message.unwrap_or_default().to_owned()))
}

/// Field 1: the service name.
fn request_message(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(length as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    message
}

/// Not compressed, with its length.
fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

/// Field 1: the status, absent when 0.
fn serving(body: &[u8]) -> Result<u64, String> {
    let Some(message) = body.get(5..) else {
        return Err("the answer is empty".into());
    };
    match message {
        [] => Ok(0),
        [0x08, status, ..] if *status < 0x80 => Ok(u64::from(*status)),
        _ => Err("the answer is no HealthCheckResponse".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_written_and_read() {
        assert_eq!(frame(&request_message("")), [0, 0, 0, 0, 0]);
        assert_eq!(frame(&request_message("ab")), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(request_message(&"x".repeat(200))[1..3], [0xc8, 1]);
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 1]), Ok(1));
        assert_eq!(serving(&[0, 0, 0, 0, 0]), Ok(0));
        assert!(serving(&[]).is_err());
        assert!(serving(&[0, 0, 0, 0, 1, 9]).is_err());
    }
}
