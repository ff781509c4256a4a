//! What a page needs of other objects.
//!
//! In: an object and the kind whose page it has. Out: what the server says of others. Never fails where those may not be
//! read, but for events: the page tells that, or goes without.

use kedge_client::{ListOptions, ResourcePath};
use serde_json::{Value, json};

use super::traffic;
use super::values::{items, selector};
use crate::error::Failure;
use crate::session::Session;

/// The annotation of a pod that a node was told of in a file: what its events call its UID.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What a page shows of other objects: a node's lease, what stands behind services, a workload's pods. Who may not read
/// those still sees the page.
pub async fn related(session: &Session, layout: &str, object: &Value) -> Value {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or("").to_owned();
    let list_in = async |path: ResourcePath, options: ListOptions| {
        let mut list = session.client.list(&path, &options).await.unwrap_or(Value::Null);
        list.get_mut("items").map_or(Value::Null, Value::take)
    };
    let list = async |path: ResourcePath, labels: Option<String>| {
        list_in(path.namespace(text("namespace")), ListOptions { labels, ..ListOptions::default() }).await
    };
    let wanted = &object["spec"]["selector"];
    let slices = ResourcePath::new("discovery.k8s.io", "v1", "endpointslices");
    match layout {
        "Node" => {
            let path = ResourcePath::new("coordination.k8s.io", "v1", "leases").namespace("kube-node-lease");
            let fields = Some(format!("spec.nodeName={}", text("name")));
            let devices = ResourcePath::new("resource.k8s.io", "v1", "resourceslices");
            let devices = list_in(devices, ListOptions { fields, ..ListOptions::default() }).await;
            match session.client.get(&path.name(text("name"))).await {
                Ok(lease) => json!({"lease": lease, "slices": devices}),
                Err(error) => json!({"without": error.to_string(), "slices": devices}),
            }
        }
        "Namespace" => {
            let of = async |plural: &'static str| {
                list_in(ResourcePath::core(plural).namespace(text("name")), ListOptions::default()).await
            };
            json!({"quotas": of("resourcequotas").await, "limits": of("limitranges").await})
        }
        "Service" => json!({"slices": list(slices, None).await}),
        "Ingress" => {
            let own = slices.namespace(text("namespace"));
            let slices = match session.client.list(&own, &ListOptions::default()).await {
                Ok(mut list) => list.get_mut("items").map_or(Value::Null, Value::take),
                Err(error) => return json!({"without": error.to_string()}),
            };
            let (mut services, mut refused) = (Vec::new(), json!({}));
            for name in traffic::services(object) {
                let path = ResourcePath::core("services").namespace(text("namespace")).name(&*name);
                match session.client.get(&path).await {
                    Ok(service) => services.push(service),
                    Err(error) => refused[name] = json!(error.to_string()),
                }
            }
            json!({"slices": slices, "services": services, "refused": refused})
        }
        "Deployment" => {
            let sets = ResourcePath::new("apps", "v1", "replicasets");
            json!({"sets": list(sets, Some(selector(wanted))).await})
        }
        "ReplicaSet" | "StatefulSet" | "DaemonSet" => {
            json!({"pods": list(ResourcePath::core("pods"), Some(selector(wanted))).await})
        }
        "ReplicationController" => {
            let labels = selector(&json!({"matchLabels": wanted}));
            json!({"pods": list(ResourcePath::core("pods"), Some(labels)).await})
        }
        "PersistentVolumeClaim" => json!({"pods": list(ResourcePath::core("pods"), None).await}),
        _ => Value::Null,
    }
}

/// The events of an object; of one whose UID is another one's those last.
pub async fn found_events(session: &Session, layout: &str, object: &Value) -> Result<Vec<Value>, Failure> {
    let meta = &object["metadata"];
    let text = |field: &str| meta[field].as_str().unwrap_or("");
    // Of nodes some tell under their name, as kubelet does, and some under their UID.
    let fields = match (layout, meta["annotations"][MIRROR].as_str()) {
        ("Node", _) => format!("involvedObject.kind=Node,involvedObject.name={}", text("name")),
        ("Pod", Some(uid)) => format!("involvedObject.uid={uid}"),
        _ => format!("involvedObject.uid={}", text("uid")),
    };
    let options = ListOptions { fields: Some(fields), ..ListOptions::default() };
    let path = ResourcePath::core("events");
    let path = if text("namespace").is_empty() { path } else { path.namespace(text("namespace")) };
    let list = session.client.list(&path, &options).await?;
    let (own, others): (Vec<&Value>, Vec<&Value>) =
        items(&list["items"]).partition(|event| event["involvedObject"]["uid"] == meta["uid"]);
    Ok(own.into_iter().chain(others).cloned().collect())
}
