//! Numbers as Kubernetes' validator compares and prints them: whole ones as integers, all others as floats.
//!
//! In: JSON numbers and bounds. Out: verdicts, and bounds as text.

use crate::schema::custom::Form;
use serde_json::Value;

/// Whether a float is a whole number, nearly, and small enough to be told from its neighbours.
pub(super) fn is_whole(number: f64) -> bool {
    const SAFE: f64 = 9_007_199_254_740_991.0;
    if !number.is_finite() || number.abs() > SAFE {
        return false;
    }
    number == 0.0 || number.fract() == 0.0 || ((number - number.round()) / number).abs() < 1e-9
}

/// A value that its format's number cannot hold.
pub(super) fn out_of_range(form: Form, format: Option<&str>, value: &Value, at: &str) -> Option<String> {
    let in_int = |low: i64, high: i64| value.as_i64().is_some_and(|number| (low..=high).contains(&number));
    let fits = match (form, format) {
        (Form::Integer, Some("int32")) => {
            in_int(i32::MIN.into(), i32::MAX.into())
                || !value.is_i64() && value.as_f64().is_some_and(|n| n.fract() == 0.0 && n.abs() < 2_147_483_648.0)
        }
        (Form::Integer, _) => value.is_i64() || value.as_f64().is_some_and(|n| n.fract() == 0.0 && n.abs() < 9.3e18),
        (Form::Number, Some("float")) => value.as_f64().is_some_and(|number| number.abs() <= f64::from(f32::MAX)),
        _ => true,
    };
    if fits {
        return None;
    }
    Some(match format {
        Some(format) => format!("Checked value must be of type {} with format {format} in {at}", form.name()),
        None => format!("Checked value must be of type {} (default format) in {at}", form.name()),
    })
}

/// Whether a number is a multiple of another.
pub(super) enum Multiple {
    Yes,
    No,
    NoFactor,
}

pub(super) fn multiple(value: &Value, factor: f64) -> Multiple {
    let said = |is: bool| if is { Multiple::Yes } else { Multiple::No };
    if let Some(number) = value.as_i64() {
        let factor = factor as i64;
        return if factor <= 0 { Multiple::NoFactor } else { said(number % factor == 0) };
    }
    let number = value.as_f64().unwrap_or_default();
    if factor <= 0.0 {
        return Multiple::NoFactor;
    }
    said(is_whole(if factor < 1.0 { 1.0 / factor * number } else { number / factor }))
}

/// Whether a number is beyond a bound: below it if `low`, else above it.
pub(super) fn beyond(value: &Value, bound: f64, exclusive: bool, low: bool) -> bool {
    if let Some(number) = value.as_i64() {
        let bound = bound as i64;
        return if low { number < bound } else { number > bound } || exclusive && number == bound;
    }
    let number = value.as_f64().unwrap_or_default();
    (if low { number < bound } else { number > bound }) || exclusive && number == bound
}

/// A bound as it is told beside a value: whole beside whole numbers.
pub(super) fn number_text(value: &Value, bound: f64) -> String {
    if value.is_i64() { (bound as i64).to_string() } else { float(bound) }
}

/// A float as Go prints it.
pub(super) fn float(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(("+", exponent), |rest| ("-", rest));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{number}")
}

pub(super) fn float_value(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 { Value::from(number as i64) } else { Value::from(number) }
}
