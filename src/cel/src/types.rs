//! Types as the checker sees them.
//!
//! In: kinds of values. Out: their types, their names in messages, and whether one fits another. Knows no values.

use std::fmt;
use std::sync::Arc;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Type {
    /// Known only when it runs.
    Dyn,
    /// What a fault stands for, so that one fault makes no others.
    Error,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Duration,
    Time,
    List(Arc<Type>),
    Map(Arc<(Type, Type)>),
    Optional(Arc<Type>),
    /// An object by the name of its type, or a thing that a library makes.
    Object(Arc<str>),
    /// A type as a value.
    Type(Option<Arc<Type>>),
    /// A type yet to be found.
    Param(u32),
}

impl Type {
    /// A list of that.
    pub fn list(of: Type) -> Type {
        Type::List(Arc::new(of))
    }

    /// A map from that to that.
    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new((key, value)))
    }

    /// Perhaps that.
    pub fn optional(of: Type) -> Type {
        Type::Optional(Arc::new(of))
    }

    /// An object.
    pub fn object(name: &str) -> Type {
        Type::Object(name.into())
    }

    /// The name as Go prints it: without what cel-go's own messages shorten.
    pub fn full_name(&self) -> String {
        match self {
            Type::List(of) => format!("list({})", of.full_name()),
            Type::Map(of) => format!("map({}, {})", of.0.full_name(), of.1.full_name()),
            Type::Optional(of) => format!("optional_type({})", of.full_name()),
            Type::Type(Some(of)) => format!("type({})", of.full_name()),
            other => other.name().to_owned(),
        }
    }

    /// Whether anything fits it and it fits anything.
    pub fn is_dyn_or_error(&self) -> bool {
        matches!(self, Type::Dyn | Type::Error)
    }

    /// What an optional is of, and whether it is one.
    pub(crate) fn unwrap_optional(self) -> (Type, bool) {
        match self {
            Type::Optional(of) => ((*of).clone(), true),
            other => (other, false),
        }
    }

    /// Whether its values have no size of their own.
    pub(crate) fn is_scalar(&self) -> bool {
        match self {
            Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Time | Type::Uint => true,
            Type::Optional(of) => of.is_scalar(),
            _ => false,
        }
    }

    /// The name at run time: without what it is of.
    pub(crate) fn name(&self) -> &str {
        match self {
            Type::Dyn => "dyn",
            Type::Error => "error",
            Type::Null => "null_type",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::Text => "string",
            Type::Bytes => "bytes",
            Type::Duration => "google.protobuf.Duration",
            Type::Time => "google.protobuf.Timestamp",
            Type::List(_) => "list",
            Type::Map(_) => "map",
            Type::Optional(_) => "optional_type",
            Type::Object(name) => name,
            Type::Type(_) => "type",
            Type::Param(_) => "param",
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Error => f.write_str("!error!"),
            Type::Null => f.write_str("null"),
            Type::Duration => f.write_str("duration"),
            Type::Time => f.write_str("timestamp"),
            Type::List(of) => write!(f, "list({of})"),
            Type::Map(of) => write!(f, "map({}, {})", of.0, of.1),
            Type::Optional(of) => write!(f, "optional_type({of})"),
            Type::Type(Some(of)) => write!(f, "type({of})"),
            Type::Param(number) => write!(f, "_var{number}"),
            other => f.write_str(other.name()),
        }
    }
}

/// What types yet to be found were found to be.
#[derive(Debug, Default)]
pub(crate) struct Found {
    types: Vec<Option<Type>>,
    /// What was there before, for taking back what did not lead anywhere.
    trail: Vec<(u32, Option<Type>)>,
}

impl Found {
    /// A type yet to be found.
    pub fn fresh(&mut self) -> Type {
        self.types.push(None);
        Type::Param(self.types.len() as u32 - 1)
    }

    /// As many of them.
    pub fn fresh_many(&mut self, count: u32) -> u32 {
        let first = self.types.len() as u32;
        self.types.resize(self.types.len() + count as usize, None);
        first
    }

    /// Whether the second fits where the first is wanted; what that needs is noted.
    pub fn assign(&mut self, to: &Type, from: &Type) -> bool {
        self.assign_all(std::slice::from_ref(to), std::slice::from_ref(from))
    }

    /// The same, of several: all or nothing.
    pub fn assign_all(&mut self, to: &[Type], from: &[Type]) -> bool {
        let mark = self.trail.len();
        let fits = to.len() == from.len() && to.iter().zip(from).all(|(to, from)| self.fits(to, from));
        if !fits {
            while self.trail.len() > mark {
                if let Some((number, before)) = self.trail.pop() {
                    self.types[number as usize] = before;
                }
            }
        }
        fits
    }

    fn get(&self, of: &Type) -> Option<&Type> {
        if let Type::Param(number) = of { self.types.get(*number as usize)?.as_ref() } else { None }
    }

    fn set(&mut self, of: &Type, to: Type) {
        if let Type::Param(number) = of {
            let before = self.types[*number as usize].replace(to);
            self.trail.push((*number, before));
        }
    }

    fn fits(&mut self, a: &Type, b: &Type) -> bool {
        if matches!(b, Type::Param(_)) {
            match self.substitutes(a, b) {
                (true, _) => return true,
                (false, true) => return false,
                _ => {}
            }
        }
        if matches!(a, Type::Param(_)) {
            return self.substitutes(b, a).0;
        }
        if a.is_dyn_or_error() || b.is_dyn_or_error() {
            return true;
        }
        let nullable =
            |t: &Type| matches!(t, Type::Null | Type::Object(_) | Type::Optional(_) | Type::Duration | Type::Time);
        match (a, b) {
            (Type::Null, other) | (other, Type::Null) => nullable(other),
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => self.fits(a, b),
            (Type::Map(a), Type::Map(b)) => self.fits(&a.0, &b.0) && self.fits(&a.1, &b.1),
            (Type::Type(_), Type::Type(_)) => true,
            (a, b) => a == b,
        }
    }

    /// Whether the first can stand for the second, and whether the second stands for something already.
    fn substitutes(&mut self, a: &Type, b: &Type) -> (bool, bool) {
        if a == b {
            return (true, true);
        }
        if let Some(known) = self.get(b).cloned() {
            if *a == known {
                return (true, true);
            }
            if self.fits(a, &known) {
                let general = most_general(a.clone(), known);
                if !self.occurs(b, &general) {
                    self.set(b, general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.occurs(b, a) {
            return (false, false);
        }
        self.set(b, a.clone());
        (true, false)
    }

    fn occurs(&self, param: &Type, within: &Type) -> bool {
        if param == within {
            return true;
        }
        match within {
            Type::Param(_) => self.get(within).is_some_and(|known| self.occurs(param, known)),
            Type::List(of) | Type::Optional(of) | Type::Type(Some(of)) => self.occurs(param, of),
            Type::Map(of) => self.occurs(param, &of.0) || self.occurs(param, &of.1),
            _ => false,
        }
    }

    /// The type with everything found put in; what was not found is `dyn` if wanted.
    pub fn resolve(&self, of: &Type, to_dyn: bool) -> Type {
        match of {
            Type::Param(_) => match self.get(of) {
                Some(known) => self.resolve(known, to_dyn),
                None if to_dyn => Type::Dyn,
                None => of.clone(),
            },
            Type::List(of) => Type::list(self.resolve(of, to_dyn)),
            Type::Optional(of) => Type::optional(self.resolve(of, to_dyn)),
            Type::Map(of) => Type::map(self.resolve(&of.0, to_dyn), self.resolve(&of.1, to_dyn)),
            Type::Type(Some(of)) => Type::Type(Some(Arc::new(self.resolve(of, to_dyn)))),
            other => other.clone(),
        }
    }
}

/// The one of two types that says less.
pub(crate) fn most_general(a: Type, b: Type) -> Type {
    if is_equal_or_less_specific(&a, &b) { a } else { b }
}

fn is_equal_or_less_specific(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Dyn | Type::Param(_), _) => true,
        (_, Type::Dyn | Type::Param(_)) => false,
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => is_equal_or_less_specific(a, b),
        (Type::Map(a), Type::Map(b)) => is_equal_or_less_specific(&a.0, &b.0) && is_equal_or_less_specific(&a.1, &b.1),
        (Type::Type(_), Type::Type(_)) => true,
        (a, b) => a == b,
    }
}
