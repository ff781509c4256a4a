//! `api-resources`, `api-versions` and `cluster-info`: what the server serves, and where it is.
//!
//! In: the server's discovery. Out: tables and lines. Never asks for a single object but for the cluster's own services.

use std::process::ExitCode;

use kedge_client::{ListOptions, ResourcePath};
use serde_json::Value;

use crate::args::ApiResources;
use crate::error::Failure;
use crate::output::columns;
use crate::resource::Resource;
use crate::session::Session;

/// Runs `api-resources`.
pub async fn resources(session: Session, args: ApiResources) -> Result<ExitCode, Failure> {
    if let Some(other) = args.output.as_deref().filter(|o| !matches!(*o, "" | "wide" | "name")) {
        return Err(Failure::said(format!("--output {other} is not available")));
    }
    if let Some(other) = args.sort_by.as_deref().filter(|o| !matches!(*o, "" | "name" | "kind")) {
        return Err(Failure::said(format!("--sort-by accepts only name or kind, not {other}")));
    }
    let catalogue = session.catalogue().await?;
    let mut chosen: Vec<&Resource> = catalogue.preferred().filter(|resource| wanted(resource, &args)).collect();
    sort(&mut chosen, args.sort_by.as_deref());
    print!("{}", table(&chosen, args.output.as_deref(), !args.no_headers));
    Ok(ExitCode::SUCCESS)
}

/// Whether the flags choose a resource. What can't be worked with in any way is never shown.
fn wanted(resource: &Resource, args: &ApiResources) -> bool {
    !resource.verbs.is_empty()
        && args.namespaced.is_none_or(|namespaced| namespaced == resource.namespaced)
        && args.api_group.as_ref().is_none_or(|group| *group == resource.group)
        && args.verbs.iter().all(|verb| resource.verbs.contains(verb))
        && args.categories.iter().all(|category| resource.categories.contains(category))
}

fn sort(resources: &mut [&Resource], by: Option<&str>) {
    match by {
        Some("name") => resources.sort_by(|a, b| a.plural.cmp(&b.plural)),
        Some("kind") => resources.sort_by(|a, b| a.kind.cmp(&b.kind)),
        _ => resources.sort_by(|a, b| (&a.group, &a.plural).cmp(&(&b.group, &b.plural))),
    }
}

fn table(resources: &[&Resource], output: Option<&str>, with_head: bool) -> String {
    if output == Some("name") {
        let full = |r: &&Resource| match r.group.as_str() {
            "" => format!("{}\n", r.plural),
            group => format!("{}.{group}\n", r.plural),
        };
        return resources.iter().map(full).collect();
    }
    let wide = output == Some("wide");
    let mut rows = Vec::new();
    if with_head {
        let mut head = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"].map(str::to_owned).to_vec();
        if wide {
            head.extend(["VERBS", "CATEGORIES"].map(str::to_owned));
        }
        rows.push(head);
    }
    for resource in resources {
        let mut row = vec![
            resource.plural.clone(),
            resource.short_names.join(","),
            resource.api_version(),
            resource.namespaced.to_string(),
            resource.kind.clone(),
        ];
        if wide {
            row.extend([resource.verbs.join(","), resource.categories.join(",")]);
        }
        rows.push(row);
    }
    columns(&rows)
}

/// Runs `api-versions`.
pub async fn versions(session: Session) -> Result<ExitCode, Failure> {
    let catalogue = session.catalogue().await?;
    let versions: std::collections::BTreeSet<String> = catalogue.every().map(Resource::api_version).collect();
    versions.iter().for_each(|version| println!("{version}"));
    Ok(ExitCode::SUCCESS)
}

/// Runs `cluster-info`.
pub async fn cluster_info(session: Session) -> Result<ExitCode, Failure> {
    let path = ResourcePath::core("services").namespace("kube-system");
    let labels = Some("kubernetes.io/cluster-service=true".to_owned());
    let services = session.client.list(&path, &ListOptions { labels, ..ListOptions::default() }).await?;
    let url = session.url.trim_end_matches('/');
    println!("Kubernetes control plane is running at {url}");
    for service in services["items"].as_array().into_iter().flatten() {
        let (name, place) = whereabouts(service, url);
        println!("{name} is running at {place}");
    }
    println!("\nTo further debug and diagnose cluster problems, use 'edgectl cluster-info dump'.");
    Ok(ExitCode::SUCCESS)
}

/// A service's name, and where it is reached: by its load balancer, else through the API.
fn whereabouts(service: &Value, url: &str) -> (String, String) {
    let meta = &service["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let name = text(&meta["name"]);
    let shown = meta["labels"]["kubernetes.io/name"].as_str().map_or_else(|| name.clone(), str::to_owned);
    let balancer = &service["status"]["loadBalancer"]["ingress"][0];
    let ports = service["spec"]["ports"].as_array().cloned().unwrap_or_default();
    if let Some(host) = balancer["ip"].as_str().or(balancer["hostname"].as_str()) {
        let places: Vec<String> = ports.iter().map(|port| format!("http://{host}:{}", port["port"])).collect();
        return (shown, places.join(" "));
    }
    let port = ports.first().unwrap_or(&Value::Null);
    let scheme = if port["port"] == 443 || text(&port["name"]) == "https" { "https:" } else { "" };
    let end = match (scheme, text(&port["name"])) {
        (_, named) if !named.is_empty() => format!(":{named}"),
        ("", _) => String::new(),
        _ => ":".to_owned(),
    };
    let namespace = text(&meta["namespace"]);
    (shown, format!("{url}/api/v1/namespaces/{namespace}/services/{scheme}{name}{end}/proxy"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn all() -> Vec<Resource> {
        let one = |group: &str, plural: &str, kind: &str, namespaced: bool, verbs: &[&str]| Resource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            namespaced,
            verbs: verbs.iter().map(|v| (*v).to_owned()).collect(),
            ..Resource::default()
        };
        vec![
            one("apps", "deployments", "Deployment", true, &["get", "list"]),
            one("", "pods", "Pod", true, &["get", "list"]),
            one("", "bindings", "Binding", true, &["create"]),
            one("", "nodes", "Node", false, &["get", "list"]),
            one("x", "nothings", "Nothing", true, &[]),
        ]
    }

    #[track_caller]
    fn check(args: ApiResources, expected: &str) {
        let mut all = all();
        all[1].categories = vec!["all".to_owned()];
        let mut chosen: Vec<&Resource> = all.iter().filter(|r| wanted(r, &args)).collect();
        sort(&mut chosen, args.sort_by.as_deref());
        assert_eq!(table(&chosen, args.output.as_deref(), !args.no_headers), expected);
    }

    #[test]
    fn resources_are_chosen_and_sorted() {
        let names = || ApiResources { output: Some("name".to_owned()), ..ApiResources::default() };
        check(names(), "bindings\nnodes\npods\ndeployments.apps\n");
        check(ApiResources { namespaced: Some(false), ..names() }, "nodes\n");
        check(
            ApiResources { namespaced: Some(true), verbs: vec!["list".to_owned()], ..names() },
            "pods\ndeployments.apps\n",
        );
        check(ApiResources { api_group: Some(String::new()), ..names() }, "bindings\nnodes\npods\n");
        check(ApiResources { categories: vec!["all".to_owned()], ..names() }, "pods\n");
        check(
            ApiResources { sort_by: Some("kind".to_owned()), ..names() },
            "bindings\ndeployments.apps\nnodes\npods\n",
        );
    }

    #[test]
    fn the_table_is_kubectls() {
        let apps = ApiResources { api_group: Some("apps".to_owned()), ..ApiResources::default() };
        check(
            apps,
            "NAME          SHORTNAMES   APIVERSION   NAMESPACED   KIND\ndeployments                apps/v1      true         Deployment\n",
        );
        let wide = ApiResources {
            api_group: Some("apps".to_owned()),
            output: Some("wide".to_owned()),
            no_headers: true,
            ..ApiResources::default()
        };
        check(wide, "deployments         apps/v1   true   Deployment   get,list\n");
    }

    #[test]
    fn services_are_reached_by_balancer_or_through_the_api() {
        let service = |ports: Value, ingress: Value| {
            json!({"metadata": {"name": "dns", "namespace": "kube-system", "labels": {"kubernetes.io/name": "CoreDNS"}},
                "spec": {"ports": ports}, "status": {"loadBalancer": {"ingress": ingress}}})
        };
        let base = "https://h:1/api/v1/namespaces/kube-system/services";
        for (service, place) in [
            (service(json!([{"port": 53, "name": "dns"}]), json!([])), format!("{base}/dns:dns/proxy")),
            (service(json!([{"port": 80}]), json!([])), format!("{base}/dns/proxy")),
            (service(json!([{"port": 443}]), json!([])), format!("{base}/https:dns:/proxy")),
            (service(json!([{"port": 80}]), json!([{"ip": "10.0.0.1"}])), "http://10.0.0.1:80".to_owned()),
        ] {
            assert_eq!(whereabouts(&service, "https://h:1"), ("CoreDNS".to_owned(), place));
        }
    }
}
