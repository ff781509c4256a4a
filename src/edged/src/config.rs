//! The daemon's configuration: one documented struct a section, refused where a key is unknown.
//!
//! In: a YAML file and the command line. Out: a checked `Config`, or a sentence with file, line and key.
//! Never reads the environment; `configs/edged.yaml` is `Config::default()`, and a test keeps it so.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

mod admission;
mod check;
mod outward;
mod sections;

pub use outward::{Audit, Webhooks};
#[cfg(test)]
pub use sections::Plugin;
pub use sections::{Api, Authentication, Containers, Images, Log, Network, Node, OnFailure, Plugins, Store};

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Config {
    /// What this machine is in the cluster.
    pub node: Node,
    /// The API server.
    pub api: Api,
    /// How clients may prove who they are.
    pub authentication: Authentication,
    /// What may change or refuse a write.
    pub admission: admission::Admission,
    /// What is written down of requests.
    pub audit: Audit,
    /// Who is asked beside the device itself.
    pub webhooks: Webhooks,
    /// The store.
    pub store: Store,
    /// The pod network.
    pub network: Network,
    /// Containers and their logs.
    pub containers: Containers,
    /// Images and registries.
    pub images: Images,
    /// Scheduler and controller plugins.
    pub plugins: Plugins,
    /// The daemon's own log.
    pub log: Log,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is no such YAML.
    #[error("the configuration {path} was not accepted: {why}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why; names line and key.
        why: String,
    },
    /// A value is out of its range.
    #[error("the configuration was not accepted: {field}: {fault}")]
    Value {
        /// Where.
        field: &'static str,
        /// What is wrong and what would do.
        fault: String,
    },
}

/// What the command line says over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--node-name`.
    pub node_name: Option<String>,
}

impl Config {
    /// Reads the file, if one is given, puts the command line over it and checks the whole.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
        let mut config = match file {
            None => Config::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
                parse(&text).map_err(|why| ConfigError::Parse { path: path.to_path_buf(), why })?
            }
        };
        if let Some(listen) = overrides.listen {
            config.api.listen = listen;
        }
        if let Some(name) = &overrides.node_name {
            config.node.name = Some(name.clone());
        }
        check::check(&config)?;
        Ok(config)
    }
}

/// An empty file is the default; YAML's null is not a struct to serde.
fn parse(text: &str) -> Result<Config, String> {
    let only_comments =
        text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#') || l.trim() == "---");
    if only_comments { Ok(Config::default()) } else { serde_yaml::from_str(text).map_err(|error| words(text, &error)) }
}

/// What the parser says, in words of the file: without names of our types, and with a line also where it names a key of
/// the outermost level, of which it knows none.
fn words(text: &str, error: &serde_yaml::Error) -> String {
    let mut said = error.to_string();
    for (ours, plain) in [
        ("u8", "a whole number up to 255"),
        ("u16", "a whole number up to 65535"),
        ("u32", "a whole number of at least 0"),
        ("u64", "a whole number of at least 0"),
        ("usize", "a whole number of at least 0"),
        ("struct", "a section of"),
    ] {
        said = said.replace(&format!("expected {ours}"), &format!("expected {plain}"));
    }
    let key = said.split('`').nth(1);
    let starts = |line: &str, key: &str| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':'));
    // The last one, since a key that is given twice is the other fault of this kind.
    let line = key.and_then(|key| (1..).zip(text.lines()).filter(|(_, line)| starts(line, key)).last());
    match line {
        Some((number, _)) if !said.contains(" at line ") => format!("{said} at line {number}"),
        _ => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, words: &[&str]) {
        let message = match parse(text) {
            Err(why) => why,
            Ok(config) => check::check(&config).expect_err("it should be refused").to_string(),
        };
        for word in words {
            assert!(message.contains(word), "{message:?} does not say {word:?}");
        }
    }

    #[test]
    fn the_shipped_file_is_the_default() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/edged.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(parse(&text).unwrap(), Config::default());
        let shipped: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
        let default = serde_yaml::to_value(Config::default()).unwrap();
        assert_eq!(shipped, default, "configs/edged.yaml does not spell out every key");
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        refused("node:\n  naem: a\n", &["naem", "line 2"]);
        refused("# Mine.\napis: {}\n", &["apis", "line 2"]);
        refused("node: {}\nlog: {}\nnode: {}\n", &["node", "line 3"]);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        refused("node: {maxPods: 0}", &["node.maxPods", "1 and 1024"]);
        refused("network: {bridge: a-name-that-is-too-long}", &["network.bridge", "15"]);
        refused("containers: {logMaxBytes: 1}", &["logMaxBytes"]);
        refused("images: {gcHighThresholdPercent: 101}", &["images.gcHighThresholdPercent", "101", "0 and 100"]);
        refused("images: {gcLowThresholdPercent: 85}", &["images.gcLowThresholdPercent", "85 is not below"]);
        refused("images: {gcHighThresholdPercent: 70}", &["images.gcLowThresholdPercent", "80", "which is 70"]);
        refused("audit: {maxMib: 0}", &["audit.maxMib"]);
        refused("plugins: {list: [{name: a}]}", &["exactly one"]);
        refused("api: {listen: nowhere}", &["listen"]);
        refused("api:\n  maxInFlight: -1\n", &["a whole number of at least 0", "line 2"]);
        refused("node: {maxPods: many}", &["maxPods", "a whole number of at least 0"]);
        refused("node: many", &["node", "a section of"]);
        refused("api: {maxInFlight: 0}", &["api.maxInFlight", "1 is the least"]);
        refused("api: {eventTtlSeconds: 0}", &["api.eventTtlSeconds", "1 is the least"]);
        refused("api: {runtimeConfig: {batch/v3: true}}", &["api.runtimeConfig", "batch/v3", "batch has v1"]);
        refused("api: {runtimeConfig: {api/all: maybe}}", &["maybe"]);
        refused("api: {extraNames: [gate way]}", &["api.extraNames", "gate way", "neither"]);
        refused("node: {name: A_b}", &["node.name", "A_b", "lower case"]);
        refused("node: {labels: {a b: c}}", &["node.labels", "a b"]);
        refused("node: {labels: {a: b c}}", &["node.labels", "b c"]);
        refused("authentication: {anonymousPaths: [livez]}", &["authentication.anonymousPaths", "livez", "/livez"]);
        refused("network: {podRange: 10.43.7.0/24}", &["network.podRange", "10.43.0.0/16", "overlap"]);
        refused("network: {podRange: 10.42.0.1/24}", &["network.podRange", "10.42.0.1/24"]);
        refused("network: {serviceRange: nothing}", &["network.serviceRange", "nothing"]);
        let levels = ["podSecurity.defaults", "enforce", "strict", "privileged, baseline, restricted"];
        refused("admission: {podSecurity: {defaults: {enforce: strict}}}", &levels);
    }

    #[test]
    fn values_that_work_are_taken() {
        for text in [
            "api: {extraNames: [gateway.example, 192.0.2.7, '2001:db8::1', '*.example']}",
            "api: {runtimeConfig: {api/all: true, resource.k8s.io/v1alpha3/devicetaintrules: false}}",
            "node: {name: a.b, labels: {example.com/room: Cellar_2}}",
            "authentication: {anonymousPaths: ['*']}",
            "authentication: {anonymousPaths: [/livez, /x/*]}",
            "images: {gcHighThresholdPercent: 100, gcLowThresholdPercent: 0, gcMinimumAgeSeconds: 0}",
            "network: {podRange: 10.44.0.0/24, serviceRange: 10.45.0.0/16}",
        ] {
            check::check(&parse(text).unwrap()).unwrap();
        }
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(parse("# nothing\n---\n").unwrap(), Config::default());
    }
}
