//! Waiting for a state.
//!
//! In: a look at the world. Out: what was seen, or a panic that says what did not come. Never waits for a change: a
//! state that is already there ends the wait at once.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Between two looks at processes and servers that do not tell us.
const LOOK: Duration = Duration::from_millis(25);

/// Looks until there is something to see; the error is what was seen last.
#[track_caller]
pub fn until<T, E: Display>(what: &str, within: Duration, mut look: impl FnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(seen) => return seen,
            Err(last) if begun.elapsed() >= within => {
                panic!("{what} did not come within {within:?}; last seen: {last}")
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

/// Looks again and again for a time; each look must succeed. For what must *not* happen.
#[track_caller]
pub fn holds_for<E: Display>(what: &str, time: Duration, mut look: impl FnMut() -> Result<(), E>) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        if let Err(seen) = look() {
            panic!("{what} held only {:?}: {seen}", begun.elapsed());
        }
        std::thread::sleep(LOOK);
    }
}
