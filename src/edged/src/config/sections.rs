//! The sections of the configuration, each with its defaults.
//!
//! In: nothing. Out: plain data. Never checks ranges: `Config::check` does.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What this machine is in the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Node {
    /// The Node's name; `null` takes the host name.
    pub name: Option<String>,
    /// The Node's address; `null` takes the address of the default route, and follows it when it changes.
    pub address: Option<IpAddr>,
    /// Labels beside the well-known ones.
    pub labels: BTreeMap<String, String>,
    /// Most pods at once, 1 to 1024.
    pub max_pods: u32,
    /// Whether whoever may read `nodes/log` reads the files below /var/log.
    pub enable_system_log_handler: bool,
}

impl Default for Node {
    fn default() -> Self {
        Node { name: None, address: None, labels: BTreeMap::new(), max_pods: 110, enable_system_log_handler: false }
    }
}

/// The API server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Api {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Names and addresses that the server certificate bears beside the found ones.
    pub extra_names: Vec<String>,
    /// Requests that are served at once, watches aside; more wait by priority and fairness (FlowSchemas).
    pub max_in_flight: usize,
    /// How long Events are kept.
    pub event_ttl_seconds: u64,
    /// Whether versions that Kubernetes no longer serves (`extensions/v1beta1` and the like) are served too.
    pub removed_versions: bool,
    /// Alpha and beta versions that are served too: the keys and values of Kubernetes' `--runtime-config`.
    pub runtime_config: BTreeMap<String, bool>,
}

impl Default for Api {
    fn default() -> Self {
        Api {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 6443),
            extra_names: Vec::new(),
            max_in_flight: 64,
            event_ttl_seconds: 3600,
            removed_versions: true,
            runtime_config: BTreeMap::new(),
        }
    }
}

/// How clients of the API may prove who they are, beside certificates and service accounts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Authentication {
    /// Paths on which clients need not say who they are; `*` for all, where roles then decide.
    pub anonymous_paths: Vec<String>,
    /// Static tokens, a line each: `token,user,uid,"group1,group2"`; mode 0600.
    pub token_file: Option<PathBuf>,
    /// An `AuthenticationConfiguration` of `apiserver.config.k8s.io/v1`: trusted issuers (OIDC).
    pub config: Option<PathBuf>,
    /// Certificate authority of front proxies, which say in headers for whom they ask.
    pub front_proxy_ca: Option<PathBuf>,
    /// Common names that front proxies may have; empty for all of that authority.
    pub front_proxy_names: Vec<String>,
}

impl Default for Authentication {
    fn default() -> Self {
        let shipped = kedge_apiserver::Authentication::default();
        Authentication {
            anonymous_paths: shipped.anonymous_paths,
            token_file: None,
            config: None,
            front_proxy_ca: None,
            front_proxy_names: Vec::new(),
        }
    }
}

/// The store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Store {
    /// Verified backups that are kept; 0 keeps none.
    pub backups: u32,
    /// Hours between two backups, if anything was written.
    pub backup_hours: u32,
    /// Keep Secrets encrypted, with a key that is made at the first start.
    pub encrypt_secrets: bool,
    /// An `EncryptionConfiguration` of `apiserver.config.k8s.io/v1` instead; mode 0600.
    pub encryption_config: Option<PathBuf>,
}

impl Default for Store {
    fn default() -> Self {
        Store { backups: 2, backup_hours: 24, encrypt_secrets: false, encryption_config: None }
    }
}

/// The pod network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Network {
    /// The bridge's name, at most 15 bytes; unique for each daemon on a machine.
    pub bridge: String,
    /// Addresses of pods on this device; the first one is the bridge's.
    pub pod_range: String,
    /// Addresses of Services.
    pub service_range: String,
}

impl Default for Network {
    fn default() -> Self {
        Network { bridge: "kedge0".into(), pod_range: "10.42.0.0/24".into(), service_range: "10.43.0.0/16".into() }
    }
}

/// Containers and their logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Containers {
    /// The cgroup below which pods live; unique for each daemon on a machine.
    pub cgroup_parent: String,
    /// A log is rotated at this many bytes.
    pub log_max_bytes: u64,
    /// Rotated logs kept beside the current one.
    pub log_max_files: u32,
}

impl Default for Containers {
    fn default() -> Self {
        Containers { cgroup_parent: "kedge".into(), log_max_bytes: 10 << 20, log_max_files: 4 }
    }
}

/// Images and registries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Images {
    /// Archives in this folder are loaded at start and never collected; `null` is `preload/` of the data directory.
    pub preload: Option<PathBuf>,
    /// Images that nobody uses go when this many percent of the disk are taken; 100 is never.
    pub gc_high_threshold_percent: u8,
    /// They go, least recently used first, until no more than this many percent are taken.
    pub gc_low_threshold_percent: u8,
    /// None goes that was used within so many seconds.
    pub gc_minimum_age_seconds: u32,
    /// Settings by registry host.
    pub registries: BTreeMap<String, Registry>,
}

impl Default for Images {
    fn default() -> Self {
        let shipped = kedge_node::ImageGc::default();
        Images {
            preload: None,
            gc_high_threshold_percent: shipped.high,
            gc_low_threshold_percent: shipped.low,
            gc_minimum_age_seconds: 120,
            registries: BTreeMap::new(),
        }
    }
}

/// How one registry is reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Registry {
    /// Hosts that are asked first, in order.
    pub mirrors: Vec<String>,
    /// Plain HTTP.
    pub insecure: bool,
}

/// Scheduler, controller and admission plugins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Plugins {
    /// Start none of the built-in plugins that the list does not name.
    pub no_defaults: bool,
    /// Plugins beside or instead of the built-in ones.
    pub list: Vec<Plugin>,
}

/// One plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Plugin {
    /// Its name; also its service account.
    pub name: String,
    /// The built-in plugin of this name.
    #[serde(default)]
    pub builtin: Option<String>,
    /// A component's file (`.wasm`).
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// What it is.
    #[serde(default)]
    pub kind: PluginKind,
    /// Weights of its priorities, 0 to 100; 0 turns one off.
    #[serde(default)]
    pub weights: BTreeMap<String, u32>,
    /// Predicates that are turned off.
    #[serde(default)]
    pub disabled: Vec<String>,
    /// What the plugin is configured with; its own page says what it takes.
    #[serde(default)]
    pub arguments: serde_json::Value,
    /// Longest call in milliseconds; `null` takes the kind's default.
    #[serde(default)]
    pub deadline_ms: Option<u32>,
    /// Most linear memory in MiB; `null` takes the kind's default.
    #[serde(default)]
    pub memory_mib: Option<u32>,
    /// What it means when the plugin cannot answer: its predicates for a pod, its admission hooks for a write.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What it means when a plugin cannot answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// The pod waits, the write is refused.
    #[default]
    Closed,
    /// It goes on as if the plugin were not there.
    Open,
}

/// What a plugin is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PluginKind {
    /// Predicates and priorities.
    #[default]
    Scheduling,
    /// Controllers.
    Controllers,
    /// Admission hooks.
    Admission,
}

/// The daemon's own log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, or a filter such as `info,kedge_node=debug`. `trace` says more in builds for
    /// development only.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info".into() }
    }
}
