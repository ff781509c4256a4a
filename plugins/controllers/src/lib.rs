//! The built-in controllers, as one component.
//!
//! In: keys, and rows of declared fields. Out: writes through the API under the plugin's own service account.
//! Each controller decides in pure functions (`plan`) that are tested without Wasm; the rest reads rows and writes.

// Natively only the decisions are used, by their tests: what calls them is exported to Wasm alone.
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]

mod binder;
mod collector;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod endpointslice;
mod job;
mod mirroring;
mod namespace;
mod order;
mod podgc;
mod pods;
mod protection;
mod quantity;
mod quota;
mod replicaset;
mod revisions;
mod service;
mod serviceaccount;
mod statefulset;
mod ttl;
mod world;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers as wire;
use kedge_plugin_sdk::controller::kedge::plugin::objects::Key;

/// The component.
struct Builtin;

/// The controllers in the order of the declaration.
#[derive(Clone, Copy)]
enum Which {
    Deployment,
    ReplicaSet,
    ReplicationController,
    Collector,
    Namespace,
    ServiceAccount,
    RootCa,
    Quota,
    Endpoints,
    EndpointSlice,
    Mirroring,
    Disruption,
    Job,
    Ttl,
    CronJob,
    PodGc,
    ClaimProtection,
    VolumeProtection,
    AttributesProtection,
    StatefulSet,
    DaemonSet,
    Binder,
    VolumePhases,
}

const ALL: [Which; 23] = [
    Which::Deployment,
    Which::ReplicaSet,
    Which::ReplicationController,
    Which::Collector,
    Which::Namespace,
    Which::ServiceAccount,
    Which::RootCa,
    Which::Quota,
    Which::Endpoints,
    Which::EndpointSlice,
    Which::Mirroring,
    Which::Disruption,
    Which::Job,
    Which::Ttl,
    Which::CronJob,
    Which::PodGc,
    Which::ClaimProtection,
    Which::VolumeProtection,
    Which::AttributesProtection,
    Which::StatefulSet,
    Which::DaemonSet,
    Which::Binder,
    Which::VolumePhases,
];

// A component's instance has one thread.
std::thread_local! {
    static ROOT_CA: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

impl wire::Guest for Builtin {
    /// The one argument is `rootCa`: the PEM certificate that is published in every namespace.
    fn declare(arguments: String) -> Result<Vec<wire::Controller>, String> {
        let arguments: serde_json::Value =
            serde_json::from_str(&arguments).map_err(|e| format!("the arguments are no JSON: {e}"))?;
        let pem = arguments.get("rootCa").and_then(serde_json::Value::as_str).unwrap_or_default();
        ROOT_CA.set(pem.to_string());
        Ok(ALL
            .iter()
            .map(|which| match which {
                Which::Deployment => deployment::declare(),
                Which::ReplicaSet => replicaset::declare(replicaset::Flavour::ReplicaSet),
                Which::ReplicationController => replicaset::declare(replicaset::Flavour::ReplicationController),
                Which::Collector => collector::declare(),
                Which::Namespace => namespace::declare(),
                Which::ServiceAccount => serviceaccount::declare(),
                Which::RootCa => serviceaccount::declare_root_ca(),
                Which::Quota => quota::declare(),
                Which::Endpoints => endpoints::declare(),
                Which::EndpointSlice => endpointslice::declare(),
                Which::Mirroring => mirroring::declare(),
                Which::Disruption => disruption::declare(),
                Which::Job => job::declare(),
                Which::Ttl => ttl::declare(),
                Which::Binder => binder::declare(),
                Which::VolumePhases => binder::declare_volumes(),
                Which::DaemonSet => daemonset::declare(),
                Which::StatefulSet => statefulset::declare(),
                Which::CronJob => cronjob::declare(),
                Which::PodGc => podgc::declare(),
                Which::ClaimProtection => protection::declare(protection::Flavour::Claim),
                Which::VolumeProtection => protection::declare(protection::Flavour::Volume),
                Which::AttributesProtection => protection::declare(protection::Flavour::Attributes),
            })
            .collect())
    }

    fn reconcile(controller: u32, key: Key) -> Result<wire::Action, wire::Fault> {
        let which = ALL
            .get(controller as usize)
            .ok_or_else(|| wire::Fault { message: format!("there is no controller number {controller}") })?;
        let done = match which {
            Which::Deployment => deployment::reconcile(&key),
            Which::ReplicaSet => replicaset::reconcile(replicaset::Flavour::ReplicaSet, &key),
            Which::ReplicationController => replicaset::reconcile(replicaset::Flavour::ReplicationController, &key),
            Which::Collector => collector::reconcile(&key),
            Which::Namespace => namespace::reconcile(&key),
            Which::ServiceAccount => serviceaccount::reconcile(&key),
            Which::Quota => quota::reconcile(&key),
            Which::Endpoints => endpoints::reconcile(&key),
            Which::EndpointSlice => endpointslice::reconcile(&key),
            Which::Mirroring => mirroring::reconcile(&key),
            Which::Disruption => disruption::reconcile(&key),
            Which::Job => job::reconcile(&key),
            Which::Ttl => ttl::reconcile(&key),
            Which::Binder => binder::reconcile(&key),
            Which::VolumePhases => binder::reconcile_volume(&key),
            Which::DaemonSet => daemonset::reconcile(&key),
            Which::StatefulSet => statefulset::reconcile(&key),
            Which::CronJob => cronjob::reconcile(&key),
            Which::PodGc => podgc::reconcile(&key),
            Which::ClaimProtection => protection::reconcile(protection::Flavour::Claim, &key),
            Which::VolumeProtection => protection::reconcile(protection::Flavour::Volume, &key),
            Which::AttributesProtection => protection::reconcile(protection::Flavour::Attributes, &key),
            Which::RootCa => ROOT_CA.with_borrow(|pem| serviceaccount::reconcile_root_ca(&key, pem)),
        };
        match done {
            Ok(None) => Ok(wire::Action::Done),
            Ok(Some(delay)) => Ok(wire::Action::AgainAfter(delay.as_millis() as u64)),
            Err(message) => Err(wire::Fault { message }),
        }
    }
}

// Elsewhere the exports' names are no names to the linker.
#[cfg(target_arch = "wasm32")]
kedge_plugin_sdk::controller::export_controller!(Builtin with_types_in kedge_plugin_sdk::controller);
