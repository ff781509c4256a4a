//! Binding pods to nodes.
//!
//! In: a Binding, below a pod or posted by itself. Out: the pod has a node, once.

use bytes::Bytes;
use http::StatusCode;
use kedge_api::kinds::{Gvk, Sub};
use kedge_api::status::Status;
use kedge_api::{Object, meta};
use kedge_store::WriteError;
use serde_json::{Value, json};

use super::{asked, made};
use crate::chain::Call;
use crate::error;
use crate::registry::{Act, body, decode_kept, rules};
use crate::respond::Answer;

/// `pods/NAME/binding`.
pub async fn bind(call: &mut Call, act: &Act<'_>) -> Result<Answer, Status> {
    let binding = asked(call, act, &Gvk::fixed("", "v1", "Binding")).await?;
    apply(act, binding).await?;
    made(
        call,
        StatusCode::CREATED,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    )
}

/// `bindings`: the name of the pod is the binding's.
pub async fn bind_by_name(call: &mut Call, act: &Act<'_>) -> Result<Answer, Status> {
    let binding = asked(call, act, &Gvk::fixed("", "v1", "Binding")).await?;
    let kinds = call.core.kinds();
    let pods = kinds.resource("", "v1", "pods").ok_or_else(Status::no_such_resource)?;
    let name = meta::name(&binding).to_owned();
    let pod = Act { kind: pods, spoken: pods, sub: Some(Sub::Binding), name: &name, ..*act };
    apply(&pod, binding).await?;
    made(
        call,
        StatusCode::CREATED,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    )
}

async fn apply(act: &Act<'_>, mut binding: Object) -> Result<(), Status> {
    let core = act.core;
    if !matches!(meta::name(&binding), "") && meta::name(&binding) != act.name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    crate::admission::admit(core, &act.attributes(crate::admission::Operation::Create), &mut binding).await?;
    let binding = &binding;
    let node = meta::text_at(binding, &["target", "name"]);
    let kind = meta::text_at(binding, &["target", "kind"]);
    if !matches!(kind, "" | "Node") || node.is_empty() {
        let target = kedge_api::field::Path::root("target");
        let fault = if node.is_empty() {
            kedge_api::field::FieldError::required(&target.child("name"), "")
        } else {
            kedge_api::field::FieldError::not_supported(&target.child("kind"), kind, &["Node", "<empty>"])
        };
        return Err(Status::invalid("", "Binding", act.name, &[fault]));
    }
    loop {
        let entry = act.kept().await?;
        let old = decode_kept(&entry)?;
        let pod = bound(act, &old, binding, node, &core.timestamp())?;
        if act.dry_run {
            return Ok(());
        }
        let index = Bytes::from(rules::index(act.kind, &pod));
        match core.store.update(&entry.key, entry.revision, body::encode(&pod), index).await {
            Ok(_) => return Ok(()),
            // Somebody wrote something else about the pod; each round sees a newer one.
            Err(WriteError::Conflict(_)) => {}
            Err(fault) => return Err(error::write(fault, act.about())),
        }
    }
}

fn bound(act: &Act<'_>, old: &Object, binding: &Object, node: &str, now: &str) -> Result<Object, Status> {
    let conflict = |why: String| Status::conflict_because("", "pods/binding", act.name, why);
    let uid = meta::uid(binding);
    if !uid.is_empty() && uid != meta::uid(old) {
        return Err(Status::uid_precondition("", "pods", act.name, uid, meta::uid(old)));
    }
    let version = meta::resource_version(binding);
    if !version.is_empty() && version != meta::resource_version(old) {
        return Err(Status::version_precondition("", "pods", act.name, version, meta::resource_version(old)));
    }
    if meta::deletion_timestamp(old).is_some() {
        return Err(conflict(format!("pod {} is being deleted, cannot be assigned to a host", act.name)));
    }
    match meta::text_at(old, &["spec", "nodeName"]) {
        "" => {}
        there => return Err(conflict(format!("pod {} is already assigned to node {there:?}", act.name))),
    }
    if !meta::list_at(old, &["spec", "schedulingGates"]).is_empty() {
        return Err(conflict(format!("pod {} has non-empty .spec.schedulingGates", act.name)));
    }
    let mut pod = old.clone();
    pod["spec"]["nodeName"] = json!(node);
    for (key, value) in meta::annotations(binding) {
        meta::set_annotation(&mut pod, key, value);
    }
    for (key, value) in meta::labels(binding) {
        meta::set_label(&mut pod, key, value);
    }
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    let status = meta::child_mut(&mut pod, "status");
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    match conditions.as_array_mut() {
        Some(list) => {
            list.retain(|c| meta::text(c, "type") != "PodScheduled");
            list.push(scheduled);
        }
        None => *conditions = Value::Array(vec![scheduled]),
    }
    Ok(pod)
}
