//! Field paths and the faults that validation finds at them.
//!
//! In: where a checker stands in an object and what it saw. Out: [`FieldError`], with Kubernetes' words.
//! A [`Path`] borrows its parents, so walking a valid object allocates nothing; it never looks at the object.

use std::fmt;

use serde_json::Value;

/// A place in an object, e.g. `spec.containers[0].image`. Lives on the stack of whoever walks the object.
#[derive(Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// A path that starts at `name`.
    pub const fn root(name: &'a str) -> Path<'a> {
        Path { parent: None, step: Step::Name(name) }
    }

    /// The field `name` below this one.
    pub const fn child(&'a self, name: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Name(name) }
    }

    /// Element `index` of this list.
    pub const fn index(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    /// The value under `key` of this map.
    pub const fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Key(key) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Name(name) if self.parent.is_some() => write!(f, ".{name}"),
            Step::Name(name) => f.write_str(name),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        }
    }
}

/// What kind of fault a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Names something that is not there.
    NotFound,
    /// Is missing.
    Required,
    /// Repeats what must be unique.
    Duplicate,
    /// Breaks a rule.
    Invalid,
    /// Breaks a rule, and is too long to be shown.
    Rule,
    /// Is not one of the allowed values.
    NotSupported,
    /// May not be set (so) here.
    Forbidden,
    /// Has too many bytes.
    TooLong,
    /// Has too many elements.
    TooMany,
    /// Could not be judged.
    Internal,
    /// Has the wrong type.
    TypeInvalid,
}

impl Fault {
    /// Kubernetes' words for it.
    pub fn text(self) -> &'static str {
        match self {
            Fault::NotFound => "Not found",
            Fault::Required => "Required value",
            Fault::Duplicate => "Duplicate value",
            Fault::Invalid | Fault::Rule | Fault::TypeInvalid => "Invalid value",
            Fault::NotSupported => "Unsupported value",
            Fault::Forbidden => "Forbidden",
            Fault::TooLong => "Too long",
            Fault::TooMany => "Too many",
            Fault::Internal => "Internal error",
        }
    }

    /// The cause's reason in a Status.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::NotFound => "FieldValueNotFound",
            Fault::Required => "FieldValueRequired",
            Fault::Duplicate => "FieldValueDuplicate",
            Fault::Invalid | Fault::Rule => "FieldValueInvalid",
            Fault::NotSupported => "FieldValueNotSupported",
            Fault::Forbidden => "FieldValueForbidden",
            Fault::TooLong => "FieldValueTooLong",
            Fault::TooMany => "FieldValueTooMany",
            Fault::Internal => "InternalError",
            Fault::TypeInvalid => "FieldValueTypeInvalid",
        }
    }
}

/// One fault of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// What kind of fault.
    pub fault: Fault,
    /// Where, e.g. `spec.replicas`.
    pub field: String,
    /// What stood there; not shown for `Required`, `Forbidden`, `TooLong`, `Rule` and `Internal`.
    pub value: Value,
    /// The rule, in words; may be empty.
    pub detail: String,
}

impl FieldError {
    fn new(fault: Fault, path: &Path<'_>, value: Value, detail: impl Into<String>) -> FieldError {
        FieldError { fault, field: path.to_string(), value, detail: detail.into() }
    }

    /// `field` must be set.
    pub fn required(path: &Path<'_>, detail: impl Into<String>) -> FieldError {
        FieldError::new(Fault::Required, path, Value::Null, detail)
    }

    /// `value` breaks the rule `detail`.
    pub fn invalid(path: &Path<'_>, value: impl Into<Value>, detail: impl Into<String>) -> FieldError {
        FieldError::new(Fault::Invalid, path, value.into(), detail)
    }

    /// Something under `path` breaks the rule `detail`; what stands there says nothing.
    pub fn omitted(path: &Path<'_>, detail: impl Into<String>) -> FieldError {
        FieldError::new(Fault::Rule, path, Value::Null, detail)
    }

    /// `value` is not one of `allowed`.
    pub fn not_supported(path: &Path<'_>, value: impl Into<Value>, allowed: &[&str]) -> FieldError {
        let mut detail = String::new();
        for (i, one) in allowed.iter().enumerate() {
            detail.push_str(if i == 0 { "supported values: " } else { ", " });
            detail.push_str(&quote(one));
        }
        FieldError::new(Fault::NotSupported, path, value.into(), detail)
    }

    /// The field may not be set (so) here.
    pub fn forbidden(path: &Path<'_>, detail: impl Into<String>) -> FieldError {
        FieldError::new(Fault::Forbidden, path, Value::Null, detail)
    }

    /// `value` occurs twice.
    pub fn duplicate(path: &Path<'_>, value: impl Into<Value>) -> FieldError {
        FieldError::new(Fault::Duplicate, path, value.into(), "")
    }

    /// `value` names something that is not there.
    pub fn not_found(path: &Path<'_>, value: impl Into<Value>) -> FieldError {
        FieldError::new(Fault::NotFound, path, value.into(), "")
    }

    /// The field has more than `most` bytes.
    pub fn too_long(path: &Path<'_>, most: usize) -> FieldError {
        let unit = if most == 1 { "byte" } else { "bytes" };
        FieldError::new(Fault::TooLong, path, Value::Null, format!("may not be more than {most} {unit}"))
    }

    /// The field has `actual` elements where at most `most` are allowed.
    pub fn too_many(path: &Path<'_>, actual: usize, most: usize) -> FieldError {
        let unit = if most == 1 { "item" } else { "items" };
        FieldError::new(Fault::TooMany, path, Value::from(actual), format!("must have at most {most} {unit}"))
    }

    /// `value` has the wrong type.
    pub fn type_invalid(path: &Path<'_>, value: impl Into<Value>, detail: impl Into<String>) -> FieldError {
        FieldError::new(Fault::TypeInvalid, path, value.into(), detail)
    }

    /// The field could not be judged.
    pub fn internal(path: &Path<'_>, detail: impl Into<String>) -> FieldError {
        FieldError::new(Fault::Internal, path, Value::Null, detail)
    }

    /// The message without the field: what a Status cause says.
    pub fn body(&self) -> String {
        let mut text = self.fault.text().to_string();
        let hidden =
            matches!(self.fault, Fault::Required | Fault::Forbidden | Fault::TooLong | Fault::Internal | Fault::Rule);
        if !hidden {
            text.push_str(": ");
            match &self.value {
                Value::String(s) => text.push_str(&quote(s)),
                other => text.push_str(&other.to_string()),
            }
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// `text` in double quotes, with Go's escapes (`%q`).
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: FieldError, text: &str) {
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn faults_read_as_kubernetes_writes_them() {
        let spec = Path::root("spec");
        let list = spec.child("containers");
        let first = list.index(0);
        check(FieldError::required(&first.child("image"), ""), "spec.containers[0].image: Required value");
        check(
            FieldError::invalid(&spec.child("replicas"), -1, "must be greater than or equal to 0"),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        );
        check(
            FieldError::not_supported(&spec.child("dnsPolicy"), "x", &["Default", "None"]),
            "spec.dnsPolicy: Unsupported value: \"x\": supported values: \"Default\", \"None\"",
        );
        check(FieldError::too_long(&spec.key("a"), 63), "spec[a]: Too long: may not be more than 63 bytes");
        check(FieldError::too_many(&list, 9, 3), "spec.containers: Too many: 9: must have at most 3 items");
        check(FieldError::duplicate(&first.child("name"), "x"), "spec.containers[0].name: Duplicate value: \"x\"");
        check(FieldError::forbidden(&spec, "no"), "spec: Forbidden: no");
    }

    #[test]
    fn quoting_escapes_like_go() {
        assert_eq!(quote("a\"b\\c\n\u{1}é"), "\"a\\\"b\\\\c\\n\\x01é\"");
    }
}
