//! Rules, judged when their definition is written: syntax, types, and what they may cost.
//!
//! In: a schema. Out: faults, worded as Kubernetes words them. A rule's cost counts as often as its value may occur in the
//! largest object.

use kedge_cel::declare::{Decl, LARGEST_REQUEST};
use kedge_cel::{Checked, Type};
use serde_json::{Value, json};

use super::{BelowSelf, compile, declare};
use crate::field::{Fault, FieldError};
use crate::meta;
use crate::schema::ListType;
use crate::schema::custom::{Additional, Form, Place, Rule};

/// What a rule may cost.
const MOST: u64 = 10_000_000;
/// What all rules of a schema may cost together.
const MOST_OF_ALL: u64 = 100_000_000;
/// Of what costs too much together, the dearest are named.
const NAMED: usize = 4;

/// Judges the rules of a version's schema; `path` is the schema's place in the definition.
pub fn check(schema: Place<'_>, path: &str, out: &mut Vec<FieldError>) {
    let mut total = Total::default();
    Node { place: schema, path: path.to_owned(), count: Some(1), uncorrelated: None }.check(&mut total, out);
    if total.sum <= MOST_OF_ALL {
        return;
    }
    for (path, _) in total.dearest {
        let why = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        out.push(fault(Fault::Forbidden, path, Value::Null, why));
    }
    let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
    out.push(fault(Fault::Forbidden, path.to_owned(), Value::Null, too_dear(name, total.sum, MOST_OF_ALL)));
}

#[derive(Default)]
struct Total {
    sum: u64,
    dearest: Vec<(String, u64)>,
}

impl Total {
    fn add(&mut self, path: String, cost: u64) {
        self.sum = self.sum.saturating_add(cost);
        // What is below a hundredth does not matter.
        if cost >= MOST_OF_ALL / 100 {
            self.dearest.push((path, cost));
            self.dearest.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
            self.dearest.truncate(NAMED);
        }
    }
}

struct Node<'a> {
    place: Place<'a>,
    path: String,
    /// How often its value may occur; `None`: as often as the largest request holds.
    count: Option<u64>,
    /// The list above whose items cannot be told apart between two versions of an object.
    uncorrelated: Option<String>,
}

fn fault(fault: Fault, field: String, value: Value, detail: impl Into<String>) -> FieldError {
    FieldError { fault, field, value, detail: detail.into() }
}

impl Node<'_> {
    fn check(&self, total: &mut Total, out: &mut Vec<FieldError>) {
        let place = self.place;
        if !place.has_expressions() {
            return;
        }
        let most = |wanted: fn(Rule<'_>) -> Option<i64>| {
            place.rules().find_map(wanted).map(|most| u64::try_from(most).unwrap_or(0))
        };
        let times = match place.form() {
            Form::Object if place.additional().is_some() => {
                most(|rule| if let Rule::MaxProperties(most) = rule { Some(most) } else { None })
            }
            Form::Array => most(|rule| if let Rule::MaxItems(most) = rule { Some(most) } else { None }),
            _ => Some(1),
        };
        let count = self.count.zip(times).map(|(count, times)| count.saturating_mul(times));
        let below = |place, path: String| Node { place, path, count, uncorrelated: self.uncorrelated.clone() };
        if let Some(Additional::Schema(values)) = place.additional() {
            below(values, format!("{}.additionalProperties", self.path)).check(total, out);
        }
        for (name, member) in place.properties() {
            below(member, format!("{}.properties[{name}]", self.path)).check(total, out);
        }
        if let Some(items) = place.items() {
            let mut node = below(items, format!("{}.items", self.path));
            if !matches!(place.list_type(), ListType::Map(_)) {
                node.uncorrelated.get_or_insert_with(|| self.path.clone());
            }
            node.check(total, out);
        }
        self.rules(total, out);
    }

    fn rules(&self, total: &mut Total, out: &mut Vec<FieldError>) {
        let rules = self.place.expressions();
        if rules.is_empty() {
            return;
        }
        let all = format!("{}.x-kubernetes-validations", self.path);
        let Some(decl) = declare::decl(self.place) else {
            let why = "internal error: failed to construct type information for x-kubernetes-validations rules: unable \
                       to convert structural schema to CEL declarations";
            return out.push(fault(Fault::Internal, all, Value::Null, why));
        };
        for (index, rule) in rules.iter().enumerate() {
            if !meta::text(rule, "rule").trim().is_empty() {
                self.rule(rule, &format!("{all}[{index}]"), &decl, total, out);
            }
        }
    }

    fn rule(&self, rule: &Value, path: &str, decl: &Decl, total: &mut Total, out: &mut Vec<FieldError>) {
        let at = format!("{path}.rule");
        let optional = meta::bool_at(rule, &["optionalOldSelf"]);
        let checked = match wanted(meta::text(rule, "rule"), decl, optional, &Type::Bool) {
            Ok(checked) => checked,
            Err(Unfit::Compilation(why)) => return out.push(fault(Fault::Invalid, at, shown(rule), why)),
            Err(Unfit::Output) => {
                let why = "cel expression must evaluate to a bool";
                return out.push(fault(Fault::Invalid, at, shown(rule), why));
            }
        };
        let often = self.count.unwrap_or(LARGEST_REQUEST / (decl.min_bytes + 1));
        let cost = checked.estimate(&BelowSelf(decl)).max.saturating_mul(often);
        if cost > MOST {
            let why = too_dear("estimated rule cost", cost, MOST);
            out.push(fault(Fault::Forbidden, at.clone(), Value::Null, why));
        }
        total.add(at.clone(), cost);
        self.message(rule, path, decl, total, out);
        if checked.names("oldSelf") {
            if let Some(above) = &self.uncorrelated {
                let why = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {above}");
                out.push(fault(Fault::Invalid, at, rule["rule"].clone(), why));
            }
        } else if let Some(said) = rule.get("optionalOldSelf").filter(|said| !said.is_null()) {
            let why = "may not be set if oldSelf is not used in rule";
            out.push(fault(Fault::Invalid, format!("{path}.optionalOldSelf"), said.clone(), why));
        }
    }

    fn message(&self, rule: &Value, path: &str, decl: &Decl, total: &mut Total, out: &mut Vec<FieldError>) {
        let text = meta::text(rule, "messageExpression");
        if text.trim().is_empty() {
            return;
        }
        let at = format!("{path}.messageExpression");
        let optional = meta::bool_at(rule, &["optionalOldSelf"]);
        let why = match wanted(text, decl, optional, &Type::Text) {
            Ok(checked) => {
                let cost = checked.estimate(&BelowSelf(decl)).max;
                if cost > MOST {
                    let why = too_dear("estimated messageExpression cost", cost, MOST);
                    out.push(fault(Fault::Forbidden, at.clone(), Value::Null, why));
                }
                return total.add(at, cost);
            }
            Err(Unfit::Compilation(why)) => format!("messageExpression {why}"),
            Err(Unfit::Output) => "messageExpression must evaluate to a string".to_owned(),
        };
        out.push(fault(Fault::Invalid, at, shown(rule), why));
    }
}

enum Unfit {
    Compilation(String),
    Output,
}

fn wanted(text: &str, decl: &Decl, optional: bool, of: &Type) -> Result<Checked, Unfit> {
    let checked = compile(text, decl, optional).map_err(Unfit::Compilation)?;
    if checked.output() == of { Ok(checked) } else { Err(Unfit::Output) }
}

/// A rule as Kubernetes' faults show it.
fn shown(rule: &Value) -> Value {
    let text = |key: &str| meta::text(rule, key);
    json!({"Rule": text("rule"), "Message": text("message"), "MessageExpression": text("messageExpression"),
        "Reason": rule.get("reason"), "FieldPath": text("fieldPath"), "OptionalOldSelf": rule.get("optionalOldSelf")})
}

fn too_dear(what: &str, cost: u64, most: u64) -> String {
    let factor = cost as f64 / most as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}
