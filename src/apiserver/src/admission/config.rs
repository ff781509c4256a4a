//! What the configuration says about admission.
//!
//! Data only: which plugins run is decided in `order.rs`, what they do with their part in their own file.

use kedge_api::pod_security::Policy;

/// Settings of admission.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdmissionConfig {
    /// Plugins that run beside the usual ones, by Kubernetes' names.
    pub enabled: Vec<String>,
    /// Usual plugins that do not run.
    pub disabled: Vec<String>,
    /// What PodSecurity is told.
    pub pod_security: PodSecurityConfig,
}

/// Settings of PodSecurity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodSecurityConfig {
    /// What holds for a namespace whose labels are silent.
    pub defaults: Policy,
    /// Users whose pods are not judged.
    pub exempt_users: Vec<String>,
    /// Namespaces whose pods are not judged.
    pub exempt_namespaces: Vec<String>,
    /// Runtime classes whose pods are not judged.
    pub exempt_runtime_classes: Vec<String>,
}

/// Why a configuration of admission cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// No plugin has that name.
    #[error("there is no admission plugin {0:?}; there are {1}")]
    Unknown(String, String),
    /// Both lists name it.
    #[error("the admission plugin {0:?} is both enabled and disabled")]
    Both(String),
}
