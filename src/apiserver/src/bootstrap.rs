//! What is there from the start: namespaces, default roles, priority classes, the Service
//! `kubernetes`. Missing parts are made again at every start.
//!
//! In: the store. Out: objects, through the registry like anybody's. The first start writes them
//! side by side, so that they share commits; later starts only read.

use std::collections::HashMap;

use futures::StreamExt as _;
use kedge_api::kinds::{Gvk, Sub};
use kedge_api::status::{Reason, Status};
use kedge_api::{Object, meta};
use kedge_store::ReadError;
use serde_json::{Value, json};

use crate::aggregation::{AUTOMANAGED, table};
use crate::authz::defaults;
use crate::core::Core;
use crate::flow;
use crate::identity::Identity;
use crate::registry::own::Own;
use crate::registry::update::Change;
use crate::registry::{Act, body, create, delete, keys, rules, update};

/// The namespaces of the system.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// A range stays while Services have addresses of it: the Service `kubernetes` always has.
pub const RANGE_IN_USE: &str = "networking.k8s.io/service-cidr-finalizer";
/// Writes under way at once: enough to fill a commit, few enough to hold in memory.
const SIDE_BY_SIDE: usize = 64;

/// Makes what is missing.
pub async fn run(core: &Core) -> Result<(), Status> {
    let namespaces =
        NAMESPACES.map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    ensure(core, namespaces.to_vec(), |_, _| None).await?;
    let roles = defaults::objects().map_err(|e| Status::internal(e.to_string()))?;
    ensure(core, roles, defaults::reconcile).await?;
    ensure(core, priority_classes(), |_, _| None).await?;
    ensure(core, flow::defaults::objects(), flow::defaults::reconcile).await?;
    service_range(core).await?;
    note_services(core).await?;
    ensure(core, vec![authentication(core)], points_here).await?;
    services(core).await?;
    kubernetes(core).await
}

/// Makes the ServiceCIDR that stands for the configured range, and says that it is ready.
pub async fn service_range(core: &Core) -> Result<(), Status> {
    let (network, prefix) = core.config.service_network;
    let range = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes", "finalizers": [RANGE_IN_USE]},
        "spec": {"cidrs": [format!("{network}/{prefix}")]},
    });
    let key = key(core, &range)?;
    ensure(core, vec![range], |found, _| {
        let mut held = found.clone();
        meta::add_finalizer(&mut held, RANGE_IN_USE);
        (held != *found).then_some(held)
    })
    .await?;
    let read = |error| Status::internal(format!("cannot read what is kept: {error}"));
    let Some(entry) = core.store.get(&key).await.map_err(read)? else { return Ok(()) };
    let mut found = body::decode(&entry.bytes).map_err(|error| Status::internal(error.to_string()))?;
    if !meta::list_at(&found, &["status", "conditions"]).is_empty() {
        return Ok(());
    }
    found["status"] = json!({"conditions": [{
        "type": "Ready", "status": "True", "reason": "DefaultRange", "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": core.timestamp(),
    }]});
    let kinds = core.kinds();
    let kind = kinds.by_gvk(&gvk(&found)).ok_or_else(Status::no_such_resource)?;
    let own = Own::server(core);
    let act = Act { sub: Some(Sub::Status), ..own.act(kind, "", "kubernetes") };
    match update::update(&act, Change::Replace(found)).await {
        Err(status) if status.reason != Reason::Conflict => Err(status),
        _ => Ok(()),
    }
}

/// The APIServices of what this server answers; those that an earlier release made and this one
/// does not go.
async fn services(core: &Core) -> Result<(), Status> {
    let wanted = table::wanted(&core.kinds());
    for found in core.reader().list("apiregistration.k8s.io", "apiservices", "").await? {
        let ours = meta::label(&found, AUTOMANAGED) == Some("onstart");
        if ours && !wanted.iter().any(|object| meta::name(object) == meta::name(&found)) {
            remove(core, &found).await?;
        }
    }
    ensure(core, wanted, |_, _| None).await
}

/// Makes an object unless it is there.
pub async fn make(core: &Core, object: Object) -> Result<(), Status> {
    write(core, object, false).await
}

/// Applies a configuration to an object that is there, over whoever else has its fields.
pub async fn apply(core: &Core, manager: &str, config: Object) -> Result<(), Status> {
    let kinds = core.kinds();
    let kind = kinds.by_gvk(&gvk(&config)).ok_or_else(Status::no_such_resource)?;
    let (namespace, name) = (meta::namespace(&config).to_owned(), meta::name(&config).to_owned());
    let own = Own::new(core, Identity::master("system:apiserver"), manager);
    let act = own.act(kind, &namespace, &name);
    act.kept().await?;
    update::update(&act, Change::Apply { config, force: true }).await.map(drop)
}

/// Removes an object, if it is there.
pub async fn remove(core: &Core, object: &Object) -> Result<(), Status> {
    let kinds = core.kinds();
    let kind = kinds.by_gvk(&gvk(object)).ok_or_else(Status::no_such_resource)?;
    let own = Own::server(core);
    let act = own.act(kind, meta::namespace(object), meta::name(object));
    match delete::delete(&act, &delete::DeleteOptions::default()).await {
        Err(status) if status.reason != Reason::NotFound => Err(status),
        _ => Ok(()),
    }
}

/// What aggregated servers need to know whom to believe.
fn authentication(core: &Core) -> Object {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "client-ca-file": core.authority.certificate_pem(),
            "requestheader-allowed-names": r#"["front-proxy-client"]"#,
            "requestheader-client-ca-file": core.aggregator.front.authority_pem(),
            "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#,
            "requestheader-group-headers": r#"["X-Remote-Group"]"#,
            "requestheader-uid-headers": r#"["X-Remote-Uid"]"#,
            "requestheader-username-headers": r#"["X-Remote-User"]"#,
        },
    })
}

/// Makes the Service `kubernetes` and its endpoints if they are missing or point elsewhere.
pub async fn kubernetes(core: &Core) -> Result<(), Status> {
    ensure(core, vec![kubernetes_service(core)], |_, _| None).await?;
    ensure(core, kubernetes_endpoints(core), points_here).await
}

/// Creates what is not there; changes what `mend` says must change.
async fn ensure(
    core: &Core,
    wanted: Vec<Object>,
    mend: impl Fn(&Object, &Object) -> Option<Object>,
) -> Result<(), Status> {
    let there = kept(core, &wanted).await?;
    let mut work = Vec::new();
    for object in wanted {
        match there.get(&key(core, &object)?) {
            None => work.push((object, false)),
            Some(found) => {
                if let Some(fixed) = mend(found, &object) {
                    work.push((fixed, true));
                }
            }
        }
    }
    let mut writes = futures::stream::iter(work.into_iter().map(|(object, exists)| write(core, object, exists)))
        .buffer_unordered(SIDE_BY_SIDE);
    while let Some(outcome) = writes.next().await {
        outcome?;
    }
    Ok(())
}

/// The kept objects of the kinds and namespaces of `wanted`, by key.
async fn kept(core: &Core, wanted: &[Object]) -> Result<HashMap<String, Object>, Status> {
    let keys: Vec<String> = wanted.iter().map(|object| key(core, object)).collect::<Result<_, _>>()?;
    let mut prefixes = Vec::new();
    for key in &keys {
        let prefix = key[..=key.rfind('/').unwrap_or(0)].to_owned();
        if !prefixes.contains(&prefix) {
            prefixes.push(prefix);
        }
    }
    let mut found = HashMap::new();
    let unreadable = |e| Status::internal(format!("cannot read what is kept: {e}"));
    for prefix in prefixes {
        let entries = match core.store.list(&prefix, None, None, 0).await {
            Ok(page) => page.entries,
            // A key is lost that sealed something of that kind. What that was is told by who asks for it; the rest is
            // read, and the device goes on.
            Err(ReadError::Unreadable { .. }) => {
                let mut entries = Vec::new();
                for key in keys.iter().filter(|key| key.starts_with(&prefix)) {
                    match core.store.get(key).await {
                        Ok(entry) => entries.extend(entry),
                        Err(error @ ReadError::Unreadable { .. }) => {
                            tracing::error!(%error, "what the server keeps for itself cannot be read, and stays as it is");
                        }
                        Err(error) => return Err(unreadable(error)),
                    }
                }
                entries
            }
            Err(error) => return Err(unreadable(error)),
        };
        for entry in entries {
            if let Ok(object) = body::decode(&entry.bytes) {
                found.insert(entry.key.to_string(), object);
            }
        }
    }
    Ok(found)
}

fn key(core: &Core, object: &Object) -> Result<String, Status> {
    let kinds = core.kinds();
    let kind = kinds.by_gvk(&gvk(object)).ok_or_else(Status::no_such_resource)?;
    Ok(keys::object(kind, meta::namespace(object), meta::name(object)))
}

fn gvk(object: &Object) -> Gvk {
    Gvk::from_api_version(meta::api_version(object), meta::kind(object))
}

async fn write(core: &Core, mut object: Object, exists: bool) -> Result<(), Status> {
    let kinds = core.kinds();
    let kind = kinds.by_gvk(&gvk(&object)).ok_or_else(Status::no_such_resource)?;
    let (namespace, name) = (meta::namespace(&object).to_owned(), meta::name(&object).to_owned());
    let own = Own::server(core);
    let act = own.act(kind, &namespace, if exists { &name } else { "" });
    rules::default(kind, &mut object);
    rules::to_kept(kind, &mut object);
    let outcome = if exists {
        update::update(&act, Change::Replace(object)).await.map(|_| ())
    } else {
        create::create(&act, object).await.map(|_| ())
    };
    match outcome {
        // Somebody else's write is as good.
        Err(status) if matches!(status.reason, Reason::AlreadyExists | Reason::Conflict) => Ok(()),
        Err(mut status) => {
            status.message = format!("cannot make {} {name:?}: {}", kind.kind, status.message);
            Err(status)
        }
        Ok(()) => Ok(()),
    }
}

fn priority_classes() -> Vec<Object> {
    [
        ("system-cluster-critical", 2_000_000_000, "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."),
        ("system-node-critical", 2_000_001_000, "Used for system critical pods that must not be moved from their current node."),
    ]
    .map(|(name, value, description)| {
        json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": {"name": name}, "value": value, "description": description,
        })
    })
    .to_vec()
}

/// Tells the allocator what kept Services hold.
async fn note_services(core: &Core) -> Result<(), Status> {
    for service in core.reader().list("", "services", "").await? {
        core.services.note(&service);
    }
    Ok(())
}

fn kubernetes_service(core: &Core) -> Object {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": core.services.first().to_string(),
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": core.config.port}],
        },
    })
}

fn kubernetes_endpoints(core: &Core) -> Vec<Object> {
    let address = core.advertised();
    let port = json!([{"name": "https", "port": core.config.port, "protocol": "TCP"}]);
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    vec![
        json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": "kubernetes", "namespace": "default",
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": [{"ip": address.to_string()}], "ports": port}],
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "kubernetes", "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": family,
            "endpoints": [{"addresses": [address.to_string()], "conditions": {"ready": true}}],
            "ports": port,
        }),
    ]
}

/// What the endpoints must become after the device's address or port changed.
fn points_here(found: &Object, wanted: &Object) -> Option<Object> {
    let parts = ["subsets", "endpoints", "ports", "addressType", "data"];
    let mut fixed = found.clone();
    for part in parts {
        if let Some(value) = wanted.get(part)
            && !covers(found.get(part).unwrap_or(&Value::Null), value)
        {
            fixed[part] = value.clone();
        }
    }
    (fixed != *found).then_some(fixed)
}

/// Whether `found` says everything that `wanted` does; defaults may say more.
pub(crate) fn covers(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| found.get(key).is_some_and(|f| covers(f, value)))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(f, w)| covers(f, w))
        }
        (found, wanted) => found == wanted,
    }
}
