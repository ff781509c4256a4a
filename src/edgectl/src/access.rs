//! `auth` and `certificate`: who may do what, who one is, and whose certificate is signed.
//!
//! In: verbs, kinds, names, files. Out: yes or no, tables, changed roles and requests.

use std::collections::BTreeSet;
use std::process::ExitCode;

use kedge_client::{ResourcePath, WriteOptions};
use serde_json::{Value, json};

use crate::apply::place;
use crate::args::{Auth, AuthWhat, Certificate, CertificateWhat, Files};
use crate::error::Failure;
use crate::manifest;
use crate::output::{self, Format, columns};
use crate::session::Session;

/// Tries of one request when somebody else writes it at the same time.
const TRIES: usize = 5;

/// Runs `auth`.
pub async fn auth(session: Session, args: Auth) -> Result<ExitCode, Failure> {
    match args.what {
        AuthWhat::CanI { list: true, .. } => list_rules(&session).await,
        AuthWhat::CanI { words, subresource, all_namespaces, quiet, .. } => {
            can_i(&session, &words, subresource, all_namespaces, quiet).await
        }
        AuthWhat::Whoami { output } => whoami(&session, output.as_deref()).await,
        AuthWhat::Reconcile { files } => reconcile(&session, &files).await,
    }
}

async fn ask(session: &Session, group: &str, plural: &str, kind: &str, spec: Value) -> Result<Value, Failure> {
    let review = json!({"apiVersion": format!("{group}/v1"), "kind": kind, "spec": spec});
    Ok(session.client.create(&ResourcePath::new(group, "v1", plural), &review, &WriteOptions::default()).await?)
}

async fn can_i(
    session: &Session,
    words: &[String],
    subresource: Option<String>,
    all_namespaces: bool,
    quiet: bool,
) -> Result<ExitCode, Failure> {
    let [verb, rest @ ..] = words else {
        return Err(Failure::said("you must specify two arguments: verb resource or verb resource/resourceName"));
    };
    let spec = match rest {
        [path] if path.starts_with('/') => json!({"nonResourceAttributes": {"verb": verb, "path": path}}),
        [word] | [word, _] => {
            let (word, mut name) = word.split_once('/').unwrap_or((word, ""));
            if let [_, given] = rest {
                name = given;
            }
            let mut attributes = json!({"verb": verb, "name": name, "subresource": subresource.unwrap_or_default()});
            let mut namespaced = true;
            if word == "*" {
                (attributes["group"], attributes["resource"]) = (json!("*"), json!("*"));
            } else {
                match session.catalogue().await?.find(word) {
                    Ok(found) => {
                        namespaced = found.namespaced;
                        (attributes["group"], attributes["resource"]) = (json!(found.group), json!(found.plural));
                    }
                    Err(_) => {
                        eprintln!("Warning: the server doesn't have a resource type '{word}'\n");
                        attributes["resource"] = json!(word);
                    }
                }
            }
            if !namespaced && session.namespace_given {
                eprintln!("Warning: resource '{word}' is not namespace scoped\n");
            }
            if namespaced && !all_namespaces {
                attributes["namespace"] = json!(session.namespace);
            }
            json!({"resourceAttributes": attributes})
        }
        _ => return Err(Failure::said("you must specify two arguments: verb resource or verb resource/resourceName")),
    };
    let answer =
        ask(session, "authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview", spec).await?;
    let status = &answer["status"];
    let allowed = status["allowed"] == true;
    if !quiet {
        let reason = status["reason"].as_str().filter(|r| !r.is_empty() && !allowed);
        match reason {
            Some(reason) => println!("no - {reason}"),
            None => println!("{}", if allowed { "yes" } else { "no" }),
        }
    }
    Ok(if allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn list_rules(session: &Session) -> Result<ExitCode, Failure> {
    let spec = json!({"namespace": session.namespace});
    let answer =
        ask(session, "authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview", spec).await?;
    let status = &answer["status"];
    if status["incomplete"] == true {
        let why = status["evaluationError"].as_str().unwrap_or("");
        eprintln!("Warning: the list may be incomplete: {why}");
    }
    let mut rows = rule_rows(status);
    rows.insert(0, ["Resources", "Non-Resource URLs", "Resource Names", "Verbs"].map(str::to_owned).to_vec());
    print!("{}", columns(&rows));
    Ok(ExitCode::SUCCESS)
}

/// A row for each resource and each path, sorted, none twice; resources first.
fn rule_rows(status: &Value) -> Vec<Vec<String>> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let shown = |list: &[String]| format!("[{}]", list.join(" "));
    let (mut resources, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for rule in status["resourceRules"].as_array().into_iter().flatten() {
        let (names, verbs) = (texts(&rule["resourceNames"]), texts(&rule["verbs"]));
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let resource = match group.as_str() {
                    "" => resource,
                    group => format!("{resource}.{group}"),
                };
                resources.insert(vec![resource, "[]".to_owned(), shown(&names), shown(&verbs)]);
            }
        }
    }
    for rule in status["nonResourceRules"].as_array().into_iter().flatten() {
        for path in texts(&rule["nonResourceURLs"]) {
            paths.insert(vec![String::new(), format!("[{path}]"), "[]".to_owned(), shown(&texts(&rule["verbs"]))]);
        }
    }
    resources.into_iter().chain(paths).collect()
}

async fn whoami(session: &Session, output: Option<&str>) -> Result<ExitCode, Failure> {
    let format = Format::of_write(output)?;
    let path = ResourcePath::new("authentication.k8s.io", "v1", "selfsubjectreviews");
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = session.client.create(&path, &review, &WriteOptions::default()).await?;
    if let Some(format) = format {
        output::print(&format, &answer, "")?;
        return Ok(ExitCode::SUCCESS);
    }
    let user = &answer["status"]["userInfo"];
    let list = |value: &Value| -> String {
        let texts: Vec<&str> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        format!("[{}]", texts.join(" "))
    };
    let mut rows = vec![vec!["ATTRIBUTE".to_owned(), "VALUE".to_owned()]];
    for (title, key) in [("Username", "username"), ("UID", "uid")] {
        if let Some(text) = user[key].as_str().filter(|t| !t.is_empty()) {
            rows.push(vec![title.to_owned(), text.to_owned()]);
        }
    }
    if user["groups"].as_array().is_some_and(|g| !g.is_empty()) {
        rows.push(vec!["Groups".to_owned(), list(&user["groups"])]);
    }
    for (key, values) in user["extra"].as_object().into_iter().flatten() {
        rows.push(vec![format!("Extra: {key}"), list(values)]);
    }
    print!("{}", columns(&rows));
    Ok(ExitCode::SUCCESS)
}

/// Makes roles and bindings grant at least what the files say; never takes anything away.
async fn reconcile(session: &Session, files: &Files) -> Result<ExitCode, Failure> {
    if !files.are_given() {
        return Err(Failure::said("must specify -f"));
    }
    let catalogue = session.catalogue().await?;
    for item in manifest::read(files).await? {
        if !item.api_version().starts_with("rbac.authorization.k8s.io/") {
            eprintln!("Warning: {} {:?} is no role and no binding: skipped", item.kind(), item.name());
            continue;
        }
        let (resource, wanted, collection) = place(session, &catalogue, &item)?;
        let path = collection.clone().name(item.named()?);
        let options = WriteOptions::default();
        match session.client.get_opt(&path).await? {
            None => drop(session.client.create(&collection, &wanted, &options).await?),
            Some(found) if leads_elsewhere(&found, &wanted) => {
                session.client.delete(&path, &Default::default()).await?;
                session.client.create(&collection, &wanted, &options).await?;
            }
            Some(found) => {
                let merged = merge(found.clone(), &wanted);
                if merged != found {
                    session.client.update(&path, &merged, &options).await?;
                }
            }
        }
        println!("{} reconciled", resource.named(item.name()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a binding that is there binds another role: that cannot be changed in place.
fn leads_elsewhere(found: &Value, wanted: &Value) -> bool {
    let role = |binding: &Value| ["kind", "name"].map(|key| binding["roleRef"][key].clone());
    !found["roleRef"].is_null() && role(found) != role(wanted)
}

/// What is there with the rules and subjects that are wanted and missing.
fn merge(mut found: Value, wanted: &Value) -> Value {
    for key in ["rules", "subjects"] {
        let Some(wanted) = wanted[key].as_array() else { continue };
        let mut held = found[key].as_array().cloned().unwrap_or_default();
        let has = |held: &[Value], one: &Value| {
            held.iter().any(|h| one.as_object().into_iter().flatten().all(|(k, v)| h.get(k) == Some(v)))
        };
        let missing: Vec<Value> = wanted.iter().filter(|one| !has(&held, one)).cloned().collect();
        if !missing.is_empty() {
            held.extend(missing);
            found[key] = json!(held);
        }
    }
    found
}

/// Runs `certificate`.
pub async fn certificate(session: Session, args: Certificate) -> Result<ExitCode, Failure> {
    let (names, kind, done) = match args.what {
        CertificateWhat::Approve { names } => (names, "Approved", "approved"),
        CertificateWhat::Deny { names } => (names, "Denied", "denied"),
    };
    let mut named = Vec::new();
    for word in names {
        named.push(request_name(&session, word).await?);
    }
    for name in named {
        decide(&session, &name, kind).await?;
        println!("certificatesigningrequest.certificates.k8s.io/{name} {done}");
    }
    Ok(ExitCode::SUCCESS)
}

/// A name, which may come with its kind as `get -o name` prints it.
async fn request_name(session: &Session, word: String) -> Result<String, Failure> {
    let Some((kind, name)) = word.split_once('/') else { return Ok(word) };
    if session.catalogue().await?.find(kind)?.plural != "certificatesigningrequests" || name.is_empty() {
        return Err(Failure::said(format!("{word} is no certificate signing request")));
    }
    Ok(name.to_owned())
}

async fn decide(session: &Session, name: &str, kind: &str) -> Result<(), Failure> {
    let path = ResourcePath::new("certificates.k8s.io", "v1", "certificatesigningrequests").name(name);
    let (reason, verb) = match kind {
        "Approved" => ("KubectlApprove", "approve"),
        _ => ("KubectlDeny", "deny"),
    };
    let mut last = None;
    for _ in 0..TRIES {
        let mut request = session.client.get(&path).await?;
        let mut conditions = request["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if conditions.iter().any(|c| c["type"] == kind) {
            return Ok(());
        }
        let message = format!("This CSR was {} by kubectl certificate {verb}.", kind.to_lowercase());
        conditions.push(json!({"type": kind, "status": "True", "reason": reason, "message": message}));
        if !request.is_object() {
            return Err(Failure::said(format!("the server's answer is no request {name}")));
        }
        if !request["status"].is_object() {
            request["status"] = json!({});
        }
        request["status"]["conditions"] = json!(conditions);
        match session.client.update(&path.clone().subresource("approval"), &request, &WriteOptions::default()).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_conflict() => last = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.map_or_else(|| Failure::said("the request keeps changing"), Failure::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_added_and_nothing_goes() {
        let rule = |verbs: Value| json!({"apiGroups": [""], "resources": ["pods"], "verbs": verbs});
        let found = json!({"rules": [rule(json!(["get"])), rule(json!(["list"]))]});
        let wanted = json!({"rules": [rule(json!(["get"])), rule(json!(["watch"]))]});
        let merged = merge(found.clone(), &wanted);
        assert_eq!(merged["rules"].as_array().unwrap().len(), 3);
        assert_eq!(merge(merged.clone(), &wanted), merged);
        assert_eq!(merge(found.clone(), &json!({})), found);
    }

    #[test]
    fn each_resource_and_each_path_has_a_row() {
        let rule = |paths: Value| json!({"nonResourceURLs": paths, "verbs": ["get"]});
        let pods = json!({"apiGroups": ["", "apps"], "resources": ["pods", "deployments"], "verbs": ["list"]});
        let rows = rule_rows(&json!({
            "resourceRules": [pods, pods], "nonResourceRules": [rule(json!(["/livez", "/api"])), rule(json!(["/livez"]))],
        }));
        let firsts: Vec<String> = rows.iter().map(|row| format!("{}{}", row[0], row[1])).collect();
        assert_eq!(firsts, ["deployments[]", "deployments.apps[]", "pods[]", "pods.apps[]", "[/api]", "[/livez]"]);
    }

    #[test]
    fn a_role_and_a_cluster_role_of_one_name_are_two() {
        let binding = |kind: &str, name: &str| json!({"roleRef": {"kind": kind, "name": name}});
        for (kind, name, expected) in [("Role", "a", false), ("Role", "b", true), ("ClusterRole", "a", true)] {
            assert_eq!(leads_elsewhere(&binding("Role", "a"), &binding(kind, name)), expected, "{kind} {name}");
        }
        assert!(!leads_elsewhere(&json!({"rules": []}), &json!({"rules": []})));
    }
}
