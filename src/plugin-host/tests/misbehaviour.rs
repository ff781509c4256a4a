//! What a plugin may do wrong, and that the host goes on.
//!
//! Needs the guests: without `cargo xtask guests` these tests say so and do nothing.
#![allow(clippy::unwrap_used)]

#[path = "support/stage.rs"]
mod stage;

use std::time::{Duration, Instant};

use kedge_plugin_api::{Fault, Scheduling};
use kedge_plugin_host::{Level, OnFailure, PluginConfig, Source};
use stage::{Stage, pod, table};

const MISBEHAVING: &str = "misbehaving";

fn config(stage: &Stage, misdeed: &str) -> PluginConfig {
    let mut config = PluginConfig::new("bad", Source::File(stage.guest(MISBEHAVING)));
    config.arguments = misdeed.into();
    config.limits.deadline_ms = 500;
    config.limits.memory_mib = 32;
    config
}

/// A misdeed in `filter` or `score` is named, its pod rests, and other pods are placed at once.
#[track_caller]
fn check(misdeed: &str, expected: &str) {
    let Some(stage) = Stage::open() else { return };
    assert_eq!(stage.host.apply(&[config(&stage, misdeed)]), []);
    let mut nodes = table(3);
    let all = nodes.occupied();
    let (bad, good) = (pod(&mut nodes, "bad"), pod(&mut nodes, "good"));
    let begun = Instant::now();
    let error = stage
        .host
        .filter(&nodes, &bad, &all)
        .map(|_| ())
        .and_then(|()| stage.host.score(&nodes, &bad, &all).map(|_| ()))
        .unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(error.to_string().contains(expected), "{error}");
    // At rest: refused at once, with the reason.
    let resting = stage.host.filter(&nodes, &bad, &all).unwrap_err();
    assert!(matches!(&resting.fault, Fault::Resting(_, why) if why.contains(expected)), "{resting}");
    assert_eq!(stage.host.filter(&nodes, &good, &all).unwrap().feasible, all, "another pod does not wait with it");
    assert_eq!(stage.host.score(&nodes, &good, &all).unwrap(), [1, 1, 1]);
}

#[test]
fn a_panic_is_told_with_its_message() {
    check("trap", "I meant to do that");
}

#[test]
fn a_recursion_without_end_is_a_trap() {
    check("overflow", "call stack exhausted");
}

#[test]
fn a_loop_is_stopped_at_the_deadline() {
    check("loop", "deadline of 500 ms");
}

#[test]
fn growth_is_stopped_at_the_cap() {
    check("grow", "more memory than its 32 MiB");
}

#[test]
fn nonsense_is_named() {
    check("long bitmap", "1000 words");
    check("beyond", "bits beyond its 3 rows");
    check("silent", "neither feasible nor refused");
    check("unknown predicate", "predicate 9 of 1");
    check("talkative", "5000 different reasons");
    check("too high", "a score of 101 from S");
    check("too few", "2 scores of S for 3 nodes");
    check("too many lists", "scores of 2 priorities where 1");
}

#[test]
fn a_plugin_that_does_not_keep_its_nodes_is_refused() {
    let Some(stage) = Stage::open() else { return };
    assert_eq!(stage.host.apply(&[config(&stage, "forget")]), []);
    let mut nodes = table(3);
    let (all, good) = (nodes.occupied(), pod(&mut nodes, "good"));
    let error = stage.host.filter(&nodes, &good, &all).unwrap_err();
    assert_eq!(error.to_string(), "plugin bad: answered nonsense: it does not take the nodes that it is given");
}

#[test]
fn a_flood_of_log_lines_is_cut() {
    let Some(stage) = Stage::open() else { return };
    let mut config = config(&stage, "log");
    config.limits.deadline_ms = 20_000;
    assert_eq!(stage.host.apply(&[config]), []);
    let mut nodes = table(3);
    let all = nodes.occupied();
    let bad = pod(&mut nodes, "bad");
    assert_eq!(stage.host.filter(&nodes, &bad, &all).unwrap().feasible, all);
    let lines = stage.lines();
    assert!((1..400).contains(&lines.len()), "{} lines", lines.len());
    assert!(lines.iter().all(|(level, text)| *level == Level::Info && text.len() <= 1024));
    let metrics = stage.host.metrics().remove(0);
    assert_eq!(metrics.dropped_lines, 2000 - lines.len() as u64);
}

#[test]
fn a_refused_configuration_keeps_the_old_plugin() {
    let Some(stage) = Stage::open() else { return };
    assert_eq!(stage.host.apply(&[config(&stage, "behave")]), []);
    let problems = stage.host.apply(&[config(&stage, "refuse")]);
    assert_eq!(problems[0].to_string(), "plugin bad refused its configuration: no, thank you");
    assert_eq!(stage.host.list()[0].config.arguments, "behave");
}

#[test]
fn a_file_that_is_no_plugin_is_refused_and_the_rest_goes_on() {
    let Some(stage) = Stage::open() else { return };
    let refused = |name: &str, bytes: &[u8], expected: &str| {
        let file = stage.folder().join(name);
        std::fs::write(&file, bytes).unwrap();
        let list = [PluginConfig::new("new", Source::File(file)), config(&stage, "behave")];
        let problems = stage.host.apply(&list);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].to_string().contains(expected), "{}", problems[0]);
        assert_eq!(stage.host.list().len(), 1);
    };
    refused("garbage.wasm", b"not Wasm at all \0\xff", "does not compile");
    refused("empty.wasm", b"", "does not compile");
    refused("module.wasm", b"(module)", "does not compile");
    refused("other.wasm", b"(component)", "not a Kedge plugin");
    let greedy = r#"(component
        (import "acme:files/open" (instance))
        (instance $empty)
        (export "kedge:plugin/scheduling@0.1.0" (instance $empty)))"#;
    refused("greedy.wasm", greedy.as_bytes(), "it imports acme:files/open, which plugins do not get");
    // Imports that the usual compilers add are met by traps; what is missing here is the plugin itself.
    let wasi = r#"(component
        (import "wasi:random/insecure-seed@0.2.9" (instance (export "insecure-seed" (func (result (tuple u64 u64))))))
        (import "wasi:cli/exit@0.2.9" (instance (export "exit" (func))))
        (instance $empty)
        (export "kedge:plugin/scheduling@0.1.0" (instance $empty)))"#;
    refused("wasi.wasm", wasi.as_bytes(), "describe");
    let hollow = r#"(component
        (instance $empty)
        (export "kedge:plugin/scheduling@0.1.0" (instance $empty)))"#;
    refused("hollow.wasm", hollow.as_bytes(), "describe");
    let absent = PluginConfig::new("absent", Source::File(stage.folder().join("absent.wasm")));
    assert!(stage.host.apply(&[absent])[0].to_string().contains("cannot read"));
    let unknown = PluginConfig::builtin("nothing");
    assert!(stage.host.apply(&[unknown])[0].to_string().contains("there is no built-in plugin nothing"));
}

#[test]
fn an_open_plugin_that_fails_is_left_out() {
    let Some(stage) = Stage::open() else { return };
    let mut config = config(&stage, "trap");
    config.on_failure = OnFailure::Open;
    assert_eq!(stage.host.apply(&[config]), []);
    let mut nodes = table(3);
    let all = nodes.occupied();
    let bad = pod(&mut nodes, "bad");
    for _ in 0..3 {
        assert_eq!(stage.host.filter(&nodes, &bad, &all).unwrap().feasible, all);
    }
    assert_eq!(stage.host.metrics()[0].traps, 1);
}

#[test]
fn an_instance_that_has_grown_is_retired_when_idle() {
    let Some(stage) = Stage::open() else { return };
    assert_eq!(stage.host.apply(&[config(&stage, "swell")]), []);
    let mut nodes = table(3);
    let all = nodes.occupied();
    let (bad, good) = (pod(&mut nodes, "bad"), pod(&mut nodes, "good"));
    assert_eq!(stage.host.filter(&nodes, &bad, &all).unwrap().feasible, all);
    stage.until(|| stage.host.metrics()[0].retired == 1);
    assert_eq!(stage.host.filter(&nodes, &good, &all).unwrap().feasible, all);
    stage.until(|| stage.host.is_idle());
    let metrics = stage.host.metrics().remove(0);
    assert_eq!((metrics.retired, metrics.traps), (1, 0));
    assert!(metrics.peak_memory > 12 << 20);
}

#[test]
fn compiled_code_that_was_damaged_on_disk_is_compiled_again() {
    let Some(stage) = Stage::open() else { return };
    assert_eq!(stage.host.apply(&[config(&stage, "behave")]), []);
    let cached = |end: &str| {
        let mut all = std::fs::read_dir(stage.cache()).unwrap().map(|entry| entry.unwrap().path());
        all.find(|path| path.extension().is_some_and(|found| found == end)).unwrap()
    };
    let file = cached("cwasm");
    let whole = std::fs::read(&file).unwrap();
    // Another file: what is mapped stays as it is.
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(stage.host.apply(&[config(&stage, "behave again")]), []);
    assert_eq!(std::fs::read(&file).unwrap(), whole);
    std::fs::remove_file(cached("sha256")).unwrap();
    assert_eq!(stage.host.apply(&[config(&stage, "and again")]), []);
    assert!(cached("sha256").is_file());
    assert_eq!(stage.host.apply(&[]), []);
    assert_eq!(std::fs::read_dir(stage.cache()).unwrap().count(), 0);
}
