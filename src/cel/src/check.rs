//! Checks a tree against declarations.
//!
//! In: a tree, the variables there are, and a provider of object types. Out: the tree with names resolved, every
//! node's type and every call's overloads, or what is wrong. Never evaluates anything but constants.

mod literals;

use std::collections::HashMap;
use std::sync::Arc;

use crate::fault::Issue;
use crate::functions;
use crate::syntax::ast::{Entry, Expr, Fold, Kind, Literal};
use crate::types::{Found, Type, most_general};

/// Knows the fields of object types.
pub trait Provider {
    /// Whether there is an object type of that name.
    fn has_type(&self, name: &str) -> bool;

    /// Whether expressions may make objects of that type by writing them down.
    fn is_makable(&self, _name: &str) -> bool {
        false
    }

    /// The type of a field, if the object type has it.
    fn field(&self, of: &str, name: &str) -> Option<Type>;
}

/// Knows no object types.
#[derive(Debug, Clone, Copy)]
pub struct NoTypes;

impl Provider for NoTypes {
    fn has_type(&self, _name: &str) -> bool {
        false
    }

    fn field(&self, _of: &str, _name: &str) -> Option<Type> {
        None
    }
}

/// What the checker found out.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Each node's type, by number.
    pub types: Vec<Type>,
    /// Each call's overloads, by number.
    pub overloads: HashMap<u32, Vec<&'static str>>,
}

/// Checks the tree, which has `nodes` nodes.
pub(crate) fn check(
    expr: &mut Expr,
    nodes: u32,
    variables: &[(&str, Type)],
    provider: &dyn Provider,
) -> Result<Facts, Vec<Issue>> {
    let mut checker = Checker {
        variables,
        provider,
        scope: Vec::new(),
        found: Found::default(),
        types: vec![Type::Error; nodes as usize],
        overloads: HashMap::new(),
        issues: Vec::new(),
    };
    checker.check(expr);
    if !checker.issues.is_empty() {
        return Err(checker.issues);
    }
    let Checker { found, mut types, overloads, .. } = checker;
    for of in &mut types {
        *of = found.resolve(of, true);
    }
    let facts = Facts { types, overloads };
    let issues = literals::check(expr, &facts);
    if issues.is_empty() { Ok(facts) } else { Err(issues) }
}

struct Checker<'c> {
    variables: &'c [(&'c str, Type)],
    provider: &'c dyn Provider,
    /// Variables of loops, the innermost last.
    scope: Vec<(Arc<str>, Type)>,
    found: Found,
    types: Vec<Type>,
    overloads: HashMap<u32, Vec<&'static str>>,
    issues: Vec<Issue>,
}

impl Checker<'_> {
    fn fault(&mut self, at: u32, text: String) -> Type {
        self.issues.push(Issue::new(at, text));
        Type::Error
    }

    fn undeclared(&mut self, at: u32, name: &str) -> Type {
        let name = name.strip_prefix('.').unwrap_or(name);
        self.fault(at, format!("undeclared reference to '{name}' (in container '')"))
    }

    fn shown(&self, of: &Type) -> Type {
        self.found.resolve(of, false)
    }

    fn mismatch(&mut self, at: u32, wanted: &Type, is: &Type) -> Type {
        let text = format!("expected type '{}' but found '{}'", self.shown(wanted), self.shown(is));
        self.fault(at, text)
    }

    fn check(&mut self, expr: &mut Expr) -> Type {
        let at = expr.at;
        let of = match &mut expr.kind {
            Kind::Literal(literal) => match literal {
                Literal::Null => Type::Null,
                Literal::Bool(_) => Type::Bool,
                Literal::Int(_) => Type::Int,
                Literal::Uint(_) => Type::Uint,
                Literal::Double(_) => Type::Double,
                Literal::Text(_) => Type::Text,
                Literal::Bytes(_) => Type::Bytes,
            },
            Kind::Ident(name) => match self.ident(name) {
                Some(of) => {
                    if let Some(plain) = name.strip_prefix('.') {
                        *name = plain.into();
                    }
                    of
                }
                None => {
                    let name = name.clone();
                    self.undeclared(at, &name)
                }
            },
            Kind::Select { .. } => self.select(expr),
            Kind::Call(_) => self.call(expr),
            Kind::List { items, optional } => self.list(items, optional),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { .. } => self.structure(expr),
            Kind::Fold(fold) => self.fold(fold),
        };
        self.types[expr.id as usize] = of.clone();
        of
    }

    fn ident(&self, name: &str) -> Option<Type> {
        let plain = name.strip_prefix('.');
        if plain.is_none()
            && let Some((_, of)) = self.scope.iter().rev().find(|(own, _)| **own == *name)
        {
            return Some(of.clone());
        }
        let name = plain.unwrap_or(name);
        if let Some((_, of)) = self.variables.iter().find(|(own, _)| *own == name) {
            return Some(of.clone());
        }
        type_named(name, self.provider).map(|of| Type::Type(Some(Arc::new(of))))
    }

    fn select(&mut self, expr: &mut Expr) -> Type {
        if let Some(name) = expr.as_qualified()
            && let Some(of) = self.ident(&name)
        {
            expr.kind = Kind::Ident(name.strip_prefix('.').unwrap_or(&name).into());
            return of;
        }
        let at = expr.at;
        let Kind::Select { operand, field, test } = &mut expr.kind else { return Type::Error };
        let of = self.field(at, operand, field, false);
        if *test { Type::Bool } else { self.found.resolve(&of, false) }
    }

    fn field(&mut self, at: u32, operand: &mut Expr, field: &str, optional: bool) -> Type {
        let of = self.check(operand);
        let (target, was_optional) = self.found.resolve(&of, false).unwrap_optional();
        let result = match &target {
            Type::Map(of) => of.1.clone(),
            Type::Object(name) => match self.provider.field(name, field) {
                Some(of) => of,
                None if self.provider.has_type(name) => self.fault(at, format!("undefined field '{field}'")),
                None => self.fault(at, format!("unexpected failed resolution of '{name}'")),
            },
            Type::Param(_) => {
                self.found.assign(&Type::Dyn, &target);
                Type::Dyn
            }
            other => {
                if !other.is_dyn_or_error() {
                    self.fault(at, format!("type '{other}' does not support field selection"));
                }
                Type::Dyn
            }
        };
        if was_optional || optional { Type::optional(result) } else { result }
    }

    fn call(&mut self, expr: &mut Expr) -> Type {
        let (id, at) = (expr.id, expr.at);
        let Kind::Call(call) = &mut expr.kind else { return Type::Error };
        if &*call.name == "_?._" {
            call.function = functions::find("_?._");
            self.overloads.insert(id, vec!["select_optional_field"]);
            let [operand, field] = &mut call.args[..] else { return Type::Error };
            let Kind::Literal(Literal::Text(name)) = &field.kind else { return Type::Error };
            let name = name.clone();
            self.check(field);
            let of = self.field(at, operand, &name, true);
            return self.found.resolve(&of, false);
        }
        let mut args: Vec<Type> = call.args.iter_mut().map(|arg| self.check(arg)).collect();
        if let Some(target) = &mut call.target {
            // `a.b.c()` is the function `a.b.c` if there is one.
            let qualified = target.as_qualified().map(|prefix| format!("{prefix}.{}", call.name));
            if let Some(function) = qualified.and_then(|name| functions::find(name.trim_start_matches('.'))) {
                call.target = None;
                call.name = function.name.into();
            } else {
                args.insert(0, self.check(target));
            }
        }
        let name = call.name.strip_prefix('.').unwrap_or(&call.name);
        let Some(function) = functions::find(name) else {
            let name = call.name.clone();
            return self.undeclared(at, &name);
        };
        call.function = Some(function);
        call.name = function.name.into();
        let member = call.target.is_some();
        if matches!(function.name, "_&&_" | "_||_") {
            self.overloads.insert(id, vec![function.overloads[0].id]);
            for (arg, of) in call.args.iter().zip(&args) {
                if !self.found.assign(of, &Type::Bool) {
                    self.mismatch(arg.at, &Type::Bool, of);
                }
            }
            return Type::Bool;
        }
        let result = self.resolve(id, at, function, member, &args);
        if let Some([one]) = self.overloads.get(&id).map(Vec::as_slice) {
            call.overload = Some(one);
        }
        result
    }

    fn resolve(
        &mut self,
        id: u32,
        at: u32,
        function: &'static functions::Function,
        member: bool,
        args: &[Type],
    ) -> Type {
        let (mut result, mut chosen): (Option<Type>, Vec<&'static str>) = (None, Vec::new());
        for overload in function.overloads.iter().filter(|o| o.member == member && o.args.len() == args.len()) {
            let first = self.found.fresh_many(overload.params);
            let (wanted, of) = overload.instance(first);
            if !self.found.assign_all(args, &wanted) {
                continue;
            }
            chosen.push(overload.id);
            let of = self.found.resolve(&of, false);
            result = Some(match result {
                None => of,
                Some(before) if before != Type::Dyn && before != of => Type::Dyn,
                Some(before) => before,
            });
        }
        let Some(result) = result else {
            let shown: Vec<String> = args.iter().map(|arg| self.found.resolve(arg, true).to_string()).collect();
            let signature = match shown.split_first() {
                Some((target, rest)) if member => format!("{target}.({})", rest.join(", ")),
                _ => format!("({})", shown.join(", ")),
            };
            let text = format!("found no matching overload for '{}' applied to '{signature}'", function.name);
            return self.fault(at, text);
        };
        self.overloads.insert(id, chosen);
        result
    }

    /// The type of a value that may be left out.
    fn optional_item(&mut self, value: &Expr, of: Type) -> Type {
        let (inner, is_optional) = of.unwrap_optional();
        if !is_optional && inner != Type::Dyn {
            self.mismatch(value.at, &Type::optional(inner.clone()), &inner);
        }
        inner
    }

    fn list(&mut self, items: &mut [Expr], optional: &[bool]) -> Type {
        let mut joined = None;
        for (number, item) in items.iter_mut().enumerate() {
            let mut of = self.check(item);
            if optional.get(number) == Some(&true) {
                of = self.optional_item(item, of);
            }
            joined = Some(self.join(joined, of));
        }
        Type::list(joined.unwrap_or_else(|| self.found.fresh()))
    }

    fn map(&mut self, entries: &mut [Entry]) -> Type {
        let (mut key, mut value) = (None, None);
        for entry in entries {
            let of = self.check(&mut entry.key);
            key = Some(self.join(key, of));
            let mut of = self.check(&mut entry.value);
            if entry.optional {
                of = self.optional_item(&entry.value, of);
            }
            value = Some(self.join(value, of));
        }
        let key = key.unwrap_or_else(|| self.found.fresh());
        Type::map(key, value.unwrap_or_else(|| self.found.fresh()))
    }

    /// The type of items, keys or values of which each may have its own. That they are of one type is seen to by
    /// `literals.rs`.
    fn join(&mut self, before: Option<Type>, of: Type) -> Type {
        match before {
            None => of,
            Some(before) if self.found.assign(&before, &of) => most_general(before, of),
            Some(_) => Type::Dyn,
        }
    }

    fn structure(&mut self, expr: &mut Expr) -> Type {
        let at = expr.at;
        let Kind::Struct { name, fields } = &mut expr.kind else { return Type::Error };
        let plain: Arc<str> = name.strip_prefix('.').unwrap_or(name).into();
        let known = match type_named(&plain, self.provider) {
            Some(Type::Object(_)) if self.provider.is_makable(&plain) => true,
            Some(other) => {
                self.fault(at, format!("'{other}' is not a message type"));
                false
            }
            None => {
                self.undeclared(at, &plain);
                false
            }
        };
        *name = plain.clone();
        for field in fields {
            let mut of = self.check(&mut field.value);
            if !known {
                continue;
            }
            if field.optional {
                of = self.optional_item(&field.value, of);
            }
            match self.provider.field(&plain, &field.name) {
                Some(wanted) => {
                    if !self.found.assign(&wanted, &of) {
                        let text = format!(
                            "expected type of field '{}' is '{wanted}' but provided type is '{}'",
                            field.name,
                            self.shown(&of)
                        );
                        self.fault(field.at, text);
                    }
                }
                None => drop(self.fault(field.at, format!("undefined field '{}'", field.name))),
            }
        }
        if known { Type::Object(plain) } else { Type::Error }
    }

    fn fold(&mut self, fold: &mut Fold) -> Type {
        let range = self.check(&mut fold.range);
        let init = self.check(&mut fold.init);
        let range = self.found.resolve(&range, false);
        let (one, two) = match &range {
            Type::List(of) if fold.var2.is_some() => (Type::Int, (**of).clone()),
            Type::List(of) => ((**of).clone(), Type::Error),
            Type::Map(of) => (of.0.clone(), of.1.clone()),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.found.assign(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let text = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.fault(fold.range.at, text);
                (Type::Error, Type::Error)
            }
        };
        let depth = self.scope.len();
        self.scope.push((fold.accu.clone(), init.clone()));
        self.scope.push((fold.var.clone(), one));
        if let Some(name) = &fold.var2 {
            self.scope.push((name.clone(), two));
        }
        let condition = self.check(&mut fold.condition);
        if !self.found.assign(&Type::Bool, &condition) {
            self.mismatch(fold.condition.at, &Type::Bool, &condition);
        }
        let step = self.check(&mut fold.step);
        if !self.found.assign(&init, &step) {
            self.mismatch(fold.step.at, &init, &step);
        }
        self.scope.truncate(depth + 1);
        let result = self.check(&mut fold.result);
        self.scope.truncate(depth);
        self.found.resolve(&result, false)
    }
}

/// The type of that name, if there is one.
fn type_named(name: &str, provider: &dyn Provider) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "string" => Type::Text,
        "null_type" => Type::Null,
        "type" => Type::Type(None),
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "optional_type" => Type::optional(Type::Dyn),
        "google.protobuf.Duration" => Type::Duration,
        "google.protobuf.Timestamp" => Type::Time,
        "net.IP"
        | "net.CIDR"
        | "kubernetes.URL"
        | "kubernetes.Quantity"
        | "kubernetes.Semver"
        | "kubernetes.NamedFormat" => Type::object(name),
        name if provider.has_type(name) => Type::object(name),
        _ => return None,
    })
}

/// The type of that name that there always is.
pub(crate) fn builtin_type(name: &str) -> Option<Type> {
    type_named(name, &NoTypes)
}
