//! `describe`: an object for reading, with its events.
//!
//! In: objects. Out: kubectl's layout for the kinds it has one for; every other kind field by field. Never shows a
//! secret's value.

mod access;
mod batch;
mod containers;
mod kinds;
mod page;
mod policy;
mod request;
mod traffic;
mod volumes;

use std::process::ExitCode;
use std::time::SystemTime;

use kedge_client::{ListOptions, ResourcePath};
use serde_json::{Value, json};

use crate::args::Describe;
use crate::error::Failure;
use crate::events::{interval, seen};
use crate::label::targets;
use crate::output::columns;
use crate::session::Session;
use page::Page;

pub use kinds::pod_template;

/// Runs the verb.
pub async fn run(session: Session, args: Describe) -> Result<ExitCode, Failure> {
    let mut session = session;
    if args.all_namespaces {
        session.namespace = String::new();
    }
    let chosen = targets(&session, &args.which, &args.files, true).await?;
    if chosen.is_empty() {
        eprintln!("No resources found in {} namespace.", session.namespace);
    }
    let mut failed = false;
    for (i, (resource, namespace, name)) in chosen.iter().enumerate() {
        match session.client.get(&resource.path(namespace.as_deref()).name(&**name)).await {
            Ok(object) => {
                if i > 0 {
                    println!("\n");
                }
                let mut page = Page::default();
                let related = related(&session, &resource.kind, &object).await;
                kinds::describe(&resource.kind, &object, &related, &mut page);
                if resource.kind == "Node" {
                    let options =
                        ListOptions { fields: Some(format!("spec.nodeName={name}")), ..ListOptions::default() };
                    let pods = session.client.list(&ResourcePath::core("pods"), &options).await?;
                    kinds::node_pods(&object, &pods, SystemTime::now(), &mut page);
                }
                print!("{}", page.text());
                if args.show_events && !kinds::WITHOUT_EVENTS.contains(&resource.kind.as_str()) {
                    print!("{}", events(&session, &object).await?);
                }
            }
            Err(e) => {
                failed = true;
                eprint!("{}", Failure::Api(e).words());
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What a page shows of other objects: a node's lease, what stands behind services. Who may not read those still sees
/// the page.
async fn related(session: &Session, kind: &str, object: &Value) -> Value {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or("").to_owned();
    if kind == "Node" {
        let path = ResourcePath::new("coordination.k8s.io", "v1", "leases").namespace("kube-node-lease");
        return session.client.get(&path.name(text("name"))).await.unwrap_or(Value::Null);
    }
    if !matches!(kind, "Service" | "Ingress") {
        return Value::Null;
    }
    let list = async |path: ResourcePath| {
        session.client.list(&path.namespace(text("namespace")), &ListOptions::default()).await.unwrap_or(Value::Null)
    };
    let slices = list(ResourcePath::new("discovery.k8s.io", "v1", "endpointslices")).await;
    let services = if kind == "Ingress" { list(ResourcePath::core("services")).await } else { Value::Null };
    json!({"slices": slices["items"], "services": services["items"]})
}

async fn events(session: &Session, object: &Value) -> Result<String, Failure> {
    let meta = &object["metadata"];
    let namespace = meta["namespace"].as_str().unwrap_or("default");
    let fields = format!("involvedObject.uid={}", meta["uid"].as_str().unwrap_or(""));
    let options = ListOptions { fields: Some(fields), ..ListOptions::default() };
    let list = session.client.list(&ResourcePath::core("events").namespace(namespace), &options).await?;
    let mut found = list["items"].as_array().cloned().unwrap_or_default();
    if found.is_empty() {
        return Ok("Events:                     <none>\n".to_owned());
    }
    found.sort_by_key(seen);
    let now = SystemTime::now();
    let row = |cells: [&str; 5]| cells.map(str::to_owned).to_vec();
    let mut rows =
        vec![row(["Type", "Reason", "Age", "From", "Message"]), row(["----", "------", "----", "----", "-------"])];
    for event in &found {
        let text = |field: &str| event[field].as_str().unwrap_or("").to_owned();
        let from =
            event["source"]["component"].as_str().or(event["reportingComponent"].as_str()).unwrap_or("").to_owned();
        rows.push(vec![text("type"), text("reason"), interval(event, now), from, text("message").trim().to_owned()]);
    }
    let table = columns(&rows);
    let lines: String = table.lines().map(|line| format!("  {line}\n")).collect();
    Ok(format!("Events:\n{lines}"))
}
