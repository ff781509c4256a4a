//! Expressions about a write: compiled once, evaluated for each.
//!
//! In: expressions as they are written; a write as they see it. Out: values, or why there is none, in Kubernetes' words.
//! Variables are evaluated when they are first asked for, and once. Evaluation reads no store, and waits only for the
//! authorization webhook.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use kedge_api::kinds::Sub;
use kedge_api::policy::{self, Scope, Wanted};
use kedge_api::{Object, meta};
use kedge_cel as cel;
use kedge_cel::{COST_PER_CALL, Limits, MATCH_COST_BUDGET, Program, Type};
use serde_json::Value as Json;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::Attributes;
use crate::authz;
use crate::core::Core;
use crate::identity::Identity;

/// An expression that can run, or what is wrong with it: it was kept when that was not looked at.
#[derive(Debug)]
pub struct Expression {
    text: String,
    program: Result<Program, String>,
}

impl Expression {
    /// Compiles a text.
    pub fn new(text: &str, scope: &Scope, wanted: Wanted) -> Expression {
        Expression::typed(text, scope, wanted).0
    }

    /// Compiles a text. Out, too: the type of what it comes to.
    pub fn typed(text: &str, scope: &Scope, wanted: Wanted) -> (Expression, Type) {
        let checked = scope.compile(text, wanted);
        let of = checked.as_ref().map_or(Type::Dyn, |checked| checked.output().clone());
        let program = checked.map(cel::Checked::into_program);
        (Expression { text: text.to_owned(), program }, of)
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// There is nothing left to spend.
#[derive(Debug)]
pub struct OutOfBudget;

impl std::fmt::Display for OutOfBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("validation failed due to running out of cost budget, no further validation rules will be run")
    }
}

/// A write, as expressions see it.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The object, in the version that is wanted.
    pub object: Option<&'a Json>,
    /// The object as it was.
    pub old: Option<&'a Json>,
    /// What is asked.
    pub request: &'a Json,
    /// The parameters.
    pub params: Option<&'a Json>,
    /// The namespace it is in.
    pub namespace: Option<&'a Json>,
    /// Who decides what somebody may do.
    pub judge: &'a Judge<'a>,
}

/// Answers `authorizer` for whoever asked.
pub struct Judge<'a> {
    core: &'a Core,
    who: &'a Identity,
    resource: cel::Resource,
}

impl std::fmt::Debug for Judge<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Judge")
    }
}

impl<'a> Judge<'a> {
    /// For the one who writes.
    pub(crate) fn new(core: &'a Core, attributes: &Attributes<'a>) -> Judge<'a> {
        let resource = cel::Resource {
            group: attributes.kind.group.to_string(),
            resource: attributes.kind.plural.to_string(),
            subresource: attributes.subresource.map_or("", Sub::name).to_owned(),
            namespace: attributes.namespace.to_owned(),
            name: attributes.name.to_owned(),
            ..cel::Resource::default()
        };
        Judge { core, who: attributes.who, resource }
    }
}

impl cel::Authorizer for Judge<'_> {
    fn decide(&self, account: Option<&cel::Account>, question: &cel::Question<'_>) -> cel::Decision {
        let account = account.map(|account| Identity::service_account(&account.namespace, &account.name));
        let wanted = match question {
            cel::Question::Path { verb, path } => authz::Wanted::Path { verb, path },
            cel::Question::Resource { verb, resource } => authz::Wanted::Resource {
                verb,
                group: &resource.group,
                resource: &resource.resource,
                subresource: &resource.subresource,
                namespace: &resource.namespace,
                name: &resource.name,
            },
        };
        let who = account.as_ref().unwrap_or(self.who);
        match judged(self.core, who, &wanted) {
            Ok(authz::Decision { allowed, reason, .. }) => cel::Decision { allowed, reason, error: String::new() },
            Err(why) => cel::Decision { error: why.to_owned(), ..cel::Decision::default() },
        }
    }
}

/// Asks the roles, and where they grant nothing whom the configuration names. Expressions cannot wait for that one, so
/// this thread does; what else it had to do moves to another.
fn judged(core: &Core, who: &Identity, wanted: &authz::Wanted<'_>) -> Result<authz::Decision, &'static str> {
    let decision = core.authorizer.decide(who, wanted);
    if decision.allowed || core.access_webhook.is_none() {
        return Ok(decision);
    }
    let runtime = Handle::current();
    if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Err("the authorization webhook cannot be asked from an expression on a runtime of one thread");
    }
    let asking = core.or_elsewhere(decision, who, wanted, authz::Detail::default());
    Ok(tokio::task::block_in_place(|| runtime.block_on(asking)))
}

/// A scene with variables, each evaluated at most once.
#[derive(Debug)]
pub struct Stage<'a> {
    scene: Scene<'a>,
    variables: &'a [(String, Expression)],
    known: Mutex<Vec<Option<Result<cel::Value<'a>, cel::Fault>>>>,
    spent: AtomicU64,
}

impl<'a> Stage<'a> {
    /// A scene with those variables.
    pub fn new(scene: Scene<'a>, variables: &'a [(String, Expression)]) -> Stage<'a> {
        Stage { scene, variables, known: Mutex::new(vec![None; variables.len()]), spent: AtomicU64::new(0) }
    }

    /// Evaluates an expression. The outer fault is that of all, the inner one is its own.
    pub fn eval(
        &'a self,
        expression: &Expression,
        budget: &mut u64,
    ) -> Result<Result<cel::Value<'a>, String>, OutOfBudget> {
        let program = match &expression.program {
            Ok(program) => program,
            Err(fault) => return Ok(Err(format!("compilation error: {fault}"))),
        };
        let ran = program.run(&self, Limits::cost(COST_PER_CALL));
        let cost = ran.cost.saturating_add(self.spent.swap(0, Ordering::Relaxed));
        *budget = budget.checked_sub(cost).ok_or(OutOfBudget)?;
        Ok(ran.value.map_err(|fault| format!("expression '{}' resulted in error: {fault}", expression.text)))
    }
}

fn json<'a>(value: Option<&'a Json>) -> cel::Value<'a> {
    // JSON without a declaration is always a value.
    value.and_then(|json| cel::Value::of(json, None).ok()).unwrap_or(cel::Value::Null)
}

impl<'a> cel::Variables<'a> for &'a Stage<'a> {
    fn value(&self, name: &str) -> Option<cel::Value<'a>> {
        let scene = &self.scene;
        Some(match name {
            "object" => json(scene.object),
            "oldObject" => json(scene.old),
            "request" => json(Some(scene.request)),
            "params" => json(scene.params),
            "namespaceObject" => match scene.namespace {
                Some(namespace) => cel::Value::of(namespace, Some(policy::namespace())).ok()?,
                None => cel::Value::Null,
            },
            "authorizer" => cel::Value::authorizer(scene.judge),
            "authorizer.requestResource" => cel::Value::resource_check(scene.judge, scene.judge.resource.clone()),
            "variables" => cel::Value::Lazy(*self),
            _ => return None,
        })
    }
}

impl<'a> cel::Lazy<'a> for Stage<'a> {
    fn field(&'a self, name: &str) -> Option<Result<cel::Value<'a>, cel::Fault>> {
        let at = self.variables.iter().position(|(own, _)| own == name)?;
        if let Some(known) = &self.known.lock().unwrap_or_else(PoisonError::into_inner)[at] {
            return Some(known.clone());
        }
        let expression = &self.variables[at].1;
        let value = match &expression.program {
            // A variable names only those before it, so this ends.
            Ok(program) => {
                let ran = program.run(&self, Limits::cost(COST_PER_CALL));
                self.spent.fetch_add(ran.cost, Ordering::Relaxed);
                ran.value.map_err(|fault| cel::Fault {
                    text: format!("composited variable {name:?} fails to evaluate: {fault}"),
                    halted: fault.halted,
                })
            }
            Err(fault) => Err(cel::Fault::new(format!("composited variable {name:?} fails to compile: {fault}"))),
        };
        self.known.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(value.clone());
        Some(value)
    }
}

/// The conditions under which a webhook or policy is asked at all.
#[derive(Debug, Default)]
pub struct Conditions {
    all: Vec<Expression>,
}

impl Conditions {
    /// Compiles `matchConditions`.
    pub fn read(conditions: &Json, params: bool) -> Conditions {
        let scope = Scope::new(params);
        let all = conditions.as_array().into_iter().flatten();
        let compile = |condition: &Json| Expression::new(meta::text(condition, "expression"), &scope, Wanted::Truth);
        Conditions { all: all.map(compile).collect() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether all hold. One that does not decides, whatever became of the others.
    pub fn hold(&self, scene: &Scene<'_>) -> Result<bool, String> {
        if self.all.is_empty() {
            return Ok(true);
        }
        let stage = Stage::new(Scene { namespace: None, ..*scene }, &[]);
        let mut budget = MATCH_COST_BUDGET;
        let mut faults = Vec::new();
        for condition in &self.all {
            match stage_eval(&stage, condition, &mut budget)? {
                Ok(false) => return Ok(false),
                Ok(true) => {}
                Err(fault) => faults.push(fault),
            }
        }
        match &faults[..] {
            [] => Ok(true),
            [one] => Err(one.clone()),
            several => Err(format!("[{}]", several.join(", "))),
        }
    }
}

fn stage_eval<'a>(
    stage: &'a Stage<'a>,
    condition: &Expression,
    budget: &mut u64,
) -> Result<Result<bool, String>, String> {
    let value = stage.eval(condition, budget).map_err(|out| out.to_string())?;
    Ok(value.map(|value| value.as_bool() != Some(false)))
}

/// A namespace as expressions see it.
pub fn namespace_object(namespace: &Object) -> Json {
    let mut shown = serde_json::json!({"metadata": {}});
    for key in ["spec", "status"] {
        if let Some(part) = namespace.get(key) {
            shown[key] = part.clone();
        }
    }
    const SHOWN: [&str; 11] = [
        "name",
        "generateName",
        "namespace",
        "labels",
        "annotations",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "resourceVersion",
        "finalizers",
    ];
    for key in SHOWN {
        if let Some(value) = namespace["metadata"].get(key) {
            shown["metadata"][key] = value.clone();
        }
    }
    shown
}
