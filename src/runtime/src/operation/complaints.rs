//! What libcontainer says in its log while it fails.
//!
//! In: events of level error, in this process and in those that it clones. Out: the first of them, for the error that the
//! user sees: libcontainer's own errors name the step and drop the cause. Never prints, never waits.

use std::fmt::{Debug, Write as _};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::sys;

/// Longest complaint: an atomic write to a pipe holds it, and a reader of an error message too.
const LONGEST: usize = 500;

/// The reading end of a pipe that every clone inherits.
pub struct Complaints {
    read: OwnedFd,
}

impl Complaints {
    /// Begins to listen, for the rest of this process's life.
    pub fn listen() -> std::io::Result<Self> {
        let (read, write) = sys::pipe()?;
        sys::nonblocking(read.as_fd())?;
        sys::nonblocking(write.as_fd())?;
        let listener = Listener { write };
        // An operation sets it once; a second one would be refused and change nothing.
        let _ = tracing::dispatcher::set_global_default(tracing::Dispatch::new(listener));
        Ok(Self { read })
    }

    /// The first complaint, which is nearest to the cause.
    pub fn first(self) -> Option<String> {
        let mut bytes = [0; 4096];
        let count = std::fs::File::from(self.read).read(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(bytes.get(..count)?).into_owned();
        text.lines().next().map(str::to_owned)
    }
}

struct Listener {
    write: OwnedFd,
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR && metadata.is_event()
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut sentence = Sentence::default();
        event.record(&mut sentence);
        let line = sentence.line();
        // SAFETY: the descriptor is open for this process's life. A full pipe drops the complaint.
        unsafe { libc::write(self.write.as_raw_fd(), line.as_ptr().cast(), line.len()) };
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The message, then the fields.
#[derive(Default)]
struct Sentence {
    message: String,
    fields: String,
}

impl Sentence {
    fn line(&self) -> String {
        let mut line = format!("{}{}", self.message, self.fields).replace('\n', " ");
        let end = (0..=LONGEST.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        line.truncate(end);
        line.push('\n');
        line
    }
}

impl Visit for Sentence {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, ", {name}: {value:?}"),
        };
    }
}
