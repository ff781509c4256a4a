//! A policy's expressions held against the schemas of the kinds that it is about.
//!
//! In: a ValidatingAdmissionPolicy and the kinds there are. Out: warnings for its status. They never change what the policy
//! does. The table of built-in schemas is read as expressions walk through it; of custom ones declarations are made.

use std::collections::BTreeSet;
use std::sync::Arc;

use kedge_cel::declare::{Decl, Field, Form, Object, Objects, escape};
use kedge_cel::{Provider, Type};
use serde_json::Value;

use super::{Scope, Wanted};
use crate::custom::declaration;
use crate::kinds::{Gvk, Kinds};
use crate::meta;
use crate::schema::{self, Node, Scalar, Shape};

/// A policy's expressions are held against at most so many kinds, as in Kubernetes.
const MOST_KINDS: usize = 10;

/// A warning: where the expression stands, and what is wrong with it for which kinds.
pub type GvkWarnings = (String, String);

/// The warnings about a policy.
pub fn warnings(policy: &Value, kinds: &Kinds) -> Vec<GvkWarnings> {
    let scopes = scopes(policy, kinds);
    let mut out = Vec::new();
    for (index, validation) in meta::list_at(policy, &["spec", "validations"]).iter().enumerate() {
        for field in ["expression", "messageExpression"] {
            let text = meta::text(validation, field);
            if text.is_empty() {
                continue;
            }
            let faults: Vec<String> = scopes.iter().filter_map(|(gvk, scope)| fault(gvk, scope, text)).collect();
            if !faults.is_empty() {
                out.push((format!("spec.validations[{index}].{field}"), faults.join("\n")));
            }
        }
    }
    out
}

/// What expressions may name, for each kind that the policy is about and whose schema is known.
fn scopes(policy: &Value, kinds: &Kinds) -> Vec<(Gvk, Scope)> {
    let said = policy.pointer("/spec/paramKind").filter(|kind| !kind.is_null());
    let mut found = Vec::new();
    for gvk in checked_kinds(policy, kinds) {
        let mut custom = Custom::default();
        let mut scope = Scope::new(said.is_some());
        scope.object = custom.of(kinds, &gvk, "object");
        if scope.object.is_none() {
            continue;
        }
        if let Some(said) = said {
            let params = Gvk::from_api_version(meta::text(said, "apiVersion"), meta::text(said, "kind"));
            scope.params = Some(custom.of(kinds, &params, "params").unwrap_or(Type::Dyn));
        }
        scope.custom = Some(Arc::new(custom));
        for variable in meta::list_at(policy, &["spec", "variables"]) {
            let of = scope.compile(meta::text(variable, "expression"), Wanted::Anything);
            // One that is wrong has a warning of its own wherever it is used.
            scope.add_variable(meta::text(variable, "name"), of.map_or(Type::Dyn, |checked| checked.output().clone()));
        }
        found.push((gvk, scope));
    }
    found
}

fn fault(gvk: &Gvk, scope: &Scope, text: &str) -> Option<String> {
    let fault = scope.compile(text, Wanted::Anything).err()?;
    let group_version = if gvk.group.is_empty() { format!("/{}", gvk.version) } else { gvk.api_version() };
    Some(format!("{group_version}, Kind={}: {fault}\n", gvk.kind))
}

/// The types of custom resources that a policy is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Custom {
    objects: Objects,
    /// The types of whole objects: each has the metadata that every object has.
    roots: Vec<Arc<str>>,
}

impl Custom {
    /// The type of a kind; what is custom in it is declared under names that begin so.
    fn of(&mut self, kinds: &Kinds, gvk: &Gvk, begin: &str) -> Option<Type> {
        let Some(kind) = kinds.by_gvk(gvk).filter(|kind| kind.custom) else {
            return schema::of(gvk).map(|own| Type::object(own.name()));
        };
        let decl = named(&declaration(kind.schema()?.node().custom()?)?, begin);
        self.objects.add(&decl);
        if let Form::Object(root) = &decl.form {
            self.roots.push(root.name.clone());
        }
        Some(decl.of())
    }
}

/// The same declaration under other names: those of two schemas are alike.
fn named(decl: &Decl, begin: &str) -> Decl {
    let form = match &decl.form {
        Form::List(of, keep) => Form::List(Arc::new(named(of, begin)), keep.clone()),
        Form::Map(of) => Form::Map(Arc::new(named(of, begin))),
        Form::Object(own) => {
            let below = |field: &Field| Field { json: field.json.clone(), decl: named(&field.decl, begin) };
            let fields = own.fields.iter().map(|(name, field)| (name.clone(), below(field))).collect();
            Form::Object(Arc::new(Object { name: format!("{begin}.{}", own.name).into(), fields }))
        }
        form => form.clone(),
    };
    Decl { form, ..*decl }
}

impl Provider for Custom {
    fn has_type(&self, name: &str) -> bool {
        self.objects.has_type(name)
    }

    fn field(&self, of: &str, name: &str) -> Option<Type> {
        if name == "metadata" && self.roots.iter().any(|root| &**root == of) {
            return Some(Type::object("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"));
        }
        self.objects.field(of, name)
    }
}

/// The kinds that the policy's rules name without wildcards.
fn checked_kinds(policy: &Value, kinds: &Kinds) -> BTreeSet<Gvk> {
    let mut found = BTreeSet::new();
    for rule in meta::list_at(policy, &["spec", "matchConstraints", "resourceRules"]) {
        let words = |key: &str| -> Vec<&str> { meta::list_at(rule, &[key]).iter().filter_map(Value::as_str).collect() };
        let (groups, versions) = (words("apiGroups"), words("apiVersions"));
        if groups.iter().chain(&versions).any(|word| word.contains('*')) {
            continue;
        }
        for resource in words("resources").into_iter().filter(|word| !word.contains(['*', '/'])) {
            for group in &groups {
                for version in &versions {
                    if let Some(kind) = kinds.resource(group, version, resource)
                        && found.len() < MOST_KINDS
                    {
                        found.insert(kind.gvk());
                    }
                }
            }
        }
    }
    found
}

/// The built-in types, by their full names.
pub(super) struct Schemas;

impl Provider for Schemas {
    fn has_type(&self, name: &str) -> bool {
        schema::named(name).is_some()
    }

    fn field(&self, of: &str, name: &str) -> Option<Type> {
        let own = schema::named(of)?.as_struct()?;
        let field = own.field(name).or_else(|| own.fields().find(|f| escape(f.name()).as_deref() == Some(name)))?;
        Some(type_of(field.node()))
    }
}

fn type_of(node: Node<'_>) -> Type {
    match node.shape() {
        Shape::Struct(own) => Type::object(own.name()),
        Shape::Map(of) => Type::map(Type::Text, type_of(of)),
        Shape::List(of) => Type::list(type_of(of)),
        Shape::Raw | Shape::Any | Shape::Deduced => Type::Dyn,
        Shape::Scalar(scalar) => match scalar {
            Scalar::String => Type::Text,
            Scalar::Bytes => Type::Bytes,
            Scalar::Bool => Type::Bool,
            Scalar::Int32 | Scalar::Int64 => Type::Int,
            Scalar::Double => Type::Double,
            Scalar::Time | Scalar::MicroTime => Type::Time,
            Scalar::Quantity | Scalar::IntOrString => Type::Dyn,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(expression: &str, warning: &str) {
        let policy = json!({"spec": {
            "matchConstraints": {"resourceRules": [
                {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["*"]}]},
            "variables": [{"name": "count", "expression": "object.spec.replicas"}],
            "validations": [{"expression": expression}]}});
        let seen = warnings(&policy, &Kinds::builtin());
        match warning {
            "" => assert_eq!(seen, Vec::new(), "{expression}"),
            warning => {
                assert_eq!(seen[0].0, "spec.validations[0].expression");
                assert_eq!(seen[0].1, warning);
            }
        }
    }

    #[test]
    fn types_are_held_against_the_schema() {
        check("object.spec.replicas > 1 && variables.count < 5", "");
        check("object.spec.template.spec.containers.all(c, c.image.startsWith('a'))", "");
        check("object.metadata.creationTimestamp < timestamp('2026-01-01T00:00:00Z')", "");
        check("has(object.spec.template.spec.containers[0].resources.limits.cpu)", "");
        check(
            "object.spec.replicas > '1'",
            "apps/v1, Kind=Deployment: compilation failed: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'\n | object.spec.replicas > '1'\n | .....................^\n",
        );
        check(
            "object.foo > 1",
            "apps/v1, Kind=Deployment: compilation failed: ERROR: <input>:1:7: undefined field 'foo'\n | object.foo > 1\n | ......^\n",
        );
    }
}
