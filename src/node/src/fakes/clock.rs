//! Time that tokio's paused clock drives, and dice that count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::port::{Clock, Dice};

/// Wall time that begins at a fixed second and runs with tokio's clock.
#[derive(Clone, Copy, Debug)]
pub struct FakeClock {
    origin: Instant,
}

impl FakeClock {
    /// 2026-01-01T00:00:00Z.
    pub const BEGIN: u64 = 1_767_225_600;

    /// A clock that begins now.
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FakeClock {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(Self::BEGIN) + self.mono()
    }

    fn origin(&self) -> Instant {
        self.origin
    }
}

/// 1, 2, 3 ...
#[derive(Debug, Default)]
pub struct FakeDice(AtomicU64);

impl FakeDice {
    /// Dice that begin after `start`, so that a second agent in one test gives other numbers.
    pub fn after(start: u64) -> Self {
        Self(AtomicU64::new(start))
    }
}

impl Dice for FakeDice {
    fn roll(&self) -> [u8; 16] {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed) + 1).to_be_bytes()
    }
}
