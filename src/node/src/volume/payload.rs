//! What files a configMap, secret, downwardAPI or projected volume has.
//!
//! In: the volume's words, the objects and tokens that it names (fetched before), the pod. Out: relative paths with
//! bytes and modes, or the sentence of a FailedMount event. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, DownwardAPIVolumeFile, KeyToPath, Pod, Volume};
use serde_json::Value;

use super::stays_inside;
use crate::container::env::{Allocatable, SourceRef, Sources, entries, field_value, resource_value};
use crate::port::Kind;

/// One file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Content.
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// Files by relative path.
pub type Files = BTreeMap<String, File>;

/// A service account token that a volume wants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenWish {
    /// Where it goes in the volume.
    pub path: String,
    /// For whom; empty is the API.
    pub audience: String,
    /// Its life in seconds.
    pub seconds: i64,
}

/// Kubernetes' default life of a projected token.
const TOKEN_SECONDS: i64 = 3600;

/// The objects that a volume names.
pub fn references(volume: &Volume) -> Vec<SourceRef> {
    let mut all = Vec::new();
    let mut add = |kind, name: Option<&String>| {
        all.extend(name.map(|name| SourceRef { kind, name: name.clone() }));
    };
    add(Kind::ConfigMap, volume.config_map.as_ref().map(|source| &source.name));
    let secret = volume.secret.as_ref();
    add(Kind::Secret, secret.and_then(|source| source.secret_name.as_ref()));
    let projected = volume.projected.as_ref();
    for source in projected.and_then(|p| p.sources.as_ref()).into_iter().flatten() {
        add(Kind::ConfigMap, source.config_map.as_ref().map(|s| &s.name));
        add(Kind::Secret, source.secret.as_ref().map(|s| &s.name));
    }
    all
}

/// The tokens that a volume wants.
pub fn tokens(volume: &Volume) -> Vec<TokenWish> {
    let projected = volume.projected.as_ref();
    let sources = projected.and_then(|p| p.sources.as_ref());
    sources
        .into_iter()
        .flatten()
        .filter_map(|source| source.service_account_token.as_ref())
        .map(|token| TokenWish {
            path: token.path.clone(),
            audience: token.audience.clone().unwrap_or_default(),
            seconds: token.expiration_seconds.unwrap_or(TOKEN_SECONDS),
        })
        .collect()
}

/// What the files depend on beside the words.
pub struct Context<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Fetched objects.
    pub sources: &'a Sources,
    /// Fetched tokens by wish.
    pub tokens: &'a BTreeMap<TokenWish, String>,
    /// What stands in for a limit that is not set.
    pub allocatable: Allocatable,
}

/// The files of a volume.
pub fn files(volume: &Volume, context: &Context<'_>) -> Result<Files, String> {
    let mut files = Files::new();
    if let Some(source) = &volume.config_map {
        let part = Part {
            kind: Kind::ConfigMap,
            name: &source.name,
            items: source.items.as_deref(),
            optional: source.optional,
            mode: mode(source.default_mode),
        };
        part.add(context, &mut files)?;
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.clone().unwrap_or_default();
        let part = Part {
            kind: Kind::Secret,
            name: &name,
            items: source.items.as_deref(),
            optional: source.optional,
            mode: mode(source.default_mode),
        };
        part.add(context, &mut files)?;
    }
    if let Some(source) = &volume.downward_api {
        let items = source.items.as_deref().unwrap_or_default();
        downward(items, mode(source.default_mode), context, &mut files)?;
    }
    if let Some(projected) = &volume.projected {
        let default = mode(projected.default_mode);
        for source in projected.sources.iter().flatten() {
            if source.cluster_trust_bundle.is_some() || source.pod_certificate.is_some() {
                return Err("clusterTrustBundle and podCertificate sources are not supported by this node".into());
            }
            if let Some(source) = &source.config_map {
                let part = Part {
                    kind: Kind::ConfigMap,
                    name: &source.name,
                    items: source.items.as_deref(),
                    optional: source.optional,
                    mode: default,
                };
                part.add(context, &mut files)?;
            }
            if let Some(source) = &source.secret {
                let part = Part {
                    kind: Kind::Secret,
                    name: &source.name,
                    items: source.items.as_deref(),
                    optional: source.optional,
                    mode: default,
                };
                part.add(context, &mut files)?;
            }
            if let Some(source) = &source.downward_api {
                let items = source.items.as_deref().unwrap_or_default();
                downward(items, default, context, &mut files)?;
            }
        }
        for wish in tokens(volume) {
            let token = context.tokens.get(&wish).cloned().unwrap_or_default();
            insert(&mut files, &wish.path, token.into_bytes(), default)?;
        }
    }
    Ok(files)
}

/// Kubernetes' default mode of such files.
const MODE: i32 = 0o644;

fn mode(words: Option<i32>) -> u32 {
    words.unwrap_or(MODE).unsigned_abs() & 0o777
}

fn insert(files: &mut Files, path: &str, bytes: Vec<u8>, mode: u32) -> Result<(), String> {
    if !stays_inside(path) {
        return Err(format!("invalid path {path:?}: must be relative and without '..'"));
    }
    files.insert(path.to_owned(), File { bytes, mode });
    Ok(())
}

struct Part<'a> {
    kind: Kind,
    name: &'a str,
    items: Option<&'a [KeyToPath]>,
    optional: Option<bool>,
    mode: u32,
}

impl Part<'_> {
    fn add(&self, context: &Context<'_>, files: &mut Files) -> Result<(), String> {
        let optional = self.optional == Some(true);
        let reference = SourceRef { kind: self.kind, name: self.name.to_owned() };
        let object: &Value = match context.sources.get(&reference).and_then(Option::as_ref) {
            Some(object) => object,
            None if optional => return Ok(()),
            None => {
                let kind = self.kind.name().to_ascii_lowercase();
                return Err(format!("{kind} \"{}\" not found", self.name));
            }
        };
        let mut data = entries(self.kind, object);
        let Some(items) = self.items.filter(|items| !items.is_empty()) else {
            for (key, bytes) in data {
                insert(files, &key, bytes, self.mode)?;
            }
            return Ok(());
        };
        for item in items {
            match data.get_mut(&item.key) {
                Some(bytes) => {
                    let mode = item.mode.map_or(self.mode, |own| mode(Some(own)));
                    insert(files, &item.path, bytes.clone(), mode)?;
                }
                None if optional => {}
                None => {
                    return Err(match self.kind {
                        Kind::Secret => format!("references non-existent secret key: {}", item.key),
                        _ => format!("configmap references non-existent config key: {}", item.key),
                    });
                }
            }
        }
        Ok(())
    }
}

fn downward(
    items: &[DownwardAPIVolumeFile],
    default: u32,
    context: &Context<'_>,
    files: &mut Files,
) -> Result<(), String> {
    static NONE: std::sync::LazyLock<Container> = std::sync::LazyLock::new(Container::default);
    for item in items {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => field_value(context.pod, field),
            (None, Some(field)) => resource_value(context.pod, &NONE, field, context.allocatable),
            (None, None) => continue,
        }
        .map_err(|reason| reason.message)?;
        let mode = item.mode.map_or(default, |own| mode(Some(own)));
        insert(files, &item.path, text.into_bytes(), mode)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn build(volume: Value) -> Result<Vec<(String, String, u32)>, String> {
        let mut volume = volume;
        volume["name"] = json!("v");
        let volume: Volume = serde_json::from_value(volume).unwrap();
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p", "labels": {"a": "1", "b": "2"}},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}]}}))
        .unwrap();
        let mut sources = Sources::new();
        let config = SourceRef { kind: Kind::ConfigMap, name: "cm".into() };
        sources.insert(config, Some(json!({"data": {"a": "1", "b": "2"}})));
        let secret = SourceRef { kind: Kind::Secret, name: "s".into() };
        sources.insert(secret, Some(json!({"data": {"k": "eA=="}})));
        let tokens = tokens(&volume).into_iter().map(|wish| (wish, "T".to_owned())).collect();
        let context = Context { pod: &pod, sources: &sources, tokens: &tokens, allocatable: Allocatable::default() };
        let files = files(&volume, &context)?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ok(files.into_iter().map(|(path, file)| (path, text(file.bytes), file.mode)).collect())
    }

    #[track_caller]
    fn check(volume: Value, want: &[(&str, &str, u32)]) {
        let got = build(volume).unwrap();
        let got: Vec<_> = got.iter().map(|(p, b, m)| (p.as_str(), b.as_str(), *m)).collect();
        assert_eq!(got, want);
    }

    #[track_caller]
    fn refused(volume: Value, want: &str) {
        assert_eq!(build(volume).unwrap_err(), want);
    }

    #[test]
    fn config_maps() {
        check(json!({"configMap": {"name": "cm"}}), &[("a", "1", 0o644), ("b", "2", 0o644)]);
        check(
            json!({"configMap": {"name": "cm", "defaultMode": 0o400, "items": [{"key": "a", "path": "x/y"}, {"key": "b", "path": "z", "mode": 0o600}]}}),
            &[("x/y", "1", 0o400), ("z", "2", 0o600)],
        );
        check(json!({"configMap": {"name": "no", "optional": true}}), &[]);
        refused(json!({"configMap": {"name": "no"}}), "configmap \"no\" not found");
        refused(
            json!({"configMap": {"name": "cm", "items": [{"key": "q", "path": "q"}]}}),
            "configmap references non-existent config key: q",
        );
        assert!(build(json!({"configMap": {"name": "cm", "items": [{"key": "a", "path": "../x"}]}})).is_err());
    }

    #[test]
    fn secrets() {
        check(json!({"secret": {"secretName": "s"}}), &[("k", "x", 0o644)]);
        refused(json!({"secret": {"secretName": "t"}}), "secret \"t\" not found");
        refused(
            json!({"secret": {"secretName": "s", "items": [{"key": "q", "path": "q"}]}}),
            "references non-existent secret key: q",
        );
    }

    #[test]
    fn projected_volumes_bring_everything_together() {
        check(
            json!({"projected": {"sources": [
                {"serviceAccountToken": {"path": "token"}},
                {"configMap": {"name": "cm", "items": [{"key": "a", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}}),
            &[("ca.crt", "1", 0o644), ("labels", "a=\"1\"\nb=\"2\"", 0o644), ("token", "T", 0o644)],
        );
    }

    #[test]
    fn the_downward_api_tells_resources() {
        check(
            json!({"downwardAPI": {"items": [{"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}}]}}),
            &[("cpu", "2", 0o644)],
        );
    }
}
