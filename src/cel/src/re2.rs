//! Patterns in the syntax of RE2, which is Go's: of expressions, and of the schemas of custom resources.
//!
//! In: the text of a pattern. Out: a regular expression, or what is wrong with it. Matching is linear in the text by
//! construction, and a pattern's size and depth are bounded. Classes such as `\d` are those of ASCII, as in RE2. Knows no
//! expressions and no schemas.

use std::iter::Peekable;
use std::str::Chars;

use regex::RegexBuilder;

pub use regex::Regex;

/// A compiled pattern is at most this large; Go's are bounded by the length of their text alone. The longest repetition
/// that Go takes, a thousand of any letter, needs a quarter of it.
const LARGEST: usize = 2 << 20;

/// A pattern is nested at most so deep; RE2 allows 1000.
const DEEPEST: u32 = 100;

/// Compiles a pattern; what is wrong with it is said without the pattern.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let own = translate(pattern);
    let compiled = RegexBuilder::new(&own).size_limit(LARGEST).dfa_size_limit(LARGEST).nest_limit(DEEPEST).build();
    compiled.map_err(|why| {
        let text = why.to_string();
        // The last line says what is wrong; those before draw the pattern.
        let last = text.lines().last().unwrap_or_default();
        last.strip_prefix("error: ").unwrap_or(last).to_owned()
    })
}

/// RE2 to the syntax of our engine: the same but for classes of ASCII, for quoted parts and for what brackets mean inside
/// of brackets.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.chars().peekable();
    let mut inside = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' => escape(&mut out, &mut rest, inside),
            '[' if !inside => {
                inside = true;
                out.push('[');
                if let Some(not) = rest.next_if_eq(&'^') {
                    out.push(not);
                }
                // A bracket right after the opening one is itself.
                if rest.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            // A named class.
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
            // These mean something to our engine within brackets, and nothing to RE2.
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

/// What follows a backslash.
fn escape(out: &mut String, rest: &mut Peekable<Chars<'_>>, inside: bool) {
    let Some(letter) = rest.next() else {
        out.push('\\');
        return;
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
        ('Q', false) => out.push_str(&regex::escape(&quoted(rest))),
        _ => {
            out.push('\\');
            out.push(letter);
        }
    }
}

/// Everything up to `\E`, which is itself.
fn quoted(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut quoted = String::new();
    while let Some(c) = rest.next() {
        if c == '\\' && rest.next_if_eq(&'E').is_some() {
            break;
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, matches: bool) {
        let compiled = compile(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}"));
        assert_eq!(compiled.is_match(text), matches, "{pattern} on {text}");
    }

    #[test]
    fn classes_are_those_of_ascii() {
        check(r"^\d+$", "123", true);
        check(r"^\d+$", "\u{661}", false);
        check(r"^\d+$", "\u{663}", false);
        check(r"^[\w.-]+$", "a.b-c_1", true);
        check(r"^\S+$", "ab", true);
        check(r"^\S+$", "a b", false);
        check(r"^[^\s]+$", "a b", false);
        check(r"^[\S]+$", "\u{a0}", true);
        check(r"^[\D\W]+$", "\u{e9}", true);
        check(r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$", "* * * * */5", true);
        check(r"\bfoo\b", "a foo b", true);
        check(r"\bx\b", "a x b", true);
        check(r"^\pL+$", "ab", true);
        check(r"(?i)^ÄB$", "äb", true);
        check("^é.$", "éx", true);
        check("b", "abc", true);
    }

    #[test]
    fn brackets_mean_what_they_mean_to_re2() {
        check(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "web-1", true);
        check(r"[[]", "[", true);
        check(r"[]a]", "]", true);
        check(r"^[]a]+$", "]a", true);
        check(r"[^]a]", "a", false);
        check(r"^[a&&b]$", "&", true);
        check(r"^[a-z&&b[]+$", "a&[", true);
        check(r"^[+--]+$", "+,-", true);
        check(r"^[[:alpha:]]+$", "abc", true);
    }

    #[test]
    fn what_is_quoted_is_itself() {
        check(r"^\Qa.b\E$", "a.b", true);
        check(r"^\Qa.b\E$", "axb", false);
        check(r"^\Qa\b", r"a\b", true);
    }

    #[track_caller]
    fn refused(pattern: &str, why: &str) {
        assert_eq!(compile(pattern).map(|_| ()), Err(why.to_owned()), "{pattern:.40}");
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        refused("a(", "unclosed group");
        refused("[a", "unclosed character class");
        refused(r"a\", "incomplete escape sequence, reached end of pattern prematurely");
        assert!(compile("(?=x)").is_err());
    }

    #[test]
    fn patterns_are_bounded() {
        assert!(compile("^.{1,1000}$").is_ok() && compile(r"^[\s\S]{0,1000}$").is_ok());
        assert!(compile("((a{1000}){1000}){1000}").is_err());
        assert!(compile(&"(a{1000}){1000}".repeat(2)).is_err());
        let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        assert!(compile(&nested(90)).is_ok() && compile(&nested(110)).is_err());
    }
}
