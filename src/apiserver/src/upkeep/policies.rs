//! Keeps the admission policies that are asked equal to the store, and their statuses equal to them.
//!
//! In: the store's events below the group of policies. Out: changes of the list, one by one; a status with the warnings of
//! the type checker for each new generation of a validating policy. If events were missed, everything is read again.
//! Without policies there are no events.

use std::sync::Arc;

use kedge_api::check::FieldValidation;
use kedge_api::kinds::Sub;
use kedge_api::status::Status;
use kedge_api::{Object, meta, policy};
use kedge_store::{Change, Revision};
use serde_json::json;

use super::BREATH;
use crate::admission::policy::{Family, Part};
use crate::core::Core;
use crate::identity::Identity;
use crate::media::PatchKind;
use crate::registry::own::Own;
use crate::registry::{Act, body, update};

const GROUP: &str = "admissionregistration.k8s.io";
const PREFIX: &str = "/admissionregistration.k8s.io/";

/// Plural and name of a key below the group.
fn parse(key: &str) -> Option<(Part, &str)> {
    let (plural, name) = key.strip_prefix(PREFIX)?.split_once('/')?;
    Some((Part::of(plural)?, name))
}

/// Fills the list from the store; out: the revision it is of.
pub async fn fill(core: &Core) -> Result<Revision, kedge_store::ReadError> {
    let page = core.store.list(PREFIX, None, None, 0).await?;
    core.policies.clear();
    for entry in &page.entries {
        if let (Some((part, _)), Ok(object)) = (parse(&entry.key), body::decode(&entry.bytes)) {
            core.policies.put(part, &object);
        }
    }
    core.policies.reached(page.revision);
    Ok(page.revision)
}

/// Follows the store from a revision on.
pub async fn follow(core: Arc<Core>, mut from: Revision) {
    loop {
        if let Ok(mut watch) = core.store.watch(PREFIX, from) {
            loop {
                let events = tokio::select! {
                    events = watch.next() => events,
                    () = core.stop.cancelled() => return,
                };
                let Ok(events) = events else { break };
                let newest = events.last().map_or(0, |event| event.revision);
                let mut unchecked = Vec::new();
                for event in events {
                    let Some((part, name)) = parse(&event.entry.key) else { continue };
                    if event.change == Change::Deleted {
                        core.policies.remove(part, name);
                    } else if let Ok(object) = body::decode(&event.entry.bytes) {
                        core.policies.put(part, &object);
                        if part == Part::Policy(Family::Validating) && is_unchecked(&object) {
                            unchecked.push(object);
                        }
                    }
                }
                core.policies.reached(newest);
                for policy in unchecked {
                    if let Err(status) = check(&core, &policy).await {
                        tracing::info!(%status, policy = meta::name(&policy), "a policy's status is not written");
                    }
                }
            }
        }
        loop {
            match fill(&core).await {
                Ok(revision) => {
                    from = revision;
                    break;
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot read admission policies");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(BREATH) => {}
                () = core.stop.cancelled() => return,
            }
        }
    }
}

/// Whether the type checker has not seen this generation.
fn is_unchecked(policy: &Object) -> bool {
    meta::generation(policy) > meta::int_at(policy, &["status", "observedGeneration"]).unwrap_or(0)
}

/// Writes the status of a policy.
async fn check(core: &Core, policy: &Object) -> Result<(), Status> {
    let kinds = core.kinds();
    let kind = kinds.resource(GROUP, "v1", "validatingadmissionpolicies").ok_or_else(Status::no_such_resource)?;
    let warnings: Vec<_> = policy::warnings(policy, &kinds)
        .into_iter()
        .map(|(field, warning)| json!({"fieldRef": field, "warning": warning}))
        .collect();
    let checked = if warnings.is_empty() { json!({}) } else { json!({"expressionWarnings": warnings}) };
    let status = json!({"observedGeneration": meta::generation(policy), "typeChecking": checked});
    let who = Identity::service_account("kube-system", "validatingadmissionpolicy-status-controller");
    let own = Own::new(core, who, "validatingadmissionpolicy-status");
    let act = Act { sub: Some(Sub::Status), ..own.act(kind, "", meta::name(policy)) };
    let change = update::Change::Patch {
        kind: PatchKind::Merge,
        patch: json!({"metadata": {"uid": meta::uid(policy)}, "status": status}).into(),
        validation: FieldValidation::Ignore,
    };
    update::update(&act, change).await.map(drop)
}
