//! Rules of roles: whether one grants what is wanted, and whether a set of them covers another.
//!
//! In: `rules` of a Role or ClusterRole as JSON. Out: [`Rule`]. Pure; never looks up roles.

use serde_json::{Value, json};

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Something with a resource.
    Resource {
        /// The verb.
        verb: &'a str,
        /// API group; empty for the core group.
        group: &'a str,
        /// The plural resource name.
        resource: &'a str,
        /// Empty if none.
        subresource: &'a str,
        /// Empty for cluster-wide.
        namespace: &'a str,
        /// Empty if none.
        name: &'a str,
    },
    /// Something with a path that is no resource.
    Path {
        /// The HTTP method in lower case.
        verb: &'a str,
        /// The path.
        path: &'a str,
    },
}

/// One rule: all combinations of its lists are granted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// Verbs, `*` for all.
    pub verbs: Box<[Box<str>]>,
    /// API groups, `*` for all.
    pub groups: Box<[Box<str>]>,
    /// Resources, `pods/log` for a subresource, `*/scale` for one of all, `*` for everything.
    pub resources: Box<[Box<str>]>,
    /// Names; empty for all.
    pub names: Box<[Box<str>]>,
    /// Paths, with a trailing `*` for a prefix.
    pub paths: Box<[Box<str>]>,
}

impl Rule {
    /// Reads `rules` of a role; what is not a rule is left out.
    pub fn read_all(rules: Option<&Value>) -> Vec<Rule> {
        rules.and_then(Value::as_array).into_iter().flatten().map(Rule::read).collect()
    }

    /// Reads one rule.
    pub fn read(rule: &Value) -> Rule {
        let list = |key: &str| {
            rule.get(key)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(Box::from)
                .collect()
        };
        Rule {
            verbs: list("verbs"),
            groups: list("apiGroups"),
            resources: list("resources"),
            names: list("resourceNames"),
            paths: list("nonResourceURLs"),
        }
    }

    /// The rule as a role holds it.
    pub fn to_json(&self) -> Value {
        let mut rule = json!({ "verbs": self.verbs });
        for (key, list) in [
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.paths),
        ] {
            if !list.is_empty() {
                rule[key] = json!(list);
            }
        }
        rule
    }

    /// Everything on every resource.
    pub fn everything() -> Rule {
        Rule { verbs: one("*"), groups: one("*"), resources: one("*"), ..Rule::default() }
    }

    /// Everything on every path.
    pub fn every_path() -> Rule {
        Rule { verbs: one("*"), paths: one("*"), ..Rule::default() }
    }

    /// Whether the rule grants it; its namespace is the binding's matter.
    pub fn allows(&self, wanted: &Wanted<'_>) -> bool {
        match *wanted {
            Wanted::Path { verb, path } => has(&self.verbs, verb) && self.paths.iter().any(|p| path_covers(p, path)),
            Wanted::Resource { verb, group, resource, subresource, name, .. } => {
                has(&self.verbs, verb)
                    && has(&self.groups, group)
                    && self.resources.iter().any(|r| resource_covers(r, resource, subresource))
                    && (self.names.is_empty() || self.names.iter().any(|n| **n == *name))
            }
        }
    }

    /// The rule in single grants: one verb on one resource of one group and one name, or one path.
    fn single(&self) -> impl Iterator<Item = Rule> + '_ {
        let resources = self.verbs.iter().flatten_over(&self.groups).flat_map(move |(verb, group)| {
            self.resources.iter().flat_map(move |resource| {
                let rule = move |names: Box<[Box<str>]>| Rule {
                    verbs: one(verb),
                    groups: one(group),
                    resources: one(resource),
                    names,
                    ..Rule::default()
                };
                let named: Vec<Rule> = if self.names.is_empty() {
                    vec![rule(Box::default())]
                } else {
                    self.names.iter().map(|n| rule(one(n))).collect()
                };
                named
            })
        });
        let paths = self.verbs.iter().flatten_over(&self.paths).map(|(verb, path)| Rule {
            verbs: one(verb),
            paths: one(path),
            ..Rule::default()
        });
        resources.chain(paths)
    }

    /// Whether this rule grants all that the single grant does.
    fn covers(&self, grant: &Rule) -> bool {
        let all_in = |mine: &[Box<str>], theirs: &[Box<str>]| theirs.iter().all(|t| has(mine, t));
        if !all_in(&self.verbs, &grant.verbs) {
            return false;
        }
        if !grant.paths.is_empty() {
            return grant.paths.iter().all(|p| self.paths.iter().any(|mine| path_covers(mine, p)));
        }
        all_in(&self.groups, &grant.groups)
            && grant.resources.iter().all(|r| {
                let (resource, sub) = r.split_once('/').unwrap_or((r, ""));
                self.resources.iter().any(|mine| resource_covers(mine, resource, sub))
            })
            && (self.names.is_empty() || (!grant.names.is_empty() && all_in(&self.names, &grant.names)))
    }
}

/// The single grants of `wanted` that `held` does not cover.
pub fn not_covered(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    wanted.iter().flat_map(Rule::single).filter(|grant| !held.iter().any(|rule| rule.covers(grant))).collect()
}

fn one(text: &str) -> Box<[Box<str>]> {
    Box::new([Box::from(text)])
}

fn has(list: &[Box<str>], word: &str) -> bool {
    list.iter().any(|w| **w == *word || **w == *"*")
}

fn resource_covers(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == "*" {
        return true;
    }
    if subresource.is_empty() {
        return rule == resource;
    }
    match rule.split_once('/') {
        Some((r, s)) => s == subresource && (r == resource || r == "*"),
        None => false,
    }
}

fn path_covers(rule: &str, path: &str) -> bool {
    rule == path || rule.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

/// All pairs of two lists.
trait FlattenOver<'a>: Iterator<Item = &'a Box<str>> + Sized {
    fn flatten_over(self, other: &'a [Box<str>]) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.flat_map(move |a| other.iter().map(move |b| (&**a, &**b)))
    }
}

impl<'a, I: Iterator<Item = &'a Box<str>>> FlattenOver<'a> for I {}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        crate::authz::defaults::parse_rule(text).expect("a rule of a test")
    }

    /// `wanted` is "verb group resource[/sub] [name]" or "verb /path".
    #[track_caller]
    fn check(text: &str, wanted: &str, expected: bool) {
        let words: Vec<&str> = wanted.split(' ').collect();
        let wanted = match words.as_slice() {
            [verb, path] => Wanted::Path { verb, path },
            [verb, group, resource, rest @ ..] => {
                let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                let group = if *group == "core" { "" } else { group };
                Wanted::Resource {
                    verb,
                    group,
                    resource,
                    subresource,
                    namespace: "",
                    name: rest.first().unwrap_or(&""),
                }
            }
            _ => panic!("{wanted}"),
        };
        assert_eq!(rule(text).allows(&wanted), expected, "{text} <- {wanted:?}");
    }

    #[test]
    fn a_rule_grants_what_it_lists() {
        check("get,list pods @ core", "get core pods", true);
        check("get,list pods @ core", "delete core pods", false);
        check("get pods @ core", "get apps pods", false);
        check("get pods @ core", "get core pods/log", false);
        check("get pods/log @ core", "get core pods/log", true);
        check("get pods/log @ core", "get core pods", false);
        check("* * @ *", "delete apps deployments/scale x", true);
        check("update */scale @ *", "update apps deployments/scale", true);
        check("update */scale @ *", "update apps deployments/status", false);
        check("get secrets @ core = a,b", "get core secrets a", true);
        check("get secrets @ core = a,b", "get core secrets c", false);
        check("get secrets @ core = a,b", "list core secrets", false);
        check("get /healthz,/livez/*", "get /healthz", true);
        check("get /healthz,/livez/*", "get /livez/ping", true);
        check("get /healthz,/livez/*", "get /livez", false);
        check("get /healthz", "post /healthz", false);
        check("* *", "get /anything", true);
    }

    #[track_caller]
    fn uncovered(held: &[&str], wanted: &str, expected: usize) {
        let held: Vec<Rule> = held.iter().map(|t| rule(t)).collect();
        let missing = not_covered(&held, &[rule(wanted)]);
        assert_eq!(missing.len(), expected, "{missing:?}");
    }

    #[test]
    fn nobody_can_hand_out_more_than_they_hold() {
        uncovered(&["get,list pods @ core"], "get pods @ core", 0);
        uncovered(&["get pods @ core"], "get,list pods @ core", 1);
        uncovered(&["get pods @ core", "list pods @ core"], "get,list pods @ core", 0);
        uncovered(&["* * @ *"], "get,delete a,b @ x,y", 0);
        uncovered(&["get * @ core"], "* * @ core", 1);
        uncovered(&["get secrets @ core = a"], "get secrets @ core", 1);
        uncovered(&["get secrets @ core = a,b"], "get secrets @ core = a", 0);
        uncovered(&["update */scale @ apps"], "update deployments/scale @ apps", 0);
        uncovered(&["get /a/*"], "get /a/b", 0);
        uncovered(&["get /a"], "get /a/*", 1);
    }
}
