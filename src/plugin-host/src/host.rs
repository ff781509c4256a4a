//! All plugins of a daemon.
//!
//! In: a list of plugins; later, another list. Out: one `Scheduling` over all that offer predicates and priorities,
//! and each that offers controllers. What did not change between two lists is not touched: its instances live on. A
//! plugin whose new version does not load stays as it was.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

use kedge_plugin_api::admission::{AdmissionPlugin, AdmissionPlugins};
use kedge_plugin_api::controllers::Controllers;
use kedge_plugin_api::{Bitmap, Fault, NodeTable, PluginError, PodRow, Scheduling, Verdict};
use tokio::sync::watch;

use crate::admission::Reviewer;
use crate::cache::Cache;
use crate::code::{Code, Engines, LoadError, Offers};
use crate::config::{OnFailure, PluginConfig, Source};
use crate::controllers::ControllersPlugin;
use crate::instance::Common;
use crate::metrics::{Counters, PluginMetrics};
use crate::scheduling::SchedulingPlugin;
use crate::state::Environment;
use crate::ticker::Ticker;

/// What a host needs.
#[derive(Clone)]
pub struct Options {
    /// Folder of compiled plugins; made when needed.
    pub cache: PathBuf,
    /// `kedge-plugin-compiler`.
    pub compiler: PathBuf,
    /// Clock, chance and log.
    pub environment: Environment,
}

/// Why there can be no host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] LoadError),
    /// The thread that keeps deadlines.
    #[error("cannot start the thread that keeps plugins' deadlines: {0}")]
    Thread(#[source] std::io::Error),
}

/// A plugin that was not taken as the list wants it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin} {fault}")]
pub struct Problem {
    /// Its name.
    pub plugin: String,
    /// Why.
    pub fault: Fault,
}

/// A plugin as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginInfo {
    /// Its configuration.
    pub config: PluginConfig,
    /// What it is.
    pub offers: Offers,
    /// SHA-256 of its Wasm.
    pub digest: String,
    /// Predicates in use.
    pub predicates: Vec<String>,
    /// Priorities in use, with weights.
    pub priorities: Vec<(String, u64)>,
    /// Names of its controllers.
    pub controllers: Vec<String>,
    /// Names of its admission hooks.
    pub hooks: Vec<String>,
    /// Why it is at rest, if it is.
    pub resting: Option<Fault>,
}

/// The plugins. A handle; clones are the same host.
#[derive(Clone)]
pub struct PluginHost(Arc<Inner>);

struct Inner {
    engines: Engines,
    ticker: Arc<Ticker>,
    cache: Cache,
    environment: Environment,
    plugins: RwLock<Arc<Vec<Plugin>>>,
    /// Held while a list is applied: one after the other.
    applying: Mutex<()>,
    changes: watch::Sender<u64>,
    /// Whether any plugin has admission hooks: every write asks.
    reviews: AtomicBool,
}

#[derive(Clone)]
enum Plugin {
    Scheduling(Arc<SchedulingPlugin>),
    Controllers(Arc<ControllersPlugin>),
    Admission(Arc<Reviewer>),
}

impl Plugin {
    fn common(&self) -> &Common {
        match self {
            Self::Scheduling(plugin) => &plugin.common,
            Self::Controllers(plugin) => &plugin.common,
            Self::Admission(plugin) => &plugin.common,
        }
    }

    fn config(&self) -> &PluginConfig {
        match self {
            Self::Scheduling(plugin) => &plugin.config,
            Self::Controllers(plugin) => &plugin.config,
            Self::Admission(plugin) => &plugin.config,
        }
    }

    fn retire_grown(&self) {
        match self {
            Self::Scheduling(plugin) => plugin.retire_grown(),
            Self::Controllers(plugin) => plugin.pool.retire_grown(&plugin.common),
            Self::Admission(plugin) => plugin.pool.retire_grown(&plugin.common),
        }
    }
}

impl PluginHost {
    /// A host without plugins.
    pub fn open(options: Options) -> Result<Self, HostError> {
        let engines = Engines::new()?;
        let inner: Arc<OnceLock<Weak<Inner>>> = Arc::default();
        let later = inner.clone();
        let when_idle = move || {
            if let Some(inner) = later.get().and_then(Weak::upgrade) {
                inner.plugins().iter().for_each(Plugin::retire_grown);
            }
        };
        let ticker = Ticker::start(engines.all(), Box::new(when_idle)).map_err(HostError::Thread)?;
        let cache = Cache { folder: options.cache, compiler: options.compiler };
        let host = Arc::new(Inner {
            engines,
            ticker: Arc::new(ticker),
            cache,
            environment: options.environment,
            plugins: RwLock::default(),
            applying: Mutex::default(),
            changes: watch::Sender::new(0),
            reviews: AtomicBool::new(false),
        });
        let _ = inner.set(Arc::downgrade(&host));
        Ok(Self(host))
    }

    /// Makes the plugins those of the list. What could not be done is returned; everything else is done.
    ///
    /// Blocks while plugins are compiled and loaded: call from a thread that may block.
    pub fn apply(&self, wanted: &[PluginConfig]) -> Vec<Problem> {
        let _one_at_a_time = self.0.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.0.plugins();
        let mut problems = Vec::new();
        let mut now: Vec<Plugin> = Vec::new();
        for config in wanted {
            if now.iter().any(|plugin| plugin.config().name == config.name) {
                let fault = Fault::Refused("another plugin has the same name".into());
                problems.push(Problem { plugin: config.name.clone(), fault });
                continue;
            }
            let old = before.iter().find(|plugin| plugin.config().name == config.name);
            match self.0.make(config, old) {
                Ok(plugin) => now.push(plugin),
                Err(fault) => {
                    problems.push(Problem { plugin: config.name.clone(), fault });
                    now.extend(old.cloned());
                }
            }
        }
        let files: Vec<PathBuf> = now.iter().filter_map(|plugin| plugin.common().code.file.clone()).collect();
        let reviews = now.iter().any(|plugin| matches!(plugin, Plugin::Admission(_)));
        *self.0.plugins.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(now);
        self.0.reviews.store(reviews, Ordering::Release);
        self.0.cache.keep(&files);
        self.0.changes.send_modify(|generation| *generation += 1);
        problems
    }

    /// All predicates and priorities. Follows later lists.
    pub fn scheduling(&self) -> Arc<dyn Scheduling> {
        Arc::new(self.clone())
    }

    /// The plugins that offer controllers, with the service account that the configuration gives to each. An `Arc`
    /// that was here before the last list and still is, is the same.
    pub fn controllers(&self) -> Vec<(Arc<dyn Controllers>, Option<String>)> {
        let one = |plugin: &Plugin| match plugin {
            Plugin::Controllers(plugin) => {
                Some((plugin.clone() as Arc<dyn Controllers>, plugin.config.service_account.clone()))
            }
            Plugin::Scheduling(_) | Plugin::Admission(_) => None,
        };
        self.0.plugins().iter().filter_map(one).collect()
    }

    /// The plugins that have admission hooks. Follows later lists.
    pub fn admission(&self) -> Arc<dyn AdmissionPlugins> {
        Arc::new(self.clone())
    }

    /// Changes whenever a list was applied.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The plugins as they are.
    pub fn list(&self) -> Vec<PluginInfo> {
        let one = |plugin: &Plugin| {
            let common = plugin.common();
            let mut info = PluginInfo {
                config: plugin.config().clone(),
                offers: common.code.offers,
                digest: common.code.digest.clone(),
                predicates: Vec::new(),
                priorities: Vec::new(),
                controllers: Vec::new(),
                hooks: Vec::new(),
                resting: None,
            };
            match plugin {
                Plugin::Scheduling(plugin) => {
                    info.predicates.clone_from(&plugin.predicates);
                    info.priorities.clone_from(&plugin.priorities);
                    info.resting = plugin.resting();
                }
                Plugin::Controllers(plugin) => {
                    let declared = plugin.declaration().unwrap_or_default();
                    info.controllers = declared.into_iter().map(|controller| controller.name).collect();
                    info.resting = plugin.pool.resting();
                }
                Plugin::Admission(plugin) => {
                    info.hooks = plugin.hooks().iter().map(|hook| hook.name.clone()).collect();
                    info.resting = plugin.pool.resting();
                }
            }
            info
        };
        self.0.plugins().iter().map(one).collect()
    }

    /// The counters of all plugins; `metrics::render` makes text of them.
    pub fn metrics(&self) -> Vec<PluginMetrics> {
        self.0.plugins().iter().map(|plugin| plugin.common().counters.at(&plugin.config().name)).collect()
    }

    /// Is nothing called and no timer set?
    pub fn is_idle(&self) -> bool {
        self.0.ticker.is_asleep()
    }
}

impl Inner {
    fn plugins(&self) -> Arc<Vec<Plugin>> {
        self.plugins.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The plugin that a configuration asks for; the old one if nothing about it changed.
    fn make(&self, config: &PluginConfig, old: Option<&Plugin>) -> Result<Plugin, Fault> {
        // What is in the daemon does not change while it runs.
        if let (Some(old), Source::Builtin(_)) = (old, &config.source)
            && old.config() == config
        {
            return Ok(old.clone());
        }
        let code = self.engines.load(&config.source, &self.cache).map_err(|error| Fault::Load(error.to_string()))?;
        if let Some(old) = old
            && old.config() == config
            && old.common().code.digest == code.digest
        {
            return Ok(old.clone());
        }
        // Counters go on under the same name.
        let counters = old.map_or_else(Arc::default, |old| old.common().counters.clone());
        self.start(config, code, counters)
    }

    fn start(&self, config: &PluginConfig, code: Code, counters: Arc<Counters>) -> Result<Plugin, Fault> {
        let offers = code.offers;
        let common = Common {
            name: Arc::from(config.name.as_str()),
            code,
            limits: config.limits,
            counters,
            environment: self.environment.clone(),
            ticker: self.ticker.clone(),
        };
        match offers {
            Offers::Scheduling => {
                SchedulingPlugin::new(common, config.clone()).map(|plugin| Plugin::Scheduling(Arc::new(plugin)))
            }
            Offers::Controllers => {
                ControllersPlugin::new(common, config.clone()).map(|plugin| Plugin::Controllers(Arc::new(plugin)))
            }
            Offers::Admission => {
                Reviewer::new(common, config.clone()).map(|plugin| Plugin::Admission(Arc::new(plugin)))
            }
        }
    }

    fn schedulers(&self) -> Vec<Arc<SchedulingPlugin>> {
        let one = |plugin: &Plugin| match plugin {
            Plugin::Scheduling(plugin) => Some(plugin.clone()),
            Plugin::Controllers(_) | Plugin::Admission(_) => None,
        };
        self.plugins().iter().filter_map(one).collect()
    }
}

impl AdmissionPlugins for PluginHost {
    fn any(&self) -> bool {
        self.0.reviews.load(Ordering::Acquire)
    }

    fn all(&self) -> Vec<Arc<dyn AdmissionPlugin>> {
        let one = |plugin: &Plugin| match plugin {
            Plugin::Admission(plugin) => Some(plugin.clone() as Arc<dyn AdmissionPlugin>),
            Plugin::Scheduling(_) | Plugin::Controllers(_) => None,
        };
        self.0.plugins().iter().filter_map(one).collect()
    }
}

impl Scheduling for PluginHost {
    fn filter(&self, nodes: &NodeTable, pod: &PodRow, candidates: &Bitmap) -> Result<Verdict, PluginError> {
        let mut all = Verdict { feasible: candidates.clone(), reasons: Vec::new() };
        for plugin in self.0.schedulers() {
            if plugin.predicates.is_empty() || all.feasible.is_empty() {
                continue;
            }
            match plugin.filter(nodes, pod, &all.feasible) {
                Ok(verdict) => {
                    all.feasible = verdict.feasible;
                    all.reasons.extend(verdict.reasons);
                }
                Err(error) if plugin.config.on_failure == OnFailure::Closed => return Err(error),
                Err(_) => {}
            }
        }
        Ok(all)
    }

    fn score(&self, nodes: &NodeTable, pod: &PodRow, feasible: &Bitmap) -> Result<Vec<u64>, PluginError> {
        let mut sums = vec![0; feasible.count()];
        for plugin in self.0.schedulers() {
            if plugin.priorities.is_empty() {
                continue;
            }
            match plugin.score(nodes, pod, feasible, &mut sums) {
                Ok(()) => {}
                Err(error) if plugin.config.on_failure == OnFailure::Closed => return Err(error),
                Err(_) => {}
            }
        }
        Ok(sums)
    }
}
