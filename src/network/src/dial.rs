//! Connections to ports of a pod, from inside its own network.
//!
//! In: a pinned network namespace (none is the host's) and a port. Out: a connection to the loopback address there, by
//! IPv4 or else IPv6, or what each said. Never waits longer than [`PATIENCE`].

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use crate::namespace::{Namespace, NamespaceError};

/// The loopback address answers at once or not at all; a full backlog may take a retry of TCP's.
const PATIENCE: Duration = Duration::from_secs(10);

/// A port of a pod cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The pod's namespace cannot be entered.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// Nobody answers.
    #[error("failed to connect to localhost:{port} inside namespace, IPv4: {v4}, IPv6: {v6}")]
    Refused {
        /// Which.
        port: u16,
        /// What IPv4 said.
        v4: io::Error,
        /// What IPv6 said.
        v6: io::Error,
    },
}

/// Connects.
pub async fn dial(namespace: Option<&Path>, port: u16) -> Result<TcpStream, DialError> {
    let [v4, v6] = match namespace {
        Some(path) => {
            let path = path.to_owned();
            let opened = tokio::task::spawn_blocking(move || Namespace::open(&path)?.tcp()).await;
            let sockets = opened.map_err(|error| DialError::Refused {
                port,
                v4: io::Error::other(error),
                v6: io::Error::other("not tried"),
            })??;
            sockets.map(|socket| Ok(of(socket)))
        }
        None => [TcpSocket::new_v4(), TcpSocket::new_v6()],
    };
    let v4 = match connect(v4, (Ipv4Addr::LOCALHOST, port).into()).await {
        Ok(stream) => return Ok(stream),
        Err(error) => error,
    };
    connect(v6, (Ipv6Addr::LOCALHOST, port).into()).await.map_err(|v6| DialError::Refused { port, v4, v6 })
}

fn of(socket: OwnedFd) -> TcpSocket {
    TcpSocket::from_std_stream(socket.into())
}

async fn connect(socket: io::Result<TcpSocket>, address: SocketAddr) -> io::Result<TcpStream> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
    let stream = tokio::time::timeout(PATIENCE, socket?.connect(address)).await.map_err(|_| late())??;
    // Small pieces are wanted at once: somebody types.
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_hosts_own_ports_are_reached_and_closed_ones_are_told() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        dial(None, port).await.unwrap();
        let six = tokio::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await;
        if let Ok(six) = six {
            dial(None, six.local_addr().unwrap().port()).await.unwrap();
        }
        drop(listener);
        let said = dial(None, port).await.unwrap_err().to_string();
        assert!(said.starts_with(&format!("failed to connect to localhost:{port} inside namespace, IPv4: ")), "{said}");
        let missing = dial(Some(Path::new("/no/such/namespace")), port).await.unwrap_err();
        assert!(matches!(missing, DialError::Namespace(_)), "{missing}");
    }
}
