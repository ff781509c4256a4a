//! `taint`, `cordon` and `uncordon`: which pods may come to nodes.
//!
//! In: nodes, taints. Out: changed nodes, a line each. A node that somebody else changes meanwhile is read again.

use std::process::ExitCode;

use kedge_client::{ListOptions, PatchKind, PatchOptions, ResourcePath, WriteOptions};
use serde_json::{Value, json};

use crate::args::{Cordon, DryRun, Taint, Which};
use crate::error::Failure;
use crate::label::targets;
use crate::resource::Resource;
use crate::session::Session;
use crate::written::{Written, dry};

/// Tries of one node when somebody else writes it at the same time.
const TRIES: usize = 5;
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// A taint to be set, or one to be removed: without an effect, all of its key.
#[derive(Debug, PartialEq)]
enum Change {
    Set { key: String, value: String, effect: String },
    Remove { key: String, effect: String },
}

/// Runs `taint`.
pub async fn taint(session: Session, args: Taint) -> Result<ExitCode, Failure> {
    let (words, changes) = split(&args.words)?;
    let which = Which { words, selector: args.selector.clone(), field_selector: None };
    let mut written = Written::new(args.told.output.as_deref(), args.told.dry_run)?;
    let chosen = targets(&session, &which, &Default::default(), args.all || args.selector.is_some()).await?;
    if let Some((resource, ..)) = chosen.iter().find(|(resource, ..)| !is_node(resource)) {
        return Err(Failure::said(format!("invalid resource type {}, only node types are supported", resource.plural)));
    }
    for (resource, _, name) in &chosen {
        let change = |node: &Value| {
            Ok(json!({"spec": {"taints": changed(name, &node["spec"]["taints"], &changes, args.overwrite)?}}))
        };
        match patch(&session, name, args.told.dry_run, "kubectl-taint", change).await {
            Ok(node) => written.done(resource, node, word(&changes)),
            Err(failure) => written.failed(&failure.words()),
        }
    }
    written.end()
}

/// Whether this is the kind of nodes, and not another one of that name.
fn is_node(resource: &Resource) -> bool {
    resource.kind == "Node" && resource.group.is_empty()
}

/// Patches a node as it is now.
async fn patch(
    session: &Session,
    name: &str,
    dry_run: DryRun,
    manager: &str,
    change: impl Fn(&Value) -> Result<Value, Failure>,
) -> Result<Value, Failure> {
    let path = ResourcePath::core("nodes").name(name);
    let write = WriteOptions {
        dry_run: dry_run == DryRun::Server,
        field_manager: Some(manager.to_owned()),
        ..WriteOptions::default()
    };
    let options = PatchOptions { write, force: false };
    let mut tried = 0;
    loop {
        let mut node = session.client.get(&path).await?;
        if !node.is_object() {
            return Err(Failure::said(format!("the server's answer is no node {name}")));
        }
        let mut body = change(&node)?;
        if dry_run == DryRun::Client {
            if !node["spec"].is_object() {
                node["spec"] = json!({});
            }
            node["spec"]["taints"] = body["spec"]["taints"].take();
            return Ok(node);
        }
        body["metadata"]["resourceVersion"] = node["metadata"]["resourceVersion"].clone();
        tried += 1;
        match session.client.patch(&path, PatchKind::Merge, &body, &options).await {
            Err(e) if e.is_conflict() && tried < TRIES => {}
            done => return Ok(done?),
        }
    }
}

fn word(changes: &[Change]) -> &'static str {
    let removals = changes.iter().filter(|change| matches!(change, Change::Remove { .. })).count();
    match removals {
        0 => "tainted",
        all if all == changes.len() => "untainted",
        _ => "modified",
    }
}

/// Words that name nodes, and changes.
fn split(words: &[String]) -> Result<(Vec<String>, Vec<Change>), Failure> {
    let (mut names, mut changes) = (Vec::new(), Vec::new());
    for word in words {
        if word.contains(['=', ':']) || word.ends_with('-') {
            changes.push(read(word)?);
        } else if changes.is_empty() {
            names.push(word.clone());
        } else {
            return Err(Failure::said(format!("all resources must be specified before the taints: {word}")));
        }
    }
    if changes.is_empty() {
        return Err(Failure::said("at least one taint update is required"));
    }
    Ok((names, changes))
}

/// `key=value:Effect`, `key:Effect`, `key:Effect-`, `key-`.
fn read(word: &str) -> Result<Change, Failure> {
    let wrong = || Failure::said(format!("invalid taint spec: {word}"));
    let (text, removed) = word.strip_suffix('-').map_or((word, false), |text| (text, true));
    let (name, effect) = text.split_once(':').unwrap_or((text, ""));
    let (key, value) = name.split_once('=').unwrap_or((name, ""));
    if key.is_empty() || effect.contains(':') || (effect.is_empty() && (!removed || text.contains(':'))) {
        return Err(wrong());
    }
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        return Err(Failure::said(format!("invalid taint effect: {effect}, unsupported taint effect")));
    }
    let (key, value, effect) = (key.to_owned(), value.to_owned(), effect.to_owned());
    Ok(if removed { Change::Remove { key, effect } } else { Change::Set { key, value, effect } })
}

/// The taints of a node after the changes.
fn changed(node: &str, held: &Value, changes: &[Change], overwrite: bool) -> Result<Vec<Value>, Failure> {
    let mut taints = held.as_array().cloned().unwrap_or_default();
    let is = |taint: &Value, key: &str, effect: &str| {
        taint["key"] == *key && (effect.is_empty() || taint["effect"] == *effect)
    };
    for change in changes {
        match change {
            Change::Remove { key, effect } => {
                let before = taints.len();
                taints.retain(|taint| !is(taint, key, effect));
                if taints.len() == before {
                    let effect = if effect.is_empty() { String::new() } else { format!(":{effect}") };
                    return Err(Failure::said(format!("taint \"{key}{effect}\" not found")));
                }
            }
            Change::Set { key, value, effect } => {
                if taints.iter().any(|taint| is(taint, key, effect)) && !overwrite {
                    return Err(Failure::said(format!(
                        "node {node} already has {key} taint(s) with same effect(s) and --overwrite is false"
                    )));
                }
                taints.retain(|taint| !is(taint, key, effect));
                let mut taint = json!({"key": key, "effect": effect});
                if !value.is_empty() {
                    taint["value"] = json!(value);
                }
                taints.push(taint);
            }
        }
    }
    Ok(taints)
}

/// Runs `cordon` or `uncordon`.
pub async fn cordon(session: Session, args: Cordon, closed: bool) -> Result<ExitCode, Failure> {
    let mut failed = false;
    for name in named(&session, &args, if closed { "cordon" } else { "uncordon" }).await? {
        if let Err(failure) = close(&session, &name, closed, args.dry_run).await {
            failed = true;
            eprint!("{}", failure.words());
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The nodes that words or a selector choose.
pub async fn named(session: &Session, args: &Cordon, verb: &str) -> Result<Vec<String>, Failure> {
    match (args.nodes.is_empty(), &args.selector) {
        (true, None) => {
            Err(Failure::said(format!("USAGE: {verb} NODE: the node's name or a selector (-l) must be given")))
        }
        (false, Some(_)) => Err(Failure::said("cannot specify both a node name and a --selector option")),
        (false, None) => {
            let bare = |word: &String| match word.split_once('/') {
                None => Ok(word.clone()),
                Some(("node" | "nodes" | "no", name)) if !name.is_empty() => Ok(name.to_owned()),
                Some(_) => Err(Failure::said(format!("{word} is no node: only nodes can be {verb}ed"))),
            };
            args.nodes.iter().map(bare).collect()
        }
        (true, Some(selector)) => {
            let options = ListOptions { labels: Some(selector.clone()), ..ListOptions::default() };
            let nodes = session.client.list(&ResourcePath::core("nodes"), &options).await?;
            let names = nodes["items"].as_array().into_iter().flatten().filter_map(|n| n["metadata"]["name"].as_str());
            Ok(names.map(str::to_owned).collect())
        }
    }
}

/// Closes or opens a node for new pods, and says so.
pub async fn close(session: &Session, name: &str, closed: bool, dry_run: DryRun) -> Result<(), Failure> {
    let path = ResourcePath::core("nodes").name(name);
    let node = session.client.get(&path).await?;
    let word = if closed { "cordoned" } else { "uncordoned" };
    let dry = dry(dry_run);
    if (node["spec"]["unschedulable"] == true) == closed {
        println!("node/{name} already {word}{dry}");
        return Ok(());
    }
    if dry_run != DryRun::Client {
        let write = WriteOptions { dry_run: dry_run == DryRun::Server, ..WriteOptions::default() };
        let body = json!({"spec": {"unschedulable": if closed { json!(true) } else { Value::Null }}});
        session.client.patch(&path, PatchKind::Merge, &body, &PatchOptions { write, force: false }).await?;
    }
    println!("node/{name} {word}{dry}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &str, overwrite: bool, expected: Result<Value, &str>) {
        let held = json!([{"key": "a", "value": "1", "effect": "NoSchedule"}, {"key": "a", "effect": "NoExecute"}]);
        let words: Vec<String> = format!("node n {words}").split(' ').map(str::to_owned).collect();
        let done = split(&words).and_then(|(_, changes)| changed("n", &held, &changes, overwrite));
        match (done, expected) {
            (Ok(taints), Ok(expected)) => assert_eq!(json!(taints), expected, "{words:?}"),
            (Err(fault), Err(why)) => assert!(fault.to_string().contains(why), "{fault}"),
            (done, expected) => panic!("{done:?} instead of {expected:?}"),
        }
    }

    #[tokio::test]
    async fn a_node_may_hold_anything() {
        for node in [json!({"spec": "x"}), json!({"spec": null}), json!({"spec": {"taints": "x"}})] {
            let (session, _) = crate::fake::session(move |_| (200, node.clone()));
            let change = |_: &Value| Ok(json!({"spec": {"taints": []}}));
            let done = patch(&session, "n", DryRun::Client, "m", change).await.unwrap();
            assert_eq!(done["spec"]["taints"], json!([]));
        }
    }

    #[test]
    fn taints_are_set_and_removed() {
        let (one, two) =
            (json!({"key": "a", "value": "1", "effect": "NoSchedule"}), json!({"key": "a", "effect": "NoExecute"}));
        let new = json!({"key": "b", "value": "x", "effect": "NoSchedule"});
        check("b=x:NoSchedule", false, Ok(json!([one, two, new])));
        check("b:NoSchedule", false, Ok(json!([one, two, {"key": "b", "effect": "NoSchedule"}])));
        check("a-", false, Ok(json!([])));
        check("a:NoExecute-", false, Ok(json!([one])));
        check("a=2:NoSchedule", true, Ok(json!([two, {"key": "a", "value": "2", "effect": "NoSchedule"}])));
    }

    #[test]
    fn mistakes_are_told() {
        check("a=2:NoSchedule", false, Err("node n already has a taint(s) with same effect(s)"));
        check("c-", false, Err("taint \"c\" not found"));
        check("a:PreferNoSchedule-", false, Err("taint \"a:PreferNoSchedule\" not found"));
        check("a=b", false, Err("invalid taint spec: a=b"));
        check("a:-", false, Err("invalid taint spec: a:-"));
        check("a=b:Sometimes", false, Err("invalid taint effect: Sometimes"));
        check("", false, Err("at least one taint update is required"));
        check("a- b", false, Err("before the taints: b"));
    }

    #[tokio::test]
    async fn only_nodes_are_nodes() {
        let (session, _) = crate::fake::session(|_| (200, json!({})));
        for (line, expected) in [
            ("edgectl cordon a node/b", Ok(vec!["a", "b"])),
            ("edgectl cordon pod/a", Err("pod/a is no node: only nodes can be cordoned")),
            ("edgectl cordon node/", Err("node/ is no node: only nodes can be cordoned")),
        ] {
            let crate::args::Verb::Cordon(args) = crate::args::read(line).unwrap().verb else { panic!("{line}") };
            match (named(&session, &args, "cordon").await, expected) {
                (Ok(names), Ok(expected)) => assert_eq!(names, expected),
                (Err(fault), Err(why)) => assert_eq!(fault.to_string(), why),
                (done, _) => panic!("{line}: {done:?}"),
            }
        }
        let line = "edgectl taint nodes.example.com a x=y:NoSchedule";
        let crate::args::Verb::Taint(args) = crate::args::read(line).unwrap().verb else { panic!("{line}") };
        assert!(taint(session, args).await.unwrap_err().to_string().contains("only node types are supported"));
    }

    #[test]
    fn the_word_tells_what_was_done() {
        let changes = |text: &str| text.split(' ').map(|word| read(word).unwrap()).collect::<Vec<_>>();
        assert_eq!(word(&changes("a:NoExecute")), "tainted");
        assert_eq!(word(&changes("a- b:NoExecute-")), "untainted");
        assert_eq!(word(&changes("a- b:NoExecute")), "modified");
    }
}
