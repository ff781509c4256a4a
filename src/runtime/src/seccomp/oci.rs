//! Reads a profile file of the node: the JSON form that container runtimes share.
//!
//! In: JSON text. Out: a policy for one machine and set of capabilities. What it can't express exactly is refused, never
//! passed over: a filter that is weaker than its author meant is worse than none.

use serde::Deserialize;

use super::profile::{Comparison, Policy};
use super::{Action, FilterError, Machine};
use crate::capabilities::bit;

/// A profile as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: String,
    default_errno_ret: Option<u16>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    names: Vec<String>,
    name: Option<String>,
    action: String,
    errno_ret: Option<u16>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Condition,
    #[serde(default)]
    excludes: Condition,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(default)]
    caps: Vec<String>,
    #[serde(default)]
    arches: Vec<String>,
    min_kernel: Option<String>,
}

/// Reads a profile.
pub fn parse(text: &str) -> Result<Profile, serde_json::Error> {
    serde_json::from_str(text)
}

impl Profile {
    /// What it says for one machine and a container's capabilities.
    pub fn policy(&self, machine: Machine, capabilities: u64) -> Result<Policy, FilterError> {
        let mut policy = Policy::new(action(&self.default_action, self.default_errno_ret)?);
        for rule in &self.syscalls {
            if !rule.includes.all_hold(machine, capabilities) || rule.excludes.any_holds(machine, capabilities) {
                continue;
            }
            let action = action(&rule.action, rule.errno_ret)?;
            let names: Vec<&str> = rule.names.iter().chain(&rule.name).map(String::as_str).collect();
            let mut when = Vec::new();
            for argument in rule.args.iter().flatten() {
                when.push(argument.comparison()?);
            }
            policy.add(&names, machine, &when, action);
        }
        // A later rule without comparisons must not hide behind an earlier one with them, nor the other way round: the
        // strictest order is the written one, and the first that holds answers.
        Ok(policy)
    }
}

impl Condition {
    fn all_hold(&self, machine: Machine, capabilities: u64) -> bool {
        // Every kernel that runs this has at least the versions that profiles ask for (4.8, 5.x).
        let arches = self.arches.is_empty() || self.arches.iter().any(|arch| is(arch, machine));
        arches && self.caps.iter().all(|name| capabilities & bit(name) != 0)
    }

    fn any_holds(&self, machine: Machine, capabilities: u64) -> bool {
        self.arches.iter().any(|arch| is(arch, machine))
            || self.caps.iter().any(|name| capabilities & bit(name) != 0)
            || self.min_kernel.is_some()
    }
}

impl Argument {
    fn comparison(&self) -> Result<Comparison, FilterError> {
        let (mask, value, equal) = match self.op.as_str() {
            "SCMP_CMP_EQ" => (u64::MAX, self.value, true),
            "SCMP_CMP_NE" => (u64::MAX, self.value, false),
            "SCMP_CMP_MASKED_EQ" => (self.value, self.value_two, true),
            other => return Err(FilterError::Unsupported(format!("comparison {other}"))),
        };
        if self.index > 5 {
            return Err(FilterError::Unsupported(format!("argument {}", self.index)));
        }
        Ok(Comparison { argument: self.index, mask, value, equal })
    }
}

fn is(arch: &str, machine: Machine) -> bool {
    let names: &[&str] = match machine {
        Machine::X86_64 => &["amd64", "x86_64", "SCMP_ARCH_X86_64"],
        Machine::Aarch64 => &["arm64", "aarch64", "SCMP_ARCH_AARCH64"],
        Machine::Arm => &["arm", "SCMP_ARCH_ARM"],
        Machine::X86 => &["x86", "386", "SCMP_ARCH_X86"],
    };
    names.contains(&arch)
}

fn action(name: &str, errno: Option<u16>) -> Result<Action, FilterError> {
    Ok(match name {
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_ERRNO" => Action::Errno(errno.unwrap_or(libc::EPERM as u16)),
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        other => return Err(FilterError::Unsupported(format!("action {other}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::super::numbers::number;
    use super::*;

    #[test]
    fn rules_apply_by_capability_and_machine() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86_64"],
            "syscalls":[
              {"names":["read","write","no_such_call"],"action":"SCMP_ACT_ALLOW"},
              {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
              {"names":["arch_prctl"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["amd64"]}},
              {"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}],"excludes":{"caps":["CAP_SYS_ADMIN"]}}]}"#;
        let profile = parse(text).expect("profile");
        let has = |policy: &Policy, name| policy.calls.contains_key(&number(name, Machine::X86_64).expect("known"));
        let plain = profile.policy(Machine::X86_64, 0).expect("policy");
        assert_eq!(plain.other, Action::Errno(38));
        assert!(has(&plain, "read") && has(&plain, "arch_prctl") && has(&plain, "clone") && !has(&plain, "mount"));
        let admin = profile.policy(Machine::X86_64, bit("CAP_SYS_ADMIN")).expect("policy");
        assert!(has(&admin, "mount") && !has(&admin, "clone"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1,"op":"SCMP_CMP_GE"}]}]}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":9,"value":1,"op":"SCMP_CMP_EQ"}]}]}"#,
        ] {
            let profile = parse(text).expect("JSON");
            assert!(profile.policy(Machine::X86_64, 0).is_err(), "{text}");
        }
        assert!(parse("{").is_err());
    }
}
