//! Lines of `Name:   value`, nested, aligned by level.
//!
//! In: names and values in order. Out: text. Never reorders.

use std::fmt::Write;
use std::time::SystemTime;

use kedge_api::clock;
use serde_json::Value;

use crate::screen::{padded, safe};

/// A page being written.
#[derive(Default)]
pub struct Page {
    lines: Vec<(usize, String, String)>,
}

impl Page {
    /// `name:  value`; an empty value is `<none>`.
    pub fn line(&mut self, level: usize, name: &str, value: impl Into<String>) {
        let value = value.into();
        let value = if value.is_empty() { "<none>".to_owned() } else { value };
        self.lines.push((level, format!("{name}:"), value));
    }

    /// A heading without a value.
    pub fn head(&mut self, level: usize, name: &str) {
        self.lines.push((level, format!("{name}:"), String::new()));
    }

    /// A line as it is.
    pub fn raw(&mut self, level: usize, text: impl Into<String>) {
        self.lines.push((level, text.into(), String::new()));
    }

    /// Another value below the last one.
    pub fn below(&mut self, level: usize, value: impl Into<String>) {
        self.lines.push((level, String::new(), value.into()));
    }

    /// A line only if there is a value.
    pub fn some(&mut self, level: usize, name: &str, value: &Value) {
        if !value.is_null() {
            self.line(level, name, words(value));
        }
    }

    /// `key=value` pairs, one below the other.
    pub fn pairs(&mut self, level: usize, name: &str, map: &Value, between: &str) {
        let pairs: Vec<String> = map
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| format!("{key}{between}{}", words(value)))
            .collect();
        if pairs.is_empty() {
            return self.line(level, name, "");
        }
        for (i, pair) in pairs.into_iter().enumerate() {
            let name = if i == 0 { format!("{name}:") } else { String::new() };
            self.lines.push((level, name, pair));
        }
    }

    /// Rows below a head and its dashes, in columns of their own.
    pub fn table(&mut self, level: usize, head: &[&str], rows: &[Vec<String>]) {
        let dashes = head.iter().map(|title| "-".repeat(title.chars().count())).collect();
        let mut all = vec![head.iter().map(|title| (*title).to_owned()).collect(), dashes];
        all.extend(rows.iter().map(|row| row.iter().map(|cell| safe(cell).into_owned()).collect()));
        let width = |i: usize| all.iter().filter_map(|row: &Vec<String>| row.get(i)).map(|c| c.chars().count()).max();
        let widths: Vec<usize> = (0..head.len()).map(|i| width(i).unwrap_or(0)).collect();
        for row in &all {
            let line: String = row.iter().zip(&widths).map(|(cell, width)| padded(cell, *width) + "  ").collect();
            self.raw(level, line.trim_end());
        }
    }

    /// Everything below a heading, field by field.
    pub fn tree(&mut self, level: usize, name: &str, value: &Value) {
        match value {
            Value::Object(map) if map.is_empty() => {}
            Value::Object(map) => {
                self.head(level, name);
                map.iter().for_each(|(key, value)| self.tree(level + 1, &heading(key), value));
            }
            Value::Array(all) if all.iter().all(|v| !v.is_object() && !v.is_array()) => {
                self.head(level, name);
                all.iter().for_each(|v| self.raw(level + 1, words(v)));
            }
            Value::Array(all) => {
                self.head(level, name);
                for each in all {
                    each.as_object().into_iter().flatten().for_each(|(k, v)| self.tree(level + 1, &heading(k), v));
                }
            }
            other => self.line(level, name, words(other)),
        }
    }

    /// The text; values of one level stand below each other.
    pub fn text(&self) -> String {
        let width = |level: usize| {
            let names = self.lines.iter().filter(|(l, _, value)| *l == level && !value.is_empty());
            names.map(|(_, name, _)| safe(name).chars().count()).max().unwrap_or(0)
        };
        let mut text = String::new();
        for (level, name, value) in &self.lines {
            let (name, value) = (safe(name), safe(value));
            let indent = "  ".repeat(*level);
            if value.is_empty() {
                let _ = writeln!(text, "{indent}{name}");
            } else {
                let _ = writeln!(text, "{indent}{}  {value}", padded(&name, width(*level)));
            }
        }
        text
    }
}

/// Strings as they are, everything else as JSON.
pub fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `creationTimestamp` as `Creation Timestamp`.
pub fn heading(field: &str) -> String {
    let mut text = String::new();
    for (i, c) in field.chars().enumerate() {
        if i == 0 {
            text.extend(c.to_uppercase());
        } else {
            if c.is_uppercase() {
                text.push(' ');
            }
            text.push(c);
        }
    }
    text
}

/// The items of a list; of anything else none.
pub fn items(value: &Value) -> std::slice::Iter<'_, Value> {
    value.as_array().map_or(&[][..], Vec::as_slice).iter()
}

/// The items of a list in one line.
pub fn joined(value: &Value, between: &str) -> String {
    items(value).map(words).collect::<Vec<_>>().join(between)
}

/// What stands there, or `<unset>`.
pub fn or_unset(value: &Value) -> String {
    if value.is_null() { "<unset>".to_owned() } else { words(value) }
}

/// A label selector in its text form; empty when it selects everything or nothing.
pub fn selector(value: &Value) -> String {
    let labels = value["matchLabels"].as_object().into_iter().flatten();
    let mut terms: Vec<(String, String)> =
        labels.map(|(key, value)| (key.clone(), format!("{key}={}", words(value)))).collect();
    for term in items(&value["matchExpressions"]) {
        let (key, values) = (words(&term["key"]), joined(&term["values"], ","));
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

/// A time as kubectl shows it: `Mon, 30 Nov 2026 14:32:54 +0000`. What is no time stays as it is.
pub fn moment(value: &Value) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = words(value);
    let shown = clock::parse(&text).and_then(|time| {
        let day = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs() / 86_400;
        let plain = clock::rfc3339(time);
        let month = MONTHS.get(plain.get(5..7)?.parse::<usize>().ok()?.checked_sub(1)?)?;
        let weekday = DAYS[usize::try_from(day % 7).ok()?];
        let (date, year, hours) = (plain.get(8..10)?, plain.get(..4)?, plain.get(11..19)?);
        Some(format!("{weekday}, {date} {month} {year} {hours} +0000"))
    });
    shown.unwrap_or(text)
}

/// How long ago, as kubectl says it.
pub fn age(time: &str, now: SystemTime) -> String {
    clock::age(now, time)
}

/// Compares a page with its text.
#[cfg(test)]
#[track_caller]
pub fn check(write: impl FnOnce(&mut Page), expected: &str) {
    let mut page = Page::default();
    write(&mut page);
    assert_eq!(page.text(), expected);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_a_level_are_aligned() {
        let mut page = Page::default();
        page.line(0, "Name", "web");
        page.line(0, "Namespace", "");
        page.head(0, "Spec");
        page.pairs(1, "Labels", &json!({"a": "1", "b": "2"}), "=");
        assert_eq!(page.text(), "Name:       web\nNamespace:  <none>\nSpec:\n  Labels:  a=1\n           b=2\n");
    }

    #[test]
    fn a_table_has_columns_of_its_own() {
        let mut page = Page::default();
        page.table(1, &["Kind", "Name"], &[vec!["User".to_owned(), "jane".to_owned()], vec!["Group".to_owned()]]);
        assert_eq!(page.text(), "  Kind   Name\n  ----   ----\n  User   jane\n  Group\n");
    }

    #[test]
    fn a_page_moves_no_cursor() {
        let mut page = Page::default();
        page.line(0, "N\u{1b}", "a\rb");
        page.table(0, &["X", "Y"], &[vec!["\u{1b}c".to_owned(), "d".to_owned()]]);
        assert_eq!(page.text(), "N^[:  a\\rb\nX    Y\n-    -\n^[c  d\n");
    }

    #[test]
    fn times_have_their_weekday() {
        for (time, expected) in [
            ("2026-11-30T14:32:54Z", "Mon, 30 Nov 2026 14:32:54 +0000"),
            ("2024-02-29T01:00:00+02:00", "Wed, 28 Feb 2024 23:00:00 +0000"),
            ("1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 +0000"),
            ("2026-11-30T14:32:54.123456Z", "Mon, 30 Nov 2026 14:32:54 +0000"),
            ("soon", "soon"),
        ] {
            assert_eq!(moment(&json!(time)), expected);
        }
    }

    #[test]
    fn selectors_are_told_by_key() {
        let wanted = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
            {"key": "x", "operator": "In", "values": ["1", "2"]}, {"key": "a", "operator": "DoesNotExist"},
        ]});
        assert_eq!(selector(&wanted), "!a,app=web,x in (1,2)");
        assert_eq!(selector(&json!({})), "");
    }

    #[test]
    fn any_object_can_be_shown() {
        let mut page = Page::default();
        page.tree(0, "Spec", &json!({"maxSurge": 1, "list": [{"x": true}], "plain": ["a"]}));
        assert_eq!(page.text(), "Spec:\n  List:\n    X:  true\n  Max Surge:  1\n  Plain:\n    a\n");
    }
}
