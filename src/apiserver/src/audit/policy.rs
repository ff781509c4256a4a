//! Which requests are written down, and how much of them: the first rule that fits says.
//!
//! In: a policy's file in Kubernetes' form; a request. Out: a level, stages, whether managed
//! fields are left out. Pure but for reading the file.

use std::path::{Path, PathBuf};

use kedge_api::{decode, meta};
use serde_json::Value;

use crate::identity::Identity;
use crate::request::RequestInfo;

/// How much is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    None,
    /// Who, what, when, and what came of it.
    Metadata,
    /// The request's body, too.
    Request,
    /// The answer's body, too.
    RequestResponse,
}

impl Level {
    const ALL: [(&'static str, Level); 4] = [
        ("None", Level::None),
        ("Metadata", Level::Metadata),
        ("Request", Level::Request),
        ("RequestResponse", Level::RequestResponse),
    ];

    fn parse(text: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, level)| level)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        Level::ALL.into_iter().find(|(_, level)| *level == self).map_or("None", |(name, _)| name)
    }
}

/// A moment in a request's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It came.
    RequestReceived,
    /// Its answer began and goes on.
    ResponseStarted,
    /// Its answer ended.
    ResponseComplete,
    /// We failed.
    Panic,
}

impl Stage {
    const ALL: [(&'static str, Stage); 4] = [
        ("RequestReceived", Stage::RequestReceived),
        ("ResponseStarted", Stage::ResponseStarted),
        ("ResponseComplete", Stage::ResponseComplete),
        ("Panic", Stage::Panic),
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        Stage::ALL.into_iter().find(|(_, stage)| *stage == self).map_or("", |(name, _)| name)
    }
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFault {
    /// It cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no policy.
    #[error("{path} was not accepted: {fault}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
}

/// What is written down of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// How much.
    pub level: Level,
    /// Moments that are left out.
    pub omit: Vec<Stage>,
    /// Whether managed fields are left out.
    pub omit_managed_fields: bool,
}

/// A policy.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    users: Vec<String>,
    groups: Vec<String>,
    verbs: Vec<String>,
    namespaces: Vec<String>,
    resources: Vec<Resources>,
    paths: Vec<String>,
    wanted: Wanted,
}

#[derive(Debug, Clone)]
struct Resources {
    group: String,
    resources: Vec<String>,
    names: Vec<String>,
}

impl Policy {
    /// Reads a policy.
    pub fn load(path: &Path) -> Result<Policy, PolicyFault> {
        let text =
            std::fs::read_to_string(path).map_err(|source| PolicyFault::Read { path: path.to_owned(), source })?;
        Policy::parse(&text).map_err(|fault| PolicyFault::Content { path: path.to_owned(), fault })
    }

    fn parse(text: &str) -> Result<Policy, String> {
        let policy = decode::settings(text)?;
        let (version, kind) = (meta::api_version(&policy), meta::kind(&policy));
        if (version, kind) != ("audit.k8s.io/v1", "Policy") {
            return Err(format!("it must be a Policy of audit.k8s.io/v1, and says {kind:?} of {version:?}"));
        }
        known(&policy, "policy", &["apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"])?;
        let always = stages(&policy, "omitStages")?;
        let managed = meta::bool_at(&policy, &["omitManagedFields"]);
        let rules = meta::list_at(&policy, &["rules"]);
        if rules.is_empty() {
            return Err("it has 0 rules: nothing would ever be written down".to_owned());
        }
        let rules = rules
            .iter()
            .enumerate()
            .map(|(at, rule)| Rule::read(rule, &always, managed).map_err(|fault| format!("rules[{at}]{fault}")))
            .collect::<Result<_, _>>()?;
        Ok(Policy { rules })
    }

    /// What is written down of a request; `None` for nothing.
    pub fn wanted(&self, who: &Identity, info: &RequestInfo) -> Option<&Wanted> {
        let rule = self.rules.iter().find(|rule| rule.fits(who, info))?;
        (rule.wanted.level > Level::None).then_some(&rule.wanted)
    }
}

/// Refuses fields that a mistake put there.
fn known(object: &Value, what: &str, fields: &[&str]) -> Result<(), String> {
    let Some(map) = object.as_object() else { return Err(format!("{what} is no object")) };
    match map.keys().find(|key| !fields.contains(&key.as_str())) {
        Some(field) => Err(format!(".{field}: unknown field")),
        None => Ok(()),
    }
}

/// What is no text is refused: a list that it is missing from might mean everybody.
fn texts(object: &Value, key: &str) -> Result<Vec<String>, String> {
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| format!(".{key}: {value} is no text"));
    match object.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(text).collect(),
        Some(other) => Err(format!(".{key}: {other} is no list")),
    }
}

fn stages(object: &Value, key: &str) -> Result<Vec<Stage>, String> {
    let stage = |word: &String| {
        let known = Stage::ALL.into_iter().find(|(name, _)| name == word).map(|(_, stage)| stage);
        known.ok_or_else(|| format!(".{key}: {word:?} is no stage"))
    };
    texts(object, key)?.iter().map(stage).collect()
}

impl Rule {
    fn read(rule: &Value, always: &[Stage], managed: bool) -> Result<Rule, String> {
        const FIELDS: [&str; 9] = [
            "level",
            "users",
            "userGroups",
            "verbs",
            "resources",
            "namespaces",
            "nonResourceURLs",
            "omitStages",
            "omitManagedFields",
        ];
        known(rule, "the rule", &FIELDS)?;
        let word = meta::text(rule, "level");
        let level = Level::parse(word)
            .ok_or_else(|| format!(".level: {word:?} is none of None, Metadata, Request, RequestResponse"))?;
        let paths = texts(rule, "nonResourceURLs")?;
        let resources = meta::list_at(rule, &["resources"]);
        let namespaces = texts(rule, "namespaces")?;
        let of_resources = !resources.is_empty() || !namespaces.is_empty();
        if !paths.is_empty() && of_resources {
            return Err(
                ".nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs".to_owned()
            );
        }
        for path in &paths {
            if path != "*" && !path.starts_with('/') {
                return Err(format!(".nonResourceURLs: {path:?} must begin with a '/' character"));
            }
            if path.trim_end_matches('*').contains('*') || path.ends_with("**") {
                return Err(format!(".nonResourceURLs: {path:?} may have one wildcard, at its end"));
            }
        }
        let mut omit = stages(rule, "omitStages")?;
        omit.extend(always);
        let omit_managed_fields = rule.get("omitManagedFields").and_then(Value::as_bool).unwrap_or(managed);
        let resources = resources
            .iter()
            .map(|one| {
                known(one, "the resource", &["group", "resources", "resourceNames"])?;
                let (group, resources) = (meta::text(one, "group").to_owned(), texts(one, "resources")?);
                let names = texts(one, "resourceNames")?;
                if !names.is_empty() && resources.is_empty() {
                    return Err(".resources: using resourceNames requires at least one resource".to_owned());
                }
                Ok(Resources { group, resources, names })
            })
            .collect::<Result<_, String>>()?;
        Ok(Rule {
            users: texts(rule, "users")?,
            groups: texts(rule, "userGroups")?,
            verbs: texts(rule, "verbs")?,
            namespaces,
            resources,
            paths,
            wanted: Wanted { level, omit, omit_managed_fields },
        })
    }

    fn fits(&self, who: &Identity, info: &RequestInfo) -> bool {
        let has = |list: &[String], word: &str| list.is_empty() || list.iter().any(|one| one == word);
        if !has(&self.users, &who.name)
            || !(self.groups.is_empty() || who.groups.iter().any(|group| self.groups.contains(group)))
            || !has(&self.verbs, info.verb.as_str())
        {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return info.resource_request && has(&self.namespaces, &info.namespace) && self.fits_resource(info);
        }
        if !self.paths.is_empty() {
            return !info.resource_request && self.paths.iter().any(|path| fits_path(path, &info.path));
        }
        true
    }

    fn fits_resource(&self, info: &RequestInfo) -> bool {
        if self.resources.is_empty() {
            return true;
        }
        let whole = match info.subresource.as_str() {
            "" => info.resource.clone(),
            below => format!("{}/{below}", info.resource),
        };
        self.resources.iter().filter(|one| one.group == info.group).any(|one| {
            one.resources.is_empty()
                || (one.names.is_empty() || one.names.contains(&info.name))
                    && one.resources.iter().any(|word| {
                        word == "*"
                            || *word == whole
                            || !info.subresource.is_empty() && word.strip_prefix("*/") == Some(&info.subresource)
                            || word.strip_suffix("/*") == Some(&info.resource)
                    })
        })
    }
}

fn fits_path(pattern: &str, path: &str) -> bool {
    pattern == "*" || pattern == path || pattern.strip_suffix('*').is_some_and(|start| path.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: ["system:kube-proxy"], verbs: [watch]}
- {level: None, nonResourceURLs: ["/healthz*", /version]}
- {level: Metadata, resources: [{group: "", resources: [secrets, pods/log, "*/status"]}]}
- {level: Request, namespaces: [kube-system], omitStages: [Panic], omitManagedFields: true}
- {level: Request, resources: [{group: "", resources: [configmaps], resourceNames: [named]}]}
- {level: RequestResponse, resources: [{group: apps}, {group: batch, resources: ["jobs/*"]}]}
- {level: Metadata, userGroups: [watched]}
"#;

    #[track_caller]
    fn check(who: &Identity, method: &str, target: &str, expected: &str) {
        let policy = Policy::parse(POLICY).unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let info = crate::request::parse(&method.parse().unwrap(), path, &Query::parse(query));
        let seen = policy.wanted(who, &info).map_or("-", |wanted| wanted.level.as_str());
        assert_eq!(seen, expected, "{method} {target}");
    }

    #[test]
    fn the_first_rule_that_fits_says() {
        let joe = Identity::user("joe", [""; 0]);
        let proxy = Identity::user("system:kube-proxy", [""; 0]);
        check(&proxy, "GET", "/apis/apps/v1/deployments?watch=1", "-");
        check(&proxy, "GET", "/apis/apps/v1/deployments", "RequestResponse");
        check(&joe, "GET", "/healthz/ping", "-");
        check(&joe, "GET", "/version", "-");
        check(&joe, "GET", "/api/v1/namespaces/a/secrets/x", "Metadata");
        check(&joe, "GET", "/api/v1/namespaces/a/pods/x/log", "Metadata");
        check(&joe, "GET", "/api/v1/namespaces/a/pods/x", "-");
        check(&joe, "PUT", "/api/v1/namespaces/a/pods/x/status", "Metadata");
        check(&joe, "GET", "/api/v1/namespaces/kube-system/pods", "Request");
        check(&joe, "GET", "/api/v1/namespaces/a/configmaps/named", "Request");
        check(&joe, "GET", "/api/v1/namespaces/a/configmaps/other", "-");
        check(&joe, "GET", "/apis/batch/v1/namespaces/a/jobs/x/status", "RequestResponse");
        check(&joe, "GET", "/apis/batch/v1/namespaces/a/jobs/x", "RequestResponse");
        check(&joe, "GET", "/apis", "-");
        check(&Identity::user("ann", ["watched"]), "GET", "/apis", "Metadata");
    }

    #[test]
    fn stages_and_managed_fields_are_left_out_where_either_says_so() {
        let policy = Policy::parse(POLICY).unwrap();
        let info = crate::request::parse(&http::Method::GET, "/api/v1/namespaces/kube-system/pods", &Query::default());
        let wanted = policy.wanted(&Identity::anonymous(), &info).unwrap();
        assert_eq!(wanted.omit, [Stage::Panic, Stage::RequestReceived]);
        assert!(wanted.omit_managed_fields);
    }

    #[test]
    fn words_mean_what_they_mean_to_kubernetes() {
        let text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitManagedFields: yes\nrules: [{level: Metadata}]";
        let policy = Policy::parse(text).unwrap();
        let info = crate::request::parse(&http::Method::GET, "/api", &Query::default());
        assert!(policy.wanted(&Identity::anonymous(), &info).unwrap().omit_managed_fields);
    }

    #[test]
    fn the_shipped_policy_keeps_bodies_of_secrets_out() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/examples/audit-policy.yaml");
        let policy = Policy::load(&path).unwrap();
        let level = |method: http::Method, target: &str| {
            let info = crate::request::parse(&method, target, &Query::default());
            policy.wanted(&Identity::user("joe", [""; 0]), &info).map(|wanted| wanted.level)
        };
        assert_eq!(level(http::Method::POST, "/api/v1/namespaces/a/secrets"), Some(Level::Metadata));
        assert_eq!(level(http::Method::POST, "/api/v1/namespaces/a/serviceaccounts/b/token"), Some(Level::Metadata));
        assert_eq!(level(http::Method::POST, "/api/v1/namespaces/a/pods"), Some(Level::Request));
        assert_eq!(level(http::Method::GET, "/api/v1/namespaces/a/pods"), Some(Level::Metadata));
        assert_eq!(level(http::Method::GET, "/api/v1/namespaces/a/events"), None);
    }

    #[track_caller]
    fn refused(rule: &str, expected: &str) {
        let fault =
            Policy::parse(&format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{rule}]\n")).unwrap_err();
        assert!(fault.contains(expected), "{fault}");
    }

    #[test]
    fn mistakes_are_refused() {
        refused("", "0 rules");
        refused("{level: Everything}", "rules[0].level: \"Everything\" is none of");
        refused(
            "{level: None, nonResourceURLs: [/a], namespaces: [b]}",
            "both regular resources and non-resource URLs",
        );
        refused("{level: None, nonResourceURLs: [a]}", "must begin with a '/'");
        refused("{level: None, nonResourceURLs: ['/a*b*']}", "one wildcard");
        refused("{level: None, user: [a]}", "rules[0].user: unknown field");
        refused("{level: None, omitStages: [Later]}", "\"Later\" is no stage");
        // A word that is no text without quotes, as everywhere in Kubernetes.
        refused("{level: None, users: [no]}", "rules[0].users: false is no text");
        refused("{level: None, users: joe}", "rules[0].users: \"joe\" is no list");
        refused("{level: None}]\nrules: [{level: None}", "rules is given twice");
        refused("{level: None, resources: [{group: '', resourceNames: [a]}]}", "requires at least one resource");
        assert!(Policy::parse("kind: Pod").unwrap_err().contains("must be a Policy"));
    }
}
