//! Policies that may change an object.
//!
//! In: a write and the policies that are to be asked. Out: the object as they left it, one after the other, or why it is
//! refused. A policy sees what those before it changed.

use kedge_api::schema::{self, Struct};
use kedge_api::status::{Reason, Status};
use kedge_api::{Object, apply, meta, patch};
use kedge_cel::{COST_BUDGET, Value as CelValue};
use serde_json::{Value, json};

use super::cache::{Family, Hook};
use super::case::{Case, Invocation, Shown, who};
use super::figures::Outcome;
use super::read::Mutation;
use crate::admission::expression::{Scene, Stage};
use crate::admission::{Attributes, Reader, scope};

struct Refusal {
    message: String,
    reason: Option<Reason>,
}

/// Why a mutation changes nothing.
enum Failed {
    /// It is wrong.
    Mutation(String),
    /// Something else is.
    Request(Box<Status>),
}

pub async fn mutate(
    reader: Reader<'_>,
    attributes: &Attributes<'_>,
    hooks: &[Hook],
    object: &mut Object,
    old: Option<&Object>,
) -> Result<(), Status> {
    let case = Case::new(reader, attributes);
    let figures = &reader.core().policies.figures;
    let (invocations, misfits) = case.invocations(hooks, Some(object), old).await;
    let mut refusals: Vec<Refusal> = Vec::new();
    for misfit in misfits.iter().filter(|misfit| !misfit.policy.ignores_failure) {
        let message = format!("{} denied request: {}", misfit.who("policy"), misfit.message);
        refusals.push(Refusal { message, reason: None });
    }
    let namespace = if invocations.is_empty() { None } else { case.namespace().await? };
    let rounds = &attributes.rounds;
    if rounds.is_second() {
        let mut memory = rounds.policies();
        if memory.left.as_ref() != Some(object) {
            memory.require_again();
        }
    }
    for invocation in &invocations {
        let policy = invocation.policy;
        let mut refuse = |message: String| {
            if !policy.ignores_failure {
                let message = format!("{} denied request: {message}", who("policy", policy, Some(invocation.binding)));
                refusals.push(Refusal { message, reason: Some(Reason::Invalid) });
            }
        };
        let kind = case.kind(invocation);
        let shown = case.shown(kind, Some(object), old);
        match policy.conditions.hold(&scene(&case, invocation, &shown, namespace.as_ref())) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(why) => {
                refuse(why);
                continue;
            }
        }
        let key = invocation.key();
        if rounds.is_second() && !rounds.policies().again.remove(&key) {
            continue;
        }
        let before = object.clone();
        for mutation in &policy.mutations {
            let shown = case.shown(kind, Some(object), old);
            match changed(&case, invocation, mutation, &shown, namespace.as_ref()) {
                Ok(changed) => {
                    if let Some(changed) = changed {
                        *object = scope::restored(attributes, object, kind, changed)?;
                    }
                    figures.decided(Family::Mutating, policy, invocation.binding, "", Outcome::Judged);
                }
                Err(Failed::Mutation(why)) => {
                    figures.decided(Family::Mutating, policy, invocation.binding, "", Outcome::Faulty);
                    refuse(why);
                }
                Err(Failed::Request(status)) => return Err(*status),
            }
        }
        let mut memory = rounds.policies();
        if *object != before {
            memory.require_again();
            rounds.ask_again();
        }
        if policy.reinvoked {
            memory.asked.insert(key);
        }
    }
    rounds.policies().left = Some(object.clone());
    refusals.is_empty().then_some(()).ok_or_else(|| refused(attributes, refusals))
}

fn refused(attributes: &Attributes<'_>, refusals: Vec<Refusal>) -> Status {
    let mut status = attributes.forbidden("admission request denied by policy");
    if let Some(first) = refusals.first() {
        status.message.clone_from(&first.message);
        if let Some(reason) = &first.reason {
            status.reason = reason.clone();
        }
    }
    refusals.into_iter().fold(status, |status, refusal| status.with_cause("", refusal.message, ""))
}

fn scene<'s>(
    case: &'s Case<'s>,
    invocation: &'s Invocation<'_>,
    shown: &'s Shown,
    namespace: Option<&'s Value>,
) -> Scene<'s> {
    Scene {
        object: shown.object.as_ref(),
        old: shown.old.as_ref(),
        request: &shown.request,
        params: invocation.param.as_ref(),
        namespace,
        judge: &case.judge,
    }
}

/// The object as a mutation leaves it; `None`: as it is.
fn changed(
    case: &Case<'_>,
    invocation: &Invocation<'_>,
    mutation: &Mutation,
    shown: &Shown,
    namespace: Option<&Value>,
) -> Result<Option<Value>, Failed> {
    let Some(object) = &shown.object else { return Ok(None) };
    let stage = Stage::new(scene(case, invocation, shown, namespace), &invocation.policy.variables);
    let mut budget = COST_BUDGET;
    let value = stage.eval(&mutation.expression, &mut budget).map_err(|out| Failed::Mutation(out.to_string()))?;
    let value = value.map_err(Failed::Mutation)?;
    if !mutation.applied {
        return patched(object, &value);
    }
    let kind = case.kind(invocation);
    let schema = case.attributes.subresource.map_or_else(|| kind.schema(), |sub| schema::of(&sub.gvk(kind)));
    applied(schema, object, &value).map(Some)
}

/// Objects within must be named by the fields they stand at.
fn well_named(value: &CelValue<'_>) -> Result<(), Failed> {
    let faults = value.misnamed();
    if faults.is_empty() { Ok(()) } else { Err(Failed::Mutation(format!("type mismatch: {}", faults.join("\n")))) }
}

fn applied(schema: Option<Struct<'_>>, object: &Value, value: &CelValue<'_>) -> Result<Value, Failed> {
    well_named(value)?;
    let mut config = value.to_json().map_err(|fault| Failed::Mutation(format!("type mismatch: {fault}")))?;
    let (api_version, kind) = (meta::api_version(object).to_owned(), meta::kind(object).to_owned());
    let Some(schema) = schema else {
        let why = format!(
            "Resource kind {api_version}, Kind={kind} not found. There can be a delay between when \
             CustomResourceDefinitions are created and when they are available."
        );
        return Err(Failed::Request(Box::new(Status::unavailable(why))));
    };
    config["apiVersion"] = json!(api_version);
    config["kind"] = json!(kind);
    apply::merge(schema, object, config).map_err(|why| Failed::Mutation(format!("error applying patch: {why}")))
}

fn patched(object: &Value, value: &CelValue<'_>) -> Result<Option<Value>, Failed> {
    let CelValue::List(list) = value else {
        let why = "type mismatch: JSONPatchType.expression should evaluate to array";
        return Err(Failed::Mutation(why.to_owned()));
    };
    let mut operations = Vec::with_capacity(list.len());
    for item in list.iter() {
        let item = item.map_err(|fault| Failed::Mutation(fault.to_string()))?;
        if let CelValue::Struct(made) = &item
            && let Some(value) = made.fields.get("value")
        {
            well_named(value)?;
        }
        let mut operation = item.to_json().map_err(|fault| {
            Failed::Mutation(format!(
                "JSONPath valueExpression evaluated to a type that could not marshal to JSON: {fault}"
            ))
        })?;
        if meta::text(&operation, "from").is_empty()
            && let Some(operation) = operation.as_object_mut()
        {
            operation.remove("from");
        }
        operations.push(operation);
    }
    let mut changed = object.clone();
    match patch::json(&mut changed, Value::Array(operations)) {
        Ok(()) => Ok(Some(changed)),
        // A test that fails is a condition that does not hold.
        Err(patch::PatchError::Unapplicable(why)) if why.ends_with("test failed") => Ok(None),
        Err(fault) => Err(Failed::Mutation(format!("JSON Patch: {fault}"))),
    }
}
