//! What a plugin with controllers may do wrong, and that the host goes on.
//!
//! Needs the guests: without `cargo xtask guests` these tests say so and do nothing.
#![allow(clippy::unwrap_used)]

#[path = "support/stage.rs"]
mod stage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kedge_plugin_api::Fault;
use kedge_plugin_api::controllers::{
    Action, Change, Cluster, Controllers, Event, Failure, Key, Kind, Order, Query, ReconcileError, ServedKind, Table,
    Tally, Written,
};
use kedge_plugin_host::{PluginConfig, Source};
use stage::Stage;

/// A cluster without objects.
struct Nothing;

impl Cluster for Nothing {
    fn rows(&self, _: u32, _: &Query) -> Table {
        Table::default()
    }

    fn count(&self, _: u32, _: &Query, _: &[u32]) -> Tally {
        Tally::default()
    }

    fn get(&self, _: &Kind, key: &Key) -> Result<String, Failure> {
        Err(Failure { code: 404, reason: "NotFound".into(), message: format!("{} is not there", key.name) })
    }

    fn list(&self, _: &Kind, _: &str, _: &str, _: &str) -> Result<String, Failure> {
        Ok("[]".into())
    }

    fn kinds(&self) -> Vec<ServedKind> {
        Vec::new()
    }

    fn write(&self, changes: Vec<Change>, _: Order) -> Vec<Result<Written, Failure>> {
        changes.iter().map(|_| Ok(Written::default())).collect()
    }

    fn event(&self, _: Event) {}
}

fn config(stage: &Stage, arguments: &str) -> PluginConfig {
    let mut config = PluginConfig::new("bad", Source::File(stage.guest("misruling")));
    config.arguments = arguments.into();
    config.limits.deadline_ms = 500;
    config.limits.memory_mib = 32;
    config
}

fn plugin(stage: &Stage) -> Arc<dyn Controllers> {
    assert_eq!(stage.host.apply(&[config(stage, "behave")]), []);
    stage.host.controllers().remove(0).0
}

fn reconcile(plugin: &Arc<dyn Controllers>, name: &str) -> Result<Action, ReconcileError> {
    plugin.reconcile(0, &Key { namespace: "default".into(), name: name.into() }, Arc::new(Nothing))
}

/// A misdeed is named, its key rests, and other keys are reconciled at once.
#[track_caller]
fn check(misdeed: &str, expected: &str) {
    let Some(stage) = Stage::open() else { return };
    let plugin = plugin(&stage);
    assert_eq!(reconcile(&plugin, "good"), Ok(Action::Done));
    let begun = Instant::now();
    let error = reconcile(&plugin, misdeed).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(error.to_string().contains(expected), "{error}");
    let resting = reconcile(&plugin, misdeed).unwrap_err();
    let ReconcileError::Plugin(error) = resting else { panic!("{resting}") };
    assert!(matches!(&error.fault, Fault::Resting(_, why) if why.contains(expected)), "{error}");
    assert_eq!(reconcile(&plugin, "good"), Ok(Action::Done), "another key does not wait with it");
}

#[test]
fn a_reconcile_that_does_not_end_well_is_told_and_the_next_goes_on() {
    check("trap", "I meant to do that");
    check("overflow", "call stack exhausted");
    check("loop", "deadline of 500 ms");
    check("grow", "more memory than its 32 MiB");
}

#[test]
fn a_plugin_that_fails_about_every_key_rests_as_a_whole_and_comes_back() {
    let Some(stage) = Stage::open() else { return };
    let plugin = plugin(&stage);
    let trap = |n: usize| {
        let key = Key { namespace: format!("n{n}"), name: "trap".into() };
        plugin.reconcile(0, &key, Arc::new(Nothing)).unwrap_err().to_string()
    };
    // Six in a row; where it rests already the next is told so.
    let told: Vec<String> = (0..6).map(trap).collect();
    assert!(told[0].contains("I meant to do that") && told[0].contains("trapped"), "{told:?}");
    assert!(told[5].contains("is replaced in"), "{told:?}");
    let error = reconcile(&plugin, "good").unwrap_err();
    assert!(matches!(&error, ReconcileError::Plugin(e) if matches!(e.fault, Fault::Resting(..))), "{error}");
    stage.until(|| reconcile(&plugin, "good") == Ok(Action::Done));
}

#[test]
fn what_a_plugin_says_about_a_key_is_that_keys_alone() {
    let Some(stage) = Stage::open() else { return };
    let plugin = plugin(&stage);
    assert_eq!(reconcile(&plugin, "fault"), Err(ReconcileError::Fault("I will not".into())));
    assert_eq!(reconcile(&plugin, "good"), Ok(Action::Done), "it does not rest");
    assert_eq!(reconcile(&plugin, "beyond"), Ok(Action::Done), "a watch that is not there has no rows");
    assert_eq!(reconcile(&plugin, "later"), Ok(Action::AgainAfter(Duration::from_millis(u64::MAX))));
}

#[test]
fn a_declaration_that_makes_no_sense_is_refused_and_the_old_plugin_stays() {
    let Some(stage) = Stage::open() else { return };
    plugin(&stage);
    for (arguments, expected) in [
        ("refuse", "refused its configuration: no, thank you"),
        ("trap", "I meant to do that"),
        ("unnamed", "a controller is called \"\""),
        ("blind", "misruler: 0 watches"),
        ("many", "5000 controllers"),
    ] {
        let problems = stage.host.apply(&[config(&stage, arguments)]);
        assert_eq!(problems.len(), 1, "{arguments}");
        assert!(problems[0].to_string().contains(expected), "{}", problems[0]);
        assert_eq!(stage.host.list()[0].config.arguments, "behave");
        assert_eq!(reconcile(&stage.host.controllers().remove(0).0, "good"), Ok(Action::Done));
    }
}
