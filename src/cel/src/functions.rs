//! Every function there is: its overloads, what it does, what a call costs when it runs.
//!
//! In: a name. Out: a [`Function`]. The overloads are text that is read once; no function is known elsewhere.

mod table;

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::fault::Fault;
use crate::library::Host;
use crate::types::Type;
use crate::value::Value;

/// What a function does with its values; the one it is called on comes first.
pub(crate) type Run = for<'a> fn(&mut Host<'a, '_>, &[Value<'a>]) -> Result<Value<'a>, Fault>;

/// A function.
pub struct Function {
    /// Its name.
    pub(crate) name: &'static str,
    /// In the order they are tried.
    pub(crate) overloads: Vec<Overload>,
    /// What it does.
    pub(crate) run: Run,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// One way of calling a function.
#[derive(Debug)]
pub(crate) struct Overload {
    /// Its name in cel-go, by which costs are told.
    pub id: &'static str,
    /// Whether it is called on its first argument.
    pub member: bool,
    /// What it takes.
    pub args: Vec<Type>,
    /// What it gives.
    pub result: Type,
    /// How many type parameters it has.
    pub params: u32,
}

/// The function of that name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    all().get(name)
}

fn all() -> &'static HashMap<&'static str, Function> {
    static ALL: OnceLock<HashMap<&'static str, Function>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all: HashMap<&'static str, Function> = HashMap::new();
        for (name, text, run) in table::TABLE {
            let overloads = text.split('\n').map(str::trim).filter(|line| !line.is_empty()).map(overload).collect();
            all.insert(name, Function { name, overloads, run: *run });
        }
        all
    })
}

/// Reads `id (args) result`, or `id target.(args) result`.
fn overload(line: &'static str) -> Overload {
    let (id, rest) = line.split_once(' ').unwrap_or((line, "()D"));
    let (target, rest) = rest.split_once('(').unwrap_or(("", rest));
    let (args, result) = rest.rsplit_once(')').unwrap_or(("", "D"));
    let mut types = Vec::new();
    let mut text = target.trim_end_matches('.');
    while !text.is_empty() {
        types.push(read_type(&mut text));
    }
    let mut text = args;
    while !text.is_empty() {
        types.push(read_type(&mut text));
    }
    let mut text = result;
    let result = read_type(&mut text);
    let params = (0..3).filter(|n| types.iter().chain([&result]).any(|t| names(t, *n))).map(|n| n + 1).max();
    Overload { id, member: !target.is_empty(), args: types, result, params: params.unwrap_or(0) }
}

fn names(of: &Type, param: u32) -> bool {
    match of {
        Type::Param(own) => *own == param,
        Type::List(of) | Type::Optional(of) | Type::Type(Some(of)) => names(of, param),
        Type::Map(of) => names(&of.0, param) || names(&of.1, param),
        _ => false,
    }
}

/// One letter a type: `b i u d s y` (bytes), `t` (time), `r` (duration), `D` (dyn), `A B` (parameters), `L` list of,
/// `M` map of two, `O` optional, `T` type of, and `@name;` an object.
fn read_type(text: &mut &'static str) -> Type {
    let Some(letter) = text.chars().next() else { return Type::Dyn };
    *text = &text[letter.len_utf8()..];
    match letter {
        'b' => Type::Bool,
        'i' => Type::Int,
        'u' => Type::Uint,
        'd' => Type::Double,
        's' => Type::Text,
        'y' => Type::Bytes,
        't' => Type::Time,
        'r' => Type::Duration,
        'A' => Type::Param(0),
        'B' => Type::Param(1),
        'L' => Type::list(read_type(text)),
        'O' => Type::optional(read_type(text)),
        'M' => {
            let key = read_type(text);
            Type::map(key, read_type(text))
        }
        'T' => Type::Type(Some(std::sync::Arc::new(read_type(text)))),
        '@' => {
            let (name, rest) = text.split_once(';').unwrap_or((text, ""));
            *text = rest;
            Type::object(name)
        }
        _ => Type::Dyn,
    }
}

impl Overload {
    /// Arguments and result with parameters counted from `first`.
    pub fn instance(&self, first: u32) -> (Vec<Type>, Type) {
        (self.args.iter().map(|arg| shift(arg, first)).collect(), shift(&self.result, first))
    }
}

fn shift(of: &Type, by: u32) -> Type {
    match of {
        Type::Param(own) => Type::Param(own + by),
        Type::List(of) => Type::list(shift(of, by)),
        Type::Optional(of) => Type::optional(shift(of, by)),
        Type::Map(of) => Type::map(shift(&of.0, by), shift(&of.1, by)),
        Type::Type(Some(of)) => Type::Type(Some(std::sync::Arc::new(shift(of, by)))),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_is_well_written() {
        for function in super::all().values() {
            for overload in &function.overloads {
                assert!(overload.id.len() > 2, "{function:?} {overload:?}");
                assert!(!matches!(overload.result, super::Type::Param(2..)), "{overload:?}");
            }
        }
        let add = super::find("_+_").expect("it is there");
        assert_eq!(add.overloads.len(), 9);
        let get = super::find("getQuery").expect("it is there");
        assert_eq!(get.overloads[0].result.to_string(), "map(string, list(string))");
        assert!(get.overloads[0].member);
    }
}
