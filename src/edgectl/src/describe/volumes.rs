//! Volumes of pods and pod templates.
//!
//! In: the list of a pod spec. Out: lines; of kinds that are seldom used, field by field. Never looks into a volume.

use serde_json::Value;

use super::page::{Page, items, or_unset, words};

/// Kinds of volumes: the field, what it is called, and what it is.
const KINDS: [(&str, &str, &str); 7] = [
    ("configMap", "ConfigMap", "a volume populated by a ConfigMap"),
    ("downwardAPI", "DownwardAPI", "a volume populated by information about the pod"),
    ("emptyDir", "EmptyDir", "a temporary directory that shares a pod's lifetime"),
    ("hostPath", "HostPath", "bare host directory volume"),
    ("persistentVolumeClaim", "PersistentVolumeClaim", "a reference to a PersistentVolumeClaim in the same namespace"),
    ("projected", "Projected", "a volume that contains injected data from multiple sources"),
    ("secret", "Secret", "a volume populated by a Secret"),
];

/// All volumes.
pub fn volumes(level: usize, list: &Value, page: &mut Page) {
    if items(list).next().is_none() {
        return page.line(level, "Volumes", "");
    }
    page.head(level, "Volumes");
    for volume in items(list) {
        page.head(level + 1, &words(&volume["name"]));
        match KINDS.iter().find(|(field, ..)| !volume[*field].is_null()) {
            Some((field, name, meaning)) => {
                page.line(level + 2, "Type", format!("{name} ({meaning})"));
                known(level + 2, field, &volume[*field], page);
            }
            None => {
                for (key, value) in volume.as_object().into_iter().flatten().filter(|(key, _)| *key != "name") {
                    page.tree(level + 2, key, value);
                }
            }
        }
    }
}

fn known(level: usize, field: &str, volume: &Value, page: &mut Page) {
    let optional = |of: &Value| (of["optional"] == true).to_string();
    match field {
        "configMap" => {
            page.line(level, "Name", words(&volume["name"]));
            page.line(level, "Optional", optional(volume));
        }
        "secret" => {
            page.line(level, "SecretName", words(&volume["secretName"]));
            page.line(level, "Optional", optional(volume));
        }
        "emptyDir" => {
            page.line(level, "Medium", words(&volume["medium"]));
            page.line(level, "SizeLimit", or_unset(&volume["sizeLimit"]));
        }
        "hostPath" => {
            page.line(level, "Path", words(&volume["path"]));
            page.line(level, "HostPathType", words(&volume["type"]));
        }
        "persistentVolumeClaim" => {
            page.line(level, "ClaimName", words(&volume["claimName"]));
            page.line(level, "ReadOnly", (volume["readOnly"] == true).to_string());
        }
        "projected" => items(&volume["sources"]).for_each(|source| projected(level, source, page)),
        _ => {
            page.head(level, "Items");
            for item in items(&volume["items"]) {
                let of = item["fieldRef"]["fieldPath"].as_str().or(item["resourceFieldRef"]["resource"].as_str());
                page.raw(level + 1, format!("{} -> {}", of.unwrap_or(""), words(&item["path"])));
            }
        }
    }
}

fn projected(level: usize, source: &Value, page: &mut Page) {
    for (field, name) in [("secret", "SecretName"), ("configMap", "ConfigMapName")] {
        if !source[field].is_null() {
            page.line(level, name, words(&source[field]["name"]));
            page.line(level, "Optional", (source[field]["optional"] == true).to_string());
        }
    }
    if !source["downwardAPI"].is_null() {
        page.line(level, "DownwardAPI", "true");
    }
    if let Some(seconds) = source["serviceAccountToken"]["expirationSeconds"].as_i64() {
        page.line(level, "TokenExpirationSeconds", seconds.to_string());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page;

    #[track_caller]
    fn check(volume: Value, expected: &str) {
        page::check(|page| volumes(0, &json!([volume]), page), &format!("Volumes:\n  v:\n{expected}"));
    }

    #[test]
    fn volumes_say_what_they_are() {
        check(
            json!({"name": "v", "emptyDir": {}}),
            "    Type:       EmptyDir (a temporary directory that shares a pod's lifetime)\n    Medium:     <none>\n    SizeLimit:  <unset>\n",
        );
        check(
            json!({"name": "v", "configMap": {"name": "c"}}),
            "    Type:      ConfigMap (a volume populated by a ConfigMap)\n    Name:      c\n    Optional:  false\n",
        );
        check(
            json!({"name": "v", "projected": {"sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607}}, {"configMap": {"name": "ca"}}, {"downwardAPI": {}}]}}),
            "    Type:                    Projected (a volume that contains injected data from multiple sources)\n    TokenExpirationSeconds:  3607\n    ConfigMapName:           ca\n    Optional:                false\n    DownwardAPI:             true\n",
        );
        check(json!({"name": "v", "nfs": {"server": "s"}}), "    nfs:\n      Server:  s\n");
    }
}
