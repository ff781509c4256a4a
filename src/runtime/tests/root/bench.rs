//! Runs tests one after the other in one process, each on its own tokio runtime with its own zygote.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use kedge_runtime::zygote::Zygote;

use super::site::{PATIENCE, Site};

/// A test's body.
pub type Body = fn(Site, Zygote) -> Pin<Box<dyn Future<Output = ()>>>;

/// One test.
pub type Case = (&'static str, Body);

/// Runs those whose names contain all words of the command line.
pub fn run(cases: &[Case], first: Zygote) {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let list = std::env::args().any(|word| word == "--list");
    drop(first);
    let mut failed = Vec::new();
    for (name, test) in cases {
        if !words.iter().all(|word| name.contains(word.as_str())) {
            continue;
        }
        if list {
            println!("{name}: test");
            continue;
        }
        let began = Instant::now();
        let outcome = std::panic::catch_unwind(|| alone(name, *test));
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.2} s)", began.elapsed().as_secs_f64());
        if outcome.is_err() {
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
        std::process::exit(1);
    }
}

fn alone(name: &str, test: Body) {
    let began = Instant::now();
    // All threads of the test before have been joined: this is again a process with one thread, as soon as the kernel
    // has let go of them.
    let threads = || std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    while threads() > 1 && began.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    let zygote = kedge_runtime::zygote::fork_first().expect("a zygote");
    let site = Site::new(name);
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let executor = executor.expect("a tokio runtime");
    executor.block_on(test(site, zygote));
    drop(executor);
}
