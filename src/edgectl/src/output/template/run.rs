//! Templates with values.
//!
//! In: the parts of a template, a value. Out: text as Go prints it. What is not there is `<no value>`; what cannot be
//! there is a mistake.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use kedge_api::apply::go_type;
use serde_json::Value;

use super::functions;
use super::parse::{Argument, Head, Node, Pipeline};

/// Steps of one template: every object of a large cluster with all of its fields.
const STEPS: usize = if cfg!(test) { 100_000 } else { 20_000_000 };
/// Text of one template, as much as an answer of the server holds.
const TEXT: usize = 256 << 20;

/// Parts of a template within each other.
const DEPTH: usize = 100;

/// The exponent from which on Go writes one.
const EXPONENT: i32 = 6;

/// A value on its way.
#[derive(Clone, Debug, PartialEq)]
pub enum Val<'a> {
    /// There is none.
    Nothing,
    /// Of the object.
    Json(&'a Value),
    /// Some items of a list.
    Items(&'a [Value]),
    /// A text that was made.
    Text(String),
    /// A whole number that was made.
    Int(i64),
    /// Another number that was made.
    Float(f64),
    /// A truth that was made.
    Bool(bool),
}

impl Val<'_> {
    /// Whether it counts as true: what is empty does not.
    pub fn is_true(&self) -> bool {
        match self {
            Val::Nothing | Val::Json(Value::Null) => false,
            Val::Json(Value::Array(all)) => !all.is_empty(),
            Val::Items(all) => !all.is_empty(),
            Val::Json(Value::Object(map)) => !map.is_empty(),
            other => match (other.number(), other.as_text()) {
                (Some(number), _) => number != 0.0,
                (_, Some(text)) => !text.is_empty(),
                _ => other.truth().unwrap_or(false),
            },
        }
    }

    /// As a number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Val::Int(number) => Some(*number as f64),
            Val::Float(number) => Some(*number),
            Val::Json(Value::Number(number)) => number.as_f64(),
            _ => None,
        }
    }

    /// As a whole number.
    pub fn whole(&self) -> Option<i64> {
        match self {
            Val::Int(number) => Some(*number),
            Val::Json(Value::Number(number)) => number.as_i64(),
            _ => None,
        }
    }

    /// As a text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Val::Text(text) => Some(text),
            Val::Json(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether it is one.
    pub fn is_text(&self) -> bool {
        self.as_text().is_some()
    }

    /// As a truth.
    pub fn truth(&self) -> Option<bool> {
        match self {
            Val::Bool(truth) | Val::Json(Value::Bool(truth)) => Some(*truth),
            _ => None,
        }
    }

    /// Whether there is none.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Val::Nothing | Val::Json(Value::Null))
    }

    /// Go's name of its type.
    pub fn kind(&self) -> &'static str {
        match self {
            Val::Nothing => "<nil>",
            Val::Text(_) => "string",
            Val::Int(_) => "int",
            Val::Float(_) => "float64",
            Val::Bool(_) => "bool",
            Val::Items(_) => "[]interface {}",
            Val::Json(value) => go_type(value),
        }
    }

    /// As an action prints it.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Val::Nothing | Val::Json(Value::Null) => Cow::Borrowed("<no value>"),
            other => match other.as_text() {
                Some(text) => Cow::Borrowed(text),
                None => Cow::Owned(other.inner()),
            },
        }
    }

    /// As functions print it.
    pub fn inner(&self) -> String {
        match self {
            Val::Nothing => "<nil>".to_owned(),
            Val::Json(value) => go(value),
            Val::Items(all) => list(all),
            Val::Text(text) => text.clone(),
            Val::Int(number) => number.to_string(),
            Val::Float(number) => go_number(*number),
            Val::Bool(truth) => truth.to_string(),
        }
    }
}

/// A value as Go's `%v` has it.
pub fn go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) if number.is_f64() => number.as_f64().map_or_else(String::new, go_number),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(all) => list(all),
        Value::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{}", go(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

fn list(all: &[Value]) -> String {
    format!("[{}]", all.iter().map(go).collect::<Vec<_>>().join(" "))
}

/// A number that is not whole, as Go's `%v` has it: with an exponent where it is large or small.
fn go_number(number: f64) -> String {
    let text = format!("{number:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..EXPONENT).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{number}"),
    }
}

/// A text in quotes as Go writes it.
pub fn go_quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// The text of a template, whose parts may stand for others that have a name.
pub fn run(nodes: &[Node], named: &BTreeMap<String, Vec<Node>>, value: &Value) -> Result<String, String> {
    let mut run = Run { text: String::new(), named, variables: vec![("", Val::Json(value))], steps: 0, depth: 0 };
    run.all(nodes, &Val::Json(value))?;
    Ok(run.text)
}

/// How a part ended.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Run<'a> {
    text: String,
    named: &'a BTreeMap<String, Vec<Node>>,
    /// Names and values, the innermost last; the first is `$`.
    variables: Vec<(&'a str, Val<'a>)>,
    steps: usize,
    /// Parts that stand within each other.
    depth: usize,
}

impl<'a> Run<'a> {
    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.steps > STEPS || self.text.len() > TEXT { Err("it takes too long".to_owned()) } else { Ok(()) }
    }

    /// The parts of a block, whose variables end with it.
    fn all(&mut self, nodes: &'a [Node], dot: &Val<'a>) -> Result<Flow, String> {
        let known = self.variables.len();
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                self.variables.truncate(known);
                return Ok(flow);
            }
        }
        self.variables.truncate(known);
        Ok(Flow::On)
    }

    fn node(&mut self, node: &'a Node, dot: &Val<'a>) -> Result<Flow, String> {
        self.step()?;
        let known = self.variables.len();
        match node {
            Node::Text(text) => self.text.push_str(text),
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.names.is_empty() {
                    self.text.push_str(&value.text());
                }
            }
            Node::If(pipeline, body, otherwise) => {
                let chosen = if self.pipeline(pipeline, dot)?.is_true() { body } else { otherwise };
                let flow = self.all(chosen, dot)?;
                self.variables.truncate(known);
                return Ok(flow);
            }
            Node::With(pipeline, body, otherwise) => {
                let value = self.pipeline(pipeline, dot)?;
                let flow = if value.is_true() { self.all(body, &value)? } else { self.all(otherwise, dot)? };
                self.variables.truncate(known);
                return Ok(flow);
            }
            Node::Range(pipeline, body, otherwise) => {
                let flow = self.range(pipeline, body, otherwise, dot)?;
                self.variables.truncate(known);
                return Ok(flow);
            }
            Node::Template(name, about) => {
                let about = about.as_ref().map(|pipeline| self.pipeline(pipeline, dot)).transpose()?;
                self.part(name, about.unwrap_or(Val::Nothing))?;
                self.variables.truncate(known);
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    /// A part by its name, which knows nothing but what it is about.
    fn part(&mut self, name: &str, about: Val<'a>) -> Result<(), String> {
        let nodes = self.named.get(name).ok_or_else(|| format!("template {name:?} not defined"))?;
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(format!("exceeded maximum template depth ({DEPTH})"));
        }
        let around = std::mem::replace(&mut self.variables, vec![("", about.clone())]);
        self.all(nodes, &about)?;
        self.variables = around;
        self.depth -= 1;
        Ok(())
    }

    fn range(
        &mut self,
        pipeline: &'a Pipeline,
        body: &'a [Node],
        otherwise: &'a [Node],
        dot: &Val<'a>,
    ) -> Result<Flow, String> {
        let value = self.value(pipeline, dot)?;
        let pairs: Vec<(Val<'a>, Val<'a>)> = match &value {
            Val::Json(Value::Array(all)) => numbered(all),
            Val::Items(all) => numbered(all),
            Val::Json(Value::Object(map)) => {
                map.iter().map(|(key, value)| (Val::Text(key.clone()), Val::Json(value))).collect()
            }
            other if other.is_nothing() => Vec::new(),
            other if other.whole().is_some() => {
                return self.count(other.whole().unwrap_or(0), pipeline, body, otherwise, dot);
            }
            other => return Err(format!("range can't iterate over {}", other.text())),
        };
        if pairs.is_empty() {
            return self.all(otherwise, dot);
        }
        self.each(pairs.into_iter(), pipeline, body)
    }

    /// As often as a number says.
    fn count(
        &mut self,
        most: i64,
        pipeline: &'a Pipeline,
        body: &'a [Node],
        otherwise: &'a [Node],
        dot: &Val<'a>,
    ) -> Result<Flow, String> {
        if pipeline.names.len() > 1 {
            return Err(format!("can't use {most} to iterate over more than one variable"));
        }
        match most {
            ..=0 => self.all(otherwise, dot),
            most => self.each((0..most).map(|at| (Val::Int(at), Val::Int(at))), pipeline, body),
        }
    }

    fn each(
        &mut self,
        pairs: impl Iterator<Item = (Val<'a>, Val<'a>)>,
        pipeline: &'a Pipeline,
        body: &'a [Node],
    ) -> Result<Flow, String> {
        let known = self.variables.len();
        for (key, item) in pairs {
            self.step()?;
            let values = match pipeline.names.len() {
                2 => vec![key, item.clone()],
                _ => vec![item.clone()],
            };
            for (name, value) in pipeline.names.iter().zip(values) {
                self.set(name, value, pipeline.assigns);
            }
            let flow = self.all(body, &item)?;
            self.variables.truncate(known);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn set(&mut self, name: &'a str, value: Val<'a>, assigns: bool) {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some((_, held)) if assigns => *held = value,
            _ => self.variables.push((name, value)),
        }
    }

    /// A pipeline's value, which its variables get.
    fn pipeline(&mut self, pipeline: &'a Pipeline, dot: &Val<'a>) -> Result<Val<'a>, String> {
        let value = self.value(pipeline, dot)?;
        for name in &pipeline.names {
            self.set(name, value.clone(), pipeline.assigns);
        }
        Ok(value)
    }

    fn value(&mut self, pipeline: &'a Pipeline, dot: &Val<'a>) -> Result<Val<'a>, String> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.unwrap_or(Val::Nothing))
    }

    fn command(&mut self, command: &'a [Argument], dot: &Val<'a>, last: Option<Val<'a>>) -> Result<Val<'a>, String> {
        self.step()?;
        let [first, rest @ ..] = command else { return Ok(Val::Nothing) };
        let Head::Function(name) = &first.head else {
            if first.head == Head::Nil {
                return Err("nil is not a command".to_owned());
            }
            return self.argument(first, dot);
        };
        if matches!(name.as_str(), "and" | "or") {
            let mut found = None;
            for argument in rest {
                let value = self.argument(argument, dot)?;
                if value.is_true() == (name == "or") {
                    return fields(value, &first.fields);
                }
                found = Some(value);
            }
            let found =
                last.or(found).ok_or_else(|| format!("wrong number of args for {name}: want at least 1 got 0"))?;
            return fields(found, &first.fields);
        }
        let mut values = Vec::with_capacity(rest.len() + 1);
        for argument in rest {
            values.push(self.argument(argument, dot)?);
        }
        values.extend(last);
        fields(functions::call(name, &values)?, &first.fields)
    }

    fn argument(&mut self, argument: &'a Argument, dot: &Val<'a>) -> Result<Val<'a>, String> {
        let head = match &argument.head {
            Head::Dot => dot.clone(),
            Head::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                found.map_or(Val::Nothing, |(_, value)| value.clone())
            }
            Head::Function(_) => self.command(std::slice::from_ref(argument), dot, None)?,
            Head::Text(text) => Val::Text(text.clone()),
            Head::Int(number) => Val::Int(*number),
            Head::Float(number) => Val::Float(*number),
            Head::Bool(truth) => Val::Bool(*truth),
            Head::Nil => Val::Nothing,
            Head::Inner(pipeline) => self.value(pipeline, dot)?,
        };
        match argument.head {
            Head::Function(_) => Ok(head),
            _ => fields(head, &argument.fields),
        }
    }
}

fn numbered(all: &[Value]) -> Vec<(Val<'_>, Val<'_>)> {
    all.iter().enumerate().map(|(at, item)| (Val::Int(at as i64), Val::Json(item))).collect()
}

/// A field of a field. What an object does not have is nothing, and so are its fields.
fn fields<'a>(value: Val<'a>, names: &[String]) -> Result<Val<'a>, String> {
    names.iter().try_fold(value, |here, name| match here {
        Val::Json(Value::Object(map)) => Ok(map.get(name).map_or(Val::Nothing, Val::Json)),
        Val::Nothing => Ok(Val::Nothing),
        Val::Json(Value::Null) => Err(format!("nil pointer evaluating interface {{}}.{name}")),
        other => Err(format!("can't evaluate field {name} in type {}", other.kind())),
    })
}
