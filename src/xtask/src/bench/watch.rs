//! One kind of object, a thousand watchers.
//!
//! In: a device. Out: how many events a second reach every watcher, and how late. Each watcher has a TLS connection of
//! its own and only counts the ends of lines, because all of them share the cores with the daemon; a few read names as
//! well, and tell how long after the writer began each event came.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::device::Device;
use super::http::{Admin, refused};
use super::process::Memory;
use super::row::{Row, quantile};
use super::said;
use super::wire::{OBJECT, Template, Wire};
use crate::command::{Done, Failure};

/// Watchers at once.
const WATCHERS: usize = 1000;
/// One of so many tells when events came.
const PROBE: usize = 40;
/// Events written as fast as it goes.
const FLOOD: usize = 4000;
/// Clients that write them.
const CLIENTS: usize = 16;
/// Events written at a steady pace after it.
const STEADY: usize = 300;
/// The time between two of them: a hundred a second.
const PACE: Duration = Duration::from_millis(10);
/// Events a second that every watcher is to get.
const REACH: f64 = 2000.0;
/// Longest wait for the last watcher.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a watcher reads at once: a few TLS records. rustls alone would ask for 4 KiB at a time.
const PIECE: usize = 32 * 1024;
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// What stands before the number in an event.
const NAME: &[u8] = b"\"name\":\"w-";

/// A flood, then a steady stream.
pub async fn measure() -> Done<Vec<Row>> {
    let device = Device::start("watch").await?;
    let before = Memory::of(device.pid());
    let sent = Arc::new(Sent::new(FLOOD + STEADY));
    let (tell, mut told) = channel(WATCHERS);
    // Dropped with everything in it, should anything below fail.
    let mut watchers = JoinSet::new();
    for number in 0..WATCHERS {
        let probe = (number % PROBE == 0).then(|| Probe { sent: sent.clone(), text: Vec::new(), delays: Vec::new() });
        watchers.spawn(Watcher::open(&device.admin, probe).await?.run(tell.clone()));
    }
    let each = Memory::of(device.pid()).proportional.saturating_sub(before.proportional) as f64 / WATCHERS as f64;

    let begun = Instant::now();
    let writing = write(&device.admin, &sent, 0..FLOOD, CLIENTS, None);
    let (flood, wrote) = tokio::join!(all(&mut told), writing);
    let (flood, wrote) = (flood?, wrote?.as_secs_f64());
    let rate = FLOOD as f64 / flood.0.duration_since(begun).as_secs_f64();
    let writing = write(&device.admin, &sent, FLOOD..FLOOD + STEADY, 1, Some(PACE));
    let (steady, written) = tokio::join!(all(&mut told), writing);
    let (steady, _) = (steady?, written?);
    drop(watchers);
    device.end();
    Ok(vec![
        Row::new(
            format!("{WATCHERS} watchers over TLS, {FLOOD} creates by {CLIENTS} clients as fast as they can"),
            format!(
                "{rate:.0} events a second to every watcher, {:.0} deliveries a second; {:.0} creates a second; \
                 p99 {:.0} ms from sending a create to its event; {each:.0} KiB a watcher",
                rate * WATCHERS as f64,
                FLOOD as f64 / wrote,
                quantile(&flood.1, 0.99),
            ),
        )
        .reach("2000 events a second to every watcher", rate >= REACH),
        Row::new(
            format!("{WATCHERS} watchers over TLS, a create every {} ms", PACE.as_millis()),
            format!("p50 {:.1} ms, p99 {:.1} ms to its event", quantile(&steady.1, 0.5), quantile(&steady.1, 0.99)),
        ),
    ])
}

/// Waits until every watcher has had everything; out: when the last had, and the delays that probes saw.
async fn all(told: &mut Receiver<Done<Vec<f64>>>) -> Done<(Instant, Vec<f64>)> {
    let all = async {
        let mut delays = Vec::new();
        for _ in 0..WATCHERS {
            delays.extend(told.recv().await.ok_or_else(|| Failure::Said("the watchers ended".into()))??);
        }
        Ok((Instant::now(), delays))
    };
    timeout(PATIENCE, all).await.unwrap_or_else(|_| Err(Failure::Said("watchers waited too long".into())))
}

/// Creates the objects of those numbers; out: how long it took.
async fn write(
    admin: &Admin,
    sent: &Arc<Sent>,
    numbers: Range<usize>,
    clients: usize,
    pace: Option<Duration>,
) -> Done<Duration> {
    let (next, begun) = (Arc::new(AtomicUsize::new(numbers.start)), Instant::now());
    let mut tasks: JoinSet<Done> = JoinSet::new();
    for _ in 0..clients {
        let (admin, sent, next, numbers) = (admin.clone(), sent.clone(), next.clone(), numbers.clone());
        tasks.spawn_blocking(move || {
            let (mut wire, mut request) = (Wire::open(&admin)?, create());
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= numbers.end {
                    return Ok(());
                }
                if let Some(pace) = pace {
                    let due = begun + pace * (at - numbers.start) as u32;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                }
                let bytes = request.fill(at, at);
                sent.note(at);
                let answer = wire.send(bytes)?;
                if answer.code != 201 {
                    return Err(refused("POST", MAPS, answer.code, answer.body));
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(said("a writer"))??;
    }
    Ok(begun.elapsed())
}

fn create() -> Template {
    let pad = "x".repeat(100);
    let body = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"w-{OBJECT}"}},"data":{{"pad":"{pad}"}}}}"#
    );
    Template::new("POST", MAPS, "application/json", &body)
}

/// When each create was sent.
struct Sent {
    begun: Instant,
    /// Microseconds since then.
    at: Vec<AtomicU64>,
}

impl Sent {
    fn new(count: usize) -> Sent {
        Sent { begun: Instant::now(), at: (0..count).map(|_| AtomicU64::new(0)).collect() }
    }

    fn note(&self, number: usize) {
        let now = self.begun.elapsed().as_micros();
        self.at[number].store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Milliseconds since that create was sent; none for one that was not.
    fn since(&self, number: usize) -> Option<f64> {
        let then = self.at.get(number)?.load(Ordering::Acquire);
        Some(self.begun.elapsed().as_secs_f64() * 1e3 - then as f64 / 1e3)
    }
}

/// Who reads names.
struct Probe {
    sent: Arc<Sent>,
    /// What has come and may hold the beginning of a name.
    text: Vec<u8>,
    delays: Vec<f64>,
}

impl Probe {
    fn look(&mut self, more: &[u8]) {
        self.text.extend_from_slice(more);
        let (mut done, whole) = (0, NAME.len() + OBJECT.len());
        while let Some(at) = self.text[done..].windows(NAME.len()).position(|window| window == NAME) {
            let Some(digits) = self.text.get(done + at + NAME.len()..done + at + whole) else { break };
            let number = digits.iter().fold(0, |number, digit| number * 10 + usize::from(digit.wrapping_sub(b'0')));
            self.delays.extend(self.sent.since(number));
            done += at + whole;
        }
        self.text.drain(..done.max(self.text.len().saturating_sub(whole)));
    }
}

/// An open watch.
struct Watcher {
    stream: TlsStream<BufReader<TcpStream>>,
    /// Ends of lines less those of the protocol's own lines: chunks have both `\r` and `\n`, JSON has only the latter.
    seen: isize,
    probe: Option<Probe>,
}

impl Watcher {
    async fn open(admin: &Admin, probe: Option<Probe>) -> Done<Watcher> {
        let failed = || said("cannot watch");
        let socket = TcpStream::connect(admin.address).await.map_err(failed())?;
        let socket = BufReader::with_capacity(PIECE, socket);
        let stream = admin.tls.connect(admin.address.ip().into(), socket).await.map_err(failed())?;
        let mut watcher = Watcher { stream, seen: 0, probe };
        let path = format!("{MAPS}?watch=true&fieldSelector=metadata.name%21%3Dkube-root-ca.crt");
        watcher.stream.write_all(Template::new("GET", &path, "", "").fill(0, 0)).await.map_err(failed())?;
        watcher.stream.flush().await.map_err(failed())?;
        let head = watcher.stream.fill_buf().await.map_err(failed())?;
        if head.starts_with(b"HTTP/1.1 200 ") {
            return Ok(watcher);
        }
        Err(Failure::Said(format!("the watch was answered with {}", String::from_utf8_lossy(head))))
    }

    /// Tells when all of the flood has come, and when all of the steady stream has.
    async fn run(mut self, tell: Sender<Done<Vec<f64>>>) {
        for goal in [FLOOD, FLOOD + STEADY] {
            let mut result = Ok(());
            while result.is_ok() && self.seen < goal as isize {
                result = self.read().await;
            }
            let delays = self.probe.as_mut().map(|probe| std::mem::take(&mut probe.delays));
            // Nobody hears it where the measurement has failed already.
            let _ = tell.send(result.map(|_| delays.unwrap_or_default())).await;
        }
    }

    /// What has come, counted.
    async fn read(&mut self) -> Done {
        let bytes = self.stream.fill_buf().await.map_err(said("a watch broke off"))?;
        if bytes.is_empty() {
            return Err(Failure::Said("a watch ended".into()));
        }
        let count = |wanted: u8| memchr::memchr_iter(wanted, bytes).count() as isize;
        self.seen += count(b'\n') - count(b'\r');
        if let Some(probe) = &mut self.probe {
            probe.look(bytes);
        }
        let whole = bytes.len();
        self.stream.consume(whole);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_finds_names_wherever_they_are_cut() {
        let text = br#"{"type":"ADDED","object":{"metadata":{"name":"w-0000001"}}} {"name":"w-0000000","x":1}"#;
        for cut in 0..text.len() {
            let mut probe = Probe { sent: Arc::new(Sent::new(2)), text: Vec::new(), delays: Vec::new() };
            probe.look(&text[..cut]);
            probe.look(&text[cut..]);
            assert_eq!(probe.delays.len(), 2, "{cut}");
        }
    }
}
