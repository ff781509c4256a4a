//! Reads containers' logs in the Kubernetes log format, over rotated files, and follows them.
//!
//! In: a log file's path, options. Out: chunks of text. A line of the file is `<time> <stream> <F|P> <text>`; `P` parts
//! are joined to the line they are parts of by being given without a line end. Following waits for the kernel's word
//! that the file changed; it never looks on a timer.

mod changes;
pub(crate) mod line;
mod reader;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::{mpsc, watch};

use changes::Changes;
use line::Line;
use reader::{Reader, rotated};

/// What part of a log is wanted, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogOptions {
    /// Go on while the container runs.
    pub follow: bool,
    /// Of the run before.
    pub previous: bool,
    /// Only lines of the last so many seconds.
    pub since_seconds: Option<i64>,
    /// Only lines from this time on.
    pub since_time: Option<SystemTime>,
    /// Only the last so many lines.
    pub tail_lines: Option<u64>,
    /// Begin each line with its time.
    pub timestamps: bool,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
    /// Only this stream: `Stdout` or `Stderr`; `None` is both.
    pub stream: Option<Stream>,
}

/// A stream of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Text of a log, in chunks. A fault of the file system ends it.
pub type LogStream = BoxStream<'static, std::io::Result<Bytes>>;

/// Chunks that wait for a slow reader: a quarter of a MiB.
const CHUNKS: usize = 4;
/// The size at which a chunk is given away.
const CHUNK: usize = 64 << 10;

/// Reads a log. `alive` says whether its container may still write; following ends with it.
pub(crate) fn read(file: PathBuf, options: LogOptions, now: SystemTime, alive: watch::Receiver<bool>) -> LogStream {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let task = tokio::spawn(async move {
        if let Err(error) = pump(file, options, now, alive, &sender).await {
            // A reader that is gone wants no fault either.
            let _ = sender.send(Err(error)).await;
        }
    });
    let guard = Guard(task.abort_handle());
    let stream = futures::stream::unfold((receiver, guard), |(mut receiver, guard)| async move {
        let item = receiver.recv().await?;
        Some((item, (receiver, guard)))
    });
    stream.boxed()
}

/// Ends the reading when the stream is dropped.
struct Guard(tokio::task::AbortHandle);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

type Sink = mpsc::Sender<std::io::Result<Bytes>>;

async fn pump(
    file: PathBuf,
    options: LogOptions,
    now: SystemTime,
    mut alive: watch::Receiver<bool>,
    sink: &Sink,
) -> std::io::Result<()> {
    let mut filter = Filter::new(&options, now);
    // Watching begins before reading, so that nothing is written in between unseen.
    let mut changes = match options.follow {
        true => Some(Changes::of(&file)?),
        false => None,
    };
    let begin = file.clone();
    let tail = options.tail_lines;
    let plan = move || Reader::begin(&begin, tail);
    let mut reader = tokio::task::spawn_blocking(plan).await.map_err(std::io::Error::other)??;
    loop {
        // What the container says before its end is noticed belongs to the log, so this comes before reading.
        let last = !*alive.borrow_and_update();
        loop {
            let (back, chunk, more) = tokio::task::spawn_blocking(move || {
                let mut filter = filter;
                let result = fill(&mut reader, &mut filter);
                result.map(|(chunk, more)| ((reader, filter), chunk, more))
            })
            .await
            .map_err(std::io::Error::other)??;
            (reader, filter) = back;
            if !chunk.is_empty() && sink.send(Ok(chunk.into())).await.is_err() {
                return Ok(());
            }
            if filter.full() {
                return Ok(());
            }
            if !more {
                break;
            }
        }
        let Some(changes) = &mut changes else {
            return Ok(());
        };
        if last {
            return Ok(());
        }
        tokio::select! {
            changed = changes.wait() => changed?,
            // The sender is gone with the pod: nothing more will be written.
            changed = alive.changed() => if changed.is_err() { return Ok(()) },
            () = sink.closed() => return Ok(()),
        }
    }
}

/// Reads until a chunk is full or nothing more is there. True: there is more.
fn fill(reader: &mut Reader, filter: &mut Filter) -> std::io::Result<(Vec<u8>, bool)> {
    let mut chunk = Vec::new();
    while chunk.len() < CHUNK && !filter.full() {
        match reader.next_line()? {
            Some(line) => filter.add(line, &mut chunk),
            None => return Ok((chunk, false)),
        }
    }
    Ok((chunk, true))
}

/// What of the lines is given.
struct Filter {
    since: Option<SystemTime>,
    timestamps: bool,
    stream: Option<Stream>,
    left: Option<u64>,
    /// The line before was a part, so this one goes on with it.
    joined: bool,
}

impl Filter {
    fn new(options: &LogOptions, now: SystemTime) -> Self {
        let by_seconds = options.since_seconds.map(|seconds| {
            let seconds = u64::try_from(seconds).unwrap_or(0);
            now.checked_sub(std::time::Duration::from_secs(seconds)).unwrap_or(SystemTime::UNIX_EPOCH)
        });
        Self {
            since: by_seconds.or(options.since_time),
            timestamps: options.timestamps,
            stream: options.stream,
            left: options.limit_bytes,
            joined: false,
        }
    }

    fn full(&self) -> bool {
        self.left == Some(0)
    }

    fn add(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        let Some(line) = Line::parse(raw) else {
            return;
        };
        if self.stream.is_some_and(|stream| stream != line.stream) {
            return;
        }
        if let Some(since) = self.since
            && line.time().is_some_and(|time| time < since)
        {
            return;
        }
        let before = out.len();
        if self.timestamps && !self.joined {
            out.extend_from_slice(line.stamp);
            out.push(b' ');
        }
        out.extend_from_slice(line.text);
        if !line.partial {
            out.push(b'\n');
        }
        self.joined = line.partial;
        if let Some(left) = &mut self.left {
            let added = (out.len() - before) as u64;
            let kept = added.min(*left);
            out.truncate(before + kept as usize);
            *left -= kept;
        }
    }
}

/// The end of a log as text, for a termination message.
pub(crate) fn last_lines(file: &Path, lines: usize, bytes: usize) -> Option<String> {
    let mut reader = Reader::begin(file, Some(lines as u64)).ok()?;
    let mut filter = Filter::new(&LogOptions::default(), SystemTime::UNIX_EPOCH);
    let mut text = Vec::new();
    while let Some(line) = reader.next_line().ok()? {
        filter.add(line, &mut text);
    }
    let from = text.len().saturating_sub(bytes);
    Some(String::from_utf8_lossy(&text[from..]).into_owned())
}

/// Whether there is a log.
pub(crate) fn exists(file: &Path) -> bool {
    file.exists() || rotated(file, 1).exists()
}

#[cfg(test)]
mod tests;
