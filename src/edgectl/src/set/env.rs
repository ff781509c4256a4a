//! Environment variables of containers: read from words, put into containers, listed.
//!
//! In: words, config maps, secrets. Out: changed containers, or lines. Never shows a secret's value.

use std::fmt::Write;

use serde_json::{Value, json};

use super::is_like;
use crate::error::Failure;
use crate::session::Session;

/// What shall become of variables.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// Entries as a container has them.
    set: Vec<Value>,
    removed: Vec<String>,
    overwrite: bool,
}

/// Words that name objects, and changes.
pub fn read(words: Vec<String>, more: Vec<String>, overwrite: bool) -> Result<(Vec<String>, Changes), Failure> {
    let (mut names, mut changes) = (Vec::new(), Changes { overwrite, ..Changes::default() });
    let is_change = |word: &str| word.contains('=') || (word.ends_with('-') && word.len() > 1);
    let (given, rest): (Vec<String>, Vec<String>) = words.into_iter().partition(|word| is_change(word));
    names.extend(rest);
    for word in given.into_iter().chain(more) {
        match word.split_once('=') {
            Some((key, value)) if !key.is_empty() => changes.set.push(json!({"name": key, "value": value})),
            None if is_change(&word) => changes.removed.push(word[..word.len() - 1].to_owned()),
            _ => {
                return Err(Failure::said(format!(
                    "invalid environment variable {word}: it must be KEY=VALUE or KEY-"
                )));
            }
        }
    }
    let both = changes.set.iter().find(|entry| changes.removed.iter().any(|key| entry["name"] == **key));
    if let Some(entry) = both {
        let key = entry["name"].as_str().unwrap_or("");
        return Err(Failure::said(format!("can not both modify and remove an environment variable: {key}")));
    }
    Ok((names, changes))
}

/// Entries for the keys of a config map or secret.
pub async fn source(session: &Session, from: &str, keys: &[String], prefix: &str) -> Result<Vec<Value>, Failure> {
    let wrong = || Failure::said(format!("--from {from}: it must be configmap/NAME or secret/NAME"));
    let (of, name) = from.split_once('/').ok_or_else(wrong)?;
    let resource = session.catalogue().await?.find(of)?.clone();
    let field = match resource.kind.as_str() {
        "ConfigMap" => "configMapKeyRef",
        "Secret" => "secretKeyRef",
        _ => return Err(wrong()),
    };
    let object = session.client.get(&resource.path(Some(&session.namespace)).name(name)).await?;
    let data = object["data"].as_object().into_iter().flatten().map(|(key, _)| key);
    Ok(data
        .filter(|key| keys.is_empty() || keys.contains(key))
        .map(|key| json!({"name": variable(prefix, key), "valueFrom": {field: {"name": name, "key": key}}}))
        .collect())
}

/// `db.user` as `DB_USER`.
fn variable(prefix: &str, key: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    prefix.chars().chain(key.chars().map(plain)).collect()
}

impl Changes {
    /// Adds entries.
    pub fn from(&mut self, entries: Vec<Value>) {
        self.set.extend(entries);
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty()
    }

    /// Changes a container. What is there stays in its place.
    pub fn put(&self, container: &mut Value) -> Result<(), Failure> {
        let mut held = container["env"].as_array().cloned().unwrap_or_default();
        held.retain(|entry| !self.removed.iter().any(|key| entry["name"] == **key));
        for entry in &self.set {
            match held.iter_mut().find(|old| old["name"] == entry["name"]) {
                Some(old) if old == entry => {}
                Some(_) if !self.overwrite => {
                    let key = entry["name"].as_str().unwrap_or("");
                    return Err(Failure::said(format!("'{key}' already has a value, and --overwrite is false")));
                }
                Some(old) => old.clone_from(entry),
                None => held.push(entry.clone()),
            }
        }
        container["env"] = json!(held);
        Ok(())
    }
}

/// The variables of containers.
pub fn list(kind: &str, name: &str, spec: &Value, pattern: &str) -> String {
    let mut text = String::new();
    for container in spec["containers"].as_array().into_iter().flatten() {
        let called = container["name"].as_str().unwrap_or("");
        if !is_like(called, pattern) {
            continue;
        }
        let _ = writeln!(text, "# {kind} {name}, container {called}");
        for entry in container["env"].as_array().into_iter().flatten() {
            let word = |value: &Value| value.as_str().unwrap_or("").to_owned();
            let (key, from) = (word(&entry["name"]), &entry["valueFrom"]);
            let place = |field: &str, what: &str| {
                let of = from.get(field)?;
                Some(format!("{what} {}, key {}", word(&of["name"]), word(&of["key"])))
            };
            let of = place("configMapKeyRef", "configmap").or_else(|| place("secretKeyRef", "secret")).or_else(|| {
                let path = from.get("fieldRef").map(|of| format!("field path {}", word(&of["fieldPath"])));
                path.or_else(|| Some(format!("resource field {}", word(&from.get("resourceFieldRef")?["resource"]))))
            });
            let _ = match of {
                Some(of) => writeln!(text, "# {key} from {of}"),
                None => writeln!(text, "{key}={}", word(&entry["value"])),
            };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn words_are_names_or_changes() {
        let (names, changes) = read(words("deploy web A=b C- D=e=f"), vec!["E=".to_owned()], true).unwrap();
        assert_eq!(names, ["deploy", "web"]);
        let set: Vec<String> = changes.set.iter().map(|e| format!("{}{}", e["name"], e["value"])).collect();
        assert_eq!(set, ["\"A\"\"b\"", "\"D\"\"e=f\"", "\"E\"\"\""]);
        assert_eq!(changes.removed, ["C"]);
        assert!(read(words("deploy A=b A-"), Vec::new(), true).is_err());
        assert!(read(words("deploy =b"), Vec::new(), true).is_err());
        assert!(read(words("deploy"), vec!["A".to_owned()], true).is_err());
    }

    #[test]
    fn containers_keep_the_order_of_their_variables() {
        let mut container = json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]});
        let (_, changes) = read(words("B=3 A- C=4"), Vec::new(), true).unwrap();
        changes.put(&mut container).unwrap();
        assert_eq!(container["env"], json!([{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]));
        let (_, kept) = read(words("B=5"), Vec::new(), false).unwrap();
        assert!(kept.put(&mut container).unwrap_err().to_string().contains("'B' already has a value"));
        let (_, same) = read(words("B=3"), Vec::new(), false).unwrap();
        assert!(same.put(&mut container).is_ok());
    }

    #[test]
    fn keys_become_names_of_variables() {
        assert_eq!(variable("x_", "db.user-name"), "x_DB_USER_NAME");
    }

    #[test]
    fn a_list_says_where_values_come_from() {
        let spec = json!({"containers": [{"name": "a", "env": [
            {"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}, {"name": "b"}]});
        assert_eq!(
            list("Pod", "p", &spec, "a"),
            "# Pod p, container a\nA=1\n# B from secret s, key k\n# C from field path metadata.name\n"
        );
    }
}
