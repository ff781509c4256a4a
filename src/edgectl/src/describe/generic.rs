//! The page of a kind that has none of its own.
//!
//! In: any object. Out: its fields in order, each with a title. Leaves out `managedFields` only.

use serde_json::Value;

use super::page::Page;
use super::values::items;
use crate::output::go;

/// Words that are written in capitals.
const CAPITALS: [&str; 4] = ["API", "URL", "UID", "GUID"];
/// Fields of the metadata that stand elsewhere on the page, or nowhere.
const ELSEWHERE: [&str; 5] = ["managedFields", "name", "namespace", "labels", "annotations"];

/// All fields of an object.
pub fn fields(object: &Value, page: &mut Page) {
    for (key, value) in object.as_object().into_iter().flatten() {
        if key != "metadata" {
            field(0, key, value, page);
            continue;
        }
        page.head(0, "Metadata");
        let meta = value.as_object().into_iter().flatten();
        meta.filter(|(key, _)| !ELSEWHERE.contains(&key.as_str())).for_each(|(key, value)| field(1, key, value, page));
    }
}

fn field(level: usize, key: &str, value: &Value, page: &mut Page) {
    let title = title(key);
    match value {
        Value::Object(map) => {
            page.head(level, &title);
            map.iter().for_each(|(key, value)| field(level + 1, key, value, page));
        }
        Value::Array(_) => {
            page.head(level, &title);
            for each in items(value) {
                match each {
                    Value::Object(map) => map.iter().for_each(|(key, value)| field(level + 1, key, value, page)),
                    other => page.raw(level + 1, go(other)),
                }
            }
        }
        other => page.line(level, &title, go(other)),
    }
}

/// `creationTimestamp` as `Creation Timestamp`, `uid` as `UID`; a name that has more than letters stays as it is.
fn title(field: &str) -> String {
    if !field.chars().all(|c| c.is_alphabetic() || c == '-') {
        return field.to_owned();
    }
    let parts = parts(field);
    let mut words: Vec<String> = Vec::new();
    let mut rest = parts.iter().peekable();
    while let Some(part) = rest.next() {
        let mut word = part.clone();
        let in_capitals = part.len() >= 2 && !part.chars().any(|c| c.is_alphabetic() && !c.is_uppercase());
        // Of `podIPs`, the last capital has gone to the `s`.
        if in_capitals && let Some(next) = rest.next_if(|next| next.starts_with(char::is_uppercase)) {
            word += next;
            words.push(word);
            continue;
        }
        if CAPITALS.contains(&word.to_uppercase().as_str()) {
            word = word.to_uppercase();
        } else if word.to_lowercase() == word {
            let mut letters = word.chars();
            word = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters.clone()).collect();
        }
        words.push(word);
    }
    words.join(" ")
}

/// The words of a name: `hostIPs` has `host`, `I` and `Ps`.
fn parts(field: &str) -> Vec<String> {
    let class = |c: char| (c.is_lowercase(), c.is_uppercase());
    let mut parts: Vec<String> = Vec::new();
    let mut last = None;
    for c in field.chars() {
        match parts.last_mut() {
            Some(part) if last == Some(class(c)) => part.push(c),
            _ => parts.push(c.to_string()),
        }
        last = Some(class(c));
    }
    // The last capital before small letters is theirs.
    for i in 1..parts.len() {
        let (before, after) = parts.split_at_mut(i);
        if before[i - 1].starts_with(char::is_uppercase)
            && after[0].starts_with(char::is_lowercase)
            && let Some(capital) = before[i - 1].pop()
        {
            after[0].insert(0, capital);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page::check;

    #[test]
    fn fields_have_titles() {
        for (given, expected) in [
            ("creationTimestamp", "Creation Timestamp"),
            ("uid", "UID"),
            ("apiVersion", "API Version"),
            ("podIP", "Pod IP"),
            ("podIPs", "Pod I Ps"),
            ("serverURLs", "Server URLs"),
            ("HTTPHeader", "HTTPHeader"),
            ("a.b/c", "a.b/c"),
            ("v1", "v1"),
            ("x-kubernetes", "X - Kubernetes"),
            ("é", "É"),
            ("", ""),
        ] {
            assert_eq!(title(given), expected);
        }
    }

    #[test]
    fn any_object_can_be_shown() {
        let object = json!({"data": {"maxSurge": 1, "list": [{"x": true}, "y"], "none": null, "empty": {}, "deep": [[1, {"a": "b"}]]},
            "metadata": {"name": "n", "uid": "u", "managedFields": []}, "kind": "Kettle"});
        check(
            |page| fields(&object, page),
            "Data:\n  Deep:\n    [1 map[a:b]]\n  Empty:\n  List:\n    X:  true\n    y\n  Max Surge:  1\n  None:       <nil>\nKind:         Kettle\nMetadata:\n  UID:  u\n",
        );
    }

    #[test]
    fn fractions_are_those_of_go() {
        for (given, expected) in [(0.5, "0.5"), (1.0, "1"), (1e6, "1e+06"), (1e21, "1e+21"), (2.5e-7, "2.5e-07")] {
            assert_eq!(go(&Value::from(given)), expected);
        }
    }
}
