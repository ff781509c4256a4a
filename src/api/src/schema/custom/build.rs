//! Builds the compact form of a definition's schemas; equal parts become one.
//!
//! In: OpenAPI schemas as JSON, already judged. Out: a [`Custom`] and the row of each schema. What the judge refuses
//! is passed over here, so that a definition kept by an older version never stops the start.

use super::{Custom, Form, Held, MemberRow, NONE, Pattern, Row, Text, flag};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Schemas inside each other. A body is at most 100 levels deep, and a schema takes two of them.
const DEEPEST: usize = 64;

/// A definition has more parts than can be numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the schemas have too many parts")]
pub struct Untypable;

/// What makes two rows one.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    form: Form,
    flags: u16,
    members: Vec<MemberRow>,
    rules: Vec<Held>,
    items: u32,
    additional: u32,
    keys: Text,
    default: Text,
    expressions: u32,
}

#[derive(Default)]
struct Builder {
    rows: Vec<Row>,
    members: Vec<MemberRow>,
    rules: Vec<Held>,
    branches: Vec<u32>,
    enums: Vec<Box<[Value]>>,
    patterns: Vec<Pattern>,
    expressions: Vec<Box<[Value]>>,
    text: String,
    known_rows: HashMap<Key, u32>,
    known_texts: HashMap<String, Text>,
    known_branches: HashMap<Vec<u32>, u32>,
    known_enums: HashMap<String, u32>,
    known_patterns: HashMap<String, u32>,
    known_expressions: HashMap<String, u32>,
}

impl Custom {
    /// Builds from the schemas of all versions; out: also the row of each.
    pub(crate) fn build<'v>(schemas: impl Iterator<Item = (&'v Value, bool)>) -> Result<(Custom, Vec<u32>), Untypable> {
        let mut builder = Builder::default();
        let mut roots = Vec::new();
        for (schema, preserves) in schemas {
            let flags = flag::EMBEDDED | if preserves { flag::PRESERVES } else { 0 };
            roots.push(builder.schema(schema, flags, 0)?);
        }
        let Builder { rows, members, rules, branches, enums, patterns, expressions, text, .. } = builder;
        let custom = Custom {
            rows: rows.into(),
            members: members.into(),
            rules: rules.into(),
            branches: branches.into(),
            enums: enums.into(),
            patterns: patterns.into(),
            expressions: expressions.into(),
            text: text.into(),
        };
        Ok((custom, roots))
    }
}

impl Builder {
    fn schema(&mut self, schema: &Value, mut flags: u16, depth: usize) -> Result<u32, Untypable> {
        let says = |name: &str| schema.get(name).and_then(Value::as_bool) == Some(true);
        let word = |name: &str| schema.get(name).and_then(Value::as_str).unwrap_or_default();
        let form = match word("type") {
            _ if says("x-kubernetes-int-or-string") => Form::IntOrString,
            "object" => Form::Object,
            "array" => Form::Array,
            "string" => Form::String,
            "integer" => Form::Integer,
            "number" => Form::Number,
            "boolean" => Form::Boolean,
            _ => Form::Untyped,
        };
        for (is_said, bit) in [
            (says("nullable"), flag::NULLABLE),
            (says("x-kubernetes-preserve-unknown-fields"), flag::PRESERVES),
            (says("x-kubernetes-embedded-resource"), flag::EMBEDDED | flag::EMBEDDED_BELOW),
            (word("x-kubernetes-map-type") == "atomic", flag::MAP_ATOMIC),
            (word("x-kubernetes-list-type") == "atomic", flag::LIST_ATOMIC),
            (word("x-kubernetes-list-type") == "set", flag::LIST_SET),
            (word("x-kubernetes-list-type") == "map", flag::LIST_MAP),
        ] {
            if is_said {
                flags |= bit;
            }
        }
        let keys: Vec<&str> = list(schema, "x-kubernetes-list-map-keys").iter().filter_map(Value::as_str).collect();
        let keys = self.text(&keys.join(","))?;
        let default = match schema.get("default") {
            None | Some(Value::Null) => Text::default(),
            Some(value) => {
                flags |= flag::DEFAULT_BELOW;
                self.text(&value.to_string())?
            }
        };
        let expressions = self.expressions(list(schema, "x-kubernetes-validations"))?;
        if expressions != NONE {
            flags |= flag::EXPRESSIONS_BELOW;
        }
        let (mut members, mut items, mut additional) = (Vec::new(), NONE, NONE);
        if depth < DEEPEST {
            let required = list(schema, "required");
            for (name, below) in map(schema, "properties") {
                let row = self.schema(below, 0, depth + 1)?;
                let is_required = required.iter().any(|one| one.as_str() == Some(name));
                members.push(MemberRow { name: self.text(name)?, row, is_required });
            }
            if let Some(below) = schema.get("items").filter(|items| items.is_object()) {
                items = self.schema(below, 0, depth + 1)?;
            }
            match schema.get("additionalProperties") {
                Some(Value::Bool(true)) => flags |= flag::ANY_ADDITIONAL,
                Some(below @ Value::Object(_)) => additional = self.schema(below, 0, depth + 1)?,
                _ => {}
            }
        }
        let rules = self.rules_of(schema, depth)?;
        flags |= self.below(members.iter().map(|member| member.row).chain([items, additional]));
        self.row(Key { form, flags, members, rules, items, additional, keys, default, expressions })
    }

    /// What rows say about everything below them.
    fn below(&self, rows: impl Iterator<Item = u32>) -> u16 {
        let all = rows.filter_map(|row| self.rows.get(row as usize)).fold(0, |flags, row| flags | row.flags);
        all & (flag::DEFAULT_BELOW | flag::EXPRESSIONS_BELOW | flag::EMBEDDED_BELOW)
    }

    fn rules_of(&mut self, schema: &Value, depth: usize) -> Result<Vec<Held>, Untypable> {
        let mut rules = Vec::new();
        let float = |name: &str| schema.get(name).and_then(Value::as_f64).map(f64::to_bits);
        let whole = |name: &str| schema.get(name).and_then(Value::as_i64);
        let says = |name: &str| schema.get(name).and_then(Value::as_bool) == Some(true);
        let word = |name: &str| schema.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        rules.extend(float("maximum").map(|bits| Held::Maximum(bits, says("exclusiveMaximum"))));
        rules.extend(float("minimum").map(|bits| Held::Minimum(bits, says("exclusiveMinimum"))));
        rules.extend(float("multipleOf").map(Held::MultipleOf));
        rules.extend(whole("maxLength").map(Held::MaxLength));
        rules.extend(whole("minLength").map(Held::MinLength));
        if let Some(source) = word("pattern") {
            rules.push(Held::Pattern(self.pattern(source)?));
        }
        rules.extend(whole("maxItems").map(Held::MaxItems));
        rules.extend(whole("minItems").map(Held::MinItems));
        rules.extend(says("uniqueItems").then_some(Held::UniqueItems));
        rules.extend(whole("maxProperties").map(Held::MaxProperties));
        rules.extend(whole("minProperties").map(Held::MinProperties));
        for name in list(schema, "required").iter().filter_map(Value::as_str) {
            rules.push(Held::Required(self.text(name)?));
        }
        if let Some(format) = word("format") {
            rules.push(Held::Format(self.text(format)?));
        }
        let values = list(schema, "enum");
        if !values.is_empty() {
            rules.push(Held::Enum(self.values(values)?));
        }
        if depth < DEEPEST {
            for (name, made) in
                [("allOf", Held::AllOf as fn(u32, u32) -> Held), ("anyOf", Held::AnyOf), ("oneOf", Held::OneOf)]
            {
                let branches = list(schema, name);
                if !branches.is_empty() {
                    let (first, count) = self.branches(branches, depth)?;
                    rules.push(made(first, count));
                }
            }
            if let Some(below) = schema.get("not").filter(|not| not.is_object()) {
                rules.push(Held::Not(self.schema(below, 0, depth + 1)?));
            }
        }
        Ok(rules)
    }

    fn branches(&mut self, schemas: &[Value], depth: usize) -> Result<(u32, u32), Untypable> {
        let rows: Vec<u32> = schemas.iter().map(|one| self.schema(one, 0, depth + 1)).collect::<Result<_, _>>()?;
        let count = index(rows.len())?;
        if let Some(first) = self.known_branches.get(&rows) {
            return Ok((*first, count));
        }
        let first = index(self.branches.len())?;
        self.branches.extend_from_slice(&rows);
        self.known_branches.insert(rows, first);
        Ok((first, count))
    }

    fn row(&mut self, key: Key) -> Result<u32, Untypable> {
        if let Some(row) = self.known_rows.get(&key) {
            return Ok(*row);
        }
        let short = |length: usize| u16::try_from(length).map_err(|_| Untypable);
        let members = (index(self.members.len())?, short(key.members.len())?);
        let rules = (index(self.rules.len())?, short(key.rules.len())?);
        self.members.extend_from_slice(&key.members);
        self.rules.extend_from_slice(&key.rules);
        let row = index(self.rows.len())?;
        self.rows.push(Row {
            form: key.form,
            flags: key.flags,
            members,
            rules,
            items: key.items,
            additional: key.additional,
            keys: key.keys,
            default: key.default,
            expressions: key.expressions,
        });
        self.known_rows.insert(key, row);
        Ok(row)
    }

    fn text(&mut self, text: &str) -> Result<Text, Untypable> {
        if text.is_empty() {
            return Ok(Text::default());
        }
        if let Some(known) = self.known_texts.get(text) {
            return Ok(*known);
        }
        let made = Text { start: index(self.text.len())?, length: index(text.len())? };
        self.text.push_str(text);
        self.known_texts.insert(text.to_owned(), made);
        Ok(made)
    }

    fn values(&mut self, values: &[Value]) -> Result<u32, Untypable> {
        held(&mut self.known_enums, &mut self.enums, Value::from(values).to_string(), || values.into())
    }

    fn pattern(&mut self, source: &str) -> Result<u32, Untypable> {
        held(&mut self.known_patterns, &mut self.patterns, source.to_owned(), || Pattern::new(source))
    }

    fn expressions(&mut self, rules: &[Value]) -> Result<u32, Untypable> {
        if rules.is_empty() {
            return Ok(NONE);
        }
        held(&mut self.known_expressions, &mut self.expressions, Value::from(rules).to_string(), || rules.into())
    }
}

/// The place of something that is held once.
fn held<T>(
    known: &mut HashMap<String, u32>,
    all: &mut Vec<T>,
    key: String,
    make: impl FnOnce() -> T,
) -> Result<u32, Untypable> {
    if let Some(at) = known.get(&key) {
        return Ok(*at);
    }
    let at = index(all.len())?;
    all.push(make());
    known.insert(key, at);
    Ok(at)
}

/// `NONE` is no place.
fn index(length: usize) -> Result<u32, Untypable> {
    u32::try_from(length).ok().filter(|at| *at != NONE).ok_or(Untypable)
}

fn list<'v>(schema: &'v Value, name: &str) -> &'v [Value] {
    schema.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn map<'v>(schema: &'v Value, name: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    schema.get(name).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}
