//! Kubernetes' quantities, as far as adding and comparing them goes.
//!
//! In: text such as `100m`, `1Gi`, `2e3`, or a JSON number. Out: a number of nanos that keeps the form in which it is
//! written, and its canonical text. Never rounds but where Kubernetes does: below a nano, and to bytes in binary form.

use serde_json::Value;

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Decimal,
    Binary,
    Exponent,
}

/// An amount.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    form: Form,
}

const NANO: i128 = 1_000_000_000;
/// Kubernetes' own bound is 2^63-1 whole units; beyond it an amount counts as this.
const MOST: i128 = i64::MAX as i128 * NANO;
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.nanos.cmp(&other.nanos))
    }
}

impl Quantity {
    /// A whole number.
    pub fn whole(number: i64) -> Self {
        Self { nanos: i128::from(number) * NANO, form: Form::Decimal }
    }

    /// Of a JSON string or number.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        }
    }

    /// Of its text.
    pub fn parse(text: &str) -> Option<Self> {
        let split = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-')).unwrap_or(text.len());
        let (number, suffix) = text.split_at(split);
        let (form, factor_ten, factor_two) = match BINARY.iter().position(|s| *s == suffix && !s.is_empty()) {
            Some(at) => (Form::Binary, 0, 10 * at as u32),
            None => match DECIMAL.iter().find(|(s, _)| *s == suffix) {
                Some((_, ten)) => (Form::Decimal, *ten, 0),
                None => {
                    let exponent = suffix.strip_prefix(['e', 'E'])?;
                    (Form::Exponent, exponent.parse::<i32>().ok().filter(|e| (-40..=40).contains(e))?, 0)
                }
            },
        };
        let (negative, digits) = match number.as_bytes().first()? {
            b'-' => (true, &number[1..]),
            b'+' => (false, &number[1..]),
            _ => (false, number),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        // Thirty digits are more than any amount has; what is longer counts as the most there is.
        let significant = whole.trim_start_matches('0');
        if significant.len() > 24 {
            return Some(Self { nanos: if negative { -MOST } else { MOST }, form });
        }
        let kept = &fraction[..fraction.len().min(12)];
        let mantissa: i128 = format!("0{significant}{kept}").parse().ok()?;
        let scale = 9 + factor_ten - kept.len() as i32;
        let mut nanos = mantissa.checked_shl(factor_two).filter(|n| n >> factor_two == mantissa).unwrap_or(MOST);
        nanos = if scale >= 0 {
            10i128.checked_pow(scale.unsigned_abs()).and_then(|p| nanos.checked_mul(p)).unwrap_or(MOST)
        } else {
            let divisor = 10i128.checked_pow(scale.unsigned_abs()).unwrap_or(MOST);
            nanos / divisor + i128::from(nanos % divisor != 0)
        };
        nanos = nanos.min(MOST);
        Some(Self { nanos: if negative { -nanos } else { nanos }, form })
    }

    /// Both together, in the form of the first unless that is nothing.
    pub fn plus(self, other: Self) -> Self {
        let form = if self.nanos == 0 { other.form } else { self.form };
        Self { nanos: (self.nanos + other.nanos).clamp(-MOST, MOST), form }
    }

    /// The larger.
    pub fn or_more(self, other: Self) -> Self {
        if other.nanos > self.nanos { other } else { self }
    }

    /// Nothing at all.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Rounded up to whole units.
    pub fn rounded(self) -> Self {
        Self { nanos: ceil(self.nanos, NANO) * NANO, form: self.form }
    }

    /// Its canonical text.
    pub fn text(self) -> String {
        let small = self.nanos.abs() < 1024 * NANO;
        match self.form {
            Form::Binary if !small => {
                let mut number = ceil(self.nanos, NANO);
                let mut at = 0;
                while at + 1 < BINARY.len() && number != 0 && number % 1024 == 0 {
                    number /= 1024;
                    at += 1;
                }
                format!("{number}{}", BINARY[at])
            }
            Form::Exponent => match decimal(self.nanos) {
                (number, 0) => format!("{number}"),
                (number, ten) => format!("{number}e{ten}"),
            },
            _ => {
                let (number, ten) = decimal(self.nanos);
                let suffix = DECIMAL.iter().find(|(_, e)| *e == ten).map_or("", |(s, _)| s);
                format!("{number}{suffix}")
            }
        }
    }
}

fn ceil(nanos: i128, by: i128) -> i128 {
    nanos.div_euclid(by) + i128::from(nanos.rem_euclid(by) != 0)
}

/// The number without trailing thousands, and its power of ten in steps of three.
fn decimal(nanos: i128) -> (i128, i32) {
    if nanos == 0 {
        return (0, 0);
    }
    let (mut number, mut ten) = (nanos, -9);
    while number % 1000 == 0 && ten < 18 {
        number /= 1000;
        ten += 3;
    }
    (number, ten)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, canonical: &str) {
        assert_eq!(Quantity::parse(text).map(Quantity::text).as_deref(), Some(canonical), "{text}");
    }

    #[test]
    fn texts_are_canonical() {
        for (text, canonical) in [
            ("0", "0"),
            ("1", "1"),
            ("0.5", "500m"),
            ("1500m", "1500m"),
            ("1000m", "1"),
            ("1000", "1k"),
            ("1Gi", "1Gi"),
            ("1024Mi", "1Gi"),
            ("1025Mi", "1025Mi"),
            ("0.5Gi", "512Mi"),
            ("100Ki", "100Ki"),
            ("1e3", "1e3"),
            ("12e2", "1200"),
            ("-5m", "-5m"),
            ("1n", "1n"),
        ] {
            check(text, canonical);
        }
        for text in ["", "a", "1x", "e3", ".", "1e99", "--1"] {
            assert!(Quantity::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn sums_keep_the_form_of_the_first() {
        let q = |text| Quantity::parse(text).unwrap();
        assert_eq!(Quantity::whole(0).plus(q("1Gi")).text(), "1Gi");
        assert_eq!(q("1Gi").plus(q("1Gi")).text(), "2Gi");
        assert_eq!(q("100m").plus(q("0.9")).text(), "1");
        assert!(q("1Gi") > q("1G") && q("1") == q("1000m"));
        assert_eq!(q("9999999999999999999999999999").text(), q("9223372036854775807").text());
    }
}
