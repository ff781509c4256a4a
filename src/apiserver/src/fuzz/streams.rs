//! Frames of SPDY, and messages of WebSockets with the channels in them.
//!
//! In: any bytes. Out: a panic where the pieces in which they come make a difference, or a bound does not hold.

use bytes::{Bytes, BytesMut};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

use crate::streams::TerminalSize;
use crate::streams::spdy::Headers;
use crate::streams::spdy::frame::{Decoder, Encoder, Incoming, Outgoing, Reset};
use crate::streams::spdy::headers::{Inflater, Packer};
use crate::streams::websocket::Coding;

/// The first byte says how long pieces are; the rest is what a client sends.
pub fn spdy(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let whole = frames(rest, rest.len().max(1));
    let pieces = frames(rest, usize::from(*first % 16) + 1);
    assert_eq!(whole, pieces);
    let _ = Inflater::new().read(rest);
    let text = String::from_utf8_lossy(rest);
    let (name, value) = text.split_once('\n').unwrap_or((&text, ""));
    let sent = Headers::from([(name, value.split('\0').next().unwrap_or_default()), ("streamtype", "error")]);
    let block = Packer::default().block(&sent);
    // Longer ones are refused: nobody sends them.
    if let Ok(read) = Inflater::new().read(&block) {
        assert_eq!(read.get("streamtype"), sent.get("streamtype"));
    }
    let mut out = BytesMut::new();
    let mut encoder = Encoder::default();
    encoder.put(&Outgoing::Data { stream: 1, bytes: Bytes::copy_from_slice(rest), fin: true }, &mut out);
    encoder.put(&Outgoing::Reset { stream: 1, why: Reset::Cancel }, &mut out);
    let (read, fault) = frames(&out, usize::from(*first) + 1);
    assert_eq!(fault, None);
    assert_eq!(read.last(), Some(&Incoming::Reset { stream: 1 }));
    let carried: usize =
        read.iter().map(|frame| if let Incoming::Data { bytes, .. } = frame { bytes.len() } else { 0 }).sum();
    assert_eq!(carried, rest.len());
}

/// Every frame of bytes that come in pieces, pieces of data put together, and what ended it.
fn frames(bytes: &[u8], piece: usize) -> (Vec<Incoming>, Option<&'static str>) {
    let (mut decoder, mut held, mut all) = (Decoder::new(), BytesMut::new(), Vec::new());
    for more in bytes.chunks(piece) {
        held.extend_from_slice(more);
        loop {
            match decoder.next(&mut held) {
                Ok(Some(frame)) => note(&mut all, frame),
                Ok(None) => break,
                Err(why) => return (all, Some(why)),
            }
        }
    }
    (all, None)
}

/// Data of one stream that follows data of the same is one.
fn note(all: &mut Vec<Incoming>, frame: Incoming) {
    if let (Incoming::Data { stream, bytes, fin }, Some(Incoming::Data { stream: before, bytes: held, fin: ended })) =
        (&frame, all.last_mut())
        && stream == before
        && !*ended
    {
        *held = [&held[..], &bytes[..]].concat().into();
        *ended = *fin;
        return;
    }
    all.push(frame);
}

/// A client's bytes after the handshake, or one message's payload.
pub fn websocket(bytes: &[u8]) {
    let config = WebSocketConfig::default().max_message_size(Some(4096)).max_frame_size(Some(4096));
    let mut socket = WebSocket::from_raw_socket(Deaf(bytes), Role::Server, Some(config));
    while let Ok(message) = socket.read() {
        assert!(message.len() <= 4096);
        channels(message);
    }
    channels(Message::Binary(Bytes::copy_from_slice(bytes)));
    if let Ok(text) = std::str::from_utf8(bytes) {
        channels(Message::text(text));
    }
}

fn channels(message: Message) {
    for coding in [Coding::Binary, Coding::Base64] {
        if let Some((channel, data)) = coding.read(message.clone()) {
            assert!(data.len() < message.len());
            let written = coding.write(channel, &data);
            // A digit is all that the text form has for a channel.
            if coding == Coding::Binary || channel < 10 {
                assert_eq!(coding.read(written), Some((channel, data.clone())));
            }
            let _ = serde_json::from_slice(&data).ok().and_then(|size| TerminalSize::read(&size));
        }
    }
}

/// Reads what a client sent; what is answered goes nowhere.
struct Deaf<'a>(&'a [u8]);

impl std::io::Read for Deaf<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl std::io::Write for Deaf<'_> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
