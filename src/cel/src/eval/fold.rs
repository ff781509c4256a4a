//! Loops of macros.
//!
//! In: a loop of a checked tree. Out: what it accumulates. Lists and maps that grow by one each round grow in place.

use std::sync::Arc;

use super::{Machine, Out, cost};
use crate::fault::Fault;
use crate::library::{few, operators};
use crate::syntax::ast::{Expr, Fold, Kind, Literal};
use crate::value::{List, Map, Value};

/// Whoever gives up is asked this often.
const ROUNDS: u32 = 100;

/// A step that only adds to what is accumulated.
struct Growth<'p> {
    /// Whether to add, if it is asked.
    filter: Option<&'p Expr>,
    /// What is added: an item, a map, or key and value.
    parts: &'p [Expr],
    to_list: bool,
}

impl<'a, 'p> Machine<'a, 'p> {
    pub(super) fn fold(&mut self, fold: &'p Fold) -> Out<'a> {
        if fold.is_binding() {
            self.spend(cost::LIST)?;
            let value = self.eval(&fold.init)?;
            self.locals.push((&fold.accu, Ok(value)));
            let result = self.eval(&fold.result);
            self.locals.pop();
            return result;
        }
        let range = self.eval(&fold.range)?;
        let range = Range::of(range)?;
        match growth(fold) {
            Some(growth) => self.grow(fold, &range, &growth),
            None => self.accumulate(fold, &range),
        }
    }

    fn interrupted(&mut self) -> Result<(), Fault> {
        self.rounds = self.rounds.wrapping_add(1);
        match self.limits.stop {
            Some(stop) if self.rounds.is_multiple_of(ROUNDS) && stop() => {
                Err(Fault { text: "operation interrupted".to_owned(), halted: true })
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, fold: &'p Fold, range: &Range<'a>, round: usize) -> Result<(), Fault> {
        let (first, second) = range.round(round, fold.var2.is_some());
        self.locals.push((&fold.var, first));
        if let Some(name) = &fold.var2 {
            self.locals.push((name, second));
        }
        self.interrupted()
    }

    fn accumulate(&mut self, fold: &'p Fold, range: &Range<'a>) -> Out<'a> {
        let init = self.eval(&fold.init);
        let depth = self.locals.len();
        self.locals.push((&fold.accu, init));
        for round in 0..range.len() {
            self.enter(fold, range, round)?;
            if matches!(self.eval(&fold.condition)?, Value::Bool(false)) {
                self.locals.truncate(depth + 1);
                break;
            }
            let step = self.eval(&fold.step);
            self.locals.truncate(depth + 1);
            if let Err(fault) = &step
                && fault.halted
            {
                return step;
            }
            self.locals[depth].1 = step;
        }
        let result = self.eval(&fold.result);
        self.locals.truncate(depth);
        result
    }

    fn grow(&mut self, fold: &'p Fold, range: &Range<'a>, growth: &Growth<'p>) -> Out<'a> {
        // As much as evaluating the empty list or map costs.
        self.spend(if growth.to_list { cost::LIST } else { cost::MAP })?;
        let (mut items, mut map) = (Vec::new(), Value::Map(Map::Made(Arc::default())));
        let depth = self.locals.len();
        for round in 0..range.len() {
            self.enter(fold, range, round)?;
            let goes = match growth.filter.map(|filter| self.eval(filter)).transpose()? {
                None | Some(Value::Bool(true)) => true,
                Some(Value::Bool(false)) => false,
                Some(_) => return Err(Fault::no_overload()),
            };
            // The accumulated value itself, once more where it is only passed on.
            self.spend(1)?;
            if goes {
                let mut parts = Vec::with_capacity(growth.parts.len());
                for part in growth.parts {
                    parts.push(self.eval(part)?);
                }
                if growth.to_list {
                    self.spend(cost::LIST + 1)?;
                    items.append(&mut parts);
                    few(items.len())?;
                } else {
                    self.spend(1)?;
                    map = operators::insert(map, &parts)?;
                }
            }
            self.locals.truncate(depth);
        }
        self.spend(1)?;
        Ok(if growth.to_list { Value::list(items) } else { map })
    }
}

/// Whether every round only adds.
fn growth(fold: &Fold) -> Option<Growth<'_>> {
    let is_accu = |expr: &Expr| expr.as_ident().is_some_and(|name| *name == fold.accu);
    if !is_accu(&fold.result) || !matches!(fold.condition.kind, Kind::Literal(Literal::Bool(true))) {
        return None;
    }
    let Kind::Call(step) = &fold.step.kind else { return None };
    let mut step = &**step;
    let mut filter = None;
    if &*step.name == "_?_:_" {
        let [condition, then, otherwise] = &step.args[..] else { return None };
        let (Kind::Call(inner), true) = (&then.kind, is_accu(otherwise)) else { return None };
        filter = Some(condition);
        step = inner;
    }
    let (accu, parts) = step.args.split_first()?;
    if !is_accu(accu) {
        return None;
    }
    match (&*step.name, parts) {
        ("_+_", [Expr { kind: Kind::List { items, optional }, .. }]) if items.len() == 1 && optional.is_empty() => {
            let is_empty = matches!(&fold.init.kind, Kind::List { items, .. } if items.is_empty());
            is_empty.then_some(Growth { filter, parts: items, to_list: true })
        }
        ("cel.@mapInsert", parts) => Some(Growth { filter, parts, to_list: false }),
        _ => None,
    }
}

/// What is looped over.
enum Range<'a> {
    List(List<'a>),
    Map(Map<'a>, Vec<Value<'a>>),
}

impl<'a> Range<'a> {
    fn of(value: Value<'a>) -> Result<Range<'a>, Fault> {
        match value {
            Value::List(list) => Ok(Range::List(list)),
            Value::Map(map) => {
                let keys = map.keys();
                Ok(Range::Map(map, keys))
            }
            other => Err(Fault::new(format!("got '{}', expected iterable type", other.kind().name()))),
        }
    }

    fn len(&self) -> usize {
        match self {
            Range::List(list) => list.len(),
            Range::Map(_, keys) => keys.len(),
        }
    }

    /// The variables of a round.
    fn round(&self, round: usize, two: bool) -> (Out<'a>, Out<'a>) {
        let gone = || Err(Fault::new("no such key"));
        match self {
            Range::List(list) if two => (Ok(Value::Int(round as i64)), list.get(round).unwrap_or_else(gone)),
            Range::List(list) => (list.get(round).unwrap_or_else(gone), Ok(Value::Null)),
            Range::Map(map, keys) => {
                let key = keys[round].clone();
                let value = if two { map.get(&key).unwrap_or_else(gone) } else { Ok(Value::Null) };
                (Ok(key), value)
            }
        }
    }
}
