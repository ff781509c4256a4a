//! Admission webhooks: others who may change or refuse a write.
//!
//! In: a write. Out: the object as the webhooks left it, or the first refusal. Those that change
//! are asked one after the other, in their order; those that only refuse all at once. Where there
//! is none, a write looks at one number. Kubernetes' own configurations are never shown to them.

mod cache;
mod call;
mod figures;
pub(crate) mod hook;
pub(in crate::admission) mod matching;
pub(crate) mod review;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kedge_api::Object;
use kedge_api::status::Status;
use serde_json::{Value, json};

use super::{Admission, Attributes, Operation, Reader};
use call::{Case, Outcome};

pub use cache::{Family, Webhooks};

/// `MutatingAdmissionWebhook`.
#[derive(Debug)]
pub struct Mutating;

/// `ValidatingAdmissionWebhook`.
#[derive(Debug)]
pub struct Validating;

#[async_trait]
impl Admission for Mutating {
    fn name(&self) -> &'static str {
        "MutatingAdmissionWebhook"
    }

    fn concerns(&self, _attributes: &Attributes<'_>, reader: Reader<'_>) -> bool {
        reader.core().webhooks.any(Family::Mutating)
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        object: &mut Object,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let Some(hooks) = reader.core().webhooks.all(Family::Mutating) else { return Ok(()) };
        if is_exempt(attributes) {
            return Ok(());
        }
        let second = attributes.rounds.is_second();
        if second {
            let mut memory = attributes.rounds.hooks();
            if memory.left.as_ref() != Some(object) {
                // Built-in plugins changed it after us.
                memory.require_again();
            }
        }
        for (at, hook) in hooks.iter().enumerate() {
            let case = Case::new(reader.core(), attributes, Some(object), old);
            let Some(shown) = case.wanted(hook).await? else { continue };
            if second && !attributes.rounds.hooks().again.remove(&hook.uid) {
                continue;
            }
            let outcome = case.ask(Family::Mutating, hook, &shown).await;
            let place = format!("round_{}_index_{at}", usize::from(second));
            let mut changed = false;
            let patched = match outcome {
                Outcome::Allowed(said) if !said.patch.is_empty() => match case.patched(hook, &shown, &said) {
                    Ok(patched) => patched,
                    Err(status) => return Err(status),
                },
                Outcome::Allowed(_) => None,
                Outcome::PassedOver => {
                    attributes.annotate(format!("failed-open.mutation.webhook.admission.k8s.io/{place}"), &hook.name);
                    None
                }
                Outcome::Refused(status) => return Err(*status),
            };
            if let Some(patched) = patched {
                if attributes.audit.wants_bodies() {
                    let patch = json!({"configuration": hook.configuration, "webhook": hook.name,
                        "patch": patched.operations, "patchType": "JSONPatch"});
                    attributes.annotate(format!("patch.webhook.admission.k8s.io/{place}"), patch.to_string());
                }
                changed = patched.object != *object;
                *object = patched.object;
            }
            if attributes.audit.is_wanted() {
                let note = json!({"configuration": hook.configuration, "webhook": hook.name, "mutated": changed});
                attributes.annotate(format!("mutation.webhook.admission.k8s.io/{place}"), note.to_string());
            }
            let mut memory = attributes.rounds.hooks();
            if changed {
                memory.require_again();
                attributes.rounds.ask_again();
            }
            if hook.reinvoked {
                memory.asked.insert(hook.uid.clone());
            }
        }
        attributes.rounds.hooks().left = Some(object.clone());
        Ok(())
    }

    /// Deletions and streams: there is no object to change, but these webhooks may refuse, too.
    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        object: Option<&Object>,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        if !matches!(attributes.operation, Operation::Delete | Operation::Connect) || is_exempt(attributes) {
            return Ok(());
        }
        let Some(hooks) = reader.core().webhooks.all(Family::Mutating) else { return Ok(()) };
        let case = Case::new(reader.core(), attributes, object, shown_old(attributes, old));
        for hook in hooks.iter() {
            let Some(shown) = case.wanted(hook).await? else { continue };
            match case.ask(Family::Mutating, hook, &shown).await {
                Outcome::Allowed(said) if call::is_empty_patch(&said.patch) => {}
                Outcome::Allowed(_) => {
                    return Err(Status::internal(format!(
                        "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
                        hook.name
                    )));
                }
                Outcome::PassedOver => {}
                Outcome::Refused(status) => return Err(*status),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Admission for Validating {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionWebhook"
    }

    fn concerns(&self, _attributes: &Attributes<'_>, reader: Reader<'_>) -> bool {
        reader.core().webhooks.any(Family::Validating)
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        object: Option<&Object>,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let Some(hooks) = reader.core().webhooks.all(Family::Validating) else { return Ok(()) };
        if is_exempt(attributes) {
            return Ok(());
        }
        let case = Case::new(reader.core(), attributes, object, shown_old(attributes, old));
        let mut relevant = Vec::new();
        for hook in hooks.iter() {
            if let Some(shown) = case.wanted(hook).await? {
                relevant.push((hook, shown));
            }
        }
        let calls: FuturesUnordered<_> = relevant
            .iter()
            .enumerate()
            .map(|(at, (hook, shown))| {
                let case = &case;
                async move { (at, hook, case.ask(Family::Validating, hook, shown).await) }
            })
            .collect();
        let outcomes: Vec<_> = calls.collect().await;
        let mut refusal = None;
        for (at, hook, outcome) in outcomes {
            match outcome {
                Outcome::Allowed(_) => {}
                Outcome::PassedOver => attributes.annotate(
                    format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{at}"),
                    &hook.name,
                ),
                Outcome::Refused(status) => {
                    refusal.get_or_insert(status);
                }
            }
        }
        refusal.map_or(Ok(()), |status| Err(*status))
    }
}

/// A stream has no old object; what it is opened to is for the built-in plugins alone.
fn shown_old<'a>(attributes: &Attributes<'_>, old: Option<&'a Object>) -> Option<&'a Object> {
    old.filter(|_| attributes.operation != Operation::Connect)
}

/// Who configures admission must not be locked out by it.
fn is_exempt(attributes: &Attributes<'_>) -> bool {
    attributes.kind.group == "admissionregistration.k8s.io"
        && matches!(
            &*attributes.kind.plural,
            "validatingwebhookconfigurations"
                | "mutatingwebhookconfigurations"
                | "validatingadmissionpolicies"
                | "validatingadmissionpolicybindings"
                | "mutatingadmissionpolicies"
                | "mutatingadmissionpolicybindings"
        )
}

/// Null for nothing.
fn or_null(object: Option<Value>) -> Value {
    object.unwrap_or(Value::Null)
}
