//! Kubernetes' public conformance suite, run against a device.
//!
//! In: the suite's own program (`e2e.test` of a Kubernetes release), which is neither built nor fetched here, and the
//! names of tests, one a line. Out: how many of them passed by area, and each that did not with its reason. Never part
//! of the test tiers: the program is not the project's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde_json::Value;

use crate::bench::device::Device;
use crate::command::{self, Done, Failure};

/// What `cargo xtask conformance` takes.
#[derive(Args)]
pub struct Options {
    /// The suite's program, as in `_output/bin/e2e.test` of a Kubernetes build.
    #[arg(long, value_name = "FILE")]
    suite: PathBuf,
    /// The names of the tests to run, one a line; may be given more than once.
    #[arg(long, value_name = "FILE", required = true)]
    names: Vec<PathBuf>,
    /// How many parts run at once. Tests marked [Serial] run alone, after them.
    #[arg(long, default_value_t = 3)]
    parts: usize,
    /// A cluster to ask instead of a fresh device.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// How one test ended.
struct Outcome {
    name: String,
    /// Why it did not pass.
    fault: Option<String>,
}

/// Runs the tests and prints what came of them.
pub fn run(options: &Options) -> Done {
    let mut names = Vec::new();
    for file in &options.names {
        let text = std::fs::read_to_string(file).map_err(|source| failed("read", file, source))?;
        names.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|fault| Failure::Said(format!("no runtime: {fault}")))?;
    let device = match options.kubeconfig {
        Some(_) => None,
        None => Some(runtime.block_on(Device::start("conformance"))?),
    };
    let own = device.as_ref().map(Device::kubeconfig);
    let kubeconfig = options.kubeconfig.clone().or(own).unwrap_or_default();
    let folder = command::target().join("conformance");
    std::fs::create_dir_all(&folder).map_err(|source| failed("make", &folder, source))?;

    let (serial, others): (Vec<String>, Vec<String>) =
        names.iter().cloned().partition(|name| name.contains("[Serial]"));
    let mut parts = vec![Vec::new(); options.parts.max(1)];
    for (at, name) in others.into_iter().enumerate() {
        let part = at % parts.len();
        parts[part].push(name);
    }
    let mut outcomes = Vec::new();
    for parts in [parts, vec![serial]] {
        outcomes.extend(together(options, &kubeconfig, &folder, &parts)?);
    }
    if let Some(device) = device {
        device.end();
    }
    tell(&names, &outcomes)
}

/// Runs parts at once, each its tests one after the other.
fn together(options: &Options, kubeconfig: &Path, folder: &Path, parts: &[Vec<String>]) -> Done<Vec<Outcome>> {
    let mut running = Vec::new();
    for (at, names) in parts.iter().enumerate().filter(|(_, names)| !names.is_empty()) {
        let report = folder.join(format!("report-{at}.json"));
        let log = folder.join(format!("part-{at}.log"));
        let _ = std::fs::remove_file(&report);
        let out = std::fs::File::create(&log).map_err(|source| failed("make", &log, source))?;
        let mut suite = Command::new(&options.suite);
        suite.arg(format!("--kubeconfig={}", kubeconfig.display()));
        suite.args(["--provider=skeleton", "--allowed-not-ready-nodes=-1", "--ginkgo.no-color"]);
        suite.arg(format!("--ginkgo.focus={}", pattern(names)));
        suite.arg(format!("--ginkgo.json-report={}", report.display()));
        suite.stdin(Stdio::null()).stdout(out).stderr(Stdio::null());
        let program = options.suite.display().to_string();
        let child = suite.spawn().map_err(|source| Failure::Start { program, source })?;
        running.push((child, report, log));
    }
    let mut outcomes = Vec::new();
    for (mut child, report, log) in running {
        // How the suite ends says no more than its report.
        let ended = child.wait().map_err(|fault| Failure::Said(format!("the suite cannot be waited for: {fault}")))?;
        let text = std::fs::read(&report).map_err(|_| {
            Failure::Said(format!("the suite left no report and ended with {ended}; see {}", log.display()))
        })?;
        let report: Value = serde_json::from_slice(&text)
            .map_err(|fault| Failure::Said(format!("the suite's report {}: {fault}", report.display())))?;
        outcomes.extend(read(&report));
    }
    Ok(outcomes)
}

/// A pattern that fits exactly these names, at the end of what the suite calls a test.
fn pattern(names: &[String]) -> String {
    let plain = |name: &String| {
        name.chars().fold(String::new(), |mut text, c| {
            if !c.is_alphanumeric() && c != ' ' {
                text.push('\\');
            }
            text.push(c);
            text
        })
    };
    format!("({})$", names.iter().map(plain).collect::<Vec<_>>().join("|"))
}

/// What a report says of the tests that ran.
fn read(report: &Value) -> Vec<Outcome> {
    let specs = report.as_array().into_iter().flatten().flat_map(|suite| suite["SpecReports"].as_array()).flatten();
    specs
        .filter(|spec| spec["LeafNodeType"] == "It" && spec["State"] != "skipped")
        .map(|spec| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let mut words: Vec<String> =
                spec["ContainerHierarchyTexts"].as_array().into_iter().flatten().map(text).collect();
            words.push(text(&spec["LeafNodeText"]));
            let fault = (spec["State"] != "passed").then(|| {
                let said = text(&spec["Failure"]["Message"]);
                format!("{}: {}", text(&spec["State"]), said.lines().take(3).collect::<Vec<_>>().join(" "))
            });
            Outcome { name: words.join(" "), fault }
        })
        .collect()
}

/// The area in brackets at the beginning of a name.
fn area(name: &str) -> &str {
    name.split_once(']').map_or("other", |(area, _)| area.trim_start_matches('['))
}

fn tell(names: &[String], outcomes: &[Outcome]) -> Done {
    let mut areas: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut missed = Vec::new();
    for name in names {
        let count = areas.entry(area(name)).or_default();
        count.1 += 1;
        match outcomes.iter().find(|outcome| outcome.name == *name) {
            Some(Outcome { fault: None, .. }) => count.0 += 1,
            Some(Outcome { fault: Some(why), .. }) => missed.push(format!("{name}: {why}")),
            None => missed.push(format!("{name}: it did not run")),
        }
    }
    for (area, (passed, all)) in &areas {
        println!("{area}: {passed} of {all}");
    }
    missed.iter().for_each(|line| println!("missed: {line}"));
    println!("{} of {} passed", names.len() - missed.len(), names.len());
    if missed.is_empty() { Ok(()) } else { Err(Failure::Said(format!("{} tests did not pass", missed.len()))) }
}

fn failed(act: &'static str, path: &Path, source: std::io::Error) -> Failure {
    Failure::File { act, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_read_by_full_names() {
        let spec = |state: &str, leaf: &str| {
            json!({"LeafNodeType": "It", "State": state, "ContainerHierarchyTexts": ["[sig-a] Things"],
                "LeafNodeText": leaf, "Failure": {"Message": "no\nmore"}})
        };
        let report = json!([{"SpecReports": [spec("passed", "work [Conformance]"), spec("failed", "break"),
            spec("skipped", "wait"), {"LeafNodeType": "BeforeSuite", "State": "passed"}]}]);
        let seen: Vec<_> = read(&report).into_iter().map(|outcome| (outcome.name, outcome.fault)).collect();
        assert_eq!(
            seen,
            [
                ("[sig-a] Things work [Conformance]".to_owned(), None),
                ("[sig-a] Things break".to_owned(), Some("failed: no more".to_owned())),
            ]
        );
        assert_eq!(area("[sig-a] Things break"), "sig-a");
        assert_eq!(pattern(&["[a] b.c".to_owned(), "d e".to_owned()]), r"(\[a\] b\.c|d e)$");
    }
}
