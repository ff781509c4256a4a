//! ServiceAccount: every pod runs as an account of its namespace, and finds that account's token
//! where Kubernetes' libraries look for it.

use std::time::Duration;

use async_trait::async_trait;
use kedge_api::status::Status;
use kedge_api::{Object, meta};
use serde_json::{Value, json};

use super::{Admission, Attributes, Operation, Reader};

/// See the module.
#[derive(Debug)]
pub struct ServiceAccount;

/// Where containers find the token.
const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// An hour, and seven seconds by which these volumes are told from those that people write.
const TOKEN_SECONDS: u64 = 3607;
/// How long a pod waits for the account of a namespace that was just made.
const PATIENCE: Duration = Duration::from_secs(2);
/// Marks a pod that a node runs by itself.
const MIRROR: &str = "kubernetes.io/config.mirror";

#[async_trait]
impl Admission for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        pod: &mut Object,
        _old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        if attributes.operation != Operation::Create || !attributes.is("", "pods") {
            return Ok(());
        }
        if meta::annotation(pod, MIRROR).is_some() {
            if !meta::text_at(pod, &["spec", "serviceAccountName"]).is_empty() {
                return Err(attributes.forbidden("a mirror pod may not reference service accounts"));
            }
            return Ok(());
        }
        if pod.get("spec").is_none_or(|s| !s.is_object()) {
            return Ok(()); // Validation says so.
        }
        let given = [&["spec", "serviceAccountName"][..], &["spec", "serviceAccount"][..]]
            .into_iter()
            .map(|path| meta::text_at(pod, path))
            .find(|name| !name.is_empty());
        let name = given.unwrap_or("default").to_owned();
        pod["spec"]["serviceAccountName"] = json!(name);
        pod["spec"]["serviceAccount"] = json!(name);

        let namespace = attributes.namespace;
        let Some(account) = reader.get_soon("", "serviceaccounts", namespace, &name, PATIENCE).await? else {
            return Err(attributes.forbidden(format!(
                "error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"
            )));
        };
        if wants_token(pod, &account) {
            mount_token(pod, &format!("kube-api-access-{}", reader.random().suffix()));
        }
        if meta::list_at(pod, &["spec", "imagePullSecrets"]).is_empty()
            && let Some(secrets) =
                account.get("imagePullSecrets").filter(|s| s.as_array().is_some_and(|s| !s.is_empty()))
        {
            pod["spec"]["imagePullSecrets"] = secrets.clone();
        }
        Ok(())
    }
}

/// The pod decides; if it is silent the account does; if both are, yes.
fn wants_token(pod: &Object, account: &Object) -> bool {
    pod["spec"]
        .get("automountServiceAccountToken")
        .and_then(Value::as_bool)
        .or_else(|| account.get("automountServiceAccountToken").and_then(Value::as_bool))
        .unwrap_or(true)
}

/// Adds the mount to every container that has none there, and the volume if anybody mounts it.
fn mount_token(pod: &mut Object, new_volume: &str) {
    let existing = meta::list_at(pod, &["spec", "volumes"])
        .iter()
        .map(|v| meta::text(v, "name"))
        .find(|name| name.starts_with("kube-api-access-"))
        .map(str::to_owned);
    let volume = existing.clone().unwrap_or_else(|| new_volume.to_owned());
    let mut mounted = false;
    for list in ["containers", "initContainers"] {
        let Some(containers) = pod["spec"].get_mut(list).and_then(Value::as_array_mut) else { continue };
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
            if mounts.is_null() {
                *mounts = json!([]);
            }
            let Some(mounts) = mounts.as_array_mut() else { continue };
            if mounts.iter().all(|m| meta::text(m, "mountPath") != MOUNT) {
                mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNT}));
                mounted = true;
            }
        }
    }
    if !mounted || existing.is_some() {
        return;
    }
    let source = json!({"name": volume, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}});
    match pod["spec"].get_mut("volumes").and_then(Value::as_array_mut) {
        Some(volumes) => volumes.push(source),
        None => pod["spec"]["volumes"] = json!([source]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mut pod: Value, account: Value, volumes: usize, mounts: usize) {
        if wants_token(&pod, &account) {
            mount_token(&mut pod, "kube-api-access-abcde");
        }
        assert_eq!(meta::list_at(&pod, &["spec", "volumes"]).len(), volumes);
        assert_eq!(pod["spec"]["containers"][0]["volumeMounts"].as_array().map_or(0, Vec::len), mounts);
    }

    #[test]
    fn the_token_is_mounted_unless_pod_or_account_say_no() {
        let pod = json!({"spec": {"containers": [{"name": "a"}]}});
        check(pod.clone(), json!({}), 1, 1);
        check(pod.clone(), json!({"automountServiceAccountToken": false}), 0, 0);
        let mut yes = pod.clone();
        yes["spec"]["automountServiceAccountToken"] = json!(true);
        check(yes, json!({"automountServiceAccountToken": false}), 1, 1);
        let mut own = pod;
        own["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "mine", "mountPath": MOUNT}]);
        check(own, json!({}), 0, 1);
    }
}
