//! `create role`, `clusterrole`, `rolebinding` and `clusterrolebinding`.
//!
//! In: flags and what the server serves. Out: the object. Never asks the server itself.

use serde_json::{Value, json};

use crate::args::{CreateHow, CreateRole, RuleFlags, SubjectFlags};
use crate::error::Failure;
use crate::resource::Catalogue;

const GROUP: &str = "rbac.authorization.k8s.io";

/// The object that the flags describe.
pub fn generate(what: CreateRole, catalogue: &Catalogue) -> Result<(Value, CreateHow), Failure> {
    let object =
        |kind: &str, name: &str| json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": {"name": name}});
    Ok(match what {
        CreateRole::Role { name, rule, how } => {
            let mut role = object("Role", &name);
            role["rules"] = json!(rules(&rule, &[], catalogue)?);
            (role, how)
        }
        CreateRole::Clusterrole { name, rule, paths, how } => {
            let mut role = object("ClusterRole", &name);
            role["rules"] = json!(rules(&rule, &paths, catalogue)?);
            (role, how)
        }
        CreateRole::Rolebinding { name, clusterrole, role, subjects, how } => {
            let (kind, role) = match (clusterrole, role) {
                (Some(name), None) => ("ClusterRole", name),
                (None, Some(name)) => ("Role", name),
                _ => return Err(Failure::said("exactly one of clusterrole or role must be specified")),
            };
            (binding(object("RoleBinding", &name), kind, &role, &subjects)?, how)
        }
        CreateRole::Clusterrolebinding { name, clusterrole, subjects, how } => {
            (binding(object("ClusterRoleBinding", &name), "ClusterRole", &clusterrole, &subjects)?, how)
        }
    })
}

/// One rule for each API group, in the order of the flags.
fn rules(flags: &RuleFlags, paths: &[String], catalogue: &Catalogue) -> Result<Vec<Value>, Failure> {
    if flags.resource.is_empty() && paths.is_empty() {
        return Err(Failure::said("at least one resource must be specified"));
    }
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for word in &flags.resource {
        let (word, sub) = word.split_once('/').unwrap_or((word, ""));
        let (group, plural) = match word {
            "*" => ("*".to_owned(), "*".to_owned()),
            word => {
                let found = catalogue.find(word)?;
                (found.group.clone(), found.plural.clone())
            }
        };
        let resource = if sub.is_empty() { plural } else { format!("{plural}/{sub}") };
        match groups.iter_mut().find(|(g, _)| *g == group) {
            Some((_, list)) if !list.contains(&resource) => list.push(resource),
            Some(_) => {}
            None => groups.push((group, vec![resource])),
        }
    }
    let mut rules: Vec<Value> = groups
        .into_iter()
        .map(|(group, resources)| {
            let mut rule = json!({"apiGroups": [group], "resources": resources, "verbs": flags.verb});
            if !flags.resource_name.is_empty() {
                rule["resourceNames"] = json!(flags.resource_name);
            }
            rule
        })
        .collect();
    if !paths.is_empty() {
        rules.push(json!({"nonResourceURLs": paths, "verbs": flags.verb}));
    }
    Ok(rules)
}

/// Users, groups and service accounts as a binding has them.
pub fn subjects(flags: &SubjectFlags) -> Result<Vec<Value>, Failure> {
    let named = |kind: &str, name: &String| json!({"kind": kind, "apiGroup": GROUP, "name": name});
    let mut subjects: Vec<Value> = flags.user.iter().map(|name| named("User", name)).collect();
    subjects.extend(flags.group.iter().map(|name| named("Group", name)));
    for account in &flags.serviceaccount {
        let (namespace, name) = account
            .split_once(':')
            .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty())
            .ok_or_else(|| Failure::said("serviceaccount must be <namespace>:<name>"))?;
        subjects.push(json!({"kind": "ServiceAccount", "namespace": namespace, "name": name}));
    }
    Ok(subjects)
}

fn binding(mut binding: Value, kind: &str, role: &str, flags: &SubjectFlags) -> Result<Value, Failure> {
    let subjects = subjects(flags)?;
    binding["roleRef"] = json!({"apiGroup": GROUP, "kind": kind, "name": role});
    if !subjects.is_empty() {
        binding["subjects"] = json!(subjects);
    }
    Ok(binding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read_or_refused() {
        let flags = SubjectFlags {
            user: vec!["jane".into()],
            group: vec!["dev".into()],
            serviceaccount: vec!["default:bot".into()],
        };
        let made = binding(json!({}), "ClusterRole", "view", &flags).unwrap();
        assert_eq!(made["roleRef"]["name"], "view");
        let names: Vec<&str> =
            made["subjects"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["jane", "dev", "bot"]);
        let bad = SubjectFlags { serviceaccount: vec!["bot".into()], ..SubjectFlags::default() };
        assert!(binding(json!({}), "Role", "x", &bad).is_err());
    }
}
