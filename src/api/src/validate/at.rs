//! A cursor over an object that knows where it stands, and the list of faults that checks add to.
//!
//! In: JSON. Out: typed reads and [`FieldError`]s at the right place. Wrongly typed values read as absent: types
//! are checked before.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::name::Faults;
use crate::quantity::Quantity;
use crate::selector::LabelSelector;

/// What says that a number is below nothing.
pub(super) const NEGATIVE: &str = "must be greater than or equal to 0";
/// What says that a field may not change.
pub(super) const IMMUTABLE: &str = "field is immutable";

/// A value and its place. Absent values are null.
#[derive(Clone, Copy)]
pub(super) struct At<'v, 'p> {
    pub value: &'v Value,
    pub path: Path<'p>,
}

impl<'v> At<'v, '_> {
    /// The field `name` of the root object.
    pub fn root<'n>(object: &'v Value, name: &'n str) -> At<'v, 'n> {
        At { value: object.get(name).unwrap_or(&Value::Null), path: Path::root(name) }
    }

    /// The field `name` below.
    pub fn get<'s>(&'s self, name: &'s str) -> At<'v, 's> {
        At { value: self.value.get(name).unwrap_or(&Value::Null), path: self.path.child(name) }
    }

    /// The value under a key of this map.
    pub fn key<'s>(&'s self, key: &'s str) -> At<'v, 's> {
        At { value: self.value.get(key).unwrap_or(&Value::Null), path: self.path.key(key) }
    }

    /// The elements of this list.
    pub fn items<'s>(&'s self) -> impl Iterator<Item = At<'v, 's>> {
        let list: &'v [Value] = self.value.as_array().map_or(&[], Vec::as_slice);
        list.iter().enumerate().map(|(i, value)| At { value, path: self.path.index(i) })
    }

    /// The entries of this map.
    pub fn entries<'s>(&'s self) -> impl Iterator<Item = (&'v str, At<'v, 's>)>
    where
        'v: 's,
    {
        let map = self.value.as_object();
        map.into_iter().flatten().map(|(key, value)| (key.as_str(), At { value, path: self.path.key(key) }))
    }

    /// How many elements or entries it has.
    pub fn len(&self) -> usize {
        match self.value {
            Value::Array(list) => list.len(),
            Value::Object(map) => map.len(),
            _ => 0,
        }
    }

    /// It is there.
    pub fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// The text; empty when absent.
    pub fn text(&self) -> &'v str {
        self.value.as_str().unwrap_or("")
    }

    /// The text of a field below.
    pub fn text_of(&self, name: &str) -> &'v str {
        self.value.get(name).and_then(Value::as_str).unwrap_or("")
    }

    /// The integer.
    pub fn int(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// The truth; false when absent.
    pub fn yes(&self) -> bool {
        self.value.as_bool().unwrap_or(false)
    }

    /// The quantity.
    pub fn quantity(&self) -> Option<Quantity> {
        Quantity::from_json(self.value).ok()
    }
}

/// Faults that are told: nobody reads more, and a body of 3 MiB can have a million.
const FAULTS: usize = 1000;
/// What faults show of the object, in parts of it: a list that is shown for each of its items has no end.
const SHOWN: usize = 1 << 20;

/// The faults found so far.
#[derive(Default)]
pub(super) struct Out {
    pub errors: Vec<FieldError>,
    shown: usize,
}

impl Out {
    /// Adds a fault, unless there are too many.
    pub fn push(&mut self, error: FieldError) {
        if !self.is_full() {
            self.shown += parts(&error.value);
            self.errors.push(error);
        }
    }

    /// Whether more faults are not told.
    pub fn is_full(&self) -> bool {
        self.errors.len() >= FAULTS || self.shown >= SHOWN
    }

    /// It must be set.
    pub fn required(&mut self, at: &At<'_, '_>, detail: &str) {
        self.push(FieldError::required(&at.path, detail));
    }

    /// It breaks a rule.
    pub fn invalid(&mut self, at: &At<'_, '_>, detail: impl Into<String>) {
        self.push(FieldError::invalid(&at.path, at.value.clone(), detail));
    }

    /// It may not be set (so).
    pub fn forbidden(&mut self, at: &At<'_, '_>, detail: impl Into<String>) {
        self.push(FieldError::forbidden(&at.path, detail));
    }

    /// It repeats.
    pub fn duplicate(&mut self, at: &At<'_, '_>) {
        self.push(FieldError::duplicate(&at.path, at.value.clone()));
    }

    /// Required unless it has text. True when it has.
    pub fn filled(&mut self, at: &At<'_, '_>) -> bool {
        if at.text().is_empty() {
            self.required(at, "");
            return false;
        }
        true
    }

    /// One of these, when it has text.
    pub fn one_of(&mut self, at: &At<'_, '_>, allowed: &[&str]) {
        let text = at.text();
        if !text.is_empty() && !allowed.contains(&text) {
            self.push(FieldError::not_supported(&at.path, text, allowed));
        }
    }

    /// One of these, and there.
    pub fn one_of_required(&mut self, at: &At<'_, '_>, allowed: &[&str]) {
        if self.filled(at) {
            self.one_of(at, allowed);
        }
    }

    /// Of the right form; every broken rule is a fault.
    pub fn form(&mut self, at: &At<'_, '_>, check: fn(&str) -> Result<(), Faults>) {
        self.form_of(at, at.text(), check);
    }

    /// Like `form`, for a text that stands at `at` (such as a map's key).
    pub fn form_of(&mut self, at: &At<'_, '_>, text: &str, check: fn(&str) -> Result<(), Faults>) {
        if let Err(faults) = check(text) {
            for fault in faults {
                self.push(FieldError::invalid(&at.path, text, fault));
            }
        }
    }

    /// There, and of the right form.
    pub fn filled_form(&mut self, at: &At<'_, '_>, check: fn(&str) -> Result<(), Faults>) {
        if self.filled(at) {
            self.form(at, check);
        }
    }

    /// Of the right form when it has text.
    pub fn optional_form(&mut self, at: &At<'_, '_>, check: fn(&str) -> Result<(), Faults>) {
        if !at.text().is_empty() {
            self.form(at, check);
        }
    }

    /// Not below nothing.
    pub fn nonnegative(&mut self, at: &At<'_, '_>) {
        if at.int().is_some_and(|n| n < 0) {
            self.invalid(at, NEGATIVE);
        }
    }

    /// In the range, when it is there.
    pub fn within(&mut self, at: &At<'_, '_>, low: i64, high: i64) {
        if at.int().is_some_and(|n| !(low..=high).contains(&n)) {
            self.invalid(at, crate::name::range(low, high));
        }
    }

    /// A port number from 1 to 65535.
    pub fn port(&mut self, at: &At<'_, '_>) {
        self.within(at, 1, 65535);
    }

    /// A port's number or name.
    pub fn port_or_name(&mut self, at: &At<'_, '_>) {
        match at.value {
            Value::String(_) => self.form(at, crate::name::check_port_name),
            _ => self.form_number_port(at),
        }
    }

    fn form_number_port(&mut self, at: &At<'_, '_>) {
        if !at.int().is_some_and(|n| (1..=65535).contains(&n)) {
            let value = at.int().unwrap_or(0);
            self.push(FieldError::invalid(&at.path, value, crate::name::range(1, 65535)));
        }
    }

    /// A quantity that is not below nothing.
    pub fn amount(&mut self, at: &At<'_, '_>) {
        if at.quantity().is_some_and(|q| q.is_negative()) {
            self.invalid(at, NEGATIVE);
        }
    }

    /// The same as before.
    pub fn immutable(&mut self, new: &At<'_, '_>, old: &Value) {
        if new.value != old {
            self.invalid(new, IMMUTABLE);
        }
    }

    /// A label selector object; `None` and a fault when it is broken.
    pub fn selector(&mut self, at: &At<'_, '_>) -> Option<LabelSelector> {
        match LabelSelector::from_object(Some(at.value), &at.path) {
            Ok(selector) => Some(selector),
            Err(errors) => {
                self.errors.extend(errors);
                None
            }
        }
    }

    /// Labels: keys and values.
    pub fn labels(&mut self, at: &At<'_, '_>) {
        for (key, value) in at.entries() {
            self.form_of(at, key, crate::name::check_qualified);
            self.form_of(at, value.text(), crate::name::check_label_value);
        }
    }

    /// A number, or a percentage where the field takes one.
    pub fn number_or_percent(&mut self, at: &At<'_, '_>) {
        match at.value {
            Value::String(_) => self.form(at, crate::name::check_percent),
            _ => self.nonnegative(at),
        }
    }

    /// A percentage is at most 100 %.
    pub fn at_most_all(&mut self, at: &At<'_, '_>) {
        if percent(at.value).is_some_and(|n| n > 100) {
            self.invalid(at, "must not be greater than 100%");
        }
    }
}

/// Values in all.
fn parts(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(parts).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(parts).sum::<usize>(),
        _ => 1,
    }
}

/// The number of `25%`.
pub(super) fn percent(value: &Value) -> Option<u64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}
