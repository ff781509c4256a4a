//! Volumes of pods and pod templates, and what is behind persistent volumes.
//!
//! In: the list of a pod spec, or the spec of a persistent volume. Out: lines. Never looks into a volume.

mod sources;

use serde_json::Value;

use super::page::Page;
use super::storage;
use super::values::{LONGEST, flag, items, pairs, shortened, words};
use sources::{OF_PODS, PERSISTENT, Source, shown};

/// All volumes of a pod, or of a template, whose names stand one step to the right.
pub fn volumes(of_template: bool, list: &Value, page: &mut Page) {
    let level = usize::from(of_template);
    if items(list).next().is_none() {
        return page.line(level, "Volumes", "<none>");
    }
    page.head(level, "Volumes");
    for volume in items(list) {
        page.raw(1, format!("{}{}:", " ".repeat(level), words(&volume["name"])));
        behind(OF_PODS, volume, page);
    }
}

/// What is behind a persistent volume.
pub fn persistent(spec: &Value, page: &mut Page) {
    page.head(0, "Source");
    behind(&[PERSISTENT, OF_PODS].concat(), spec, page);
}

/// The first kind that is there.
fn behind(kinds: &[Source], volume: &Value, page: &mut Page) {
    let Some(source) = kinds.iter().find(|source| !volume[source.field].is_null()) else {
        return page.raw(1, "<unknown>");
    };
    let given = &volume[source.field];
    page.line(2, "Type", format!("{} ({})", source.name, source.meaning));
    for (title, field, how) in source.lines {
        page.raw(2, format!("{title}\t{}", shown(given, field, *how)));
    }
    match source.field {
        "csi" => attributes(&given["volumeAttributes"], page),
        "projected" => items(&given["sources"]).for_each(|source| projected(source, page)),
        "downwardAPI" => {
            page.head(2, "Items");
            items(&given["items"]).for_each(|item| downward(item, page));
        }
        "ephemeral" if !given["volumeClaimTemplate"].is_null() => {
            storage::claim_to_be(&given["volumeClaimTemplate"], page);
        }
        _ => {}
    }
}

/// What a driver is told: as kubectl has it, each value stands behind the blanks of its level once more.
fn attributes(map: &Value, page: &mut Page) {
    let all: Vec<String> = pairs(map).into_iter().map(|pair| format!("    {}", shortened(&pair, LONGEST))).collect();
    if all.is_empty() {
        return page.line(2, "VolumeAttributes", "<none>");
    }
    page.list_behind(2, "VolumeAttributes", 8, &all);
}

fn downward(item: &Value, page: &mut Page) {
    let path = words(&item["path"]);
    for (of, field) in [("fieldRef", "fieldPath"), ("resourceFieldRef", "resource")] {
        if !item[of].is_null() {
            page.raw(3, format!("{} -> {path}", words(&item[of][field])));
        }
    }
}

fn projected(source: &Value, page: &mut Page) {
    let is = |kind: &str| !source[kind].is_null();
    let named = |title: &str, of: &Value, page: &mut Page| {
        page.line(2, title, words(&of["name"]));
        page.line(2, "Optional", flag(&of["optional"]));
    };
    if is("secret") {
        named("SecretName", &source["secret"], page);
    } else if is("downwardAPI") {
        page.line(2, "DownwardAPI", "true");
    } else if is("configMap") {
        named("ConfigMapName", &source["configMap"], page);
    } else if is("serviceAccountToken") {
        page.line(2, "TokenExpirationSeconds", words(&source["serviceAccountToken"]["expirationSeconds"]));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page;

    #[track_caller]
    fn check(mut volume: Value, expected: &str) {
        volume["name"] = json!("v");
        page::check(|page| volumes(false, &json!([volume]), page), &format!("Volumes:\n  v:\n{expected}"));
    }

    #[test]
    fn volumes_say_what_they_are() {
        check(
            json!({"emptyDir": {"sizeLimit": "0.5Gi"}}),
            "    Type:       EmptyDir (a temporary directory that shares a pod's lifetime)\n    Medium:     \n    SizeLimit:  512Mi\n",
        );
        check(
            json!({"configMap": {"name": "c"}}),
            "    Type:      ConfigMap (a volume populated by a ConfigMap)\n    Name:      c\n    Optional:  false\n",
        );
        check(
            json!({"projected": {"sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607}}, {"configMap": {"name": "ca"}}, {"downwardAPI": {}}]}}),
            "    Type:                    Projected (a volume that contains injected data from multiple sources)\n    TokenExpirationSeconds:  3607\n    ConfigMapName:           ca\n    Optional:                false\n    DownwardAPI:             true\n",
        );
        check(
            json!({"nfs": {"server": "s", "path": "/p"}}),
            "    Type:      NFS (an NFS mount that lasts the lifetime of a pod)\n    Server:    s\n    Path:      /p\n    ReadOnly:  false\n",
        );
        check(json!({"other": {}}), "  <unknown>\n");
    }

    #[test]
    fn attributes_stand_as_kubectl_has_them() {
        check(
            json!({"csi": {"driver": "d", "volumeAttributes": {"a": "b", "c": "d"}}}),
            "    Type:              CSI (a Container Storage Interface (CSI) volume source)\n    Driver:            d\n    FSType:            \n    ReadOnly:          false\n    VolumeAttributes:      a=b\n                           c=d\n",
        );
    }

    #[test]
    fn persistent_volumes_name_the_namespace_of_their_secrets() {
        page::check(
            |page| {
                persistent(&json!({"azureFile": {"secretName": "s", "secretNamespace": "n", "shareName": "h"}}), page)
            },
            "Source:\n    Type:             AzureFile (an Azure File Service mount on the host and bind mount to the pod)\n    SecretName:       s\n    SecretNamespace:  n\n    ShareName:        h\n    ReadOnly:         false\n",
        );
    }
}
