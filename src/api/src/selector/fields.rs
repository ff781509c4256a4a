//! Field selectors: `status.phase!=Running,spec.nodeName=a`.
//!
//! In: the string form, with `\\`, `\,` and `\=` escaped in values. Out: [`FieldSelector`], its judgement and text.
//! Which fields a kind has is said in `crate::fields`.

use std::fmt;

use super::{Lookup, SelectorError};

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    /// The field, e.g. `status.phase`.
    pub field: String,
    /// The value compared with.
    pub value: String,
    /// Equality holds (`=`, `==`) or does not (`!=`).
    pub equal: bool,
}

/// Conditions on fields that must all hold; an absent field reads as empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

impl FieldSelector {
    /// Matches all.
    pub const fn everything() -> FieldSelector {
        FieldSelector { terms: Vec::new() }
    }

    /// Of these conditions.
    pub fn of(terms: Vec<FieldTerm>) -> FieldSelector {
        FieldSelector { terms }
    }

    /// One field has one value.
    pub fn equal(field: &str, value: &str) -> FieldSelector {
        FieldSelector { terms: vec![FieldTerm { field: field.into(), value: value.into(), equal: true }] }
    }

    /// From the string form.
    pub fn parse(text: &str) -> Result<FieldSelector, SelectorError> {
        let mut terms = Vec::new();
        for part in split_terms(text) {
            if part.is_empty() {
                continue;
            }
            let Some((field, op, value)) = split_term(part) else {
                let message = format!("invalid selector: '{text}'; can't understand '{part}'");
                return Err(SelectorError::Field(message));
            };
            let value = unescape(value)?;
            terms.push(FieldTerm { field: field.to_string(), value, equal: op != "!=" });
        }
        Ok(FieldSelector { terms })
    }

    /// The conditions.
    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// It matches all objects.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value that the selector demands of `field`, if it demands one.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|t| t.equal && t.field == field).map(|t| t.value.as_str())
    }

    /// It matches these fields.
    pub fn matches(&self, fields: &(impl Lookup + ?Sized)) -> bool {
        self.terms.iter().all(|t| (fields.value(&t.field).unwrap_or("") == t.value) == t.equal)
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.terms.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let op = if term.equal { "=" } else { "!=" };
            let value = term.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{op}{value}", term.field)?;
        }
        Ok(())
    }
}

/// Parts between commas that are not escaped.
fn split_terms(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// At the first operator that stands: field, operator, escaped value.
fn split_term(part: &str) -> Option<(&str, &str, &str)> {
    (0..part.len()).filter(|i| part.is_char_boundary(*i)).find_map(|i| {
        let rest = &part[i..];
        let op = ["!=", "==", "="].into_iter().find(|op| rest.starts_with(op))?;
        Some((&part[..i], op, &rest[op.len()..]))
    })
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => out.push(next),
                Some(next) => {
                    return Err(SelectorError::Field(format!(
                        "invalid field selector: invalid escape sequence: \\{next}"
                    )));
                }
                None => {
                    return Err(SelectorError::Field("invalid field selector: invalid escape sequence: \\".into()));
                }
            },
            ',' | '=' => {
                let message = format!("invalid field selector: unescaped character in value: {}", c as u32);
                return Err(SelectorError::Field(message));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, canonical: &str, yes: &[(&str, &str)], matches: bool) {
        let selector = FieldSelector::parse(text).unwrap();
        assert_eq!(selector.to_string(), canonical);
        assert_eq!(selector.matches(yes), matches, "{text}");
    }

    #[test]
    fn terms_compare_and_absent_fields_are_empty() {
        check("", "", &[], true);
        check("a=b", "a=b", &[("a", "b")], true);
        check("a==b,c!=d", "a=b,c!=d", &[("a", "b")], true);
        check("a=", "a=", &[], true);
        check("a!=", "a!=", &[], false);
        check(
            "spec.nodeName=x,status.phase!=Failed",
            "spec.nodeName=x,status.phase!=Failed",
            &[("spec.nodeName", "x")],
            true,
        );
        check("a=b\\,c\\=d\\\\", "a=b\\,c\\=d\\\\", &[("a", "b,c=d\\")], true);
    }

    #[test]
    fn nonsense_is_named() {
        let error = FieldSelector::parse("a=b,foo").unwrap_err();
        assert_eq!(error.to_string(), "invalid selector: 'a=b,foo'; can't understand 'foo'");
        assert!(FieldSelector::parse("a=b=c").is_err());
        assert!(FieldSelector::parse("a=b\\x").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".*") {
            if let Ok(parsed) = FieldSelector::parse(&text) {
                prop_assert_eq!(FieldSelector::parse(&parsed.to_string()).unwrap(), parsed);
            }
        }
    }
}
