//! Quantities of resources: `100m`, `1.5Gi`, `2e3`.
//!
//! In: text or JSON numbers. Out: [`Quantity`], exact to a billionth (smaller parts round away from zero, as in
//! Kubernetes), with canonical text, order and sums. Sums saturate; nothing here panics.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

/// Billionths in one.
const NANO: i128 = 1_000_000_000;
/// Most that a quantity with a binary suffix holds: 2^63 - 1.
const BINARY_MOST: i128 = (i64::MAX as i128) * NANO;

/// How a quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `m`, `k`, `M` ...
    DecimalSi,
    /// `Ki`, `Mi` ...
    BinarySi,
    /// `e3` ...
    DecimalExponent,
}

/// An exact amount. Equality and order are by amount, not by how it is written.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Its form is wrong.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Form,
    /// Its number is too large.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// Its suffix is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    /// Nothing.
    pub const ZERO: Quantity = Quantity { nanos: 0, format: Format::DecimalSi };

    /// A whole number.
    pub const fn whole(amount: i64, format: Format) -> Quantity {
        Quantity { nanos: amount as i128 * NANO, format }
    }

    /// Billionths.
    pub const fn nano(amount: i64, format: Format) -> Quantity {
        Quantity { nanos: amount as i128, format }
    }

    /// Thousandths.
    pub const fn milli(amount: i64, format: Format) -> Quantity {
        Quantity { nanos: amount as i128 * (NANO / 1000), format }
    }

    /// From the JSON of a field: text or number.
    pub fn from_json(value: &Value) -> Result<Quantity, QuantityError> {
        match value {
            Value::String(text) => Quantity::parse(text),
            Value::Number(number) => Quantity::parse(&number.to_string()),
            _ => Err(QuantityError::Form),
        }
    }

    /// From text.
    pub fn parse(text: &str) -> Result<Quantity, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = unsigned.bytes().position(|b| !b.is_ascii_digit() && b != b'.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (units, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (units.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError::Form);
        }
        let (format, tens, twos) = interpret(suffix)?;
        let nanos = scale(units, fraction, tens, twos)?;
        let capped = if format == Format::BinarySi { nanos.min(BINARY_MOST) } else { nanos };
        let format = if format == Format::BinarySi && capped < NANO { Format::DecimalSi } else { format };
        Ok(Quantity { nanos: if negative { -capped } else { capped }, format })
    }

    /// How it is written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The whole number, rounded away from zero; saturates.
    pub fn value(&self) -> i64 {
        saturate(divide_up(self.nanos, NANO))
    }

    /// Thousandths, rounded away from zero; saturates.
    pub fn milli_value(&self) -> i64 {
        saturate(divide_up(self.nanos, NANO / 1000))
    }

    /// Billionths, exactly.
    pub fn nano_value(&self) -> i128 {
        self.nanos
    }

    /// The nearest floating-point number.
    pub fn as_f64(&self) -> f64 {
        self.nanos as f64 / NANO as f64
    }

    /// It is nothing.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// It is below nothing.
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// It has no fraction.
    pub fn is_whole(&self) -> bool {
        self.nanos % NANO == 0
    }

    /// Whether it is a whole number of `unit`s.
    pub fn is_multiple_of(&self, unit: &Quantity) -> bool {
        unit.nanos != 0 && self.nanos % unit.nanos == 0
    }

    /// The sum, written as `self` is (as `other` is, when `self` is zero).
    #[must_use]
    pub fn add(&self, other: &Quantity) -> Quantity {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Quantity { nanos: self.nanos.saturating_add(other.nanos), format }
    }

    /// The difference, written as `self` is (as `other` is, when `self` is zero).
    #[must_use]
    pub fn sub(&self, other: &Quantity) -> Quantity {
        self.add(&Quantity { nanos: other.nanos.saturating_neg(), format: other.format })
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// The canonical text: no fraction, the largest suffix that keeps it exact.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let small = self.nanos.abs() < 1024 * NANO;
        if self.format == Format::BinarySi && !small && self.is_whole() {
            let mut whole = self.nanos / NANO;
            let mut steps = 0;
            while steps < BINARY.len() && whole % 1024 == 0 {
                whole /= 1024;
                steps += 1;
            }
            let suffix = if steps == 0 { "" } else { BINARY[steps - 1].0 };
            return write!(f, "{whole}{suffix}");
        }
        let (mut number, mut step) = (self.nanos, 0);
        // Exponents without a suffix exist only in the exponent form.
        let last = if self.format == Format::DecimalExponent { usize::MAX } else { DECIMAL.len() - 1 };
        while step < last && number % 1000 == 0 {
            number /= 1000;
            step += 1;
        }
        if self.format == Format::DecimalExponent {
            match 3 * step as i32 - 9 {
                0 => write!(f, "{number}"),
                exponent => write!(f, "{number}e{exponent}"),
            }
        } else {
            write!(f, "{number}{}", DECIMAL[step].0)
        }
    }
}

impl std::str::FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Quantity, QuantityError> {
        Quantity::parse(text)
    }
}

/// Format, power of ten and power of two that a suffix means.
fn interpret(suffix: &str) -> Result<(Format, i32, u32), QuantityError> {
    if let Some((_, tens)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Ok((Format::DecimalSi, *tens, 0));
    }
    if let Some((_, twos)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Ok((Format::BinarySi, 0, *twos));
    }
    let allowed = |c: char| "eEinumkKMGTP+-".contains(c) || c.is_ascii_digit();
    if !suffix.chars().all(allowed) {
        return Err(QuantityError::Form);
    }
    let digits = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
    let tens = digits.parse().map_err(|_| QuantityError::Suffix)?;
    Ok((Format::DecimalExponent, tens, 0))
}

/// `units.fraction * 10^tens * 2^twos` in billionths; parts below one round up.
fn scale(units: &str, fraction: &str, tens: i32, twos: u32) -> Result<i128, QuantityError> {
    let mut mantissa: i128 = 0;
    let mut exponent = tens.checked_add(9).ok_or(QuantityError::Number)?;
    let mut lost = false;
    for (i, digit) in units.bytes().chain(fraction.bytes()).enumerate() {
        let digit = i128::from(digit - b'0');
        let fractional = i >= units.len();
        match mantissa.checked_mul(10).and_then(|m| m.checked_add(digit)) {
            Some(next) if !lost => {
                mantissa = next;
                exponent -= i32::from(fractional);
            }
            // Digits beyond 38 matter only by their place and by not being zero.
            _ => {
                lost |= digit != 0 || !fractional;
                exponent += i32::from(!fractional);
            }
        }
    }
    let base = mantissa.checked_mul(1 << twos).ok_or(QuantityError::Number)?;
    if base == 0 {
        return Ok(0);
    }
    if exponent >= 0 {
        let power = 10i128.checked_pow(exponent.unsigned_abs()).ok_or(QuantityError::Number)?;
        return base.checked_mul(power).ok_or(QuantityError::Number);
    }
    match 10i128.checked_pow(exponent.unsigned_abs()) {
        Some(power) => Ok(divide_up(base, power)),
        None => Ok(1),
    }
}

/// Division that rounds away from zero.
fn divide_up(number: i128, by: i128) -> i128 {
    let (quotient, rest) = (number / by, number % by);
    match rest {
        0 => quotient,
        r if r > 0 => quotient + 1,
        _ => quotient - 1,
    }
}

fn saturate(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, canonical: &str, milli: i64) {
        let quantity = Quantity::parse(text).unwrap();
        assert_eq!((quantity.to_string().as_str(), quantity.milli_value()), (canonical, milli), "{text}");
    }

    #[test]
    fn canonical_text() {
        check("0", "0", 0);
        check("100m", "100m", 100);
        check("0.1", "100m", 100);
        check("1000m", "1", 1000);
        check("1500m", "1500m", 1500);
        check("1.5", "1500m", 1500);
        check("2000", "2k", 2_000_000);
        check("1.5Gi", "1536Mi", 1_610_612_736_000);
        check("1024Ki", "1Mi", 1_048_576_000);
        check("1023", "1023", 1_023_000);
        check("1Ki", "1Ki", 1_024_000);
        check("0.5Ki", "512", 512_000);
        check("1e3", "1e3", 1_000_000);
        check("12E2", "1200", 1_200_000);
        check("1E", "1E", i64::MAX);
        check("1e-3", "1e-3", 1);
        check("+5", "5", 5000);
        check("-1.5", "-1500m", -1500);
        check("1n", "1n", 1);
        check("0.1n", "1n", 1);
        check("100Ki", "100Ki", 102_400_000);
        check("010", "10", 10_000);
        check(".5", "500m", 500);
        check("5.", "5", 5000);
        check("9223372036854775807", "9223372036854775807", i64::MAX);
        check("100Ei", "9223372036854775807", i64::MAX);
    }

    #[track_caller]
    fn refuse(text: &str, error: QuantityError) {
        assert_eq!(Quantity::parse(text).map(|q| q.to_string()), Err(error), "{text}");
    }

    #[test]
    fn nonsense_is_refused() {
        refuse("", QuantityError::Form);
        refuse("-", QuantityError::Form);
        refuse("1.2.3", QuantityError::Form);
        refuse("1x", QuantityError::Form);
        refuse("1 Gi", QuantityError::Form);
        refuse("1KI", QuantityError::Form);
        refuse("1K", QuantityError::Suffix);
        refuse("1mi", QuantityError::Suffix);
        refuse("1e99", QuantityError::Number);
        refuse("1e99999999999", QuantityError::Suffix);
    }

    #[test]
    fn sums_keep_the_form() {
        let a = Quantity::parse("1Gi").unwrap();
        let b = Quantity::parse("512Mi").unwrap();
        assert_eq!(a.add(&b).to_string(), "1536Mi");
        assert_eq!(Quantity::ZERO.add(&b).to_string(), "512Mi");
        assert_eq!(b.sub(&a).to_string(), "-512Mi");
        assert!(a > b && Quantity::parse("1000m").unwrap() == Quantity::parse("1").unwrap());
    }

    proptest! {
        #[test]
        fn canonical_text_is_a_fixed_point(text in "[+-]?[0-9]{0,12}[.]?[0-9]{0,12}(n|u|m|k|M|G|T|Ki|Mi|Gi|e[0-9]|E|)") {
            if let Ok(quantity) = Quantity::parse(&text) {
                let canonical = quantity.to_string();
                let again = Quantity::parse(&canonical).unwrap();
                prop_assert_eq!(again, quantity);
                prop_assert_eq!(again.to_string(), canonical);
            }
        }

        #[test]
        fn any_text_is_survived(text in ".*", digits in "[0-9.eE+-]{0,80}") {
            let _ = Quantity::parse(&text).map(|q| (q.to_string(), q.value(), q.add(&q)));
            let _ = Quantity::parse(&digits).map(|q| q.to_string());
        }
    }
}
