//! API aggregation: group versions that another server answers, behind this server's front.
//!
//! In: APIService objects. Out: requests handed on with the caller's identity, documents that name
//! what the others serve, and the condition `Available`. Without an APIService that names a
//! Service, a request looks at one number and nothing runs.

pub mod available;
pub mod custom;
pub mod discovery;
pub mod follow;
mod front;
pub mod proxy;
pub mod table;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kedge_api::{Object, meta};
use serde_json::Value;
use tokio::sync::Notify;

use crate::metrics::{MetricsSource, family};
use crate::outbound::{Outbound, Roots, Target, Tls, Trust};

pub use front::FrontProxy;

/// The label of APIServices that this server makes.
pub const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// A group version that another server answers.
#[derive(Debug)]
pub struct Remote {
    /// The APIService's name.
    pub name: String,
    /// The API group.
    pub group: String,
    /// The version.
    pub version: String,
    /// Where the group stands among others.
    pub group_priority: i64,
    /// Where the version stands within its group.
    pub version_priority: i64,
    /// The Service.
    pub target: Target,
    /// What the spec says, to tell changes.
    spec: Value,
    available: AtomicBool,
    refreshing: AtomicBool,
    found: Mutex<Option<Arc<discovery::Found>>>,
}

impl Remote {
    /// What an APIService names; `None` if this server answers itself.
    pub(crate) fn read(object: &Object) -> Option<Remote> {
        let spec = object.get("spec")?;
        let service = spec.get("service").filter(|s| s.is_object())?;
        let port = meta::int_at(service, &["port"]).and_then(|p| u16::try_from(p).ok()).unwrap_or(443);
        Some(Remote {
            name: meta::name(object).to_owned(),
            group: meta::text(spec, "group").to_owned(),
            version: meta::text(spec, "version").to_owned(),
            group_priority: meta::int_at(spec, &["groupPriorityMinimum"]).unwrap_or(0),
            version_priority: meta::int_at(spec, &["versionPriority"]).unwrap_or(0),
            target: Target::service(meta::text(service, "namespace"), meta::text(service, "name"), port, ""),
            spec: spec.clone(),
            available: AtomicBool::new(false),
            refreshing: AtomicBool::new(false),
            found: Mutex::default(),
        })
    }

    /// Whether requests are handed on.
    pub fn is_available(&self) -> bool {
        self.available.load(Ordering::Acquire)
    }

    /// What it serves, as far as it is known.
    pub fn found(&self) -> Option<Arc<discovery::Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_found(&self, found: discovery::Found) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(found));
    }

    /// Whom to believe on the other side, and that it is us.
    fn tls(&self, outbound: &Outbound, front: &FrontProxy) -> Result<Tls, String> {
        let roots = match (meta::bool_at(&self.spec, &["insecureSkipTLSVerify"]), meta::text(&self.spec, "caBundle")) {
            (true, _) => Roots::Anybody,
            (false, "") => Roots::System,
            (false, bundle) => Roots::Bundle(STANDARD.decode(bundle).map_err(|e| format!("caBundle: {e}"))?),
        };
        outbound.tls(&Trust { roots, client: Some(front.certificate().map_err(|e| e.to_string())?) })
    }
}

/// Group and version.
type Key = (String, String);

/// The group versions that others answer.
#[derive(Debug)]
pub struct Aggregator {
    count: AtomicUsize,
    remotes: RwLock<BTreeMap<Key, Arc<Remote>>>,
    /// Told when a request could not be handed on: the condition is looked at again.
    doubt: Notify,
    /// Who we are to the others.
    pub front: FrontProxy,
    /// How often each APIService became unavailable, by reason.
    lost: Mutex<BTreeMap<(String, &'static str), u64>>,
}

impl Aggregator {
    /// Nobody else answers yet.
    pub fn new(front: FrontProxy) -> Self {
        Aggregator {
            count: AtomicUsize::new(0),
            remotes: RwLock::default(),
            doubt: Notify::new(),
            front,
            lost: Mutex::default(),
        }
    }

    /// Whether anybody else answers anything.
    pub fn is_used(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Who answers that path.
    pub fn route(&self, path: &str) -> Option<Arc<Remote>> {
        if !self.is_used() {
            return None;
        }
        let mut parts = path.trim_start_matches('/').split('/');
        let (group, version) = match (parts.next()?, parts.next()?, parts.next()) {
            ("apis", group, Some(version)) if !version.is_empty() => (group, version),
            ("api", version, _) => ("", version),
            ("openapi", "v3", Some("apis")) => (parts.next()?, parts.next()?),
            _ => return None,
        };
        self.of(group, version)
    }

    /// Who answers that group version.
    pub fn of(&self, group: &str, version: &str) -> Option<Arc<Remote>> {
        let remotes = self.remotes.read().unwrap_or_else(PoisonError::into_inner);
        remotes.get(&(group.to_owned(), version.to_owned())).cloned()
    }

    /// All of them, by group and version.
    pub fn all(&self) -> Vec<Arc<Remote>> {
        if !self.is_used() {
            return Vec::new();
        }
        self.remotes.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Takes in an APIService; out: the remote, if it is one that is new or says something new.
    fn put(&self, object: &Object) -> Option<Arc<Remote>> {
        let Some(remote) = Remote::read(object) else {
            self.remove(meta::name(object));
            return None;
        };
        let mut remotes = self.remotes.write().unwrap_or_else(PoisonError::into_inner);
        let key = (remote.group.clone(), remote.version.clone());
        if remotes.get(&key).is_some_and(|known| known.spec == remote.spec) {
            return None;
        }
        let is_available = |c: &Value| meta::text(c, "type") == "Available" && meta::text(c, "status") == "True";
        let available = meta::list_at(object, &["status", "conditions"]).iter().any(is_available);
        remote.available.store(available, Ordering::Release);
        let remote = Arc::new(remote);
        remotes.insert(key, remote.clone());
        self.count.store(remotes.len(), Ordering::Release);
        Some(remote)
    }

    fn remove(&self, name: &str) {
        let mut remotes = self.remotes.write().unwrap_or_else(PoisonError::into_inner);
        remotes.retain(|_, remote| remote.name != name);
        self.count.store(remotes.len(), Ordering::Release);
    }

    /// Notes what was found out; out: whether that changes anything for requests.
    fn note(&self, remote: &Remote, condition: &available::Condition) {
        let is = condition.status == "True";
        if remote.available.swap(is, Ordering::AcqRel) && !is {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            *lost.entry((remote.name.clone(), condition.reason)).or_default() += 1;
        }
    }
}

impl MetricsSource for Aggregator {
    fn render(&self, out: &mut String) {
        let all = self.all();
        if all.is_empty() {
            return;
        }
        family(out, "aggregator_unavailable_apiservice", "gauge", "Whether an aggregated API is unavailable.");
        for remote in all {
            let unavailable = u8::from(!remote.is_available());
            let _ = writeln!(out, "aggregator_unavailable_apiservice{{name=\"{}\"}} {unavailable}", remote.name);
        }
        const TOTAL: &str = "aggregator_unavailable_apiservice_total";
        family(out, TOTAL, "counter", "How often an aggregated API became unavailable.");
        for ((name, reason), count) in &*self.lost.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = writeln!(out, "{TOTAL}{{name=\"{name}\",reason=\"{reason}\"}} {count}");
        }
    }
}
