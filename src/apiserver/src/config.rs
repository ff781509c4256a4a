//! What the API server is told at start.
//!
//! Data only. The daemon's configuration file is read elsewhere.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use crate::admission::{Admission, AdmissionConfig};
use crate::audit::AuditSettings;
use crate::authn::settings::Authentication;
use crate::authn::webhook::TokenWebhookSettings;
use crate::authz::webhook::AccessWebhookSettings;
use crate::clock::Clock;
use crate::random::Random;
use crate::registry::convert::Converter;
use crate::streams::NodeStreams;
use crate::usage::Usage;
use crate::vault::settings::Encryption;
use kedge_api::kinds::Chosen;
use kedge_plugin_api::{AdmissionPlugins, NoAdmissionPlugins};
use std::sync::Arc;

/// The settings of an API server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where certificates and keys are kept (`pki/`), and the admin's kubeconfig.
    pub data_dir: PathBuf,
    /// The node's name; part of the server certificate.
    pub node_name: String,
    /// Addresses under which the server is reached; parts of the server certificate.
    pub addresses: Vec<IpAddr>,
    /// More names for the server certificate.
    pub names: Vec<String>,
    /// The address that the admin's kubeconfig and the Service `kubernetes` point to. The
    /// unspecified address stands for the first of `addresses`, or loopback.
    pub advertise: IpAddr,
    /// The port that is listened on.
    pub port: u16,
    /// The range Services get addresses from: network and prefix length.
    pub service_network: (Ipv4Addr, u8),
    /// The range of node ports, both ends included.
    pub node_ports: (u16, u16),
    /// Which values are kept sealed.
    pub encryption: Encryption,
    /// How clients may prove who they are.
    pub authentication: Authentication,
    /// Bounds.
    pub limits: Limits,
    /// Which alpha and beta versions are served, none of which is by default.
    pub versions: Chosen,
    /// Whether versions that Kubernetes no longer serves are served too, so that old manifests still apply.
    pub removed_versions: bool,
    /// Which admission plugins run, and what they are told.
    pub admission: AdmissionConfig,
    /// What is written down of requests; nothing unless it is said.
    pub audit: Option<AuditSettings>,
    /// Who is asked about tokens that nobody here knows.
    pub token_webhook: Option<TokenWebhookSettings>,
    /// Who is asked about rights that no role grants.
    pub access_webhook: Option<AccessWebhookSettings>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            data_dir: PathBuf::from("/var/lib/kedge"),
            node_name: "localhost".to_owned(),
            addresses: Vec::new(),
            names: Vec::new(),
            advertise: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 6443,
            service_network: (Ipv4Addr::new(10, 43, 0, 0), 16),
            node_ports: (30000, 32767),
            encryption: Encryption::default(),
            authentication: Authentication::default(),
            limits: Limits::default(),
            versions: Chosen::default(),
            removed_versions: true,
            admission: AdmissionConfig::default(),
            audit: None,
            token_webhook: None,
            access_webhook: None,
        }
    }
}

/// What is at most held or waited for.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest body, in bytes: what Kubernetes and etcd take.
    pub body: usize,
    /// Requests that read and are under way at once, those included who wait for a seat: each holds a few KiB. One
    /// flow can have at most 300 in its queues, so a flood by one client leaves room for the others.
    pub reads: usize,
    /// See `reads`.
    pub writes: usize,
    /// Requests of all levels of flow control that are served at once; more wait by priority. A request is done in
    /// about a millisecond of CPU, so a device gains nothing from more than a few for each of its cores.
    pub seats: usize,
    /// Watches and streams at once. A watch holds about 4 KiB here and twice that in TLS.
    pub longrunning: usize,
    /// Open connections. Each costs about 20 KiB with TLS.
    pub connections: usize,
    /// Connections that have not shown a request yet; the oldest gives way to a new one.
    pub half_open: usize,
    /// How long a handshake or a request's head may take.
    pub head: Duration,
    /// How long a body may take.
    pub body_time: Duration,
    /// How long a request may take that is no watch or stream.
    pub request: Duration,
    /// Events kept at once, and for how long.
    pub events: (usize, Duration),
    /// How often a watch that asked for it hears of progress.
    pub bookmarks: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body: 3 * 1024 * 1024,
            reads: 2000,
            writes: 2000,
            seats: 64,
            longrunning: 4096,
            connections: 2048,
            half_open: 256,
            head: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            request: Duration::from_secs(60),
            events: (2000, Duration::from_secs(3600)),
            bookmarks: Duration::from_secs(60),
        }
    }
}

/// What the API server is given to work with.
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
    /// Logs, exec and the like of this node's containers.
    pub streams: Arc<dyn NodeStreams>,
    /// Measures what nodes and pods use, for `metrics.k8s.io`; without it that group is not served.
    pub usage: Option<Arc<dyn Usage>>,
    /// Converts custom resources whose definition names a webhook.
    pub converter: Option<Arc<dyn Converter>>,
    /// Admission plugins that follow the built-in ones, in order.
    pub admission: Vec<Arc<dyn Admission>>,
    /// Those that follow them and are replaced while the server runs.
    pub plugins: Arc<dyn AdmissionPlugins>,
}

impl Default for Parts {
    fn default() -> Self {
        Parts {
            clock: Clock::system(),
            random: Random::system(),
            streams: Arc::new(crate::streams::NoStreams),
            usage: None,
            converter: None,
            admission: Vec::new(),
            plugins: Arc::new(NoAdmissionPlugins),
        }
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}
