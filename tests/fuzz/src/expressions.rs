//! CEL expressions over an object with a declaration, and over anything.
//!
//! In: the text of an expression. Out: a panic where it costs more than it may, or where its text is told wrong.

use std::sync::Arc;

use kedge_cel::declare::{Decl, Keep, Objects, TextFormat};
use kedge_cel::{Checked, Limits, Sizes, Type, Value};
use serde_json::json;

/// Less than an expression may cost, so that loops reach it.
const COST: u64 = 20_000;

fn declaration() -> Decl {
    let text = || Decl::text(TextFormat::Plain, Some(64), None);
    let port =
        Decl::object("selfType.ports", [("name".to_owned(), text(), true), ("number".to_owned(), Decl::INT, true)]);
    let fields = [
        ("name", text()),
        ("replicas", Decl::INT),
        ("ratio", Decl::DOUBLE),
        ("created", Decl::text(TextFormat::DateTime, None, None)),
        ("wait", Decl::text(TextFormat::Duration, None, None)),
        ("raw", Decl::text(TextFormat::Byte, Some(64), None)),
        ("port", Decl::int_or_text(Some(16))),
        ("labels", Decl::map(text(), Some(10))),
        ("tags", Decl::list(text(), Keep::Set, Some(10))),
        ("ports", Decl::list(port, Keep::Map(["name".into()].into()), Some(10))),
        ("absent", text()),
    ];
    Decl::object("selfType", fields.map(|(name, decl)| (name.to_owned(), decl, false)))
}

struct OfSelf(Decl);

impl Sizes for OfSelf {
    fn largest(&self, path: &[Arc<str>]) -> Option<u64> {
        match path.split_first() {
            Some((first, rest)) if &**first == "self" => self.0.max_at(rest),
            _ => None,
        }
    }
}

/// Compiles, estimates and runs.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let decl = declaration();
    let variables = [("self", decl.of()), ("object", Type::Dyn)];
    let checked = match Checked::compile(text, &variables, &Objects::of(&decl)) {
        Ok(checked) => checked,
        Err(issues) => {
            assert!(!issues.all().is_empty() && !issues.to_string().is_empty());
            assert!(issues.all().iter().all(|issue| issue.at.is_none_or(|at| at as usize <= text.len())), "{issues:?}");
            return;
        }
    };
    let sizes = OfSelf(decl);
    let estimate = checked.estimate(&sizes);
    assert!(estimate.min <= estimate.max, "{estimate:?}");
    let _ = (checked.output().clone(), checked.names("self"));
    let program = checked.into_program();
    let data = json!({
        "name": "web", "replicas": 3, "ratio": 2.5, "created": "2026-11-29T06:30:00Z", "wait": "1m30s", "port": "http", "raw": "aGk=",
        "labels": {"app": "web", "tier": "front"}, "tags": ["a", "b", "é"], "ports": [{"name": "http", "number": 80}, {"name": "dns", "number": 53}],
    });
    let own = Value::of(&data, Some(&sizes.0)).expect("is as declared");
    let any = Value::of(&data, None).expect("is JSON");
    let ran = program.run(&[("self", own), ("object", any)], Limits::cost(COST));
    match ran.value {
        Ok(value) => {
            assert!(ran.cost <= COST, "it cost {}", ran.cost);
            // Of what is not JSON there is none.
            let _ = value.to_json();
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
    // The same expression on the same data comes to the same.
    let (own, any) = (Value::of(&data, Some(&sizes.0)).expect("as before"), Value::of(&data, None).expect("as before"));
    assert_eq!(program.run(&[("self", own), ("object", any)], Limits::cost(COST)).cost, ran.cost);
}
