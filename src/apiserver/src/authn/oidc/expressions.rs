//! What an administrator's expressions say of a token: what must hold, and whom it names.
//!
//! In: expressions of an `AuthenticationConfiguration`; the claims of a good token, or the user that they name. Out:
//! truths and texts, or why there are none. What an evaluation may cost is bounded, as everywhere. Decides nothing: the
//! caller knows what a text is for.

use std::sync::Arc;

use kedge_cel as cel;
use kedge_cel::{COST_PER_CALL, Checked, Limits, NoTypes, Program, Type, Value};
use serde_json::Value as Json;

/// What an expression is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// `claims`: what the token says.
    Claims,
    /// `user`: who it is, with `username`, `uid`, `groups` and `extra`.
    User,
}

/// What an expression must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A truth.
    Truth,
    /// A text.
    Text,
    /// A text or a list of texts.
    Texts,
}

/// An expression that is well written. Two are the same if their texts are.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    over: Over,
    program: Arc<Program>,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.over) == (&other.text, other.over)
    }
}

impl Eq for Expression {}

impl Over {
    fn variable(self) -> &'static str {
        match self {
            Over::Claims => "claims",
            Over::User => "user",
        }
    }
}

impl Expression {
    /// Compiles a text, or says what is wrong with it.
    pub fn compile(text: &str, over: Over, wanted: Wanted) -> Result<Expression, String> {
        let of = Type::Map(Arc::new((Type::Text, Type::Dyn)));
        let checked = Checked::compile(text, &[(over.variable(), of)], &NoTypes)
            .map_err(|issues| format!("compilation failed: {issues}"))?;
        let fits = match (wanted, checked.output()) {
            (_, Type::Dyn) | (Wanted::Truth, Type::Bool) | (Wanted::Text | Wanted::Texts, Type::Text) => true,
            (Wanted::Texts, Type::List(of)) => matches!(**of, Type::Text | Type::Dyn),
            _ => false,
        };
        if !fits {
            return Err(format!("must evaluate to {}, not to {}", wanted.words(), checked.output()));
        }
        Ok(Expression { text: text.into(), over, program: Arc::new(checked.into_program()) })
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds.
    pub fn holds(&self, about: &Json) -> Result<bool, String> {
        let value = self.run(about)?;
        value.as_bool().ok_or_else(|| self.misfit(Wanted::Truth))
    }

    /// The text that it comes to; none for null.
    pub fn one(&self, about: &Json) -> Result<Option<String>, String> {
        match self.run(about)? {
            Value::Null => Ok(None),
            value => value.as_text().map(|text| Some(text.to_owned())).ok_or_else(|| self.misfit(Wanted::Text)),
        }
    }

    /// The texts that it comes to, empty ones left out: they count as missing.
    pub fn several(&self, about: &Json) -> Result<Vec<String>, String> {
        let misfit = || self.misfit(Wanted::Texts);
        let mut texts = match self.run(about)? {
            Value::Null => Vec::new(),
            Value::List(list) => {
                let mut texts = Vec::with_capacity(list.len());
                for item in list.iter() {
                    let item = item.map_err(|fault| self.failed(&fault))?;
                    texts.push(item.as_text().ok_or_else(misfit)?.to_owned());
                }
                texts
            }
            value => vec![value.as_text().ok_or_else(misfit)?.to_owned()],
        };
        texts.retain(|text| !text.is_empty());
        Ok(texts)
    }

    fn run<'a>(&self, about: &'a Json) -> Result<Value<'a>, String> {
        let value = Value::of(about, None).map_err(|fault| self.failed(&fault))?;
        let ran = self.program.run(&[(self.over.variable(), value)], Limits::cost(COST_PER_CALL));
        ran.value.map_err(|fault| self.failed(&fault))
    }

    fn failed(&self, fault: &cel::Fault) -> String {
        format!("expression '{}' resulted in error: {fault}", self.text)
    }

    fn misfit(&self, wanted: Wanted) -> String {
        format!("expression '{}' did not evaluate to {}", self.text, wanted.words())
    }
}

impl Wanted {
    fn words(self) -> &'static str {
        match self {
            Wanted::Truth => "a bool",
            Wanted::Text => "a string",
            Wanted::Texts => "a string or a list of strings",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims() -> Json {
        json!({"sub": "jane", "groups": ["dev", ""], "n": 7, "ok": true, "none": null})
    }

    #[track_caller]
    fn compiled(text: &str, wanted: Wanted) -> Expression {
        Expression::compile(text, Over::Claims, wanted).unwrap()
    }

    #[test]
    fn expressions_come_to_what_is_wanted() {
        assert_eq!(compiled("claims.ok && claims.n > 5", Wanted::Truth).holds(&claims()), Ok(true));
        assert_eq!(compiled("'u:' + claims.sub", Wanted::Text).one(&claims()), Ok(Some("u:jane".to_owned())));
        assert_eq!(compiled("claims.none", Wanted::Text).one(&claims()), Ok(None));
        assert_eq!(compiled("claims.groups", Wanted::Texts).several(&claims()), Ok(vec!["dev".to_owned()]));
        assert_eq!(compiled("claims.sub", Wanted::Texts).several(&claims()), Ok(vec!["jane".to_owned()]));
        let of_user = Expression::compile("user.groups.all(g, g != 'x')", Over::User, Wanted::Truth).unwrap();
        assert_eq!(of_user.holds(&json!({"groups": ["a"]})), Ok(true));
        assert_eq!(of_user.holds(&json!({"groups": ["a", "x"]})), Ok(false));
    }

    #[track_caller]
    fn refused(text: &str, wanted: Wanted, words: &str) {
        let why = Expression::compile(text, Over::Claims, wanted).unwrap_err();
        assert!(why.contains(words), "{why}");
    }

    #[test]
    fn what_cannot_come_to_it_is_refused() {
        refused("claims.", Wanted::Truth, "compilation failed");
        refused("user.username", Wanted::Text, "undeclared reference");
        refused("'a'", Wanted::Truth, "must evaluate to a bool");
        refused("true", Wanted::Texts, "must evaluate to a string or a list of strings");
        let told = |text: &str, words: &str| {
            let why = compiled(text, Wanted::Text).one(&claims()).unwrap_err();
            assert!(why.contains(words), "{why}");
        };
        told("claims.absent", "no such key");
        told("claims.n", "did not evaluate to a string");
        assert!(compiled("claims.n", Wanted::Truth).holds(&claims()).is_err());
        assert!(compiled("claims.n", Wanted::Texts).several(&claims()).is_err());
    }
}
