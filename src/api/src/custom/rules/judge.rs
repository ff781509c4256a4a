//! Objects, judged by the rules of their schema.
//!
//! In: compiled rules, an object, the object as it was. Out: faults, worded as Kubernetes words them. What an update does not
//! touch is not refused by rules that came later. All rules of an object share one budget.

use std::collections::HashMap;

use kedge_cel::{COST_BUDGET, COST_PER_CALL, LONGEST_MESSAGE, Limits, Program, Ran, Value as CelValue};
use serde_json::Value;

use super::{Own, Rule, Rules};
use crate::field::{Fault, FieldError};
use crate::meta;
use crate::schema::ListType;
use crate::schema::custom::{Additional, Place, Rule as Keyword};

/// Judges an object; on update also against what it was.
pub fn judge(rules: &Rules, schema: Place<'_>, object: &Value, old: Option<&Value>, out: &mut Vec<FieldError>) {
    let mut judge = Judge { rules, budget: COST_BUDGET, out };
    let nearest = old.map(|old| (object, old));
    // That there is nothing left to spend was said where it ran out.
    let _ = judge.value(schema, schema, "", object, old, nearest);
}

/// Nothing more is judged.
struct Enough;

/// A value and what it was, as near above as there is such a pair.
type Pair<'v> = Option<(&'v Value, &'v Value)>;

struct Judge<'r> {
    rules: &'r Rules,
    budget: u64,
    out: &'r mut Vec<FieldError>,
}

impl Judge<'_> {
    fn value<'v>(
        &mut self,
        from: Place<'_>,
        node: Place<'_>,
        path: &str,
        value: &'v Value,
        old: Option<&'v Value>,
        nearest: Pair<'v>,
    ) -> Result<(), Enough> {
        if value.is_null() {
            return Ok(());
        }
        if let Some(own) = self.rules.by_place.get(&(from.number(), node.number())) {
            self.own(own, node, path, value, old, nearest)?;
        }
        for keyword in from.rules() {
            if let Keyword::AllOf(branches) = keyword {
                for branch in branches.iter() {
                    self.value(branch, node, path, value, old, nearest)?;
                }
            }
        }
        let next = |value: &'v Value, old: Option<&'v Value>| old.map(|old| (value, old)).or(nearest);
        match value {
            Value::Array(items) => {
                let (Some(from), Some(of)) = (from.items(), node.items()) else { return Ok(()) };
                if !worth(from) {
                    return Ok(());
                }
                let before = correlated(node.list_type(), old);
                for (index, item) in items.iter().enumerate() {
                    let old = before.get(&identity(node.list_type(), item)).copied();
                    self.value(from, of, &format!("{path}[{index}]"), item, old, next(item, old))?;
                }
            }
            Value::Object(map) => {
                for (key, value) in map {
                    let old = old.and_then(|old| old.get(key));
                    if let (Some(from), Some(of)) = (from.property(key), node.property(key)) {
                        if worth(from) {
                            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                            self.value(from, of, &path, value, old, next(value, old))?;
                        }
                    } else if let (Some(Additional::Schema(from)), Some(Additional::Schema(of))) =
                        (from.additional(), node.additional())
                        && worth(from)
                    {
                        self.value(from, of, &format!("{path}[{key}]"), value, old, next(value, old))?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn own(
        &mut self,
        own: &Own,
        node: Place<'_>,
        path: &str,
        value: &Value,
        old: Option<&Value>,
        nearest: Pair<'_>,
    ) -> Result<(), Enough> {
        let about = |why: String| fault(Fault::Invalid, path, Value::from(node.form().name()), why);
        let itself = match CelValue::of(value, Some(&own.decl)) {
            Ok(itself) => itself,
            Err(why) => {
                self.out.push(about(format!("{why}")));
                return Ok(());
            }
        };
        let before = old.and_then(|old| CelValue::of(old, Some(&own.decl)).ok());
        for rule in &own.rules {
            if rule.uses_old && before.is_none() && !rule.optional_old {
                continue;
            }
            let said = shown(&rule.said);
            let program = match &rule.program {
                Ok(program) => program,
                Err(why) => {
                    self.out.push(about(format!("rule compile error: {why}")));
                    continue;
                }
            };
            let old_self = match (&before, rule.optional_old) {
                (Some(before), true) => CelValue::some(before.clone()),
                (Some(before), false) => before.clone(),
                (None, true) => CelValue::Optional(None),
                (None, false) => CelValue::Null,
            };
            let variables = [("self", itself.clone()), ("oldSelf", old_self)];
            let Some(ran) = self.run(program, &variables) else {
                const OUT: &str =
                    "validation failed due to running out of cost budget, no further validation rules will be run";
                self.out.push(about(OUT.to_owned()));
                return Err(Enough);
            };
            match ran.value {
                Ok(CelValue::Bool(true)) => continue,
                Ok(_) => {}
                Err(why) if why.text.starts_with("no such overload") => {
                    const WHAT: &str = "call arguments did not match a supported operator, function or macro signature";
                    self.out.push(about(format!("'{why}': {WHAT} for rule: {said}")));
                    continue;
                }
                Err(why) if why.halted => {
                    const WHAT: &str = "no further validation rules will be run due to call cost exceeds limit";
                    self.out.push(about(format!("'{why}': {WHAT} for rule: {said}")));
                    return Err(Enough);
                }
                Err(why) => {
                    self.out.push(about(format!("{why} evaluating rule: {said}")));
                    continue;
                }
            }
            let place = match meta::text(&rule.said, "fieldPath") {
                "" => path.to_owned(),
                below if path.is_empty() => below.trim_start_matches('.').to_owned(),
                below => format!("{path}{below}"),
            };
            let detail = match self.message(rule, &variables) {
                Ok(message) => message,
                Err(why) => {
                    self.out.push(fault(Fault::Invalid, &place, Value::from(node.form().name()), why));
                    return Err(Enough);
                }
            };
            // What was like that before stays allowed.
            let unchanged = nearest.is_some_and(|(new, old)| new == old);
            if rule.uses_old || !unchanged {
                self.out.push(broken(rule, &place, value, detail));
            }
        }
        Ok(())
    }

    /// What a program comes to; `None`: there is nothing left to spend.
    fn run<'v>(&mut self, program: &Program, variables: &[(&str, CelValue<'v>); 2]) -> Option<Ran<'v>> {
        let ran = program.run(variables, Limits::cost(COST_PER_CALL));
        self.budget = self.budget.checked_sub(ran.cost)?;
        Some(ran)
    }

    /// What is said of a rule that does not hold.
    fn message(&mut self, rule: &Rule, variables: &[(&str, CelValue<'_>); 2]) -> Result<String, String> {
        if let Some(program) = &rule.message {
            let Some(ran) = self.run(program, variables) else {
                let why = "messageExpression evaluation failed due to running out of cost budget, no further validation \
                           rules will be run";
                return Err(why.to_owned());
            };
            match ran.value {
                Ok(CelValue::Text(text)) => {
                    let text = text.trim();
                    if !text.is_empty() && text.len() <= LONGEST_MESSAGE && !text.contains('\n') {
                        return Ok(text.to_owned());
                    }
                }
                Err(why) if why.halted => {
                    return Err(format!(
                        "no further validation rules will be run due to call cost exceeds limit for messageExpression: {:?}",
                        meta::text(&rule.said, "messageExpression")
                    ));
                }
                _ => {}
            }
        }
        Ok(match meta::text(&rule.said, "message") {
            "" => format!("failed rule: {}", meta::text(&rule.said, "rule").trim()),
            message => message.trim().to_owned(),
        })
    }
}

/// Whether there may be rules.
fn worth(place: Place<'_>) -> bool {
    place.has_expressions() || place.rules().any(|rule| matches!(rule, Keyword::AllOf(_)))
}

fn fault(fault: Fault, field: &str, value: Value, detail: impl Into<String>) -> FieldError {
    let field = if field.is_empty() { "<nil>" } else { field };
    FieldError { fault, field: field.to_owned(), value, detail: detail.into() }
}

fn broken(rule: &Rule, path: &str, value: &Value, detail: String) -> FieldError {
    let kind = match meta::text(&rule.said, "reason") {
        "FieldValueForbidden" => Fault::Forbidden,
        "FieldValueRequired" => Fault::Required,
        "FieldValueDuplicate" => Fault::Duplicate,
        // Objects and lists are too long to be shown.
        _ if value.is_object() || value.is_array() => Fault::Rule,
        _ => Fault::Invalid,
    };
    fault(kind, path, value.clone(), detail)
}

fn shown(rule: &Value) -> String {
    let message = meta::text(rule, "message");
    if message.is_empty() { meta::text(rule, "rule") } else { message }.trim().to_owned()
}

/// Items of a list as it was, by what tells them apart.
fn correlated<'v>(kind: ListType<'_>, old: Option<&'v Value>) -> HashMap<String, &'v Value> {
    let items = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    match kind {
        ListType::Map(_) => items.iter().map(|item| (identity(kind, item), item)).collect(),
        _ => HashMap::new(),
    }
}

fn identity(kind: ListType<'_>, item: &Value) -> String {
    kind.keys().map(|key| format!("{}\n", item.get(key).unwrap_or(&Value::Null))).collect()
}
