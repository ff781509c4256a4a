//! Expressions from text to value.
//!
//! In: a text and declarations. Out: a checked expression, which knows its type and cost, and a program, which runs. A
//! program holds no more than it needs to run.

use std::collections::HashMap;

use crate::check::{self, Facts, Provider};
use crate::estimate::{self, Estimate, Sizes};
use crate::eval::{self, Limits, Ran, Variables};
use crate::fault::Issues;
use crate::library::regexes;
use crate::re2::Regex;
use crate::syntax::ast::{Expr, Kind, Literal};
use crate::syntax::parser;
use crate::types::Type;

/// An expression that is well written.
#[derive(Debug)]
pub struct Checked {
    program: Program,
    facts: Facts,
}

/// An expression that can run.
#[derive(Debug)]
pub struct Program {
    expr: Expr,
    patterns: HashMap<Box<str>, Regex>,
}

impl Checked {
    /// Parses and checks a text.
    pub fn compile(text: &str, variables: &[(&str, Type)], provider: &dyn Provider) -> Result<Checked, Issues> {
        Checked::of(text, false, variables, provider)
    }

    /// The same where `cel.bind` may name a value.
    pub fn compile_binding(text: &str, variables: &[(&str, Type)], provider: &dyn Provider) -> Result<Checked, Issues> {
        Checked::of(text, true, variables, provider)
    }

    fn of(text: &str, bind: bool, variables: &[(&str, Type)], provider: &dyn Provider) -> Result<Checked, Issues> {
        let (mut expr, nodes) = parser::parse(text, bind).map_err(|issues| Issues::new(text, issues))?;
        let facts = check::check(&mut expr, nodes, variables, provider).map_err(|issues| Issues::new(text, issues))?;
        let mut patterns = HashMap::new();
        expr.walk(&mut |node| {
            if let Kind::Call(call) = &node.kind
                && matches!(&*call.name, "matches" | "find" | "findAll")
                && let Some(Kind::Literal(Literal::Text(pattern))) =
                    call.args.get(usize::from(call.target.is_none())).map(|arg| &arg.kind)
                && let Ok(compiled) = regexes::compile(pattern)
            {
                patterns.insert(Box::from(&**pattern), compiled);
            }
        });
        Ok(Checked { program: Program { expr, patterns }, facts })
    }

    /// The type of what it comes to.
    pub fn output(&self) -> &Type {
        &self.facts.types[self.program.expr.id as usize]
    }

    /// What it may cost, given how large values may be.
    pub fn estimate(&self, sizes: &dyn Sizes) -> Estimate {
        estimate::estimate(&self.program.expr, &self.facts, sizes)
    }

    /// Whether a variable of that name is used.
    pub fn names(&self, variable: &str) -> bool {
        let mut found = false;
        self.program.expr.walk(&mut |node| found |= node.as_ident().is_some_and(|name| &**name == variable));
        found
    }

    /// What runs.
    pub fn into_program(self) -> Program {
        self.program
    }
}

impl Program {
    /// Evaluates it.
    pub fn run<'a>(&self, variables: &dyn Variables<'a>, limits: Limits<'_>) -> Ran<'a> {
        eval::run(&self.expr, &self.patterns, variables, limits)
    }
}
