//! Rules in CEL of a custom schema (`x-kubernetes-validations`): compiled once, held against objects.
//!
//! In: a schema with rules. Out: what is wrong with the rules (`check.rs`), or with an object by them (`judge.rs`). A
//! value's declaration comes from its schema (`declare.rs`).

mod check;
mod declare;
mod judge;

use std::collections::HashMap;

use kedge_cel::declare::{Decl, Objects};
use kedge_cel::{Checked, Program, Sizes, Type};
use serde_json::Value;

use crate::meta;
use crate::schema::custom::{Additional, Place, Rule as Keyword};

pub(super) use check::check;
pub(crate) use declare::decl as declaration;
pub(super) use judge::judge;

/// The compiled rules of a schema, by the number of the place that has them and of the place whose values they judge;
/// these differ below `allOf`.
#[derive(Debug, Default)]
pub struct Rules {
    by_place: HashMap<(u32, u32), Own>,
}

/// The rules of one place.
#[derive(Debug)]
struct Own {
    decl: Decl,
    rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug)]
struct Rule {
    program: Result<Program, String>,
    uses_old: bool,
    /// Whether it also holds where there is no old value.
    optional_old: bool,
    /// What makes up the message.
    message: Option<Program>,
    /// The rule as the definition gives it.
    said: Value,
}

impl Rules {
    /// Compiles all rules of a schema. A rule that does not compile is a fault when it is evaluated.
    pub fn compile(schema: Place<'_>) -> Rules {
        let mut rules = Rules::default();
        rules.add(schema, schema);
        rules
    }

    fn add(&mut self, from: Place<'_>, node: Place<'_>) {
        let key = (from.number(), node.number());
        if !from.expressions().is_empty()
            && !self.by_place.contains_key(&key)
            && let Some(decl) = declare::decl(node)
        {
            let rules = from.expressions().iter().map(|said| rule(said, &decl)).collect();
            self.by_place.insert(key, Own { decl, rules });
        }
        for keyword in from.rules() {
            if let Keyword::AllOf(branches) = keyword {
                branches.iter().for_each(|branch| self.add(branch, node));
            }
        }
        if let (Some(from), Some(node)) = (from.items(), node.items()) {
            self.add(from, node);
        }
        if let (Some(Additional::Schema(from)), Some(Additional::Schema(node))) = (from.additional(), node.additional())
        {
            self.add(from, node);
        }
        for (name, from) in from.properties() {
            if let Some(node) = node.property(name) {
                self.add(from, node);
            }
        }
    }
}

fn rule(said: &Value, decl: &Decl) -> Rule {
    let optional_old = meta::bool_at(said, &["optionalOldSelf"]);
    let checked = compile(meta::text(said, "rule"), decl, optional_old);
    let uses_old = checked.as_ref().is_ok_and(|checked| checked.names("oldSelf"));
    let message = match meta::text(said, "messageExpression") {
        "" => None,
        text => compile(text, decl, optional_old).ok().map(Checked::into_program),
    };
    Rule { program: checked.map(Checked::into_program), uses_old, optional_old, message, said: said.clone() }
}

/// Compiles an expression over `self` and `oldSelf`.
fn compile(text: &str, decl: &Decl, optional_old: bool) -> Result<Checked, String> {
    let of = decl.of();
    let old = if optional_old { Type::optional(of.clone()) } else { of.clone() };
    let checked = Checked::compile(text, &[("self", of), ("oldSelf", old)], &Objects::of(decl));
    checked.map_err(|issues| format!("compilation failed: {issues}"))
}

/// How large values below `self` may be.
struct BelowSelf<'d>(&'d Decl);

impl Sizes for BelowSelf<'_> {
    fn largest(&self, path: &[std::sync::Arc<str>]) -> Option<u64> {
        self.0.max_at(path.get(1..)?)
    }
}

#[cfg(test)]
mod tests;
