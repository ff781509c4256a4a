//! Roles and bindings, compiled, kept up to date change by change.
//!
//! In: Roles, ClusterRoles and their bindings as they come and go. Out: whether somebody is
//! granted something, and by which binding. Owned by the authorizer; never reads the store.

use std::collections::{BTreeMap, HashMap};

use kedge_api::field::Path;
use kedge_api::selector::LabelSelector;
use serde_json::Value;

use super::rules::{Rule, Wanted};
use crate::identity::Identity;

/// Namespace (empty: cluster-wide) and name of a role or binding.
type Key = (Box<str>, Box<str>);

#[derive(Debug, Default)]
struct Role {
    rules: Vec<Rule>,
    labels: BTreeMap<String, String>,
    /// What roles are gathered into this one.
    aggregates: Vec<LabelSelector>,
    /// The rules that a role which gathers is kept with.
    kept: Vec<Rule>,
}

impl Role {
    fn compile(role: &Value) -> Role {
        let text_map = |value: Option<&Value>| -> BTreeMap<String, String> {
            value
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
                .collect()
        };
        let rules = Rule::read_all(role.get("rules"));
        let selectors = role.pointer("/aggregationRule/clusterRoleSelectors").and_then(Value::as_array);
        let selector = |object| LabelSelector::from_object(Some(object), &Path::root("clusterRoleSelectors")).ok();
        let aggregates: Vec<_> = selectors.into_iter().flatten().filter_map(selector).collect();
        Role {
            kept: if aggregates.is_empty() { Vec::new() } else { rules.clone() },
            rules,
            labels: text_map(role.pointer("/metadata/labels")),
            aggregates,
        }
    }
}

/// One binding, as one of its subjects sees it.
#[derive(Debug, Clone)]
struct Grant {
    binding: Key,
    role: Key,
}

/// The compiled roles and bindings.
#[derive(Debug, Default)]
pub struct RoleCache {
    roles: HashMap<Key, Role>,
    users: HashMap<Box<str>, Vec<Grant>>,
    groups: HashMap<Box<str>, Vec<Grant>>,
}

impl RoleCache {
    /// Adds or replaces a Role or ClusterRole.
    pub fn put_role(&mut self, role: &Value) {
        self.roles.insert(key_of(role), Role::compile(role));
        self.gather();
    }

    /// Adds many objects by the plural of their kind; gathering roles are filled once, at the end.
    pub fn put_all(&mut self, objects: impl Iterator<Item = (String, Value)>) {
        for (plural, object) in objects {
            if plural.ends_with("bindings") {
                self.put_binding(&object);
            } else {
                self.roles.insert(key_of(&object), Role::compile(&object));
            }
        }
        self.gather();
    }

    /// Removes a Role or ClusterRole.
    pub fn drop_role(&mut self, namespace: &str, name: &str) {
        self.roles.remove(&key(namespace, name));
        self.gather();
    }

    /// Adds or replaces a RoleBinding or ClusterRoleBinding.
    pub fn put_binding(&mut self, binding: &Value) {
        let own = key_of(binding);
        self.drop_binding(&own.0, &own.1);
        let reference =
            |field: &str| binding.pointer(&format!("/roleRef/{field}")).and_then(Value::as_str).unwrap_or("");
        let role = match reference("kind") {
            "Role" => (own.0.clone(), Box::from(reference("name"))),
            _ => key("", reference("name")),
        };
        for subject in binding.get("subjects").and_then(Value::as_array).into_iter().flatten() {
            let text = |field: &str| subject.get(field).and_then(Value::as_str).unwrap_or("");
            let grant = Grant { binding: own.clone(), role: role.clone() };
            match text("kind") {
                "User" => self.users.entry(text("name").into()).or_default().push(grant),
                "Group" => self.groups.entry(text("name").into()).or_default().push(grant),
                "ServiceAccount" => {
                    let namespace = match text("namespace") {
                        "" => &own.0,
                        given => given,
                    };
                    let user = format!("system:serviceaccount:{namespace}:{}", text("name"));
                    self.users.entry(user.into()).or_default().push(grant);
                }
                _ => {}
            }
        }
    }

    /// Removes a RoleBinding or ClusterRoleBinding.
    pub fn drop_binding(&mut self, namespace: &str, name: &str) {
        for map in [&mut self.users, &mut self.groups] {
            map.retain(|_, grants| {
                grants.retain(|g| *g.binding.0 != *namespace || *g.binding.1 != *name);
                !grants.is_empty()
            });
        }
    }

    /// The ClusterRoles that are kept with other rules than they gather, with those.
    pub fn behind(&self) -> Vec<(String, Vec<Rule>)> {
        let gathers = |(key, role): (&Key, &Role)| {
            let behind = !role.aggregates.is_empty() && role.kept != role.rules;
            behind.then(|| (key.1.to_string(), role.rules.clone()))
        };
        self.roles.iter().filter_map(gathers).collect()
    }

    /// The first binding that grants it, in words.
    pub(super) fn first_grant(&self, who: &Identity, wanted: &Wanted<'_>) -> Option<String> {
        let namespace = match wanted {
            Wanted::Resource { namespace, .. } => namespace,
            Wanted::Path { .. } => "",
        };
        self.grants(who, namespace).find_map(|(grant, subject)| {
            self.roles.get(&grant.role)?.rules.iter().any(|r| r.allows(wanted)).then(|| grant.words(&subject))
        })
    }

    /// Every rule that holds for the user.
    pub(super) fn rules_of(&self, who: &Identity, namespace: &str) -> Vec<Rule> {
        self.grants(who, namespace)
            .filter_map(|(grant, _)| self.roles.get(&grant.role))
            .flat_map(|role| role.rules.iter().cloned())
            .collect()
    }

    pub(super) fn role(&self, namespace: Option<&str>, name: &str) -> Option<&[Rule]> {
        self.roles.get(&key(namespace.unwrap_or(""), name)).map(|r| r.rules.as_slice())
    }

    pub(super) fn cluster_role(&self, name: &str) -> &[Rule] {
        self.role(None, name).unwrap_or(&[])
    }

    pub(super) fn cluster_role_allows(&self, name: &str, wanted: &Wanted<'_>) -> bool {
        self.cluster_role(name).iter().any(|r| r.allows(wanted))
    }

    /// The bindings that name the user or one of the groups, cluster-wide or in that namespace.
    fn grants<'a>(&'a self, who: &'a Identity, namespace: &'a str) -> impl Iterator<Item = (&'a Grant, Subject<'a>)> {
        let by_user = self.users.get(who.name.as_str()).into_iter().flatten().map(|g| (g, Subject::User(&who.name)));
        let by_group = who.groups.iter().flat_map(|group| {
            self.groups.get(group.as_str()).into_iter().flatten().map(move |g| (g, Subject::Group(group)))
        });
        by_user.chain(by_group).filter(move |(grant, _)| grant.binding.0.is_empty() || *grant.binding.0 == *namespace)
    }

    /// Fills the roles that gather others.
    fn gather(&mut self) {
        let gathering: Vec<Key> =
            self.roles.iter().filter(|(_, r)| !r.aggregates.is_empty()).map(|(k, _)| k.clone()).collect();
        // A gathered role may be gathered itself (view into edit into admin): each round settles
        // one level, and there can be no more levels than roles that gather.
        for _ in 0..gathering.len() {
            let mut settled = true;
            for key in &gathering {
                let Some(role) = self.roles.get(key) else { continue };
                let mut rules: Vec<Rule> = Vec::new();
                for selector in &role.aggregates {
                    let others = self.roles.iter().filter(|(k, _)| *k != key && k.0.is_empty());
                    let mut sources: Vec<_> = others.filter(|(_, other)| selector.matches(&other.labels)).collect();
                    sources.sort_by_key(|(k, _)| *k);
                    for rule in sources.into_iter().flat_map(|(_, r)| &r.rules) {
                        if !rules.contains(rule) {
                            rules.push(rule.clone());
                        }
                    }
                }
                if rules != role.rules {
                    settled = false;
                    if let Some(role) = self.roles.get_mut(key) {
                        role.rules = rules;
                    }
                }
            }
            if settled {
                break;
            }
        }
    }
}

enum Subject<'a> {
    User(&'a str),
    Group(&'a str),
}

impl Grant {
    fn words(&self, subject: &Subject<'_>) -> String {
        let role_kind = if self.role.0.is_empty() { "ClusterRole" } else { "Role" };
        let subject = match subject {
            Subject::User(name) => format!("User {name:?}"),
            Subject::Group(name) => format!("Group {name:?}"),
        };
        if self.binding.0.is_empty() {
            format!(
                "RBAC: allowed by ClusterRoleBinding {:?} of {role_kind} {:?} to {subject}",
                self.binding.1, self.role.1
            )
        } else {
            let name = format!("{}/{}", self.binding.1, self.binding.0);
            format!("RBAC: allowed by RoleBinding {name:?} of {role_kind} {:?} to {subject}", self.role.1)
        }
    }
}

fn key(namespace: &str, name: &str) -> Key {
    (Box::from(namespace), Box::from(name))
}

fn key_of(object: &Value) -> Key {
    let text = |field: &str| object.pointer(&format!("/metadata/{field}")).and_then(Value::as_str).unwrap_or("");
    key(text("namespace"), text("name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::Authorizer;
    use serde_json::json;

    fn authorizer() -> Authorizer {
        let authorizer = Authorizer::default();
        authorizer.change(|cache| {
            cache.put_role(&json!({"metadata": {"name": "reader", "labels": {"into": "all"}},
                "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}));
            cache.put_role(&json!({"metadata": {"name": "local", "namespace": "a"},
                "rules": [{"verbs": ["update"], "apiGroups": [""], "resources": ["pods"]}]}));
            cache.put_role(&json!({"metadata": {"name": "gathered"},
                "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"into": "all"}}]}}));
            cache.put_binding(&json!({"metadata": {"name": "readers"},
                "roleRef": {"kind": "ClusterRole", "name": "reader"}, "subjects": [{"kind": "Group", "name": "team"}]}));
            cache.put_binding(&json!({"metadata": {"name": "in-a", "namespace": "a"},
                "roleRef": {"kind": "ClusterRole", "name": "gathered"}, "subjects": [{"kind": "User", "name": "jane"}]}));
            cache.put_binding(&json!({"metadata": {"name": "sa-in-a", "namespace": "a"},
                "roleRef": {"kind": "Role", "name": "local"}, "subjects": [{"kind": "ServiceAccount", "name": "bot"}]}));
        });
        authorizer
    }

    #[track_caller]
    fn check(authorizer: &Authorizer, who: &Identity, verb: &str, namespace: &str, expected: bool) {
        let wanted = Wanted::Resource { verb, group: "", resource: "pods", subresource: "", namespace, name: "" };
        assert_eq!(authorizer.decide(who, &wanted).allowed, expected, "{} {verb} in {namespace}", who.name);
    }

    #[test]
    fn bindings_grant_where_they_stand() {
        let authorizer = authorizer();
        let team = Identity::user("joe", ["team"]);
        let jane = Identity::user("jane", [""; 0]);
        check(&authorizer, &team, "get", "b", true);
        check(&authorizer, &team, "get", "", true);
        check(&authorizer, &team, "update", "b", false);
        check(&authorizer, &jane, "get", "a", true);
        check(&authorizer, &jane, "get", "b", false);
        check(&authorizer, &jane, "get", "", false);
        check(&authorizer, &Identity::service_account("a", "bot"), "update", "a", true);
        check(&authorizer, &Identity::service_account("b", "bot"), "update", "a", false);
        check(&authorizer, &Identity::master("root"), "anything", "a", true);
    }

    #[test]
    fn changes_take_effect_at_once() {
        let authorizer = authorizer();
        let team = Identity::user("joe", ["team"]);
        let jane = Identity::user("jane", [""; 0]);
        authorizer.change(|c| c.drop_binding("", "readers"));
        check(&authorizer, &team, "get", "b", false);
        authorizer.change(|c| {
            c.put_role(&json!({"metadata": {"name": "more", "labels": {"into": "all"}},
                "rules": [{"verbs": ["delete"], "apiGroups": [""], "resources": ["pods"]}]}));
        });
        check(&authorizer, &jane, "delete", "a", true);
        authorizer.change(|c| c.drop_role("", "more"));
        check(&authorizer, &jane, "delete", "a", false);
    }

    #[test]
    fn what_gathers_is_behind_until_it_is_kept_as_it_acts() {
        let authorizer = authorizer();
        let behind = || authorizer.read(RoleCache::behind);
        let rules = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
        assert_eq!(behind(), [("gathered".to_owned(), Rule::read_all(Some(&rules)))]);
        let selector = json!({"matchExpressions": [{"key": "into", "operator": "In", "values": ["all", "some"]}]});
        let kept = json!({"metadata": {"name": "gathered"}, "rules": rules,
            "aggregationRule": {"clusterRoleSelectors": [selector]}});
        authorizer.change(|cache| cache.put_role(&kept));
        assert_eq!(behind(), []);
        authorizer.change(|cache| cache.drop_role("", "reader"));
        assert_eq!(behind(), [("gathered".to_owned(), Vec::new())]);
    }

    #[test]
    fn the_reason_names_the_binding() {
        let wanted =
            Wanted::Resource { verb: "get", group: "", resource: "pods", subresource: "", namespace: "a", name: "" };
        assert_eq!(
            authorizer().decide(&Identity::user("jane", [""; 0]), &wanted).reason,
            "RBAC: allowed by RoleBinding \"in-a/a\" of ClusterRole \"gathered\" to User \"jane\""
        );
    }
}
