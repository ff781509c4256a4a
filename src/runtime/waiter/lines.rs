//! Cuts what a container writes into the lines of Kubernetes' log format.
//!
//! In: bytes as they were read from a pipe. Out: `2026-01-01T00:00:00.123456789Z stdout F text`, with `P` for a piece
//! of a line that is longer than `LINE` or that has no end. Never reads, writes or allocates: the waiter does, and the
//! same file is compiled into the runtime for its tests.

/// The longest piece of a line that is written at once; what the other runtimes use.
pub const LINE: usize = 16 * 1024;

/// Bytes before a line's text: 30 of time, a blank, 6 of stream name, a blank, the tag, a blank.
pub const HEAD: usize = 30 + 1 + 6 + 1 + 1 + 1;

/// Where lines go.
pub trait Sink {
    /// Seconds and nanoseconds since 1970, asked for once for each line.
    fn now(&mut self) -> (i64, u32);
    /// A line's head and text, without the end of line.
    fn line(&mut self, head: &[u8; HEAD], text: &[u8]);
}

/// One stream on its way to lines.
pub struct Lines<'a> {
    name: [u8; 6],
    filled: usize,
    buffer: &'a mut [u8; LINE],
}

impl<'a> Lines<'a> {
    /// A stream that has written nothing; `name` is `stdout` or `stderr`. The buffer is apart, so that one which is
    /// never written to costs no memory.
    pub fn new(name: [u8; 6], buffer: &'a mut [u8; LINE]) -> Self {
        Self { name, filled: 0, buffer }
    }

    /// Where the next bytes are to be read into; never empty.
    pub fn space(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.filled..).unwrap_or_default()
    }

    /// Tells that `count` bytes were read into `space`.
    pub fn took(&mut self, count: usize, sink: &mut impl Sink) {
        let fresh = self.filled;
        self.filled = (self.filled + count).min(LINE);
        let mut start = 0;
        let mut search = fresh;
        while let Some(end) = find_end(self.buffer.get(search..self.filled).unwrap_or_default()) {
            let end = search + end;
            self.put(start, end, true, sink);
            start = end + 1;
            search = start;
        }
        if start == 0 && self.filled == LINE {
            self.put(0, LINE, false, sink);
            start = LINE;
        }
        if start > 0 {
            self.buffer.copy_within(start..self.filled, 0);
            self.filled -= start;
        }
    }

    /// Writes what has no end of line yet, as a piece.
    pub fn finish(&mut self, sink: &mut impl Sink) {
        if self.filled > 0 {
            self.put(0, self.filled, false, sink);
            self.filled = 0;
        }
    }

    fn put(&self, start: usize, end: usize, whole: bool, sink: &mut impl Sink) {
        let (seconds, nanos) = sink.now();
        let mut head = [b' '; HEAD];
        write_time(&mut head, seconds, nanos);
        let tag = if whole { b'F' } else { b'P' };
        for (to, from) in head.iter_mut().skip(31).zip(self.name) {
            *to = from;
        }
        head[38] = tag;
        sink.line(&head, self.buffer.get(start..end).unwrap_or_default());
    }
}

fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

/// Writes `2026-01-01T00:00:00.123456789Z` at the start of `out`.
fn write_time(out: &mut [u8; HEAD], seconds: i64, nanos: u32) {
    let days = seconds.div_euclid(86_400);
    let second = seconds.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    digits(out, 0, 4, year as u64);
    out[4] = b'-';
    digits(out, 5, 2, month);
    out[7] = b'-';
    digits(out, 8, 2, day);
    out[10] = b'T';
    digits(out, 11, 2, (second / 3600) as u64);
    out[13] = b':';
    digits(out, 14, 2, (second / 60 % 60) as u64);
    out[16] = b':';
    digits(out, 17, 2, (second % 60) as u64);
    out[19] = b'.';
    digits(out, 20, 9, u64::from(nanos));
    out[29] = b'Z';
}

fn digits(out: &mut [u8; HEAD], at: usize, count: usize, mut value: u64) {
    for place in out.iter_mut().skip(at).take(count).rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Year, month and day of a number of days since 1970, in the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, u64, u64) {
    // Counted from 0000-03-01, so that the leap day is the last of its year.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month as u64, day as u64)
}
