//! Starts the parts of a device in their order, and stops them in the reverse one.
//!
//! In: configuration and data directory. Out: a running device, until SIGTERM or SIGINT. SIGHUP reads the plugins'
//! list again. Containers outlive it. Decides nothing: each part is told its settings here and nowhere else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kedge_api::kinds::Chosen;
use kedge_apiserver::{AccessWebhookSettings, AuditLog, AuditSettings, TokenWebhookSettings};
use kedge_apiserver::{ApiServer, Identity, Parts, Probe};
use kedge_client::Client;
use kedge_controllers::Engine;
use kedge_node::port::{LinuxMounts, SystemClock, SystemDice};
use kedge_node::{ClientApi, ImageGc, NodeConfig, Ports};
use kedge_runtime::zygote::Zygote;
use kedge_runtime::{Runtime, RuntimeOptions};
use kedge_scheduler::{Scheduler, Settings};
use kedge_store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Overrides};
use crate::device::Device;
use crate::kubelet::configz;
use crate::layout::{Layout, write_private};
use crate::ports::{ImagesPort, NetworkPort, RuntimePort};
use crate::streams::NodeSide;
use crate::uploads::Uploads;
use crate::{Fault, accounts, plugins, settle};

/// Longest wait for the parts to end after SIGTERM; a request takes at most a minute, a stop must not.
const FAREWELL: Duration = Duration::from_secs(10);

/// Where the machine's own logs are.
const SYSTEM_LOGS: &str = "/var/log";

/// Runs the device.
pub async fn daemon(
    layout: Layout,
    config: Config,
    file: Option<PathBuf>,
    overrides: Overrides,
    zygote: Zygote,
) -> Result<(), Fault> {
    let mut signals = Signals::listen()?;
    // Taken first: a port in use should be told before anything is touched.
    let listener = TcpListener::bind(config.api.listen)
        .map_err(|e| format!("cannot listen on {}: {e}; choose another address with --listen", config.api.listen))?;
    let listening = listener.local_addr()?;
    let node_name = node_name(&config)?;
    write_private(&layout.effective, serde_yaml::to_string(&config)?.as_bytes())?;
    let stop = CancellationToken::new();

    let store = Store::open(store_options(&layout, &config))?;
    let network = kedge_network::PodNetwork::open(network_options(&layout, &config)?).await?;
    let node_ip = match config.node.address {
        Some(address) => address,
        None => network.node_ip().await,
    };
    let (moves, node_ips) = tokio::sync::watch::channel(vec![node_ip]);
    // Expressions name time zones as CronJobs do.
    kedge_cel::look_up_zones(kedge_plugin_host::zone_offset);
    let node_side = NodeSide::default();
    let settings = api_config(&layout, &config, &node_name, listening, node_ip, network.gateway())?;
    let host = plugins::open(&layout)?;
    let parts = Parts {
        streams: Arc::new(node_side.clone()),
        usage: Some(Arc::new(node_side.clone())),
        plugins: host.admission(),
        ..Parts::default()
    };
    let api = ApiServer::open(settings, store.clone(), parts).await?;
    let admin = client(&api, Identity::master("kedge:bootstrap"));
    accounts::grant_builtin(&admin).await?;

    plugins::apply(&host, plugins::wanted(&config.plugins, api.ca_certificate())).await;
    let engine = Engine::new(SystemTime::now);
    let scheduler_metrics = Arc::new(kedge_scheduler::Metrics::default());
    add_metrics(&api, &host, &engine, &scheduler_metrics, &node_side);
    let node_ready = node_side.clone();
    let node_check = move || if node_ready.is_ready() { Ok(()) } else { Err("the node is not registered".to_owned()) };
    api.add_check("node", Probe::Ready, Arc::new(node_check));

    let mut tasks: JoinSet<(&'static str, Result<(), Fault>)> = JoinSet::new();
    {
        let (api, stop) = (api.clone(), stop.clone());
        tasks.spawn(async move { ("api", api.serve(listener, stop).await.map_err(Into::into)) });
    }
    {
        let (host, api, engine, stop) = (host.clone(), api.clone(), engine.clone(), stop.clone());
        tasks.spawn(async move {
            plugins::run_controllers(host, api, engine, stop).await;
            ("controllers", Ok(()))
        });
    }
    {
        let parts = kedge_scheduler::Parts {
            client: client(&api, Identity::user("system:kube-scheduler", ["system:authenticated"])),
            plugins: host.scheduling(),
            clock: SystemTime::now,
            random: Box::new(rand::random),
            metrics: scheduler_metrics,
        };
        let stop = stop.clone();
        tasks.spawn(async move {
            ("scheduler", Scheduler::run(parts, Settings::default(), stop).await.map_err(Into::into))
        });
    }
    {
        let network = network.clone();
        let stop = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => ("network", Ok(())),
                failed = network.guard() => ("network", failed.map(|never| match never {}).map_err(Into::into)),
            }
        });
    }

    if config.node.address.is_none() {
        let (network, api, stop) = (network.clone(), api.clone(), stop.clone());
        let around = vec![network.gateway(), listening.ip()];
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                error = follow_address(&network, &api, &moves, &around) => {
                    tracing::error!(error = %crate::chain(&error), "changes of this machine's address are not followed");
                    stop.cancelled().await;
                }
            }
            ("address", Ok(()))
        });
    }

    let runtime = Runtime::connect(zygote, runtime_options(&layout, &config)).await?;
    let images = kedge_image::Images::open(image_options(&layout, &config))?;
    preload(&images, &layout, &config).await;
    let machine = kedge_node::machine::LinuxMachine::new(&layout.node);
    let ports = Ports {
        api: Arc::new(ClientApi::loopback(client(&api, Identity::node(&node_name)))),
        runtime: Arc::new(RuntimePort(runtime)),
        images: Arc::new(ImagesPort(images.clone())),
        network: Arc::new(NetworkPort { network: network.clone(), addresses: node_ips }),
        mounts: Arc::new(LinuxMounts),
        clock: Arc::new(SystemClock::new()),
        dice: Arc::new(SystemDice),
        machine: Arc::new(machine.clone()),
    };
    let agent = node_config(&layout, &config, &node_name);
    let system_logs = config.node.enable_system_log_handler.then(|| PathBuf::from(SYSTEM_LOGS));
    let around =
        configz::Around { cgroup: &runtime_options(&layout, &config).cgroup_parent, logs: system_logs.is_some() };
    let configz = configz::document(&agent, &around);
    let node = kedge_node::start(agent, ports, stop.clone()).await?;
    let uploads = Arc::new(Uploads::open(layout.uploads.clone())?);
    node_side.set(
        node.clone(),
        Device {
            name: node_name.clone(),
            images,
            uploads,
            plugins: host.clone(),
            node: node.clone(),
            api: client(&api, Identity::node(&node_name)),
            network,
            machine,
            looks: Arc::default(),
            configz,
            system_logs,
        },
    );
    tracing::info!(node = node_name, address = %listening, data = %layout.root.display(), "the device is up");

    let settling = tokio::spawn(settle::after_start(store.clone()));
    let outcome = loop {
        tokio::select! {
            heard = signals.next() => match heard {
                Heard::End => break Ok(()),
                Heard::Reload => reload(&host, &api, file.as_deref(), &overrides).await,
            },
            Some(ended) = tasks.join_next() => break Err(match ended {
                Ok((part, Ok(()))) => format!("the {part} ended by itself").into(),
                Ok((part, Err(error))) => format!("the {part} failed: {}", crate::chain(&*error)).into(),
                Err(error) => Fault::from(error),
            }),
        }
    };
    tracing::info!("stopping; containers go on");
    settling.abort();
    stop.cancel();
    let farewell = async {
        node.join().await;
        while tasks.join_next().await.is_some() {}
        api.close().await;
        store.close().await;
    };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        tracing::warn!("some parts did not end in time");
    }
    outcome
}

/// Tells everyone when the machine gets another address: the node's status, pods' and the API's certificate follow.
/// Ends only with an error of the kernel's.
async fn follow_address(
    network: &kedge_network::PodNetwork,
    api: &ApiServer,
    moves: &tokio::sync::watch::Sender<Vec<IpAddr>>,
    around: &[IpAddr],
) -> kedge_network::NetworkError {
    loop {
        let known = moves.borrow().first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let address = match network.moved_from(known).await {
            Ok(address) => address,
            Err(error) => return error,
        };
        tracing::info!(from = %known, to = %address, "this machine has another address");
        api.set_addresses(reachable(address, around));
        moves.send_replace(vec![address]);
    }
}

/// The addresses under which the API is reached: the machine's first, each once.
fn reachable(node_ip: IpAddr, around: &[IpAddr]) -> Vec<IpAddr> {
    let mut addresses = vec![node_ip];
    for address in around.iter().copied().chain([IpAddr::V4(Ipv4Addr::LOCALHOST)]) {
        if !address.is_unspecified() && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

fn client(api: &ApiServer, who: Identity) -> Client {
    Client::from_service(api.loopback(who), "default")
}

/// Reads the plugins' list again; a file that is not accepted changes nothing.
async fn reload(
    host: &kedge_plugin_host::PluginHost,
    api: &ApiServer,
    file: Option<&std::path::Path>,
    overrides: &Overrides,
) {
    match Config::load(file, overrides) {
        Ok(config) => {
            plugins::apply(host, plugins::wanted(&config.plugins, api.ca_certificate())).await;
            tracing::info!("the list of plugins was read again");
        }
        Err(error) => {
            tracing::error!(error = %crate::chain(&error), "the configuration was not accepted; nothing changed")
        }
    }
}

/// Archives of the preload folder; one that is broken stops none of the others.
async fn preload(images: &kedge_image::Images, layout: &Layout, config: &Config) {
    let folder = config.images.preload.clone().unwrap_or_else(|| layout.preload.clone());
    if !folder.is_dir() {
        return;
    }
    match images.load_folder(&folder).await {
        Ok(all) => {
            for loaded in all {
                if let Err(error) = loaded.images {
                    tracing::error!(archive = %loaded.path.display(), error = %crate::chain(&error),
                        "an archive of the preload folder was not loaded");
                }
            }
        }
        Err(error) => tracing::error!(folder = %folder.display(), error = %crate::chain(&error),
            "the preload folder could not be read"),
    }
}

fn add_metrics(
    api: &ApiServer,
    host: &kedge_plugin_host::PluginHost,
    engine: &Engine,
    scheduler: &Arc<kedge_scheduler::Metrics>,
    node: &NodeSide,
) {
    let (host, engine, scheduler, node) = (host.clone(), engine.clone(), scheduler.clone(), node.clone());
    api.add_metrics(Arc::new(move |out: &mut String| {
        out.push_str(&kedge_plugin_host::render(&host.metrics()));
        engine.metrics().render(out);
        out.push_str(&scheduler.render());
        out.push_str(&node.metrics().unwrap_or_default());
    }));
}

fn store_options(layout: &Layout, config: &Config) -> kedge_store::Options {
    let mut options = kedge_store::Options::new(&layout.store);
    options.backups.keep = config.store.backups as usize;
    options.backups.every = Duration::from_secs(u64::from(config.store.backup_hours) * 3600);
    options
}

fn api_config(
    layout: &Layout,
    config: &Config,
    node_name: &str,
    listening: SocketAddr,
    node_ip: IpAddr,
    gateway: IpAddr,
) -> Result<kedge_apiserver::Config, Fault> {
    let addresses = reachable(node_ip, &[gateway, listening.ip()]);
    let range = kedge_network::Range::parse(&config.network.service_range)
        .map_err(|e| format!("the configuration was not accepted: network.serviceRange: {e}"))?;
    let mut settings = kedge_apiserver::Config {
        data_dir: layout.root.clone(),
        node_name: node_name.to_owned(),
        addresses,
        names: config.api.extra_names.clone(),
        advertise: listening.ip(),
        port: listening.port(),
        service_network: (range.base(), range.prefix()),
        removed_versions: config.api.removed_versions,
        versions: Chosen::parse(config.api.runtime_config.clone())
            .map_err(|e| format!("the configuration was not accepted: api.runtimeConfig: {e}"))?,
        encryption: kedge_apiserver::Encryption {
            secrets: config.store.encrypt_secrets,
            config: config.store.encryption_config.clone(),
        },
        authentication: kedge_apiserver::Authentication {
            anonymous_paths: config.authentication.anonymous_paths.clone(),
            token_file: config.authentication.token_file.clone(),
            config: config.authentication.config.clone(),
            front_proxy_ca: config.authentication.front_proxy_ca.clone(),
            front_proxy_names: config.authentication.front_proxy_names.clone(),
        },
        admission: config.admission.settings()?,
        ..kedge_apiserver::Config::default()
    };
    settings.audit = audit_settings(layout, config);
    settings.token_webhook = config.webhooks.authentication.clone().map(|kubeconfig| TokenWebhookSettings {
        kubeconfig,
        believed: Duration::from_secs(config.webhooks.authentication_ttl_seconds),
    });
    settings.access_webhook = config.webhooks.authorization.clone().map(|kubeconfig| AccessWebhookSettings {
        kubeconfig,
        authorized: Duration::from_secs(config.webhooks.authorized_ttl_seconds),
        unauthorized: Duration::from_secs(config.webhooks.unauthorized_ttl_seconds),
    });
    settings.limits.seats = config.api.max_in_flight;
    settings.limits.events.1 = Duration::from_secs(config.api.event_ttl_seconds);
    Ok(settings)
}

/// What is written down of requests, if there is a policy.
fn audit_settings(layout: &Layout, config: &Config) -> Option<AuditSettings> {
    const DAY: u64 = 24 * 3600;
    let audit = &config.audit;
    let policy = audit.policy.clone()?;
    let log = audit.to_file.then(|| AuditLog {
        path: audit.file.clone().unwrap_or_else(|| layout.root.join("audit/audit.log")),
        max_bytes: audit.max_mib << 20,
        max_files: audit.max_files,
        max_age: Duration::from_secs(audit.max_age_days * DAY),
        delay: Duration::from_secs(audit.delay_seconds),
    });
    Some(AuditSettings { policy, log, webhook: audit.webhook.clone() })
}

/// The runtime's settings; `cleanup` needs the same.
pub fn runtime_options(layout: &Layout, config: &Config) -> RuntimeOptions {
    RuntimeOptions {
        state_dir: layout.runtime.clone(),
        cgroup_parent: format!("{}/{}", config.containers.cgroup_parent, layout.instance()),
    }
}

/// The pod network's settings; `cleanup` needs the same.
pub fn network_options(layout: &Layout, config: &Config) -> Result<kedge_network::Options, Fault> {
    let range = kedge_network::Range::parse(&config.network.pod_range)
        .map_err(|e| format!("the configuration was not accepted: network.podRange: {e}"))?;
    Ok(kedge_network::Options {
        instance: layout.instance(),
        bridge: config.network.bridge.clone(),
        range,
        mtu: None,
        folder: layout.network.clone(),
        nft: PathBuf::from("nft"),
    })
}

fn image_options(layout: &Layout, config: &Config) -> kedge_image::Options {
    let mut options = kedge_image::Options::new(&layout.images);
    options.least_age = image_gc(config).least_age;
    for (host, registry) in &config.images.registries {
        if !registry.mirrors.is_empty() {
            options.registries.mirrors.insert(host.clone(), registry.mirrors.clone());
        }
        if registry.insecure {
            options.registries.insecure.insert(host.clone());
        }
    }
    options
}

fn image_gc(config: &Config) -> ImageGc {
    let images = &config.images;
    ImageGc {
        high: images.gc_high_threshold_percent,
        low: images.gc_low_threshold_percent,
        least_age: Duration::from_secs(images.gc_minimum_age_seconds.into()),
    }
}

fn node_config(layout: &Layout, config: &Config, node_name: &str) -> NodeConfig {
    let mut node = NodeConfig::new(node_name, &layout.node);
    node.labels.clone_from(&config.node.labels);
    node.max_pods = config.node.max_pods;
    node.log_max_bytes = config.containers.log_max_bytes;
    node.log_max_files = config.containers.log_max_files;
    node.image_gc = image_gc(config);
    node
}

/// The configured name, or the host name in lower case; it must be a DNS subdomain.
fn node_name(config: &Config) -> Result<String, Fault> {
    let name = match &config.node.name {
        Some(name) => name.clone(),
        None => std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map_err(|e| format!("cannot read the host name: {e}; give one with --node-name"))?
            .trim()
            .to_lowercase(),
    };
    match kedge_api::name::check_subdomain(&name) {
        Ok(()) => Ok(name),
        Err(faults) => {
            let words: Vec<String> = faults.into_iter().map(Into::into).collect();
            Err(format!("the node name {name:?} cannot be used: {}; give another with --node-name", words.join("; "))
                .into())
        }
    }
}

/// The signals that the daemon listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.terminate.recv() => Heard::End,
            _ = self.interrupt.recv() => Heard::End,
            _ = self.hangup.recv() => Heard::Reload,
        }
    }
}

/// What a signal asks for.
enum Heard {
    /// SIGTERM or SIGINT.
    End,
    /// SIGHUP.
    Reload,
}
