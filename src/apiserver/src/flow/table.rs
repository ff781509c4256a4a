//! FlowSchemas and PriorityLevelConfigurations, compiled.
//!
//! In: the kept objects. Out: a [`Table`] that says for a request which level serves it and which flow it belongs to.
//! Pure: counts nothing, waits for nothing. What is missing or broken is as if it were not there; the mandatory
//! schemas `exempt` and `catch-all` always are.

use std::collections::BTreeMap;
use std::sync::Arc;

use kedge_api::{Object, meta};
use serde_json::Value;

use crate::identity::Identity;
use crate::request::RequestInfo;

/// The name of the schema and of the level that are served whatever happens.
pub const EXEMPT: &str = "exempt";
/// The name of the schema and of the level of whatever nothing else matches.
pub const CATCH_ALL: &str = "catch-all";

/// What a level does with requests that find no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// Turns them away.
    Reject,
    /// Lets them wait.
    Queue {
        /// How many queues there are.
        queues: usize,
        /// How many of them a flow is dealt.
        hand: usize,
        /// How many may wait in each.
        length: usize,
    },
}

/// How a level shares the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Not limited.
    Exempt,
    /// Limited to its part of the seats.
    Limited {
        /// Its weight among the levels.
        shares: u64,
        /// What part of its seats others may use while it does not, in percent.
        lendable: u64,
        /// How much of its own seats it may use beyond them, in percent; none: without a limit.
        borrowing: Option<u64>,
        /// What happens when there is no seat.
        full: WhenFull,
    },
}

/// A level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelRow {
    /// Its name.
    pub name: Arc<str>,
    /// Its object's uid.
    pub uid: String,
    /// How it shares.
    pub share: Share,
}

/// How requests of a schema are told apart into flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Distinguisher {
    None,
    User,
    Namespace,
}

#[derive(Debug)]
enum Subject {
    User(String),
    Group(String),
    ServiceAccount { namespace: String, name: String },
}

#[derive(Debug)]
struct ResourceRule {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    cluster: bool,
    namespaces: Vec<String>,
}

#[derive(Debug)]
struct PathRule {
    verbs: Vec<String>,
    paths: Vec<String>,
}

#[derive(Debug)]
struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    paths: Vec<PathRule>,
}

/// A schema.
#[derive(Debug)]
pub struct SchemaRow {
    /// Its name.
    pub name: Arc<str>,
    /// Its object's uid.
    pub uid: String,
    precedence: i64,
    level: Arc<str>,
    distinguisher: Distinguisher,
    rules: Vec<Rule>,
}

impl SchemaRow {
    /// What tells somebody's flow from others.
    pub fn flow<'a>(&self, user: &'a str, namespace: &'a str) -> &'a str {
        match self.distinguisher {
            Distinguisher::None => "",
            Distinguisher::User => user,
            Distinguisher::Namespace => namespace,
        }
    }
}

/// Every schema in order, every level by name.
#[derive(Debug, Default)]
pub struct Table {
    schemas: Vec<SchemaRow>,
    levels: BTreeMap<Arc<str>, LevelRow>,
}

/// Where a request belongs.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The schema that matched.
    pub schema: &'a SchemaRow,
    /// The level that serves it.
    pub level: &'a LevelRow,
    /// What tells its flow from others of the schema; empty where nothing does.
    pub flow: &'a str,
}

impl Table {
    /// Compiles kept objects; kinds other than the two are passed over.
    pub fn compile<'a>(objects: impl Iterator<Item = &'a Object>) -> Table {
        let mut table = Table::default();
        for object in objects {
            match meta::kind(object) {
                "FlowSchema" => table.schemas.extend(schema(object)),
                "PriorityLevelConfiguration" => {
                    if let Some(level) = level(object) {
                        table.levels.insert(level.name.clone(), level);
                    }
                }
                _ => {}
            }
        }
        for (name, share) in [
            (EXEMPT, Share::Exempt),
            (CATCH_ALL, Share::Limited { shares: 5, lendable: 0, borrowing: None, full: WhenFull::Reject }),
        ] {
            let name: Arc<str> = Arc::from(name);
            table.levels.entry(name.clone()).or_insert(LevelRow { name, uid: String::new(), share });
        }
        for (name, group, precedence) in [(EXEMPT, crate::identity::MASTERS, 1), (CATCH_ALL, "*", 10_000)] {
            if table.schemas.iter().all(|schema| &*schema.name != name) {
                table.schemas.push(everything(name, group, precedence));
            }
        }
        table.schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        table
    }

    /// Where a request belongs. Schemas whose level is not there are passed over.
    pub fn place<'a>(&'a self, who: &'a Identity, info: &'a RequestInfo) -> Option<Place<'a>> {
        self.schemas.iter().find_map(|schema| {
            let level = self.levels.get(&schema.level)?;
            schema.rules.iter().any(|rule| rule.matches(who, info)).then_some(())?;
            Some(Place { schema, level, flow: schema.flow(&who.name, &info.namespace) })
        })
    }

    /// Every level.
    pub fn levels(&self) -> impl Iterator<Item = &LevelRow> {
        self.levels.values()
    }

    /// The schema of that name.
    pub fn schema(&self, name: &str) -> Option<&SchemaRow> {
        self.schemas.iter().find(|schema| &*schema.name == name)
    }

    /// Whether there is a schema of that name.
    pub fn has_schema(&self, name: &str) -> bool {
        self.schema(name).is_some()
    }

    /// Whether there is a level of that name that an object stands for.
    pub fn has_level(&self, name: &str) -> bool {
        self.levels.contains_key(name)
    }
}

fn everything(name: &str, group: &str, precedence: i64) -> SchemaRow {
    let all = || vec!["*".to_owned()];
    SchemaRow {
        name: Arc::from(name),
        uid: String::new(),
        precedence,
        level: Arc::from(name),
        distinguisher: Distinguisher::User,
        rules: vec![Rule {
            subjects: vec![Subject::Group(group.to_owned())],
            resources: vec![ResourceRule {
                verbs: all(),
                groups: all(),
                resources: all(),
                cluster: true,
                namespaces: all(),
            }],
            paths: vec![PathRule { verbs: all(), paths: all() }],
        }],
    }
}

impl Rule {
    fn matches(&self, who: &Identity, info: &RequestInfo) -> bool {
        self.subjects.iter().any(|subject| subject.is(who))
            && if info.resource_request {
                self.resources.iter().any(|rule| rule.matches(info))
            } else {
                self.paths.iter().any(|rule| rule.matches(info))
            }
    }
}

impl Subject {
    fn is(&self, who: &Identity) -> bool {
        match self {
            Subject::User(name) => name == "*" || *name == who.name,
            Subject::Group(name) => name == "*" || who.is_in(name),
            Subject::ServiceAccount { namespace, name } => {
                who.as_service_account().is_some_and(|(its_namespace, its_name)| {
                    its_namespace == namespace && (name == "*" || its_name == name)
                })
            }
        }
    }
}

impl ResourceRule {
    fn matches(&self, info: &RequestInfo) -> bool {
        names(&self.verbs, info.verb.as_str())
            && names(&self.groups, &info.group)
            && self.resources.iter().any(|resource| match resource.split_once('/') {
                _ if resource == "*" => true,
                None => *resource == info.resource && info.subresource.is_empty(),
                Some((name, sub)) => name == info.resource && sub == info.subresource,
            })
            && if info.namespace.is_empty() { self.cluster } else { names(&self.namespaces, &info.namespace) }
    }
}

impl PathRule {
    fn matches(&self, info: &RequestInfo) -> bool {
        let is_below = |path: &String| match path.strip_suffix('*') {
            Some(prefix) => info.path.starts_with(prefix),
            None => *path == info.path,
        };
        names(&self.verbs, info.verb.as_str()) && self.paths.iter().any(is_below)
    }
}

fn names(list: &[String], wanted: &str) -> bool {
    list.iter().any(|name| name == "*" || name == wanted)
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    let list = value.get(field).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn schema(object: &Object) -> Option<SchemaRow> {
    let rule = |rule: &Value| Rule {
        subjects: meta::list_at(rule, &["subjects"]).iter().filter_map(subject).collect(),
        resources: meta::list_at(rule, &["resourceRules"])
            .iter()
            .map(|rule| ResourceRule {
                verbs: texts(rule, "verbs"),
                groups: texts(rule, "apiGroups"),
                resources: texts(rule, "resources"),
                cluster: meta::bool_at(rule, &["clusterScope"]),
                namespaces: texts(rule, "namespaces"),
            })
            .collect(),
        paths: meta::list_at(rule, &["nonResourceRules"])
            .iter()
            .map(|rule| PathRule { verbs: texts(rule, "verbs"), paths: texts(rule, "nonResourceURLs") })
            .collect(),
    };
    Some(SchemaRow {
        name: Arc::from(meta::name(object)),
        uid: meta::uid(object).to_owned(),
        precedence: object.pointer("/spec/matchingPrecedence").and_then(Value::as_i64).unwrap_or(1000),
        level: Arc::from(object.pointer("/spec/priorityLevelConfiguration/name")?.as_str()?),
        distinguisher: match object.pointer("/spec/distinguisherMethod/type").and_then(Value::as_str) {
            Some("ByUser") => Distinguisher::User,
            Some("ByNamespace") => Distinguisher::Namespace,
            _ => Distinguisher::None,
        },
        rules: meta::list_at(object, &["spec", "rules"]).iter().map(rule).collect(),
    })
}

fn subject(value: &Value) -> Option<Subject> {
    let text = |path: &str| value.pointer(path).and_then(Value::as_str).map(str::to_owned);
    match meta::text(value, "kind") {
        "User" => text("/user/name").map(Subject::User),
        "Group" => text("/group/name").map(Subject::Group),
        "ServiceAccount" => Some(Subject::ServiceAccount {
            namespace: text("/serviceAccount/namespace")?,
            name: text("/serviceAccount/name")?,
        }),
        _ => None,
    }
}

/// Kubernetes' defaults and limits of a level that queues.
const QUEUES: u64 = 64;
const HAND: u64 = 8;
const LENGTH: u64 = 50;
/// More queues than this are of no use to a device; each costs 56 bytes.
const MOST_QUEUES: u64 = 1024;

fn level(object: &Object) -> Option<LevelRow> {
    let number = |path: &str| object.pointer(path).and_then(Value::as_u64);
    let share = match object.pointer("/spec/type")?.as_str()? {
        "Exempt" => Share::Exempt,
        _ => Share::Limited {
            shares: number("/spec/limited/nominalConcurrencyShares").unwrap_or(30),
            lendable: number("/spec/limited/lendablePercent").unwrap_or(0).min(100),
            borrowing: number("/spec/limited/borrowingLimitPercent"),
            full: match object.pointer("/spec/limited/limitResponse/type").and_then(Value::as_str) {
                Some("Queue") => {
                    let of = |field: &str, default: u64, most: u64| {
                        let given = number(&format!("/spec/limited/limitResponse/queuing/{field}")).unwrap_or(default);
                        usize::try_from(given.clamp(1, most)).unwrap_or(1)
                    };
                    let queues = of("queues", QUEUES, MOST_QUEUES);
                    WhenFull::Queue {
                        queues,
                        hand: of("handSize", HAND, MOST_QUEUES).min(queues),
                        length: of("queueLengthLimit", LENGTH, 10_000),
                    }
                }
                _ => WhenFull::Reject,
            },
        },
    };
    Some(LevelRow { name: Arc::from(meta::name(object)), uid: meta::uid(object).to_owned(), share })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::defaults;
    use crate::query::Query;

    /// Which schema takes the request, and its flow.
    #[track_caller]
    fn check(who: &Identity, method: &str, path: &str, expected: &str) {
        let objects = defaults::objects();
        let table = Table::compile(objects.iter());
        let info = crate::request::parse(&method.parse().unwrap(), path, &Query::parse(""));
        let place = table.place(who, &info).expect("catch-all takes everything");
        assert_eq!(format!("{} {} {}", place.schema.name, place.level.name, place.flow), expected, "{method} {path}");
    }

    #[test]
    fn kubernetes_schemas_take_what_they_say() {
        let pods = "/api/v1/namespaces/a/pods";
        check(&Identity::master("root"), "GET", pods, "exempt exempt ");
        check(&Identity::anonymous(), "GET", "/readyz", "probes exempt ");
        check(&Identity::user("jane", ["dev"]), "GET", pods, "global-default global-default jane");
        check(
            &Identity::service_account("a", "b"),
            "GET",
            pods,
            "service-accounts workload-low system:serviceaccount:a:b",
        );
        check(
            &Identity::service_account("kube-system", "x"),
            "GET",
            pods,
            "kube-system-service-accounts workload-high a",
        );
        check(&Identity::node("n"), "PATCH", "/api/v1/nodes/n/status", "system-node-high node-high system:node:n");
        check(&Identity::node("n"), "GET", pods, "system-nodes system system:node:n");
        check(
            &Identity::service_account("kube-system", "x"),
            "PUT",
            "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/l",
            "system-leader-election leader-election system:serviceaccount:kube-system:x",
        );
    }

    #[test]
    fn the_mandatory_ones_are_there_without_objects() {
        let table = Table::compile(std::iter::empty());
        let info = crate::request::parse(&http::Method::GET, "/api/v1/pods", &Query::parse(""));
        assert_eq!(&*table.place(&Identity::user("a", ["b"]), &info).unwrap().schema.name, CATCH_ALL);
        assert_eq!(&*table.place(&Identity::master("a"), &info).unwrap().schema.name, EXEMPT);
    }

    #[test]
    fn a_schema_without_its_level_is_passed_over() {
        let dangling = serde_json::json!({
            "kind": "FlowSchema", "metadata": {"name": "x"},
            "spec": {"matchingPrecedence": 5, "priorityLevelConfiguration": {"name": "nowhere"},
                "rules": [{"subjects": [{"kind": "Group", "group": {"name": "*"}}],
                    "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}]}]},
        });
        let table = Table::compile(std::iter::once(&dangling));
        let info = crate::request::parse(&http::Method::GET, "/api/v1/pods", &Query::parse(""));
        assert_eq!(&*table.place(&Identity::user("a", ["b"]), &info).unwrap().schema.name, CATCH_ALL);
    }
}
