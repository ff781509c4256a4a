//! Which kinds there are: identity, names, verbs, subresources, where they are kept.
//!
//! In: the static table of built-in resources, and rows for custom resources. Out: look-ups by
//! resource, by kind and by the names that people type. Never knows a kind's fields (`schema.rs`).

mod table;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

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

/// How well an object must survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// On disk before it is acknowledged.
    Durable,
    /// In memory only.
    Volatile,
}

/// What may be done with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Make one.
    Create,
    /// Remove one.
    Delete,
    /// Remove all that match.
    DeleteCollection,
    /// Read one.
    Get,
    /// Read all that match.
    List,
    /// Change one in part.
    Patch,
    /// Replace one.
    Update,
    /// Follow changes.
    Watch,
}

impl Verb {
    /// All verbs in the order in which discovery lists them.
    pub const ALL: [Verb; 8] = [
        Verb::Create,
        Verb::Delete,
        Verb::DeleteCollection,
        Verb::Get,
        Verb::List,
        Verb::Patch,
        Verb::Update,
        Verb::Watch,
    ];

    /// The word in discovery and in RBAC rules.
    pub const fn name(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Patch => "patch",
            Verb::Update => "update",
            Verb::Watch => "watch",
        }
    }
}

/// A set of verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verbs(u8);

impl Verbs {
    /// Every verb: an ordinary resource.
    pub const ALL: Verbs = Verbs::of(&Verb::ALL);
    /// Reviews and bindings: posted, answered, not kept.
    pub const CREATE_ONLY: Verbs = Verbs::of(&[Verb::Create]);
    /// Computed on request.
    pub const READ_ONLY: Verbs = Verbs::of(&[Verb::Get, Verb::List]);
    /// Namespaces are too dear to be deleted by the dozen.
    pub const NO_COLLECTION_DELETE: Verbs =
        Verbs::of(&[Verb::Create, Verb::Delete, Verb::Get, Verb::List, Verb::Patch, Verb::Update, Verb::Watch]);

    /// The set of these verbs.
    pub const fn of(verbs: &[Verb]) -> Verbs {
        let mut bits = 0;
        let mut i = 0;
        while i < verbs.len() {
            bits |= 1 << verbs[i] as u8;
            i += 1;
        }
        Verbs(bits)
    }

    /// Whether the verb is in the set.
    pub const fn has(self, verb: Verb) -> bool {
        self.0 & (1 << verb as u8) != 0
    }

    /// The words, in the order in which discovery lists them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Verb::ALL.into_iter().filter(move |verb| self.has(*verb)).map(Verb::name)
    }
}

/// A subresource; closed, since each is served by code of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sub {
    /// `certificatesigningrequests/approval`
    Approval,
    /// `pods/attach`
    Attach,
    /// `pods/binding`
    Binding,
    /// `pods/ephemeralcontainers`
    EphemeralContainers,
    /// `pods/eviction`
    Eviction,
    /// `pods/exec`
    Exec,
    /// `namespaces/finalize`
    Finalize,
    /// `pods/log`
    Log,
    /// `pods/portforward`
    PortForward,
    /// `pods/proxy`, `services/proxy`, `nodes/proxy`
    Proxy,
    /// `pods/resize`
    Resize,
    /// `*/scale`
    Scale,
    /// `*/status`
    Status,
    /// `serviceaccounts/token`
    Token,
}

impl Sub {
    /// Every subresource there is.
    pub const ALL: [Sub; 14] = [
        Sub::Approval,
        Sub::Attach,
        Sub::Binding,
        Sub::EphemeralContainers,
        Sub::Eviction,
        Sub::Exec,
        Sub::Finalize,
        Sub::Log,
        Sub::PortForward,
        Sub::Proxy,
        Sub::Resize,
        Sub::Scale,
        Sub::Status,
        Sub::Token,
    ];

    /// The subresource of that name in a path.
    pub fn parse(name: &str) -> Option<Sub> {
        Sub::ALL.into_iter().find(|sub| sub.name() == name)
    }

    /// The name in a path.
    pub const fn name(self) -> &'static str {
        match self {
            Sub::Approval => "approval",
            Sub::Attach => "attach",
            Sub::Binding => "binding",
            Sub::EphemeralContainers => "ephemeralcontainers",
            Sub::Eviction => "eviction",
            Sub::Exec => "exec",
            Sub::Finalize => "finalize",
            Sub::Log => "log",
            Sub::PortForward => "portforward",
            Sub::Proxy => "proxy",
            Sub::Resize => "resize",
            Sub::Scale => "scale",
            Sub::Status => "status",
            Sub::Token => "token",
        }
    }

    /// What may be done with it.
    pub const fn verbs(self) -> Verbs {
        match self {
            Sub::Binding | Sub::Eviction | Sub::Token => Verbs::CREATE_ONLY,
            Sub::Attach | Sub::Exec | Sub::PortForward => Verbs::of(&[Verb::Create, Verb::Get]),
            Sub::Finalize => Verbs::of(&[Verb::Update]),
            Sub::Log => Verbs::of(&[Verb::Get]),
            Sub::Proxy => Verbs::of(&[Verb::Create, Verb::Delete, Verb::Get, Verb::Patch, Verb::Update]),
            Sub::Approval | Sub::EphemeralContainers | Sub::Resize | Sub::Scale | Sub::Status => {
                Verbs::of(&[Verb::Get, Verb::Patch, Verb::Update])
            }
        }
    }

    /// The kind that is read from and written to it, below a parent of this kind.
    pub fn gvk(self, parent: &Kind) -> Gvk {
        let own = |kind: &'static str| Gvk { kind: Cow::Borrowed(kind), ..parent.gvk() };
        match self {
            Sub::Scale => Gvk::fixed("autoscaling", "v1", "Scale"),
            Sub::Eviction => Gvk::fixed("policy", "v1", "Eviction"),
            Sub::Token => Gvk::fixed("authentication.k8s.io", "v1", "TokenRequest"),
            Sub::Binding => own("Binding"),
            Sub::Attach => own("PodAttachOptions"),
            Sub::Exec => own("PodExecOptions"),
            Sub::PortForward => own("PodPortForwardOptions"),
            Sub::Proxy => Gvk { kind: Cow::Owned(format!("{}ProxyOptions", parent.kind)), ..parent.gvk() },
            Sub::Approval | Sub::EphemeralContainers | Sub::Finalize | Sub::Log | Sub::Resize | Sub::Status => {
                parent.gvk()
            }
        }
    }
}

/// One served resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: Word,
    /// The version within the group.
    pub version: Word,
    /// The kind, as in `Deployment`.
    pub kind: Word,
    /// As in `deployments`.
    pub plural: Word,
    /// As in `deployment`.
    pub singular: Word,
    /// The kind of a list of them, as in `DeploymentList`.
    pub list_kind: Word,
    /// As in `deploy`.
    pub short_names: Vec<Word>,
    /// As in `all`.
    pub categories: Vec<Word>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// What may be done with it.
    pub verbs: Verbs,
    /// What hangs below an object.
    pub subresources: Vec<Sub>,
    /// Group and version in which objects are kept.
    pub stored: (Word, Word),
    /// How well objects are kept.
    pub tier: Tier,
    /// Whether it came from a CustomResourceDefinition.
    pub custom: bool,
}

impl Kind {
    /// Its identity by kind.
    pub fn gvk(&self) -> Gvk {
        Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() }
    }

    /// Its identity by resource.
    pub fn gvr(&self) -> Gvr {
        Gvr { group: self.group.clone(), version: self.version.clone(), resource: self.plural.clone() }
    }

    /// The kind in which objects are kept.
    pub fn stored_gvk(&self) -> Gvk {
        Gvk { group: self.stored.0.clone(), version: self.stored.1.clone(), kind: self.kind.clone() }
    }

    /// `deployments.apps`, `pods`.
    pub fn group_resource(&self) -> String {
        group_resource(&self.plural, &self.group)
    }

    /// Whether it has that subresource.
    pub fn has_sub(&self, sub: Sub) -> bool {
        self.subresources.contains(&sub)
    }

    /// Whether objects are kept at all (reviews, bindings and component statuses are not).
    pub fn is_kept(&self) -> bool {
        self.verbs.has(Verb::Watch)
    }

    /// Whether upstream serves this version without being asked: generally available ones.
    pub fn served_by_default(&self) -> bool {
        self.custom || !(self.version.contains("alpha") || self.version.contains("beta"))
    }
}

/// The kinds that are served. A value: take a clone, change it, put it in place of the old one.
#[derive(Debug, Clone)]
pub struct Kinds {
    /// Sorted by group, version, plural.
    rows: Vec<Arc<Kind>>,
}

impl Kinds {
    /// The built-in kinds that upstream serves by default.
    pub fn builtin() -> Kinds {
        Kinds::of_rows(|kind| kind.served_by_default())
    }

    /// Every built-in kind, alpha and beta versions too.
    pub fn everything() -> Kinds {
        Kinds::of_rows(|_| true)
    }

    fn of_rows(wanted: impl Fn(&Kind) -> bool) -> Kinds {
        let mut rows: Vec<_> = table::ROWS.iter().map(kind_of_row).filter(|kind| wanted(kind)).map(Arc::new).collect();
        rows.sort_by(|a, b| order(a).cmp(&order(b)));
        Kinds { rows }
    }

    /// The kind served under that path.
    pub fn by_gvr(&self, gvr: &Gvr) -> Option<&Arc<Kind>> {
        self.resource(&gvr.group, &gvr.version, &gvr.resource)
    }

    /// The kind served under that path, by its parts.
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        let at = self.rows.binary_search_by(|row| order(row).cmp(&(group, version, plural))).ok()?;
        self.rows.get(at)
    }

    /// The kind that objects of this identity belong to.
    pub fn by_gvk(&self, gvk: &Gvk) -> Option<&Arc<Kind>> {
        self.of_version(&gvk.group, &gvk.version).iter().find(|row| row.kind == gvk.kind)
    }

    /// All resources of one group and version, sorted by plural.
    pub fn of_version(&self, group: &str, version: &str) -> &[Arc<Kind>] {
        let start = self.rows.partition_point(|row| (&*row.group, &*row.version) < (group, version));
        let rest = &self.rows[start..];
        &rest[..rest.partition_point(|row| row.group == group && row.version == version)]
    }

    /// The kind that people mean by a word: `po`, `pods`, `Pod`, `deployments.apps`, `deploy.v1.apps`.
    /// Where several versions match, the preferred one; where several groups match, the core group, then by name.
    pub fn by_word(&self, word: &str) -> Option<&Arc<Kind>> {
        let word = word.to_ascii_lowercase();
        if let Some(found) = self.best(|row| row.answers_to(&word)) {
            return Some(found);
        }
        let (name, rest) = word.split_once('.')?;
        self.best(|row| row.group == rest && row.answers_to(name)).or_else(|| {
            let (version, group) = rest.split_once('.').unwrap_or((rest, ""));
            self.best(|row| row.version == version && row.group == group && row.answers_to(name))
        })
    }

    fn best(&self, wanted: impl Fn(&Kind) -> bool) -> Option<&Arc<Kind>> {
        self.rows
            .iter()
            .filter(|row| wanted(row))
            .min_by(|a, b| a.group.cmp(&b.group).then_with(|| version_rank(&a.version).cmp(&version_rank(&b.version))))
    }

    /// Every kind, sorted by group, version and plural.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.rows.iter()
    }

    /// The versions of a group, preferred first.
    pub fn versions(&self, group: &str) -> Vec<Word> {
        let mut versions: Vec<Word> =
            self.rows.iter().filter(|row| row.group == group).map(|row| row.version.clone()).collect();
        versions.dedup();
        versions.sort_by_key(|version| version_rank(version));
        versions
    }

    /// Adds a kind, or replaces the one under the same path.
    pub fn insert(&mut self, kind: Kind) {
        match self.rows.binary_search_by(|row| order(row).cmp(&order(&kind))) {
            Ok(at) => self.rows[at] = Arc::new(kind),
            Err(at) => self.rows.insert(at, Arc::new(kind)),
        }
    }

    /// Removes the kind under that path.
    pub fn remove(&mut self, gvr: &Gvr) -> Option<Arc<Kind>> {
        let at =
            self.rows.binary_search_by(|row| order(row).cmp(&(&*gvr.group, &*gvr.version, &*gvr.resource))).ok()?;
        Some(self.rows.remove(at))
    }
}

impl Kind {
    fn answers_to(&self, word: &str) -> bool {
        self.plural == word
            || self.singular == word
            || self.short_names.iter().any(|name| name == word)
            || self.kind.eq_ignore_ascii_case(word)
    }
}

fn order(kind: &Kind) -> (&str, &str, &str) {
    (&kind.group, &kind.version, &kind.plural)
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

fn kind_of_row(row: &table::Row) -> Kind {
    let words = |list: &[&'static str]| list.iter().map(|name| Cow::Borrowed(*name)).collect();
    Kind {
        group: Cow::Borrowed(row.group),
        version: Cow::Borrowed(row.version),
        kind: Cow::Borrowed(row.kind),
        plural: Cow::Borrowed(row.plural),
        singular: Cow::Owned(row.kind.to_ascii_lowercase()),
        list_kind: Cow::Owned(format!("{}List", row.kind)),
        short_names: words(row.short),
        categories: words(row.categories),
        namespaced: row.namespaced,
        verbs: row.verbs,
        subresources: row.subs.to_vec(),
        stored: (Cow::Borrowed(row.stored.0), Cow::Borrowed(row.stored.1)),
        tier: row.tier,
        custom: false,
    }
}

fn word(text: &str) -> Word {
    Cow::Owned(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testdata;
    use serde_json::Value;

    #[track_caller]
    fn check(word: &str, expected: &str) {
        let kinds = Kinds::everything();
        let found = kinds.by_word(word).map(|kind| kind.gvk().to_string()).unwrap_or_default();
        assert_eq!(found, expected, "{word}");
    }

    #[test]
    fn people_may_name_a_kind_in_many_ways() {
        check("po", "v1, Kind=Pod");
        check("Pods", "v1, Kind=Pod");
        check("deploy", "apps/v1, Kind=Deployment");
        check("deployments.apps", "apps/v1, Kind=Deployment");
        check("deployment.v1.apps", "apps/v1, Kind=Deployment");
        check("hpa", "autoscaling/v2, Kind=HorizontalPodAutoscaler");
        check("hpa.v1.autoscaling", "autoscaling/v1, Kind=HorizontalPodAutoscaler");
        check("ev", "v1, Kind=Event");
        check("events.events.k8s.io", "events.k8s.io/v1, Kind=Event");
        check("pods.v1.", "v1, Kind=Pod");
        check("nonsense", "");
    }

    #[test]
    fn versions_are_ranked_as_kubernetes_does() {
        let mut versions = ["v1alpha1", "foo", "v1beta2", "v10", "v1beta10", "v2", "v11beta2", "v1"];
        versions.sort_by_key(|version| version_rank(version));
        assert_eq!(versions, ["v10", "v2", "v1", "v11beta2", "v1beta10", "v1beta2", "v1alpha1", "foo"]);
    }

    #[test]
    fn a_row_can_come_and_go() {
        let mut kinds = Kinds::builtin();
        let count = kinds.iter().count();
        let mut kind = Kind::clone(kinds.by_word("deploy").expect("is built in"));
        kind.group = Cow::Borrowed("example.com");
        let gvr = kind.gvr();
        kinds.insert(kind.clone());
        kinds.insert(kind);
        assert_eq!(kinds.iter().count(), count + 1);
        assert!(kinds.by_gvr(&gvr).is_some());
        assert!(kinds.by_gvk(&Gvk::new("example.com", "v1", "Deployment")).is_some());
        assert!(kinds.remove(&gvr).is_some());
        assert!(kinds.by_gvr(&gvr).is_none());
    }

    #[test]
    fn the_table_is_what_discovery_publishes() {
        let Some(folder) = testdata::folder("discovery") else { return };
        let kinds = Kinds::everything();
        let mut seen = 0;
        for (name, text) in testdata::files(&folder, ".json") {
            let document: Value = serde_json::from_str(&text).expect(&name);
            if document["kind"] != "APIResourceList" {
                continue;
            }
            let (group, version) = split_api_version(document["groupVersion"].as_str().expect("text"));
            for row in document["resources"].as_array().expect("a list") {
                let full = row["name"].as_str().expect("text");
                let (plural, sub) = full.split_once('/').unwrap_or((full, ""));
                let kind = kinds.resource(group, version, plural).unwrap_or_else(|| panic!("{group}/{version} {full}"));
                let verbs: Vec<_> = match sub {
                    "" => kind.verbs.names().collect(),
                    sub => {
                        let sub = Sub::parse(sub).expect(sub);
                        assert!(kind.has_sub(sub), "{full}");
                        assert_eq!(row["kind"], *sub.gvk(kind).kind, "{full}");
                        sub.verbs().names().collect()
                    }
                };
                assert_eq!(row["verbs"], serde_json::json!(verbs), "{full}");
                assert_eq!(row["namespaced"], kind.namespaced, "{full}");
                if sub.is_empty() {
                    seen += 1;
                    assert_eq!(row["kind"], *kind.kind, "{full}");
                    assert_eq!(row["singularName"], *kind.singular, "{full}");
                    let list = |words: &[Word]| if words.is_empty() { Value::Null } else { serde_json::json!(words) };
                    assert_eq!(row["shortNames"], list(&kind.short_names), "{full}");
                    assert_eq!(row["categories"], list(&kind.categories), "{full}");
                }
            }
        }
        assert_eq!(seen, kinds.iter().count(), "rows that discovery does not publish");
    }
}
