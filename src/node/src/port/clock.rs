//! Time and chance, as the agent takes them.
//!
//! In: nothing. Out: wall time for what people read, monotonic time for what waits, random bytes. Waiting is by
//! tokio's timers, so that a test can pause them.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Monotonic time since the agent's own beginning. Never jumps with the wall clock.
pub type Mono = Duration;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Wall time; may jump.
    fn wall(&self) -> SystemTime;
    /// The beginning of monotonic time.
    fn origin(&self) -> Instant;
    /// Monotonic time now.
    fn mono(&self) -> Mono {
        Instant::now().saturating_duration_since(self.origin())
    }
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock that begins now.
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn origin(&self) -> Instant {
        self.origin
    }
}

/// Gives random bytes.
pub trait Dice: Send + Sync + 'static {
    /// Sixteen random bytes.
    fn roll(&self) -> [u8; 16];
}

/// The kernel's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDice;

impl Dice for SystemDice {
    fn roll(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        // The kernel's pool never gives fewer than 256 bytes once it is seeded; before that the call waits.
        let _ = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
        bytes
    }
}
