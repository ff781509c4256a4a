//! What carries SPDY: a connection that was upgraded, or the binary messages of a WebSocket.
//!
//! In: bytes to send. Out: bytes that came. Never looks into them.

use std::io;

use bytes::{Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::streams::Channel;
use crate::streams::websocket::Socket;

/// At most so much is read at once; no piece of a stream is longer.
pub const PIECE: usize = 16 * 1024;

/// A connection that SPDY runs over.
pub enum Wire {
    /// Bytes as they are.
    Raw(Box<dyn Channel>),
    /// Bytes in messages.
    Tunnel(Box<Socket>),
}

impl Wire {
    pub(super) fn split(self) -> (Source, Sink) {
        match self {
            Wire::Raw(channel) => {
                let (read, write) = tokio::io::split(channel);
                (Source::Raw(read), Sink::Raw(write))
            }
            Wire::Tunnel(socket) => {
                let (sink, source) = socket.split();
                (Source::Tunnel(source), Sink::Tunnel(sink))
            }
        }
    }
}

/// Where bytes come from.
pub enum Source {
    Raw(ReadHalf<Box<dyn Channel>>),
    Tunnel(SplitStream<Box<Socket>>),
}

impl Source {
    /// Appends what comes next; false at the end. Nothing is lost if this is dropped half-way.
    pub async fn more(&mut self, buffer: &mut BytesMut) -> io::Result<bool> {
        match self {
            Source::Raw(read) => {
                buffer.reserve(PIECE);
                let mut limited = bytes::BufMut::limit(&mut *buffer, PIECE);
                Ok(read.read_buf(&mut limited).await? > 0)
            }
            Source::Tunnel(source) => loop {
                match source.next().await {
                    Some(Ok(Message::Binary(bytes))) => {
                        buffer.extend_from_slice(&bytes);
                        return Ok(true);
                    }
                    None | Some(Ok(Message::Close(_))) => return Ok(false),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(io::Error::other(error)),
                }
            },
        }
    }
}

/// Where bytes go.
pub enum Sink {
    Raw(WriteHalf<Box<dyn Channel>>),
    Tunnel(SplitSink<Box<Socket>, Message>),
}

impl Sink {
    /// Sends.
    pub async fn put(&mut self, bytes: Bytes) -> io::Result<()> {
        match self {
            Sink::Raw(write) => {
                write.write_all(&bytes).await?;
                write.flush().await
            }
            Sink::Tunnel(sink) => sink.send(Message::Binary(bytes)).await.map_err(io::Error::other),
        }
    }

    /// Says that nothing more comes.
    pub async fn end(&mut self) -> io::Result<()> {
        match self {
            Sink::Raw(write) => write.shutdown().await,
            Sink::Tunnel(sink) => {
                let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                sink.send(Message::Close(Some(normal))).await.map_err(io::Error::other)
            }
        }
    }
}
