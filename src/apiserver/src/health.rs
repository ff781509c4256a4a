//! `/healthz`, `/livez`, `/readyz`.
//!
//! In: a path and `?verbose`, `?exclude=`. Out: 200 `ok`, or 500 with the checks that fail.
//! Checks are quick looks at flags; they never do work of their own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;

use crate::query::Query;
use crate::respond::{self, Answer};

/// Says whether something is well, or why not.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Which endpoint a check belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Fails when only a restart helps. Part of readiness, too.
    Live,
    /// Fails while requests are better sent elsewhere.
    Ready,
}

/// The checks.
pub struct Health {
    checks: Mutex<Vec<(String, Probe, Check)>>,
    /// Set once everything that is made at start is there.
    pub started: Arc<AtomicBool>,
    /// Set when the server is asked to stop.
    pub stopping: Arc<AtomicBool>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Health")
    }
}

impl Default for Health {
    fn default() -> Self {
        let health = Health { checks: Mutex::new(Vec::new()), started: Arc::default(), stopping: Arc::default() };
        let (started, stopping) = (health.started.clone(), health.stopping.clone());
        health.add("ping", Probe::Live, Arc::new(|| Ok(())));
        health.add(
            "poststarthook/bootstrap",
            Probe::Ready,
            Arc::new(move || if started.load(Ordering::Acquire) { Ok(()) } else { Err("not finished".to_owned()) }),
        );
        health.add(
            "shutdown",
            Probe::Ready,
            Arc::new(move || {
                if stopping.load(Ordering::Acquire) { Err("process is shutting down".to_owned()) } else { Ok(()) }
            }),
        );
        health
    }
}

impl Health {
    /// Adds a check.
    pub fn add(&self, name: &str, probe: Probe, check: Check) {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), probe, check));
    }

    /// Answers a probe; `None` if the path is none.
    pub fn answer(&self, path: &str, query: &Query) -> Option<Answer> {
        let path = path.trim_end_matches('/');
        let (endpoint, one) = ["/healthz", "/livez", "/readyz"].into_iter().find_map(|endpoint| {
            let rest = path.strip_prefix(endpoint)?;
            match rest.strip_prefix('/') {
                Some(name) => Some((endpoint, Some(name))),
                None if rest.is_empty() => Some((endpoint, None)),
                None => None,
            }
        })?;
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mine: Vec<_> =
            checks.into_iter().filter(|(_, probe, _)| endpoint != "/livez" || *probe == Probe::Live).collect();
        if let Some(name) = one {
            let (_, _, check) = mine.into_iter().find(|(n, _, _)| n == name)?;
            return Some(match check() {
                Ok(()) => respond::text(StatusCode::OK, "ok"),
                Err(why) => respond::text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
            });
        }
        Some(whole(endpoint, &mine, query))
    }
}

fn whole(endpoint: &str, checks: &[(String, Probe, Check)], query: &Query) -> Answer {
    let mut lines = String::new();
    let mut failed = false;
    for (name, _, check) in checks {
        if query.all("exclude").any(|excluded| excluded == name) {
            lines.push_str(&format!("[+]{name} excluded: ok\n"));
            continue;
        }
        match check() {
            Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
            Err(why) => {
                tracing::info!(check = name, why, "{endpoint} fails");
                failed = true;
                lines.push_str(&format!("[-]{name} failed: reason withheld\n"));
            }
        }
    }
    let word = endpoint.trim_start_matches('/');
    if failed {
        lines.push_str(&format!("{word} check failed\n"));
        return respond::text(StatusCode::INTERNAL_SERVER_ERROR, lines);
    }
    if query.get("verbose").is_some() {
        lines.push_str(&format!("{word} check passed\n"));
        return respond::text(StatusCode::OK, lines);
    }
    respond::text(StatusCode::OK, "ok")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(started: bool, target: &str, expected: Option<u16>) {
        let health = Health::default();
        health.started.store(started, Ordering::Release);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let seen = health.answer(path, &Query::parse(query)).map(|a| a.status().as_u16());
        assert_eq!(seen, expected, "{target}");
    }

    #[test]
    fn readiness_waits_for_the_start_and_liveness_does_not() {
        check(false, "/readyz", Some(500));
        check(false, "/livez", Some(200));
        check(true, "/readyz?verbose", Some(200));
        check(true, "/healthz", Some(200));
        check(false, "/readyz?exclude=poststarthook/bootstrap", Some(200));
        check(false, "/readyz/poststarthook/bootstrap", Some(500));
        check(true, "/readyz/ping", Some(200));
        check(true, "/readyz/unknown", None);
        check(true, "/healthzz", None);
    }
}
