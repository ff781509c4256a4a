//! `top`: what nodes and pods use, where the server has the metrics API.
//!
//! In: names or a selector. Out: a table. Never measures anything itself: where nobody serves metrics it says so.

use std::process::ExitCode;

use kedge_api::quantity::Quantity;
use kedge_client::{ListOptions, ResourcePath};
use serde_json::Value;

use crate::args::{Top, TopOrder, TopWhat};
use crate::error::Failure;
use crate::output::columns;
use crate::session::Session;

/// What nobody measured.
const UNKNOWN: &str = "<unknown>";
/// What stands above a sum.
const LINE: &str = "________";

/// Runs the verb.
pub async fn run(session: Session, args: Top) -> Result<ExitCode, Failure> {
    let metrics = |plural: &str| ResourcePath::new("metrics.k8s.io", "v1beta1", plural);
    let text = match args.what {
        TopWhat::Node { name, selector, sort_by, show_capacity, no_headers, .. } => {
            let mut found = ask(&session, metrics("nodes"), name.as_deref(), selector.clone(), None).await?;
            if found.is_empty() {
                return Err(Failure::said("metrics not available yet"));
            }
            let options = ListOptions { labels: selector, ..ListOptions::default() };
            let nodes = session.client.list(&ResourcePath::core("nodes"), &options).await?;
            sort(&mut found, sort_by, false);
            let mut rows = nodes_table(&found, &nodes, show_capacity, !no_headers);
            if name.is_none() {
                rows.extend(unmeasured(&found, &nodes));
            }
            columns(&rows)
        }
        TopWhat::Pod {
            name,
            selector,
            field_selector,
            all_namespaces,
            containers,
            sort_by,
            sum,
            no_headers,
            use_protocol_buffers: _,
        } => {
            let path = metrics("pods");
            let path = if all_namespaces { path } else { path.namespace(&*session.namespace) };
            if all_namespaces && name.is_some() {
                return Err(Failure::said("a resource cannot be retrieved by name across all namespaces"));
            }
            let mut found = ask(&session, path, name.as_deref(), selector, field_selector).await?;
            if found.is_empty() {
                match all_namespaces {
                    true => eprintln!("No resources found"),
                    false => eprintln!("No resources found in {} namespace.", session.namespace),
                }
                return Ok(ExitCode::SUCCESS);
            }
            sort(&mut found, sort_by, all_namespaces);
            let wanted = Pods { with_namespace: all_namespaces, containers, sort_by, sum, with_head: !no_headers };
            columns(&pods_table(&found, &wanted))
        }
    };
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

async fn ask(
    session: &Session,
    path: ResourcePath,
    name: Option<&str>,
    labels: Option<String>,
    fields: Option<String>,
) -> Result<Vec<Value>, Failure> {
    // Asked of discovery, for a name that is not there is no sign of a missing API.
    if !session.catalogue().await?.every().any(|resource| resource.group == "metrics.k8s.io") {
        return Err(Failure::said(
            "Metrics API not available: nothing here serves metrics.k8s.io. What a node measures is at edgectl get --raw /api/v1/nodes/NODE/proxy/metrics/resource",
        ));
    }
    match name {
        Some("") => return Err(Failure::said("resource name may not be empty")),
        Some(name) => return Ok(vec![session.client.get(&path.name(name)).await?]),
        None => {}
    }
    let list = session.client.list(&path, &ListOptions { labels, fields, ..ListOptions::default() }).await?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// How pods are shown.
struct Pods {
    with_namespace: bool,
    containers: bool,
    sort_by: Option<TopOrder>,
    sum: bool,
    with_head: bool,
}

/// What an object uses, all of its containers together.
fn used(object: &Value, resource: &str) -> Quantity {
    let own = object["usage"].get(resource).map(amount);
    let containers = object["containers"].as_array().into_iter().flatten();
    own.unwrap_or_else(|| containers.fold(Quantity::ZERO, |sum, one| sum.add(&amount(&one["usage"][resource]))))
}

/// By what is used, the most first; else by name.
fn sort(found: &mut [Value], by: Option<TopOrder>, with_namespace: bool) {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    found.sort_by_cached_key(|one| {
        let meta = &one["metadata"];
        let name = if meta.is_object() { text(&meta["name"]) } else { text(&one["name"]) };
        (if with_namespace { text(&meta["namespace"]) } else { String::new() }, name)
    });
    let resource = match by {
        None => return,
        Some(TopOrder::Cpu) => "cpu",
        Some(TopOrder::Memory) => "memory",
    };
    found.sort_by_cached_key(|one| std::cmp::Reverse(used(one, resource)));
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

fn nodes_table(found: &[Value], nodes: &Value, of_capacity: bool, with_head: bool) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    if with_head {
        rows.push(row(&["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]));
    }
    let whole = if of_capacity { "capacity" } else { "allocatable" };
    for one in found {
        let name = &one["metadata"]["name"];
        let node = nodes["items"].as_array().into_iter().flatten().find(|node| node["metadata"]["name"] == *name);
        let share = |resource: &str, used: &Quantity| {
            let all = node.map_or(Quantity::ZERO, |node| amount(&node["status"][whole][resource]));
            if all.is_zero() {
                UNKNOWN.to_owned()
            } else {
                format!("{:.0}%", (used.as_f64() / all.as_f64() * 100.0).floor())
            }
        };
        let (cores, bytes) = (used(one, "cpu"), used(one, "memory"));
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

/// Nodes of which nothing is known.
fn unmeasured(found: &[Value], nodes: &Value) -> Vec<Vec<String>> {
    let names = nodes["items"].as_array().into_iter().flatten().map(|node| &node["metadata"]["name"]);
    let missing = names.filter(|name| !found.iter().any(|one| one["metadata"]["name"] == **name));
    missing.map(|name| row(&[name.as_str().unwrap_or(""), UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN])).collect()
}

fn pods_table(found: &[Value], wanted: &Pods) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let before = usize::from(wanted.with_namespace) + usize::from(wanted.containers);
    if wanted.with_head {
        let mut head = row(&["NAME", "CPU(cores)", "MEMORY(bytes)"]);
        if wanted.containers {
            head.insert(0, "POD".to_owned());
        }
        if wanted.with_namespace {
            head.insert(0, "NAMESPACE".to_owned());
        }
        rows.push(head);
    }
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    for pod in found {
        let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
        let usage = |one: &Value| [cpu(&used(one, "cpu")), memory(&used(one, "memory"))];
        let mut own = Vec::new();
        if wanted.containers {
            let mut containers = pod["containers"].as_array().cloned().unwrap_or_default();
            sort(&mut containers, wanted.sort_by, false);
            for one in &containers {
                own.push([vec![name.clone(), text(&one["name"])], usage(one).to_vec()].concat());
            }
        } else {
            own.push([vec![name], usage(pod).to_vec()].concat());
        }
        if wanted.with_namespace {
            own.iter_mut().for_each(|cells| cells.insert(0, namespace.clone()));
        }
        rows.append(&mut own);
    }
    if wanted.sum {
        let all = |resource: &str| found.iter().fold(Quantity::ZERO, |sum, pod| sum.add(&used(pod, resource)));
        let blank = vec![String::new(); before + 1];
        rows.push([blank.clone(), row(&[LINE, LINE])].concat());
        rows.push([blank, vec![cpu(&all("cpu")), memory(&all("memory"))]].concat());
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
        let nodes = json!({"items": [{"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}, "capacity": {"cpu": "1", "memory": "2Gi"}}}]});
        let measured = [json!({"metadata": {"name": "n"}, "usage": used})];
        assert_eq!(nodes_table(&measured, &nodes, false, false), [["n", "250m", "12%", "512Mi", "50%"]]);
        assert_eq!(nodes_table(&measured, &nodes, true, false), [["n", "250m", "25%", "512Mi", "25%"]]);
        let more = json!({"items": [{"metadata": {"name": "n"}}, {"metadata": {"name": "m"}}, 7]});
        assert_eq!(unmeasured(&measured, &more)[0], ["m", "<unknown>", "<unknown>", "<unknown>", "<unknown>"]);
    }

    fn pods() -> Vec<Value> {
        let container =
            |name: &str, cpu: &str, memory: &str| json!({"name": name, "usage": {"cpu": cpu, "memory": memory}});
        let pod = |namespace: &str, name: &str, containers: Value| json!({"metadata": {"name": name, "namespace": namespace}, "containers": containers});
        vec![
            pod("b", "p", json!([container("x", "100m", "1Gi"), container("w", "200m", "1Mi")])),
            pod("a", "q", json!([container("c", "1", "2Mi")])),
        ]
    }

    #[test]
    fn pods_are_sorted_summed_and_taken_apart() {
        let wanted = |with_namespace, containers, sort_by, sum| Pods {
            with_namespace,
            containers,
            sort_by,
            sum,
            with_head: true,
        };
        let (cpu, memory) = (Some(TopOrder::Cpu), Some(TopOrder::Memory));
        for (wanted, expected) in [
            (wanted(false, false, None, false), "NAME CPU(cores) MEMORY(bytes)|p 300m 1025Mi|q 1000m 2Mi"),
            (wanted(false, false, cpu, false), "NAME CPU(cores) MEMORY(bytes)|q 1000m 2Mi|p 300m 1025Mi"),
            (
                wanted(true, false, None, true),
                "NAMESPACE NAME CPU(cores) MEMORY(bytes)|a q 1000m 2Mi|b p 300m 1025Mi|  ________ ________|  1300m 1027Mi",
            ),
            (
                wanted(false, true, memory, true),
                "POD NAME CPU(cores) MEMORY(bytes)|p x 100m 1024Mi|p w 200m 1Mi|q c 1000m 2Mi|  ________ ________|  1300m 1027Mi",
            ),
            (
                wanted(true, true, cpu, false),
                "NAMESPACE POD NAME CPU(cores) MEMORY(bytes)|a q c 1000m 2Mi|b p w 200m 1Mi|b p x 100m 1024Mi",
            ),
        ] {
            let mut found = pods();
            sort(&mut found, wanted.sort_by, wanted.with_namespace);
            let rows = pods_table(&found, &wanted);
            let shown = rows.iter().map(|cells| cells.join(" ")).collect::<Vec<_>>().join("|");
            assert_eq!(shown, expected);
        }
        assert_eq!(pods_table(&pods(), &Pods { with_head: false, ..wanted(false, false, None, false) }).len(), 2);
    }

    #[tokio::test]
    async fn where_nobody_measures_it_is_said() {
        let (session, _) = crate::fake::session(|_| (200, json!({})));
        let Verb::Top(args) = read("edgectl top pods").unwrap().verb else { panic!() };
        let said = run(session, args).await.unwrap_err().to_string();
        assert!(said.starts_with("Metrics API not available"), "{said}");
    }
}
