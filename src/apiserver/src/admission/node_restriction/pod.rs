//! What a node's agent may do to pods: to those on its node, and to the mirrors of those it runs by itself.
//!
//! In: a write. Out: 403, or nothing.

use kedge_api::Object;
use kedge_api::kinds::Sub;
use kedge_api::meta::{self, at, list_at, text, text_at};
use kedge_api::status::Status;
use serde_json::Value;

use super::{Asked, Operation};
use crate::admission::pod_secrets::{MIRROR, config_maps, secrets};

pub(super) async fn judge(asked: &Asked<'_>, sub: Option<Sub>) -> Result<(), Status> {
    let (node, attributes) = (asked.node, asked.attributes);
    let refuse = |why: String| Err(attributes.forbidden(why));
    match (sub, attributes.operation) {
        (None, Operation::Create) => match asked.object {
            Some(pod) => create(asked, pod).await,
            None => Ok(()),
        },
        (None, Operation::Delete) => match asked.old {
            Some(pod) if text_at(pod, &["spec", "nodeName"]) != node => {
                refuse(format!("node {node:?} can only delete pods with spec.nodeName set to itself"))
            }
            _ => Ok(()),
        },
        (None, operation) => refuse(format!(
            "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
            operation.as_str()
        )),
        (Some(Sub::Status), Operation::Update) => {
            let (Some(new), Some(old)) = (asked.object, asked.old) else { return Ok(()) };
            status(asked, new, old)
        }
        (Some(Sub::Eviction), Operation::Create) => {
            match asked.reader.get("", "pods", attributes.namespace, attributes.name).await? {
                None => Err(Status::not_found("", "pods", attributes.name)),
                Some(pod) if text_at(&pod, &["spec", "nodeName"]) != node => {
                    refuse(format!("node {node} can only evict pods with spec.nodeName set to itself"))
                }
                Some(_) => Ok(()),
            }
        }
        (Some(Sub::Status | Sub::Eviction), operation) => {
            refuse(format!("unexpected operation {:?}", operation.as_str()))
        }
        (Some(other), _) => {
            refuse(format!("unexpected pod subresource {:?}, only 'status' and 'eviction' are allowed", other.name()))
        }
    }
}

async fn create(asked: &Asked<'_>, pod: &Object) -> Result<(), Status> {
    let (node, attributes) = (asked.node, asked.attributes);
    let refuse = |why: String| Err(attributes.forbidden(why));
    if meta::annotation(pod, MIRROR).is_none() {
        return refuse(format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"));
    }
    if text_at(pod, &["spec", "nodeName"]) != node {
        return refuse(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
    }
    let owners: Vec<_> = meta::owners(pod).collect();
    let [owner] = owners.as_slice() else {
        let what = if owners.is_empty() { "an" } else { "a single" };
        return refuse(format!("node {node:?} can only create pods with {what} owner reference set to itself"));
    };
    if (owner.api_version, owner.kind, owner.name) != ("v1", "Node", node) {
        return refuse(format!("node {node:?} can only create pods with an owner reference set to itself"));
    }
    if !owner.controller {
        return refuse(format!("node {node:?} can only create pods with a controller owner reference set to itself"));
    }
    if owner.block_owner_deletion {
        return refuse(format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
    }
    let Some(own) = asked.reader.get("", "nodes", "", node).await? else {
        return Err(Status::not_found("", "nodes", node));
    };
    if owner.uid != meta::uid(&own) {
        return refuse(format!("node {node} UID mismatch: expected {} got {}", owner.uid, meta::uid(&own)));
    }
    match referenced(pod) {
        Some(what) => refuse(format!("node {node:?} can not create pods that reference {what}")),
        None => Ok(()),
    }
}

/// The first thing in the API that a pod needs.
fn referenced(pod: &Object) -> Option<&'static str> {
    if !text_at(pod, &["spec", "serviceAccountName"]).is_empty() {
        return Some("serviceaccounts");
    }
    if !secrets(pod).is_empty() {
        return Some("secrets");
    }
    if !config_maps(pod).is_empty() {
        return Some("configmaps");
    }
    if !list_at(pod, &["spec", "resourceClaims"]).is_empty() {
        return Some("resourceclaims");
    }
    const VOLUMES: [(&str, &str); 5] = [
        ("csi", "csidrivers (via CSI volumes)"),
        ("glusterfs", "endpoints (via glusterFS volumes)"),
        ("persistentVolumeClaim", "persistentvolumeclaims"),
        ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
        ("azureFile", "secrets (via azureFile volumes)"),
    ];
    const SOURCES: [(&str, &str); 3] = [
        ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
        ("clusterTrustBundle", "clustertrustbundles"),
        ("podCertificate", "podcertificates"),
    ];
    let named = |of: &Value, table: &[(&str, &'static str)]| {
        table.iter().find(|(field, _)| at(of, &[field]).is_some()).map(|(_, what)| *what)
    };
    list_at(pod, &["spec", "volumes"]).iter().find_map(|volume| {
        let sources = list_at(volume, &["projected", "sources"]);
        named(volume, &VOLUMES).or_else(|| sources.iter().find_map(|source| named(source, &SOURCES)))
    })
}

fn status(asked: &Asked<'_>, new: &Object, old: &Object) -> Result<(), Status> {
    let node = asked.node;
    let refuse = |why: String| Err(asked.attributes.forbidden(why));
    if text_at(old, &["spec", "nodeName"]) != node {
        return refuse(format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself"));
    }
    if !meta::labels(new).eq(meta::labels(old)) {
        return refuse(format!("node {node:?} cannot update labels through pod status"));
    }
    let claims = |pod| {
        let all = list_at(pod, &["status", "resourceClaimStatuses"]).iter();
        all.map(|c| (text(c, "name"), c.get("resourceClaimName"))).collect::<Vec<_>>()
    };
    if claims(new) != claims(old) {
        return refuse(format!("node {node:?} cannot update resource claim statues"));
    }
    let extended = |pod| at(pod, &["status", "extendedResourceClaimStatus"]);
    if extended(new) != extended(old) {
        return refuse(format!("node {node:?} cannot update extended resource claim status"));
    }
    Ok(())
}
