//! The JSON documents of images: indexes, manifests and configurations, of OCI and of Docker.
//!
//! In: bytes within a limit. Out: the fields that are needed, each checked; or which platform to take.
//! Never fetches what a document points to.

use std::collections::BTreeMap;

use kedge_api::machine::ImageConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;

/// Registries refuse manifests above 4 MiB.
pub const MAX_DOCUMENT: u64 = 4 << 20;
/// Docker refuses more than 127 layers; overlayfs more than 500.
pub const MAX_LAYERS: usize = 127;
/// Platforms of an index, names of an archive.
const MAX_ENTRIES: usize = 1000;

/// What a registry is asked for, most wanted first.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
/// The media type of an OCI manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an OCI index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of an OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of an uncompressed layer.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Why a document is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the image's {what} is not usable: {reason}")]
pub struct ManifestFault {
    what: &'static str,
    reason: String,
}

fn fault(what: &'static str, reason: impl Into<String>) -> ManifestFault {
    ManifestFault { what, reason: reason.into() }
}

/// Points to content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type.
    #[serde(default)]
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
    /// Platform, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
}

/// What an image was built for, by Go's names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`, `arm64`, `arm`, ...
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// `v7`, `v8`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// The platform of this build.
    pub fn here() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "aarch64" => ("arm64", Some("v8")),
            "arm" => ("arm", Some("v7")),
            other => (other, None),
        };
        Self { architecture: architecture.into(), os: "linux".into(), variant: variant.map(Into::into) }
    }

    /// How well `other` runs here; `None` is not at all, lower is better.
    fn rank(&self, other: &Self) -> Option<u8> {
        if self.os != other.os || self.architecture != other.architecture {
            return None;
        }
        let number =
            |p: &Self| p.variant.as_deref().and_then(|v| v.strip_prefix('v')).and_then(|v| v.parse::<u8>().ok());
        match (number(self), number(other)) {
            (Some(ours), Some(theirs)) if theirs > ours => None,
            (Some(ours), Some(theirs)) => Some(ours - theirs),
            // Unnamed variants are the oldest that the architecture's name stands for.
            (Some(_), None) => Some(if self.architecture == "arm64" { 0 } else { 100 }),
            // amd64/v2 and above use instructions that not every machine has.
            (None, Some(theirs)) if theirs > 1 => None,
            (None, Some(theirs)) => Some(theirs),
            (None, None) => Some(0),
        }
    }
}

/// A manifest: a configuration and its layers, lowest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Media type.
    #[serde(default)]
    pub media_type: String,
    /// The image configuration.
    pub config: Descriptor,
    /// Layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// A list of manifests.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Media type.
    #[serde(default)]
    pub media_type: String,
    /// What it lists.
    pub manifests: Vec<Descriptor>,
}

/// What a digest or tag led to.
pub enum Document {
    /// Several platforms or images.
    Index(Index),
    /// One image.
    Manifest(Manifest),
}

impl Document {
    /// Reads an index or a manifest and checks its shape.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestFault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shape {
            schema_version: Option<u32>,
            #[serde(default)]
            media_type: String,
            manifests: Option<serde::de::IgnoredAny>,
            layers: Option<serde::de::IgnoredAny>,
        }
        let shape: Shape = json("manifest", bytes)?;
        match shape.schema_version {
            Some(2) => {}
            Some(1) => {
                return Err(fault("manifest", "it is of Docker's schema 1, which registries stopped serving in 2020"));
            }
            _ => return Err(fault("manifest", "schemaVersion is not 2")),
        }
        if shape.manifests.is_some() && shape.layers.is_some() {
            return Err(fault("manifest", format!("it is both a manifest and an index ({:?})", shape.media_type)));
        }
        if shape.manifests.is_some() {
            let index: Index = json("index", bytes)?;
            if index.manifests.len() > MAX_ENTRIES {
                return Err(fault("index", format!("it lists more than {MAX_ENTRIES} manifests")));
            }
            return Ok(Self::Index(index));
        }
        let manifest: Manifest = json("manifest", bytes)?;
        if manifest.layers.len() > MAX_LAYERS {
            return Err(fault(
                "manifest",
                format!("it has {} layers; the limit is {MAX_LAYERS}", manifest.layers.len()),
            ));
        }
        for layer in &manifest.layers {
            if layer.media_type.contains("foreign") || layer.media_type.contains("nondistributable") {
                return Err(fault("manifest", "it has layers that may not be distributed (Windows)"));
            }
            if layer.media_type.contains("encrypted") {
                return Err(fault("manifest", "its layers are encrypted"));
            }
        }
        Ok(Self::Manifest(manifest))
    }
}

impl Index {
    /// The manifest that runs best on `platform`.
    pub fn choose(&self, platform: &Platform) -> Result<&Descriptor, ManifestFault> {
        let candidates = self.manifests.iter().filter(|m| !m.annotations.contains_key("vnd.docker.reference.type"));
        let mut best: Option<(u8, &Descriptor)> = None;
        let mut seen = Vec::new();
        for manifest in candidates {
            let rank = match &manifest.platform {
                Some(theirs) => {
                    seen.push(match &theirs.variant {
                        Some(variant) => format!("{}/{}/{variant}", theirs.os, theirs.architecture),
                        None => format!("{}/{}", theirs.os, theirs.architecture),
                    });
                    platform.rank(theirs)
                }
                // An index of one image often does not say.
                None => Some(u8::MAX),
            };
            if let Some(rank) = rank
                && best.is_none_or(|(other, _)| rank < other)
            {
                best = Some((rank, manifest));
            }
        }
        best.map(|(_, m)| m).ok_or_else(|| {
            fault(
                "index",
                format!("it has nothing for {}/{}; it has: {}", platform.os, platform.architecture, seen.join(", ")),
            )
        })
    }
}

/// The image configuration, as far as it is needed.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ConfigFile {
    /// Architecture by Go's name.
    #[serde(default)]
    pub architecture: String,
    /// Operating system by Go's name.
    #[serde(default)]
    pub os: String,
    /// How to run it.
    #[serde(default, deserialize_with = "null_is_default")]
    config: RunConfig,
    /// The layers' uncompressed digests.
    rootfs: RootFs,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct RootFs {
    #[serde(default, deserialize_with = "null_is_default")]
    diff_ids: Vec<Digest>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RunConfig {
    #[serde(deserialize_with = "null_is_default")]
    user: String,
    #[serde(deserialize_with = "null_is_default")]
    env: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    entrypoint: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    cmd: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    working_dir: String,
    #[serde(deserialize_with = "null_is_default")]
    stop_signal: String,
    #[serde(deserialize_with = "null_is_default")]
    volumes: BTreeMap<String, serde::de::IgnoredAny>,
}

impl ConfigFile {
    /// Reads a configuration and checks that it can run on `platform`.
    pub fn parse(bytes: &[u8], platform: &Platform) -> Result<Self, ManifestFault> {
        let config: Self = json("configuration", bytes)?;
        if config.rootfs.diff_ids.len() > MAX_LAYERS {
            return Err(fault("configuration", format!("it has more than {MAX_LAYERS} layers")));
        }
        let runs = |ours: &str, theirs: &str| theirs.is_empty() || theirs == ours;
        if !runs(&platform.architecture, &config.architecture) || !runs(&platform.os, &config.os) {
            return Err(fault(
                "configuration",
                format!(
                    "it is for {}/{} and this machine is {}/{}",
                    config.os, config.architecture, platform.os, platform.architecture
                ),
            ));
        }
        Ok(config)
    }

    /// The layers' uncompressed digests, lowest first.
    pub fn diff_ids(&self) -> &[Digest] {
        &self.rootfs.diff_ids
    }

    /// How to run it, in the words of the node agent.
    pub fn run(&self) -> ImageConfig {
        let config = self.config.clone();
        ImageConfig {
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            env: config.env,
            user: config.user,
            working_dir: config.working_dir,
            stop_signal: config.stop_signal,
            volumes: config.volumes.into_keys().collect(),
        }
    }
}

/// One image of `docker save`'s manifest.json.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Saved {
    /// Path of the configuration.
    pub config: String,
    /// Names with tags.
    #[serde(default, deserialize_with = "null_is_default")]
    pub repo_tags: Vec<String>,
    /// Paths of the layers, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<String>,
}

/// Reads manifest.json of `docker save`.
pub fn parse_saved(bytes: &[u8]) -> Result<Vec<Saved>, ManifestFault> {
    let all: Vec<Saved> = json("manifest.json", bytes)?;
    if all.is_empty() || all.len() > MAX_ENTRIES || all.iter().any(|s| s.repo_tags.len() > MAX_ENTRIES) {
        return Err(fault("manifest.json", format!("it has {} images", all.len())));
    }
    Ok(all)
}

/// The chain IDs of layers: what a layer is together with all below it.
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = match chain.last() {
            None => diff_id.clone(),
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
        };
        chain.push(next);
    }
    chain
}

fn json<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, ManifestFault> {
    serde_json::from_slice(bytes).map_err(|error| fault(what, error.to_string()))
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        Platform { os: parts.next().unwrap(), architecture: parts.next().unwrap(), variant: parts.next() }
    }

    #[track_caller]
    fn chosen(here: &str, offered: &[&str], expected: Option<usize>) {
        let manifests = offered
            .iter()
            .map(|o| Descriptor {
                media_type: String::new(),
                digest: Digest::of(o.as_bytes()),
                size: 1,
                platform: (!o.is_empty()).then(|| platform(o)),
                annotations: BTreeMap::new(),
            })
            .collect();
        let index = Index { schema_version: 2, media_type: String::new(), manifests };
        let got = index.choose(&platform(here)).ok().and_then(|d| index.manifests.iter().position(|m| m == d));
        assert_eq!(got, expected, "{here} of {offered:?}");
    }

    #[test]
    fn the_nearest_variant_that_runs_is_chosen() {
        chosen("linux/amd64", &["windows/amd64", "linux/arm64", "linux/amd64"], Some(2));
        chosen("linux/arm/v7", &["linux/arm/v5", "linux/arm/v8", "linux/arm/v6"], Some(2));
        chosen("linux/arm/v7", &["linux/arm/v7", "linux/arm/v6"], Some(0));
        chosen("linux/arm64/v8", &["linux/arm64"], Some(0));
        chosen("linux/arm64/v8", &["linux/arm64/v9", "linux/arm64/v8"], Some(1));
        chosen("linux/amd64", &["linux/amd64/v3", "linux/amd64"], Some(1));
        chosen("linux/amd64", &["linux/amd64/v3"], None);
        chosen("linux/amd64", &["", "linux/arm64"], Some(0));
        chosen("linux/amd64", &["linux/arm64"], None);
        chosen("linux/amd64", &[], None);
    }

    #[test]
    fn garbage_is_named() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let error = Document::parse(text.as_bytes()).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(expected), "{text}: {error}");
        }
        check("<html>", "expected value");
        check("{}", "schemaVersion");
        check(r#"{"schemaVersion":1}"#, "schema 1");
        check(r#"{"schemaVersion":2}"#, "missing field `config`");
        check(r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#, "both");
        check(r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x","size":1}]}"#, "not a digest");
        let digest = Digest::of(b"");
        check(
            &format!(r#"{{"schemaVersion":2,"config":{{"digest":"{digest}","size":-1}},"layers":[]}}"#),
            "invalid value",
        );
        let layer = format!(r#"{{"digest":"{digest}","size":1}}"#);
        check(
            &format!(r#"{{"schemaVersion":2,"config":{layer},"layers":[{}]}}"#, vec![layer.as_str(); 128].join(",")),
            "128 layers",
        );
    }

    #[test]
    fn a_configuration_may_leave_out_or_null_everything_but_its_layers() {
        let here = platform("linux/amd64");
        let text = r#"{"config":{"Cmd":null,"Env":["A=1"],"Volumes":{"/data":{}},"User":"web"},"rootfs":{"type":"layers","diff_ids":null},"os":"linux"}"#;
        let run = ConfigFile::parse(text.as_bytes(), &here).unwrap().run();
        assert_eq!(
            (run.cmd, run.env, run.user, run.volumes),
            (vec![], vec!["A=1".into()], "web".into(), vec!["/data".into()])
        );
        assert!(ConfigFile::parse(br#"{"config":null,"rootfs":{}}"#, &here).is_ok());
        let other = ConfigFile::parse(br#"{"architecture":"s390x","os":"linux","rootfs":{}}"#, &here).unwrap_err();
        assert!(other.to_string().contains("linux/s390x"), "{other}");
    }

    #[test]
    fn a_chain_id_names_a_layer_with_all_below_it() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let chain = chain_ids(&[a.clone(), b.clone()]);
        assert_eq!(chain[0], a);
        assert_eq!(chain[1], Digest::of(format!("{a} {b}").as_bytes()));
    }
}
