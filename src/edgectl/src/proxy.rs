//! `proxy`: the API on a port of this machine, without credentials.
//!
//! In: HTTP requests of local programs. Out: the API server's answers, as they come. By default only requests to a local
//! host name pass, and none that enters a container, so that no page in a browser can do so. Runs until it is
//! interrupted.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;

use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kedge_client::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use crate::args::Proxy;
use crate::error::Failure;
use crate::session::Session;

/// Connections at once.
const CONNECTIONS: usize = 256;
/// The largest body: what the API takes, with room.
const BODY: usize = 4 << 20;

/// Runs the verb.
pub async fn run(session: Session, args: Proxy) -> Result<ExitCode, Failure> {
    let prefix = format!("/{}/", args.api_prefix.trim_matches('/')).replace("//", "/");
    let gate = Arc::new(Gate { session, prefix, filter: !args.disable_filter });
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    if args.disable_filter {
        eprintln!("Request filter disabled, your proxy is vulnerable to XSRF attacks, please be cautious");
    }
    let place = match &args.unix_socket {
        Some(path) => path.display().to_string(),
        None => std::net::SocketAddr::new(args.address, args.port).to_string(),
    };
    let failed = |e: std::io::Error| Failure::said(format!("cannot listen on {place}: {e}"));
    let serving = async {
        match &args.unix_socket {
            Some(path) => {
                let listener = UnixListener::bind(path).map_err(failed)?;
                println!("Starting to serve on {}", path.display());
                loop {
                    let (stream, _) = listener.accept().await.map_err(failed)?;
                    serve(&gate, &room, stream).await;
                }
            }
            None => {
                let listener = TcpListener::bind((args.address, args.port)).await.map_err(failed)?;
                println!("Starting to serve on {}", listener.local_addr().map_err(failed)?);
                loop {
                    let (stream, _) = listener.accept().await.map_err(failed)?;
                    serve(&gate, &room, stream).await;
                }
            }
        }
    };
    let outcome = tokio::select! {
        outcome = serving => outcome,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
    };
    if let Some(path) = &args.unix_socket {
        let _ = std::fs::remove_file(path);
    }
    outcome
}

async fn serve(gate: &Arc<Gate>, room: &Arc<Semaphore>, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
    let Ok(permit) = room.clone().acquire_owned().await else { return };
    let gate = gate.clone();
    tokio::spawn(async move {
        let service = service_fn(|request| {
            let gate = gate.clone();
            async move { Ok::<_, Infallible>(gate.answer(request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        // A client that is gone needs no word.
        let _ = connection.await;
        drop(permit);
    });
}

struct Gate {
    session: Session,
    prefix: String,
    filter: bool,
}

impl Gate {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let host = request.headers().get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or("");
        if self.filter && !passes(host, request.uri().path()) {
            return text(StatusCode::FORBIDDEN, "Forbidden");
        }
        let target = match request.uri().path().strip_prefix(&self.prefix) {
            Some(rest) => match request.uri().query() {
                Some(query) => format!("/{rest}?{query}"),
                None => format!("/{rest}"),
            },
            None => return text(StatusCode::NOT_FOUND, "404 page not found"),
        };
        let (mut head, sent) = request.into_parts();
        let Ok(uri) = target.parse() else { return text(StatusCode::BAD_REQUEST, "Bad Request") };
        head.uri = uri;
        for name in
            [header::HOST, header::CONNECTION, header::UPGRADE, header::AUTHORIZATION, header::TRANSFER_ENCODING]
        {
            head.headers.remove(name);
        }
        let sent = match Limited::new(sent, BODY).collect().await {
            Ok(whole) => whole.to_bytes(),
            Err(fault) if fault.is::<LengthLimitError>() => {
                return text(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
            }
            Err(_) => return text(StatusCode::BAD_REQUEST, "Bad Request"),
        };
        let request = Request::from_parts(head, sent);
        match self.session.client.pass(request).await {
            Ok(mut response) => {
                for name in [header::CONNECTION, header::TRANSFER_ENCODING] {
                    response.headers_mut().remove(name);
                }
                response
            }
            Err(error) => text(StatusCode::BAD_GATEWAY, &error.to_string()),
        }
    }
}

/// Whether a request may pass: to a name of this machine, and not into a container.
fn passes(host: &str, path: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    let enters = path.starts_with("/api/")
        && path.split("/pods/").nth(1).is_some_and(|rest| rest.contains("/exec") || rest.contains("/attach"));
    matches!(name, "localhost" | "127.0.0.1" | "::1") && !enters
}

fn text(code: StatusCode, words: &str) -> Response<Body> {
    let mut response = Response::new(Full::from(format!("{words}\n")).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = code;
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn flags_open_the_gate_and_move_it() {
        for (prefix, filter, host, path, code, asked) in [
            ("/", true, "localhost", "/api/v1/pods?limit=1", 200, Some("GET /api/v1/pods?limit=1")),
            ("/", true, "example.org", "/api/v1/pods", 403, None),
            ("/", false, "example.org", "/api/v1/pods", 200, Some("GET /api/v1/pods")),
            ("/k8s/", true, "localhost", "/k8s/api/v1/pods", 200, Some("GET /api/v1/pods")),
            ("/k8s/", true, "localhost", "/api/v1/pods", 404, None),
        ] {
            let (session, log) = crate::fake::session(|_| (200, serde_json::json!({})));
            let gate = Arc::new(Gate { session, prefix: prefix.to_owned(), filter });
            let (mut near, far) = tokio::io::duplex(4096);
            serve(&gate, &Arc::new(Semaphore::new(1)), far).await;
            let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            near.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            near.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{prefix} {host} {path}: {answer}");
            assert_eq!(log.lines().first().map(String::as_str), asked, "{prefix} {host} {path}");
        }
    }

    #[test]
    fn only_local_names_pass_and_none_into_a_container() {
        for (host, path, expected) in [
            ("localhost:8001", "/api/v1/pods", true),
            ("127.0.0.1", "/", true),
            ("[::1]:8001", "/version", true),
            ("example.org", "/api", false),
            ("localhost.example.org", "/api", false),
            ("localhost", "/api/v1/namespaces/a/pods/b/exec", false),
            ("localhost", "/api/v1/namespaces/a/pods/b/attach", false),
            ("localhost", "/api/v1/namespaces/a/pods/b/log", true),
        ] {
            assert_eq!(passes(host, path), expected, "{host} {path}");
        }
    }
}
