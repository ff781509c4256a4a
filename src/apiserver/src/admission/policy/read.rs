//! Policies and bindings, compiled.
//!
//! In: objects as they are kept. Out: what they say. An expression that does not compile is a fault when it is evaluated.

use kedge_api::field::Path;
use kedge_api::kinds::{Gvk, split_api_version};
use kedge_api::policy::{Scope, Wanted};
use kedge_api::selector::LabelSelector;
use kedge_api::status::Reason;
use kedge_api::{Object, meta};
use serde_json::Value;

use super::Family;
use super::matching::Matching;
use crate::admission::expression::{Conditions, Expression};

/// A policy.
#[derive(Debug)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Which writes it is about.
    pub matching: Matching,
    /// Under which conditions.
    pub conditions: Conditions,
    /// What its expressions share.
    pub variables: Vec<(String, Expression)>,
    /// The kind of its parameters.
    pub param: Option<Gvk>,
    /// Whether a fault is as good as no policy.
    pub ignores_failure: bool,
    /// What must hold.
    pub validations: Vec<Validation>,
    /// What is noted for the audit log.
    pub annotations: Vec<(String, Expression)>,
    /// What is changed.
    pub mutations: Vec<Mutation>,
    /// Whether it is asked again when somebody after it changed the object.
    pub reinvoked: bool,
    uid: String,
    generation: i64,
}

/// What must hold.
#[derive(Debug)]
pub struct Validation {
    /// The expression.
    pub expression: Expression,
    /// What to say if it does not.
    pub message: String,
    /// What makes up something to say.
    pub by: Option<Expression>,
    /// The reason of the refusal.
    pub reason: Reason,
}

/// What is changed.
#[derive(Debug)]
pub struct Mutation {
    /// The expression.
    pub expression: Expression,
    /// Whether it is applied; else it is a patch.
    pub applied: bool,
}

impl Policy {
    /// Compiles a policy.
    pub fn read(object: &Object, family: Family) -> Policy {
        let spec = &object["spec"];
        let param = spec.get("paramKind").filter(|kind| !kind.is_null()).map(|kind| {
            let (group, version) = split_api_version(meta::text(kind, "apiVersion"));
            Gvk {
                group: group.to_owned().into(),
                version: version.to_owned().into(),
                kind: meta::text(kind, "kind").to_owned().into(),
            }
        });
        let mut scope = Scope::new(param.is_some());
        let mut variables = Vec::new();
        for variable in meta::list_at(spec, &["variables"]) {
            let (expression, of) = Expression::typed(meta::text(variable, "expression"), &scope, Wanted::Anything);
            let name = meta::text(variable, "name").to_owned();
            scope.add_variable(&name, of);
            variables.push((name, expression));
        }
        let messages = scope.without_authorizer();
        let validation = |validation: &Value| Validation {
            expression: Expression::new(meta::text(validation, "expression"), &scope, Wanted::Truth),
            message: meta::text(validation, "message").trim().to_owned(),
            by: match meta::text(validation, "messageExpression") {
                "" => None,
                text => Some(Expression::new(text, &messages, Wanted::Text)),
            },
            reason: match meta::text(validation, "reason") {
                "" => Reason::Invalid,
                reason => Reason::parse(reason),
            },
        };
        let annotation = |annotation: &Value| {
            let expression = meta::text(annotation, "valueExpression").trim();
            (meta::text(annotation, "key").to_owned(), Expression::new(expression, &scope, Wanted::TextOrNull))
        };
        let patches = scope.with_patches();
        let mutation = |mutation: &Value| {
            let applied = meta::text(mutation, "patchType") == "ApplyConfiguration";
            let (field, wanted) =
                if applied { ("applyConfiguration", Wanted::Object) } else { ("jsonPatch", Wanted::Patches) };
            let text = meta::text_at(mutation, &[field, "expression"]).trim();
            Mutation { expression: Expression::new(text, &patches, wanted), applied }
        };
        let of = |wanted: Family, key: &str| if family == wanted { meta::list_at(spec, &[key]) } else { &[] };
        Policy {
            name: meta::name(object).to_owned(),
            matching: Matching::read(&spec["matchConstraints"]),
            conditions: Conditions::read(&spec["matchConditions"], param.is_some()),
            param,
            ignores_failure: meta::text(spec, "failurePolicy") == "Ignore",
            validations: of(Family::Validating, "validations").iter().map(validation).collect(),
            annotations: of(Family::Validating, "auditAnnotations").iter().map(annotation).collect(),
            mutations: of(Family::Mutating, "mutations").iter().map(mutation).collect(),
            reinvoked: meta::text(spec, "reinvocationPolicy") == "IfNeeded",
            variables,
            uid: meta::uid(object).to_owned(),
            generation: meta::generation(object),
        }
    }

    /// Whether it was read from that object, as far as it matters.
    pub fn is_of(&self, object: &Object) -> bool {
        self.generation > 0 && self.generation == meta::generation(object) && self.uid == meta::uid(object)
    }
}

/// A binding.
#[derive(Debug)]
pub struct Binding {
    /// Its name.
    pub name: String,
    /// The policy's name.
    pub policy: String,
    /// Which writes it is about.
    pub matching: Matching,
    /// With which parameters.
    pub param: Option<ParamRef>,
    /// What a refusal does.
    pub actions: Vec<Action>,
}

/// What a refusal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The write is refused.
    Deny,
    /// The client is told.
    Warn,
    /// The audit log is told.
    Audit,
}

impl Action {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Deny => "Deny",
            Action::Warn => "Warn",
            Action::Audit => "Audit",
        }
    }

    /// Its name in figures.
    pub fn figure(self) -> &'static str {
        match self {
            Action::Deny => "deny",
            Action::Warn => "warn",
            Action::Audit => "audit",
        }
    }
}

/// Which parameters.
#[derive(Debug)]
pub struct ParamRef {
    /// The one of that name; empty: by labels.
    pub name: String,
    /// In that namespace; empty: in the object's.
    pub namespace: String,
    /// Those with such labels.
    pub selector: Option<LabelSelector>,
    /// Whether it is a refusal that there are none.
    pub denies_none: bool,
}

impl Binding {
    /// Reads a binding.
    pub fn read(object: &Object) -> Binding {
        let spec = &object["spec"];
        let param = spec.get("paramRef").filter(|param| !param.is_null()).map(|param| ParamRef {
            name: meta::text(param, "name").to_owned(),
            namespace: meta::text(param, "namespace").to_owned(),
            selector: param.get("selector").filter(|selector| !selector.is_null()).map(selector),
            denies_none: meta::text(param, "parameterNotFoundAction") == "Deny",
        });
        let actions =
            meta::list_at(spec, &["validationActions"]).iter().filter_map(|action| match action.as_str()? {
                "Deny" => Some(Action::Deny),
                "Warn" => Some(Action::Warn),
                "Audit" => Some(Action::Audit),
                _ => None,
            });
        Binding {
            name: meta::name(object).to_owned(),
            policy: meta::text(spec, "policyName").to_owned(),
            matching: Matching::read(&spec["matchResources"]),
            param,
            actions: actions.collect(),
        }
    }
}

/// A selector that was accepted can be read; one that cannot selects nothing.
pub(super) fn selector(selector: &Value) -> LabelSelector {
    LabelSelector::from_object(Some(selector), &Path::root("selector")).unwrap_or_else(|_| LabelSelector::nothing())
}
