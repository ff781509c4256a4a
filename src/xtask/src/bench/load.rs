//! Many clients at once.
//!
//! In: what each client sends. Out: how many were answered in how long, and how long each took. One connection for
//! each client, as different machines would have them. Stops after a count or a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::Method;
use tokio::task::JoinSet;

use super::http::{Admin, refused};
use super::said;
use crate::command::Done;

/// When to stop.
#[derive(Clone, Copy)]
pub enum Until {
    /// After so many requests.
    Count(usize),
    /// After so long.
    Time(Duration),
}

impl Until {
    /// Whether request number `at` is still to be sent.
    pub fn goes_on(self, at: usize, begun: Instant) -> bool {
        match self {
            Until::Count(count) => at < count,
            Until::Time(time) => begun.elapsed() < time,
        }
    }
}

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    /// From the first request to the last answer.
    pub took: Duration,
    /// The time of each request in milliseconds.
    pub each: Vec<f64>,
}

impl Outcome {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.each.len() as f64 / self.took.as_secs_f64()
    }
}

/// Creates objects; the connections are open before the clock starts.
pub async fn create<F>(admin: &Admin, clients: usize, until: Until, path: &str, object: F) -> Done<Outcome>
where
    F: Fn(usize) -> String + Send + Sync + Clone + 'static,
{
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(admin.connect().await?);
    }
    let (next, begun) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let mut tasks: JoinSet<Done<Vec<f64>>> = JoinSet::new();
    for mut connection in connections {
        let (next, path, object) = (next.clone(), path.to_owned(), object.clone());
        tasks.spawn(async move {
            let mut each = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if !until.goes_on(at, begun) {
                    return Ok(each);
                }
                let sent = Instant::now();
                match connection.send(Method::POST, &path, object(at)).await? {
                    (201, _) => each.push(sent.elapsed().as_secs_f64() * 1e3),
                    (code, body) => return Err(refused("POST", &path, code, &body)),
                }
            }
        });
    }
    let mut outcome = Outcome::default();
    while let Some(done) = tasks.join_next().await {
        outcome.each.extend(done.map_err(said("a client"))??);
    }
    outcome.took = begun.elapsed();
    Ok(outcome)
}
