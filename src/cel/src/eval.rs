//! Evaluates a checked tree.
//!
//! In: a tree, variables, limits. Out: a value or a fault, and what it cost. Costs are counted as cel-go counts them; what
//! exceeds the limit ends at once. The tree's depth is bounded by the parser, so this recurses.

mod cost;
mod fold;

use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::sync::Arc;

use crate::fault::Fault;
use crate::library::Host;
use crate::re2::Regex;
use crate::syntax::ast::{Call, Entry, Expr, FieldInit, Kind, Literal};
use crate::value::{Key, List, Made, Map, Text, Value, Work};

/// Knows the values of variables.
pub trait Variables<'a> {
    /// The variable's value, if there is such a variable.
    fn value(&self, name: &str) -> Option<Value<'a>>;
}

impl<'a> Variables<'a> for [(&str, Value<'a>)] {
    fn value(&self, name: &str) -> Option<Value<'a>> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone())
    }
}

impl<'a, const N: usize> Variables<'a> for [(&str, Value<'a>); N] {
    fn value(&self, name: &str) -> Option<Value<'a>> {
        self.as_slice().value(name)
    }
}

/// How far an evaluation may go.
#[derive(Clone, Copy)]
pub struct Limits<'l> {
    /// What it may cost.
    pub cost: u64,
    /// Asked every hundredth round of a loop: whether to give up.
    pub stop: Option<&'l dyn Fn() -> bool>,
}

impl Limits<'_> {
    /// By cost alone.
    pub fn cost(cost: u64) -> Limits<'static> {
        Limits { cost, stop: None }
    }
}

/// What an evaluation came to.
#[derive(Debug)]
pub struct Ran<'a> {
    /// The value.
    pub value: Result<Value<'a>, Fault>,
    /// What it cost.
    pub cost: u64,
}

pub(crate) fn run<'a>(
    expr: &Expr,
    patterns: &HashMap<Box<str>, Regex>,
    variables: &dyn Variables<'a>,
    limits: Limits<'_>,
) -> Ran<'a> {
    let host = Host { work: Work::default(), patterns, values: PhantomData };
    let mut machine = Machine { host, variables, locals: Vec::new(), spent: 0, limits, rounds: 0 };
    let value = machine.eval(expr);
    Ran { value, cost: machine.spent }
}

type Out<'a> = Result<Value<'a>, Fault>;

struct Machine<'a, 'p> {
    host: Host<'a, 'p>,
    variables: &'p dyn Variables<'a>,
    /// Variables of loops, the innermost last. What is accumulated may be a fault for a while.
    locals: Vec<(&'p str, Out<'a>)>,
    spent: u64,
    limits: Limits<'p>,
    rounds: u32,
}

impl<'a, 'p> Machine<'a, 'p> {
    fn spend(&mut self, cost: u64) -> Result<(), Fault> {
        self.spent = self.spent.saturating_add(cost);
        if self.spent > self.limits.cost { Err(Fault::too_costly()) } else { Ok(()) }
    }

    fn eval(&mut self, expr: &'p Expr) -> Out<'a> {
        match &expr.kind {
            Kind::Literal(literal) => Ok(constant(literal)),
            Kind::Ident(name) => self.ident(name),
            Kind::Select { operand, field, test: false } => {
                let value = self.eval(operand)?;
                self.spend(1)?;
                self.field(value, field)
            }
            Kind::Select { operand, field, test: true } => self.has(operand, field),
            Kind::Call(call) => self.call(call),
            Kind::List { items, optional } => self.list(items, optional),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { name, fields } => self.structure(name, fields),
            Kind::Fold(fold) => self.fold(fold),
        }
    }

    fn ident(&mut self, name: &str) -> Out<'a> {
        self.spend(1)?;
        if let Some((_, value)) = self.locals.iter().rev().find(|(own, _)| *own == name) {
            return value.clone();
        }
        if let Some(value) = self.variables.value(name) {
            return Ok(value);
        }
        match crate::check::builtin_type(name) {
            Some(of) => Ok(Value::Type(of)),
            None => Err(Fault::new(format!("no such attribute(s): {name}"))),
        }
    }

    /// A field; of an optional, perhaps a field.
    fn field(&mut self, value: Value<'a>, name: &str) -> Out<'a> {
        match value {
            Value::Optional(None) => Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => self.optional_field((*inner).clone(), name),
            other => self.find(&other, name)?.ok_or_else(|| Fault::new(format!("no such key: {name}"))),
        }
    }

    fn optional_field(&mut self, value: Value<'a>, name: &str) -> Out<'a> {
        match value {
            Value::Optional(None) => Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => self.optional_field((*inner).clone(), name),
            other => Ok(self.find(&other, name)?.map_or(Value::Optional(None), Value::some)),
        }
    }

    fn find(&mut self, value: &Value<'a>, name: &str) -> Result<Option<Value<'a>>, Fault> {
        match value {
            Value::Map(map) => map.field(name).transpose(),
            Value::Struct(made) => Ok(made.fields.get(name).cloned()),
            Value::Lazy(lazy) => lazy.field(name).transpose(),
            _ => Ok(None),
        }
    }

    fn has(&mut self, operand: &'p Expr, field: &str) -> Out<'a> {
        let mut value = self.eval(operand)?;
        while let Value::Optional(inner) = &value {
            match inner {
                Some(inner) => value = (**inner).clone(),
                None => return Ok(Value::Bool(false)),
            }
        }
        let is_there = match &value {
            Value::Map(map) => map.field(field).is_some(),
            Value::Struct(made) => made.fields.contains_key(field),
            Value::Lazy(_) => self.find(&value, field)?.is_some(),
            _ => false,
        };
        Ok(Value::Bool(is_there))
    }

    fn call(&mut self, call: &'p Call) -> Out<'a> {
        match (&*call.name, &call.args[..]) {
            ("_&&_", [a, b]) => return self.logic(a, b, false),
            ("_||_", [a, b]) => return self.logic(a, b, true),
            ("_?_:_", [condition, yes, no]) => {
                return match self.eval(condition)? {
                    Value::Bool(true) => self.eval(yes),
                    Value::Bool(false) => self.eval(no),
                    _ => Err(Fault::no_overload()),
                };
            }
            ("@not_strictly_false", [arg]) => {
                let value = self.eval(arg);
                self.spend(1)?;
                return match value {
                    Err(fault) if fault.halted => Err(fault),
                    value => Ok(Value::Bool(!matches!(value, Ok(Value::Bool(false))))),
                };
            }
            ("_[_]", [of, index]) => return self.index(of, index, false),
            ("_[?_]", [of, index]) => return self.index(of, index, true),
            ("_?._", [of, name]) => {
                let value = self.eval(of)?;
                self.spend(1)?;
                let Kind::Literal(Literal::Text(name)) = &name.kind else { return Err(Fault::no_overload()) };
                return self.optional_field(value, name);
            }
            ("or" | "orValue", [other]) => {
                let Some(target) = &call.target else { return Err(Fault::no_overload()) };
                return match self.eval(target)? {
                    Value::Optional(Some(value)) if &*call.name == "orValue" => Ok((*value).clone()),
                    some @ Value::Optional(Some(_)) => Ok(some),
                    Value::Optional(None) => self.eval(other),
                    _ => Err(Fault::no_overload()),
                };
            }
            _ => {}
        }
        let mut args = Vec::with_capacity(call.args.len() + 1);
        for arg in call.target.iter().chain(&call.args) {
            args.push(self.eval(arg)?);
        }
        self.invoke(call, args)
    }

    fn invoke(&mut self, call: &'p Call, args: Vec<Value<'a>>) -> Out<'a> {
        let function = call.function.ok_or_else(Fault::no_overload)?;
        // What can be told beforehand is paid beforehand.
        let before = cost::before(function.name, &args);
        self.spend(before)?;
        let value = match (function.name, &args[..]) {
            ("cel.@mapInsert", [map, more @ ..]) => crate::library::operators::insert(map.clone(), more),
            // Nothing has the type that was asked for.
            ("sum", [Value::List(list)]) if list.is_empty() => Ok(crate::library::lists::nothing(call.overload)),
            _ => (function.run)(&mut self.host, &args),
        }?;
        self.spend(cost::after(function.name, &args, &value))?;
        Ok(value)
    }

    /// A fault on one side does not matter if the other side decides.
    fn logic(&mut self, a: &'p Expr, b: &'p Expr, decides: bool) -> Out<'a> {
        let left = self.eval(a);
        match &left {
            Ok(Value::Bool(is)) if *is == decides => return left,
            Err(fault) if fault.halted => return left,
            _ => {}
        }
        let right = self.eval(b);
        match (left, right) {
            (_, Err(fault)) if fault.halted => Err(fault),
            (_, Ok(Value::Bool(is))) if is == decides => Ok(Value::Bool(is)),
            (Ok(Value::Bool(_)), Ok(Value::Bool(is))) => Ok(Value::Bool(is)),
            (Err(fault), _) | (Ok(Value::Bool(_)), Err(fault)) => Err(fault),
            _ => Err(Fault::no_overload()),
        }
    }

    fn index(&mut self, of: &'p Expr, index: &'p Expr, optional: bool) -> Out<'a> {
        let mut of = self.eval(of)?;
        let index = self.eval(index)?;
        self.spend(1)?;
        let mut perhaps = optional;
        while let Value::Optional(inner) = &of {
            match inner {
                Some(inner) => of = (**inner).clone(),
                None => return Ok(Value::Optional(None)),
            }
            perhaps = true;
        }
        let found = match &of {
            Value::List(list) => self.item(list, &index, perhaps)?,
            Value::Map(map) => map.get(&index).transpose()?,
            Value::Struct(_) | Value::Lazy(_) => match index.as_text() {
                Some(name) => self.find(&of, name)?,
                None => None,
            },
            _ => return Err(Fault::no_overload()),
        };
        match found {
            Some(value) if perhaps => Ok(Value::some(value)),
            Some(value) => Ok(value),
            None if perhaps => Ok(Value::Optional(None)),
            None => Err(Fault::new(format!("no such key: {}", crate::library::format::plain(&index)))),
        }
    }

    fn item(&self, list: &List<'a>, index: &Value<'a>, optional: bool) -> Result<Option<Value<'a>>, Fault> {
        let number = match index {
            Value::Int(number) => *number,
            Value::Uint(number) => i64::try_from(*number).unwrap_or(i64::MAX),
            Value::Double(number) if number.fract() == 0.0 => *number as i64,
            other => {
                return Err(Fault::new(format!("unsupported index type '{}' in list", other.kind().name())));
            }
        };
        match usize::try_from(number).ok().and_then(|at| list.get(at)) {
            Some(item) => item.map(Some),
            None if optional => Ok(None),
            None => Err(Fault::new(format!("index out of bounds: {number}"))),
        }
    }

    /// The value of something that may be left out; `None` if it is.
    fn maybe(&mut self, expr: &'p Expr, optional: bool) -> Result<Option<Value<'a>>, Fault> {
        let value = self.eval(expr)?;
        match value {
            value if !optional => Ok(Some(value)),
            Value::Optional(inner) => Ok(inner.map(|inner| (*inner).clone())),
            other => Err(Fault::new(format!(
                "cannot initialize optional list element from non-optional value {}",
                crate::library::format::plain(&other)
            ))),
        }
    }

    fn list(&mut self, items: &'p [Expr], optional: &[bool]) -> Out<'a> {
        let mut list = Vec::with_capacity(items.len());
        for (number, item) in items.iter().enumerate() {
            list.extend(self.maybe(item, optional.get(number) == Some(&true))?);
        }
        self.spend(cost::LIST)?;
        Ok(Value::list(list))
    }

    fn map(&mut self, entries: &'p [Entry]) -> Out<'a> {
        let mut map = BTreeMap::new();
        for entry in entries {
            let key = self.eval(&entry.key)?;
            let Some(value) = self.maybe(&entry.value, entry.optional)? else { continue };
            let own = match &key {
                Value::Double(_) => None,
                key => Key::of(key),
            };
            let own = own.ok_or_else(|| Fault::new(format!("unsupported key type: {}", key.kind().name())))?;
            if map.insert(own, value).is_some() {
                let text = crate::library::format::plain(&key);
                return Err(Fault::new(format!("Failed with repeated key: {text}")));
            }
        }
        self.spend(cost::MAP)?;
        Ok(Value::Map(Map::Made(Arc::new(map))))
    }

    fn structure(&mut self, name: &Arc<str>, inits: &'p [FieldInit]) -> Out<'a> {
        let mut fields = BTreeMap::new();
        for field in inits {
            if let Some(value) = self.maybe(&field.value, field.optional)? {
                fields.insert(field.name.clone(), value);
            }
        }
        self.spend(cost::STRUCT)?;
        Ok(Value::Struct(Arc::new(Made { name: name.clone(), fields })))
    }
}

fn constant<'a>(literal: &Literal) -> Value<'a> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(is) => Value::Bool(*is),
        Literal::Int(number) => Value::Int(*number),
        Literal::Uint(number) => Value::Uint(*number),
        Literal::Double(number) => Value::Double(*number),
        Literal::Text(text) => Value::Text(Text::Shared(text.clone())),
        Literal::Bytes(bytes) => Value::Bytes(bytes.clone()),
    }
}
