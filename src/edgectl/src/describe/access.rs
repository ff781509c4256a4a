//! Pages of roles and bindings.
//!
//! In: an object. Out: lines. Never tells what a role allows beside others: only what its rules say.

use std::collections::BTreeMap;

use serde_json::Value;

use super::kinds::both;
use super::page::Page;
use super::values::{items, words};

/// A Role or a ClusterRole.
pub fn role(object: &Value, page: &mut Page) {
    both(object, page);
    page.head(0, "PolicyRule");
    let rows: Vec<Vec<String>> = rules(&object["rules"]).iter().map(Rule::row).collect();
    page.table(1, &["Resources", "Non-Resource URLs", "Resource Names", "Verbs"], &rows);
}

/// What may be done with one resource, or with one path.
struct Rule {
    verbs: Vec<String>,
    group: Vec<String>,
    resource: Vec<String>,
    names: Vec<String>,
    paths: Vec<String>,
}

impl Rule {
    /// What kubectl sorts by: the rule as Go prints it.
    fn order(&self) -> String {
        let [verbs, group, resource, names, paths] =
            [&self.verbs, &self.group, &self.resource, &self.names, &self.paths].map(|list| list.join(" "));
        format!(
            "{verbs}],APIGroups:[{group}],Resources:[{resource}],ResourceNames:[{names}],NonResourceURLs:[{paths}],}}"
        )
    }

    fn row(&self) -> Vec<String> {
        let mut row: Vec<String> =
            [&self.paths, &self.names, &self.verbs].map(|list| format!("[{}]", list.join(" "))).to_vec();
        row.insert(0, named(&self.resource.concat(), &self.group.concat()));
        row
    }
}

/// `pods.apps/log`.
fn named(resource: &str, group: &str) -> String {
    let (name, part) = resource.split_once('/').map_or((resource, None), |(name, part)| (name, Some(part)));
    let group = if group.is_empty() { String::new() } else { format!(".{group}") };
    let part = part.map(|part| format!("/{part}")).unwrap_or_default();
    format!("{name}{group}{part}")
}

/// The rules of one resource, or of one of its objects, in one; each verb of a path alone.
fn rules(list: &Value) -> Vec<Rule> {
    let mut resources: BTreeMap<[Vec<String>; 3], Vec<String>> = BTreeMap::new();
    let mut rules = Vec::new();
    let all = |list: &Value| items(list).map(words).collect::<Vec<_>>();
    for rule in items(list) {
        let (verbs, mut names) =
            (all(&rule["verbs"]), items(&rule["resourceNames"]).map(|n| vec![words(n)]).collect::<Vec<_>>());
        if names.is_empty() {
            names.push(Vec::new());
        }
        for group in all(&rule["apiGroups"]) {
            for resource in all(&rule["resources"]) {
                for name in &names {
                    let of = [vec![group.clone()], vec![resource.clone()], name.clone()];
                    let known = resources.entry(of).or_default();
                    verbs.iter().for_each(|verb| {
                        if !known.contains(verb) {
                            known.push(verb.clone());
                        }
                    });
                }
            }
        }
        for path in all(&rule["nonResourceURLs"]) {
            let alone = |verb: &String| Rule {
                verbs: vec![verb.clone()],
                group: Vec::new(),
                resource: Vec::new(),
                names: Vec::new(),
                paths: vec![path.clone()],
            };
            rules.extend(verbs.iter().map(alone));
        }
    }
    let together = resources.into_iter().filter(|(_, verbs)| !verbs.is_empty());
    rules.extend(together.map(|([group, resource, names], verbs)| Rule {
        verbs,
        group,
        resource,
        names,
        paths: Vec::new(),
    }));
    rules.sort_by_cached_key(Rule::order);
    rules
}

/// A RoleBinding or a ClusterRoleBinding.
pub fn binding(object: &Value, page: &mut Page) {
    both(object, page);
    page.head(0, "Role");
    page.line(1, "Kind", words(&object["roleRef"]["kind"]));
    page.line(1, "Name", words(&object["roleRef"]["name"]));
    page.head(0, "Subjects");
    let rows: Vec<Vec<String>> = items(&object["subjects"])
        .map(|subject| ["kind", "name", "namespace"].map(|field| words(&subject[field])).to_vec())
        .collect();
    page.table(1, &["Kind", "Name", "Namespace"], &rows);
}

/// A ServiceAccount.
pub fn service_account(object: &Value, page: &mut Page) {
    both(object, page);
    let names: Vec<String> = items(&object["imagePullSecrets"]).map(|secret| words(&secret["name"])).collect();
    page.list(0, "Image pull secrets", &names);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page::check;

    #[test]
    fn a_role_has_a_row_for_each_resource() {
        let object = json!({"metadata": {}, "rules": [
            {"apiGroups": ["", "apps"], "resources": ["pods", "pods/log"], "verbs": ["get", "list"], "resourceNames": ["a"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["watch"], "resourceNames": ["a"]},
            {"nonResourceURLs": ["/healthz"], "verbs": ["get", "post"]},
        ]});
        check(
            |page| role(&object, page),
            "Labels:       <none>\nAnnotations:  <none>\nPolicyRule:\n  Resources      Non-Resource URLs  Resource Names  Verbs\n  ---------      -----------------  --------------  -----\n  pods           []                 [a]             [get list watch]\n  pods/log       []                 [a]             [get list]\n  pods.apps/log  []                 [a]             [get list]\n  pods.apps      []                 [a]             [get list]\n                 [/healthz]         []              [get]\n                 [/healthz]         []              [post]\n",
        );
    }

    #[test]
    fn a_binding_names_role_and_subjects() {
        let object = json!({"metadata": {}, "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "User", "name": "jane"}, {"kind": "ServiceAccount", "name": "bot", "namespace": "a"}]});
        check(
            |page| binding(&object, page),
            "Labels:       <none>\nAnnotations:  <none>\nRole:\n  Kind:  ClusterRole\n  Name:  view\nSubjects:\n  Kind            Name  Namespace\n  ----            ----  ---------\n  User            jane  \n  ServiceAccount  bot   a\n",
        );
    }
}
