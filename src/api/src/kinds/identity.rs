//! What a kind or resource is called: group, version and name, and the texts in which they are written.
//!
//! In: texts. Out: identities. Never knows whether such a kind is served.

use std::borrow::Cow;
use std::fmt;

/// A short text that is nearly always a literal.
pub type Word = Cow<'static, str>;

/// Group, version and kind: what an object says it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    /// The API group; empty for the core group.
    pub group: Word,
    /// The version within the group.
    pub version: Word,
    /// The kind, as in `Deployment`.
    pub kind: Word,
}

impl Gvk {
    /// A kind that is known at compile time.
    pub const fn fixed(group: &'static str, version: &'static str, kind: &'static str) -> Gvk {
        Gvk { group: Cow::Borrowed(group), version: Cow::Borrowed(version), kind: Cow::Borrowed(kind) }
    }

    /// A kind that is known at run time.
    pub fn new(group: &str, version: &str, kind: &str) -> Gvk {
        Gvk { group: word(group), version: word(version), kind: word(kind) }
    }

    /// From the `apiVersion` and `kind` of an object.
    pub fn from_api_version(api_version: &str, kind: &str) -> Gvk {
        let (group, version) = split_api_version(api_version);
        Gvk::new(group, version, kind)
    }

    /// The text of `apiVersion`: `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        join_api_version(&self.group, &self.version)
    }

    /// Whether group and kind are these, in whatever version.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

/// As Kubernetes prints it in messages: `apps/v1, Kind=Deployment`.
impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, Kind={}", self.api_version(), self.kind)
    }
}

/// Group, version and resource: what a path says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvr {
    /// The API group; empty for the core group.
    pub group: Word,
    /// The version within the group.
    pub version: Word,
    /// The plural name, as in `deployments`.
    pub resource: Word,
}

impl Gvr {
    /// A resource that is known at compile time.
    pub const fn fixed(group: &'static str, version: &'static str, resource: &'static str) -> Gvr {
        Gvr { group: Cow::Borrowed(group), version: Cow::Borrowed(version), resource: Cow::Borrowed(resource) }
    }

    /// A resource that is known at run time.
    pub fn new(group: &str, version: &str, resource: &str) -> Gvr {
        Gvr { group: word(group), version: word(version), resource: word(resource) }
    }

    /// The text of `apiVersion`: `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        join_api_version(&self.group, &self.version)
    }

    /// `deployments.apps`, `pods`: how messages name a resource.
    pub fn group_resource(&self) -> String {
        group_resource(&self.resource, &self.group)
    }
}

/// As Kubernetes prints it in messages: `apps/v1, Resource=deployments`.
impl fmt::Display for Gvr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, Resource={}", self.api_version(), self.resource)
    }
}

/// `apps/v1` becomes `("apps", "v1")`, `v1` becomes `("", "v1")`.
pub fn split_api_version(text: &str) -> (&str, &str) {
    text.rsplit_once('/').unwrap_or(("", text))
}

/// The reverse of `split_api_version`.
pub fn join_api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// `deployments.apps`, or `pods` for the core group.
pub fn group_resource(resource: &str, group: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

/// Kubernetes' order of versions, best first: `v2`, `v1`, `v2beta1`, `v1beta2`, `v1alpha1`, then anything else by name.
pub fn version_rank(version: &str) -> (u8, std::cmp::Reverse<u32>, std::cmp::Reverse<u32>, String) {
    use std::cmp::Reverse;
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u32 = rest[..end].parse().ok()?;
        let (class, minor) = match &rest[end..] {
            "" => (0, 0),
            tail => match (tail.strip_prefix("beta"), tail.strip_prefix("alpha")) {
                (Some(minor), _) => (1, minor.parse().ok()?),
                (_, Some(minor)) => (2, minor.parse().ok()?),
                _ => return None,
            },
        };
        Some((class, Reverse(major), Reverse(minor), String::new()))
    };
    parse().unwrap_or_else(|| (3, Reverse(0), Reverse(0), version.to_owned()))
}

fn word(text: &str) -> Word {
    Cow::Owned(text.to_owned())
}
