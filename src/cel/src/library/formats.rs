//! Named formats of texts: labels, names, identifiers.
//!
//! In: the name of a format, a text. Out: what is wrong with the text, in Kubernetes' words.

use base64::Engine as _;

use super::{Host, times, urls};
use crate::fault::Fault;
use crate::value::Value;

type Out<'a> = Result<Value<'a>, Fault>;

/// A format.
#[derive(Debug)]
pub struct Format {
    /// Its name.
    pub(crate) name: &'static str,
    /// By how long a pattern its cost is told.
    pub(crate) size: u64,
    check: fn(&str) -> Vec<String>,
}

static FORMATS: [Format; 13] = [
    Format { name: "dns1123Label", size: 30, check: |text| label(text) },
    Format { name: "dns1123Subdomain", size: 60, check: |text| subdomain(text) },
    Format { name: "dns1035Label", size: 30, check: |text| old_label(text) },
    Format { name: "qualifiedName", size: 60, check: qualified },
    Format { name: "dns1123LabelPrefix", size: 30, check: |text| label(&prefix(text)) },
    Format { name: "dns1123SubdomainPrefix", size: 60, check: |text| subdomain(&prefix(text)) },
    Format { name: "dns1035LabelPrefix", size: 30, check: |text| old_label(&prefix(text)) },
    Format { name: "labelValue", size: 40, check: label_value },
    Format { name: "uri", size: 1800, check: |text| urls::Url::parse(text).err().into_iter().collect() },
    Format { name: "uuid", size: 90, check: |text| unless(is_uuid(text), "does not match the UUID format") },
    Format { name: "byte", size: 82, check: |text| unless(is_base64(text), "invalid base64") },
    Format { name: "date", size: 100, check: |text| unless(is_date(text), "invalid date") },
    Format {
        name: "datetime",
        size: 100,
        check: |text| unless(times::Time::parse(text).is_some(), "invalid datetime"),
    },
];

fn unless(fine: bool, why: &str) -> Vec<String> {
    if fine { Vec::new() } else { vec![why.to_owned()] }
}

/// A prefix may end with a dash, since more comes.
fn prefix(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(rest) => format!("{rest}a"),
        None => text.to_owned(),
    }
}

fn too_long(text: &str, most: usize) -> Option<String> {
    (text.len() > most).then(|| format!("must be no more than {most} bytes"))
}

fn regex_error(message: &str, pattern: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}'")).collect();
    format!("{message} (e.g. {}, regex used for validation is '{pattern}')", examples.join(",  or "))
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|b| inner(*b))
        && bytes.last().is_some_and(|b| inner(*b))
        && bytes.iter().all(|b| inner(*b) || *b == b'-')
}

fn label(text: &str) -> Vec<String> {
    let mut faults: Vec<String> = too_long(text, 63).into_iter().collect();
    if !is_label(text) {
        if text.split('.').all(is_label) && text.contains('.') {
            faults.push("must not contain dots".to_owned());
        } else {
            faults.push(regex_error(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                 and end with an alphanumeric character",
                "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
                &["my-name", "123-abc"],
            ));
        }
    }
    faults
}

fn subdomain(text: &str) -> Vec<String> {
    let mut faults: Vec<String> = too_long(text, 253).into_iter().collect();
    if !text.split('.').all(is_label) {
        faults.push(regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character",
            "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
            &["example.com"],
        ));
    }
    faults
}

fn old_label(text: &str) -> Vec<String> {
    let mut faults: Vec<String> = too_long(text, 63).into_iter().collect();
    if !is_label(text) || text.starts_with(|c: char| c.is_ascii_digit()) {
        faults.push(regex_error(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    faults
}

fn is_name(text: &str) -> bool {
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

fn qualified(text: &str) -> Vec<String> {
    const MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                           alphanumeric character";
    const PATTERN: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
    let mut faults = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            } else {
                faults.extend(subdomain(prefix).into_iter().map(|why| format!("prefix part {why}")));
            }
            name
        }
        _ => {
            let why = regex_error(MESSAGE, PATTERN, &["MyName", "my.name", "123-abc"]);
            return vec![format!(
                "a qualified name {why} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else {
        faults.extend(too_long(name, 63).map(|why| format!("name part {why}")));
    }
    if !is_name(name) {
        faults.push(format!("name part {}", regex_error(MESSAGE, PATTERN, &["MyName", "my.name", "123-abc"])));
    }
    faults
}

fn label_value(text: &str) -> Vec<String> {
    let mut faults: Vec<String> = too_long(text, 63).into_iter().collect();
    if !text.is_empty() && !is_name(text) {
        faults.push(regex_error(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character",
            "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
            &["MyValue", "my_value", "12345"],
        ));
    }
    faults
}

fn is_uuid(text: &str) -> bool {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    let dashes_fit =
        !text.contains('-') || text.match_indices('-').map(|(at, _)| at).all(|at| [8, 13, 18, 23].contains(&at));
    digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit) && dashes_fit
}

fn is_base64(text: &str) -> bool {
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && times::Time::parse(&format!("{text}T00:00:00Z")).is_some()
}

pub(crate) fn named<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Text(name)] = args else { return Err(Fault::no_overload()) };
    let found = FORMATS.iter().find(|format| format.name == &**name);
    Ok(found.map_or(Value::Optional(None), |format| Value::some(Value::Format(format))))
}

/// The format at a place of the list.
pub(crate) fn by_place<'a, const PLACE: usize>(_: &mut Host<'a, '_>, _: &[Value<'a>]) -> Out<'a> {
    FORMATS.get(PLACE).map(Value::Format).ok_or_else(Fault::no_overload)
}

pub(crate) fn validate<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Format(format), Value::Text(text)] = args else { return Err(Fault::no_overload()) };
    let faults = (format.check)(text);
    if faults.is_empty() {
        return Ok(Value::Optional(None));
    }
    Ok(Value::some(Value::list(faults.into_iter().map(Value::text).collect())))
}
