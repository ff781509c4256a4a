//! What an expression may cost, before it runs.
//!
//! In: a checked tree, and how large values may be. Out: the least and the most it may cost, as cel-go and Kubernetes
//! estimate it: these numbers decide which rules a definition may have, so they are exact.

mod calls;

use std::collections::HashMap;
use std::sync::Arc;

use crate::check::Facts;
use crate::syntax::ast::{ACCUMULATOR, Call, Expr, Fold, Kind, Literal};
use crate::types::Type;

/// Knows how large values may be.
pub trait Sizes {
    /// The largest size of what the path leads to: a variable, then field names, `@items`, `@keys`, `@values`.
    fn largest(&self, path: &[Arc<str>]) -> Option<u64>;
}

/// The least and the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

impl Estimate {
    pub(crate) const NONE: Estimate = Estimate { min: 0, max: 0 };
    pub(crate) const UNKNOWN: Estimate = Estimate { min: 0, max: u64::MAX };

    pub(crate) const fn fixed(number: u64) -> Estimate {
        Estimate { min: number, max: number }
    }

    pub(crate) fn plus(self, other: Estimate) -> Estimate {
        Estimate { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub(crate) fn times(self, other: Estimate) -> Estimate {
        Estimate { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    pub(crate) fn scaled(self, factor: f64) -> Estimate {
        Estimate { min: scale(self.min, factor), max: scale(self.max, factor) }
    }

    pub(crate) fn union(self, other: Estimate) -> Estimate {
        Estimate { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// Rounded up, and never beyond the largest number.
fn scale(number: u64, factor: f64) -> u64 {
    let product = (number as f64 * factor).ceil();
    if product >= 18_446_744_073_709_551_616.0 { u64::MAX } else { product as u64 }
}

/// Sizes of the entries of a list or map.
#[derive(Debug, Clone, Copy)]
struct Entries {
    is_list: bool,
    key: Estimate,
    value: Estimate,
}

impl Entries {
    fn union(a: Option<Entries>, b: Option<Entries>) -> Option<Entries> {
        let (a, b) = (a?, b?);
        Some(Entries { is_list: a.is_list, key: a.key.union(b.key), value: a.value.union(b.value) })
    }
}

#[derive(Debug, Clone)]
struct Local {
    path: Vec<Arc<str>>,
    size: Option<Estimate>,
    entries: Option<Entries>,
}

/// A cost, and the size of what comes out where that is known.
struct CallCost {
    cost: Estimate,
    size: Option<Estimate>,
}

/// An argument as functions' costs see it.
struct Node<'e> {
    path: Vec<Arc<str>>,
    of: Type,
    size: Option<Estimate>,
    expr: Option<&'e Expr>,
}

struct Coster<'e> {
    facts: &'e Facts,
    sizes: &'e dyn Sizes,
    paths: HashMap<u32, Vec<Arc<str>>>,
    locals: Vec<(&'e str, Local)>,
    known: HashMap<u32, Estimate>,
    entries: HashMap<u32, Entries>,
}

pub(crate) fn estimate(expr: &Expr, facts: &Facts, sizes: &dyn Sizes) -> Estimate {
    let mut coster = Coster {
        facts,
        sizes,
        paths: HashMap::new(),
        locals: Vec::new(),
        known: HashMap::new(),
        entries: HashMap::new(),
    };
    coster.cost(expr)
}

const LIST: Estimate = Estimate::fixed(10);
const MAP: Estimate = Estimate::fixed(30);
const STRUCT: Estimate = Estimate::fixed(40);
const ONE: Estimate = Estimate::fixed(1);

impl<'e> Coster<'e> {
    fn cost(&mut self, expr: &'e Expr) -> Estimate {
        match &expr.kind {
            Kind::Literal(_) => Estimate::NONE,
            Kind::Ident(name) => {
                let path = self.local(name).map_or_else(|| vec![name.clone()], |local| local.path.clone());
                self.paths.insert(expr.id, path);
                ONE
            }
            Kind::Select { operand, test: true, .. } => self.cost(operand),
            Kind::Select { operand, field, .. } => {
                let mut sum = self.cost(operand);
                if matches!(self.type_of(operand), Type::Map(_) | Type::Object(_) | Type::Param(_)) {
                    sum = sum.plus(ONE);
                }
                let mut path = self.path(operand);
                path.push(field.clone());
                self.paths.insert(expr.id, path);
                sum
            }
            Kind::Call(call) => self.call(expr, call),
            Kind::List { items, .. } => {
                let mut sum = Estimate::NONE;
                let mut value = Estimate { min: if items.is_empty() { 0 } else { u64::MAX }, max: 0 };
                for item in items {
                    sum = sum.plus(self.cost(item));
                    value = value.union(self.size_or_unknown(item));
                }
                self.entries.insert(expr.id, Entries { is_list: true, key: ONE, value });
                sum.plus(LIST)
            }
            Kind::Map(map) => {
                let mut sum = Estimate::NONE;
                let start = Estimate { min: if map.is_empty() { 0 } else { u64::MAX }, max: 0 };
                let (mut key, mut value) = (start, start);
                for entry in map {
                    sum = sum.plus(self.cost(&entry.key)).plus(self.cost(&entry.value));
                    key = key.union(self.size_or_unknown(&entry.key));
                    value = value.union(self.size_or_unknown(&entry.value));
                }
                self.entries.insert(expr.id, Entries { is_list: false, key, value });
                sum.plus(MAP)
            }
            Kind::Struct { fields, .. } => {
                let sum = fields.iter().fold(Estimate::NONE, |sum, field| sum.plus(self.cost(&field.value)));
                sum.plus(STRUCT)
            }
            Kind::Fold(fold) if fold.is_binding() => self.binding(expr, fold),
            Kind::Fold(fold) => self.fold(expr, fold),
        }
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.iter().rev().find(|(own, _)| *own == name).map(|(_, local)| local)
    }

    fn type_of(&self, expr: &Expr) -> &'e Type {
        &self.facts.types[expr.id as usize]
    }

    fn path(&self, expr: &Expr) -> Vec<Arc<str>> {
        if let Some(local) = expr.as_ident().and_then(|name| self.local(name)) {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned().unwrap_or_default()
    }

    fn node(&mut self, expr: &'e Expr) -> Node<'e> {
        let mut path = self.path(expr);
        // Only paths from declared variables lead anywhere.
        if path.first().is_some_and(|first| &**first == ACCUMULATOR) {
            path.clear();
        }
        Node { path, of: self.type_of(expr).clone(), size: self.size(expr), expr: Some(expr) }
    }

    fn size_or_unknown(&mut self, expr: &Expr) -> Estimate {
        self.size(expr).unwrap_or(Estimate::UNKNOWN)
    }

    fn size(&mut self, expr: &Expr) -> Option<Estimate> {
        if let Some(size) = self.known.get(&expr.id) {
            return Some(*size);
        }
        match &expr.kind {
            Kind::Literal(Literal::Text(text)) => return Some(Estimate::fixed(text.chars().count() as u64)),
            Kind::Literal(Literal::Bytes(bytes)) => return Some(Estimate::fixed(bytes.len() as u64)),
            Kind::Literal(_) => return Some(ONE),
            Kind::List { items, .. } => return Some(Estimate::fixed(items.len() as u64)),
            Kind::Map(entries) => return Some(Estimate::fixed(entries.len() as u64)),
            _ => {}
        }
        if let Some(max) = self.largest(&self.path(expr)) {
            let size = Estimate { min: 0, max };
            self.known.insert(expr.id, size);
            return Some(size);
        }
        if self.type_of(expr).is_scalar() {
            return Some(ONE);
        }
        expr.as_ident().and_then(|name| self.local(name)).and_then(|local| local.size)
    }

    fn largest(&self, path: &[Arc<str>]) -> Option<u64> {
        if path.is_empty() { None } else { self.sizes.largest(path) }
    }

    fn node_size(&self, node: &Node<'_>) -> Estimate {
        let declared = || self.largest(&node.path).map(|max| Estimate { min: 0, max });
        node.size.or_else(declared).unwrap_or(Estimate::UNKNOWN)
    }

    fn entries_of(&self, expr: &Expr) -> Option<Entries> {
        let local = || expr.as_ident().and_then(|name| self.local(name)).and_then(|local| local.entries);
        self.entries.get(&expr.id).copied().or_else(local)
    }

    fn set_entries(&mut self, expr: &Expr, entries: Option<Entries>) {
        if let Some(entries) = entries {
            self.entries.insert(expr.id, entries);
        }
    }

    fn set_size(&mut self, expr: &Expr, size: Option<Estimate>) {
        if let Some(size) = size {
            self.known.insert(expr.id, size);
        }
    }

    fn call(&mut self, expr: &'e Expr, call: &'e Call) -> Estimate {
        if &*call.name == "dyn"
            && let [arg] = &call.args[..]
        {
            let cost = self.cost(arg).plus(ONE);
            let size = self.size(arg);
            self.set_size(expr, size);
            self.set_entries(expr, self.entries_of(arg));
            return cost;
        }
        let mut sum = Estimate::NONE;
        let mut costs = Vec::with_capacity(call.args.len());
        let mut nodes = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            costs.push(self.cost(arg));
            nodes.push(self.node(arg));
        }
        let Some(overloads) = self.facts.overloads.get(&expr.id) else { return sum };
        let mut target = None;
        if let Some(on) = &call.target {
            sum = sum.plus(self.cost(on));
            target = Some(self.node(on));
        }
        let mut most = Estimate { min: u64::MAX, max: 0 };
        let mut size: Option<Estimate> = None;
        for overload in overloads {
            let one = self.function(expr, &call.name, overload, target.as_ref(), &nodes, &costs);
            most = most.union(one.cost);
            size = match (size, one.size) {
                (Some(a), Some(b)) => Some(a.union(b)),
                (a, b) => a.or(b),
            };
            let step = match *overload {
                "index_list" => "@items",
                "index_map" => "@values",
                _ => "",
            };
            if let (false, Some(of)) = (step.is_empty(), call.args.first()) {
                size = self.entries_of(of).map(|entries| entries.value);
                let mut path = self.path(of);
                path.push(step.into());
                self.paths.insert(expr.id, path);
            }
            if size.is_none() {
                size = self.size(expr);
            }
        }
        self.set_size(expr, size);
        sum.plus(most)
    }

    fn binding(&mut self, expr: &'e Expr, fold: &'e Fold) -> Estimate {
        let mut sum = self.cost(&fold.range).plus(self.cost(&fold.init));
        self.push_value(&fold.accu, &fold.init);
        sum = sum.plus(self.cost(&fold.result));
        let (size, entries) = (self.size(&fold.result), self.entries_of(&fold.result));
        self.locals.pop();
        self.set_size(expr, size);
        self.set_entries(expr, entries);
        sum
    }

    fn push_value(&mut self, name: &'e str, value: &'e Expr) {
        let local = Local { path: self.path(value), size: self.size(value), entries: self.entries_of(value) };
        self.locals.push((name, local));
    }

    fn fold(&mut self, expr: &'e Expr, fold: &'e Fold) -> Estimate {
        let mut sum = self.cost(&fold.range).plus(self.cost(&fold.init));
        self.push_value(&fold.accu, &fold.init);
        let entries = self.entries_of(&fold.range);
        let is_list = entries.map_or_else(|| matches!(self.type_of(&fold.range), Type::List(_)), |e| e.is_list);
        let path = self.path(&fold.range);
        let local = |step: &str, size: Option<Estimate>| {
            let mut path = path.clone();
            path.push(step.into());
            Local { path, size, entries: None }
        };
        let (keys, values) = (entries.map(|e| e.key), entries.map(|e| e.value));
        let depth = self.locals.len();
        match &fold.var2 {
            Some(second) => {
                self.locals.push((&fold.var, local(if is_list { "@indices" } else { "@keys" }, keys)));
                self.locals.push((second, local(if is_list { "@items" } else { "@values" }, values)));
            }
            None if is_list => self.locals.push((&fold.var, local("@items", values))),
            None => self.locals.push((&fold.var, local("@keys", keys))),
        }
        let condition = self.cost(&fold.condition);
        let step = self.cost(&fold.step);
        let step_entries = self.entries_of(&fold.step);
        self.locals.truncate(depth);
        sum = sum.plus(self.cost(&fold.result));
        self.locals.pop();
        let rounds = self.size_or_unknown(&fold.range);
        sum = sum.plus(rounds.times(step.plus(condition)));
        match &fold.init.kind {
            Kind::Literal(_) => {
                let size = self.size(&fold.init);
                self.set_size(expr, size);
            }
            Kind::List { .. } | Kind::Map(_) => {
                self.set_size(expr, Some(rounds));
                self.set_entries(expr, step_entries);
            }
            _ => {}
        }
        sum
    }
}
