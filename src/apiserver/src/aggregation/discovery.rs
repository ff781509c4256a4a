//! What aggregated servers serve, among what this server serves.
//!
//! In: their documents, ours. Out: one list of groups in the order of priorities, plain and
//! aggregated, one index of OpenAPI documents, and what `/openapi/v2` says of them. Documents are
//! read when a server becomes available, and again when somebody asks for them after a minute;
//! never on a timer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use kedge_api::kinds::{Kinds, join_api_version, version_rank};
use kedge_api::{meta, openapi};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::available::{LookFault, look, read};
use super::{Remote, table};
use crate::core::Core;

/// How old a document may be when somebody asks, as upstream refreshes its own.
const FRESH_FOR: Duration = Duration::from_secs(60);
/// A document of version 2 is no larger. A server of the common library has some 500 KB; while it is read it takes many
/// times its size.
const MOST_SWAGGER: usize = 4 * 1024 * 1024;
/// Resources of one group version that are listed, at most.
const MOST_RESOURCES: usize = 1000;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// What a group version of another server is known to serve.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its resources, in the aggregated form.
    pub resources: Vec<Value>,
    /// Where its OpenAPI document is.
    pub openapi: Option<String>,
    /// What it says of them in OpenAPI version 2, for [`openapi::v2`].
    pub swagger: Bytes,
    /// When that was.
    pub at: Instant,
}

/// Reads what the other server serves.
pub async fn fetch(core: &Core, remote: &Remote) -> Result<(), String> {
    let resources = match look(core, remote, "/apis", AGGREGATED).await {
        Ok(answer) if is_aggregated(&answer.headers) => {
            let document: Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
            of_aggregated(&document, &remote.group, &remote.version)
        }
        _ => None,
    };
    let resources = match resources {
        Some(resources) => resources,
        None => {
            let path = format!("/apis/{}/{}", remote.group, remote.version);
            let answer = look(core, remote, &path, "application/json").await?;
            of_list(&serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?)
        }
    };
    let index = look(core, remote, "/openapi/v3", "application/json").await.ok();
    let index = index.and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok());
    let path = format!("apis/{}/{}", remote.group, remote.version);
    let openapi = index.and_then(|index| {
        let url = meta::text_at(&index, &["paths", &path, "serverRelativeURL"]).to_owned();
        (!url.is_empty()).then_some(url)
    });
    let resources = resources.into_iter().take(MOST_RESOURCES).collect();
    let swagger = match swagger(core, remote).await {
        Ok(part) => part,
        Err(why) => {
            // What was known of it holds until it says something else that can be read.
            tracing::warn!(api = remote.name, why, "/openapi/v2 of an aggregated API is not published");
            remote.found().map(|found| found.swagger.clone()).unwrap_or_default()
        }
    };
    remote.set_found(Found { resources, openapi, swagger, at: Instant::now() });
    Ok(())
}

/// What the other server says in OpenAPI version 2; nothing if it has none.
async fn swagger(core: &Core, remote: &Remote) -> Result<Bytes, String> {
    let document = match read(core, remote, "/openapi/v2", "application/json", MOST_SWAGGER).await {
        Ok(answer) => answer.body,
        Err(LookFault::Status { code: 404, .. }) => return Ok(Bytes::new()),
        Err(fault) => return Err(fault.to_string()),
    };
    let (group, version) = (remote.group.clone(), remote.version.clone());
    // A document of some megabytes keeps a small device busy for a while.
    let part = tokio::task::spawn_blocking(move || openapi::part(&document, &group, &version));
    match part.await.map_err(|e| e.to_string())? {
        Ok(part) => Ok(part.into()),
        Err(fault) => Err(match std::error::Error::source(&fault) {
            Some(source) => format!("{fault}: {source}"),
            None => fault.to_string(),
        }),
    }
}

/// What others say in OpenAPI version 2, the first of the groups first.
pub fn swaggers(remotes: &[Arc<Remote>]) -> Vec<Bytes> {
    let mut remotes: Vec<&Arc<Remote>> = ordered(remotes);
    remotes.sort_by(|a, b| b.group_priority.cmp(&a.group_priority).then_with(|| a.group.cmp(&b.group)));
    let parts = remotes.into_iter().filter_map(|remote| Some(remote.found()?.swagger.clone()));
    parts.filter(|part| !part.is_empty()).collect()
}

/// Has documents read again that are old, beside the request that asks for them.
pub fn refresh(core: &Arc<Core>) {
    for remote in core.aggregator.all() {
        let old = remote.found().is_none_or(|found| found.at.elapsed() > FRESH_FOR);
        if !remote.is_available() || !old || remote.refreshing.swap(true, Ordering::AcqRel) {
            continue;
        }
        let core_of = core.clone();
        core.tasks.spawn(async move {
            tokio::select! {
                outcome = fetch(&core_of, &remote) => if let Err(why) = outcome {
                    tracing::info!(api = remote.name, why, "discovery of an aggregated API cannot be read");
                    core_of.aggregator.doubt.notify_one();
                },
                () = core_of.stop.cancelled() => {}
            }
            remote.refreshing.store(false, Ordering::Release);
        });
    }
}

fn is_aggregated(headers: &http::HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    kind.contains("as=APIGroupDiscoveryList") && kind.contains("g=apidiscovery.k8s.io")
}

/// The resources of a group version in an aggregated document.
pub(crate) fn of_aggregated(document: &Value, group: &str, version: &str) -> Option<Vec<Value>> {
    let groups = meta::list_at(document, &["items"]);
    let group = groups.iter().find(|g| meta::text_at(g, &["metadata", "name"]) == group)?;
    let version = meta::list_at(group, &["versions"]).iter().find(|v| meta::text(v, "version") == version)?;
    Some(meta::list_at(version, &["resources"]).to_vec())
}

/// The resources of a plain list, in the aggregated form.
pub(crate) fn of_list(list: &Value) -> Vec<Value> {
    let rows = meta::list_at(list, &["resources"]);
    let kind = |row: &Value| json!({"group": meta::text(row, "group"), "version": meta::text(row, "version"), "kind": meta::text(row, "kind")});
    let mut resources: Vec<Value> = Vec::new();
    for row in rows.iter().filter(|row| !meta::text(row, "name").contains('/')) {
        let name = meta::text(row, "name");
        let mut resource = json!({
            "resource": name,
            "responseKind": kind(row),
            "scope": if meta::bool_at(row, &["namespaced"]) { "Namespaced" } else { "Cluster" },
            "singularResource": meta::text(row, "singularName"),
            "verbs": meta::list_at(row, &["verbs"]),
        });
        for key in ["shortNames", "categories"] {
            if let Some(words) = row.get(key) {
                resource[key] = words.clone();
            }
        }
        let below: Vec<Value> = rows
            .iter()
            .filter_map(|sub| {
                let (of, sub_name) = meta::text(sub, "name").split_once('/')?;
                let verbs = meta::list_at(sub, &["verbs"]);
                (of == name).then(|| json!({"subresource": sub_name, "responseKind": kind(sub), "verbs": verbs}))
            })
            .collect();
        if !below.is_empty() {
            resource["subresources"] = Value::Array(below);
        }
        resources.push(resource);
    }
    resources
}

/// Adds what others serve to the aggregated document of `/apis`.
pub fn add_to_aggregated(document: &mut Value, kinds: &Kinds, remotes: &[Arc<Remote>]) {
    let Some(items) = document.get_mut("items").and_then(Value::as_array_mut) else { return };
    let name = |item: &Value| meta::text_at(item, &["metadata", "name"]).to_owned();
    for remote in ordered(remotes) {
        let found = remote.found();
        let version = json!({
            "version": remote.version,
            "resources": found.map(|found| found.resources.clone()).unwrap_or_default(),
            "freshness": if remote.is_available() { "Current" } else { "Stale" },
        });
        let at = place(items, name, kinds, remotes, remote);
        match at {
            Ok(at) => add_version(&mut items[at], version),
            Err(at) => items.insert(at, json!({"metadata": {"name": remote.group}, "versions": [version]})),
        }
    }
}

/// Adds what others serve to the list of `/apis`.
pub fn add_to_groups(document: &mut Value, kinds: &Kinds, remotes: &[Arc<Remote>]) {
    let Some(groups) = document.get_mut("groups").and_then(Value::as_array_mut) else { return };
    let name = |group: &Value| meta::text(group, "name").to_owned();
    for remote in ordered(remotes) {
        match place(groups, name, kinds, remotes, remote) {
            Ok(at) => add_version(&mut groups[at], row(remote)),
            Err(at) => groups.insert(at, group_of(remote)),
        }
    }
}

/// `/apis/<group>` with what others serve of it.
pub fn group(own: Option<Value>, name: &str, remotes: &[Arc<Remote>]) -> Option<Value> {
    let mut document = own;
    for remote in ordered(remotes).into_iter().filter(|remote| remote.group == name) {
        match &mut document {
            Some(group) => add_version(group, row(remote)),
            None => {
                let mut group = group_of(remote);
                group["kind"] = json!("APIGroup");
                group["apiVersion"] = json!("v1");
                document = Some(group);
            }
        }
    }
    document
}

/// Adds the documents of others to the index of `/openapi/v3`.
pub fn add_to_index(index: &mut Value, remotes: &[Arc<Remote>]) {
    for remote in remotes {
        if let Some(url) = remote.found().and_then(|found| found.openapi.clone()) {
            index["paths"][format!("apis/{}/{}", remote.group, remote.version)] = json!({"serverRelativeURL": url});
        }
    }
}

fn row(remote: &Remote) -> Value {
    json!({"groupVersion": join_api_version(&remote.group, &remote.version), "version": remote.version})
}

fn group_of(remote: &Remote) -> Value {
    json!({"name": remote.group, "preferredVersion": row(remote), "versions": [row(remote)]})
}

/// Another version goes behind the ones that are there; one that is there already is replaced.
fn add_version(group: &mut Value, version: Value) {
    let Some(versions) = group.get_mut("versions").and_then(Value::as_array_mut) else { return };
    match versions.iter_mut().find(|v| v["version"] == version["version"]) {
        Some(there) => *there = version,
        None => versions.push(version),
    }
}

/// The best version of each group first.
fn ordered(remotes: &[Arc<Remote>]) -> Vec<&Arc<Remote>> {
    let mut ordered: Vec<_> = remotes.iter().filter(|remote| !remote.group.is_empty()).collect();
    ordered.sort_by(|a, b| {
        b.version_priority
            .cmp(&a.version_priority)
            .then_with(|| version_rank(&a.version).cmp(&version_rank(&b.version)))
            .then_with(|| a.group.cmp(&b.group))
    });
    ordered
}

/// Where a group is, or where it is to be put.
fn place(
    list: &[Value],
    name: impl Fn(&Value) -> String,
    kinds: &Kinds,
    remotes: &[Arc<Remote>],
    remote: &Remote,
) -> Result<usize, usize> {
    if let Some(at) = list.iter().position(|item| name(item) == remote.group) {
        return Ok(at);
    }
    let priority = |group: &str| match remotes.iter().filter(|r| r.group == group).map(|r| r.group_priority).max() {
        Some(priority) => priority,
        None if is_custom(kinds, group) => table::CUSTOM.0,
        None => table::group_priority(group),
    };
    let own = priority(&remote.group);
    let before = |item: &Value| {
        let other = name(item);
        let theirs = priority(&other);
        theirs > own || theirs == own && other < remote.group
    };
    Err(list.iter().rposition(before).map_or(0, |at| at + 1))
}

fn is_custom(kinds: &Kinds, group: &str) -> bool {
    kinds.iter().any(|kind| kind.group == group && kind.custom && kind.is_kept())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(group: &str, version: &str, priorities: (i64, i64)) -> Arc<Remote> {
        let object = json!({"metadata": {"name": format!("{version}.{group}")}, "spec": {"group": group, "version": version,
            "groupPriorityMinimum": priorities.0, "versionPriority": priorities.1,
            "service": {"namespace": "ns", "name": "api"}}});
        Arc::new(Remote::read(&object).unwrap())
    }

    #[test]
    fn groups_stand_where_their_priority_puts_them() {
        let kinds = Kinds::builtin();
        let remotes = [
            remote("last.example.com", "v1", (100, 1)),
            remote("first.example.com", "v1alpha1", (19000, 1)),
            remote("first.example.com", "v1", (19000, 2)),
            remote("apps", "v9", (1, 1)),
        ];
        let mut document = kedge_api::discovery::groups(&kinds);
        add_to_groups(&mut document, &kinds, &remotes);
        let groups = document["groups"].as_array().unwrap();
        assert_eq!(
            (&groups[0]["name"], &groups[0]["preferredVersion"]["version"]),
            (&json!("first.example.com"), &json!("v1"))
        );
        assert_eq!(groups[0]["versions"][1]["version"], "v1alpha1");
        assert_eq!(groups.last().unwrap()["name"], "last.example.com");
        let apps = groups.iter().find(|g| g["name"] == "apps").unwrap();
        assert_eq!(
            (&apps["preferredVersion"]["version"], &apps["versions"][1]["version"]),
            (&json!("v1"), &json!("v9"))
        );
        let mut document = kedge_api::discovery::aggregated(&kinds, false);
        add_to_aggregated(&mut document, &kinds, &remotes);
        assert_eq!(
            document["items"][0]["versions"][0],
            json!({"version": "v1", "resources": [], "freshness": "Stale"})
        );
        assert_eq!(group(None, "last.example.com", &remotes).unwrap()["kind"], "APIGroup");
        assert_eq!(group(None, "none", &remotes), None);
    }

    #[test]
    fn a_plain_list_becomes_the_aggregated_form() {
        let list = json!({"resources": [
            {"name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder", "verbs": ["get"], "shortNames": ["fl"]},
            {"name": "flunders/status", "singularName": "", "namespaced": true, "kind": "Flunder", "verbs": ["update"]},
        ]});
        let kind = json!({"group": "", "version": "", "kind": "Flunder"});
        assert_eq!(
            of_list(&list),
            [
                json!({"resource": "flunders", "singularResource": "flunder", "scope": "Namespaced", "responseKind": kind,
                "verbs": ["get"], "shortNames": ["fl"],
                "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["update"]}]})
            ]
        );
    }
}
