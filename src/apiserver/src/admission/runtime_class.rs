//! RuntimeClass: a pod that names a class costs and is scheduled as the class says.
//!
//! In: new pods. Out: their overhead, node selector and tolerations; 403 when the class is not there or the pod
//! says something else.

use async_trait::async_trait;
use kedge_api::Object;
use kedge_api::meta::{self, at, list_at, text};
use kedge_api::resources;
use kedge_api::status::Status;
use serde_json::{Value, json};

use super::{Admission, Attributes, Reader};

/// See the module.
#[derive(Debug)]
pub struct RuntimeClass;

const GROUP: &str = "node.k8s.io";

#[async_trait]
impl Admission for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns("", "pods")
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        pod: &mut Object,
        _old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        if !attributes.creates("", "pods") {
            return Ok(());
        }
        match class(attributes, pod, reader).await? {
            Some(class) => apply(pod, &class).map_err(|why| attributes.forbidden(why)),
            None => Ok(()),
        }
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        pod: Option<&Object>,
        _old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let Some(pod) = pod.filter(|_| attributes.creates("", "pods")) else { return Ok(()) };
        let class = class(attributes, pod, reader).await?;
        check(pod, class.as_ref()).map_err(|why| attributes.forbidden(why))
    }
}

async fn class(attributes: &Attributes<'_>, pod: &Object, reader: Reader<'_>) -> Result<Option<Object>, Status> {
    let Some(name) = at(pod, &["spec", "runtimeClassName"]).and_then(Value::as_str) else { return Ok(None) };
    match reader.get(GROUP, "runtimeclasses", "", name).await? {
        Some(class) => Ok(Some(class)),
        None => Err(attributes.forbidden(format!("pod rejected: RuntimeClass {name:?} not found"))),
    }
}

/// Gives the pod what the class says.
fn apply(pod: &mut Object, class: &Object) -> Result<(), String> {
    if let Some(overhead) = at(class, &["overhead"]) {
        let fixed = resources::read(overhead.get("podFixed"));
        let given = resources::read(at(pod, &["spec", "overhead"]));
        if !given.is_empty() && given != fixed {
            return Err("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".to_owned());
        }
        if !fixed.is_empty() {
            meta::child_mut(pod, "spec").insert("overhead".to_owned(), resources::write(&fixed));
        }
    }
    let Some(scheduling) = at(class, &["scheduling"]) else { return Ok(()) };
    let wanted: Vec<(&str, &str)> = meta::pairs_at(scheduling, &["nodeSelector"]).collect();
    for (key, value) in &wanted {
        if let Some(own) = at(pod, &["spec", "nodeSelector", key]).and_then(Value::as_str)
            && own != *value
        {
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
            ));
        }
    }
    let tolerations = merged(list_at(pod, &["spec", "tolerations"]), list_at(scheduling, &["tolerations"]));
    let spec = meta::child_mut(pod, "spec");
    if !wanted.is_empty() {
        let selector = spec.entry("nodeSelector").or_insert_with(|| json!({}));
        for (key, value) in wanted {
            selector[key] = json!(value);
        }
    }
    if !tolerations.is_empty() {
        spec.insert("tolerations".to_owned(), Value::Array(tolerations));
    }
    Ok(())
}

/// Holds the pod's overhead against the class after everybody has changed the pod.
fn check(pod: &Object, class: Option<&Object>) -> Result<(), &'static str> {
    let given = at(pod, &["spec", "overhead"]);
    match class.and_then(|class| at(class, &["overhead"])) {
        Some(overhead) if resources::read(overhead.get("podFixed")) != resources::read(given) => {
            Err("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
        }
        None if given.is_some() => {
            Err("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        }
        _ => Ok(()),
    }
}

/// Both lists; what another one tolerates anyway is left out.
fn merged(first: &[Value], second: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = first.iter().chain(second).collect();
    let mut kept: Vec<Value> = Vec::new();
    for (place, toleration) in all.iter().enumerate() {
        let before = kept.iter().any(|other| covers(other, toleration));
        let after = all[place + 1..].iter().any(|other| other != toleration && covers(other, toleration));
        if !before && !after {
            kept.push((*toleration).clone());
        }
    }
    kept
}

/// Whether `wide` tolerates whatever `narrow` does.
fn covers(wide: &Value, narrow: &Value) -> bool {
    if wide == narrow {
        return true;
    }
    let exists = text(wide, "operator") == "Exists";
    if text(wide, "key") != text(narrow, "key") && !(text(wide, "key").is_empty() && exists) {
        return false;
    }
    if !matches!(text(wide, "effect"), "") && text(wide, "effect") != text(narrow, "effect") {
        return false;
    }
    if text(wide, "effect") == "NoExecute"
        && let Some(longest) = meta::int_at(wide, &["tolerationSeconds"])
        && meta::int_at(narrow, &["tolerationSeconds"]).is_none_or(|seconds| seconds > longest)
    {
        return false;
    }
    exists || (text(narrow, "operator") == "Equal" && text(narrow, "value") == text(wide, "value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn row(spec: Value, class: Value, expected: Result<Value, &str>) {
        let mut pod = json!({"spec": spec});
        match (apply(&mut pod, &class).and_then(|()| check(&pod, Some(&class)).map_err(str::to_owned)), expected) {
            (Ok(()), Ok(spec)) => assert_eq!(pod["spec"], spec),
            (Err(why), Err(text)) => assert!(why.contains(text), "{why}"),
            (seen, expected) => panic!("{seen:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn the_overhead_is_the_class_s() {
        let class = json!({"overhead": {"podFixed": {"cpu": "10m"}}});
        row(json!({}), class.clone(), Ok(json!({"overhead": {"cpu": "10m"}})));
        row(json!({"overhead": {"cpu": "0.01"}}), class.clone(), Ok(json!({"overhead": {"cpu": "10m"}})));
        row(json!({"overhead": {"cpu": "1"}}), class, Err("doesn't match RuntimeClass's defined Overhead"));
        row(json!({"overhead": {"cpu": "1"}}), json!({}), Err("Pod Overhead set without corresponding"));
        assert!(check(&json!({"spec": {"overhead": {"cpu": "1"}}}), None).is_err());
    }

    #[test]
    fn the_node_selectors_are_united_unless_they_conflict() {
        let class = json!({"scheduling": {"nodeSelector": {"a": "1"}}});
        row(json!({}), class.clone(), Ok(json!({"nodeSelector": {"a": "1"}})));
        row(json!({"nodeSelector": {"b": "2"}}), class.clone(), Ok(json!({"nodeSelector": {"a": "1", "b": "2"}})));
        row(
            json!({"nodeSelector": {"a": "2"}}),
            class,
            Err("conflict: runtimeClass.scheduling.nodeSelector[a] = 1; pod.spec.nodeSelector[a] = 2"),
        );
    }

    #[test]
    fn redundant_tolerations_go() {
        let exists = json!({"key": "a", "operator": "Exists", "effect": "NoSchedule"});
        let equal = json!({"key": "a", "operator": "Equal", "value": "x", "effect": "NoSchedule"});
        let class = |toleration: &Value| json!({"scheduling": {"tolerations": [toleration]}});
        let spec = |toleration: &Value| json!({"tolerations": [toleration]});
        row(spec(&equal), class(&exists), Ok(spec(&exists)));
        row(spec(&exists), class(&equal), Ok(spec(&exists)));
        row(spec(&exists), class(&exists), Ok(spec(&exists)));
        let other = json!({"key": "b", "operator": "Exists"});
        row(spec(&exists), class(&other), Ok(json!({"tolerations": [exists, other]})));
    }
}
