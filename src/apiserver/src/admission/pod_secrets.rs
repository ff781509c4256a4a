//! What of Secrets and ConfigMaps a pod refers to, outside of volumes too.
//!
//! In: a pod. Out: names. Never reads the objects.

use std::collections::BTreeSet;

use kedge_api::Object;
use kedge_api::meta::{list_at, text, text_at};

/// Marks a pod that a node runs by itself.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];
/// Where volumes of several kinds name a Secret.
const IN_VOLUMES: [&[&str]; 10] = [
    &["secret", "secretName"],
    &["azureFile", "secretName"],
    &["cephfs", "secretRef", "name"],
    &["cinder", "secretRef", "name"],
    &["flexVolume", "secretRef", "name"],
    &["rbd", "secretRef", "name"],
    &["scaleIO", "secretRef", "name"],
    &["iscsi", "secretRef", "name"],
    &["storageos", "secretRef", "name"],
    &["csi", "nodePublishSecretRef", "name"],
];

/// Every Secret that the pod names.
pub(super) fn secrets(pod: &Object) -> BTreeSet<&str> {
    let mut all: BTreeSet<&str> =
        list_at(pod, &["spec", "imagePullSecrets"]).iter().map(|secret| text(secret, "name")).collect();
    all.extend(environment(pod, "secretRef", "secretKeyRef"));
    for volume in list_at(pod, &["spec", "volumes"]) {
        all.extend(IN_VOLUMES.iter().map(|path| text_at(volume, path)));
        all.extend(list_at(volume, &["projected", "sources"]).iter().map(|s| text_at(s, &["secret", "name"])));
    }
    all.remove("");
    all
}

/// Every ConfigMap that the pod names.
pub(super) fn config_maps(pod: &Object) -> BTreeSet<&str> {
    let mut all: BTreeSet<&str> = environment(pod, "configMapRef", "configMapKeyRef").collect();
    for volume in list_at(pod, &["spec", "volumes"]) {
        all.insert(text_at(volume, &["configMap", "name"]));
        all.extend(list_at(volume, &["projected", "sources"]).iter().map(|s| text_at(s, &["configMap", "name"])));
    }
    all.remove("");
    all
}

fn environment<'a>(pod: &'a Object, whole: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    CONTAINERS.iter().flat_map(|list| list_at(pod, &["spec", list])).flat_map(move |container| {
        let whole = list_at(container, &["envFrom"]).iter().map(move |from| text_at(from, &[whole, "name"]));
        whole.chain(list_at(container, &["env"]).iter().map(move |env| text_at(env, &["valueFrom", key, "name"])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_found_wherever_they_stand() {
        let pod = json!({"spec": {"imagePullSecrets": [{"name": "pull"}],
            "containers": [{"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "key"}}}, {"name": "B", "value": "x"}],
                "envFrom": [{"secretRef": {"name": "whole"}}, {"configMapRef": {"name": "map"}}]}],
            "volumes": [{"name": "a", "secret": {"secretName": "volume"}},
                {"name": "b", "projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "other"}}]}}]}});
        assert_eq!(secrets(&pod).into_iter().collect::<Vec<_>>(), ["key", "projected", "pull", "volume", "whole"]);
        assert_eq!(config_maps(&pod).into_iter().collect::<Vec<_>>(), ["map", "other"]);
    }
}
