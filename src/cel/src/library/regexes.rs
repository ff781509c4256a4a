//! Patterns, in the syntax of RE2.
//!
//! In: a text and a pattern. Out: whether it matches, what matches. Matching is linear in the text; a pattern's size is
//! bounded. Classes such as `\d` are those of ASCII, as in RE2.

use regex::{Regex, RegexBuilder};

use super::{Host, few};
use crate::fault::Fault;
use crate::value::Value;

type Out<'a> = Result<Value<'a>, Fault>;

/// A compiled pattern is at most this large; cel-go's are bounded by the length of their text alone.
const LARGEST: usize = 1024 * 1024;

/// A pattern is nested at most so deep; RE2 allows 1000.
const DEEPEST: u32 = 100;

/// Compiles a pattern of RE2.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    let own = translate(pattern);
    let compiled = RegexBuilder::new(&own).size_limit(LARGEST).dfa_size_limit(LARGEST).nest_limit(DEEPEST).build();
    compiled.map_err(|why| {
        let text = why.to_string();
        let last = text.lines().last().unwrap_or_default();
        format!("error parsing regexp: {}: `{pattern}`", last.trim_start_matches("error: "))
    })
}

/// RE2 to the syntax of our engine: the same but for classes of ASCII and for what brackets mean inside of brackets.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.chars().peekable();
    let mut inside = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                let Some(letter) = rest.next() else {
                    out.push('\\');
                    break;
                };
                match (letter, inside) {
                    ('d', true) => out.push_str("0-9"),
                    ('w', true) => out.push_str("0-9A-Za-z_"),
                    ('s', true) => out.push_str("\\t\\n\\f\\r "),
                    ('d', false) => out.push_str("[0-9]"),
                    ('w', false) => out.push_str("[0-9A-Za-z_]"),
                    ('s', false) => out.push_str("[\\t\\n\\f\\r ]"),
                    ('D', _) => out.push_str("[^0-9]"),
                    ('W', _) => out.push_str("[^0-9A-Za-z_]"),
                    ('S', _) => out.push_str("[^\\t\\n\\f\\r ]"),
                    ('b' | 'B', false) => {
                        out.push_str("(?-u:\\");
                        out.push(letter);
                        out.push(')');
                    }
                    ('Q', _) => {
                        // Everything up to `\E` is itself.
                        let mut quoted = String::new();
                        while let Some(c) = rest.next() {
                            if c == '\\' && rest.peek() == Some(&'E') {
                                rest.next();
                                break;
                            }
                            quoted.push(c);
                        }
                        out.push_str(&regex::escape(&quoted));
                    }
                    _ => {
                        out.push('\\');
                        out.push(letter);
                    }
                }
            }
            '[' if !inside => {
                inside = true;
                out.push('[');
                if rest.peek() == Some(&'^') {
                    out.push('^');
                    rest.next();
                }
                // A bracket right after the opening one is itself.
                if rest.peek() == Some(&']') {
                    out.push_str("\\]");
                    rest.next();
                }
            }
            '[' if rest.peek() == Some(&':') => {
                out.push('[');
                for c in rest.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            ']' => {
                inside = false;
                out.push(']');
            }
            '[' | '&' | '~' if inside => {
                out.push('\\');
                out.push(c);
            }
            '-' if inside && out.ends_with('-') && !out.ends_with("\\-") => out.push_str("\\-"),
            other => out.push(other),
        }
    }
    out
}

impl<'a> Host<'a, '_> {
    fn matching<T>(&mut self, pattern: &str, with: impl FnOnce(&Regex) -> T) -> Result<T, Fault> {
        if let Some(known) = self.patterns.get(pattern) {
            return Ok(with(known));
        }
        compile(pattern).map(|compiled| with(&compiled)).map_err(Fault::new)
    }
}

pub(crate) fn matches<'a>(host: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Text(text), Value::Text(pattern)] = args else { return Err(Fault::no_overload()) };
    host.matching(pattern, |compiled| Value::Bool(compiled.is_match(text)))
}

pub(crate) fn find<'a>(host: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Text(text), Value::Text(pattern)] = args else { return Err(Fault::no_overload()) };
    host.matching(pattern, |compiled| Value::text(compiled.find(text).map_or("", |found| found.as_str())))
        .map_err(illegal)
}

pub(crate) fn find_all<'a>(host: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let (text, pattern, most) = match args {
        [Value::Text(text), Value::Text(pattern)] => (text, pattern, -1),
        [Value::Text(text), Value::Text(pattern), Value::Int(most)] => (text, pattern, *most),
        _ => return Err(Fault::no_overload()),
    };
    few(text.len())?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    host.matching(pattern, |compiled| {
        Value::list(compiled.find_iter(text).take(most).map(|found| Value::text(found.as_str())).collect())
    })
    .map_err(illegal)
}

fn illegal(fault: Fault) -> Fault {
    Fault::new(format!("Illegal regex: {}", fault.text))
}

#[cfg(test)]
mod tests {
    #[track_caller]
    fn check(pattern: &str, text: &str, matches: bool) {
        let compiled = super::compile(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}"));
        assert_eq!(compiled.is_match(text), matches, "{pattern} on {text}");
    }

    #[test]
    fn patterns_of_re2() {
        check(r"^\d+$", "123", true);
        check(r"^\d+$", "١", false);
        check(r"^[\w.-]+$", "a.b-c_1", true);
        check(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "web-1", true);
        check(r"[[]", "[", true);
        check(r"[]a]", "]", true);
        check(r"[^]a]", "a", false);
        check(r"^[a&&b]$", "&", true);
        check(r"^[[:alpha:]]+$", "abc", true);
        check(r"\bfoo\b", "a foo b", true);
        check(r"(?i)^ÄB$", "äb", true);
        check(r"^\Qa.b\E$", "a.b", true);
        check(r"^\Qa.b\E$", "axb", false);
        check(r"^\pL+$", "ab", true);
        check(r"^\S+$", "a b", false);
        assert!(super::compile(r"a(").is_err());
        assert!(super::compile(r"(?=a)").is_err());
        assert!(super::compile(&"(a{1000}){1000}".repeat(2)).is_err());
    }
}
