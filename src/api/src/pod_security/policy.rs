//! Levels, versions, and the policy that a namespace's labels ask for.
//!
//! In: labels and defaults. Out: a [`Policy`], always; and the faults of labels that mean nothing.

use std::fmt;

use crate::field::{FieldError, Path};
use crate::selector::Lookup;

/// How strict: each level forbids what the one before it does, and more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is forbidden.
    #[default]
    Privileged,
    /// Known ways to more privileges are.
    Baseline,
    /// Everything but current best practice is.
    Restricted,
}

impl Level {
    const ALL: [Level; 3] = [Level::Privileged, Level::Baseline, Level::Restricted];

    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        }
    }

    /// The level of that name.
    pub fn parse(text: &str) -> Result<Level, &'static str> {
        let known = Level::ALL.into_iter().find(|level| level.name() == text);
        known.ok_or("must be one of privileged, baseline, restricted")
    }
}

/// As of which Kubernetes the level is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// v1.N.
    Minor(u32),
    /// The newest there is.
    #[default]
    Latest,
}

impl Version {
    /// `latest` or `v1.N`.
    pub fn parse(text: &str) -> Result<Version, &'static str> {
        const FAULT: &str = "must be \"latest\" or \"v1.x\"";
        if text == "latest" {
            return Ok(Version::Latest);
        }
        let digits = text.strip_prefix("v1.").ok_or(FAULT)?;
        let plain = digits == "0" || !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
        if !plain {
            return Err(FAULT);
        }
        digits.parse().map(Version::Minor).map_err(|_| FAULT)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Version::Minor(minor) => write!(f, "v1.{minor}"),
            Version::Latest => f.write_str("latest"),
        }
    }
}

/// A level as of a version: `restricted:latest`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LevelVersion {
    /// How strict.
    pub level: Level,
    /// As of when.
    pub version: Version,
}

impl LevelVersion {
    /// Whether both come to the same.
    pub fn is_equivalent(&self, other: &LevelVersion) -> bool {
        self == other || self.level == Level::Privileged && other.level == Level::Privileged
    }
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level.name(), self.version)
    }
}

/// What is refused, noted in the audit log, and warned of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// Pods that violate it are refused.
    pub enforce: LevelVersion,
    /// What violates it is noted.
    pub audit: LevelVersion,
    /// Whoever asks for what violates it is warned.
    pub warn: LevelVersion,
}

/// What begins the labels.
pub const LABELS: &str = "pod-security.kubernetes.io/";

impl Policy {
    /// What the labels of a namespace say, and the defaults where they are silent. A label that means nothing
    /// counts as the strictest for `enforce` and as nothing for the others.
    pub fn of_labels(labels: &(impl Lookup + ?Sized), defaults: Policy) -> (Policy, Vec<FieldError>) {
        let mut policy = defaults;
        let mut faults = Vec::new();
        let mut fault = |mode: &str, value: &str, why: &'static str| {
            let metadata = Path::root("metadata");
            let path = metadata.child("labels");
            faults.push(FieldError::invalid(&path.key(&format!("{LABELS}{mode}")), value, why));
        };
        let label = |mode: &str| labels.value(&format!("{LABELS}{mode}")).map(str::to_owned);
        let modes = [
            ("enforce", &mut policy.enforce, Level::Restricted),
            ("audit", &mut policy.audit, Level::Privileged),
            ("warn", &mut policy.warn, Level::Privileged),
        ];
        let mut enforced = false;
        for (mode, wanted, in_doubt) in modes {
            if let Some(text) = label(mode) {
                wanted.level = Level::parse(&text).unwrap_or_else(|why| {
                    fault(mode, &text, why);
                    in_doubt
                });
                enforced |= mode == "enforce" && Level::parse(&text).is_ok();
            }
            let version = format!("{mode}-version");
            if let Some(text) = label(&version) {
                wanted.version = Version::parse(&text).unwrap_or_else(|why| {
                    fault(&version, &text, why);
                    Version::Latest
                });
            }
        }
        // Whoever is to be refused is also warned, where nothing else was said.
        if enforced && label("warn").is_none() && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if label("warn-version").is_none() {
                policy.warn.version = policy.enforce.version;
            }
        }
        (policy, faults)
    }

    /// Nothing is refused, noted or warned of.
    pub fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|wanted| wanted.level == Level::Privileged)
    }

    /// Whether both come to the same.
    pub fn is_equivalent(&self, other: &Policy) -> bool {
        self.enforce.is_equivalent(&other.enforce)
            && self.audit.is_equivalent(&other.audit)
            && self.warn.is_equivalent(&other.warn)
    }
}
