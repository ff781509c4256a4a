//! Holds the values of a custom object against its schema, in Kubernetes' words.
//!
//! In: a schema and a value, on update also the one that is kept. Out: faults. What did not change since is not
//! judged again, so that a stricter schema never keeps an old object from being changed elsewhere.
//!
//! Words, order and the choice among failed alternatives are those of the validator that Kubernetes uses; that is why
//! checks are counted ([`Found::checks`]): of failed alternatives the one that got furthest is told.

mod number;

use super::formats;
use super::replicas::replicas;
use crate::field::{Fault, FieldError};
use crate::meta;
use crate::schema::ListType;
use crate::schema::custom::{Additional, Branches, Form, Place, Rule};
use number::{Multiple, beyond, float, float_value, is_whole, multiple, number_text, out_of_range};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;

/// What was found.
#[derive(Default)]
struct Found {
    errors: Vec<FieldError>,
    checks: usize,
}

impl Found {
    fn merge(&mut self, other: Found) {
        self.errors.extend(other.errors);
        self.checks += other.checks;
    }

    fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }
}

/// Where a value stands; lives on the stack. Written as Kubernetes does: `spec.list[0].name`.
#[derive(Clone, Copy)]
enum At<'a> {
    Root,
    Field(&'a At<'a>, &'a str),
    /// Under a key that is not named: at the root it is written with a dot.
    Key(&'a At<'a>, &'a str),
    Index(&'a At<'a>, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root => Ok(()),
            At::Field(At::Root, name) => f.write_str(name),
            At::Field(parent, name) | At::Key(parent, name) => write!(f, "{parent}.{name}"),
            At::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Judges a value. `prefix` is where it stands in the object (`status`), empty for the object itself.
pub fn judge(schema: Place<'_>, prefix: &str, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let judge = Judge { prefix };
    judge.schema(schema, value, old, &At::Root).errors
}

struct Judge<'a> {
    prefix: &'a str,
}

impl Judge<'_> {
    /// One schema at one place.
    fn schema(&self, schema: Place<'_>, value: &Value, old: Option<&Value>, at: &At<'_>) -> Found {
        let mut found = self.all(schema, value, old, at);
        if !found.is_valid() && old == Some(value) {
            found.errors.clear();
        }
        found
    }

    fn all(&self, schema: Place<'_>, value: &Value, old: Option<&Value>, at: &At<'_>) -> Found {
        let mut found = Found::default();
        let format = format_of(schema);
        let typed = schema.form() != Form::Untyped || format.is_some();
        if value.is_null() {
            if schema.form() != Form::Untyped && !schema.is_nullable() {
                found.errors.push(self.wrong_type(at, type_names(schema.form()), "null"));
            } else {
                found.checks += 1;
            }
            self.common(schema, value, at, &mut found);
            return found;
        }
        if typed {
            match type_fault(schema.form(), format, value) {
                None => found.checks += 1,
                Some((wanted, seen)) => found.errors.push(self.wrong_type(at, wanted, seen)),
            }
            found.checks += 1;
        }
        self.logic(schema, value, old, at, &mut found);
        match value {
            Value::String(text) => self.text(schema, text, format, at, &mut found),
            Value::Number(_) => self.number(schema, value, format, at, &mut found),
            Value::Array(list) => self.list(schema, list, old, at, &mut found),
            _ => {}
        }
        self.common(schema, value, at, &mut found);
        found.checks += 1;
        if let Value::Object(map) = value {
            self.object(schema, map, old, at, &mut found);
        }
        found.checks += 1;
        found
    }

    fn logic(&self, schema: Place<'_>, value: &Value, old: Option<&Value>, at: &At<'_>, found: &mut Found) {
        let mut anyof = Found::default();
        let mut all = Found::default();
        let mut not = Found::default();
        for rule in schema.rules() {
            match rule {
                Rule::AnyOf(branches) => self.any_of(branches, value, old, at, &mut anyof),
                Rule::OneOf(branches) => self.one_of(branches, value, old, at, &mut anyof),
                Rule::AllOf(branches) => self.all_of(branches, value, old, at, &mut all),
                Rule::Not(branch) if self.schema(branch, value, old, at).is_valid() => {
                    let text = format!("{:?} must not validate the schema (not)", at.to_string());
                    not.errors.push(self.composite(text));
                }
                _ => {}
            }
        }
        found.merge(anyof);
        found.merge(all);
        found.merge(not);
        found.checks += 2;
    }

    fn any_of(&self, branches: Branches<'_>, value: &Value, old: Option<&Value>, at: &At<'_>, found: &mut Found) {
        let mut best: Option<Found> = None;
        for branch in branches.iter() {
            let one = self.schema(branch, value, old, at);
            if one.is_valid() {
                found.merge(one);
                return;
            }
            if best.as_ref().is_none_or(|best| one.checks > best.checks) {
                best = Some(one);
            }
        }
        found.errors.push(self.composite(format!("{:?} must validate at least one schema (anyOf)", at.to_string())));
        found.merge(best.unwrap_or_default());
    }

    fn one_of(&self, branches: Branches<'_>, value: &Value, old: Option<&Value>, at: &At<'_>, found: &mut Found) {
        let (mut best, mut first, mut count): (Option<Found>, Option<Found>, usize) = (None, None, 0);
        for branch in branches.iter() {
            let one = self.schema(branch, value, old, at);
            if one.is_valid() {
                count += 1;
                best = None;
                first.get_or_insert(one);
            } else if count == 0 && best.as_ref().is_none_or(|best| one.checks > best.checks) {
                best = Some(one);
            }
        }
        if count == 1 {
            found.merge(first.unwrap_or_default());
            return;
        }
        let what = if count == 0 { "Found none valid".to_owned() } else { format!("Found {count} valid alternatives") };
        let text = format!("{:?} must validate one and only one schema (oneOf). {what}", at.to_string());
        found.errors.push(self.composite(text));
        found.merge(best.unwrap_or_default());
    }

    fn all_of(&self, branches: Branches<'_>, value: &Value, old: Option<&Value>, at: &At<'_>, found: &mut Found) {
        let (mut count, mut valid) = (0, 0);
        for branch in branches.iter() {
            let one = self.schema(branch, value, old, at);
            count += 1;
            valid += usize::from(one.is_valid());
            found.merge(one);
        }
        if valid != count {
            let more = if valid == 0 { ". None validated" } else { "" };
            let text = format!("{:?} must validate all the schemas (allOf){more}", at.to_string());
            found.errors.push(self.composite(text));
        }
    }

    fn text(&self, schema: Place<'_>, text: &str, format: Option<&str>, at: &At<'_>, found: &mut Found) {
        let length = || i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        // The first broken one of these three is told, in this order.
        let fault = schema.rules().find_map(|rule| match rule {
            Rule::MaxLength(most) if length() > most => Some(self.too_long(at, most)),
            Rule::MinLength(least) if length() < least => {
                Some(self.invalid(at, text, format!("should be at least {least} chars long")))
            }
            Rule::Pattern(pattern) if !pattern.matches(text) => {
                Some(self.invalid(at, text, format!("should match '{}'", pattern.source())))
            }
            _ => None,
        });
        found.errors.extend(fault);
        found.checks += 1;
        if let Some(format) = format.filter(|format| formats::is_text(format)) {
            if !formats::fits(format, text) {
                let detail = format!("{at} in body must be of type {format}: {}", crate::field::quote(text));
                found.errors.push(self.error(Fault::TypeInvalid, at, text.into(), detail));
            }
            found.checks += 1;
        }
    }

    fn number(&self, schema: Place<'_>, value: &Value, format: Option<&str>, at: &At<'_>, found: &mut Found) {
        let form = schema.form();
        if let Some(text) = out_of_range(form, format, value, &at.to_string()) {
            found.errors.push(self.composite(text));
        }
        for rule in schema.rules() {
            match rule {
                Rule::MultipleOf(factor) => match multiple(value, factor) {
                    Multiple::Yes => {}
                    Multiple::No => {
                        found.errors.push(self.invalid(
                            at,
                            value.clone(),
                            format!("should be a multiple of {}", number_text(value, factor)),
                        ));
                    }
                    Multiple::NoFactor => {
                        let text = format!("factor MultipleOf declared for {at} must be positive: {}", float(factor));
                        found.errors.push(self.error(Fault::Invalid, at, float_value(factor), text));
                    }
                },
                Rule::Maximum(most, exclusive) if beyond(value, most, exclusive, false) => {
                    let words = if exclusive { "should be less than" } else { "should be less than or equal to" };
                    found.errors.push(self.invalid(at, value.clone(), format!("{words} {}", number_text(value, most))));
                }
                Rule::Minimum(least, exclusive) if beyond(value, least, exclusive, true) => {
                    let words = if exclusive { "should be greater than" } else { "should be greater than or equal to" };
                    found.errors.push(self.invalid(
                        at,
                        value.clone(),
                        format!("{words} {}", number_text(value, least)),
                    ));
                }
                _ => {}
            }
        }
        found.checks += 2;
    }

    fn list(&self, schema: Place<'_>, list: &[Value], old: Option<&Value>, at: &At<'_>, found: &mut Found) {
        if let Some(items) = schema.items() {
            let old = old.and_then(Value::as_array);
            for (index, item) in list.iter().enumerate() {
                let before = old.and_then(|old| correlated(schema, old, item));
                found.merge(self.schema(items, item, before, &At::Index(at, index)));
            }
        }
        let size = i64::try_from(list.len()).unwrap_or(i64::MAX);
        for rule in schema.rules() {
            match rule {
                Rule::MinItems(least) if size < least => {
                    found.errors.push(self.invalid(at, size, format!("should have at least {least} items")));
                }
                Rule::MaxItems(most) if size > most => found.errors.push(self.too_many(at, size, most)),
                Rule::UniqueItems if has_duplicates(list) => {
                    found.errors.push(self.invalid(at, "", "shouldn't contain duplicates".to_owned()));
                }
                _ => {}
            }
        }
        found.checks += 2;
    }

    fn common(&self, schema: Place<'_>, value: &Value, at: &At<'_>, found: &mut Found) {
        for rule in schema.rules() {
            if let Rule::Enum(allowed) = rule
                && (value.is_null() || !allowed.iter().any(|one| equal(one, value)))
            {
                let mut detail = String::new();
                for (index, one) in allowed.iter().enumerate() {
                    detail.push_str(if index == 0 { "supported values: " } else { ", " });
                    let text = one.as_str().map_or_else(|| one.to_string(), str::to_owned);
                    detail.push_str(&crate::field::quote(&text));
                }
                found.errors.push(self.error(Fault::NotSupported, at, value.clone(), detail));
            }
        }
    }

    fn object(&self, schema: Place<'_>, map: &Map<String, Value>, old: Option<&Value>, at: &At<'_>, found: &mut Found) {
        let size = i64::try_from(map.len()).unwrap_or(i64::MAX);
        for rule in schema.rules() {
            match rule {
                Rule::MinProperties(least) if size < least => {
                    found.errors.push(self.invalid(at, size, format!("should have at least {least} properties")));
                }
                Rule::MaxProperties(most) if size > most => found.errors.push(self.too_many(at, size, most)),
                _ => {}
            }
        }
        let old = old.filter(|_| !schema.is_map_atomic()).and_then(Value::as_object);
        for (name, value) in map {
            let before = old.and_then(|old| old.get(name));
            match (schema.property(name), schema.additional()) {
                (Some(below), _) => found.merge(self.schema(below, value, before, &At::Field(at, name))),
                (None, Some(Additional::Schema(below))) => {
                    found.merge(self.schema(below, value, before, &At::Key(at, name)));
                }
                _ => {}
            }
        }
        for rule in schema.rules() {
            if let Rule::Required(name) = rule
                && !map.contains_key(name)
            {
                found.errors.push(self.error(Fault::Required, &At::Field(at, name), Value::Null, String::new()));
            }
        }
        found.checks += 1;
    }

    fn wrong_type(&self, at: &At<'_>, wanted: &str, seen: &str) -> FieldError {
        let detail = format!("{at} in body must be of type {wanted}: {}", crate::field::quote(seen));
        self.error(Fault::TypeInvalid, at, seen.into(), detail)
    }

    fn invalid(&self, at: &At<'_>, value: impl Into<Value>, rule: String) -> FieldError {
        self.error(Fault::Invalid, at, value.into(), format!("{at} in body {rule}"))
    }

    fn too_long(&self, at: &At<'_>, most: i64) -> FieldError {
        let unit = if most == 1 { "byte" } else { "bytes" };
        self.error(Fault::TooLong, at, Value::Null, format!("may not be more than {most} {unit}"))
    }

    fn too_many(&self, at: &At<'_>, size: i64, most: i64) -> FieldError {
        let unit = if most == 1 { "item" } else { "items" };
        self.error(Fault::TooMany, at, size.into(), format!("must have at most {most} {unit}"))
    }

    /// A fault that Kubernetes does not place.
    fn composite(&self, text: String) -> FieldError {
        let field = if self.prefix.is_empty() { "<nil>" } else { self.prefix };
        FieldError { fault: Fault::Invalid, field: field.to_owned(), value: "".into(), detail: text }
    }

    fn error(&self, fault: Fault, at: &At<'_>, value: Value, detail: String) -> FieldError {
        let place = at.to_string();
        let place = place.strip_prefix('.').unwrap_or(&place);
        let field = match (self.prefix, place) {
            ("", "") => "<nil>".to_owned(),
            ("", place) => place.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, place) => format!("{prefix}.{place}"),
        };
        FieldError { fault, field, value, detail }
    }
}

/// The format that counts: Kubernetes knows few, and each for one type only.
fn format_of(schema: Place<'_>) -> Option<&str> {
    let format = schema.rules().find_map(|rule| if let Rule::Format(format) = rule { Some(format) } else { None })?;
    formats::is_known(schema.form(), format).then_some(format)
}

/// The item of the old list that this one was, where lists tell their items apart.
fn correlated<'v>(schema: Place<'_>, old: &'v [Value], item: &Value) -> Option<&'v Value> {
    let list @ ListType::Map(_) = schema.list_type() else { return None };
    old.iter().find(|before| list.keys().all(|key| before.get(key) == item.get(key)))
}

fn type_names(form: Form) -> &'static str {
    if form == Form::IntOrString { "integer,string" } else { form.name() }
}

/// The type that was wanted and the one that was seen, where they differ.
fn type_fault<'s>(form: Form, format: Option<&'s str>, value: &Value) -> Option<(&'s str, &'static str)> {
    let (seen, seen_format) = match value {
        Value::Bool(_) => ("boolean", ""),
        Value::String(_) => ("string", ""),
        Value::Number(number) if number.is_i64() => ("integer", "int64"),
        Value::Number(_) => ("number", "float64"),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
        Value::Null => ("null", ""),
    };
    let whole = value.as_f64().is_some_and(is_whole);
    let fits = match form {
        Form::Integer => seen == "integer" || seen == "number" && whole,
        Form::Number => matches!(seen, "integer" | "number"),
        Form::IntOrString => matches!(seen, "integer" | "string") || seen == "number" && whole,
        Form::Untyped => false,
        form => seen == form.name(),
    };
    if let Some(format) = format {
        let textual = matches!(seen, "string" | "array");
        if !textual && !fits && seen_format != format {
            return Some((format, seen_format));
        }
        if textual && !matches!(form, Form::Integer | Form::Number | Form::IntOrString) {
            return None;
        }
    }
    if fits { None } else { Some((type_names(form), seen)) }
}

/// Whether two values are the same, numbers by their value.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        _ => a == b,
    }
}

fn has_duplicates(list: &[Value]) -> bool {
    let mut seen = BTreeSet::new();
    !list.iter().all(|item| seen.insert(item.to_string()))
}

/// Every fault of an object of this version, on create and update.
pub fn object(version: &super::Version, schema: Place<'_>, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut out = judge(schema, "", object, old);
    if let Some(scale) = &version.scale {
        replicas(scale, object, true, &mut out);
    }
    super::embedded::judge(schema, object, &mut out);
    // Lists that had duplicates before they were forbidden may keep them.
    let before = old.map(|old| super::lists::judge(schema, old)).unwrap_or_default();
    if before.is_empty() {
        out.extend(super::lists::judge(schema, object));
    }
    super::expressions::judge(version, schema, object, old, &mut out);
    out
}

/// Every fault of an update of the status.
pub fn status(version: &super::Version, schema: Place<'_>, object: &Value, old: &Value) -> Vec<FieldError> {
    let mut out = Vec::new();
    if let (Some(status), Some(below)) = (meta::at(object, &["status"]), schema.property("status")) {
        out = judge(below, "status", status, meta::at(old, &["status"]));
    }
    if let Some(scale) = &version.scale {
        replicas(scale, object, false, &mut out);
    }
    super::embedded::judge(schema, object, &mut out);
    if super::lists::judge(schema, old).is_empty() {
        out.extend(super::lists::judge(schema, object));
    }
    super::expressions::judge(version, schema, object, Some(old), &mut out);
    out
}

#[cfg(test)]
mod tests;
