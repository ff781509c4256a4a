//! `set`: image, environment, resources or service account of pod templates.
//!
//! In: objects and what is set. Out: a patch for each that it changes, and a line. What is set already is not sent.

mod env;

use std::process::ExitCode;

use kedge_api::kinds::Gvk;
use kedge_client::{PatchOptions, WriteOptions};
use serde_json::{Map, Value, json};

use crate::apply::threeway;
use crate::args::{Among, DryRun, Set, SetWhat, Which};
use crate::error::Failure;
use crate::label::{One, targets};
use crate::resource::Resource;
use crate::session::Session;
use crate::written::Written;
use env::Changes;

/// A container and its image.
type Pair = (String, String);

/// What is set, once it has been read.
enum Wanted {
    Images(Vec<Pair>),
    Env { containers: String, changes: Changes },
    Resources { containers: String, limits: Map<String, Value>, requests: Map<String, Value> },
    Account(String),
    Selector { labels: Map<String, Value>, version: Option<String> },
    Subjects(Vec<Value>),
}

/// Runs the verb.
pub async fn run(session: Session, args: Set) -> Result<ExitCode, Failure> {
    let (words, among, wanted) = match args.what {
        SetWhat::Image { words, among } => {
            let (words, pairs) = images(words)?;
            (words, among, Wanted::Images(pairs))
        }
        SetWhat::Serviceaccount { mut words, among } => {
            let account = words.pop().ok_or_else(|| Failure::said("serviceaccount is required"))?;
            (words, among, Wanted::Account(account))
        }
        SetWhat::Selector { mut words, resource_version, among } => {
            let wrong = || Failure::said("the selector comes last, as in KEY=VALUE,KEY=VALUE");
            let text = words.pop().filter(|word| word.contains('=')).ok_or_else(wrong)?;
            (words, among, Wanted::Selector { labels: crate::expose::pairs(&text)?, version: resource_version })
        }
        SetWhat::Subject { words, subjects, among } => {
            let subjects = crate::create::subjects(&subjects)?;
            if subjects.is_empty() {
                return Err(Failure::said("you must specify at least one value of user, group or serviceaccount"));
            }
            (words, among, Wanted::Subjects(subjects))
        }
        SetWhat::Resources { words, containers, limits, requests, among } => {
            if limits.is_empty() && requests.is_empty() {
                return Err(Failure::said(
                    "you must specify an update to requests or limits (in the form of --requests/--limits)",
                ));
            }
            let (limits, requests) = (quantities(&limits)?, quantities(&requests)?);
            (words, among, Wanted::Resources { containers, limits, requests })
        }
        SetWhat::Env { words, containers, env, from, keys, prefix, overwrite, list, among } => {
            let (words, mut changes) = env::read(words, env, overwrite)?;
            if let Some(from) = from {
                changes.from(env::source(&session, &from, &keys, prefix.as_deref().unwrap_or("")).await?);
            }
            if list {
                return list_env(&session, words, &among, &containers).await;
            }
            if changes.is_empty() {
                return Err(Failure::said("at least one environment variable must be provided"));
            }
            (words, among, Wanted::Env { containers, changes })
        }
    };
    let mut written = Written::new(among.told.output.as_deref(), among.told.dry_run)?;
    for one in chosen(&session, words, &among).await? {
        match change(&session, &one, &wanted, among.told.dry_run).await {
            Ok(Some(object)) => written.done(&one.0, object, wanted.word()),
            Ok(None) => {}
            Err(failure) => written.failed(&failure.words()),
        }
    }
    written.end()
}

async fn chosen(session: &Session, words: Vec<String>, among: &Among) -> Result<Vec<One>, Failure> {
    let which = Which { words, selector: among.selector.clone(), field_selector: None };
    targets(session, &which, &among.files, among.all || among.selector.is_some()).await
}

async fn list_env(session: &Session, words: Vec<String>, among: &Among, containers: &str) -> Result<ExitCode, Failure> {
    for (resource, namespace, name) in chosen(session, words, among).await? {
        let mut object = session.client.get(&resource.path(namespace.as_deref()).name(&*name)).await?;
        let spec = pod_spec(&resource, &mut object)?;
        print!("{}", env::list(&resource.kind, &name, spec, containers));
    }
    Ok(ExitCode::SUCCESS)
}

/// Sends what differs; `None` when nothing does.
async fn change(session: &Session, one: &One, wanted: &Wanted, dry_run: DryRun) -> Result<Option<Value>, Failure> {
    let (resource, namespace, name) = one;
    let path = resource.path(namespace.as_deref()).name(&**name);
    let before = session.client.get(&path).await?;
    let mut after = before.clone();
    wanted.put_into(resource, &mut after)?;
    let gvk = Gvk::new(&resource.group, &resource.version, &resource.kind);
    let patch = threeway::patch(&gvk, &before, &after, &before);
    if patch.body.as_object().is_none_or(Map::is_empty) {
        return Ok(None);
    }
    if dry_run == DryRun::Client {
        return Ok(Some(after));
    }
    let write = WriteOptions {
        dry_run: dry_run == DryRun::Server,
        field_manager: Some("kubectl-set".to_owned()),
        ..WriteOptions::default()
    };
    let options = PatchOptions { write, force: false };
    let mut body = patch.body;
    if let Wanted::Selector { version: Some(version), .. } = wanted {
        body["metadata"]["resourceVersion"] = json!(version);
    }
    Ok(Some(session.client.patch(&path, patch.kind, &body, &options).await?))
}

/// The pod spec within an object.
fn pod_spec<'a>(resource: &Resource, object: &'a mut Value) -> Result<&'a mut Value, Failure> {
    let place = match resource.kind.as_str() {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => "/spec/template/spec",
    };
    object
        .pointer_mut(place)
        .filter(|spec| spec.is_object())
        .ok_or_else(|| Failure::said(format!("{} has no pod template", resource.named("").trim_end_matches('/'))))
}

impl Wanted {
    fn word(&self) -> &'static str {
        match self {
            Wanted::Images(_) => "image updated",
            Wanted::Env { .. } => "env updated",
            Wanted::Resources { .. } => "resource requirements updated",
            Wanted::Account(_) => "serviceaccount updated",
            Wanted::Selector { .. } => "selector updated",
            Wanted::Subjects(_) => "subjects updated",
        }
    }

    fn put_into(&self, resource: &Resource, object: &mut Value) -> Result<(), Failure> {
        let named = resource.named("");
        let named = named.trim_end_matches('/');
        match self {
            Wanted::Selector { labels, .. } => {
                if resource.kind != "Service" || !resource.group.is_empty() {
                    return Err(Failure::said(format!(
                        "setting a selector is only supported for services, not for {named}"
                    )));
                }
                if !object["spec"].is_object() {
                    return Err(Failure::said(format!("the server's answer is no {named}")));
                }
                object["spec"]["selector"] = Value::Object(labels.clone());
                Ok(())
            }
            Wanted::Subjects(subjects) => {
                let is_binding = matches!(resource.kind.as_str(), "RoleBinding" | "ClusterRoleBinding");
                if !is_binding || resource.group != "rbac.authorization.k8s.io" {
                    return Err(Failure::said(format!(
                        "setting subject is only supported for rolebindings and clusterrolebindings, not for {named}"
                    )));
                }
                let mut held = object["subjects"].as_array().cloned().unwrap_or_default();
                for subject in subjects {
                    if !held.contains(subject) {
                        held.push(subject.clone());
                    }
                }
                if let Some(map) = object.as_object_mut() {
                    map.insert("subjects".to_owned(), Value::Array(held));
                }
                Ok(())
            }
            _ => self.put(pod_spec(resource, object)?),
        }
    }

    fn put(&self, spec: &mut Value) -> Result<(), Failure> {
        match self {
            Wanted::Images(pairs) => put_images(spec, pairs),
            Wanted::Env { containers, changes } => {
                let found = matching(spec, containers)?;
                found.into_iter().try_for_each(|container| changes.put(container))
            }
            Wanted::Resources { containers, limits, requests } => {
                for container in matching(spec, containers)? {
                    for (field, values) in [("limits", limits), ("requests", requests)] {
                        if !values.is_empty() {
                            if !container["resources"].is_object() {
                                container["resources"] = json!({});
                            }
                            container["resources"][field] = merged(&container["resources"][field], values);
                        }
                    }
                }
                Ok(())
            }
            Wanted::Account(name) => {
                spec["serviceAccountName"] = json!(name);
                // The old name of the same field, which the server keeps equal.
                if let Some(old) = spec.get_mut("serviceAccount") {
                    *old = json!(name);
                }
                Ok(())
            }
            // These are not in a pod template.
            Wanted::Selector { .. } | Wanted::Subjects(_) => Ok(()),
        }
    }
}

fn merged(held: &Value, values: &Map<String, Value>) -> Value {
    let mut held = held.as_object().cloned().unwrap_or_default();
    held.extend(values.clone());
    Value::Object(held)
}

/// Words that name objects, and `CONTAINER=IMAGE`.
fn images(words: Vec<String>) -> Result<(Vec<String>, Vec<Pair>), Failure> {
    let (mut names, mut pairs) = (Vec::new(), Vec::new());
    for word in words {
        match word.split_once('=') {
            None => names.push(word),
            Some((container, image)) if !container.is_empty() && !image.is_empty() => {
                pairs.push((container.to_owned(), image.to_owned()));
            }
            Some(_) => {
                return Err(Failure::said(format!("invalid image specification {word}: it must be CONTAINER=IMAGE")));
            }
        }
    }
    if pairs.is_empty() {
        return Err(Failure::said("at least one image update is required"));
    }
    Ok((names, pairs))
}

fn put_images(spec: &mut Value, pairs: &[Pair]) -> Result<(), Failure> {
    for (wanted, image) in pairs {
        let mut found = false;
        for list in ["initContainers", "containers"] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                // The server's answer may hold anything.
                if container.is_object() && (wanted == "*" || container["name"] == **wanted) {
                    container["image"] = json!(image);
                    found = true;
                }
            }
        }
        if !found {
            return Err(Failure::said(format!("unable to find container named \"{wanted}\"")));
        }
    }
    Ok(())
}

/// `NAME=QUANTITY`, each.
pub fn quantities(words: &[String]) -> Result<Map<String, Value>, Failure> {
    words
        .iter()
        .map(|word| {
            let wrong = || Failure::said(format!("Invalid argument syntax {word}, expected <resource>=<quantity>"));
            let (name, quantity) = word.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
            kedge_api::quantity::Quantity::parse(quantity)
                .map_err(|fault| Failure::said(format!("invalid quantity {quantity} of {name}: {fault}")))?;
            Ok((name.to_owned(), json!(quantity)))
        })
        .collect()
}

/// The containers that a pattern names; there must be one.
fn matching<'a>(spec: &'a mut Value, pattern: &str) -> Result<Vec<&'a mut Value>, Failure> {
    let all = spec.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten();
    let found: Vec<&mut Value> =
        all.filter(|c| c.is_object() && is_like(c["name"].as_str().unwrap_or(""), pattern)).collect();
    if found.is_empty() {
        return Err(Failure::said(format!("unable to find container named {pattern}")));
    }
    Ok(found)
}

/// Whether a name is as a pattern says, in which `*` stands for any letters.
fn is_like(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|left| {
            let ends = left.char_indices().map(|(i, _)| i).chain([left.len()]);
            ends.into_iter().any(|i| is_like(&left[i..], rest))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Value {
        json!({"containers": [{"name": "web", "image": "a:1"}, {"name": "side"}], "initContainers": [{"name": "first"}]})
    }

    #[test]
    fn images_are_set_by_container() {
        let words = ["deploy", "web", "web=a:2", "first=b"].map(str::to_owned).to_vec();
        let (names, pairs) = images(words).unwrap();
        assert_eq!(names, ["deploy", "web"]);
        let mut changed = spec();
        Wanted::Images(pairs).put(&mut changed).unwrap();
        assert_eq!(
            (&changed["containers"][0]["image"], &changed["initContainers"][0]["image"]),
            (&json!("a:2"), &json!("b"))
        );
        Wanted::Images(vec![("*".to_owned(), "c".to_owned())]).put(&mut changed).unwrap();
        assert_eq!(changed["containers"][1]["image"], "c");
        let fault = Wanted::Images(vec![("nobody".to_owned(), "c".to_owned())]).put(&mut changed).unwrap_err();
        assert_eq!(fault.to_string(), "unable to find container named \"nobody\"");
        assert!(images(vec!["a".to_owned()]).is_err() && images(vec!["a=".to_owned()]).is_err());
    }

    #[test]
    fn resources_are_merged() {
        let limits = quantities(&["cpu=1".to_owned(), "memory=1Gi".to_owned()]).unwrap();
        let mut changed = spec();
        changed["containers"][0]["resources"] = json!({"limits": {"cpu": "2", "x": "3"}});
        Wanted::Resources { containers: "w*".to_owned(), limits, requests: Map::new() }.put(&mut changed).unwrap();
        assert_eq!(changed["containers"][0]["resources"], json!({"limits": {"cpu": "1", "memory": "1Gi", "x": "3"}}));
        assert_eq!(changed["containers"][1], json!({"name": "side"}));
        changed["containers"] = json!([7, {"name": "web", "resources": "x"}]);
        let requests = quantities(&["cpu=1".to_owned()]).unwrap();
        Wanted::Resources { containers: "*".to_owned(), limits: Map::new(), requests }.put(&mut changed).unwrap();
        assert_eq!(changed["containers"], json!([7, {"name": "web", "resources": {"requests": {"cpu": "1"}}}]));
        assert!(quantities(&["cpu".to_owned()]).is_err() && quantities(&["cpu=much".to_owned()]).is_err());
    }

    #[test]
    fn templates_are_where_their_kinds_have_them() {
        let kind = |kind: &str| Resource { kind: kind.to_owned(), ..Resource::default() };
        let mut cron = json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": spec()}}}}});
        assert!(pod_spec(&kind("CronJob"), &mut cron).is_ok());
        assert!(pod_spec(&kind("Pod"), &mut json!({"spec": spec()})).is_ok());
        assert!(pod_spec(&kind("Service"), &mut json!({"spec": {}})).is_err());
        let mut changed = spec();
        Wanted::Account("bot".to_owned()).put(&mut changed).unwrap();
        assert_eq!(changed["serviceAccountName"], "bot");
    }

    #[test]
    fn patterns_have_stars() {
        for (name, pattern, expected) in [
            ("web", "*", true),
            ("web", "web", true),
            ("web", "w*", true),
            ("web", "*b", true),
            ("web", "*e*", true),
            ("web", "w*x", false),
            ("web", "we", false),
            ("", "*", true),
        ] {
            assert_eq!(is_like(name, pattern), expected, "{name} {pattern}");
        }
    }

    #[test]
    fn selectors_and_subjects_are_set_where_there_are_any() {
        let resource = |group: &str, kind: &str| Resource {
            group: group.to_owned(),
            kind: kind.to_owned(),
            ..Resource::default()
        };
        let labels = crate::expose::pairs("a=b,c=d").unwrap();
        let selector = Wanted::Selector { labels, version: None };
        let mut service = json!({"spec": {"selector": {"x": "y"}}});
        selector.put_into(&resource("", "Service"), &mut service).unwrap();
        assert_eq!(service["spec"]["selector"], json!({"a": "b", "c": "d"}));
        assert!(selector.put_into(&resource("example.com", "Service"), &mut service).is_err());
        let (jane, joe) = (json!({"kind": "User", "name": "jane"}), json!({"kind": "User", "name": "joe"}));
        let subjects = Wanted::Subjects(vec![jane.clone(), joe.clone()]);
        let mut binding = json!({"subjects": [jane]});
        subjects.put_into(&resource("rbac.authorization.k8s.io", "RoleBinding"), &mut binding).unwrap();
        assert_eq!(binding["subjects"], json!([jane, joe]));
        assert!(subjects.put_into(&resource("rbac.authorization.k8s.io", "Role"), &mut binding).is_err());
    }
}
