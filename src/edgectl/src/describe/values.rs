//! Values of objects in words.
//!
//! In: values, of whatever form a server gave them. Out: text. Never fails: what is not as it should be is shown as it is.

use std::time::SystemTime;

use kedge_api::clock;
use kedge_api::quantity::Quantity;
use serde_json::Value;

/// The most bytes of an annotation in one line.
pub const LONGEST: usize = 140;

/// Strings as they are, everything else as JSON.
pub fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A number that is zero where it is left out.
pub fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// The items of a list; of anything else none.
pub fn items(value: &Value) -> std::slice::Iter<'_, Value> {
    value.as_array().map_or(&[][..], Vec::as_slice).iter()
}

/// The items of a list in one line.
pub fn joined(value: &Value, between: &str) -> String {
    items(value).map(words).collect::<Vec<_>>().join(between)
}

/// A list as Go prints it: `[a b]`.
pub fn bracketed(value: &Value) -> String {
    format!("[{}]", joined(value, " "))
}

/// The text, or `<none>`.
pub fn or_none(text: impl Into<String>) -> String {
    let text = text.into();
    if text.is_empty() { "<none>".to_owned() } else { text }
}

/// What stands there, or `<unset>`.
pub fn or_unset(value: &Value) -> String {
    if value.is_null() { "<unset>".to_owned() } else { words(value) }
}

/// `True` or `False`, or `<unset>`.
pub fn truth(value: &Value) -> &'static str {
    match value {
        Value::Null => "<unset>",
        Value::Bool(true) => "True",
        _ => "False",
    }
}

/// `true` or `false`; what is left out is false.
pub fn flag(value: &Value) -> &'static str {
    if *value == true { "true" } else { "false" }
}

/// An amount in its shortest form; none at all is `0`.
pub fn amount(value: &Value) -> String {
    match Quantity::from_json(value) {
        Ok(quantity) => quantity.to_string(),
        Err(_) if value.is_null() => "0".to_owned(),
        Err(_) => words(value),
    }
}

/// `key=value` for each entry.
pub fn pairs(map: &Value) -> Vec<String> {
    map.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", words(value))).collect()
}

/// All entries in one line, or `<none>`.
pub fn in_line(map: &Value) -> String {
    or_none(pairs(map).join(","))
}

/// Annotations but for what was applied last, which nobody wants to read. Long values and those of several lines stand
/// below their key.
pub fn annotations(map: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for (key, value) in map.as_object().into_iter().flatten().filter(|(key, _)| *key != crate::apply::LAST_APPLIED) {
        let value = words(value);
        let value = value.strip_suffix('\n').unwrap_or(&value);
        if key.len() + value.len() + 2 <= LONGEST && !value.contains('\n') {
            all.push(format!("{key}: {value}"));
            continue;
        }
        all.push(format!("{key}:"));
        all.extend(value.split('\n').map(|line| format!("  {}", shortened(line, LONGEST - 2))));
    }
    all
}

/// At most so many bytes of a text, and dots for the rest.
pub fn shortened(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end])
}

/// A label selector in its text form; empty when it selects everything or nothing.
pub fn selector(value: &Value) -> String {
    let labels = value["matchLabels"].as_object().into_iter().flatten();
    let mut terms: Vec<(String, String)> =
        labels.map(|(key, value)| (key.clone(), format!("{key}={}", words(value)))).collect();
    for term in items(&value["matchExpressions"]) {
        let mut values: Vec<String> = items(&term["values"]).map(words).collect();
        values.sort();
        let (key, values) = (words(&term["key"]), values.join(","));
        let text = match term["operator"].as_str().unwrap_or("") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        };
        terms.push((key, text));
    }
    terms.sort();
    terms.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",")
}

/// A time as kubectl shows it: `Mon, 30 Nov 2026 14:32:54 +0000`. No time at all is the first of all days; what is no
/// time stays as it is.
pub fn moment(value: &Value) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    if value.is_null() {
        return "Mon, 01 Jan 0001 00:00:00 +0000".to_owned();
    }
    let text = words(value);
    let shown = clock::parse(&text).and_then(|time| {
        let seconds = clock::seconds_since(time, "1970-01-01T00:00:00Z")?;
        let plain = clock::rfc3339(time);
        let month = MONTHS.get(plain.get(5..7)?.parse::<usize>().ok()?.checked_sub(1)?)?;
        let weekday = DAYS[usize::try_from(seconds.div_euclid(86_400).rem_euclid(7)).ok()?];
        let (date, year, hours) = (plain.get(8..10)?, plain.get(..4)?, plain.get(11..19)?);
        Some(format!("{weekday}, {date} {month} {year} {hours} +0000"))
    });
    shown.unwrap_or(text)
}

/// How long ago, as kubectl says it.
pub fn age(time: &Value, now: SystemTime) -> String {
    clock::age(now, time.as_str().unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_have_their_weekday() {
        for (time, expected) in [
            (json!("2026-11-30T14:32:54Z"), "Mon, 30 Nov 2026 14:32:54 +0000"),
            (json!("2024-02-29T01:00:00+02:00"), "Wed, 28 Feb 2024 23:00:00 +0000"),
            (json!("1970-01-01T00:00:00Z"), "Thu, 01 Jan 1970 00:00:00 +0000"),
            (json!("1969-12-31T23:59:59Z"), "Wed, 31 Dec 1969 23:59:59 +0000"),
            (json!("2026-11-30T14:32:54.123456Z"), "Mon, 30 Nov 2026 14:32:54 +0000"),
            (json!("soon"), "soon"),
            (Value::Null, "Mon, 01 Jan 0001 00:00:00 +0000"),
        ] {
            assert_eq!(moment(&time), expected);
        }
    }

    #[test]
    fn selectors_are_told_by_key() {
        let wanted = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
            {"key": "x", "operator": "In", "values": ["2", "1"]}, {"key": "a", "operator": "DoesNotExist"},
        ]});
        assert_eq!(selector(&wanted), "!a,app=web,x in (1,2)");
        assert_eq!(selector(&json!({})), "");
    }

    #[test]
    fn long_annotations_stand_below_their_key() {
        let long = "ä".repeat(100);
        let map = json!({"a": "b\n", "l": long, "m": "x\ny", crate::apply::LAST_APPLIED: "{}"});
        let cut = format!("  {}...", "ä".repeat(69));
        assert_eq!(annotations(&map), ["a: b", "l:", &cut, "m:", "  x", "  y"]);
        assert!(annotations(&json!({crate::apply::LAST_APPLIED: "{}"})).is_empty());
    }

    #[test]
    fn amounts_have_one_form() {
        for (given, expected) in
            [(json!("0.5Gi"), "512Mi"), (json!(2), "2"), (json!("1000m"), "1"), (Value::Null, "0"), (json!("x"), "x")]
        {
            assert_eq!(amount(&given), expected);
        }
    }
}
