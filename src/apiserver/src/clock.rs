//! Time that never runs backwards across starts.
//!
//! In: the system's clock, which on a device without a battery may say 1970, and a file with the
//! last time seen. Out: [`Clock`], which is never below that time and goes on from it.
//! Never sets the system's clock.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the time comes from. Cloned freely; tests give a closure.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Clock {
    /// A clock that asks `source`.
    pub fn new(source: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Clock(Arc::new(source))
    }

    /// The system's clock as it is.
    pub fn system() -> Self {
        Clock::new(SystemTime::now)
    }

    /// The current time.
    pub fn now(&self) -> SystemTime {
        (self.0)()
    }

    /// Seconds since 1970.
    pub fn unix(&self) -> u64 {
        seconds(self.now())
    }

    /// This clock, but never below `floor`: while the source is behind, time goes on from
    /// `floor` at the pace of the monotonic clock.
    pub fn never_below(self, floor: SystemTime) -> Clock {
        let started = Instant::now();
        Clock::new(move || self.now().max(floor + started.elapsed()))
    }
}

/// The file that remembers the last time seen.
#[derive(Debug, Clone)]
pub struct LastSeen {
    path: PathBuf,
}

impl LastSeen {
    /// The file in `dir`.
    pub fn in_dir(dir: &Path) -> Self {
        LastSeen { path: dir.join("clock") }
    }

    /// The time remembered; 1970 if there is none or it is unreadable.
    pub fn read(&self) -> SystemTime {
        std::fs::read_to_string(&self.path)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .map_or(UNIX_EPOCH, |s: u64| UNIX_EPOCH + Duration::from_secs(s.min(MAX_SECONDS)))
    }

    /// Remembers `now`, by a new file renamed over the old one.
    pub fn write(&self, now: SystemTime) -> std::io::Result<()> {
        let new = self.path.with_extension("new");
        std::fs::write(&new, format!("{}\n", seconds(now)))?;
        std::fs::rename(&new, &self.path)
    }
}

/// The year 9999: a later time in the file is damage, and would not print as RFC 3339.
const MAX_SECONDS: u64 = 253_402_300_799;

/// Seconds since 1970 of a time; 0 for earlier ones.
pub fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_at_1970_goes_on_from_the_last_time_seen() {
        let floor = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let behind = Clock::new(|| UNIX_EPOCH).never_below(floor);
        assert!(behind.now() >= floor);
        let ahead = Clock::new(move || floor + Duration::from_secs(60)).never_below(floor);
        assert_eq!(ahead.unix(), 1_700_000_060);
    }

    #[test]
    fn the_last_time_survives_and_damage_reads_as_1970() {
        let dir = tempfile::tempdir().unwrap();
        let file = LastSeen::in_dir(dir.path());
        assert_eq!(file.read(), UNIX_EPOCH);
        file.write(UNIX_EPOCH + Duration::from_secs(42)).unwrap();
        assert_eq!(seconds(file.read()), 42);
        std::fs::write(dir.path().join("clock"), b"\xff\xfe").unwrap();
        assert_eq!(file.read(), UNIX_EPOCH);
    }
}
