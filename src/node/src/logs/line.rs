//! One line of a log file.
//!
//! In: `<time> <stream> <tags> <text>`. Out: its parts. A line of another form is none.

use std::time::{Duration, SystemTime};

use super::Stream;

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its time as it stands.
    pub stamp: &'a [u8],
    /// Its stream.
    pub stream: Stream,
    /// It is a part; the line goes on in the next.
    pub partial: bool,
    /// What was said, without a line end.
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// The parts of a line without its end.
    pub fn parse(raw: &'a [u8]) -> Option<Self> {
        let mut parts = raw.splitn(4, |byte| *byte == b' ');
        let stamp = parts.next()?;
        let stream = match parts.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let partial = match parts.next()?.first()? {
            b'P' => true,
            b'F' => false,
            _ => return None,
        };
        let text = parts.next().unwrap_or_default();
        Some(Self { stamp, stream, partial, text })
    }

    /// Its time.
    pub fn time(&self) -> Option<SystemTime> {
        let text = std::str::from_utf8(self.stamp).ok()?;
        let stamp: k8s_openapi::jiff::Timestamp = text.parse().ok()?;
        let nanos = u64::try_from(stamp.as_nanosecond()).ok()?;
        Some(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos))
    }
}
