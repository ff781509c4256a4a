//! Which admission plugins run, and in which order: Kubernetes'.
//!
//! In: the configuration, and plugins that are not built in. Out: the list that every write goes through.

use std::sync::Arc;

use super::{Admission, AdmissionConfig, ConfigFault};
use super::{
    certificates, devices, limit_ranger, namespace, network, node_restriction, owners, pod_preset, pod_security, pods,
    policy, priority, resource_quota, runtime_class, service_account, storage, tolerations, webhook,
};

/// Makes a plugin.
type Make = fn(&AdmissionConfig) -> Arc<dyn Admission>;

/// The built-in plugins in Kubernetes' order; the second part says whether one runs unless told otherwise.
/// NodeRestriction does here, since the agents' own role is as wide as in Kubernetes without it.
const BUILTIN: &[(Make, bool)] = &[
    (|_| Arc::new(namespace::NamespaceLifecycle), true),
    (|_| Arc::new(pod_preset::PodPreset), true),
    (|_| Arc::new(limit_ranger::LimitRanger), true),
    (|_| Arc::new(service_account::ServiceAccount), true),
    (|_| Arc::new(node_restriction::NodeRestriction), true),
    // Needs somebody who takes the taint off again.
    (|_| Arc::new(pods::TaintNodesByCondition), false),
    (|_| Arc::new(pods::AlwaysPullImages), false),
    (|config| Arc::new(pod_security::PodSecurity::new(config.pod_security.clone())), true),
    (|_| Arc::new(priority::Priority), true),
    (|_| Arc::new(tolerations::DefaultTolerationSeconds), true),
    (|_| Arc::new(pods::ExtendedResourceToleration), false),
    (|_| Arc::new(storage::DefaultStorageClass), true),
    (|_| Arc::new(storage::StorageObjectInUseProtection), true),
    (|_| Arc::new(owners::OwnerReferencesPermissionEnforcement), false),
    (|_| Arc::new(storage::PersistentVolumeClaimResize), true),
    (|_| Arc::new(runtime_class::RuntimeClass), true),
    (|_| Arc::new(certificates::CertificateApproval), true),
    (|_| Arc::new(certificates::CertificateSigning), true),
    (|_| Arc::new(certificates::ClusterTrustBundleAttest), true),
    (|_| Arc::new(certificates::CertificateSubjectRestriction), true),
    (|_| Arc::new(network::DefaultIngressClass), true),
    (|_| Arc::new(network::DenyServiceExternalIPs), false),
    (|_| Arc::new(pods::PodTopologyLabels), true),
    (|_| Arc::new(pods::PodResizeValidator), true),
    (|_| Arc::new(devices::DeviceAdminAccess), true),
];

/// What comes after every other plugin: those outside, and quotas, so that only what all others admit is charged.
const LAST: &[(Make, bool)] = &[
    (|_| Arc::new(policy::Mutating), true),
    (|_| Arc::new(webhook::Mutating), true),
    (|_| Arc::new(policy::Validating), true),
    (|_| Arc::new(webhook::Validating), true),
    (|_| Arc::<resource_quota::ResourceQuota>::default(), true),
];

/// The plugins that run: built-in ones, then `more` in the order given, then those that must be last.
pub(crate) fn chain(
    config: &AdmissionConfig,
    more: Vec<Arc<dyn Admission>>,
) -> Result<Vec<Arc<dyn Admission>>, ConfigFault> {
    let made = |list: &[(Make, bool)]| list.iter().map(|(make, usual)| (make(config), *usual)).collect::<Vec<_>>();
    let mut all = made(BUILTIN);
    all.extend(more.into_iter().map(|plugin| (plugin, true)));
    all.extend(made(LAST));
    for name in config.enabled.iter().chain(&config.disabled) {
        if all.iter().all(|(plugin, _)| plugin.name() != name) {
            let names: Vec<&str> = all.iter().map(|(plugin, _)| plugin.name()).collect();
            return Err(ConfigFault::Unknown(name.clone(), names.join(", ")));
        }
        if config.enabled.contains(name) && config.disabled.contains(name) {
            return Err(ConfigFault::Both(name.clone()));
        }
    }
    let named = |list: &[String], plugin: &Arc<dyn Admission>| list.iter().any(|name| name == plugin.name());
    let runs = |plugin: &Arc<dyn Admission>, usual: bool| {
        (usual || named(&config.enabled, plugin)) && !named(&config.disabled, plugin)
    };
    Ok(all.into_iter().filter(|(plugin, usual)| runs(plugin, *usual)).map(|(plugin, _)| plugin).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(enabled: &[&str], disabled: &[&str], expected: Result<(&str, bool), &str>) {
        let words = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        let config =
            AdmissionConfig { enabled: words(enabled), disabled: words(disabled), ..AdmissionConfig::default() };
        match (chain(&config, Vec::new()), expected) {
            (Ok(all), Ok((name, runs))) => assert_eq!(all.iter().any(|p| p.name() == name), runs, "{name}"),
            (Err(fault), Err(text)) => assert!(fault.to_string().contains(text), "{fault}"),
            (seen, expected) => panic!("{} instead of {expected:?}", seen.is_ok()),
        }
    }

    #[test]
    fn usual_plugins_run_unless_disabled_and_others_when_enabled() {
        check(&[], &[], Ok(("LimitRanger", true)));
        check(&[], &["LimitRanger"], Ok(("LimitRanger", false)));
        check(&["LimitRanger"], &[], Ok(("LimitRanger", true)));
        check(&["LimitRanger"], &["LimitRanger"], Err("both"));
        check(&["Nonsense"], &[], Err("there is no admission plugin \"Nonsense\"; there are NamespaceLifecycle"));
    }
}
