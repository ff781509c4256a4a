//! Lines of `Name:   value`, nested, aligned by level.
//!
//! In: names and values in order. Out: text. Never reorders.

use std::fmt::Write;
use std::time::SystemTime;

use kedge_api::clock;
use serde_json::Value;

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
            names.map(|(_, name, _)| name.chars().count()).max().unwrap_or(0)
        };
        let mut text = String::new();
        for (level, name, value) in &self.lines {
            let indent = "  ".repeat(*level);
            if value.is_empty() {
                let _ = writeln!(text, "{indent}{name}");
            } else {
                let _ = writeln!(text, "{indent}{name:width$}  {value}", width = width(*level));
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
fn heading(field: &str) -> String {
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

/// How long ago, as kubectl says it.
pub fn age(time: &str, now: SystemTime) -> String {
    clock::age(now, time)
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
    fn any_object_can_be_shown() {
        let mut page = Page::default();
        page.tree(0, "Spec", &json!({"maxSurge": 1, "list": [{"x": true}], "plain": ["a"]}));
        assert_eq!(page.text(), "Spec:\n  List:\n    X:  true\n  Max Surge:  1\n  Plain:\n    a\n");
    }
}
