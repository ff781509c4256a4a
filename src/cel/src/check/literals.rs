//! What constants say, held against what takes them: patterns, times, durations, mixed lists.
//!
//! In: a checked tree. Out: faults. Only constants and types are looked at.

use super::Facts;
use crate::fault::Issue;
use crate::library::{regexes, times};
use crate::syntax::ast::{Expr, Kind, Literal};
use crate::types::Type;

pub(super) fn check(expr: &Expr, facts: &Facts) -> Vec<Issue> {
    let (mut formats, mut mixed) = (Vec::new(), Vec::new());
    // What is formatted may be of any types.
    let mut free = std::collections::HashSet::new();
    expr.walk(&mut |node| {
        if let Kind::Call(call) = &node.kind
            && &*call.name == "format"
        {
            for arg in &call.args {
                arg.walk(&mut |below| {
                    free.insert(below.id);
                });
            }
        }
    });
    expr.walk(&mut |node| match &node.kind {
        Kind::Call(call) => {
            let Some((arg, Kind::Literal(literal))) = call.args.first().map(|arg| (arg, &arg.kind)) else { return };
            let is_wrong = match (&*call.name, literal) {
                ("duration", Literal::Text(text)) => times::parse_duration(text).is_none(),
                ("timestamp", Literal::Text(text)) => times::Time::parse(text).is_none(),
                ("timestamp", Literal::Int(seconds)) => times::Time::at(*seconds).is_none(),
                ("matches", Literal::Text(text)) => regexes::compile(text).is_err(),
                _ => false,
            };
            if is_wrong {
                formats.push(Issue::new(arg.at, format!("invalid {} argument", call.name)));
            }
        }
        Kind::List { items, optional } if !free.contains(&node.id) => {
            let types = items.iter().enumerate().map(|(n, item)| (item, optional.get(n) == Some(&true)));
            same(types, facts, &mut mixed);
        }
        Kind::Map(entries) if !free.contains(&node.id) => {
            same(entries.iter().map(|entry| (&entry.key, false)), facts, &mut mixed);
            same(entries.iter().map(|entry| (&entry.value, entry.optional)), facts, &mut mixed);
        }
        _ => {}
    });
    formats.append(&mut mixed);
    formats
}

fn same<'e>(items: impl Iterator<Item = (&'e Expr, bool)>, facts: &Facts, out: &mut Vec<Issue>) {
    let mut first: Option<Type> = None;
    for (item, optional) in items {
        let mut of = facts.types[item.id as usize].clone();
        if optional {
            of = of.unwrap_optional().0;
        }
        match &first {
            None => first = Some(of),
            Some(before) if !equivalent(before, &of) => {
                out.push(Issue::new(item.at, format!("expected type '{before}' but found '{of}'")));
                return;
            }
            Some(_) => {}
        }
    }
}

fn equivalent(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => equivalent(a, b),
        (Type::Map(a), Type::Map(b)) => equivalent(&a.0, &b.0) && equivalent(&a.1, &b.1),
        (Type::Type(_), Type::Type(_)) => true,
        (a, b) => a == b,
    }
}
