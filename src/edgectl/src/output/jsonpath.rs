//! Kubernetes' JSONPath templates, as far as they are used on command lines.
//!
//! In: a template such as `{.items[*].metadata.name}`, `{range .items[*]}{.a}{"\n"}{end}`. Out: text.
//! Understands names, quoted names, indexes, slices with steps, several of them at once, `*`, `..name` and filters
//! `[?(@.a=="b")]` with `==`, `!=`, `<`, `<=`, `>` and `>=`. A field that is not there is nothing; an item that is not
//! there is a mistake, as in kubectl.

use std::cmp::Ordering;

use kedge_api::apply::go_type;
use serde_json::Value;

use crate::error::Failure;

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Path(Vec<Step>),
    Range(Vec<Step>, Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Name(String),
    All,
    Deep(String),
    Slice {
        from: Option<i64>,
        to: Option<i64>,
        step: Option<i64>,
    },
    Index(i64),
    /// Each of these in turn.
    Union(Vec<Step>),
    Filter {
        path: Vec<Step>,
        test: Option<(Operator, Value)>,
    },
}

/// How a filter compares.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const OPERATORS: [(&str, Operator); 6] = [
    ("==", Operator::Equal),
    ("!=", Operator::Unequal),
    ("<", Operator::Less),
    ("<=", Operator::LessOrEqual),
    (">", Operator::Greater),
    (">=", Operator::GreaterOrEqual),
];

impl Operator {
    /// Whether it holds; what cannot be put in an order is neither less nor more.
    fn holds(self, left: &Value, right: &Value) -> bool {
        let order = match (left, right) {
            (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (a, b) => (a == b).then_some(Ordering::Equal),
        };
        match self {
            Operator::Equal => order == Some(Ordering::Equal),
            Operator::Unequal => order != Some(Ordering::Equal),
            Operator::Less => order == Some(Ordering::Less),
            Operator::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Operator::Greater => order == Some(Ordering::Greater),
            Operator::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

impl JsonPath {
    /// Reads a template.
    pub fn parse(template: &str) -> Result<JsonPath, Failure> {
        let mut rest = template;
        let pieces = pieces(&mut rest, false)
            .map_err(|why| Failure::said(format!("error parsing jsonpath {template}, {why}")))?;
        Ok(JsonPath(pieces))
    }

    /// The text for a value.
    pub fn render(&self, value: &Value) -> Result<String, Failure> {
        let mut text = String::new();
        render(&self.0, value, &mut text).map_err(failed)?;
        Ok(text)
    }

    /// What each path of the template finds, as a JSON array.
    pub fn arrays(&self, value: &Value) -> Result<String, Failure> {
        let mut text = String::new();
        arrays(&self.0, value, &mut text).map_err(failed)?;
        Ok(text)
    }

    /// What the first path of the template finds.
    pub fn find(&self, value: &Value) -> Result<Vec<Value>, Failure> {
        let first = self.0.iter().find_map(|piece| match piece {
            Piece::Path(steps) => Some(walk(value, steps).map_err(failed)),
            _ => None,
        });
        first.unwrap_or_else(|| Ok(Vec::new()))
    }

    /// The first value that it finds, if there is any.
    pub fn first(&self, value: &Value) -> Option<Value> {
        self.find(value).ok()?.into_iter().next()
    }
}

fn failed(why: String) -> Failure {
    Failure::said(format!("error executing jsonpath: {why}"))
}

/// Strings as they are, everything else as JSON.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn render(pieces: &[Piece], value: &Value, into: &mut String) -> Result<(), String> {
    for piece in pieces {
        match piece {
            Piece::Text(text) => into.push_str(text),
            Piece::Path(steps) => into.push_str(&walk(value, steps)?.iter().map(text).collect::<Vec<_>>().join(" ")),
            Piece::Range(steps, body) => {
                walk(value, steps)?.iter().try_for_each(|each| render(body, each, into))?;
            }
        }
    }
    Ok(())
}

fn arrays(pieces: &[Piece], value: &Value, into: &mut String) -> Result<(), String> {
    for piece in pieces {
        match piece {
            Piece::Text(_) => {}
            Piece::Path(steps) => into.push_str(&super::json(&Value::Array(walk(value, steps)?))),
            Piece::Range(steps, body) => {
                walk(value, steps)?.iter().try_for_each(|each| arrays(body, each, into))?;
            }
        }
    }
    Ok(())
}

fn pieces(rest: &mut &str, in_range: bool) -> Result<Vec<Piece>, String> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let Some(open) = rest.find('{') else {
            found.push(Piece::Text((*rest).to_owned()));
            *rest = "";
            break;
        };
        if open > 0 {
            found.push(Piece::Text(rest[..open].to_owned()));
        }
        let close = closing(&rest[open..]).ok_or("unclosed action")? + open;
        let inside = rest[open + 1..close].trim();
        *rest = &rest[close + 1..];
        if inside == "end" {
            return if in_range { Ok(found) } else { Err("not in range, nothing to end".to_owned()) };
        } else if let Some(path) = inside.strip_prefix("range ") {
            let steps = steps(path.trim())?;
            found.push(Piece::Range(steps, pieces(rest, true)?));
        } else if let Some(quoted) = inside.strip_prefix(['"', '\'']) {
            let quoted = quoted.strip_suffix(['"', '\'']).ok_or("unterminated quoted string")?;
            found.push(Piece::Text(quoted.replace("\\n", "\n").replace("\\t", "\t").replace("\\\"", "\"")));
        } else if matches!(inside, "true" | "false") || inside.parse::<f64>().is_ok() {
            found.push(Piece::Text(inside.to_owned()));
        } else if inside.starts_with(char::is_alphabetic) {
            return Err(format!("unrecognized identifier {inside}"));
        } else {
            found.push(Piece::Path(steps(inside)?));
        }
    }
    // What no `{end}` ends goes on to the end of the text.
    Ok(found)
}

/// The brace that closes the one at the start, quotes regarded.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (None, '}') => return Some(i),
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            _ => {}
        }
    }
    None
}

fn steps(path: &str) -> Result<Vec<Step>, String> {
    let mut rest = path.trim_start_matches('$').trim_start_matches('@');
    let mut found = Vec::new();
    while !rest.is_empty() {
        if let Some(deep) = rest.strip_prefix("..") {
            let (name, after) = name(deep);
            found.push(Step::Deep(name));
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('[') {
            let end = bracket(inside).ok_or_else(|| format!("unterminated array in {path}"))?;
            found.push(subscript(inside[..end].trim())?);
            rest = &inside[end + 1..];
        } else {
            let (name, after) = name(rest.strip_prefix('.').unwrap_or(rest));
            match name.as_str() {
                "" if after.is_empty() => {}
                "" => return Err(format!("unrecognized character in {path}")),
                "*" => found.push(Step::All),
                _ => found.push(Step::Name(name)),
            }
            rest = after;
        }
    }
    Ok(found)
}

/// A name up to the next dot or bracket; a backslash takes the next character as it is.
fn name(text: &str) -> (String, &str) {
    let (mut name, mut chars) = (String::new(), text.char_indices());
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' => return (name, &text[i..]),
            c => name.push(c),
        }
    }
    (name, "")
}

fn bracket(text: &str) -> Option<usize> {
    let (mut quote, mut depth) = (None, 0);
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(i),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Where the first such character stands that is in no quotes.
fn outside_quotes(text: &str, wanted: impl Fn(char) -> bool) -> Option<usize> {
    let mut quote = None;
    for (i, c) in text.char_indices() {
        match quote {
            Some(q) if q == c => quote = None,
            Some(_) => {}
            None if wanted(c) => return Some(i),
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None => {}
        }
    }
    None
}

fn subscript(inside: &str) -> Result<Step, String> {
    let unquoted = |text: &str| {
        let text = text.strip_prefix(['"', '\''])?;
        Some(text.strip_suffix(['"', '\''])?.to_owned())
    };
    if inside == "*" {
        return Ok(Step::All);
    }
    let (mut rest, mut parts) = (inside, Vec::new());
    while let Some(comma) = outside_quotes(rest, |c| c == ',').filter(|_| !inside.starts_with('?')) {
        parts.push(subscript(rest[..comma].trim())?);
        rest = &rest[comma + 1..];
    }
    if !parts.is_empty() {
        parts.push(subscript(rest.trim())?);
        return Ok(Step::Union(parts));
    }
    if let Some(name) = unquoted(inside) {
        return Ok(Step::Name(name));
    }
    if let Some(filter) = inside.strip_prefix("?(").and_then(|f| f.strip_suffix(')')) {
        if let Some(start) = outside_quotes(filter, |c| matches!(c, '=' | '!' | '<' | '>')) {
            let (left, rest) = filter.split_at(start);
            let end = rest.find(|c| !matches!(c, '=' | '!' | '<' | '>')).unwrap_or(rest.len());
            let (word, right) = (&rest[..end], rest[end..].trim());
            let known = OPERATORS.iter().find(|(text, _)| *text == word);
            let (_, operator) = known.ok_or_else(|| format!("unrecognized filter operator {word}"))?;
            let literal = unquoted(right)
                .map(Value::String)
                .or_else(|| serde_json::from_str(right).ok())
                .ok_or_else(|| format!("unrecognized literal {right}"))?;
            return Ok(Step::Filter { path: steps(left.trim())?, test: Some((*operator, literal)) });
        }
        return Ok(Step::Filter { path: steps(filter.trim())?, test: None });
    }
    let number = |text: &str| match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| format!("invalid array index {inside}")),
    };
    match inside.split(':').collect::<Vec<_>>().as_slice() {
        [at] => at.parse().map(Step::Index).map_err(|_| format!("invalid array index {inside}")),
        [from, to] => Ok(Step::Slice { from: number(from)?, to: number(to)?, step: None }),
        [from, to, step] => Ok(Step::Slice { from: number(from)?, to: number(to)?, step: number(step)? }),
        _ => Err(format!("invalid array index {inside}")),
    }
}

fn walk(value: &Value, steps: &[Step]) -> Result<Vec<Value>, String> {
    steps.iter().try_fold(vec![value.clone()], |here, step| many(&here, step))
}

fn many(here: &[Value], step: &Step) -> Result<Vec<Value>, String> {
    let mut found = Vec::new();
    if let Step::Union(parts) = step {
        for part in parts {
            found.extend(many(here, part)?);
        }
        return Ok(found);
    }
    for value in here {
        found.extend(one(value, step)?);
    }
    Ok(found)
}

fn one(value: &Value, step: &Step) -> Result<Vec<Value>, String> {
    Ok(match step {
        Step::Name(name) => value.get(name).cloned().into_iter().collect(),
        Step::All => children(value),
        Step::Deep(name) => {
            let mut found: Vec<Value> = value.get(name).cloned().into_iter().collect();
            for child in children(value) {
                found.extend(one(&child, step)?);
            }
            found
        }
        Step::Union(_) => many(std::slice::from_ref(value), step)?,
        Step::Index(at) => {
            let all = list(value)?;
            let place = if *at < 0 { at.saturating_add_unsigned(all.len() as u64) } else { *at };
            vec![all[within(place, all.len())?].clone()]
        }
        Step::Slice { from, to, step } => {
            let all = list(value)?;
            let from_end = |at: i64| if at < 0 { at.saturating_add_unsigned(all.len() as u64) } else { at };
            let (from, to) = (from_end(from.unwrap_or(0)), from_end(to.unwrap_or(all.len() as i64)));
            if from == to {
                return Ok(Vec::new());
            }
            let from = within(from, all.len())?;
            let to = within(to.saturating_sub(1), all.len())? + 1;
            if from > to {
                return Err(format!("starting index {from} is greater than ending index {to}"));
            }
            let step = usize::try_from(step.unwrap_or(1)).ok().filter(|step| *step > 0).ok_or("step must be > 0")?;
            all[from..to].iter().step_by(step).cloned().collect()
        }
        Step::Filter { path, test } => {
            let all = value.as_array().cloned().unwrap_or_default();
            let passes = |each: &Value| {
                // What cannot be looked into does not pass.
                let found = walk(each, path).unwrap_or_default();
                match test {
                    None => !found.is_empty(),
                    Some((operator, literal)) => found.iter().any(|v| operator.holds(v, literal)),
                }
            };
            all.into_iter().filter(|each| passes(each)).collect()
        }
    })
}

fn children(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(all) => all.clone(),
        Value::Object(all) => all.values().cloned().collect(),
        _ => Vec::new(),
    }
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("{} is not array or slice", go_type(value)))
}

fn within(at: i64, length: usize) -> Result<usize, String> {
    let place = usize::try_from(at).ok().filter(|place| *place < length);
    place.ok_or_else(|| format!("array index out of bounds: index {at}, length {length}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(template: &str, expected: &str) {
        let value = json!({"items": [
            {"metadata": {"name": "a", "labels": {"x.y/z": "1"}}, "spec": {"n": 1}},
            {"metadata": {"name": "b"}, "spec": {"n": 2}}]});
        let said = match JsonPath::parse(template) {
            Ok(path) => path.render(&value).unwrap_or_else(|e| e.to_string()),
            Err(e) => e.to_string(),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn templates_find_values() {
        check("{.items[*].metadata.name}", "a b");
        check("{.items[0].metadata.name}-{.items[-1].spec.n}", "a-2");
        check("{range .items[*]}{.metadata.name}{\"\\n\"}{end}", "a\nb\n");
        check("{.items[?(@.spec.n==2)].metadata.name}", "b");
        check("{.items[?(@.metadata.name!=\"a\")].spec.n}", "2");
        check("{.items[?(@.spec.n>1)].metadata.name}", "b");
        check("{.items[?(@.spec.n >= 1)].metadata.name}", "a b");
        check("{.items[?(@.spec.n<2)].metadata.name}", "a");
        check("{.items[?(@.metadata.name<=\"a>=\")].metadata.name}", "a");
        check("{.items[?(@.metadata.labels['x.y/z']==\"1\")].metadata.name}", "a");
        check("{.items[?(@.metadata.name>1)].metadata.name}", "");
        check("{.items[1,0]['spec','metadata']['n','name']}", "2 1 b a");
        check("{.items[::2].spec.n}{.items[1:].spec.n}{.items[-2:-1].spec.n}{.items[9:9]}", "121");
        check("{range .items[*]}{.spec.n};", "1;2;");
        check("{true}{1.5}", "true1.5");
        check("{.none[0]}{.items[*].none[3]}", "");
        check("{.items[-5]}", "error executing jsonpath: array index out of bounds: index -3, length 2");
        check("{.items[2].spec}", "error executing jsonpath: array index out of bounds: index 2, length 2");
        check("{.items[0:3]}", "error executing jsonpath: array index out of bounds: index 2, length 2");
        check("{.items[1:1:0]}{.items[0:2:0]}", "error executing jsonpath: step must be > 0");
        check("{.items[0].metadata[0]}", "error executing jsonpath: map[string]interface {} is not array or slice");
        check("{.items[0].metadata.labels.x\\.y/z}", "1");
        check("{.items[0].metadata.labels['x.y/z']}", "1");
        check("{..name}", "a b");
        check("{.items[0:1].spec}", "{\"n\":1}");
        check("{.missing}", "");
        check("plain", "plain");
    }

    #[test]
    fn results_may_be_arrays() {
        let value = json!({"items": [{"a": 1}, {"a": {"b": "x"}}]});
        for (template, expected) in [
            ("{.items[*].a}", "[\n    1,\n    {\n        \"b\": \"x\"\n    }\n]\n"),
            ("x{.none}", "[]\n"),
            ("{range .items[*]}{.a}{end}", "[\n    1\n]\n[\n    {\n        \"b\": \"x\"\n    }\n]\n"),
        ] {
            assert_eq!(JsonPath::parse(template).unwrap().arrays(&value).unwrap(), expected, "{template}");
        }
    }

    #[test]
    fn broken_templates_are_refused() {
        for template in [
            "{.a",
            "{a}",
            "{end}",
            "{.a[x]}",
            "{.a[1,x]}",
            "{.a[1:2:3:4]}",
            "{.a[}",
            "{.a[?(@.b=1)]}",
            "{.a[?(@.b=~1)]}",
        ] {
            assert!(JsonPath::parse(template).is_err(), "{template}");
        }
    }
}
