//! ServiceAccount: every pod runs as an account of its namespace, and finds that account's token
//! where Kubernetes' libraries look for it.

use std::time::Duration;

use async_trait::async_trait;
use kedge_api::kinds::Sub;
use kedge_api::status::Status;
use kedge_api::{Object, meta};
use serde_json::{Value, json};

use super::pod_secrets::{self, MIRROR};
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
/// The account of pods that name none.
const DEFAULT: &str = "default";

#[async_trait]
impl Admission for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
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
        if !attributes.creates("", "pods") || pod.get("spec").is_none_or(|s| !s.is_object()) {
            return Ok(()); // Validation says so.
        }
        if meta::annotation(pod, MIRROR).is_some() {
            return mirror(attributes, pod);
        }
        let given = [&["spec", "serviceAccountName"][..], &["spec", "serviceAccount"][..]]
            .into_iter()
            .map(|path| meta::text_at(pod, path))
            .find(|name| !name.is_empty());
        let name = given.unwrap_or(DEFAULT).to_owned();
        pod["spec"]["serviceAccountName"] = json!(name);
        pod["spec"]["serviceAccount"] = json!(name);

        let account = account(attributes, &name, reader).await?;
        if wants_token(pod, &account) {
            mount_token(pod, &format!("kube-api-access-{}", reader.random().suffix()));
        }
        if meta::list_at(pod, &["spec", "imagePullSecrets"]).is_empty() {
            let secrets = meta::list_at(&account, &["imagePullSecrets"]).iter();
            let names: Vec<Value> = secrets.map(|secret| json!({"name": meta::text(secret, "name")})).collect();
            if !names.is_empty() {
                pod["spec"]["imagePullSecrets"] = Value::Array(names);
            }
        }
        limit(attributes, pod, &account)
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        pod: Option<&Object>,
        _old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let Some(pod) = pod else { return Ok(()) };
        let debugs = attributes.operation == Operation::Update && attributes.is_pod(Sub::EphemeralContainers);
        if !debugs && !attributes.creates("", "pods") {
            return Ok(());
        }
        if meta::annotation(pod, MIRROR).is_some() {
            return if debugs { Ok(()) } else { mirror(attributes, pod) };
        }
        // Another plugin may have changed what this one made of the pod.
        let name = meta::text_at(pod, &["spec", "serviceAccountName"]);
        if name.is_empty() {
            let (namespace, name) = (attributes.namespace, attributes.name);
            return Err(attributes.forbidden(format!("no service account specified for pod {namespace}/{name}")));
        }
        let account = account(attributes, name, reader).await?;
        if debugs { limit_debuggers(attributes, pod, &account) } else { limit(attributes, pod, &account) }
    }
}

/// The account; the one that every namespace has may still be on its way.
async fn account(attributes: &Attributes<'_>, name: &str, reader: Reader<'_>) -> Result<Object, Status> {
    let namespace = attributes.namespace;
    let found = match name {
        DEFAULT => reader.get_soon("", "serviceaccounts", namespace, name, PATIENCE).await?,
        _ => reader.get("", "serviceaccounts", namespace, name).await?,
    };
    found.ok_or_else(|| {
        attributes.forbidden(format!(
            "error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"
        ))
    })
}

/// The mirror of a pod that a node runs by itself knows nothing of accounts and secrets.
fn mirror(attributes: &Attributes<'_>, pod: &Object) -> Result<(), Status> {
    let refuse = |why: &str| Err(attributes.forbidden(why));
    if !meta::text_at(pod, &["spec", "serviceAccountName"]).is_empty() {
        return refuse("a mirror pod may not reference service accounts");
    }
    if !pod_secrets::secrets(pod).is_empty() {
        return refuse("a mirror pod may not reference secrets");
    }
    let mut sources =
        meta::list_at(pod, &["spec", "volumes"]).iter().flat_map(|v| meta::list_at(v, &["projected", "sources"]));
    if sources.any(|source| meta::at(source, &["serviceAccountToken"]).is_some()) {
        return refuse("a mirror pod may not use ServiceAccountToken volume projections");
    }
    Ok(())
}

/// Whether pods of the account may only use the Secrets that the account names.
fn is_limited(account: &Object) -> bool {
    let word = meta::annotation(account, "kubernetes.io/enforce-mountable-secrets").unwrap_or("");
    matches!(word, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

fn named<'a>(account: &'a Object, list: &str) -> Vec<&'a str> {
    meta::list_at(account, &[list]).iter().map(|secret| meta::text(secret, "name")).collect()
}

fn limit(attributes: &Attributes<'_>, pod: &Object, account: &Object) -> Result<(), Status> {
    if !is_limited(account) {
        return Ok(());
    }
    let name = meta::name(account);
    let allowed = named(account, "secrets");
    for volume in meta::list_at(pod, &["spec", "volumes"]) {
        if meta::at(volume, &["secret"]).is_none() {
            continue;
        }
        let secret = meta::text_at(volume, &["secret", "secretName"]);
        if !allowed.contains(&secret) {
            return Err(attributes.forbidden(format!(
                "volume with secret.secretName=\"{secret}\" is not allowed because service account {name} does not reference that secret"
            )));
        }
    }
    let lists = [("initContainers", "init container"), ("containers", "container")];
    if let Some(why) = lists.into_iter().find_map(|(list, called)| foreign(pod, list, called, &allowed, name)) {
        return Err(attributes.forbidden(why));
    }
    let pulls = named(account, "imagePullSecrets");
    for (place, secret) in named(&pod["spec"], "imagePullSecrets").into_iter().enumerate() {
        if !pulls.contains(&secret) {
            return Err(attributes.forbidden(format!(
                "imagePullSecrets[{place}].name=\"{secret}\" is not allowed because service account {name} does not reference that imagePullSecret"
            )));
        }
    }
    Ok(())
}

fn limit_debuggers(attributes: &Attributes<'_>, pod: &Object, account: &Object) -> Result<(), Status> {
    let allowed = named(account, "secrets");
    let found = foreign(pod, "ephemeralContainers", "ephemeral container", &allowed, meta::name(account));
    match found.filter(|_| is_limited(account)) {
        Some(why) => Err(attributes.forbidden(why)),
        None => Ok(()),
    }
}

/// The first use of a Secret in the environment of those containers that the account does not allow.
fn foreign(pod: &Object, list: &str, called: &str, allowed: &[&str], account: &str) -> Option<String> {
    for container in meta::list_at(pod, &["spec", list]) {
        let name = meta::text(container, "name");
        for env in meta::list_at(container, &["env"]) {
            let secret = meta::text_at(env, &["valueFrom", "secretKeyRef", "name"]);
            if !secret.is_empty() && !allowed.contains(&secret) {
                return Some(format!(
                    "{called} {name} with envVar {} referencing secret.secretName=\"{secret}\" is not allowed because service account {account} does not reference that secret",
                    meta::text(env, "name")
                ));
            }
        }
        for from in meta::list_at(container, &["envFrom"]) {
            let secret = meta::text_at(from, &["secretRef", "name"]);
            if !secret.is_empty() && !allowed.contains(&secret) {
                return Some(format!(
                    "{called} {name} with envFrom referencing secret.secretName=\"{secret}\" is not allowed because service account {account} does not reference that secret"
                ));
            }
        }
    }
    None
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
    for list in ["initContainers", "containers"] {
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
    fn an_account_may_limit_its_pods_to_its_secrets() {
        let account = json!({"metadata": {"name": "sa", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}},
            "secrets": [{"name": "mine"}]});
        assert!(is_limited(&account) && !is_limited(&json!({})));
        let pod = |secret: &str| json!({"spec": {"containers": [{"name": "c", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": secret}}}]}]}});
        let allowed = named(&account, "secrets");
        assert_eq!(foreign(&pod("mine"), "containers", "container", &allowed, "sa"), None);
        assert_eq!(
            foreign(&pod("other"), "containers", "container", &allowed, "sa").as_deref(),
            Some(
                "container c with envVar A referencing secret.secretName=\"other\" is not allowed because service account sa does not reference that secret"
            )
        );
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
