//! `top`: what nodes and pods use, where the server has the metrics API.
//!
//! In: names or a selector. Out: a table. Never measures anything itself: where nobody serves metrics it says so.

use std::process::ExitCode;

use kedge_api::quantity::Quantity;
use kedge_client::{ListOptions, ResourcePath};
use serde_json::Value;

use crate::args::{Top, TopWhat};
use crate::error::Failure;
use crate::output::columns;
use crate::session::Session;

/// Runs the verb.
pub async fn run(session: Session, args: Top) -> Result<ExitCode, Failure> {
    let metrics = |plural: &str| ResourcePath::new("metrics.k8s.io", "v1beta1", plural);
    let text = match args.what {
        TopWhat::Node { name, selector, no_headers } => {
            let found = ask(&session, metrics("nodes"), name, selector).await?;
            let nodes = session.client.list(&ResourcePath::core("nodes"), &ListOptions::default()).await?;
            columns(&nodes_table(&found, &nodes, !no_headers))
        }
        TopWhat::Pod { name, selector, all_namespaces, no_headers } => {
            let path = metrics("pods");
            let path = if all_namespaces { path } else { path.namespace(&*session.namespace) };
            let found = ask(&session, path, name, selector).await?;
            columns(&pods_table(&found, all_namespaces, !no_headers))
        }
    };
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

async fn ask(
    session: &Session,
    path: ResourcePath,
    name: Option<String>,
    labels: Option<String>,
) -> Result<Vec<Value>, Failure> {
    // Asked of discovery, for a name that is not there is no sign of a missing API.
    if !session.catalogue().await?.every().any(|resource| resource.group == "metrics.k8s.io") {
        return Err(Failure::said(
            "Metrics API not available: nothing here serves metrics.k8s.io. What a node measures is at edgectl get --raw /api/v1/nodes/NODE/proxy/metrics/resource",
        ));
    }
    if let Some(name) = name {
        return Ok(vec![session.client.get(&path.name(name)).await?]);
    }
    let list = session.client.list(&path, &ListOptions { labels, ..ListOptions::default() }).await?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

fn amount(value: &Value) -> Quantity {
    Quantity::from_json(value).unwrap_or(Quantity::ZERO)
}

fn cpu(amount: &Quantity) -> String {
    format!("{}m", amount.milli_value())
}

fn memory(amount: &Quantity) -> String {
    format!("{}Mi", amount.value() >> 20)
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn nodes_table(found: &[Value], nodes: &Value, with_head: bool) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    if with_head {
        rows.push(row(&["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]));
    }
    for one in found {
        let name = &one["metadata"]["name"];
        let node = nodes["items"].as_array().into_iter().flatten().find(|node| node["metadata"]["name"] == *name);
        let share = |resource: &str, used: &Quantity| {
            let all = node.map_or(Quantity::ZERO, |node| amount(&node["status"]["allocatable"][resource]));
            if all.is_zero() {
                "<unknown>".to_owned()
            } else {
                format!("{:.0}%", (used.as_f64() / all.as_f64() * 100.0).floor())
            }
        };
        let (cores, bytes) = (amount(&one["usage"]["cpu"]), amount(&one["usage"]["memory"]));
        rows.push(vec![
            name.as_str().unwrap_or("").to_owned(),
            cpu(&cores),
            share("cpu", &cores),
            memory(&bytes),
            share("memory", &bytes),
        ]);
    }
    rows
}

fn pods_table(found: &[Value], with_namespace: bool, with_head: bool) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    if with_head {
        rows.push(row(&["NAME", "CPU(cores)", "MEMORY(bytes)"]));
    }
    for pod in found {
        let sum = |resource: &str| {
            let containers = pod["containers"].as_array().into_iter().flatten();
            containers.fold(Quantity::ZERO, |sum, one| sum.add(&amount(&one["usage"][resource])))
        };
        rows.push(row(&[pod["metadata"]["name"].as_str().unwrap_or(""), &cpu(&sum("cpu")), &memory(&sum("memory"))]));
    }
    if with_namespace {
        let namespaces = found.iter().map(|pod| pod["metadata"]["namespace"].as_str().unwrap_or(""));
        let head = with_head.then_some("NAMESPACE");
        for (row, namespace) in rows.iter_mut().zip(head.into_iter().chain(namespaces)) {
            row.insert(0, namespace.to_owned());
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::args::{Verb, read};

    #[test]
    fn what_is_used_is_told_with_its_share() {
        let used = json!({"cpu": "250m", "memory": "512Mi"});
        let nodes =
            json!({"items": [{"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}}]});
        let rows = nodes_table(&[json!({"metadata": {"name": "n"}, "usage": used})], &nodes, false);
        assert_eq!(rows, [["n", "250m", "12%", "512Mi", "50%"]]);
        let pod =
            json!({"metadata": {"name": "p", "namespace": "a"}, "containers": [{"usage": used}, {"usage": used}]});
        assert_eq!(
            pods_table(&[pod], true, true),
            [["NAMESPACE", "NAME", "CPU(cores)", "MEMORY(bytes)"], ["a", "p", "500m", "1024Mi"],]
        );
    }

    #[tokio::test]
    async fn where_nobody_measures_it_is_said() {
        let (session, _) = crate::fake::session(|_| (200, json!({})));
        let Verb::Top(args) = read("edgectl top pods").unwrap().verb else { panic!() };
        let said = run(session, args).await.unwrap_err().to_string();
        assert!(said.starts_with("Metrics API not available"), "{said}");
    }
}
