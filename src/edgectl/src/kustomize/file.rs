//! What a kustomization.yaml says.
//!
//! In: a folder. Out: its kustomization, typed. A field that is not known is refused by its name, and so is one that
//! kustomize knows and this program does not.

use std::collections::BTreeMap;

use kedge_api::decode::{self, Limits};
use serde::Deserialize;
use serde_json::Value;

use super::paths::Folder;
use crate::error::Failure;

/// The names that a kustomization may have.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// What kustomize does and this program does not.
const OTHERS: [&str; 12] = [
    "openapi",
    "replacements",
    "vars",
    "crds",
    "helmGlobals",
    "helmCharts",
    "helmChartInflationGenerator",
    "configurations",
    "generators",
    "transformers",
    "validators",
    "buildMetadata",
];

/// Labels or annotations.
pub type Pairs = BTreeMap<String, String>;

/// A kustomization.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Kustomization {
    pub api_version: String,
    pub kind: String,
    /// Nothing follows from it.
    pub metadata: Value,
    pub resources: Vec<String>,
    pub bases: Vec<String>,
    pub components: Vec<String>,
    pub namespace: String,
    pub name_prefix: String,
    pub name_suffix: String,
    pub common_labels: Pairs,
    pub labels: Vec<Label>,
    pub common_annotations: Pairs,
    pub images: Vec<Image>,
    pub replicas: Vec<Replica>,
    pub patches: Vec<Patch>,
    pub patches_strategic_merge: Vec<String>,
    #[serde(rename = "patchesJson6902")]
    pub patches_json: Vec<Patch>,
    pub config_map_generator: Vec<Generator>,
    pub secret_generator: Vec<Generator>,
    pub generator_options: Options,
    pub sort_options: Option<SortOptions>,
}

/// Labels, and where they go.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Label {
    pub pairs: Pairs,
    pub include_selectors: bool,
    pub include_templates: bool,
    pub fields: Vec<FieldSpec>,
}

/// A place in objects of a kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct FieldSpec {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub path: String,
    pub create: bool,
}

/// Another image.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Image {
    pub name: String,
    pub new_name: String,
    pub new_tag: String,
    pub tag_suffix: String,
    pub digest: String,
}

/// Another number of replicas.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replica {
    pub name: String,
    pub count: i64,
}

/// A patch and what it is for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Patch {
    pub path: String,
    pub patch: String,
    pub target: Option<Target>,
    pub options: PatchOptions,
}

/// What a patch may change besides.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PatchOptions {
    pub allow_name_change: bool,
    pub allow_kind_change: bool,
}

/// Which objects a patch is for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Target {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub name: String,
    pub namespace: String,
    pub label_selector: String,
    pub annotation_selector: String,
}

/// A config map or secret to be made.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Generator {
    pub name: String,
    pub namespace: String,
    pub behavior: String,
    pub literals: Vec<String>,
    pub files: Vec<String>,
    pub envs: Vec<String>,
    pub env: String,
    pub options: Options,
    #[serde(rename = "type")]
    pub of_type: String,
}

/// What generated objects have besides.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Options {
    pub labels: Pairs,
    pub annotations: Pairs,
    pub disable_name_suffix_hash: bool,
    pub immutable: bool,
}

/// The order of what comes out.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SortOptions {
    pub order: String,
    pub legacy_sort_options: Option<LegacyOrder>,
}

/// Kinds that come first, and last.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LegacyOrder {
    pub order_first: Vec<String>,
    pub order_last: Vec<String>,
}

impl Kustomization {
    /// The one of a folder.
    pub fn read(folder: &Folder) -> Result<Kustomization, Failure> {
        let root = folder.root.display();
        let there: Vec<&str> = NAMES.into_iter().filter(|name| folder.root.join(name).is_file()).collect();
        let name = match there.as_slice() {
            [name] => *name,
            [] => {
                return Err(Failure::said(format!(
                    "unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory '{root}'"
                )));
            }
            _ => return Err(Failure::said(format!("Found multiple kustomization files under: {root}"))),
        };
        let origin = format!("{root}/{name}");
        let fault = |source| Failure::Parse { origin: origin.clone(), source };
        let decoded = decode::yaml(&folder.read(name)?, &Limits::MANIFEST).map_err(fault)?;
        if !decoded.duplicates.is_empty() {
            return Err(Failure::said(format!("{origin}: these keys stand twice: {}", decoded.duplicates.join(", "))));
        }
        let found = parse(decoded.value).map_err(|why| Failure::said(format!("{origin}: {why}")))?;
        for (field, used) in [
            ("bases", !found.bases.is_empty()),
            ("patchesStrategicMerge", !found.patches_strategic_merge.is_empty()),
            ("patchesJson6902", !found.patches_json.is_empty()),
        ] {
            if used {
                let new = if field == "bases" { "resources" } else { "patches" };
                eprintln!("# Warning: '{field}' is deprecated. Please use '{new}' instead.");
            }
        }
        Ok(found)
    }

    /// Whether it is a component.
    pub fn is_component(&self) -> bool {
        self.kind == "Component"
    }
}

fn parse(mut value: Value) -> Result<Kustomization, String> {
    let Some(map) = value.as_object() else {
        return Err("kustomization.yaml is empty".to_owned());
    };
    if let Some(field) = map.keys().find(|key| OTHERS.contains(&key.as_str())) {
        return Err(format!("the field \"{field}\" of kustomizations is not supported here"));
    }
    without_nulls(&mut value);
    let found: Kustomization = serde_json::from_value(value).map_err(|why| format!("invalid Kustomization: {why}"))?;
    let wanted = match found.kind.as_str() {
        "" | "Kustomization" => "kustomize.config.k8s.io/v1beta1",
        "Component" => "kustomize.config.k8s.io/v1alpha1",
        other => return Err(format!("kind should be Kustomization or Component, and not {other}")),
    };
    if !found.api_version.is_empty() && found.api_version != wanted {
        return Err(format!("apiVersion for {} should be {wanted}", found.kind));
    }
    Ok(found)
}

/// A field that says nothing is not there.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(all) => all.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_known_is_named() {
        for (value, said) in [
            (json!({"nameprefix": "a"}), "unknown field `nameprefix`"),
            (json!({"images": [{"name": "a", "tag": "b"}]}), "unknown field `tag`"),
            (json!({"vars": []}), "the field \"vars\" of kustomizations is not supported here"),
            (json!({"helmCharts": []}), "the field \"helmCharts\""),
            (json!({"kind": "Pod"}), "kind should be Kustomization or Component"),
            (json!({"apiVersion": "v1"}), "should be kustomize.config.k8s.io/v1beta1"),
            (json!({"commonLabels": {"a": 1}}), "expected a string"),
            (json!([]), "is empty"),
        ] {
            let why = parse(value).unwrap_err();
            assert!(why.contains(said), "{why}");
        }
        assert_eq!(parse(json!({"resources": null, "namePrefix": "a"})).unwrap().name_prefix, "a");
    }
}
