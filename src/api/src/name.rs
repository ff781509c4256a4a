//! The syntaxes of names: DNS labels and subdomains, label keys and values, ports, environment variables, IPs.
//!
//! In: text. Out: nothing, or every broken rule in Kubernetes' words. Never normalises.

mod net;
mod syntax;

use std::borrow::Cow;
use std::fmt;

pub use net::{check_cidr, check_ip, parse_ip};

/// The rules that a text breaks.
pub type Faults = Vec<Cow<'static, str>>;

/// Longest DNS label.
const LABEL: usize = 63;
/// Longest DNS subdomain.
const SUBDOMAIN: usize = 253;

const LABEL_FORM: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED_FORM: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_RULE: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// What is wrong with a name that was given as one string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct NameFault(pub Faults);

/// A name that the API server has accepted: an RFC 1123 label of at most 63 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(String);

impl Label {
    /// Checks the text.
    pub fn parse(text: &str) -> Result<Label, NameFault> {
        check_label(text).map_err(NameFault)?;
        Ok(Label(text.to_string()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name made of RFC 1123 labels and dots, of at most 253 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subdomain(String);

impl Subdomain {
    /// Checks the text.
    pub fn parse(text: &str) -> Result<Subdomain, NameFault> {
        check_subdomain(text).map_err(NameFault)?;
        Ok(Subdomain(text.to_string()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subdomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Kubernetes' sentence about a form; the odd blanks are its own.
pub fn form(rule: &str, form: &str, examples: &[&str]) -> String {
    let mut text = format!("{rule} (");
    for (i, example) in examples.iter().enumerate() {
        text.push_str(if i == 0 { "e.g. " } else { " or " });
        text.push_str(&format!("'{example}', "));
    }
    text.push_str(&format!("regex used for validation is '{form}')"));
    text
}

fn characters(most: usize) -> Cow<'static, str> {
    format!("must be no more than {most} characters").into()
}

/// Kubernetes' sentence about a range of integers.
pub fn range(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

fn verdict(faults: Faults) -> Result<(), Faults> {
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// A DNS-1123 label: `my-name`.
pub fn check_label(text: &str) -> Result<(), Faults> {
    let mut faults = Faults::new();
    if text.len() > LABEL {
        faults.push(characters(LABEL));
    }
    if !syntax::label(text) {
        if syntax::subdomain(text) {
            faults.push("must not contain dots".into());
        } else {
            let rule = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                        start and end with an alphanumeric character";
            faults.push(form(rule, LABEL_FORM, &["my-name", "123-abc"]).into());
        }
    }
    verdict(faults)
}

/// A DNS-1123 subdomain: `example.com`.
pub fn check_subdomain(text: &str) -> Result<(), Faults> {
    let mut faults = Faults::new();
    if text.len() > SUBDOMAIN {
        faults.push(characters(SUBDOMAIN));
    }
    if !syntax::subdomain(text) {
        let rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                    must start and end with an alphanumeric character";
        let whole = format!("{LABEL_FORM}(\\.{LABEL_FORM})*");
        faults.push(form(rule, &whole, &["example.com"]).into());
    }
    verdict(faults)
}

/// A DNS-1035 label: starts with a letter.
pub fn check_label_1035(text: &str) -> Result<(), Faults> {
    let mut faults = Faults::new();
    if text.len() > LABEL {
        faults.push(characters(LABEL));
    }
    if !(syntax::label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())) {
        let rule = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
                    character, and end with an alphanumeric character";
        faults.push(form(rule, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]).into());
    }
    verdict(faults)
}

/// A wildcard subdomain: `*.example.com`.
pub fn check_wildcard_subdomain(text: &str) -> Result<(), Faults> {
    let mut faults = Faults::new();
    if text.len() > SUBDOMAIN {
        faults.push(characters(SUBDOMAIN));
    }
    if !text.strip_prefix("*.").is_some_and(syntax::subdomain) {
        let rule = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must \
                    consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
        let whole = format!("\\*\\.{LABEL_FORM}(\\.{LABEL_FORM})*");
        faults.push(form(rule, &whole, &["*.example.com"]).into());
    }
    verdict(faults)
}

/// A subdomain in which underscores are allowed (DNS search domains).
pub fn check_subdomain_with_underscore(text: &str) -> Result<(), Faults> {
    let mut faults = Faults::new();
    if text.len() > SUBDOMAIN {
        faults.push(characters(SUBDOMAIN));
    }
    if !text.split('.').all(syntax::label_with_underscore) {
        let rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', \
                    and must start and end with an alphanumeric character";
        let one = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
        faults.push(form(rule, &format!("{one}(\\.{one})*"), &["example.com"]).into());
    }
    verdict(faults)
}

/// A qualified name, as keys of labels, annotations, resources and finalizers are: `example.com/MyName`.
pub fn check_qualified(text: &str) -> Result<(), Faults> {
    let mut faults = Faults::new();
    let examples = &["MyName", "my.name", "123-abc"];
    let mut parts = text.split('/');
    let (first, second, third) = (parts.next().unwrap_or(""), parts.next(), parts.next());
    let name = match (second, third) {
        (None, _) => first,
        (Some(name), None) => {
            if first.is_empty() {
                faults.push("prefix part must be non-empty".into());
            } else {
                if first.len() > SUBDOMAIN {
                    faults.push(format!("prefix part must be no more than {SUBDOMAIN} bytes").into());
                }
                if !syntax::subdomain(first)
                    && let Err(broken) = check_subdomain(first)
                {
                    let last = broken.last().cloned().unwrap_or_default();
                    faults.push(format!("prefix part {last}").into());
                }
            }
            name
        }
        (Some(_), Some(_)) => {
            let rule = form(&format!("a valid label key {QUALIFIED_RULE}"), QUALIFIED_FORM, examples);
            let tail = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            faults.push(format!("{rule} {tail}").into());
            return Err(faults);
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".into());
    } else if name.len() > LABEL {
        faults.push(format!("name part must be no more than {LABEL} bytes").into());
    }
    if !syntax::qualified(name) {
        faults.push(form(&format!("name part {QUALIFIED_RULE}"), QUALIFIED_FORM, examples).into());
    }
    verdict(faults)
}

/// A label's value; may be empty.
pub fn check_label_value(text: &str) -> Result<(), Faults> {
    let mut faults = Faults::new();
    if text.len() > LABEL {
        faults.push(format!("must be no more than {LABEL} bytes").into());
    }
    if !text.is_empty() && !syntax::qualified(text) {
        let rule = format!("a valid label must be an empty string or {}", &QUALIFIED_RULE["must ".len()..]);
        faults.push(form(&rule, &format!("({QUALIFIED_FORM})?"), &["MyValue", "my_value", "12345"]).into());
    }
    verdict(faults)
}

/// A name that can stand in a URL path (RBAC objects).
pub fn check_path_segment(text: &str) -> Result<(), Faults> {
    let mut faults = Faults::new();
    match text {
        "." | ".." => faults.push(format!("may not be '{text}'").into()),
        _ => faults.extend(
            ["/", "%"].iter().filter(|bad| text.contains(**bad)).map(|bad| format!("may not contain '{bad}'").into()),
        ),
    }
    verdict(faults)
}

/// A port's number.
pub fn check_port(port: i64) -> Result<(), Faults> {
    if (1..=65535).contains(&port) { Ok(()) } else { Err(vec![range(1, 65535).into()]) }
}

/// A port's name.
pub fn check_port_name(text: &str) -> Result<(), Faults> {
    let mut faults = Faults::new();
    if text.len() > 15 {
        faults.push(characters(15));
    }
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.is_empty() || !text.bytes().all(allowed) {
        faults.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        faults.push("must contain at least one letter (a-z)".into());
    }
    if text.contains("--") {
        faults.push("must not contain consecutive hyphens".into());
    }
    if text.starts_with('-') || text.ends_with('-') {
        faults.push("must not begin or end with a hyphen".into());
    }
    verdict(faults)
}

/// An environment variable's name: printable ASCII without `=`.
pub fn check_env_name(text: &str) -> Result<(), Faults> {
    let mut faults = Faults::new();
    if text.is_empty() {
        faults.push("environment variable name must be non-empty".into());
    }
    if text.bytes().any(|b| !(b' '..=b'~').contains(&b) || b == b'=') {
        faults.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='".into(),
        );
    }
    verdict(faults)
}

/// A key of a ConfigMap or Secret: can be a file's name.
pub fn check_config_key(text: &str) -> Result<(), Faults> {
    let mut faults = Faults::new();
    if text.len() > SUBDOMAIN {
        faults.push(characters(SUBDOMAIN));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if text.is_empty() || !text.bytes().all(allowed) {
        let rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        faults.push(form(rule, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]).into());
    }
    match text {
        "." => faults.push("must not be '.'".into()),
        ".." => faults.push("must not be '..'".into()),
        _ if text.starts_with("..") => faults.push("must not start with '..'".into()),
        _ => {}
    }
    verdict(faults)
}

/// The name of an HTTP header.
pub fn check_header_name(text: &str) -> Result<(), Faults> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Ok(());
    }
    let rule = "a valid HTTP header must consist of alphanumeric characters or '-'";
    Err(vec![form(rule, "[-A-Za-z0-9]+", &["X-Header-Name"]).into()])
}

/// A percentage: `25%`.
pub fn check_percent(text: &str) -> Result<(), Faults> {
    let digits = text.strip_suffix('%').unwrap_or("");
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(());
    }
    let rule = "a valid percent string must be a numeric string followed by an ending '%'";
    Err(vec![form(rule, "[0-9]+%", &["1%", "93%"]).into()])
}

/// `check` on a prefix that gets a suffix appended: a trailing dash is fine.
pub fn prefix(check: fn(&str) -> Result<(), Faults>, text: &str) -> Result<(), Faults> {
    match text.len() > 1 && text.ends_with('-') {
        true => check(&format!("{}a", &text[..text.len() - 1])),
        false => check(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(rule: fn(&str) -> Result<(), Faults>, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(rule(text), Ok(()), "{text}");
        }
        for text in bad {
            assert!(rule(text).is_err(), "{text}");
        }
    }

    #[test]
    fn forms() {
        let long = "a".repeat(64);
        check(check_label, &["a", "a-1", "1"], &["", "A", "a-", "-a", "a.b", "a_b", &long, "ä"]);
        check(check_subdomain, &["a.b-c.1", "a"], &["", ".a", "a.", "a..b", "A.b", "a_b"]);
        check(check_label_1035, &["a1", "a-b"], &["1a", "", "a-"]);
        check(check_qualified, &["a", "A_b.c", "x.y/Z"], &["", "/a", "a/", "A/b", "a/b/c", "-a", "a b"]);
        check(check_label_value, &["", "a", "A.b_c-1"], &["-", "a/b", &long]);
        check(check_path_segment, &["a:b", "system:x"], &[".", "..", "a/b", "a%"]);
        check(check_port_name, &["http", "a-1"], &["", "HTTP", "1", "a--b", "-a", "abcdefghijklmnop"]);
        check(check_env_name, &["A", "1a b", "a.b"], &["", "a=b", "é"]);
        check(check_config_key, &["a.b", ".a", "A_b-"], &["", ".", "..", "..a", "a/b"]);
        check(check_percent, &["1%"], &["%", "1", "a%"]);
        check(check_wildcard_subdomain, &["*.a.b"], &["*", "a.b", "*.", "**.a"]);
    }

    #[test]
    fn messages_are_kubernetes() {
        assert_eq!(
            check_label("A").unwrap_err(),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
              end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(
            check_subdomain("A").unwrap_err(),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
              start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(
            check_label_value("a b").unwrap_err(),
            ["a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
              start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
              validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"]
        );
        assert_eq!(check_label("a.b").unwrap_err(), ["must not contain dots"]);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".*") {
            for rule in [check_label, check_subdomain, check_label_1035, check_qualified, check_label_value,
                check_path_segment, check_port_name, check_env_name, check_config_key, check_percent,
                check_header_name, check_wildcard_subdomain, check_subdomain_with_underscore] {
                let _ = rule(&text);
                let _ = prefix(rule, &text);
            }
        }
    }
}
