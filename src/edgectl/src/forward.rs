//! `port-forward`: ports of this machine that lead to ports of a pod.
//!
//! In: a target, pairs of ports. Out: listeners, and one WebSocket for each connection. Runs until it is interrupted.
//! Never interprets the bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use kedge_client::ResourcePath;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use crate::args::PortForward;
use crate::error::Failure;
use crate::logs::pod_of;
use crate::remote;
use crate::session::Session;

/// Connections at once, as browsers open dozens: each is a WebSocket with a TLS session of some 30 KiB.
const CONNECTIONS: usize = 128;
/// Bytes of one message.
const PIECE: usize = 16 << 10;
/// Channels of the one port of each WebSocket.
const BYTES: u8 = 0;
const ERRORS: u8 = 1;

/// A local port (0 is any) and the pod's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    local: u16,
    remote: u16,
}

/// Runs the verb.
pub async fn run(session: Session, args: PortForward) -> Result<ExitCode, Failure> {
    let service = service(&session, &args.target).await?;
    let pod = pod_of(&session, &args.target).await?;
    let pairs = args.ports.iter().map(|text| pair(text, service.as_ref(), &pod));
    let pairs = pairs.collect::<Result<Vec<Pair>, Failure>>()?;
    let status = pod["status"]["phase"].as_str().unwrap_or("");
    if status != "Running" {
        return Err(Failure::said(format!(
            "unable to forward port because pod is not running. Current status={status}"
        )));
    }
    let name = pod["metadata"]["name"].as_str().unwrap_or("").to_owned();
    let listeners = listen(&args.address, &pairs).await?;
    let shared = Arc::new((session, name));
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut tasks = JoinSet::new();
    for (listener, pair) in listeners {
        let (shared, room) = (shared.clone(), room.clone());
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(permit) = room.clone().acquire_owned().await else { return };
                let shared = shared.clone();
                println!("Handling connection for {}", pair.local);
                tokio::spawn(async move {
                    if let Err(failure) = forward(&shared.0, &shared.1, pair, stream).await {
                        eprintln!("error: an error occurred forwarding {} -> {}: {failure}", pair.local, pair.remote);
                    }
                    drop(permit);
                });
            }
        });
    }
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = tasks.join_next() => return Err(Failure::said("a listener failed")),
    }
    Ok(ExitCode::SUCCESS)
}

/// The service that the target is, if it is one.
async fn service(session: &Session, target: &str) -> Result<Option<Value>, Failure> {
    match target.split_once('/') {
        Some(("service" | "services" | "svc", name)) => {
            let path = ResourcePath::core("services").namespace(&*session.namespace).name(name);
            Ok(Some(session.client.get(&path).await?))
        }
        _ => Ok(None),
    }
}

/// `REMOTE`, `LOCAL:REMOTE` or `:REMOTE`; names are those of the service's or the pod's ports.
fn pair(text: &str, service: Option<&Value>, pod: &Value) -> Result<Pair, Failure> {
    let invalid = || Failure::said(format!("invalid port format '{text}'"));
    let (local, remote) = match text.split(':').collect::<Vec<_>>().as_slice() {
        [one] => (*one, *one),
        [local, remote] => (*local, *remote),
        _ => return Err(invalid()),
    };
    if remote.is_empty() {
        return Err(Failure::said("remote port cannot be empty"));
    }
    let target = match service {
        Some(service) => of_service(service, pod, remote)?,
        None => match remote.parse() {
            Ok(number) => Target { shown: number, port: number },
            Err(_) if remote.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(Failure::said(format!("remote port {remote} must be between 1 and 65535")));
            }
            Err(_) => of_pod(pod, remote).map(|port| Target { shown: port, port })?,
        },
    };
    if target.port == 0 {
        return Err(Failure::said("remote port must be > 0"));
    }
    let local = match local {
        "" => 0,
        same if same == remote => target.shown,
        text => text.parse().map_err(|e| Failure::said(format!("error parsing local port '{text}': {e}")))?,
    };
    Ok(Pair { local, remote: target.port })
}

/// A port of a service or pod as a number, and the pod's port that it leads to.
struct Target {
    shown: u16,
    port: u16,
}

fn of_service(service: &Value, pod: &Value, remote: &str) -> Result<Target, Failure> {
    let name = service["metadata"]["name"].as_str().unwrap_or("");
    let ports = service["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let number = remote.parse::<u16>().ok();
    let found = ports.iter().find(|p| number.map_or(p["name"] == remote, |n| p["port"] == n));
    let missing = || Failure::said(format!("Service {name} does not have a service port {remote}"));
    let found = found.ok_or_else(missing)?;
    let port = |value: &Value| value.as_u64().and_then(|n| u16::try_from(n).ok()).unwrap_or_default();
    let shown = port(&found["port"]);
    let target = match &found["targetPort"] {
        Value::String(name) => of_pod(pod, name)?,
        Value::Number(_) if service["spec"]["clusterIP"] != "None" => match port(&found["targetPort"]) {
            0 => shown,
            number => number,
        },
        _ => shown,
    };
    Ok(Target { shown, port: target })
}

fn of_pod(pod: &Value, name: &str) -> Result<u16, Failure> {
    let containers = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
    let mut ports = containers.iter().flat_map(|c| c["ports"].as_array().into_iter().flatten());
    let found = ports.find(|p| p["name"] == name).and_then(|p| p["containerPort"].as_u64());
    found.and_then(|port| u16::try_from(port).ok()).ok_or_else(|| {
        let pod = pod["metadata"]["name"].as_str().unwrap_or("");
        Failure::said(format!("Pod '{pod}' does not have a named port '{name}'"))
    })
}

/// Listens on every address for every port; those that work are enough.
async fn listen(addresses: &[String], pairs: &[Pair]) -> Result<Vec<(TcpListener, Pair)>, Failure> {
    let mut all = Vec::new();
    for pair in pairs {
        let before = all.len();
        let (mut faults, mut taken) = (Vec::new(), false);
        // A free port is chosen once, and then the same for each address.
        let mut local = pair.local;
        for (ip, required) in wanted(addresses)? {
            match TcpListener::bind(SocketAddr::new(ip, local)).await {
                Ok(listener) => {
                    let address = listener.local_addr().map_err(|e| Failure::said(e.to_string()))?;
                    local = address.port();
                    println!("Forwarding from {address} -> {}", pair.remote);
                    all.push((listener, Pair { local, remote: pair.remote }));
                }
                Err(error) if required => {
                    faults.push(format!("unable to create listener: Error {ip}:{local}: {error}"))
                }
                // localhost is both families, and a machine may have one only.
                Err(error) => {
                    taken |= error.kind() == std::io::ErrorKind::AddrInUse;
                    faults.push(format!("{}: {error}", SocketAddr::new(ip, local)));
                }
            }
        }
        // Also when one family of localhost is somebody else's: what connects there reaches another program.
        if all.len() == before || taken {
            eprintln!("Unable to listen on port {}: {}", pair.local, faults.join("; "));
        }
    }
    if all.is_empty() {
        let ports: Vec<String> = pairs.iter().map(|pair| format!("{{{} {}}}", pair.local, pair.remote)).collect();
        return Err(Failure::said(format!("unable to listen on any of the requested ports: [{}]", ports.join(" "))));
    }
    Ok(all)
}

fn wanted(addresses: &[String]) -> Result<Vec<(IpAddr, bool)>, Failure> {
    let mut all = Vec::new();
    for address in addresses {
        match address.as_str() {
            "localhost" => {
                all.push((Ipv4Addr::LOCALHOST.into(), false));
                all.push((Ipv6Addr::LOCALHOST.into(), false));
            }
            text => {
                let ip = text.parse().map_err(|_| Failure::said(format!("{text} is not a valid IP")))?;
                all.push((ip, true));
            }
        }
    }
    Ok(all)
}

/// Runs one connection.
async fn forward(session: &Session, pod: &str, pair: Pair, stream: TcpStream) -> Result<(), Failure> {
    let path = ResourcePath::core("pods").namespace(&*session.namespace).name(pod).subresource("portforward");
    let target = path.with_query(&[("ports", pair.remote.to_string())]);
    let connection = remote::connect(session, &target).await?;
    let (mut send, mut receive) = connection.into_stream().split();
    let (mut read, mut write) = stream.into_split();
    let out = async {
        let mut piece = vec![BYTES; PIECE + 1];
        while let Ok(count) = read.read(&mut piece[1..]).await {
            if count == 0 || send.send(Message::binary(piece[..=count].to_vec())).await.is_err() {
                break;
            }
        }
        // The channels know no end of one direction: the pod may still answer.
        std::future::pending::<()>().await;
    };
    let back = async {
        // Each channel begins with the port.
        let mut begun = [false; 2];
        let mut errors = Vec::new();
        while let Some(Ok(message)) = receive.next().await {
            let bytes = match message {
                Message::Binary(bytes) => bytes,
                Message::Close(_) => break,
                _ => continue,
            };
            let Some((&channel, mut rest)) = bytes.split_first() else { continue };
            if let Some(begun) = begun.get_mut(usize::from(channel))
                && !std::mem::replace(begun, true)
            {
                rest = rest.get(2..).unwrap_or_default();
            }
            match channel {
                BYTES if write.write_all(rest).await.is_err() => break,
                ERRORS => errors.extend_from_slice(rest),
                _ => {}
            }
        }
        match errors.as_slice() {
            [] => Ok(()),
            text => Err(Failure::said(String::from_utf8_lossy(text).into_owned())),
        }
    };
    tokio::select! {
        () = out => Ok(()),
        done = back => done,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, service: Option<&Value>, expected: Result<(u16, u16), &str>) {
        let pod = json!({"metadata": {"name": "p"},
            "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]}});
        let found = pair(text, service, &pod).map(|p| (p.local, p.remote)).map_err(|f| f.to_string());
        assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e), "{text}");
    }

    #[test]
    fn ports_are_pairs() {
        check("80", None, Ok((80, 80)));
        check("8000:80", None, Ok((8000, 80)));
        check(":80", None, Ok((0, 80)));
        check("8000:http", None, Ok((8000, 8080)));
        check("http", None, Ok((8080, 8080)));
        check("80:", None, Err("remote port cannot be empty"));
        check("1:2:3", None, Err("invalid port format '1:2:3'"));
        check("0", None, Err("remote port must be > 0"));
        check("70000", None, Err("remote port 70000 must be between 1 and 65535"));
        check("80:web", None, Err("Pod 'p' does not have a named port 'web'"));
    }

    #[test]
    fn ports_of_services_lead_to_the_pods() {
        let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [
            {"name": "web", "port": 80, "targetPort": "http"}, {"name": "raw", "port": 81, "targetPort": 9000}]}});
        check("80", Some(&service), Ok((80, 8080)));
        check("web", Some(&service), Ok((80, 8080)));
        check("8000:81", Some(&service), Ok((8000, 9000)));
        check("82", Some(&service), Err("Service s does not have a service port 82"));
    }
}
