//! Which plugins run, and the controllers among them.
//!
//! In: the configuration's list. Out: a plugin host, and one engine task for each plugin that offers controllers; a
//! new list touches only what changed in it. Never decides what a plugin may do: RBAC does.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use kedge_apiserver::{ApiServer, Identity};
use kedge_client::Client;
use kedge_controllers::{Engine, PluginSeat};
use kedge_plugin_api::Controllers;
use kedge_plugin_host::{Environment, Level, Options, PluginConfig, PluginHost, Source};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::accounts;
use crate::config::{OnFailure, Plugins};
use crate::layout::Layout;

/// The built-in plugins, in the order in which they are asked.
const SCHEDULING: &str = "scheduling";
const CONTROLLERS: &str = "controllers";

/// The host's surroundings: compiled code below the data directory, the compiler beside the daemon.
pub fn open(layout: &Layout) -> Result<PluginHost, kedge_plugin_host::HostError> {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("kedge-plugin-compiler")));
    PluginHost::open(Options {
        cache: layout.plugins.clone(),
        compiler: beside.unwrap_or_else(|| PathBuf::from("kedge-plugin-compiler")),
        environment: Environment {
            now: Arc::new(SystemTime::now),
            random: Arc::new(rand::random),
            log: Arc::new(|plugin, level, line| match level {
                Level::Error => tracing::error!(plugin, "{line}"),
                Level::Warning => tracing::warn!(plugin, "{line}"),
                Level::Info => tracing::info!(plugin, "{line}"),
                Level::Debug => tracing::debug!(plugin, "{line}"),
            }),
        },
    })
}

/// The list for the host: the built-in ones, unless the configuration names them itself or wants none, and its own.
pub fn wanted(config: &Plugins, root_ca: &str) -> Vec<PluginConfig> {
    let named = |builtin: &str| config.list.iter().any(|p| p.builtin.as_deref() == Some(builtin) || p.name == builtin);
    let mut all = Vec::new();
    if !config.no_defaults {
        all.extend([SCHEDULING, CONTROLLERS].into_iter().filter(|name| !named(name)).map(PluginConfig::builtin));
    }
    for plugin in &config.list {
        let source = match (&plugin.builtin, &plugin.file) {
            (Some(name), _) => Source::Builtin(name.clone()),
            (None, Some(file)) => Source::File(file.clone()),
            // Refused when the configuration was checked.
            (None, None) => continue,
        };
        let mut one = PluginConfig::new(&plugin.name, source);
        one.weights.clone_from(&plugin.weights);
        one.disabled.clone_from(&plugin.disabled);
        one.arguments.clone_from(&plugin.arguments);
        one.on_failure = match plugin.on_failure {
            OnFailure::Closed => kedge_plugin_host::OnFailure::Closed,
            OnFailure::Open => kedge_plugin_host::OnFailure::Open,
        };
        if let Some(milliseconds) = plugin.deadline_ms {
            one.limits.deadline_ms = u64::from(milliseconds);
        }
        if let Some(mebibytes) = plugin.memory_mib {
            one.limits.memory_mib = u64::from(mebibytes);
        }
        all.push(one);
    }
    for one in &mut all {
        if one.source == Source::Builtin(CONTROLLERS.to_owned()) {
            one.arguments = json!({"rootCa": root_ca});
            one.service_account = Some(format!("{}:{}", accounts::NAMESPACE, accounts::CONTROLLERS));
        }
    }
    all
}

/// Applies a list and says what was not taken.
pub async fn apply(host: &PluginHost, list: Vec<PluginConfig>) {
    let host = host.clone();
    let applied = tokio::task::spawn_blocking(move || host.apply(&list)).await;
    for problem in applied.into_iter().flatten() {
        tracing::error!(plugin = problem.plugin, "{problem}; everything else goes on without it");
    }
}

/// Runs the controllers of whatever the host holds, until `stop`.
pub async fn run_controllers(host: PluginHost, api: ApiServer, engine: Engine, stop: CancellationToken) {
    let mut changes = host.changes();
    let mut running: HashMap<usize, (CancellationToken, JoinHandle<()>)> = HashMap::new();
    loop {
        let now = host.controllers();
        let id = |plugin: &Arc<dyn Controllers>| Arc::as_ptr(plugin).cast::<()>().addr();
        let kept: Vec<usize> = now.iter().map(|(plugin, _)| id(plugin)).collect();
        let gone: Vec<usize> = running.keys().filter(|old| !kept.contains(old)).copied().collect();
        for old in gone {
            if let Some((token, task)) = running.remove(&old) {
                token.cancel();
                let _ = task.await;
            }
        }
        for (plugin, account) in now {
            running.entry(id(&plugin)).or_insert_with(|| {
                let token = stop.child_token();
                let client = Client::from_service(api.loopback(identity(plugin.name(), account.as_deref())), "default");
                let (engine, own) = (engine.clone(), token.clone());
                let task = tokio::spawn(async move { engine.run(PluginSeat { plugin, client }, own).await });
                (token, task)
            });
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { break },
            () = stop.cancelled() => break,
        }
    }
    for (token, task) in running.into_values() {
        token.cancel();
        let _ = task.await;
    }
}

/// The service account that a plugin acts under: the named one, or one of its own name, which nobody has granted
/// anything until somebody does.
fn identity(plugin: &str, account: Option<&str>) -> Identity {
    match account.and_then(|text| text.split_once(':')) {
        Some((namespace, name)) => Identity::service_account(namespace, name),
        None => Identity::service_account(accounts::NAMESPACE, plugin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Plugin;

    #[track_caller]
    fn check(config: Plugins, expected: &[&str]) {
        let names: Vec<String> = wanted(&config, "").into_iter().map(|p| p.name).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn the_built_in_ones_run_unless_told_otherwise() {
        let own = |name: &str, builtin: Option<&str>| Plugin {
            name: name.into(),
            builtin: builtin.map(str::to_owned),
            file: builtin.is_none().then(|| PathBuf::from("/x.wasm")),
            ..Plugin::default()
        };
        check(Plugins::default(), &["scheduling", "controllers"]);
        check(Plugins { list: vec![own("mine", None)], no_defaults: false }, &["scheduling", "controllers", "mine"]);
        check(Plugins { list: vec![own("mine", None)], no_defaults: true }, &["mine"]);
        check(Plugins { list: vec![own("s", Some("scheduling"))], no_defaults: false }, &["controllers", "s"]);
    }
}
