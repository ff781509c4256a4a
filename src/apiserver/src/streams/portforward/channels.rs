//! Port-forward over a WebSocket: for each port one channel of bytes and one of what went wrong.
//!
//! In: a socket and ports. Out: one connection for each port, opened at once. The first message on either channel is the
//! port, two bytes, low one first. The socket ends when all connections have.

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::Target;
use crate::streams::websocket::{self, Coding, Socket};

/// Bytes leave in messages of at most this size.
const PIECE: usize = 16 * 1024;
/// Messages that wait to be sent.
const OUT: usize = 16;
/// Messages of a client that wait for a port; then all its ports wait.
const IN: usize = 4;

/// Serves a client until it goes, all connections have ended, or the server stops.
pub async fn serve(socket: Socket, coding: Coding, target: Target, ports: Vec<u16>, stop: CancellationToken) {
    let (mut sink, mut source) = socket.split();
    let (out, mut queue) = mpsc::channel::<(u8, Bytes)>(OUT);
    let mut inputs = Vec::new();
    let mut connections = Vec::new();
    for (index, port) in (0u8..).step_by(2).zip(ports) {
        let (input, bytes) = mpsc::channel(IN);
        inputs.push(Some(input));
        connections.push(forward(target.clone(), index, port, bytes, out.clone()));
    }
    drop(out);
    let reading = async {
        while let Some(Ok(message)) = source.next().await {
            let Some((channel, bytes)) = coding.read(message) else { continue };
            let Some(input) = inputs.get_mut(usize::from(channel / 2)).filter(|_| channel % 2 == 0) else { continue };
            // A connection that has ended takes no more.
            if let Some(open) = input
                && open.send(bytes).await.is_err()
            {
                *input = None;
            }
        }
    };
    let writing = async {
        while let Some((channel, bytes)) = queue.recv().await {
            if sink.send(coding.write(channel, &bytes)).await.is_err() {
                return;
            }
        }
        let _ = sink.send(Message::Close(Some(websocket::normal()))).await;
    };
    let all = futures::future::join_all(connections);
    tokio::select! {
        () = reading => {}
        // The queue ends when all connections have.
        ((), _) = async { tokio::join!(writing, all) } => {}
        () = stop.cancelled() => {}
    }
}

/// Runs one connection; `channel` is that of its bytes.
async fn forward(
    target: Target,
    channel: u8,
    port: u16,
    mut input: mpsc::Receiver<Bytes>,
    out: mpsc::Sender<(u8, Bytes)>,
) {
    let number = Bytes::copy_from_slice(&port.to_le_bytes());
    for channel in [channel, channel + 1] {
        if out.send((channel, number.clone())).await.is_err() {
            return;
        }
    }
    let stream = match target.connect(port).await {
        Ok(stream) => stream,
        Err(text) => {
            let _ = out.send((channel + 1, Bytes::from(text))).await;
            return;
        }
    };
    let (mut read, mut write) = tokio::io::split(stream);
    let to_pod = async {
        while let Some(bytes) = input.recv().await {
            if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
                break;
            }
        }
        // The channels know no end of one direction.
        std::future::pending::<()>().await;
    };
    let from_pod = async {
        let mut buffer = vec![0; PIECE];
        while let Ok(count) = read.read(&mut buffer).await
            && count > 0
            && out.send((channel, Bytes::copy_from_slice(&buffer[..count]))).await.is_ok()
        {}
    };
    tokio::select! {
        () = to_pod => {}
        () = from_pod => {}
    }
}
