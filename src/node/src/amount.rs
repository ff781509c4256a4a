//! Reads the quantities of a pod's resources as whole numbers.
//!
//! In: Kubernetes quantities. Out: thousandths of a CPU, bytes, counts, rounded up as Kubernetes does. Text that is no
//! quantity counts as zero: the API server has refused it before.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A resource list, as it stands in a pod.
pub type Resources = BTreeMap<String, Quantity>;

/// The value in thousandths, rounded up.
pub fn millis(quantity: &Quantity) -> i64 {
    clamp(div_up(nanos(&quantity.0), 1_000_000))
}

/// The value in whole units, rounded up.
pub fn units(quantity: &Quantity) -> i64 {
    clamp(div_up(nanos(&quantity.0), 1_000_000_000))
}

/// A named entry of a list in thousandths; nothing is 0.
pub fn millis_of(list: Option<&Resources>, name: &str) -> i64 {
    list.and_then(|list| list.get(name)).map_or(0, millis)
}

/// A named entry of a list in whole units; nothing is 0.
pub fn units_of(list: Option<&Resources>, name: &str) -> i64 {
    list.and_then(|list| list.get(name)).map_or(0, units)
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

fn div_up(value: i128, by: i128) -> i128 {
    let whole = value / by;
    if value % by > 0 { whole + 1 } else { whole }
}

/// The value in billionths, saturating.
fn nanos(text: &str) -> i128 {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let scale: (i128, u32) = match suffix {
        "" => (1, 9),
        "n" => (1, 0),
        "u" => (1, 3),
        "m" => (1, 6),
        "k" => (1, 12),
        "M" => (1, 15),
        "G" => (1, 18),
        "T" => (1, 21),
        "P" => (1, 24),
        "E" => (1, 27),
        "Ki" => (1 << 10, 9),
        "Mi" => (1 << 20, 9),
        "Gi" => (1 << 30, 9),
        "Ti" => (1 << 40, 9),
        "Pi" => (1 << 50, 9),
        "Ei" => (1 << 60, 9),
        exponent => match exponent.trim_start_matches(['e', 'E']).parse::<i32>() {
            Ok(power) if (-9..=18).contains(&power) => (1, (9 + power) as u32),
            _ => return 0,
        },
    };
    let (negative, number) = match number.as_bytes().first() {
        Some(b'-') => (true, &number[1..]),
        Some(b'+') => (false, &number[1..]),
        _ => (false, number),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let power = |digits: u32| 10i128.checked_pow(digits).unwrap_or(i128::MAX);
    let mut value = whole.parse::<i128>().unwrap_or(0).saturating_mul(scale.0).saturating_mul(power(scale.1));
    let digits = fraction.len().min(18) as u32;
    if let Ok(part) = fraction[..digits as usize].parse::<i128>() {
        let part = part.saturating_mul(scale.0).saturating_mul(power(scale.1));
        value = value.saturating_add(div_up(part, power(digits)));
    }
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want_millis: i64, want_units: i64) {
        let quantity = Quantity(text.into());
        assert_eq!((millis(&quantity), units(&quantity)), (want_millis, want_units), "{text}");
    }

    #[test]
    fn quantities_are_read_in_every_form() {
        check("0", 0, 0);
        check("1", 1000, 1);
        check("100m", 100, 1);
        check("1.5", 1500, 2);
        check("0.0001", 1, 1);
        check("64Mi", (64 << 20) * 1000, 64 << 20);
        check("1.5Gi", 3 * (1 << 29) * 1000, 3 << 29);
        check("1e3", 1_000_000, 1000);
        check("2k", 2_000_000, 2000);
        check("500n", 1, 1);
        check("junk", 0, 0);
    }
}
