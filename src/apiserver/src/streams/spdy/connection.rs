//! One SPDY connection: who may open streams, what waits, who is told to wait.
//!
//! In: a wire and a rule for new streams. Out: streams, a handle to end it, and a future that does the work until the
//! client is gone or the handle says so. Each stream holds at most [`BUFFER`] bytes that nobody has taken; then the
//! whole connection waits, because Go's client pays no heed to windows. Clients that do are told windows, and theirs
//! are kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::frame::{self, Decoder, Encoder, Reset};
use super::headers::Headers;
use super::wire::{PIECE, Sink, Source, Wire};

/// Streams of one connection at once: a port-forward takes two for each connection, a browser opens dozens.
const STREAMS: usize = 256;
/// What waits in a stream to be taken: SPDY's initial window. All streams together hold at most 16 MiB.
const BUFFER: u32 = 64 * 1024;
/// What a piece counts at least, so that many small ones do not take more memory than few large ones.
const LEAST: u32 = 256;
/// Frames that wait to be sent, each of at most 16 KiB.
const QUEUE: usize = 16;
/// New streams that wait to be looked at.
const NEW: usize = 8;
/// Frames are sent together up to this.
const TOGETHER: usize = 64 * 1024;
/// How long the client may take to read the end before the connection is cut.
const LINGER: Duration = Duration::from_secs(2);
/// The window of a connection before the client says otherwise.
const FIRST_WINDOW: i64 = 64 * 1024;

/// A stream that the client has opened.
pub struct Stream {
    /// Its number.
    pub id: u32,
    /// What it is for.
    pub headers: Headers,
    /// What the client sends.
    pub incoming: Incoming,
    /// What is sent to the client.
    pub outgoing: Outgoing,
}

/// Ends a connection. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    out: mpsc::Sender<frame::Outgoing>,
    shared: Arc<Shared>,
}

impl Handle {
    /// Resolves when the client is gone.
    pub async fn gone(&self) {
        self.shared.gone.cancelled().await;
    }

    /// Ends the connection after everything that was sent before.
    pub async fn close(&self) {
        let last = self.shared.last.load(Ordering::Relaxed);
        let _ = self.out.send(frame::Outgoing::GoAway { last, fault: false }).await;
    }
}

/// Makes a connection of a wire. `accept` says why a new stream is not wanted. The future must be awaited.
pub fn connect(
    wire: Wire,
    accept: fn(&Headers) -> Result<(), String>,
) -> (Handle, mpsc::Receiver<Stream>, impl Future<Output = ()> + Send) {
    let (out, queue) = mpsc::channel(QUEUE);
    let (opened, streams) = mpsc::channel(NEW);
    let shared = Arc::new(Shared::default());
    let handle = Handle { out: out.clone(), shared: shared.clone() };
    let work = async move {
        let (mut source, sink) = wire.split();
        let reader = Reader { out, opened, accept, shared: shared.clone(), inputs: HashMap::new() };
        let ended = tokio::select! {
            () = reader.run(&mut source) => false,
            said = write(sink, queue) => said,
        };
        shared.end();
        if ended {
            // Cut at once, what the client has not read yet would be lost with what it sent meanwhile.
            let drain = async {
                let mut rest = BytesMut::new();
                while let Ok(true) = source.more(&mut rest).await {
                    rest.clear();
                }
            };
            let _ = tokio::time::timeout(LINGER, drain).await;
        }
    };
    (handle, streams, work)
}

/// Sends frames until the last; true if that was sent.
async fn write(mut sink: Sink, mut queue: mpsc::Receiver<frame::Outgoing>) -> bool {
    let mut encoder = Encoder::default();
    let mut buffer = BytesMut::new();
    while let Some(frame) = queue.recv().await {
        let mut next = Some(frame);
        let mut last = false;
        while let Some(frame) = next {
            encoder.put(&frame, &mut buffer);
            last = matches!(frame, frame::Outgoing::GoAway { .. });
            next = if last || buffer.len() > TOGETHER { None } else { queue.try_recv().ok() };
        }
        if sink.put(buffer.split().freeze()).await.is_err() {
            return false;
        }
        if last {
            return sink.end().await.is_ok();
        }
    }
    false
}

/// What both directions look at.
#[derive(Default)]
struct Shared {
    gone: CancellationToken,
    /// The newest stream.
    last: AtomicU32,
    windows: Mutex<Windows>,
    moved: Notify,
}

/// What may be sent, and which streams there are.
#[derive(Default)]
struct Windows {
    /// The client has said that it keeps windows: the first one of each stream.
    first: Option<i64>,
    /// What may be sent on the connection beyond `FIRST_WINDOW`.
    connection: i64,
    streams: HashMap<u32, Half>,
}

/// A stream that is not ended.
struct Half {
    window: i64,
    /// The client may still send.
    incoming: bool,
    /// We may still send.
    outgoing: bool,
}

impl Shared {
    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.gone.cancel();
        self.windows().streams.clear();
        self.moved.notify_waiters();
    }

    fn close(&self, stream: u32, incoming: bool, outgoing: bool) {
        let mut windows = self.windows();
        if let Some(half) = windows.streams.get_mut(&stream) {
            half.incoming &= !incoming;
            half.outgoing &= !outgoing;
            if !half.incoming && !half.outgoing {
                windows.streams.remove(&stream);
            }
        }
        drop(windows);
        self.moved.notify_waiters();
    }

    /// How much of so many bytes may be sent now; `None` if the stream is ended.
    fn take(&self, stream: u32, wanted: usize) -> Option<usize> {
        let mut windows = self.windows();
        let keeps = windows.first.is_some();
        let connection = windows.connection + FIRST_WINDOW;
        let half = windows.streams.get_mut(&stream).filter(|half| half.outgoing)?;
        if !keeps {
            return Some(wanted);
        }
        let room = half.window.min(connection).clamp(0, wanted as i64);
        half.window -= room;
        windows.connection -= room;
        Some(room as usize)
    }
}

/// What a client sends on a stream.
pub struct Incoming {
    stream: u32,
    pieces: mpsc::UnboundedReceiver<Bytes>,
    room: Arc<Semaphore>,
    out: mpsc::Sender<frame::Outgoing>,
    taken: u32,
}

impl Incoming {
    /// The next bytes; `None` at the end. Nothing is lost if this is dropped half-way.
    pub async fn next(&mut self) -> Option<Bytes> {
        let bytes = self.pieces.recv().await?;
        self.room.add_permits(cost(&bytes) as usize);
        self.taken = self.taken.saturating_add(bytes.len() as u32);
        // A full queue is tried again with the next piece.
        if self.taken >= BUFFER / 4 && self.out.capacity() >= 2 {
            for stream in [0, self.stream] {
                let _ = self.out.try_send(frame::Outgoing::Window { stream, more: self.taken });
            }
            self.taken = 0;
        }
        Some(bytes)
    }
}

/// What is sent to a client on a stream. Dropped before its end, the stream is reset.
pub struct Outgoing {
    stream: u32,
    out: mpsc::Sender<frame::Outgoing>,
    shared: Arc<Shared>,
    finished: bool,
}

/// The client has ended the stream or is gone.
#[derive(Debug)]
pub struct Ended;

impl Outgoing {
    /// Sends bytes; waits until there is room for them.
    pub async fn send(&mut self, mut bytes: Bytes) -> Result<(), Ended> {
        while !bytes.is_empty() {
            let moved = self.shared.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            match self.shared.take(self.stream, bytes.len().min(PIECE)).ok_or(Ended)? {
                0 => moved.await,
                room => {
                    let piece = bytes.split_to(room);
                    let frame = frame::Outgoing::Data { stream: self.stream, bytes: piece, fin: false };
                    self.out.send(frame).await.map_err(|_| Ended)?;
                }
            }
        }
        Ok(())
    }

    /// Says that nothing more comes.
    pub async fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            let there = self.shared.take(self.stream, 0).is_some();
            self.shared.close(self.stream, false, true);
            if there {
                let end = frame::Outgoing::Data { stream: self.stream, bytes: Bytes::new(), fin: true };
                let _ = self.out.send(end).await;
            }
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if !self.finished && self.shared.take(self.stream, 0).is_some() {
            // A full queue means that the client does not read; the end of the connection tells it as well.
            let _ = self.out.try_send(frame::Outgoing::Reset { stream: self.stream, why: Reset::Cancel });
        }
        self.shared.close(self.stream, !self.finished, true);
    }
}

fn cost(bytes: &Bytes) -> u32 {
    (bytes.len() as u32).clamp(LEAST, BUFFER)
}

/// The direction from the client.
struct Reader {
    out: mpsc::Sender<frame::Outgoing>,
    opened: mpsc::Sender<Stream>,
    accept: fn(&Headers) -> Result<(), String>,
    shared: Arc<Shared>,
    inputs: HashMap<u32, Input>,
}

struct Input {
    to: mpsc::UnboundedSender<Bytes>,
    room: Arc<Semaphore>,
}

impl Reader {
    /// Reads until the client is gone. One that breaks the protocol is told, and the writer ends the connection.
    async fn run(mut self, source: &mut Source) {
        let mut decoder = Decoder::new();
        let mut buffer = BytesMut::new();
        loop {
            let outcome = match decoder.next(&mut buffer) {
                Ok(Some(frame)) => self.take(frame).await,
                Ok(None) => match source.more(&mut buffer).await {
                    Ok(true) => Ok(true),
                    Ok(false) | Err(_) => return,
                },
                Err(why) => Err(why),
            };
            match outcome {
                Ok(true) => {}
                Ok(false) => return,
                Err(why) => {
                    tracing::info!(why, "a SPDY client broke the protocol");
                    let last = self.shared.last.load(Ordering::Relaxed);
                    let _ = self.out.send(frame::Outgoing::GoAway { last, fault: true }).await;
                    self.inputs.clear();
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Takes one frame; false if it was the last.
    async fn take(&mut self, frame: frame::Incoming) -> Result<bool, &'static str> {
        match frame {
            frame::Incoming::Open { stream, headers, fin } => self.open(stream, headers, fin).await?,
            frame::Incoming::Data { stream, bytes, fin } => self.data(stream, bytes, fin).await?,
            frame::Incoming::Reset { stream } => {
                self.inputs.remove(&stream);
                self.shared.close(stream, true, true);
            }
            frame::Incoming::Window { stream, more } => {
                let mut windows = self.shared.windows();
                let more = i64::from(more);
                if stream == 0 {
                    windows.connection = windows.connection.saturating_add(more);
                } else if let Some(half) = windows.streams.get_mut(&stream) {
                    half.window = half.window.saturating_add(more);
                }
                drop(windows);
                self.shared.moved.notify_waiters();
            }
            frame::Incoming::InitialWindow(size) => {
                let mut windows = self.shared.windows();
                let change = i64::from(size) - windows.first.unwrap_or(FIRST_WINDOW);
                windows.first = Some(i64::from(size));
                windows.streams.values_mut().for_each(|half| half.window = half.window.saturating_add(change));
                drop(windows);
                self.shared.moved.notify_waiters();
            }
            frame::Incoming::Ping(number) if number % 2 == 1 => self.say(frame::Outgoing::Ping(number)).await,
            frame::Incoming::Ping(_) | frame::Incoming::Other => {}
            frame::Incoming::GoAway => return Ok(false),
        }
        Ok(true)
    }

    async fn say(&self, frame: frame::Outgoing) {
        // The writer is gone only when the connection is.
        let _ = self.out.send(frame).await;
    }

    async fn open(&mut self, stream: u32, headers: Headers, fin: bool) -> Result<(), &'static str> {
        if stream.is_multiple_of(2) || stream <= self.shared.last.load(Ordering::Relaxed) {
            return Err("a stream has a number that a client must not give it");
        }
        self.shared.last.store(stream, Ordering::Relaxed);
        if let Err(why) = (self.accept)(&headers) {
            tracing::info!(why, "a stream is refused");
            self.say(frame::Outgoing::Reset { stream, why: Reset::Cancel }).await;
            return Ok(());
        }
        let full = {
            let mut windows = self.shared.windows();
            let full = windows.streams.len() >= STREAMS;
            if !full {
                let window = windows.first.unwrap_or(FIRST_WINDOW);
                windows.streams.insert(stream, Half { window, incoming: !fin, outgoing: true });
            }
            full
        };
        if full {
            self.say(frame::Outgoing::Reset { stream, why: Reset::Refused }).await;
            return Ok(());
        }
        let (to, pieces) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(BUFFER as usize));
        if !fin {
            self.inputs.insert(stream, Input { to, room: room.clone() });
        }
        self.say(frame::Outgoing::Reply { stream }).await;
        let incoming = Incoming { stream, pieces, room, out: self.out.clone(), taken: 0 };
        let outgoing = Outgoing { stream, out: self.out.clone(), shared: self.shared.clone(), finished: false };
        if self.opened.send(Stream { id: stream, headers, incoming, outgoing }).await.is_err() {
            // Its halves are dropped, which resets it.
            self.inputs.remove(&stream);
        }
        Ok(())
    }

    async fn data(&mut self, stream: u32, bytes: Bytes, fin: bool) -> Result<(), &'static str> {
        if stream > self.shared.last.load(Ordering::Relaxed) || stream == 0 {
            return Err("data comes on a stream that was not opened");
        }
        if let Some(input) = self.inputs.get(&stream)
            && !bytes.is_empty()
        {
            // Nobody takes it any more: then there is no room to wait for.
            let room = tokio::select! {
                permit = input.room.acquire_many(cost(&bytes)) => permit.map(|permit| permit.forget()).is_ok(),
                () = input.to.closed() => false,
            };
            if !room || input.to.send(bytes).is_err() {
                self.inputs.remove(&stream);
            }
        }
        if fin {
            self.inputs.remove(&stream);
            self.shared.close(stream, true, false);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
