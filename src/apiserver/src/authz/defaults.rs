//! The default roles and bindings: the table in `configs/rbac.txt` as objects.
//!
//! In: the table. Out: Roles, ClusterRoles and bindings as JSON, and what to change in an object
//! that somebody edited ([`reconcile`]). Pure; `bootstrap.rs` writes.

use serde_json::{Value, json};

use super::rules::{Rule, not_covered};

const TABLE: &str = include_str!("../../../../configs/rbac.txt");
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const AGGREGATE_TO: &str = "rbac.authorization.k8s.io/aggregate-to-";
const API_VERSION: &str = "rbac.authorization.k8s.io/v1";

/// One line of the table cannot be understood; only possible while the table is being edited.
#[derive(Debug, thiserror::Error)]
#[error("default roles, line {line}: {text}")]
pub struct TableFault {
    line: usize,
    text: String,
}

/// Every default object, roles before bindings.
pub fn objects() -> Result<Vec<Value>, TableFault> {
    parse(TABLE)
}

fn parse(table: &str) -> Result<Vec<Value>, TableFault> {
    let mut objects: Vec<Value> = Vec::new();
    for (at, text) in table.lines().enumerate() {
        let fault = || TableFault { line: at + 1, text: text.to_owned() };
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        if text.starts_with(' ') {
            let rule = parse_rule(text.trim()).ok_or_else(fault)?;
            let rules = objects.last_mut().and_then(|role| role.get_mut("rules")).and_then(Value::as_array_mut);
            rules.ok_or_else(fault)?.push(rule.to_json());
            continue;
        }
        let words: Vec<&str> = text.split(' ').collect();
        objects.push(match words.as_slice() {
            ["clusterrole", name, options @ ..] => cluster_role(name, options).ok_or_else(fault)?,
            ["role", namespace, name] => {
                let mut role = object("Role", name);
                role["metadata"]["namespace"] = json!(namespace);
                role["rules"] = json!([]);
                role
            }
            ["bind", name, "=", kind, role, "to", subjects @ ..] => {
                binding("", name, kind, role, subjects).ok_or_else(fault)?
            }
            ["bind", namespace, name, "=", kind, role, "to", subjects @ ..] => {
                binding(namespace, name, kind, role, subjects).ok_or_else(fault)?
            }
            _ => return Err(fault()),
        });
    }
    fill_gathered(&mut objects);
    Ok(objects)
}

/// `VERBS RESOURCES @ GROUPS [= NAMES]` or `VERBS /PATHS`.
pub(crate) fn parse_rule(text: &str) -> Option<Rule> {
    let list = |words: &str| words.split(',').map(Box::from).collect::<Box<[Box<str>]>>();
    let groups = |words: &str| {
        words.split(',').map(|g| Box::from(if g == "core" { "" } else { g })).collect::<Box<[Box<str>]>>()
    };
    match text.split(' ').collect::<Vec<_>>().as_slice() {
        [verbs, paths] => Some(Rule { verbs: list(verbs), paths: list(paths), ..Rule::default() }),
        [verbs, resources, "@", g] => {
            Some(Rule { verbs: list(verbs), resources: list(resources), groups: groups(g), ..Rule::default() })
        }
        [verbs, resources, "@", g, "=", names] => Some(Rule {
            verbs: list(verbs),
            resources: list(resources),
            groups: groups(g),
            names: list(names),
            ..Rule::default()
        }),
        _ => None,
    }
}

fn object(kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {
            "name": name,
            "annotations": { AUTOUPDATE: "true" },
            "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
        },
    })
}

fn cluster_role(name: &str, options: &[&str]) -> Option<Value> {
    let mut role = object("ClusterRole", name);
    role["rules"] = json!([]);
    for option in options {
        match option.split_once('=')? {
            ("aggregates", label) => {
                let label = format!("{AGGREGATE_TO}{label}");
                role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
            }
            ("into", label) => role["metadata"]["labels"][format!("{AGGREGATE_TO}{label}")] = json!("true"),
            _ => return None,
        }
    }
    Some(role)
}

fn binding(namespace: &str, name: &str, kind: &str, role: &str, subjects: &[&str]) -> Option<Value> {
    let role_kind = match kind {
        "clusterrole" => "ClusterRole",
        "role" => "Role",
        _ => return None,
    };
    let mut binding = object(if namespace.is_empty() { "ClusterRoleBinding" } else { "RoleBinding" }, name);
    if !namespace.is_empty() {
        binding["metadata"]["namespace"] = json!(namespace);
    }
    binding["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role});
    let subjects: Option<Vec<Value>> = subjects
        .iter()
        .map(|subject| {
            let (kind, name) = subject.split_once(':')?;
            Some(match kind {
                "group" => json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name}),
                "user" => json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}),
                "sa" => {
                    let (namespace, name) = name.split_once('/')?;
                    json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
                }
                _ => return None,
            })
        })
        .collect();
    let subjects = subjects?;
    if !subjects.is_empty() {
        binding["subjects"] = json!(subjects);
    }
    Some(binding)
}

/// Fills the gathering roles of the table, so that they read as they act.
fn fill_gathered(objects: &mut [Value]) {
    let mut cache = super::RoleCache::default();
    objects.iter().filter(|o| o["kind"] == "ClusterRole").for_each(|role| cache.put_role(role));
    for role in objects.iter_mut().filter(|o| o.get("aggregationRule").is_some()) {
        let name = role["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        role["rules"] = cache.cluster_role(&name).iter().map(Rule::to_json).collect();
    }
}

/// What `found` must become so that it grants at least what `wanted` does; `None` if it already
/// does, or if its owner opted out. A binding to another role is left alone: it cannot be changed.
pub fn reconcile(found: &Value, wanted: &Value) -> Option<Value> {
    if found.pointer("/metadata/annotations").and_then(|a| a.get(AUTOUPDATE)).is_some_and(|v| v == "false") {
        return None;
    }
    let mut fixed = found.clone();
    if wanted.get("rules").is_some() {
        // What gathers is filled by whoever adds roles to it.
        if wanted.get("aggregationRule").is_none() {
            let held = Rule::read_all(found.get("rules"));
            let missing = not_covered(&held, &Rule::read_all(wanted.get("rules")));
            if !missing.is_empty() {
                let mut rules: Vec<Value> = held.iter().map(Rule::to_json).collect();
                rules.extend(missing.iter().map(Rule::to_json));
                fixed["rules"] = json!(rules);
            }
        } else if found.get("aggregationRule").is_none() {
            fixed["aggregationRule"] = wanted["aggregationRule"].clone();
        }
    }
    if let Some(subjects) = wanted.get("subjects").and_then(Value::as_array) {
        let held = found.get("subjects").and_then(Value::as_array).cloned().unwrap_or_default();
        let missing: Vec<Value> = subjects.iter().filter(|s| !held.contains(s)).cloned().collect();
        if !missing.is_empty() {
            fixed["subjects"] = json!([held, missing].concat());
        }
    }
    for map in ["labels", "annotations"] {
        for (key, value) in wanted["metadata"][map].as_object().into_iter().flatten() {
            if found["metadata"][map].get(key).is_none() {
                fixed["metadata"][map][key.as_str()] = value.clone();
            }
        }
    }
    (fixed != *found).then_some(fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_parses_and_names_no_object_twice() {
        let objects = objects().unwrap();
        let mut names: Vec<String> = objects
            .iter()
            .map(|o| format!("{} {} {}", o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]))
            .collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(count > 120, "{count}");
    }

    #[test]
    fn a_bad_line_is_named() {
        assert_eq!(parse("clusterrole a\n  get\n").unwrap_err().to_string(), "default roles, line 2:   get");
    }

    /// The published defaults, when the test data is there; else the test says so and passes.
    #[test]
    fn the_table_is_what_kubernetes_publishes() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/kubernetes-1.36/rbac");
        if !folder.is_dir() {
            eprintln!("skipped: no test data");
            return;
        }
        let ours = objects().unwrap();
        let mut seen = 0;
        for file in [
            "cluster-roles",
            "controller-roles",
            "namespace-roles",
            "cluster-role-bindings",
            "controller-role-bindings",
            "namespace-role-bindings",
        ] {
            let text = std::fs::read_to_string(folder.join(format!("{file}.yaml"))).unwrap();
            let list: Value = serde_yaml::from_str(&text).unwrap();
            for theirs in list["items"].as_array().unwrap() {
                let same = |o: &&Value| {
                    o["kind"] == theirs["kind"]
                        && o["metadata"]["name"] == theirs["metadata"]["name"]
                        && o["metadata"]["namespace"] == theirs["metadata"]["namespace"]
                };
                let found =
                    ours.iter().find(same).unwrap_or_else(|| panic!("{} is missing", theirs["metadata"]["name"]));
                assert_eq!(found["metadata"], theirs["metadata"]);
                assert_eq!(found["subjects"], theirs["subjects"]);
                assert_eq!(found["roleRef"], theirs["roleRef"]);
                if found.get("aggregationRule").is_none() {
                    let (a, b) = (Rule::read_all(found.get("rules")), Rule::read_all(theirs.get("rules")));
                    assert!(
                        not_covered(&a, &b).is_empty() && not_covered(&b, &a).is_empty(),
                        "{}",
                        theirs["metadata"]["name"]
                    );
                }
                seen += 1;
            }
        }
        assert_eq!(seen, ours.len());
    }

    #[test]
    fn what_was_taken_away_comes_back_and_what_was_added_stays() {
        let wanted = &parse("clusterrole a\n  get,list pods @ core\n").unwrap()[0];
        let mut found = wanted.clone();
        assert_eq!(reconcile(&found, wanted), None);
        found["rules"] = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, {"verbs": ["get"], "apiGroups": ["x"], "resources": ["y"]}]);
        let fixed = reconcile(&found, wanted).unwrap();
        assert_eq!(fixed["rules"].as_array().unwrap().len(), 3);
        found["metadata"]["annotations"][AUTOUPDATE] = json!("false");
        assert_eq!(reconcile(&found, wanted), None);
    }
}
