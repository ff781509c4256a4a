//! PodPreset: environment and volumes that a namespace's presets put into the pods they select.
//!
//! In: new pods. Out: the same pods with what all matching presets say, and an annotation for each; or, when presets
//! and pod contradict each other, the pod as it was and a warning to the client. Kubernetes dropped the kind in 1.20;
//! it is served here with the other removed versions.

use async_trait::async_trait;
use kedge_api::Object;
use kedge_api::field::Path;
use kedge_api::meta::{self, list_at, text};
use kedge_api::selector::LabelSelector;
use kedge_api::status::Status;
use serde_json::{Value, json};

use super::pod_secrets::MIRROR;
use super::presence::Bound;
use super::{Admission, Attributes, Reader};

/// See the module.
#[derive(Debug)]
pub struct PodPreset;

const GROUP: &str = "settings.k8s.io";
const PREFIX: &str = "podpreset.admission.kubernetes.io";

#[async_trait]
impl Admission for PodPreset {
    fn name(&self) -> &'static str {
        "PodPreset"
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
        let opts_out = |pod: &Object| {
            let excluded = meta::annotation(pod, &format!("{PREFIX}/exclude")) == Some("true");
            excluded || meta::annotation(pod, MIRROR).is_some()
        };
        if !reader.any(Bound::Presets) || !attributes.creates("", "pods") || opts_out(pod) {
            return Ok(());
        }
        let all = reader.list(GROUP, "podpresets", attributes.namespace).await?;
        let presets: Vec<Object> = all.into_iter().filter(|preset| selects(preset, pod)).collect();
        if presets.is_empty() {
            return Ok(());
        }
        match apply(pod, &presets) {
            Ok(changed) => *pod = changed,
            Err(faults) => attributes.warn(format!("pod presets were not applied: {}", faults.join("; "))),
        }
        Ok(())
    }
}

fn selects(preset: &Object, pod: &Object) -> bool {
    let spec = Path::root("spec");
    let none = json!({});
    let labels = pod["metadata"].get("labels").unwrap_or(&none);
    // Without a selector a preset is for every pod.
    let selector = preset["spec"].get("selector").unwrap_or(&none);
    LabelSelector::from_object(Some(selector), &spec.child("selector")).is_ok_and(|selector| selector.matches(labels))
}

/// The pod with all presets, or everything that contradicts.
fn apply(pod: &Object, presets: &[Object]) -> Result<Object, Vec<String>> {
    let mut changed = pod.clone();
    let mut faults = Vec::new();
    let Some(spec) = changed.get_mut("spec").filter(|spec| spec.is_object()) else { return Ok(changed) };
    merge(spec, "volumes", presets, &["name"], &mut faults);
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            merge(container, "env", presets, &["name"], &mut faults);
            merge(container, "volumeMounts", presets, &["name", "mountPath"], &mut faults);
            merge(container, "envFrom", presets, &[], &mut faults);
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    for preset in presets {
        let key = format!("{PREFIX}/podpreset-{}", meta::name(preset));
        meta::set_annotation(&mut changed, &key, meta::resource_version(preset));
    }
    Ok(changed)
}

/// Appends what presets have in a list. Two entries that agree in any of `keys` must be the same.
fn merge(into: &mut Value, field: &str, presets: &[Object], keys: &[&str], faults: &mut Vec<String>) {
    let mut list = list_at(into, &[field]).to_vec();
    for preset in presets {
        for entry in list_at(preset, &["spec", field]) {
            let clash = keys.iter().find_map(|key| {
                let other = list.iter().find(|other| text(other, key) == text(entry, key))?;
                (other != entry).then(|| text(entry, key).to_owned())
            });
            if let Some(word) = clash {
                faults.push(format!("merging {field} of {} has a conflict on {word}", meta::name(preset)));
            } else if keys.is_empty() || !list.contains(entry) {
                list.push(entry.clone());
            }
        }
    }
    if !list.is_empty()
        && let Some(map) = into.as_object_mut()
    {
        map.insert(field.to_owned(), Value::Array(list));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preset() -> Value {
        json!({"metadata": {"name": "db", "resourceVersion": "7"}, "spec": {
            "selector": {"matchLabels": {"role": "web"}},
            "env": [{"name": "DB", "value": "here"}], "envFrom": [{"configMapRef": {"name": "more"}}],
            "volumes": [{"name": "cache", "emptyDir": {}}], "volumeMounts": [{"name": "cache", "mountPath": "/cache"}]}})
    }

    fn pod(env: Value) -> Value {
        json!({"metadata": {"labels": {"role": "web"}}, "spec": {"containers": [{"name": "c", "env": env}], "initContainers": [{"name": "i"}]}})
    }

    #[test]
    fn every_container_gets_what_the_preset_says() {
        assert!(selects(&preset(), &pod(json!([]))) && !selects(&preset(), &json!({"metadata": {}})));
        let own = json!({"name": "OWN", "value": "1"});
        let changed = apply(&pod(json!([own])), &[preset()]).unwrap();
        assert_eq!(changed["spec"]["containers"][0]["env"], json!([own, {"name": "DB", "value": "here"}]));
        assert_eq!(changed["spec"]["initContainers"][0]["volumeMounts"][0]["mountPath"], "/cache");
        assert_eq!(changed["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"], "more");
        assert_eq!(changed["spec"]["volumes"], json!([{"name": "cache", "emptyDir": {}}]));
        assert_eq!(meta::annotation(&changed, "podpreset.admission.kubernetes.io/podpreset-db"), Some("7"));
        let same = json!({"name": "DB", "value": "here"});
        assert_eq!(apply(&pod(json!([same])), &[preset()]).unwrap()["spec"]["containers"][0]["env"], json!([same]));
    }

    #[test]
    fn a_contradiction_changes_nothing() {
        let faults = apply(&pod(json!([{"name": "DB", "value": "there"}])), &[preset()]).unwrap_err();
        assert_eq!(faults, ["merging env of db has a conflict on DB"]);
        let mut other = preset();
        other["metadata"]["name"] = json!("x");
        other["spec"]["volumeMounts"] = json!([{"name": "other", "mountPath": "/cache"}]);
        let faults = apply(&pod(json!([])), &[preset(), other]).unwrap_err();
        assert_eq!(faults[0], "merging volumeMounts of x has a conflict on /cache");
    }
}
