//! What functions do.
//!
//! In: values. Out: a value or a fault in cel-go's words. Every function bounds what it makes; none does I/O.

pub mod access;
pub mod convert;
pub mod format;
pub mod formats;
pub mod lists;
pub mod net;
pub mod operators;
pub mod optionals;
pub mod quantities;
pub mod regexes;
pub mod semvers;
pub mod strings;
pub mod times;
pub mod urls;

use std::collections::HashMap;
use std::marker::PhantomData;

use crate::fault::Fault;
use crate::re2::Regex;
use crate::value::{Value, Work};

/// A text that a function makes is at most this long: ten times what fits a request.
const LONGEST_TEXT: usize = 32 * 1024 * 1024;

/// A list that a function makes has at most so many items: what the largest request may hold.
const MOST_ITEMS: usize = 3 * 1024 * 1024;

/// What an evaluation lends to functions.
#[derive(Debug)]
pub struct Host<'a, 'p> {
    /// How much comparing is left.
    pub(crate) work: Work,
    /// Patterns that are constants.
    pub(crate) patterns: &'p HashMap<Box<str>, Regex>,
    pub(crate) values: PhantomData<&'a ()>,
}

impl<'a> Host<'a, '_> {
    /// Whether two values are equal.
    pub(crate) fn equal(&mut self, a: &Value<'a>, b: &Value<'a>) -> Result<bool, Fault> {
        let equal = a.equals(b, &mut self.work);
        if self.work.is_over() { Err(Fault::too_costly()) } else { Ok(equal) }
    }
}

/// What is special to the interpreter never comes here.
pub(crate) fn special<'a>(_: &mut Host<'a, '_>, _: &[Value<'a>]) -> Result<Value<'a>, Fault> {
    Err(Fault::no_overload())
}

/// Refuses a text that would be too long.
pub(crate) fn fits(length: usize) -> Result<(), Fault> {
    if length > LONGEST_TEXT { Err(Fault::too_costly()) } else { Ok(()) }
}

/// Refuses a list that would be too long.
pub(crate) fn few(items: usize) -> Result<(), Fault> {
    if items > MOST_ITEMS { Err(Fault::too_costly()) } else { Ok(()) }
}
