//! The process that holds a container while the daemon may come and go: parent of its first process, writer of its
//! log, and the one that writes down how it ended.
//!
//! In: fixed descriptors and a few words on the command line. Out: log lines in Kubernetes' format, the same bytes to
//! those who are attached, and a record of start and end in the container's `life` file. Never allocates, never links a C library, never ends before the container
//! has: 12 KiB resident.
//!
//! `kedge-waiter init` is the other face: process 1 of a pod's shared PID namespace, which only reaps.

#![no_std]
#![no_main]

mod clients;
mod lines;
mod log;
mod memory;
mod record;
mod sys;
mod words;

use clients::{CLIENTS, Clients, Word};
use lines::{LINE, Lines};
use log::Log;
use record::Record;

/// Standard output and standard error of the container, read ends.
const STDOUT: i32 = 3;
const STDERR: i32 = 4;
/// Tells when the container's program was started: 12 bytes of time, one byte more if it could not be, then the end.
const STARTED: i32 = 5;
/// The container's `life` file; the part from `record::OFFSET` on is ours.
const LIFE: i32 = 6;
/// The log's folder.
const LOGS: i32 = 7;
/// `memory.oom_control` or `memory.events` of the container's cgroup.
const OOM: i32 = 8;
/// What others type: kept open, and for a terminal handed on.
const STDIN: i32 = 9;
/// Where clients of the container's own streams arrive.
const ATTACH: i32 = 10;

/// Where clients begin among what is polled; there is room for all of them.
const FIRST_CLIENT: usize = 6;

/// A grandchild may keep a pipe open and write for ever: at most this many reads (1 MiB) after the end.
const DRAIN: usize = 64;

static mut OUT: [u8; LINE] = [0; LINE];
static mut ERR: [u8; LINE] = [0; LINE];
static mut WAITING: [u8; log::OUT] = [0; log::OUT];

/// The kernel's entry: `stack` points at the argument count, the arguments follow.
///
/// # Safety
/// Called once, by `_start`, with the stack as the kernel made it.
pub unsafe extern "C" fn enter(stack: *const usize) -> ! {
    // SAFETY: the kernel put the arguments there.
    let argument = |index: usize| unsafe { text(stack, index) };
    if argument(1) == b"init" {
        be_init();
    }
    // SAFETY: one thread, entered once: the only references to these.
    let (out, err, waiting) = unsafe { (&mut *&raw mut OUT, &mut *&raw mut ERR, &mut *&raw mut WAITING) };
    let mut out = Lines::new(*b"stdout", out);
    let mut err = Lines::new(*b"stderr", err);
    let child = number(argument(1)) as i32;
    let mut log = Log::open(LOGS, argument(2), number(argument(3)), number(argument(4)) as u32, waiting);
    let typed = if argument(5) == b"terminal" { STDIN } else { -1 };
    hold(child, typed, argument(5).is_empty(), &mut out, &mut err, &mut log)
}

fn hold<'a>(
    child: i32,
    typed: i32,
    mut input_ended: bool,
    out: &mut Lines<'a>,
    err: &mut Lines<'a>,
    log: &mut Log<'_>,
) -> ! {
    let signals = sys::child_signals();
    let mut start = Start::new();
    let mut clients = Clients([-1; CLIENTS]);
    let waits_for = |fd| sys::Poll { fd, events: sys::POLLIN, happened: 0 };
    let mut polls = [STDOUT, STDERR, STARTED, signals, typed, ATTACH, -1, -1, -1, -1, -1, -1, -1, -1].map(waits_for);
    // It may have ended before the signals were blocked.
    let mut ended = reap_until(child);
    while ended.is_none() {
        if sys::poll(&mut polls) < 0 {
            continue;
        }
        // Before what is read: whoever came before it was written shall see it.
        while polls[5].happened != 0 && clients.accept(ATTACH) {}
        if polls[0].happened != 0 && !pump(STDOUT, words::OUTPUT, out, log, &mut clients) {
            polls[0].fd = -1;
        }
        if polls[1].happened != 0 && !pump(STDERR, words::ERRORS, err, log, &mut clients) {
            polls[1].fd = -1;
        }
        log.flush();
        if polls[2].happened != 0 && start.read() {
            polls[2].fd = -1;
        }
        if polls[4].happened != 0 {
            pass_on();
        }
        for index in 0..CLIENTS {
            if polls[FIRST_CLIENT + index].happened == 0 {
                continue;
            }
            match clients.hear(index) {
                Word::InputEnded if !input_ended => {
                    input_ended = true;
                    polls[4].fd = -1;
                    sys::close(STDIN);
                }
                Word::Size(columns, rows) => sys::resize(STDOUT, columns, rows),
                Word::InputEnded | Word::Nothing => {}
            }
        }
        for index in 0..CLIENTS {
            polls[FIRST_CLIENT + index].fd = clients.0[index];
        }
        if polls[3].happened != 0 {
            let mut information = [0_u8; 128];
            sys::read(signals, &mut information);
            ended = reap_until(child);
        }
    }
    let finished = sys::now();
    for (index, channel, stream) in [(0, words::OUTPUT, &mut *out), (1, words::ERRORS, &mut *err)] {
        let fd = polls[index].fd;
        let mut left = DRAIN;
        while fd >= 0 && left > 0 && pump(fd, channel, stream, log, &mut clients) {
            left -= 1;
        }
        stream.finish(log);
    }
    log.flush();
    clients.tell(words::ENDED, &[]);
    while polls[2].fd >= 0 && !start.read() {}
    leave(ended.unwrap_or(0), finished, &start, log.dropped)
}

/// Reads once and hands the bytes on; false at the end, or when nothing is there.
fn pump(fd: i32, channel: u8, stream: &mut Lines<'_>, log: &mut Log<'_>, clients: &mut Clients) -> bool {
    let count = sys::read(fd, stream.space());
    if count > 0 {
        clients.tell(channel, stream.space().get(..count as usize).unwrap_or_default());
        stream.took(count as usize, log);
        return true;
    }
    const EAGAIN: isize = -11;
    if count != EAGAIN {
        stream.finish(log);
    }
    false
}

/// Hands what was typed to the terminal. What it does not take is lost, as with a keyboard.
fn pass_on() {
    let mut typed = [0_u8; 256];
    let count = sys::read(STDIN, &mut typed).max(0) as usize;
    sys::write(STDOUT, typed.get(..count).unwrap_or_default());
}

/// What came through the start pipe.
struct Start {
    bytes: [u8; 16],
    filled: usize,
}

impl Start {
    const fn new() -> Self {
        Self { bytes: [0; 16], filled: 0 }
    }

    /// Reads on; true at the end, when the start has been written down if the program was started.
    fn read(&mut self) -> bool {
        let space = self.bytes.get_mut(self.filled..).unwrap_or_default();
        let count = sys::read(STARTED, space);
        if count > 0 {
            self.filled += count as usize;
            return false;
        }
        sys::close(STARTED);
        if self.happened() {
            let mut record = Record::new();
            self.describe(&mut record);
            write_down(record);
        }
        true
    }

    fn happened(&self) -> bool {
        self.filled == 12
    }

    fn describe(&self, record: &mut Record) {
        let seconds = i64::from_le_bytes(*self.bytes.first_chunk().unwrap_or(&[0; 8]));
        let nanos = u32::from_le_bytes(*self.bytes[8..].first_chunk().unwrap_or(&[0; 4]));
        record.add(b"began", i64::from(self.happened()));
        record.add(b"started", seconds);
        record.add(b"started_ns", i64::from(nanos));
    }
}

#[inline(never)]
/// Writes down how it ended, and ends.
fn leave(status: i32, finished: (i64, u32), start: &Start, dropped: u64) -> ! {
    let signal = status & 0x7f;
    let code = if signal == 0 { (status >> 8) & 0xff } else { 128 + signal };
    let mut events = [0_u8; 256];
    let count = sys::read_start(OOM, &mut events).clamp(0, 256) as usize;
    let kills = record::oom_kills(events.get(..count).unwrap_or_default());
    let mut record = Record::new();
    record.add(b"code", i64::from(code));
    record.add(b"signal", i64::from(signal));
    record.add(b"oom", kills.min(1_000_000) as i64);
    start.describe(&mut record);
    record.add(b"finished", finished.0);
    record.add(b"finished_ns", i64::from(finished.1));
    record.add(b"dropped", dropped as i64);
    write_down(record);
    sys::exit(0)
}

/// Overwrites the room that was set aside, so that a full disk can't lose it.
fn write_down(record: Record) {
    sys::seek_to(LIFE, record::OFFSET);
    sys::write(LIFE, &record.finish());
}

/// Reaps what has ended; the wait status if `child` is among it.
fn reap_until(child: i32) -> Option<i32> {
    let mut found = None;
    loop {
        let (pid, status) = sys::reap();
        if pid <= 0 {
            // No children at all: somebody else took the status. Do not wait for ever.
            const ECHILD: i32 = -10;
            return if pid == ECHILD && found.is_none() { Some(9) } else { found };
        }
        if pid == child {
            found = Some(status);
        }
    }
}

/// Process 1 of a shared PID namespace: reaps until it is killed.
fn be_init() -> ! {
    let signals = sys::child_signals();
    loop {
        while sys::reap().0 > 0 {}
        let mut information = [0_u8; 128];
        sys::read(signals, &mut information);
    }
}

/// Argument `index`, without its NUL; empty if there is none.
///
/// # Safety
/// `stack` is what the kernel handed over.
unsafe fn text(stack: *const usize, index: usize) -> &'static [u8] {
    // SAFETY: the count is followed by that many pointers to NUL-terminated text that lives as long as the process.
    unsafe {
        if index >= *stack {
            return b"";
        }
        let start = *stack.add(1 + index) as *const u8;
        let mut length = 0;
        while *start.add(length) != 0 {
            length += 1;
        }
        core::slice::from_raw_parts(start, length)
    }
}

fn number(text: &[u8]) -> usize {
    text.iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |sum: usize, digit| sum.saturating_mul(10).saturating_add(usize::from(digit - b'0')))
}

#[panic_handler]
fn panicked(_: &core::panic::PanicInfo) -> ! {
    sys::exit(101)
}
