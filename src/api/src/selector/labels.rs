//! Label selectors: requirements that must all hold.
//!
//! In: the string form. Out: [`LabelSelector`], its judgement of a label map, its canonical text.
//! The object form is read in `object.rs`.

use std::fmt;

use super::scan::{Scanner, Token};
use super::{Lookup, SelectorError};
use crate::field::{FieldError, Path};
use crate::name;

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `=`
    Equals,
    /// `==`
    DoubleEquals,
    /// `!=`; also holds without the label.
    NotEquals,
    /// `in`
    In,
    /// `notin`; also holds without the label.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
    /// The label is an integer above the value.
    GreaterThan,
    /// The label is an integer below the value.
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    op: Op,
    /// Sorted; of the size that `op` takes.
    values: Vec<String>,
}

impl Requirement {
    /// A checked requirement; `path` is where it stands, for the error's sake.
    pub fn new(
        key: &str,
        op: Op,
        values: Vec<String>,
        path: Option<&Path<'_>>,
    ) -> Result<Requirement, Vec<FieldError>> {
        // A selector in a query stands nowhere; Kubernetes prints Go's nil path.
        let nowhere = Path::root("<nil>");
        let root_values = Path::root("values");
        let (key_path, values_path) = (path.map(|p| p.child("key")), path.map(|p| p.child("values")));
        let (at_key, at_values) = (key_path.as_ref().unwrap_or(&nowhere), values_path.as_ref().unwrap_or(&root_values));
        let mut errors = Vec::new();
        if let Err(faults) = name::check_qualified(key) {
            errors.push(FieldError::invalid(at_key, key, faults.join("; ")));
        }
        let shape = match op {
            Op::In | Op::NotIn if values.is_empty() => Some("for 'in', 'notin' operators, values set can't be empty"),
            Op::Equals | Op::DoubleEquals | Op::NotEquals if values.len() != 1 => {
                Some("exact-match compatibility requires one single value")
            }
            Op::Exists | Op::DoesNotExist if !values.is_empty() => {
                Some("values set must be empty for exists and does not exist")
            }
            Op::GreaterThan | Op::LessThan if values.len() != 1 => {
                Some("for 'Gt', 'Lt' operators, exactly one value is required")
            }
            _ => None,
        };
        if let Some(rule) = shape {
            errors.push(FieldError::invalid(at_values, values.clone(), rule));
        }
        for (i, value) in values.iter().enumerate() {
            let element = at_values.index(i);
            let numeric = matches!(op, Op::GreaterThan | Op::LessThan);
            if numeric && value.parse::<i64>().is_err() {
                let rule = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(FieldError::invalid(&element, value.as_str(), rule));
            }
            if let Err(faults) = name::check_label_value(value) {
                errors.push(FieldError::invalid(&element.key(key), value.as_str(), faults.join("; ")));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut values = values;
        values.sort();
        values.dedup();
        Ok(Requirement { key: key.to_string(), op, values })
    }

    /// The label's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The comparison.
    pub fn op(&self) -> Op {
        self.op
    }

    /// The values, sorted.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// It holds for these labels.
    pub fn matches(&self, labels: &(impl Lookup + ?Sized)) -> bool {
        let value = labels.value(&self.key);
        let listed = |v: &str| self.values.iter().any(|one| one == v);
        let compared = |v: &str| Some((v.parse::<i64>().ok()?, self.values.first()?.parse::<i64>().ok()?));
        match self.op {
            Op::In | Op::Equals | Op::DoubleEquals => value.is_some_and(listed),
            Op::NotIn | Op::NotEquals => !value.is_some_and(listed),
            Op::Exists => value.is_some(),
            Op::DoesNotExist => value.is_none(),
            Op::GreaterThan => value.and_then(compared).is_some_and(|(have, bound)| have > bound),
            Op::LessThan => value.and_then(compared).is_some_and(|(have, bound)| have < bound),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let values = self.values.join(",");
        match self.op {
            Op::Equals => write!(f, "{key}={values}"),
            Op::DoubleEquals => write!(f, "{key}=={values}"),
            Op::NotEquals => write!(f, "{key}!={values}"),
            Op::In => write!(f, "{key} in ({values})"),
            Op::NotIn => write!(f, "{key} notin ({values})"),
            Op::Exists => write!(f, "{key}"),
            Op::DoesNotExist => write!(f, "!{key}"),
            Op::GreaterThan => write!(f, "{key}>{values}"),
            Op::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// Which labels are meant. Without requirements: all, unless it was absent where absence means none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSelector {
    /// Sorted by key.
    requirements: Vec<Requirement>,
    none: bool,
}

impl Default for LabelSelector {
    fn default() -> Self {
        LabelSelector::everything()
    }
}

impl LabelSelector {
    /// Matches all.
    pub const fn everything() -> LabelSelector {
        LabelSelector { requirements: Vec::new(), none: false }
    }

    /// Matches none.
    pub const fn nothing() -> LabelSelector {
        LabelSelector { requirements: Vec::new(), none: true }
    }

    /// Of checked requirements.
    pub fn of(mut requirements: Vec<Requirement>) -> LabelSelector {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        LabelSelector { requirements, none: false }
    }

    /// Of the equality of every pair, unchecked: for selectors such as a Service's, which hold label maps.
    pub fn equal<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> LabelSelector {
        let one =
            |(key, value): (&str, &str)| Requirement { key: key.into(), op: Op::Equals, values: vec![value.into()] };
        LabelSelector::of(pairs.map(one).collect())
    }

    /// From the string form.
    pub fn parse(text: &str) -> Result<LabelSelector, SelectorError> {
        let mut scanner = Scanner::new(text);
        let mut requirements = Vec::new();
        loop {
            match scanner.peek(false) {
                Token::End if requirements.is_empty() => break,
                // `in` and `notin` are fine as keys.
                Token::Word(_) | Token::Not | Token::In | Token::NotIn => {
                    let made = requirement(&mut scanner).map_err(|error| match error {
                        SelectorError::Syntax(text) => {
                            SelectorError::Syntax(format!("unable to parse requirement: {text}"))
                        }
                        other => other,
                    });
                    requirements.push(made?);
                }
                other => return fault(other.text(), "!, identifier, or 'end of string'"),
            }
            match scanner.take(false) {
                Token::End => break,
                Token::Comma => match scanner.peek(true) {
                    Token::Word(_) | Token::Not => {}
                    other => return fault(other.text(), "identifier after ','"),
                },
                other => return fault(other.text(), "',' or 'end of string'"),
            }
        }
        Ok(LabelSelector::of(requirements))
    }

    /// The requirements, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// It matches all labels.
    pub fn is_everything(&self) -> bool {
        !self.none && self.requirements.is_empty()
    }

    /// It matches these labels.
    pub fn matches(&self, labels: &(impl Lookup + ?Sized)) -> bool {
        !self.none && self.requirements.iter().all(|r| r.matches(labels))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

fn fault<T>(found: &str, expected: &str) -> Result<T, SelectorError> {
    Err(SelectorError::Syntax(format!("found '{found}', expected: {expected}")))
}

fn requirement(scanner: &mut Scanner<'_>) -> Result<Requirement, SelectorError> {
    let absent = scanner.peek(true) == Token::Not;
    if absent {
        scanner.take(true);
    }
    let key = match scanner.take(true) {
        Token::Word(key) => key,
        other => return fault(other.text(), "identifier"),
    };
    let op = match (absent, scanner.peek(false)) {
        (true, _) => Op::DoesNotExist,
        (false, Token::End | Token::Comma) => Op::Exists,
        (false, token) => {
            scanner.take(false);
            match token {
                Token::In => Op::In,
                Token::NotIn => Op::NotIn,
                Token::Equal => Op::Equals,
                Token::DoubleEqual => Op::DoubleEquals,
                Token::NotEqual => Op::NotEquals,
                Token::Greater => Op::GreaterThan,
                Token::Less => Op::LessThan,
                other => return fault(other.text(), "in, notin, =, ==, !=, gt, lt"),
            }
        }
    };
    let values = match op {
        Op::Exists | Op::DoesNotExist => Vec::new(),
        Op::In | Op::NotIn => set(scanner)?,
        _ => vec![exact(scanner)?],
    };
    Requirement::new(key, op, values, None).map_err(SelectorError::Values)
}

/// The value after `=`, which may be empty.
fn exact(scanner: &mut Scanner<'_>) -> Result<String, SelectorError> {
    match scanner.peek(true) {
        Token::End | Token::Comma => Ok(String::new()),
        Token::Word(word) => {
            scanner.take(true);
            Ok(word.to_string())
        }
        other => fault(other.text(), "identifier"),
    }
}

/// The values in brackets after `in`; empty ones count.
fn set(scanner: &mut Scanner<'_>) -> Result<Vec<String>, SelectorError> {
    match scanner.take(true) {
        Token::Open => {}
        other => return Err(SelectorError::Syntax(format!("found '{}' expected: '('", other.text()))),
    }
    if !matches!(scanner.peek(true), Token::Word(_) | Token::Comma | Token::Close) {
        return fault(scanner.peek(true).text(), "',', ')' or identifier");
    }
    let mut values = Vec::new();
    let mut pending = true;
    loop {
        match scanner.take(true) {
            Token::Word(word) if pending => {
                values.push(word.to_string());
                pending = false;
            }
            Token::Comma => {
                if pending {
                    values.push(String::new());
                }
                pending = true;
            }
            Token::Close => {
                if pending {
                    values.push(String::new());
                }
                return Ok(values);
            }
            other if pending => return fault(other.text(), "',', or identifier"),
            other => return fault(other.text(), "',' or ')'"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(text: &str) -> Vec<(&str, &str)> {
        text.split(',').filter_map(|pair| pair.split_once('=')).collect()
    }

    #[track_caller]
    fn check(selector: &str, canonical: &str, yes: &[&str], no: &[&str]) {
        let parsed = LabelSelector::parse(selector).unwrap();
        assert_eq!(parsed.to_string(), canonical);
        for row in yes {
            assert!(parsed.matches(&labels(row)), "{selector} should match {row}");
        }
        for row in no {
            assert!(!parsed.matches(&labels(row)), "{selector} should not match {row}");
        }
    }

    #[track_caller]
    fn refuse(selector: &str, message: &str) {
        assert_eq!(LabelSelector::parse(selector).unwrap_err().to_string(), message);
    }

    #[test]
    fn all_forms_are_understood_and_written_canonically() {
        check("", "", &["", "a=b"], &[]);
        check("a=b", "a=b", &["a=b"], &["", "a=c"]);
        check(" a == b , c!=d", "a==b,c!=d", &["a=b", "a=b,c=e"], &["a=b,c=d"]);
        check("x in (b, a),!y", "x in (a,b),!y", &["x=a", "x=b"], &["", "x=a,y=1"]);
        check("x notin (a)", "x notin (a)", &["", "x=b"], &["x=a"]);
        check("z,a", "a,z", &["a=,z=1"], &["a=1"]);
        check("n>3,n<6", "n>3,n<6", &["n=4"], &["n=3", "n=6", "n=x", ""]);
        check("a=", "a=", &["a="], &["", "a=b"]);
        check("x in (,a)", "x in (,a)", &["x=", "x=a"], &[""]);
        check("in in (in)", "in in (in)", &["in=in"], &[]);
        check("kedge.dev/x=1", "kedge.dev/x=1", &["kedge.dev/x=1"], &[]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        refuse("a=b,", "found '', expected: identifier after ','");
        refuse("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
        refuse("x in a", "unable to parse requirement: found 'a' expected: '('");
        refuse("a=b c", "found 'c', expected: ',' or 'end of string'");
        let text = LabelSelector::parse("a=b@c").unwrap_err().to_string();
        assert!(
            text.starts_with(
                "unable to parse requirement: values[0][a]: Invalid value: \"b@c\": a valid label must be"
            ),
            "{text}"
        );
        assert!(LabelSelector::parse("n>x").is_err());
        assert!(LabelSelector::parse("=b").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics_and_canonical_text_means_the_same(text in "[a-c=!()<>, innot]{0,24}") {
            if let Ok(parsed) = LabelSelector::parse(&text) {
                prop_assert_eq!(LabelSelector::parse(&parsed.to_string()).unwrap(), parsed);
            }
        }

        #[test]
        fn any_text_is_survived(text in ".*") {
            let _ = LabelSelector::parse(&text);
        }
    }
}
