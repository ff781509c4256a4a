//! Pods to look around with: a copy of a pod, and one on a node.
//!
//! In: flags, and the pod that is copied. Out: the pod to be made, and which of its containers is the one. Never asks
//! a server.

use serde_json::{Map, Value, json};

use super::{container, container_name, profile};
use crate::args::{Inspect, Profile};
use crate::error::Failure;
use crate::run::pairs;

/// Which probes a copy loses, unless they are kept.
const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

/// A copy of the pod, in which one of its containers is changed or another is added.
pub fn copy(args: &Inspect, original: &Value, name: &str) -> Result<(Value, String), Failure> {
    let mut spec = original["spec"].as_object().cloned().unwrap_or_default();
    spec.remove("ephemeralContainers");
    if !args.same_node {
        spec.remove("nodeName");
    }
    if !args.keep_init_containers {
        spec.remove("initContainers");
    }
    match args.share_processes {
        Some(shares) => drop(spec.insert("shareProcessNamespace".to_owned(), json!(shares))),
        None if args.profile == Profile::Baseline || args.profile == Profile::Restricted => {}
        None => drop(spec.entry("shareProcessNamespace").or_insert(json!(true))),
    }
    let mut containers: Vec<Map<String, Value>> = spec
        .get("containers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|one| one.as_object().cloned())
        .collect();
    let kept = [args.keep_liveness, args.keep_readiness, args.keep_startup];
    for one in &mut containers {
        PROBES.iter().zip(kept).filter(|(_, kept)| !kept).for_each(|(probe, _)| drop(one.remove(*probe)));
    }
    set_images(&pairs(args.set_image.iter().map(String::as_str), "set-image")?, &mut containers);
    let chosen = chosen(args, &mut containers)?;
    spec.insert("containers".to_owned(), containers.into_iter().map(Value::Object).collect());
    let mut metadata = json!({"name": name});
    for (kept, field) in [(args.keep_labels, "labels"), (args.keep_annotations, "annotations")] {
        if kept && original["metadata"][field].is_object() {
            metadata[field] = original["metadata"][field].clone();
        }
    }
    Ok((json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}), chosen))
}

fn set_images(images: &Map<String, Value>, containers: &mut [Map<String, Value>]) {
    for one in containers {
        let own = one.get("name").and_then(Value::as_str).and_then(|name| images.get(name));
        if let Some(image) = own.or(images.get("*")) {
            one.insert("image".to_owned(), image.clone());
        }
    }
}

/// The container to look around with: one that is there, with what was said of it, or another.
fn chosen(args: &Inspect, containers: &mut Vec<Map<String, Value>>) -> Result<String, Failure> {
    let there = |name: &str| containers.iter().position(|one| one.get("name").is_some_and(|own| own == name));
    if let Some((name, at)) = args.container.as_deref().and_then(|name| Some((name, there(name)?))) {
        let said = container(args, name, args.image.as_deref().unwrap_or(""))?;
        let one = &mut containers[at];
        if !args.words.is_empty() {
            // What replaces the command takes none of its arguments.
            ["command", "args"].iter().for_each(|key| drop(one.remove(*key)));
        }
        let is_said = |key: &str| match key {
            "image" => args.image.is_some(),
            "terminationMessagePolicy" => false,
            _ => true,
        };
        one.extend(said.into_iter().filter(|(key, _)| is_said(key)));
        profile::container(args.profile, false, one);
        return Ok(name.to_owned());
    }
    match &args.image {
        Some(image) => {
            let name = container_name(args);
            let mut made = container(args, &name, image)?;
            profile::container(args.profile, false, &mut made);
            containers.push(made);
            Ok(name)
        }
        None if args.words.is_empty() && args.container.is_none() => {
            let first = containers.first().and_then(|one| one.get("name")).and_then(Value::as_str);
            Ok(first.unwrap_or("").to_owned())
        }
        None => Err(Failure::said("you must specify image when creating new container")),
    }
}

/// A pod on a node. The server makes its name up.
pub fn on_node(args: &Inspect, node: &str, name: &str) -> Result<Value, Failure> {
    let mut made = container(args, name, args.image.as_deref().unwrap_or(""))?;
    profile::container(args.profile, true, &mut made);
    let mut spec = json!({
        "nodeName": node, "restartPolicy": "Never", "tolerations": [{"operator": "Exists"}],
    });
    if profile::sees_node(args.profile) {
        ["hostIPC", "hostNetwork", "hostPID"].iter().for_each(|field| spec[*field] = json!(true));
    }
    if profile::sees_files(args.profile) {
        made.insert("volumeMounts".to_owned(), json!([{"name": "host-root", "mountPath": "/host"}]));
        spec["volumes"] = json!([{"name": "host-root", "hostPath": {"path": "/"}}]);
    }
    spec["containers"] = json!([made]);
    let metadata = json!({
        "generateName": format!("node-debugger-{node}-"), "labels": {"app.kubernetes.io/managed-by": "kubectl-debug"},
    });
    Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
}

#[cfg(test)]
mod tests {
    use super::super::tests::args;
    use super::*;

    fn original() -> Value {
        json!({"metadata": {"name": "a", "labels": {"x": "y"}, "annotations": {"n": "o"}, "uid": "u"}, "status": {}, "spec": {
            "nodeName": "n", "ephemeralContainers": [{}], "initContainers": [{"name": "i"}], "containers": [
                {"name": "c", "image": "old", "command": ["a"], "args": ["b"], "readinessProbe": {}, "livenessProbe": {}},
                {"name": "d", "image": "old"}]}})
    }

    #[test]
    fn a_copy_is_another_pod_with_one_more_container() {
        let (made, name) = copy(&args("a --copy-to=b --image=i -c new -- sh"), &original(), "b").unwrap();
        assert_eq!((name.as_str(), &made["metadata"]), ("new", &json!({"name": "b"})));
        let spec = &made["spec"];
        assert_eq!((&spec["nodeName"], &spec["shareProcessNamespace"]), (&Value::Null, &json!(true)));
        assert_eq!(spec["containers"][0], json!({"name": "c", "image": "old", "command": ["a"], "args": ["b"]}));
        assert_eq!(spec["containers"][2]["command"], json!(["sh"]));
        assert!(spec["initContainers"].is_array() && spec["ephemeralContainers"].is_null());
    }

    #[test]
    fn a_copy_may_differ_in_what_is_said() {
        let line = "a --copy-to=b --set-image=*=new,d=other --same-node --keep-labels --keep-annotations --keep-liveness --keep-init-containers=false --share-processes=false";
        let (made, name) = copy(&args(line), &original(), "b").unwrap();
        assert_eq!((name.as_str(), &made["metadata"]["labels"]), ("c", &json!({"x": "y"})));
        let spec = &made["spec"];
        assert_eq!((&spec["nodeName"], &spec["shareProcessNamespace"]), (&json!("n"), &json!(false)));
        assert_eq!(
            (&spec["containers"][0]["image"], &spec["containers"][1]["image"]),
            (&json!("new"), &json!("other"))
        );
        assert!(
            spec["containers"][0]["livenessProbe"].is_object() && spec["containers"][0]["readinessProbe"].is_null()
        );
        assert!(spec["initContainers"].is_null());
        let (made, _) = copy(&args("a --copy-to=b -c c -- sh"), &original(), "b").unwrap();
        let changed = &made["spec"]["containers"][0];
        assert_eq!(
            (&changed["image"], &changed["command"], &changed["args"]),
            (&json!("old"), &json!(["sh"]), &Value::Null)
        );
        assert!(copy(&args("a --copy-to=b -c nobody -- sh"), &original(), "b").is_err());
        assert!(copy(&args("a --copy-to=b --set-image=x"), &original(), "b").is_err());
        assert!(copy(&args("a --copy-to=b --image=i -q"), &json!({"spec": 7}), "b").is_ok(), "odd objects do no harm");
    }

    #[test]
    fn a_node_shows_what_the_profile_lets_see() {
        for (profile, node, files, context) in [
            ("general", true, true, Value::Null),
            ("baseline", false, false, Value::Null),
            ("netadmin", true, false, json!({"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}})),
            ("sysadmin", true, true, json!({"privileged": true})),
        ] {
            let made = on_node(&args(&format!("node/n --image=i --profile={profile}")), "n", "debugger").unwrap();
            let spec = &made["spec"];
            assert_eq!(spec["hostPID"] == true, node, "{profile}");
            assert_eq!(
                spec["volumes"].is_array() && spec["containers"][0]["volumeMounts"].is_array(),
                files,
                "{profile}"
            );
            assert_eq!(spec["containers"][0]["securityContext"], context, "{profile}");
            assert_eq!(spec["tolerations"], json!([{"operator": "Exists"}]));
        }
    }
}
