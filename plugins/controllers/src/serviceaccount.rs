//! What every namespace has from the start: the ServiceAccount `default` and the ConfigMap with the root certificate.
//!
//! In: Namespaces. Out: both objects, made again when they go; the ConfigMap put right when somebody changes it.

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Controller, Wakes};
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind};
use serde_json::json;

use crate::world::{self, Outcome};

const ROOT_CA: &str = "kube-root-ca.crt";
const ROOT_CA_NOTE: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

fn namespaces() -> Kind {
    world::kind("", "v1", "Namespace")
}

fn namespace_watch() -> kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::Watch {
    let own = [("status.phase", FieldType::Text), ("metadata.deletionTimestamp", FieldType::Time)];
    world::watch(namespaces(), &own, &[Wakes::Itself])
}

/// What the ServiceAccount controller watches.
pub fn declare() -> Controller {
    let accounts = world::kind("", "v1", "ServiceAccount");
    Controller {
        name: "serviceaccount-controller".into(),
        watches: vec![
            namespace_watch(),
            world::watch(accounts, &[("metadata.uid", FieldType::Text)], &[Wakes::Namespace]),
        ],
        workers: 1,
    }
}

/// What the publisher of the root certificate watches.
pub fn declare_root_ca() -> Controller {
    let maps = world::kind("", "v1", "ConfigMap");
    let fields = [("data.\"ca.crt\"", FieldType::Text), ("data", FieldType::Count)];
    Controller {
        name: "root-ca-cert-publisher".into(),
        watches: vec![namespace_watch(), world::watch(maps, &fields, &[Wakes::Namespace])],
        workers: 1,
    }
}

/// Whether the namespace is there to stay.
fn stays(key: &Key) -> bool {
    let found = world::row_of(0, key);
    found.first().is_some_and(|row| !row.has(1) && row.text(0) != Some("Terminating"))
}

/// The default ServiceAccount of one namespace.
pub fn reconcile(key: &Key) -> Outcome {
    let there = world::row_of(1, &Key { namespace: key.name.clone(), name: "default".into() });
    if !stays(key) || there.count() > 0 {
        return Ok(None);
    }
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": key.name},
    });
    made(world::create(&world::kind("", "v1", "ServiceAccount"), &key.name, &account), "ServiceAccount", "default")
}

/// The ConfigMap of one namespace.
pub fn reconcile_root_ca(key: &Key, pem: &str) -> Outcome {
    if pem.is_empty() || !stays(key) {
        return Ok(None);
    }
    let maps = world::kind("", "v1", "ConfigMap");
    let wanted = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": ROOT_CA, "namespace": key.name,
            "annotations": {"kubernetes.io/description": ROOT_CA_NOTE},
        },
        "data": {"ca.crt": pem},
    });
    let there = world::row_of(1, &Key { namespace: key.name.clone(), name: ROOT_CA.into() });
    let Some(row) = there.first() else {
        return made(world::create(&maps, &key.name, &wanted), "ConfigMap", ROOT_CA);
    };
    // Each ConfigMap of the namespace wakes us: nothing is asked of the API as long as ours is right.
    if row.text(0) == Some(pem) && row.integer(1) == Some(1) {
        return Ok(None);
    }
    let Some(mut whole) = world::get(&maps, &key.name, ROOT_CA)? else { return Ok(None) };
    if whole["data"] == wanted["data"] {
        return Ok(None);
    }
    whole["data"] = wanted["data"].clone();
    let patch = json!({"metadata": {"resourceVersion": whole["metadata"]["resourceVersion"]}, "data": null});
    world::one(world::merge(&maps, &key.name, ROOT_CA, "", &patch))
        .map_err(|e| world::said("put right", "ConfigMap", ROOT_CA, &e))?;
    world::one(world::merge(&maps, &key.name, ROOT_CA, "", &json!({"data": wanted["data"]})))
        .map(|_| None)
        .map_err(|e| world::said("put right", "ConfigMap", ROOT_CA, &e))
}

fn made(
    answer: Result<String, kedge_plugin_sdk::controller::kedge::plugin::objects::Failure>,
    kind: &str,
    name: &str,
) -> Outcome {
    match answer {
        Ok(_) => Ok(None),
        Err(e) if e.reason == "AlreadyExists" || e.code == 404 => Ok(None),
        // The namespace is going away: nothing is left to do.
        Err(e) if e.code == 403 && e.message.contains("being terminated") => Ok(None),
        Err(e) => Err(world::said("create", kind, name, &e)),
    }
}
