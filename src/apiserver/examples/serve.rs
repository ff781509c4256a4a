//! The API server by itself, for trying it with kubectl: no node, no scheduler, no controllers.
//!
//! `cargo run -p kedge-apiserver --example serve -- DIR [PORT]`, then
//! `kubectl --kubeconfig DIR/admin.kubeconfig get ns`.

use std::net::{IpAddr, Ipv4Addr};

use kedge_apiserver::{ApiServer, Config, Parts};
use kedge_store::{Options, Store};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).init();
    let mut args = std::env::args().skip(1);
    let dir = std::path::PathBuf::from(args.next().ok_or("usage: serve DIR [PORT]")?);
    let port = args.next().map_or(Ok(6443), |p| p.parse())?;
    std::fs::create_dir_all(&dir)?;
    let started = std::time::Instant::now();
    let store = Store::open(Options::new(dir.join("store")))?;
    let config = Config { data_dir: dir, port, advertise: IpAddr::V4(Ipv4Addr::LOCALHOST), ..Config::default() };
    let api = ApiServer::open(config, store, Parts::default()).await?;
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("ready after {:?}", started.elapsed());
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        stop.cancel();
    });
    api.serve(listener, shutdown).await?;
    api.close().await;
    Ok(())
}
