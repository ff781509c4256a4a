//! The table of checks: from which version on, at which level, in whose place.
//!
//! In: a level and a version. Out: the functions that judge, in Kubernetes' order: the baseline's by name, then
//! the restricted level's by name.

mod baseline;
mod restricted;
mod words;

use serde_json::Value;

use super::{Level, LevelVersion, Version, Violation};

/// Judges annotations and spec.
type Judge = fn(&Value, &Value) -> Option<Violation>;

struct Check {
    id: &'static str,
    level: Level,
    /// From which v1.N on which function judges; ascending.
    since: &'static [(u32, Judge)],
    /// The baseline check that this one is stricter than.
    instead_of: Option<&'static str>,
}

const fn baseline(id: &'static str, since: &'static [(u32, Judge)]) -> Check {
    Check { id, level: Level::Baseline, since, instead_of: None }
}

const fn restricted(id: &'static str, since: &'static [(u32, Judge)], instead_of: Option<&'static str>) -> Check {
    Check { id, level: Level::Restricted, since, instead_of }
}

const CHECKS: [Check; 19] = [
    baseline("appArmorProfile", &[(0, baseline::app_armor)]),
    baseline("capabilities_baseline", &[(0, baseline::capabilities)]),
    baseline("hostNamespaces", &[(0, baseline::host_namespaces)]),
    baseline("hostPathVolumes", &[(0, baseline::host_path)]),
    baseline("hostPorts", &[(0, baseline::host_ports)]),
    baseline("hostProbesAndHostLifecycle", &[(34, baseline::probe_hosts)]),
    baseline("privileged", &[(0, baseline::privileged)]),
    baseline("procMount", &[(0, baseline::proc_mount), (35, baseline::proc_mount_outside_user_namespaces)]),
    baseline("seLinuxOptions", &[(0, baseline::se_linux_1_0), (31, baseline::se_linux_1_31)]),
    baseline("seccompProfile_baseline", &[(0, baseline::seccomp_annotations), (19, baseline::seccomp)]),
    baseline(
        "sysctls",
        &[
            (0, baseline::sysctls_1_0),
            (27, baseline::sysctls_1_27),
            (29, baseline::sysctls_1_29),
            (32, baseline::sysctls_1_32),
        ],
    ),
    baseline("windowsHostProcess", &[(0, baseline::host_process)]),
    restricted(
        "allowPrivilegeEscalation",
        &[(8, restricted::escalation), (25, restricted::escalation_not_on_windows)],
        None,
    ),
    restricted(
        "capabilities_restricted",
        &[(22, restricted::capabilities), (25, restricted::capabilities_not_on_windows)],
        Some("capabilities_baseline"),
    ),
    restricted("procMount_restricted", &[(35, baseline::proc_mount)], Some("procMount")),
    restricted("restrictedVolumes", &[(0, restricted::volumes)], Some("hostPathVolumes")),
    restricted("runAsNonRoot", &[(0, restricted::non_root), (35, restricted::non_root_outside_user_namespaces)], None),
    restricted("runAsUser", &[(23, restricted::user), (35, restricted::user_outside_user_namespaces)], None),
    restricted(
        "seccompProfile_restricted",
        &[(19, restricted::seccomp), (25, restricted::seccomp_not_on_windows)],
        Some("seccompProfile_baseline"),
    ),
];

impl Check {
    /// Who judges in that version.
    fn judge(&self, version: Version) -> Option<Judge> {
        self.since.iter().rev().find(|(minor, _)| Version::Minor(*minor) <= version).map(|(_, judge)| *judge)
    }
}

/// The checks of a level.
pub(super) fn of(wanted: LevelVersion) -> Vec<Judge> {
    let stands_aside = |id: &str| {
        wanted.level == Level::Restricted
            && CHECKS.iter().any(|c| c.instead_of == Some(id) && c.judge(wanted.version).is_some())
    };
    let counts = |check: &&Check| check.level <= wanted.level && !stands_aside(check.id);
    CHECKS.iter().filter(counts).filter_map(|check| check.judge(wanted.version)).collect()
}
