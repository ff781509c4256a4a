//! What an instance has beside its own memory: its limits, its log, the clock, the cluster while a reconcile runs.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kedge_plugin_api::Cluster;
use wasmtime::ResourceLimiter;

use crate::bindings::host;
use crate::config::Limits;
use crate::metrics::Counters;

/// A line of a plugin's log; the rest is cut.
const LINE: usize = 1024;
/// Lines that a plugin may write at once, and then for each second: enough to follow a pod, too few to fill a disk.
const LINES: f64 = 50.0;
/// Elements of tables: function references; a megabyte of Wasm has some thousands.
const TABLE: usize = 100_000;

/// Where time, chance and log lines come from and go to.
#[derive(Clone)]
pub struct Environment {
    /// The wall clock.
    pub now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// Random bits.
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Takes log lines.
    pub log: LogSink,
}

/// Takes a log line: plugin, level, text.
pub type LogSink = Arc<dyn Fn(&str, Level, &str) + Send + Sync>;

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Level {
    Error,
    Warning,
    Info,
    Debug,
}

/// The data of a store.
pub(crate) struct State {
    plugin: Arc<str>,
    environment: Environment,
    counters: Arc<Counters>,
    limits: Limits,
    memory: usize,
    allowance: f64,
    refilled: Instant,
    last_error: Option<String>,
    started: Instant,
    waited: Duration,
    pub(crate) cluster: Option<Arc<dyn Cluster>>,
}

/// The memory limit was hit.
#[derive(Debug, thiserror::Error)]
#[error("asked for more memory than it may have")]
pub(crate) struct MemoryCap;

/// The deadline was hit.
#[derive(Debug, thiserror::Error)]
#[error("ran past its deadline")]
pub(crate) struct DeadlinePassed;

impl State {
    pub(crate) fn new(plugin: Arc<str>, environment: Environment, counters: Arc<Counters>, limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            plugin,
            environment,
            counters,
            limits,
            memory: 0,
            allowance: LINES,
            refilled: now,
            last_error: None,
            started: now,
            waited: Duration::ZERO,
            cluster: None,
        }
    }

    /// A call begins.
    pub(crate) fn begin(&mut self) {
        self.started = Instant::now();
        self.waited = Duration::ZERO;
        self.last_error = None;
    }

    /// Has the call run for its whole deadline, what the daemon did for it not counted?
    pub(crate) fn is_late(&self) -> bool {
        self.started.elapsed().saturating_sub(self.waited) >= self.limits.deadline()
    }

    /// The last error that the plugin logged during this call: a panic's message.
    pub(crate) fn last_error(&mut self) -> Option<String> {
        self.last_error.take()
    }

    /// Linear memory, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// Does something for the plugin on the daemon's time.
    pub(crate) fn wait<T>(&mut self, act: impl FnOnce(Option<&dyn Cluster>) -> T) -> T {
        let begun = Instant::now();
        let answer = act(self.cluster.as_deref());
        self.waited += begun.elapsed();
        answer
    }

    fn may_log(&mut self) -> bool {
        let now = Instant::now();
        let more = now.saturating_duration_since(self.refilled).as_secs_f64() * LINES;
        self.refilled = now;
        self.allowance = (self.allowance + more).min(LINES);
        if self.allowance < 1.0 {
            self.counters.dropped_lines.fetch_add(1, Relaxed);
            return false;
        }
        self.allowance -= 1.0;
        true
    }
}

impl host::Host for State {
    fn log(&mut self, level: host::Level, mut message: String) {
        if message.len() > LINE {
            message.truncate(message.floor_char_boundary(LINE));
        }
        let level = match level {
            host::Level::Error => Level::Error,
            host::Level::Warning => Level::Warning,
            host::Level::Info => Level::Info,
            host::Level::Debug => Level::Debug,
        };
        if self.may_log() {
            (self.environment.log)(&self.plugin, level, &message);
        }
        if level == Level::Error {
            self.last_error = Some(message);
        }
    }

    fn now(&mut self) -> host::Instant {
        let now = (self.environment.now)();
        match now.duration_since(UNIX_EPOCH) {
            Ok(since) => host::Instant { seconds: since.as_secs() as i64, nanoseconds: since.subsec_nanos() },
            Err(before) => host::Instant { seconds: -(before.duration().as_secs() as i64), nanoseconds: 0 },
        }
    }

    fn random(&mut self) -> u64 {
        (self.environment.random)()
    }

    fn zone_offset(&mut self, zone: String, at: i64) -> Option<i32> {
        crate::zones::offset(&zone, at)
    }
}

// Types only.
impl crate::bindings::scheduler::kedge::plugin::columns::Host for State {}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_sub(current).saturating_add(desired);
        if total > self.limits.memory() {
            return Err(MemoryCap.into());
        }
        self.memory = total;
        self.counters.peak_memory.fetch_max(total as u64, Relaxed);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE)
    }
}
