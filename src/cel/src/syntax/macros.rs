//! Macros: calls that stand for loops, presence tests and bindings.
//!
//! In: a call as it was read. Out: what it stands for, or the call itself. Never looks at types.

use std::sync::Arc;

use super::ast::{ACCUMULATOR, Expr, Fold, Kind, Literal};
use super::parser::Nodes;
use crate::fault::Issue;

type Made = Result<Expr, Issue>;

/// What `name(args)` stands for.
pub(super) fn global(nodes: &mut Nodes, at: u32, name: &str, mut args: Vec<Expr>) -> Made {
    if name != "has" || args.len() != 1 {
        return nodes.call(at, name, None, args);
    }
    let arg = args.remove(0);
    match arg.kind {
        Kind::Select { operand, field, test: false } => nodes.make(at, Kind::Select { operand, field, test: true }),
        _ => Err(Issue::new(arg.at, "invalid argument to has() macro")),
    }
}

/// What `target.name(args)` stands for.
pub(super) fn member(nodes: &mut Nodes, at: u32, name: &str, target: Expr, args: Vec<Expr>) -> Made {
    let mut maker = Maker { nodes, at };
    match (name, args.len()) {
        ("all", 2 | 3) => maker.all(target, args),
        ("exists", 2 | 3) => maker.exists(target, args),
        ("exists_one" | "existsOne", 2 | 3) => maker.exists_one(target, args),
        ("map", 2 | 3) => maker.map(target, args, 1),
        ("filter", 2) => maker.filter(target, args),
        ("transformList", 3 | 4) => maker.map(target, args, 2),
        ("transformMap", 3 | 4) => maker.transform_map(target, args, false),
        ("transformMapEntry", 3 | 4) => maker.transform_map(target, args, true),
        ("optMap", 2) => maker.opt_map(target, args, true),
        ("optFlatMap", 2) => maker.opt_map(target, args, false),
        ("sortBy", 2) => maker.sort_by(target, args),
        ("bind", 3) if maker.nodes.bind && target.as_ident().is_some_and(|name| &**name == "cel") => {
            maker.bind_named(args)
        }
        _ => maker.nodes.call(at, name, Some(target), args),
    }
}

struct Maker<'n> {
    nodes: &'n mut Nodes,
    at: u32,
}

/// The names of a loop.
struct Names {
    var: Arc<str>,
    var2: Option<Arc<str>>,
}

/// What a loop begins with, whether it goes on, what each round makes, what comes out.
struct Parts {
    init: Expr,
    condition: Expr,
    step: Expr,
    result: Expr,
}

impl Maker<'_> {
    fn literal(&mut self, literal: Literal) -> Made {
        self.nodes.make(self.at, Kind::Literal(literal))
    }

    fn accu(&mut self) -> Made {
        self.nodes.ident(self.at, ACCUMULATOR)
    }

    fn call(&mut self, name: &str, args: Vec<Expr>) -> Made {
        self.nodes.call(self.at, name, None, args)
    }

    fn list(&mut self, items: Vec<Expr>) -> Made {
        self.nodes.make(self.at, Kind::List { items, optional: Vec::new() })
    }

    /// Takes the leading arguments that name `count` variables.
    fn names(&self, args: &mut Vec<Expr>, count: usize) -> Result<Names, Issue> {
        let mut names = Vec::new();
        for arg in args.drain(..count) {
            match arg.kind {
                Kind::Ident(name) if name.starts_with('.') => {
                    return Err(Issue::new(arg.at, "argument must be a simple name"));
                }
                Kind::Ident(name) if names.contains(&name) => {
                    return Err(Issue::new(arg.at, format!("duplicate variable name: {name}")));
                }
                Kind::Ident(name) if &*name == "__result__" => {
                    return Err(Issue::new(arg.at, "iteration variable overwrites accumulator variable"));
                }
                Kind::Ident(name) => names.push(name),
                _ => return Err(Issue::new(arg.at, "argument must be a simple name")),
            }
        }
        let mut names = names.into_iter();
        // `count` is one or two, and so many were pushed.
        Ok(Names { var: names.next().unwrap_or_else(|| "".into()), var2: names.next() })
    }

    fn fold(&mut self, range: Expr, names: Names, parts: Parts) -> Made {
        let Parts { init, condition, step, result } = parts;
        let fold =
            Fold { range, var: names.var, var2: names.var2, accu: ACCUMULATOR.into(), init, condition, step, result };
        self.nodes.make(self.at, Kind::Fold(Box::new(fold)))
    }

    fn all(&mut self, range: Expr, mut args: Vec<Expr>) -> Made {
        let variables = args.len() - 1;
        let names = self.names(&mut args, variables)?;
        let init = self.literal(Literal::Bool(true))?;
        let accu = self.accu()?;
        let condition = self.call("@not_strictly_false", vec![accu])?;
        let mut both = vec![self.accu()?];
        both.append(&mut args);
        let step = self.call("_&&_", both)?;
        let result = self.accu()?;
        self.fold(range, names, Parts { init, condition, step, result })
    }

    fn exists(&mut self, range: Expr, mut args: Vec<Expr>) -> Made {
        let variables = args.len() - 1;
        let names = self.names(&mut args, variables)?;
        let init = self.literal(Literal::Bool(false))?;
        let accu = self.accu()?;
        let not = self.call("!_", vec![accu])?;
        let condition = self.call("@not_strictly_false", vec![not])?;
        let mut both = vec![self.accu()?];
        both.append(&mut args);
        let step = self.call("_||_", both)?;
        let result = self.accu()?;
        self.fold(range, names, Parts { init, condition, step, result })
    }

    fn exists_one(&mut self, range: Expr, mut args: Vec<Expr>) -> Made {
        let variables = args.len() - 1;
        let names = self.names(&mut args, variables)?;
        let init = self.literal(Literal::Int(0))?;
        let condition = self.literal(Literal::Bool(true))?;
        let sum = vec![self.accu()?, self.literal(Literal::Int(1))?];
        args.push(self.call("_+_", sum)?);
        args.push(self.accu()?);
        let step = self.call("_?_:_", args)?;
        let equal = vec![self.accu()?, self.literal(Literal::Int(1))?];
        let result = self.call("_==_", equal)?;
        self.fold(range, names, Parts { init, condition, step, result })
    }

    /// Of one variable, or of two.
    fn map(&mut self, range: Expr, mut args: Vec<Expr>, variables: usize) -> Made {
        let names = self.names(&mut args, variables)?;
        let init = self.list(Vec::new())?;
        let condition = self.literal(Literal::Bool(true))?;
        let item = args.pop().map_or_else(|| self.accu(), Ok)?;
        let sum = vec![self.accu()?, self.list(vec![item])?];
        let mut step = self.call("_+_", sum)?;
        if let Some(filter) = args.pop() {
            let otherwise = self.accu()?;
            step = self.call("_?_:_", vec![filter, step, otherwise])?;
        }
        let result = self.accu()?;
        self.fold(range, names, Parts { init, condition, step, result })
    }

    fn filter(&mut self, range: Expr, mut args: Vec<Expr>) -> Made {
        let names = self.names(&mut args, 1)?;
        let init = self.list(Vec::new())?;
        let condition = self.literal(Literal::Bool(true))?;
        let item = self.nodes.ident(self.at, &names.var)?;
        let sum = vec![self.accu()?, self.list(vec![item])?];
        args.push(self.call("_+_", sum)?);
        args.push(self.accu()?);
        let step = self.call("_?_:_", args)?;
        let result = self.accu()?;
        self.fold(range, names, Parts { init, condition, step, result })
    }

    fn transform_map(&mut self, range: Expr, mut args: Vec<Expr>, entries: bool) -> Made {
        let names = self.names(&mut args, 2)?;
        let init = self.nodes.make(self.at, Kind::Map(Vec::new()))?;
        let condition = self.literal(Literal::Bool(true))?;
        let value = args.pop().map_or_else(|| self.accu(), Ok)?;
        let mut insert = vec![self.accu()?];
        if !entries {
            insert.push(self.nodes.ident(self.at, &names.var)?);
        }
        insert.push(value);
        let mut step = self.call("cel.@mapInsert", insert)?;
        if let Some(filter) = args.pop() {
            let otherwise = self.accu()?;
            step = self.call("_?_:_", vec![filter, step, otherwise])?;
        }
        let result = self.accu()?;
        self.fold(range, names, Parts { init, condition, step, result })
    }

    /// Names a value for one expression.
    fn bind(&mut self, name: &Arc<str>, value: Expr, result: Expr) -> Made {
        let range = self.list(Vec::new())?;
        let condition = self.literal(Literal::Bool(false))?;
        let step = self.nodes.ident(self.at, name)?;
        let fold =
            Fold { range, var: "#unused".into(), var2: None, accu: name.clone(), init: value, condition, step, result };
        self.nodes.make(self.at, Kind::Fold(Box::new(fold)))
    }

    /// `cel.bind(name, value, expression)`.
    fn bind_named(&mut self, mut args: Vec<Expr>) -> Made {
        let (Some(result), Some(value), Some(name)) = (args.pop(), args.pop(), args.pop()) else {
            return Err(Issue::new(self.at, "cel.bind() takes three arguments"));
        };
        match &name.kind {
            Kind::Ident(variable) if !variable.starts_with('.') => self.bind(variable, value, result),
            _ => Err(Issue::new(name.at, "cel.bind() variable names must be simple identifiers")),
        }
    }

    fn opt_map(&mut self, target: Expr, mut args: Vec<Expr>, wrap: bool) -> Made {
        let (Some(body), Some(name)) = (args.pop(), args.pop()) else {
            return Err(Issue::new(self.at, "argument must be a simple name"));
        };
        let Kind::Ident(variable) = &name.kind else {
            let which = if wrap { "optMap" } else { "optFlatMap" };
            return Err(Issue::new(name.at, format!("{which}() variable name must be a simple identifier")));
        };
        let copy = self.nodes.copy(&target)?;
        let has = self.nodes.call(self.at, "hasValue", Some(target), Vec::new())?;
        let value = self.nodes.call(self.at, "value", Some(copy), Vec::new())?;
        let mut yes = self.bind(variable, value, body)?;
        if wrap {
            yes = self.call("optional.of", vec![yes])?;
        }
        let none = self.call("optional.none", Vec::new())?;
        self.call("_?_:_", vec![has, yes, none])
    }

    fn sort_by(&mut self, target: Expr, args: Vec<Expr>) -> Made {
        const INPUT: &str = "@__sortBy_input__";
        if matches!(target.kind, Kind::Literal(_) | Kind::Map(_) | Kind::Struct { .. }) {
            let why = "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
            return Err(Issue::new(target.at, why));
        }
        let range = self.nodes.ident(self.at, INPUT)?;
        let keys = self.map(range, args, 1)?;
        let input = self.nodes.ident(self.at, INPUT)?;
        let sorted = self.nodes.call(self.at, "@sortByAssociatedKeys", Some(input), vec![keys])?;
        self.bind(&INPUT.into(), target, sorted)
    }
}
