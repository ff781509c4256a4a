//! Admission hooks: the example at work, and what a plugin may do wrong.
//!
//! Needs the guests: without `cargo xtask guests` these tests say so and do nothing.
#![allow(clippy::unwrap_used)]

#[path = "support/stage.rs"]
mod stage;

use std::time::{Duration, Instant};

use kedge_plugin_api::Fault;
use kedge_plugin_api::admission::{Answer, Operation, Request};
use kedge_plugin_host::{OnFailure, PluginConfig, Source};
use serde_json::json;
use stage::Stage;

fn request(hook: u32, name: &str, object: serde_json::Value) -> Request {
    Request {
        hook,
        operation: Operation::Create,
        group: String::new(),
        version: "v1".into(),
        kind: "Pod".into(),
        resource: "pods".into(),
        subresource: String::new(),
        namespace: "default".into(),
        name: name.into(),
        user: "somebody".into(),
        groups: Vec::new(),
        dry_run: false,
        object: object.to_string(),
        old_object: String::new(),
        namespace_labels: vec![("team".into(), "red".into())],
    }
}

fn config(stage: &Stage, guest: &str) -> PluginConfig {
    let mut config = PluginConfig::new("p", Source::File(stage.guest(guest)));
    config.limits.deadline_ms = 500;
    config.limits.memory_mib = 32;
    config
}

#[test]
fn the_example_judges_images_and_names_teams() {
    let Some(stage) = Stage::open() else { return };
    let mut config = config(&stage, "image_policy");
    config.arguments = json!({"trusted": ["registry.lan:5000"]});
    assert!(!stage.host.admission().any());
    assert_eq!(stage.host.apply(&[config.clone()]), []);
    let admission = stage.host.admission();
    assert!(admission.any());
    let all = admission.all();
    let plugin = all.first().unwrap();
    let names: Vec<_> = plugin.hooks().iter().map(|hook| (hook.name.as_str(), hook.mutates)).collect();
    assert_eq!(names, [("digest", false), ("team", true)]);
    assert_eq!(stage.host.list()[0].hooks, ["digest", "team"]);
    let pod = |image: &str| json!({"spec": {"containers": [{"image": image}]}});
    let answer = |hook, pod| plugin.review(request(hook, "a", pod)).unwrap().answer;
    assert_eq!(answer(0, pod("web@sha256:0")), Answer::Allowed);
    assert_eq!(answer(0, pod("registry.lan:5000/web:1")), Answer::Allowed);
    let Answer::Denied(refusal) = answer(0, pod("web:1")) else { panic!("not denied") };
    assert_eq!(
        (refusal.code, refusal.message.as_str()),
        (403, "image \"web:1\" is not named by digest (name@sha256:…)")
    );
    assert_eq!(answer(1, pod("x")), Answer::MergePatch(r#"{"metadata":{"labels":{"team":"red"}}}"#.into()));
    config.arguments = json!({"trusted": 3});
    let problems = stage.host.apply(&[config]);
    assert_eq!(problems[0].to_string(), "plugin p refused its configuration: trusted: 3 is no list of registries");
    assert!(stage.host.admission().any());
    assert_eq!(stage.host.apply(&[]), []);
    assert!(!stage.host.admission().any());
}

/// A misdeed is named, whoever wrote it waits, and other writers are judged at once.
#[track_caller]
fn check(misdeed: &str, expected: &str) {
    let Some(stage) = Stage::open() else { return };
    assert_eq!(stage.host.apply(&[config(&stage, "misjudging")]), []);
    let plugin = stage.host.admission().all().remove(0);
    assert!(!plugin.fails_open());
    let begun = Instant::now();
    let error = plugin.review(request(0, misdeed, json!({}))).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(error.to_string().contains(expected), "{error}");
    let resting = plugin.review(request(0, "good", json!({}))).unwrap_err();
    assert!(matches!(&resting.fault, Fault::Resting(_, why) if why.contains(expected)), "{resting}");
    let of_another = Request { user: "another".into(), ..request(0, "good", json!({})) };
    assert_eq!(plugin.review(of_another).unwrap().answer, Answer::Allowed);
    stage.until(|| match plugin.review(request(0, "good", json!({}))) {
        Ok(verdict) => verdict.answer == Answer::Allowed,
        Err(error) => {
            assert!(matches!(error.fault, Fault::Resting(..)), "{error}");
            false
        }
    });
}

#[test]
fn a_panic_is_told_with_its_message() {
    check("trap", "I meant to do that");
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
    check("patch", "a patch by a hook that does not mutate");
    check("code", "a refusal with code 200");
    check("talk", "1000 warnings");
}

#[test]
fn the_configuration_says_what_a_failure_means() {
    let Some(stage) = Stage::open() else { return };
    let mut config = config(&stage, "misjudging");
    config.on_failure = OnFailure::Open;
    assert_eq!(stage.host.apply(&[config.clone()]), []);
    assert!(stage.host.admission().all()[0].fails_open());
    config.arguments = json!("refuse");
    assert_eq!(stage.host.apply(&[config])[0].to_string(), "plugin p refused its configuration: no, thank you");
}
