//! Plain HTTP over a socket of the standard library.
//!
//! In: an address. Out: status and body, or the error of the socket. Never retries.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A web server in a pod on this machine answers within this, also when both cores are busy.
const PATIENCE: Duration = Duration::from_secs(5);

/// One GET: the status and the body.
pub fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let to: SocketAddr = address.parse().map_err(|e| Error::new(ErrorKind::InvalidInput, format!("{address}: {e}")))?;
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| Error::new(ErrorKind::UnexpectedEof, format!("an answer without an end of head: {answer:?}")))?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("no status: {head:?}")))?;
    Ok((status, body.to_owned()))
}

/// What a request loop saw.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Answers with 200.
    pub good: usize,
    /// What went wrong, with the time since the start.
    pub bad: Vec<String>,
    /// Different bodies.
    pub bodies: std::collections::BTreeSet<String>,
}

/// Requests one after the other to whatever addresses are given at the time, until stopped.
pub struct Loop {
    addresses: Arc<Mutex<Vec<String>>>,
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Loop {
    /// Starts asking.
    pub fn start(addresses: Vec<String>) -> Loop {
        let addresses = Arc::new(Mutex::new(addresses));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (addresses, tally, stop) = (addresses.clone(), tally.clone(), stop.clone());
            move || ask(&addresses, &tally, &stop)
        });
        Loop { addresses, tally, stop, thread: Some(thread) }
    }

    /// Asks these from now on.
    pub fn aim(&self, addresses: Vec<String>) {
        *self.addresses.lock().expect("no holder panics") = addresses;
    }

    /// What was seen up to now.
    pub fn tally(&self) -> Tally {
        self.tally.lock().expect("no holder panics").clone()
    }

    /// Stops, and says what was seen.
    pub fn stop(mut self) -> Tally {
        self.end();
        self.tally()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the request loop does not panic");
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.end();
    }
}

fn ask(addresses: &Mutex<Vec<String>>, tally: &Mutex<Tally>, stop: &AtomicBool) {
    let begun = Instant::now();
    let mut turn = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        let address = {
            let all = addresses.lock().expect("no holder panics");
            turn += 1;
            all.get(turn % all.len().max(1)).cloned()
        };
        if let Some(address) = address {
            let answer = get(&address, "/");
            let mut tally = tally.lock().expect("no holder panics");
            match answer {
                Ok((200, body)) => {
                    tally.good += 1;
                    tally.bodies.insert(body.trim().to_owned());
                }
                Ok((status, body)) => tally.bad.push(format!("{:?} {address}: {status} {body:?}", begun.elapsed())),
                Err(e) => tally.bad.push(format!("{:?} {address}: {e}", begun.elapsed())),
            }
        }
        // About 200 a second: enough to hit a gap of 10 ms, few enough to leave the cores to the device.
        std::thread::sleep(Duration::from_millis(5));
    }
}
