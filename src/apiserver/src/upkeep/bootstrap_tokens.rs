//! Bootstrap tokens beside authentication: expired ones go, and those for signing sign
//! `kube-public/cluster-info`, by which a machine that joins knows the cluster.
//!
//! In: the kept tokens. Out: deletions, the ConfigMap with one signature a token. [`signed`] is pure.

use std::collections::BTreeMap;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kedge_api::{Object, meta};
use ring::hmac;
use serde_json::{Value, json};

use super::secrets::{earlier, put, remove};
use crate::authn::bootstrap;
use crate::core::Core;
use crate::registry::{decode_kept, keys};

/// The key of the ConfigMap.
pub const INFO: &str = "/core/configmaps/kube-public/cluster-info";
const NAMESPACE: &str = "kube-public";
const NAME: &str = "cluster-info";
const KUBECONFIG: &str = "kubeconfig";
/// Before a token's id in the ConfigMap's keys.
const SIGNATURE: &str = "jws-kubeconfig-";

/// Makes everything as the tokens want it; out: when the next of them ends.
pub async fn settle(core: &Core) -> Option<SystemTime> {
    let prefix = keys::fixed("", "secrets", bootstrap::NAMESPACE, bootstrap::PREFIX);
    let page = core.store.readable(&prefix).await.ok()?;
    let now = core.clock.now();
    let mut next = None;
    let mut signers: Vec<(String, String)> = Vec::new();
    for entry in &page.entries {
        let Ok(secret) = decode_kept(entry) else { continue };
        if meta::text(&secret, "type") != bootstrap::TYPE {
            continue;
        }
        match bootstrap::ends(&secret) {
            Some(Some(end)) if end <= now => {
                if let Err(status) = remove(core, bootstrap::NAMESPACE, meta::name(&secret)).await {
                    tracing::warn!(name = meta::name(&secret), %status, "an expired bootstrap token cannot be removed");
                }
                continue;
            }
            Some(end) => next = earlier(next, end),
            None => {}
        }
        if bootstrap::value(&secret, "usage-bootstrap-signing") == "true" {
            signers.push((bootstrap::value(&secret, "token-id"), bootstrap::value(&secret, "token-secret")));
        }
    }
    if let Err(status) = sign(core, &signers).await {
        tracing::warn!(%status, "kube-public/cluster-info cannot be signed");
    }
    next
}

async fn sign(core: &Core, signers: &[(String, String)]) -> Result<(), kedge_api::status::Status> {
    let kept = core.reader().get("", "configmaps", NAMESPACE, NAME).await?;
    let exists = kept.is_some();
    if !exists && signers.is_empty() {
        return Ok(());
    }
    let before = kept.unwrap_or_else(|| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": NAMESPACE},
            "data": {KUBECONFIG: kubeconfig(core)}})
    });
    let wanted = signed(before.clone(), signers);
    if exists && wanted == before { Ok(()) } else { put(core, "configmaps", wanted, exists).await }
}

/// The ConfigMap with a signature of each signer, and of nobody else.
fn signed(mut info: Object, signers: &[(String, String)]) -> Object {
    let text = meta::text_at(&info, &["data", KUBECONFIG]).to_owned();
    if text.is_empty() {
        return info;
    }
    let wanted: BTreeMap<String, String> = signers
        .iter()
        .filter(|(id, secret)| !id.is_empty() && !secret.is_empty())
        .map(|(id, secret)| (format!("{SIGNATURE}{id}"), detached(&text, id, secret)))
        .collect();
    let data = meta::child_mut(&mut info, "data");
    data.retain(|key, _| !key.starts_with(SIGNATURE) || wanted.contains_key(key));
    data.extend(wanted.into_iter().map(|(key, value)| (key, Value::String(value))));
    info
}

/// A JSON Web Signature without its content, by the token's secret.
fn detached(content: &str, id: &str, secret: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "kid": id}).to_string());
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Where the cluster is and whom to trust, without a user.
fn kubeconfig(core: &Core) -> String {
    let document = json!({
        "apiVersion": "v1", "kind": "Config", "contexts": [], "users": [], "current-context": "",
        "clusters": [{"name": "", "cluster": {
            "server": format!("https://{}:{}", core.advertised(), core.config.port),
            "certificate-authority-data": STANDARD.encode(core.authority.certificate_pem()),
        }}],
    });
    // JSON values always have a YAML form.
    serde_yaml::to_string(&document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_signs_and_signatures_of_others_go() {
        let info = json!({"data": {KUBECONFIG: "text", "jws-kubeconfig-gone": "x", "other": "stays"}});
        let signers = [("abcdef".to_owned(), "0123456789abcdef".to_owned())];
        let after = signed(info, &signers);
        let data = after["data"].as_object().unwrap();
        let names: Vec<&str> = data.keys().map(String::as_str).collect();
        assert_eq!(names, ["jws-kubeconfig-abcdef", KUBECONFIG, "other"]);
        let signature = data["jws-kubeconfig-abcdef"].as_str().unwrap();
        let (header, tag) = signature.split_once("..").unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(header).unwrap(), br#"{"alg":"HS256","kid":"abcdef"}"#);
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef");
        let whole = format!("{header}.{}", URL_SAFE_NO_PAD.encode("text"));
        hmac::verify(&key, whole.as_bytes(), &URL_SAFE_NO_PAD.decode(tag).unwrap()).unwrap();
        assert_eq!(signed(after.clone(), &signers), after);
    }
}
