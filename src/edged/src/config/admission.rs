//! The section of admission: which of Kubernetes' plugins run, and what PodSecurity is told.
//!
//! In: YAML, with Kubernetes' own names. Out: the API server's settings, or a sentence. Names of plugins are checked by
//! the API server, which knows them.

use kedge_api::pod_security::{Level, LevelVersion, Policy, Version};
use kedge_apiserver::AdmissionConfig;
use kedge_apiserver::admission::PodSecurityConfig;
use serde::{Deserialize, Serialize};

/// What may change or refuse a write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Admission {
    /// Plugins that run beside the usual ones.
    pub enable: Vec<String>,
    /// Usual plugins that do not run.
    pub disable: Vec<String>,
    /// Kubernetes' PodSecurityConfiguration.
    pub pod_security: PodSecurity,
}

/// What PodSecurity is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct PodSecurity {
    /// What holds for a namespace whose labels are silent.
    pub defaults: Defaults,
    /// Whose pods are not judged.
    pub exemptions: Exemptions,
}

/// Levels and versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Defaults {
    /// Pods that violate it are refused.
    pub enforce: String,
    /// `latest` or `v1.N`.
    pub enforce_version: String,
    /// What violates it is noted in the audit log.
    pub audit: String,
    /// `latest` or `v1.N`.
    pub audit_version: String,
    /// Whoever asks for what violates it is warned.
    pub warn: String,
    /// `latest` or `v1.N`.
    pub warn_version: String,
}

impl Default for Defaults {
    fn default() -> Self {
        let (level, version) = ("privileged".to_owned(), "latest".to_owned());
        Defaults {
            enforce: level.clone(),
            enforce_version: version.clone(),
            audit: level.clone(),
            audit_version: version.clone(),
            warn: level,
            warn_version: version,
        }
    }
}

/// Whose pods are not judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Exemptions {
    /// Users.
    pub usernames: Vec<String>,
    /// Runtime classes.
    pub runtime_classes: Vec<String>,
    /// Namespaces.
    pub namespaces: Vec<String>,
}

impl Admission {
    /// The API server's settings, or which level or version means nothing.
    pub fn settings(&self) -> Result<AdmissionConfig, String> {
        let defaults = &self.pod_security.defaults;
        let one = |name: &str, level: &str, version: &str| -> Result<LevelVersion, String> {
            Ok(LevelVersion {
                level: Level::parse(level).map_err(|why| format!("{name}: {level:?} {why}"))?,
                version: Version::parse(version).map_err(|why| format!("{name}-version: {version:?} {why}"))?,
            })
        };
        let exempt = &self.pod_security.exemptions;
        Ok(AdmissionConfig {
            enabled: self.enable.clone(),
            disabled: self.disable.clone(),
            pod_security: PodSecurityConfig {
                defaults: Policy {
                    enforce: one("enforce", &defaults.enforce, &defaults.enforce_version)?,
                    audit: one("audit", &defaults.audit, &defaults.audit_version)?,
                    warn: one("warn", &defaults.warn, &defaults.warn_version)?,
                },
                exempt_users: exempt.usernames.clone(),
                exempt_namespaces: exempt.namespaces.clone(),
                exempt_runtime_classes: exempt.runtime_classes.clone(),
            },
        })
    }
}
