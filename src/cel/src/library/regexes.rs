//! Patterns, in the syntax of RE2.
//!
//! In: a text and a pattern. Out: whether it matches, what matches. How patterns are read and bounded is `re2.rs`.

use super::{Host, few};
use crate::fault::Fault;
use crate::re2::{self, Regex};
use crate::value::Value;

type Out<'a> = Result<Value<'a>, Fault>;

/// Compiles a pattern, or says what is wrong with it in Go's words.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    re2::compile(pattern).map_err(|why| format!("error parsing regexp: {why}: `{pattern}`"))
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
    host.matching(pattern, |compiled| Value::text(compiled.find(text).unwrap_or(""))).map_err(illegal)
}

pub(crate) fn find_all<'a>(host: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let (text, pattern, most) = match args {
        [Value::Text(text), Value::Text(pattern)] => (text, pattern, -1),
        [Value::Text(text), Value::Text(pattern), Value::Int(most)] => (text, pattern, *most),
        _ => return Err(Fault::no_overload()),
    };
    few(text.len())?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    host.matching(pattern, |compiled| Value::list(compiled.find_all(text, most).into_iter().map(Value::text).collect()))
        .map_err(illegal)
}

fn illegal(fault: Fault) -> Fault {
    Fault::new(format!("Illegal regex: {}", fault.text))
}
