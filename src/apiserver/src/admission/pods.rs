//! Small rules about pods and nodes: images that are always pulled, tolerations for extended resources, topology
//! labels of the node, resizes that fit the node, and new nodes that are not ready yet.
//!
//! In: pods, bindings, nodes. Out: the same, changed; or 403.

use std::collections::BTreeSet;

use async_trait::async_trait;
use kedge_api::Object;
use kedge_api::field::{FieldError, Path};
use kedge_api::kinds::Sub;
use kedge_api::meta::{self, at, list_at, text, text_at};
use kedge_api::quantity::Quantity;
use kedge_api::resources::{self, Counting, Half};
use kedge_api::status::Status;
use serde_json::{Value, json};

use super::{Admission, Attributes, Operation, Reader};

/// AlwaysPullImages: nobody uses an image that somebody else may pull and they may not.
#[derive(Debug)]
pub struct AlwaysPullImages;

/// ExtendedResourceToleration: a pod that asks for a special device tolerates the taint of its name.
#[derive(Debug)]
pub struct ExtendedResourceToleration;

/// PodTopologyLabels: a bound pod has the zone and region of its node as labels.
#[derive(Debug)]
pub struct PodTopologyLabels;

/// PodResizeValidator: a resize that the node can never satisfy is refused at once.
#[derive(Debug)]
pub struct PodResizeValidator;

/// TaintNodesByCondition: a new node takes no pods until it is found ready.
#[derive(Debug)]
pub struct TaintNodesByCondition;

const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

fn writes(attributes: &Attributes<'_>) -> bool {
    matches!(attributes.operation, Operation::Create | Operation::Update)
}

fn images(pod: &Object) -> BTreeSet<&str> {
    LISTS.iter().flat_map(|list| list_at(pod, &["spec", list])).map(|c| text(c, "image")).collect()
}

impl AlwaysPullImages {
    fn applies(attributes: &Attributes<'_>, pod: &Object, old: Option<&Object>) -> bool {
        let new_images = || old.is_none_or(|old| !images(pod).is_subset(&images(old)));
        writes(attributes) && attributes.is("", "pods") && new_images()
    }
}

#[async_trait]
impl Admission for AlwaysPullImages {
    fn name(&self) -> &'static str {
        "AlwaysPullImages"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns("", "pods")
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        pod: &mut Object,
        old: Option<&Object>,
        _reader: Reader<'_>,
    ) -> Result<(), Status> {
        if !Self::applies(attributes, pod, old) {
            return Ok(());
        }
        let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(()) };
        for list in LISTS {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(container) = container.as_object_mut() {
                    container.insert("imagePullPolicy".to_owned(), json!("Always"));
                }
            }
        }
        for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(image) = volume.get_mut("image").and_then(Value::as_object_mut) {
                image.insert("pullPolicy".to_owned(), json!("Always"));
            }
        }
        Ok(())
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        pod: Option<&Object>,
        old: Option<&Object>,
        _reader: Reader<'_>,
    ) -> Result<(), Status> {
        let Some(pod) = pod.filter(|pod| Self::applies(attributes, pod, old)) else { return Ok(()) };
        let spec = Path::root("spec");
        for list in LISTS {
            for (place, container) in list_at(pod, &["spec", list]).iter().enumerate() {
                let policy = text(container, "imagePullPolicy");
                if policy != "Always" {
                    let path = spec.child(list);
                    let path = path.index(place);
                    return Err(attributes.forbidden(FieldError::not_supported(
                        &path.child("imagePullPolicy"),
                        policy,
                        &["Always"],
                    )));
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Admission for ExtendedResourceToleration {
    fn name(&self) -> &'static str {
        "ExtendedResourceToleration"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns("", "pods")
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        pod: &mut Object,
        _old: Option<&Object>,
        _reader: Reader<'_>,
    ) -> Result<(), Status> {
        if writes(attributes) && attributes.is("", "pods") {
            tolerate(pod);
        }
        Ok(())
    }
}

fn tolerate(pod: &mut Object) {
    let extended =
        |name: &String| name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.");
    let asked: BTreeSet<String> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| list_at(pod, &["spec", list]))
        .flat_map(|container| resources::of_container(container, Half::Requests).into_keys())
        .filter(extended)
        .collect();
    if asked.is_empty() {
        return;
    }
    let tolerations = meta::child_mut(pod, "spec").entry("tolerations").or_insert_with(|| json!([]));
    if tolerations.is_null() {
        *tolerations = json!([]);
    }
    let Some(list) = tolerations.as_array_mut() else { return };
    for name in asked {
        let wanted = json!({"key": name, "operator": "Exists", "effect": "NoSchedule"});
        if !list.contains(&wanted) {
            list.push(wanted);
        }
    }
}

#[async_trait]
impl Admission for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns("", "pods")
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        object: &mut Object,
        _old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        if attributes.operation != Operation::Create || !attributes.concerns("", "pods") {
            return Ok(());
        }
        let node = match attributes.subresource {
            None => text_at(object, &["spec", "nodeName"]),
            Some(Sub::Binding) if matches!(text_at(object, &["target", "kind"]), "Node" | "") => {
                text_at(object, &["target", "name"])
            }
            Some(_) => "",
        };
        if node.is_empty() {
            return Ok(());
        }
        let labels = reader.labels("", "nodes", "", node, "topology.kubernetes.io/").await?;
        for (key, value) in labels.into_iter().flatten() {
            if matches!(key.as_str(), "topology.kubernetes.io/zone" | "topology.kubernetes.io/region") {
                meta::set_label(object, &key, &value);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Admission for PodResizeValidator {
    fn name(&self) -> &'static str {
        "PodResizeValidator"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns("", "pods")
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        pod: Option<&Object>,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let (Some(pod), Some(old)) = (pod, old) else { return Ok(()) };
        let node = text_at(pod, &["spec", "nodeName"]);
        if attributes.operation != Operation::Update
            || !attributes.is_pod(Sub::Resize)
            || node.is_empty()
            || meta::generation(pod) == meta::generation(old)
        {
            return Ok(());
        }
        let Some(node_object) = reader.get("", "nodes", "", node).await? else {
            return Err(attributes.forbidden(format!("node {node:?} not found")));
        };
        match meta::label(&node_object, "kubernetes.io/os") {
            None | Some("linux") => {}
            Some(other) => {
                let why = format!("pod resize is only supported on linux nodes, node {node:?} is {other:?}");
                return Err(attributes.forbidden(why).with_cause("UnsupportedPlatform", "", ""));
            }
        }
        match beyond(pod, &node_object) {
            None => Ok(()),
            Some(why) => Err(attributes.forbidden(why).with_cause("NodeCapacity", "", "")),
        }
    }
}

/// What of the pod's requests the node does not have at all.
fn beyond(pod: &Object, node: &Object) -> Option<String> {
    let asked = resources::of_pod(pod, Half::Requests, Counting { overhead: true, status: false });
    let there = resources::read(at(node, &["status", "allocatable"]));
    let amount = |of: &resources::Amounts, name: &str| of.get(name).copied().unwrap_or(Quantity::ZERO);
    let over = |name: &str, print: fn(&Quantity) -> i64| {
        let (asked, there) = (amount(&asked, name), amount(&there, name));
        let words = || format!("{name}, requested: {}, allocatable: {}", print(&asked), print(&there));
        (asked > there).then(words)
    };
    let all: Vec<String> =
        [over("cpu", Quantity::milli_value), over("memory", Quantity::value)].into_iter().flatten().collect();
    (!all.is_empty()).then(|| format!("node didn't have enough allocatable resources: {}", all.join("; ")))
}

#[async_trait]
impl Admission for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns("", "nodes")
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        node: &mut Object,
        _old: Option<&Object>,
        _reader: Reader<'_>,
    ) -> Result<(), Status> {
        const TAINT: (&str, &str) = ("node.kubernetes.io/not-ready", "NoSchedule");
        if !attributes.creates("", "nodes") {
            return Ok(());
        }
        let has =
            list_at(node, &["spec", "taints"]).iter().any(|taint| (text(taint, "key"), text(taint, "effect")) == TAINT);
        if has {
            return Ok(());
        }
        let taints = meta::child_mut(node, "spec").entry("taints").or_insert_with(|| json!([]));
        if taints.is_null() {
            *taints = json!([]);
        }
        if let Some(list) = taints.as_array_mut() {
            list.push(json!({"key": TAINT.0, "effect": TAINT.1}));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_devices_are_tolerated() {
        let mut pod = json!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"example.com/gpu": "1", "cpu": "1"}}}]}});
        tolerate(&mut pod);
        tolerate(&mut pod);
        assert_eq!(
            pod["spec"]["tolerations"],
            json!([{"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"}])
        );
    }

    #[test]
    fn a_resize_must_fit_the_node() {
        let pod =
            json!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "3", "memory": "1Gi"}}}]}});
        let node = |cpu: &str| json!({"status": {"allocatable": {"cpu": cpu, "memory": "2Gi"}}});
        assert_eq!(beyond(&pod, &node("4")), None);
        assert_eq!(
            beyond(&pod, &node("2")).as_deref(),
            Some("node didn't have enough allocatable resources: cpu, requested: 3000, allocatable: 2000")
        );
    }
}
