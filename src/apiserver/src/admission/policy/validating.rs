//! Policies that may only refuse.
//!
//! In: a write and the policies that are to be asked. Out: nothing, or the first refusal; warnings and notes for the audit
//! log beside.

use std::collections::BTreeMap;

use kedge_api::Object;
use kedge_api::status::{Reason, Status};
use kedge_cel::{COST_BUDGET, LONGEST_MESSAGE, Value as CelValue};
use serde_json::{Value, json};

use super::cache::{Family, Hook};
use super::case::{Case, Invocation, Shown, who};
use super::figures::Outcome;
use super::read::{Action, Validation};
use crate::admission::expression::{Expression, OutOfBudget, Scene, Stage};
use crate::admission::{Attributes, Reader};

/// The value of an audit annotation is at most this long.
const LONGEST_ANNOTATION: usize = 10 * 1024;

/// What does not hold.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    /// The place of the expression in the policy.
    index: usize,
    message: String,
    reason: Reason,
    outcome: Outcome,
}

/// What an invocation came to.
#[derive(Debug, Default)]
struct Judged {
    failures: Vec<Failure>,
    /// Faults of audit annotations, which refuse whatever the binding says.
    faults: Vec<String>,
    annotations: Vec<(String, String)>,
}

struct Refusal {
    message: String,
    reason: Reason,
}

pub async fn validate(
    reader: Reader<'_>,
    attributes: &Attributes<'_>,
    hooks: &[Hook],
    object: Option<&Object>,
    old: Option<&Object>,
) -> Result<(), Status> {
    const WORD: &str = "ValidatingAdmissionPolicy";
    let case = Case::new(reader, attributes);
    let figures = &reader.core().policies.figures;
    let (invocations, misfits) = case.invocations(hooks, object, old).await;
    let mut refusals: Vec<Refusal> = Vec::new();
    for misfit in misfits.iter().filter(|misfit| !misfit.policy.ignores_failure) {
        let message = format!("{} denied request: {}", misfit.who(WORD), misfit.message);
        refusals.push(Refusal { message, reason: Reason::Invalid });
    }
    let namespace = if invocations.is_empty() { None } else { case.namespace().await? };
    let mut notes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for invocation in &invocations {
        let (policy, binding) = (invocation.policy, invocation.binding);
        let shown = case.shown(case.kind(invocation), object, old);
        let judged = judge(&case, invocation, &shown, namespace.as_ref());
        let who = who(WORD, policy, Some(binding));
        for failure in judged.failures {
            for action in &binding.actions {
                figures.decided(Family::Validating, policy, binding, action.figure(), failure.outcome);
                match action {
                    Action::Deny => refusals.push(Refusal {
                        message: format!("{who} denied request: {}", failure.message),
                        reason: failure.reason.clone(),
                    }),
                    Action::Warn => attributes.warn(format!("Validation failed for {who}: {}", failure.message)),
                    Action::Audit => {
                        let actions: Vec<&str> = binding.actions.iter().map(|action| action.as_str()).collect();
                        let note = json!([{"message": failure.message, "policy": policy.name,
                            "binding": binding.name, "expressionIndex": failure.index, "validationActions": actions}]);
                        let key = "validation.policy.admission.k8s.io/validation_failure";
                        attributes.annotate(key, note.to_string());
                    }
                }
            }
        }
        for fault in judged.faults {
            refusals.push(Refusal { message: format!("{who} denied request: {fault}"), reason: Reason::Invalid });
        }
        for (key, value) in judged.annotations {
            let values = notes.entry(format!("{}/{key}", policy.name)).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }
    for (key, values) in notes {
        attributes.annotate(key, values.join(", "));
    }
    match refusals.into_iter().next() {
        None => Ok(()),
        Some(refusal) => Err(refused(attributes, refusal)),
    }
}

fn refused(attributes: &Attributes<'_>, refusal: Refusal) -> Status {
    let mut status = attributes.forbidden(&refusal.message).with_cause("", refusal.message, "");
    status.code = match refusal.reason {
        Reason::Forbidden => 403,
        Reason::Unauthorized => 401,
        Reason::RequestEntityTooLarge => 413,
        _ => 422,
    };
    status.reason = refusal.reason;
    status
}

/// Evaluates a policy. Neither waits nor reads.
fn judge(case: &Case<'_>, invocation: &Invocation<'_>, shown: &Shown, namespace: Option<&Value>) -> Judged {
    let policy = invocation.policy;
    let scene = Scene {
        object: shown.object.as_ref(),
        old: shown.old.as_ref(),
        request: &shown.request,
        params: invocation.param.as_ref(),
        namespace,
        judge: &case.judge,
    };
    let mut judged = Judged::default();
    let failed = |index: usize, message: String| {
        let failure = Failure { index, message, reason: Reason::Invalid, outcome: Outcome::Faulty };
        (!policy.ignores_failure).then_some(failure)
    };
    match policy.conditions.hold(&scene) {
        Ok(true) => {}
        Ok(false) => return judged,
        Err(why) => {
            judged.failures.extend(failed(0, why));
            return judged;
        }
    }
    let stage = Stage::new(scene, &policy.variables);
    let mut budget = COST_BUDGET;
    for (index, validation) in policy.validations.iter().enumerate() {
        match stage.eval(&validation.expression, &mut budget) {
            Ok(Ok(CelValue::Bool(true))) => {}
            Ok(Ok(_)) => match message(&stage, validation, &mut budget) {
                Ok(message) => {
                    let (reason, outcome) = (validation.reason.clone(), Outcome::Judged);
                    judged.failures.push(Failure { index, message, reason, outcome });
                }
                Err(out) => judged.failures.extend(failed(index, format!("failed messageExpression: {out}"))),
            },
            Ok(Err(why)) => judged.failures.extend(failed(index, why)),
            Err(out) => {
                // Nothing that was found so far counts.
                judged.failures = failed(index, out.to_string()).into_iter().collect();
                return judged;
            }
        }
    }
    annotate(&stage, &policy.annotations, policy.ignores_failure, &mut judged);
    judged
}

/// What to say of a validation that does not hold.
fn message<'a>(stage: &'a Stage<'a>, validation: &Validation, budget: &mut u64) -> Result<String, OutOfBudget> {
    if let Some(by) = &validation.by
        && let Ok(CelValue::Text(text)) = stage.eval(by, budget)?
    {
        let text = text.trim();
        if !text.is_empty() && text.len() <= LONGEST_MESSAGE && !text.contains('\n') {
            return Ok(text.to_owned());
        }
    }
    Ok(match &*validation.message {
        "" => format!("failed expression: {}", validation.expression.text().trim()),
        message => message.to_owned(),
    })
}

fn annotate<'a>(stage: &'a Stage<'a>, all: &[(String, Expression)], ignores: bool, judged: &mut Judged) {
    let mut budget = COST_BUDGET;
    for (key, expression) in all {
        let fault = match stage.eval(expression, &mut budget) {
            Ok(Ok(CelValue::Null)) => continue,
            Ok(Ok(CelValue::Text(text))) => {
                let text = text.trim();
                let end = (0..=LONGEST_ANNOTATION.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
                if !text.is_empty() {
                    judged.annotations.push((key.clone(), text[..end.unwrap_or(0)].to_owned()));
                }
                continue;
            }
            Ok(Ok(other)) => format!(
                "valueExpression '{}' resulted in unsupported return type: {}. Return type must be either string or null.",
                expression.text(),
                other.kind().full_name()
            ),
            Ok(Err(why)) => why,
            Err(out) => out.to_string(),
        };
        if !ignores {
            judged.faults.push(fault);
        }
    }
}
