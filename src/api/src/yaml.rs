//! Values as YAML, laid out and quoted as kubectl does it.
//!
//! In: a JSON value. Out: text that readers of YAML 1.1 and of 1.2 take for the same value: to the older ones, which
//! most of Kubernetes' tools are, `on`, `1_000`, `12:30` and `2026-01-02` without quotes are no strings. Never fails.

use std::fmt::Write as _;

use serde_json::Value;

/// A longer key has a line of its own, as with kubectl; readers look for the end of others for 1024 bytes only.
const LONGEST_KEY: usize = 128;

/// Behind this column a text goes on in the next line at its next space, as with kubectl.
const WIDTH: usize = 80;

/// A document, with a newline at its end.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(&mut out, value, 0),
        Value::Array(list) if !list.is_empty() => block(&mut out, value, 0),
        _ => {
            scalar(&mut out, value, 0);
            out.push('\n');
        }
    }
    out
}

/// The lines of a map or list that is not empty; the first one continues the line that is there.
fn block(out: &mut String, value: &Value, depth: usize) {
    let mut first = true;
    let mut begin = |out: &mut String| {
        if !std::mem::take(&mut first) {
            indent(out, depth);
        }
    };
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                begin(out);
                let is_long = key.len() > LONGEST_KEY;
                if is_long {
                    out.push_str("? ");
                }
                string(out, key, None);
                if is_long {
                    out.push('\n');
                    indent(out, depth);
                }
                out.push(':');
                match value {
                    Value::Object(_) | Value::Array(_) if is_long && !is_empty(value) => {
                        out.push(' ');
                        block(out, value, depth + 1);
                    }
                    Value::Object(inner) if !inner.is_empty() => nested(out, value, depth + 1),
                    // Lists hang at the depth of their key.
                    Value::Array(inner) if !inner.is_empty() => nested(out, value, depth),
                    value => {
                        out.push(' ');
                        scalar(out, value, depth + 1);
                        out.push('\n');
                    }
                }
            }
        }
        Value::Array(list) => {
            for value in list {
                begin(out);
                out.push_str("- ");
                match value {
                    Value::Object(inner) if !inner.is_empty() => block(out, value, depth + 1),
                    Value::Array(inner) if !inner.is_empty() => block(out, value, depth + 1),
                    value => {
                        scalar(out, value, depth + 1);
                        out.push('\n');
                    }
                }
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn nested(out: &mut String, value: &Value, depth: usize) {
    out.push('\n');
    indent(out, depth);
    block(out, value, depth);
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// What stands on one line, or begins there.
fn scalar(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::String(text) => string(out, text, Some(depth.max(1))),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        // Numbers, truths and null are written as in JSON.
        other => drop(write!(out, "{other}")),
    }
}

/// A text on one line, or at that depth on as many as it takes; keys have but one.
fn string(out: &mut String, text: &str, depth: Option<usize>) {
    if text.contains('\n') {
        match depth.filter(|_| can_be_literal(text)) {
            Some(depth) => literal(out, text, depth),
            None => double(out, text, depth),
        }
    } else if means_something_else(text) || text.chars().any(|c| !is_printable(c)) {
        double(out, text, depth);
    } else if is_plain(text) {
        folded(out, text, depth, |out, c| out.push(c));
    } else {
        out.push('\'');
        folded(out, text, depth, |out, c| match c {
            '\'' => out.push_str("''"),
            c => out.push(c),
        });
        out.push('\'');
    }
}

/// The letters of a text. Behind the width a single space between words becomes the end of the line.
fn folded(out: &mut String, text: &str, depth: Option<usize>, letter: impl Fn(&mut String, char)) {
    let begins = out.rfind('\n').map_or(0, |end| end + 1);
    let mut column = out[begins..].chars().count();
    let (mut after_space, mut chars) = (true, text.chars().peekable());
    while let Some(c) = chars.next() {
        let is_between = c == ' ' && !after_space && chars.peek().is_some_and(|next| *next != ' ');
        after_space = c == ' ';
        match depth.filter(|_| is_between && column > WIDTH) {
            Some(depth) => {
                out.push('\n');
                indent(out, depth);
                column = 2 * depth;
            }
            None => {
                let before = out.len();
                letter(out, c);
                column += out[before..].chars().count();
            }
        }
    }
}

/// A block after `|`, whose lines are as they are.
fn literal(out: &mut String, text: &str, depth: usize) {
    out.push('|');
    // Readers guess the depth from the first line, unless it is told.
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    let body = text.strip_suffix('\n');
    match body {
        None => out.push('-'),
        Some(body) if body.is_empty() || body.ends_with('\n') => out.push('+'),
        Some(_) => {}
    }
    for line in body.unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, depth.max(1));
            out.push_str(line);
        }
    }
}

fn can_be_literal(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || is_printable(c))
        // Blanks at the ends of lines are not to be seen, and some tools drop them.
        && !text.split('\n').any(|line| line.ends_with(' '))
}

fn double(out: &mut String, text: &str, depth: Option<usize>) {
    out.push('"');
    folded(out, text, depth, |out, c| match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if is_printable(c) => out.push(c),
        c if u32::from(c) <= 0xff => drop(write!(out, "\\x{:02X}", u32::from(c))),
        c if u32::from(c) <= 0xffff => drop(write!(out, "\\u{:04X}", u32::from(c))),
        c => drop(write!(out, "\\U{:08X}", u32::from(c))),
    });
    out.push('"');
}

/// What YAML lets stand as it is on one line.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
        && !matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether a text without quotes is a string and only that, for its form.
fn is_plain(text: &str) -> bool {
    let blank_or_end = |rest: &str| rest.is_empty() || rest.starts_with(' ');
    let begins = match text.chars().next() {
        None => return false,
        Some('#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`') => false,
        Some('?' | ':' | '-') => !blank_or_end(&text[1..]),
        Some(_) => true,
    };
    begins
        && !text.starts_with(' ')
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.starts_with("---")
        && !text.starts_with("...")
}

/// Whether some reader takes a text without quotes for a null, a truth, a number, a time or a mark.
fn means_something_else(text: &str) -> bool {
    const WORDS: [&str; 11] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", ".nan"];
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(text, "" | "~" | "<<" | "=") || WORDS.iter().any(|word| bare.eq_ignore_ascii_case(word)) {
        return true;
    }
    let signed = bare.len() < text.len();
    if !bare.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == '_' && signed) {
        return false;
    }
    is_number(bare) || is_date(text)
}

/// Numbers of any base, with `_` and `:` as YAML 1.1 has them.
fn is_number(bare: &str) -> bool {
    let lower = bare.to_ascii_lowercase();
    let of = |digits: &str, is: fn(char) -> bool| !digits.is_empty() && digits.chars().all(|c| c == '_' || is(c));
    if let Some(digits) = lower.strip_prefix("0x") {
        return of(digits, |c| c.is_ascii_hexdigit());
    }
    if let Some(digits) = lower.strip_prefix("0o").or_else(|| lower.strip_prefix("0b")) {
        return of(digits, |c| c.is_ascii_digit());
    }
    let (digits, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let whole = |part: &str| part.chars().any(|c| c.is_ascii_digit());
    of(exponent, |c| c.is_ascii_digit())
        && of(digits, |c| c.is_ascii_digit() || matches!(c, '.' | ':'))
        && digits.matches('.').count() <= 1
        && digits.split(':').all(whole)
}

/// `2026-01-02`, or what begins with it and goes on with a time.
fn is_date(text: &str) -> bool {
    let date = text.split(['T', 't', ' ']).next().unwrap_or_default();
    let parts: Vec<&str> = date.split('-').collect();
    let digits = |part: &str, count: std::ops::RangeInclusive<usize>| {
        count.contains(&part.len()) && part.chars().all(|c| c.is_ascii_digit())
    };
    matches!(parts.as_slice(), [year, month, day] if digits(year, 4..=4) && digits(month, 1..=2) && digits(day, 1..=2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::decode::{self, Limits};

    #[track_caller]
    fn check(value: Value, expected: &str) {
        let text = text(&value);
        assert_eq!(text, expected);
        is_read_again(&text, value);
    }

    /// By readers of YAML 1.2 and of 1.1.
    #[track_caller]
    fn is_read_again(text: &str, value: Value) {
        assert_eq!(serde_yaml::from_str::<Value>(text).unwrap(), value, "{text}");
        assert_eq!(decode::yaml(text.as_bytes(), &Limits::REQUEST).unwrap(), value.into(), "{text}");
    }

    #[test]
    fn a_long_key_has_a_line_of_its_own() {
        let (short, long, longest) = ("s".repeat(128), "l".repeat(129), "m".repeat(5000));
        check(json!({&short: 1, "in": {&long: "x"}}), &format!("in:\n  ? {long}\n  : x\n{short}: 1\n"));
        check(json!({&long: {"a": 1, "b": [1]}}), &format!("? {long}\n: a: 1\n  b:\n  - 1\n"));
        check(json!({&long: [1, {"a": 2}], "z": {}}), &format!("? {long}\n: - 1\n  - a: 2\nz: {{}}\n"));
        check(json!({&long: {}, &longest: []}), &format!("? {long}\n: {{}}\n? {longest}\n: []\n"));
        let breaks = format!("{long}\n'\"");
        is_read_again(&text(&json!({&breaks: "a\nb\n"})), json!({&breaks: "a\nb\n"}));
    }

    #[test]
    fn it_is_laid_out_as_kubectl_does_it() {
        check(
            json!({"apiVersion": "v1", "items": [{"a": 1, "b": [true, null]}, [], {}, [["x"]]], "metadata": {"name": "n", "labels": {}}}),
            "apiVersion: v1\nitems:\n- a: 1\n  b:\n  - true\n  - null\n- []\n- {}\n- - - x\nmetadata:\n  labels: {}\n  name: \"n\"\n",
        );
        check(json!([]), "[]\n");
        check(json!("a"), "a\n");
        check(json!({"cpu": 0.5, "least": -3}), "cpu: 0.5\nleast: -3\n");
    }

    #[test]
    fn long_texts_are_folded_at_spaces() {
        let (words, long) = (["word"; 30].join(" "), "l".repeat(90));
        // It goes on in the next line at the first space behind the width, which begins with the key.
        check(json!({"a": words}), &format!("a: {}\n  {}\n", &words[..79], &words[80..]));
        check(json!({"a": {"b": [words]}}), &format!("a:\n  b:\n  - {}\n    {}\n", &words[..79], &words[80..]));
        check(json!({"a": format!("{long} {long}")}), &format!("a: {long}\n  {long}\n"));
        check(json!({"a": format!("{long}  {long} - x")}), &format!("a: {long}  {long}\n  - x\n"));
        check(json!({"a": format!("'{long} it's")}), &format!("a: '''{long}\n  it''s'\n"));
        check(json!({"a": format!("\t{long} x y ")}), &format!("a: \"\\t{long}\n  x y \"\n"));
        check(json!({format!("{long} x"): 1}), &format!("{long} x: 1\n"));
        for text in ["# x", ": x", "? x", "--- x", "'x'", "\"x", "\\ x", "- x"].map(|end| format!("{long} {end}")) {
            is_read_again(&super::text(&json!({"a": [{"b": text}]})), json!({"a": [{"b": text}]}));
        }
    }

    #[test]
    fn lines_stay_lines() {
        check(json!({"a": "x: 1\n  y\n"}), "a: |\n  x: 1\n    y\n");
        check(json!({"a": {"b": ["x\ny"]}}), "a:\n  b:\n  - |-\n    x\n    y\n");
        check(json!({"a": "x\n\n"}), "a: |+\n  x\n\n");
        check(json!({"a": " x\ny"}), "a: |2-\n   x\n  y\n");
        check(json!({"a": "\tx\ny"}), "a: \"\\tx\\ny\"\n");
        check(json!({"a": "x \ny"}), "a: \"x \\ny\"\n");
        check(json!({"a\nb": 1}), "\"a\\nb\": 1\n");
    }

    #[test]
    fn strings_stay_strings_for_every_reader() {
        for text in [
            "",
            "~",
            "null",
            "Null",
            "true",
            "FALSE",
            "yes",
            "No",
            "on",
            "OFF",
            "y",
            "N",
            "1",
            "-1",
            "+12",
            "0644",
            "0o17",
            "0x1F",
            "0b1",
            "1_000",
            "-_1",
            "1.5",
            ".5",
            "1e3",
            "1E+3",
            "12:30",
            "1:2:3.5",
            ".inf",
            "-.INF",
            ".NaN",
            "<<",
            "=",
            "2026-01-02",
            "2026-11-29T15:18:23Z",
            "2026-1-2 10:00:00",
            "tab\there",
            "\u{7}",
            "\u{feff}",
        ] {
            assert!(super::text(&json!(text)).starts_with('"'), "{text:?}");
        }
        for text in ["- a", "a: b", "a #b", "#a", "'a'", "{a}", "*a", "%a", " a", "a ", "a:", "-", "? a", "---", "@a"] {
            assert!(super::text(&json!(text)).starts_with('\''), "{text:?}");
        }
        for text in ["a", "10Gi", "1.2.3.4", "v1", "a:b", "a#b", "-a", "http://x", "it's", "nope", "100m", "é", "e1"] {
            let plain = super::text(&json!(text));
            assert_eq!(plain, format!("{text}\n"));
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let text = prop_oneof!["[ -~\n\t]{0,12}", ".{0,8}", "[yno~.0-9:_-]{1,6}", "[a-z \"'#:?\t-]{80,200}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::vec((".{0,6}", inner), 0..5)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in values()) {
            is_read_again(&text(&value), value);
        }
    }
}
