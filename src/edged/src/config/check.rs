//! Refuses values of a configuration that parse but cannot work.
//!
//! In: a configuration. Out: nothing, or the first field that cannot work, why, and what would do. Never reads a file:
//! who opens it says what is wrong with it.

use std::net::IpAddr;

use kedge_api::kinds::Chosen;
use kedge_api::name;
use kedge_network::Range;

use super::{Api, Authentication, Config, ConfigError, Images, Network, Node};

type Refused = (&'static str, String);

/// Checks every section.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    sections(config).map_err(|(field, fault)| ConfigError::Value { field, fault })
}

fn sections(config: &Config) -> Result<(), Refused> {
    node(&config.node)?;
    api(&config.api)?;
    authentication(&config.authentication)?;
    network(&config.network)?;
    if config.containers.log_max_bytes < 4096 {
        return Err(("containers.logMaxBytes", format!("{} is below 4096", config.containers.log_max_bytes)));
    }
    if config.containers.log_max_files == 0 {
        return Err(("containers.logMaxFiles", "0 would keep no log; 1 keeps one rotated file".to_owned()));
    }
    images(&config.images)?;
    config.admission.settings().map_err(|fault| ("admission.podSecurity.defaults", fault))?;
    if config.audit.max_mib == 0 {
        return Err(("audit.maxMib", "0 would rotate with every line; 1 is the least".to_owned()));
    }
    for plugin in &config.plugins.list {
        if plugin.builtin.is_some() == plugin.file.is_some() {
            return Err(("plugins.list", format!("{:?}: name exactly one of builtin and file", plugin.name)));
        }
        if plugin.weights.values().any(|w| *w > 100) {
            return Err(("plugins.list.weights", format!("{:?}: a weight is above 100", plugin.name)));
        }
    }
    Ok(())
}

fn node(node: &Node) -> Result<(), Refused> {
    let no = |field, text: &str, faults: name::Faults| Err((field, format!("{text:?}: {}", faults.join("; "))));
    if let Some(text) = &node.name
        && let Err(faults) = name::check_subdomain(text)
    {
        return no("node.name", text, faults);
    }
    for (key, value) in &node.labels {
        if let Err(faults) = name::check_qualified(key) {
            return no("node.labels", key, faults);
        }
        if let Err(faults) = name::check_label_value(value) {
            return no("node.labels", value, faults);
        }
    }
    if !(1..=1024).contains(&node.max_pods) {
        return Err(("node.maxPods", format!("{} is not within 1 and 1024", node.max_pods)));
    }
    Ok(())
}

fn images(images: &Images) -> Result<(), Refused> {
    let (high, low) = (images.gc_high_threshold_percent, images.gc_low_threshold_percent);
    if high > 100 {
        return Err(("images.gcHighThresholdPercent", format!("{high} is not within 0 and 100")));
    }
    if low >= high {
        let why = format!("{low} is not below images.gcHighThresholdPercent, which is {high}");
        return Err(("images.gcLowThresholdPercent", why));
    }
    Ok(())
}

fn api(api: &Api) -> Result<(), Refused> {
    if api.max_in_flight == 0 {
        return Err(("api.maxInFlight", "0 would let nobody in; 1 is the least".to_owned()));
    }
    if api.event_ttl_seconds == 0 {
        return Err(("api.eventTtlSeconds", "0 would keep no Event; 1 is the least".to_owned()));
    }
    Chosen::parse(api.runtime_config.clone()).map_err(|fault| ("api.runtimeConfig", fault))?;
    let useful = |name: &String| {
        let host = name.strip_prefix("*.").unwrap_or(name);
        name.parse::<IpAddr>().is_ok() || name::check_subdomain(host).is_ok()
    };
    match api.extra_names.iter().find(|name| !useful(name)) {
        Some(name) => Err(("api.extraNames", format!("{name:?} is neither a host name in lower case nor an address"))),
        None => Ok(()),
    }
}

fn authentication(authentication: &Authentication) -> Result<(), Refused> {
    match authentication.anonymous_paths.iter().find(|path| *path != "*" && !path.starts_with('/')) {
        Some(path) => Err(("authentication.anonymousPaths", format!("{path:?} is no path: write \"/{path}\""))),
        None => Ok(()),
    }
}

fn network(network: &Network) -> Result<(), Refused> {
    if network.bridge.is_empty() || network.bridge.len() > 15 {
        return Err(("network.bridge", format!("{:?} is not 1 to 15 bytes, as the kernel wants", network.bridge)));
    }
    let range = |field, text: &str| Range::parse(text).map_err(|fault| (field, fault.to_string()));
    let pods = range("network.podRange", &network.pod_range)?;
    let services = range("network.serviceRange", &network.service_range)?;
    if pods.overlaps(services) {
        let why =
            format!("{pods} and network.serviceRange {services} overlap: choose ranges that have no address in common");
        return Err(("network.podRange", why));
    }
    Ok(())
}
