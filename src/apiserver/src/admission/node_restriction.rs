//! NodeRestriction: a node's agent touches only its own Node, what runs on it, and what is needed for that.
//!
//! In: writes by members of `system:nodes`. Out: 403, or nothing. One thing more than in Kubernetes is allowed: an
//! agent that comes back takes the taints of its absence off its own Node, where nothing else on a device would.

mod node;
mod pod;

use async_trait::async_trait;
use kedge_api::Object;
use kedge_api::kinds::Sub;
use kedge_api::meta::{self, list_at, text, text_at};
use kedge_api::status::Status;
use serde_json::Value;

use super::{Admission, Attributes, Operation, Reader};
use crate::authz::Wanted;

/// See the module.
#[derive(Debug)]
pub struct NodeRestriction;

const NODES: &str = "system:nodes";
const PREFIX: &str = "system:node:";
const LEASES: &str = "kube-node-lease";

/// A write by a node's agent.
struct Asked<'a> {
    node: &'a str,
    attributes: &'a Attributes<'a>,
    object: Option<&'a Object>,
    old: Option<&'a Object>,
    reader: Reader<'a>,
}

#[async_trait]
impl Admission for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        node_of(attributes).is_some()
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        object: &mut Object,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        // Before validation, so that a node learns nothing of what it may not touch.
        match node_of(attributes) {
            Some(node) => judge(Asked { node, attributes, object: Some(object), old, reader }).await,
            None => Ok(()),
        }
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        object: Option<&Object>,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        match node_of(attributes) {
            Some(node) if attributes.operation == Operation::Delete => {
                judge(Asked { node, attributes, object, old, reader }).await
            }
            _ => Ok(()),
        }
    }
}

fn node_of<'a>(attributes: &Attributes<'a>) -> Option<&'a str> {
    attributes.who.name.strip_prefix(PREFIX).filter(|_| attributes.who.is_in(NODES))
}

async fn judge(asked: Asked<'_>) -> Result<(), Status> {
    let attributes = asked.attributes;
    if asked.node.is_empty() {
        return Err(attributes.forbidden(format!("could not determine node from user {:?}", attributes.who.name)));
    }
    match (&*attributes.kind.stored.0, &*attributes.kind.plural, attributes.subresource) {
        ("", "pods", sub) => pod::judge(&asked, sub).await,
        ("", "nodes", _) => node::judge(&asked),
        ("", "persistentvolumeclaims", Some(Sub::Status)) => claim_status(&asked),
        ("", "persistentvolumeclaims", _) => Err(attributes.forbidden("may only update PVC status")),
        ("", "serviceaccounts", Some(Sub::Token)) => token(&asked).await,
        ("coordination.k8s.io", "leases", _) if attributes.namespace != LEASES => {
            Err(attributes.forbidden(format!("can only access leases in the {LEASES:?} system namespace")))
        }
        ("coordination.k8s.io", "leases", _) => own_name(&asked, "node lease"),
        ("storage.k8s.io", "csinodes", _) => own_name(&asked, "CSINode"),
        ("resource.k8s.io", "resourceslices", _) => slice(&asked),
        ("certificates.k8s.io", "certificatesigningrequests", None) => certificate(&asked),
        _ => Ok(()),
    }
}

/// Objects that are called like their node.
fn own_name(asked: &Asked<'_>, what: &str) -> Result<(), Status> {
    let name = match asked.object {
        Some(object) if asked.attributes.operation == Operation::Create => meta::name(object),
        _ => asked.attributes.name,
    };
    if name == asked.node {
        return Ok(());
    }
    Err(asked.attributes.forbidden(format!("can only access {what} with the same name as the requesting node")))
}

fn slice(asked: &Asked<'_>) -> Result<(), Status> {
    let (verb, slice) = match asked.attributes.operation {
        Operation::Create => ("create", asked.object),
        Operation::Delete => ("delete", asked.old),
        Operation::Update | Operation::Connect => return Ok(()),
    };
    if slice.is_some_and(|slice| text_at(slice, &["spec", "nodeName"]) == asked.node) {
        return Ok(());
    }
    let why = format!("can only {verb} ResourceSlice with the same NodeName as the requesting node");
    Err(asked.attributes.forbidden(why))
}

fn certificate(asked: &Asked<'_>) -> Result<(), Status> {
    let Some(request) = asked.object.filter(|_| asked.attributes.operation == Operation::Create) else { return Ok(()) };
    let signer = text_at(request, &["spec", "signerName"]);
    if !matches!(signer, "kubernetes.io/kubelet-serving" | "kubernetes.io/kube-apiserver-client-kubelet") {
        return Ok(());
    }
    let (name, _) = super::certificates::subject(request)
        .map_err(|why| asked.attributes.forbidden(format!("unable to parse csr: {why}")))?;
    let own = format!("{PREFIX}{}", asked.node);
    if name == own {
        Ok(())
    } else {
        Err(asked.attributes.forbidden(format!("can only create a node CSR with CN={own}")))
    }
}

/// Of a claim's status a node changes only what it found out about the volume.
fn claim_status(asked: &Asked<'_>) -> Result<(), Status> {
    let (Some(new), Some(old)) = (asked.object, asked.old) else {
        return Err(asked.attributes.forbidden("unexpected operation"));
    };
    let bare = |claim: &Object| {
        let mut claim = claim.clone();
        for (part, fields) in [
            ("metadata", &["resourceVersion", "managedFields"][..]),
            ("status", &["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"]),
        ] {
            if let Some(map) = claim.get_mut(part).and_then(Value::as_object_mut) {
                map.retain(|key, _| !fields.contains(&key.as_str()));
            }
        }
        claim
    };
    if bare(new) == bare(old) {
        return Ok(());
    }
    Err(asked.attributes.forbidden(format!(
        "node {:?} is not allowed to update fields other than status.quantity and status.conditions",
        asked.node
    )))
}

/// Tokens of accounts, for the pods of the node and what those want them for.
async fn token(asked: &Asked<'_>) -> Result<(), Status> {
    let (attributes, reader) = (asked.attributes, asked.reader);
    let Some(request) = asked.object.filter(|_| attributes.operation == Operation::Create) else { return Ok(()) };
    let reference = |field: &str| text_at(request, &["spec", "boundObjectRef", field]);
    let (name, uid) = (reference("name"), reference("uid"));
    if reference("apiVersion") != "v1" || reference("kind") != "Pod" || name.is_empty() {
        return Err(attributes.forbidden("node requested token not bound to a pod"));
    }
    if uid.is_empty() {
        return Err(attributes.forbidden("node requested token with a pod binding without a uid"));
    }
    let Some(pod) = reader.get("", "pods", attributes.namespace, name).await? else {
        return Err(Status::not_found("", "pods", name));
    };
    if uid != meta::uid(&pod) {
        return Err(attributes.forbidden(format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        )));
    }
    if text_at(&pod, &["spec", "nodeName"]) != asked.node {
        return Err(attributes.forbidden("node requested token bound to a pod scheduled on a different node"));
    }
    let audience = match list_at(request, &["spec", "audiences"]) {
        [] => "",
        [one] => one.as_str().unwrap_or_default(),
        _ => return Err(attributes.forbidden("node may only request 0 or 1 audiences")),
    };
    let wanted = Wanted::Resource {
        verb: "request-serviceaccounts-token-audience",
        group: "",
        resource: audience,
        subresource: "",
        namespace: attributes.namespace,
        name: attributes.name,
    };
    if mentions(&pod, audience, asked).await? || reader.may(attributes.who, &wanted).await {
        return Ok(());
    }
    Err(attributes.forbidden(format!(
        "audience {audience:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
        attributes.who.name
    )))
}

/// Whether a volume of the pod wants a token for that audience, itself or through its driver.
async fn mentions(pod: &Object, audience: &str, asked: &Asked<'_>) -> Result<bool, Status> {
    let (reader, namespace) = (asked.reader, asked.attributes.namespace);
    for volume in list_at(pod, &["spec", "volumes"]) {
        let tokens = list_at(volume, &["projected", "sources"]).iter().filter_map(|s| s.get("serviceAccountToken"));
        if tokens.into_iter().any(|token| text(token, "audience") == audience) {
            return Ok(true);
        }
        let claim = match volume.get("ephemeral").filter(|e| !e.is_null()) {
            Some(_) => format!("{}-{}", meta::name(pod), text(volume, "name")),
            None => text_at(volume, &["persistentVolumeClaim", "claimName"]).to_owned(),
        };
        let mut driver = text_at(volume, &["csi", "driver"]).to_owned();
        if !claim.is_empty() {
            let claim = reader.get("", "persistentvolumeclaims", namespace, &claim).await?.unwrap_or_default();
            let volume = text_at(&claim, &["spec", "volumeName"]);
            if !volume.is_empty() {
                let volume = reader.get("", "persistentvolumes", "", volume).await?.unwrap_or_default();
                driver = text_at(&volume, &["spec", "csi", "driver"]).to_owned();
            }
        }
        if driver.is_empty() {
            continue;
        }
        let driver = reader.get("storage.k8s.io", "csidrivers", "", &driver).await?.unwrap_or_default();
        if list_at(&driver, &["spec", "tokenRequests"]).iter().any(|token| text(token, "audience") == audience) {
            return Ok(true);
        }
    }
    Ok(false)
}
