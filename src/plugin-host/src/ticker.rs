//! Ends calls that run too long: advances the engine's epoch while calls are under way, and only then.
//!
//! In: the beginnings and ends of calls. Out: a tick each ten milliseconds. When nothing is called any more the thread
//! sleeps without a timer: an idle daemon is not woken. What is to be tidied up when plugins are idle is done just
//! before.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::Engine;

/// How exact deadlines are. Deadlines are some hundred milliseconds.
const TICK: Duration = Duration::from_millis(10);

type WhenIdle = Box<dyn Fn() + Send + Sync>;

/// The thread that ticks. Stops when dropped.
pub struct Ticker {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    active: AtomicUsize,
    begun: AtomicU64,
    asleep: AtomicBool,
    stop: Mutex<bool>,
    wake: Condvar,
}

/// A call under way.
pub struct Call<'a>(&'a Shared);

impl Ticker {
    /// Starts the thread, asleep.
    pub fn start(engines: Vec<Engine>, when_idle: WhenIdle) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            active: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            stop: Mutex::new(false),
            wake: Condvar::new(),
        });
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name("plugin-ticker".into())
            .stack_size(256 << 10)
            .spawn(move || theirs.run(&engines, &*when_idle))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Ticks until the returned value is dropped, and a little longer.
    pub fn begin(&self) -> Call<'_> {
        self.shared.active.fetch_add(1, SeqCst);
        self.shared.begun.fetch_add(1, SeqCst);
        // The thread sets `asleep` under the lock and then looks at `active` once more: either it sees this call, or
        // this sees it asleep.
        if self.shared.asleep.load(SeqCst) {
            let _held = self.shared.lock();
            self.shared.wake.notify_one();
        }
        Call(&self.shared)
    }

    /// Is the thread without a timer?
    pub fn is_asleep(&self) -> bool {
        self.shared.asleep.load(SeqCst)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        *self.shared.lock() = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // The last owner may be what the thread itself tidied up.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, engines: &[Engine], when_idle: &(dyn Fn() + Send + Sync)) {
        let mut seen = 0;
        let mut stop = self.lock();
        while !*stop {
            let begun = self.begun.load(SeqCst);
            if self.active.load(SeqCst) == 0 && begun == seen {
                drop(stop);
                when_idle();
                stop = self.lock();
                self.asleep.store(true, SeqCst);
                while !*stop && self.active.load(SeqCst) == 0 && self.begun.load(SeqCst) == seen {
                    stop = self.wake.wait(stop).unwrap_or_else(PoisonError::into_inner);
                }
                self.asleep.store(false, SeqCst);
                continue;
            }
            seen = begun;
            stop = self.wake.wait_timeout(stop, TICK).unwrap_or_else(PoisonError::into_inner).0;
            engines.iter().for_each(Engine::increment_epoch);
        }
    }
}
