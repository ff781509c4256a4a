//! Expressions of admission: what they may name, and what they must come to.
//!
//! In: the text of an expression and where it stands. Out: a checked expression, or its fault in Kubernetes' words. Used
//! where policies are validated, where they are compiled to run, and where their types are checked against a schema.

mod request;
mod typed;

use std::collections::BTreeMap;
use std::sync::Arc;

use kedge_cel::{Checked, Provider, Type};

pub use request::namespace;
pub use typed::{GvkWarnings, warnings};

/// The type of `variables`.
const VARIABLES: &str = "kubernetes.variables";

/// What an expression must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// True or false.
    Truth,
    /// A text.
    Text,
    /// A text or nothing.
    TextOrNull,
    /// An `Object` to apply.
    Object,
    /// A list of `JSONPatch`.
    Patches,
    /// Anything.
    Anything,
}

impl Wanted {
    fn types(self) -> Vec<Type> {
        match self {
            Wanted::Truth => vec![Type::Bool],
            Wanted::Text => vec![Type::Text],
            Wanted::TextOrNull => vec![Type::Text, Type::Null],
            Wanted::Object => vec![Type::object("Object")],
            Wanted::Patches => vec![Type::list(Type::object("JSONPatch"))],
            Wanted::Anything => Vec::new(),
        }
    }
}

/// What expressions at one place may name.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// `params`, and its type.
    pub params: Option<Type>,
    /// `authorizer`.
    pub authorizer: bool,
    /// `Object` and `JSONPatch` may be made.
    pub patches: bool,
    /// The type of `object` and `oldObject`; anything if nothing is said.
    pub object: Option<Type>,
    /// The types of custom resources among these.
    custom: Option<Arc<typed::Custom>>,
    /// The variables so far, with their types.
    variables: BTreeMap<String, Type>,
}

impl Scope {
    /// For expressions of a policy, which may have parameters.
    pub fn new(params: bool) -> Scope {
        Scope { params: params.then_some(Type::Dyn), authorizer: true, ..Scope::default() }
    }

    /// The same where nobody may be asked what somebody may do.
    pub fn without_authorizer(&self) -> Scope {
        Scope { authorizer: false, ..self.clone() }
    }

    /// The same where patches may be made.
    pub fn with_patches(&self) -> Scope {
        Scope { patches: true, ..self.clone() }
    }

    /// Adds a variable.
    pub fn add_variable(&mut self, name: &str, of: Type) {
        self.variables.insert(name.to_owned(), of);
    }

    /// Checks an expression.
    pub fn compile(&self, text: &str, wanted: Wanted) -> Result<Checked, String> {
        let any = || self.object.clone().unwrap_or(Type::Dyn);
        let mut variables = vec![
            ("object", any()),
            ("oldObject", any()),
            ("namespaceObject", Type::object(request::NAMESPACE)),
            ("request", Type::object(request::REQUEST)),
            ("variables", Type::object(VARIABLES)),
        ];
        if let Some(of) = &self.params {
            variables.push(("params", of.clone()));
        }
        if self.authorizer {
            variables.push(("authorizer", Type::object("kubernetes.authorization.Authorizer")));
            variables.push(("authorizer.requestResource", Type::object("kubernetes.authorization.ResourceCheck")));
        }
        let checked =
            Checked::compile(text, &variables, self).map_err(|issues| format!("compilation failed: {issues}"))?;
        let types = wanted.types();
        let is = checked.output();
        match &types[..] {
            [] => Ok(checked),
            types if types.contains(is) => Ok(checked),
            [one] => Err(format!("must evaluate to {} but got {}", one.full_name(), is.full_name())),
            several => {
                let several: Vec<String> = several.iter().map(Type::full_name).collect();
                Err(format!("must evaluate to one of [{}] but got {}", several.join(" "), is.full_name()))
            }
        }
    }
}

fn is_made_object(name: &str) -> bool {
    name == "Object" || name.starts_with("Object.")
}

impl Provider for Scope {
    fn has_type(&self, name: &str) -> bool {
        name == VARIABLES
            || self.is_makable(name)
            || request::objects().has_type(name)
            || (self.object.is_some() && typed::Schemas.has_type(name))
            || self.custom.as_ref().is_some_and(|custom| custom.has_type(name))
    }

    fn is_makable(&self, name: &str) -> bool {
        self.patches && (name == "JSONPatch" || is_made_object(name))
    }

    fn field(&self, of: &str, name: &str) -> Option<Type> {
        match of {
            VARIABLES => self.variables.get(name).cloned(),
            "JSONPatch" => match name {
                "op" | "path" | "from" => Some(Type::Text),
                "value" => Some(Type::Dyn),
                _ => None,
            },
            of if is_made_object(of) => Some(Type::Dyn),
            of => request::objects()
                .field(of, name)
                .or_else(|| self.custom.as_ref()?.field(of, name))
                .or_else(|| typed::Schemas.field(of, name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(scope: &Scope, text: &str, wanted: Wanted, fault: &str) {
        match scope.compile(text, wanted) {
            Ok(_) => assert_eq!(fault, "", "{text}"),
            Err(found) => assert!(found.starts_with(fault) && !fault.is_empty(), "{text}: {found}"),
        }
    }

    #[test]
    fn what_expressions_may_name_and_come_to() {
        let mut scope = Scope::new(false);
        check(&scope, "object.spec.replicas > 1", Wanted::Truth, "");
        check(&scope, "request.userInfo.username + namespaceObject.metadata.name", Wanted::Text, "");
        check(&scope, "authorizer.requestResource.check('get').allowed()", Wanted::Truth, "");
        check(&scope, "1 + 1", Wanted::Truth, "must evaluate to bool but got int");
        check(&scope, "1", Wanted::TextOrNull, "must evaluate to one of [string null_type] but got int");
        check(
            &scope,
            "params.x",
            Wanted::Truth,
            "compilation failed: ERROR: <input>:1:1: undeclared reference to 'params'",
        );
        check(&Scope::new(true), "params.x == 1", Wanted::Truth, "");
        check(
            &scope,
            "request.nothing",
            Wanted::Truth,
            "compilation failed: ERROR: <input>:1:8: undefined field 'nothing'",
        );
        check(&scope, "variables.a", Wanted::Truth, "compilation failed: ERROR: <input>:1:10: undefined field 'a'");
        scope.add_variable("a", Type::Bool);
        check(&scope, "variables.a", Wanted::Truth, "");
        let none = scope.without_authorizer();
        check(&none, "authorizer.path('/').check('get').allowed()", Wanted::Truth, "compilation failed");
        let patches = scope.with_patches();
        check(&patches, "Object{spec: Object.spec{replicas: 1}}", Wanted::Object, "");
        check(&patches, "[JSONPatch{op: 'add', path: '/a', value: 1}]", Wanted::Patches, "");
        check(
            &patches,
            "[JSONPatch{op: 1}]",
            Wanted::Patches,
            "compilation failed: ERROR: <input>:1:14: expected type of field 'op' is 'string'",
        );
        check(
            &scope,
            "Object{}",
            Wanted::Object,
            "compilation failed: ERROR: <input>:1:7: undeclared reference to 'Object'",
        );
    }
}
