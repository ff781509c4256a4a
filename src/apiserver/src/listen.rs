//! Connections: TCP in, TLS, HTTP/1.1 and HTTP/2.
//!
//! In: a listener. Out: requests for the chain, each with what its connection showed. Connections
//! that have not asked anything yet are held in a short queue from which the oldest is dropped
//! when a new one needs room, so thousands of idle ones keep nobody out.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::authn::Shown;
use crate::chain::{self, Origin};
use crate::core::Core;
use crate::gate::Counted;
use crate::tls::client::ClientCertificates;

/// Streams of one HTTP/2 connection, as Go's server allows.
const STREAMS: u32 = 250;
/// A request's head is at most this: many times what a client with a long token sends.
const HEAD_BYTES: usize = 64 * 1024;
/// Requests under way have this long to end when the server stops.
const FAREWELL: Duration = Duration::from_secs(5);
/// When descriptors run out, accepting rests this long; each round also drops an idle connection.
const BREATH: Duration = Duration::from_millis(100);

/// Whose connection a request came on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub IpAddr);

/// A connection that may not have asked anything yet.
struct Pending {
    asked: Arc<AtomicBool>,
    task: AbortHandle,
}

/// Serves connections until told to stop.
pub async fn serve(
    core: Arc<Core>,
    listener: std::net::TcpListener,
    tls: TlsAcceptor,
    certificates: ClientCertificates,
    shutdown: CancellationToken,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let graceful = GracefulShutdown::new();
    let mut pending: VecDeque<Pending> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_about_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                drop_oldest(&mut pending, 0);
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        drop_oldest(&mut pending, core.config.limits.half_open.saturating_sub(1));
        let open = core.metrics.connections.load(Ordering::Relaxed);
        if open >= i64::try_from(core.config.limits.connections).unwrap_or(i64::MAX) {
            // The queue's oldest makes room for the next one; this one is turned away.
            drop_oldest(&mut pending, 0);
            continue;
        }
        let asked = Arc::new(AtomicBool::new(false));
        let watcher = graceful.watcher();
        let (core_of, tls, certificates, asked_of) = (core.clone(), tls.clone(), certificates.clone(), asked.clone());
        let task = core.tasks.spawn(async move {
            connection(core_of, stream, tls, certificates, asked_of, watcher).await;
        });
        pending.push_back(Pending { asked, task: task.abort_handle() });
    }
    drop(listener);
    // Who has not asked anything yet has nothing to wait for.
    pending.iter().filter(|p| !p.asked.load(Ordering::Relaxed)).for_each(|p| p.task.abort());
    // Watches and streams end by the token, requests by themselves.
    core.stop.cancel();
    if tokio::time::timeout(FAREWELL, graceful.shutdown()).await.is_err() {
        tracing::info!("some connections did not end in time");
    }
    Ok(())
}

/// Drops idle connections, oldest first, until at most `room` are left in the queue.
fn drop_oldest(pending: &mut VecDeque<Pending>, room: usize) {
    if pending.len() > room {
        pending.retain(|p| !p.asked.load(Ordering::Relaxed) && !p.task.is_finished());
    }
    while pending.len() > room {
        if let Some(oldest) = pending.pop_front() {
            oldest.task.abort();
        }
        if room == 0 {
            return; // One is enough.
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

async fn connection(
    core: Arc<Core>,
    stream: TcpStream,
    tls: TlsAcceptor,
    certificates: ClientCertificates,
    asked: Arc<AtomicBool>,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let _counted = Counted::up(&core.metrics.connections);
    // Answers are small and wanted at once; coalescing is done above.
    let _ = stream.set_nodelay(true);
    let peer = stream.peer_addr().ok().map(|address| Peer(address.ip().to_canonical()));
    let head = core.config.limits.head;
    let stream = match tokio::time::timeout(head, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            return;
        }
        Err(_) => return,
    };
    let shown = match stream.get_ref().1.peer_certificates() {
        None | Some([]) => Shown::Nothing,
        Some(chain) => certificates.shown(chain, core.clock.now()),
    };
    let service = {
        let core = core.clone();
        tower::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
            asked.store(true, Ordering::Relaxed);
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            let (core, origin) = (core.clone(), Origin::Connection(shown.clone()));
            async move { Ok::<_, std::convert::Infallible>(chain::handle(core, origin, request.map(Body::new)).await) }
        })
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE.max(head))
        .max_buf_size(HEAD_BYTES)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES as u32);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    if let Err(error) = watcher.watch(serving.into_owned()).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// How long a request's head may take over HTTP/1.1, and how long a connection stays open between
/// two requests: hyper has one clock for both.
const IDLE: Duration = Duration::from_secs(60);
