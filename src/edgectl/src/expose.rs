//! `expose` and `autoscale`: a Service or an autoscaler for what is there.
//!
//! In: a workload, flags. Out: the object created. Never changes the workload.

use std::process::ExitCode;

use kedge_client::{ResourcePath, WriteOptions};
use serde_json::{Map, Value, json};

use crate::args::{Autoscale, DryRun, Expose, Told, Which};
use crate::create::draft;
use crate::error::Failure;
use crate::label::targets;
use crate::resource::Resource;
use crate::session::Session;
use crate::written::Written;

/// The longest name of a Service: an RFC 1035 label.
const NAME: usize = 63;

/// Runs `expose`.
pub async fn expose(session: Session, args: Expose) -> Result<ExitCode, Failure> {
    let which = Which { words: args.words.clone(), ..Which::default() };
    let made = Resource {
        version: "v1".to_owned(),
        kind: "Service".to_owned(),
        plural: "services".to_owned(),
        namespaced: true,
        ..Resource::default()
    };
    let mut written = Written::new(args.told.output.as_deref(), args.told.dry_run)?;
    for (resource, namespace, name) in targets(&session, &which, &args.files, false).await? {
        let done = async {
            let object = session.client.get(&resource.path(namespace.as_deref()).name(&*name)).await?;
            let service = service(&args, &resource, &object)?;
            send(&session, &made, namespace.as_deref(), service, &args.told, "kubectl-expose").await
        };
        match done.await {
            Ok(service) => written.done(&made, service, "exposed"),
            Err(failure) => written.failed(&failure.words()),
        }
    }
    written.end()
}

/// Runs `autoscale`.
pub async fn autoscale(session: Session, args: Autoscale) -> Result<ExitCode, Failure> {
    check(&args)?;
    let made = Resource {
        group: "autoscaling".to_owned(),
        version: "v2".to_owned(),
        kind: "HorizontalPodAutoscaler".to_owned(),
        plural: "horizontalpodautoscalers".to_owned(),
        namespaced: true,
        ..Resource::default()
    };
    let mut written = Written::new(args.told.output.as_deref(), args.told.dry_run)?;
    for (resource, namespace, name) in targets(&session, &args.which, &args.files, false).await? {
        let done = async {
            let path = resource.path(namespace.as_deref()).name(&*name);
            // Only what has a scale can be scaled.
            session.client.get(&path.subresource("scale")).await?;
            let scaler = autoscaler(&args, &resource, &name)?;
            send(&session, &made, namespace.as_deref(), scaler, &args.told, "kubectl-autoscale").await
        };
        match done.await {
            Ok(scaler) => written.done(&made, scaler, "autoscaled"),
            Err(failure) => written.failed(&failure.words()),
        }
    }
    written.end()
}

async fn send(
    session: &Session,
    of: &Resource,
    namespace: Option<&str>,
    mut object: Value,
    told: &Told,
    manager: &str,
) -> Result<Value, Failure> {
    object["metadata"]["namespace"] = json!(namespace);
    if told.dry_run == DryRun::Client {
        return Ok(draft(session, object));
    }
    let options = WriteOptions {
        dry_run: told.dry_run == DryRun::Server,
        field_manager: Some(manager.to_owned()),
        ..WriteOptions::default()
    };
    let path: ResourcePath = of.path(namespace);
    Ok(session.client.create(&path, &object, &options).await?)
}

fn service(args: &Expose, resource: &Resource, object: &Value) -> Result<Value, Failure> {
    let selector = match &args.selector {
        Some(text) => pairs(text)?,
        None => selector(resource, object)?,
    };
    let ports = ports(args, resource, object)?;
    if ports.is_empty() && args.cluster_ip.as_deref() != Some("None") {
        return Err(Failure::said("couldn't find port via --port flag or introspection"));
    }
    let labels = match &args.labels {
        Some(text) => pairs(text)?,
        None => object["metadata"]["labels"].as_object().cloned().unwrap_or_default(),
    };
    let own = object["metadata"]["name"].as_str().unwrap_or("");
    let name = args.name.as_deref().unwrap_or_else(|| own.get(..NAME).unwrap_or(own));
    let mut spec = json!({"selector": selector});
    if !ports.is_empty() {
        spec["ports"] = json!(ports);
    }
    for (field, value) in [
        ("type", &args.of_type),
        ("clusterIP", &args.cluster_ip),
        ("loadBalancerIP", &args.load_balancer_ip),
        ("sessionAffinity", &args.session_affinity),
    ] {
        if let Some(value) = value {
            spec[field] = json!(value);
        }
    }
    if let Some(address) = &args.external_ip {
        spec["externalIPs"] = json!([address]);
    }
    let mut made = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec});
    if !labels.is_empty() {
        made["metadata"]["labels"] = Value::Object(labels);
    }
    Ok(made)
}

/// `key=value` pairs, with commas between.
pub fn pairs(text: &str) -> Result<Map<String, Value>, Failure> {
    text.split(',')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), json!(value))),
            _ => Err(Failure::said(format!("unexpected label spec: {pair}"))),
        })
        .collect()
}

/// A kind that can be exposed; another one of that name, of another group, is none.
fn kind(resource: &Resource) -> &str {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", kind @ ("Pod" | "Service" | "ReplicationController")) | ("apps", kind @ ("Deployment" | "ReplicaSet")) => {
            kind
        }
        _ => "",
    }
}

/// The labels of the pods that a workload makes.
fn selector(resource: &Resource, object: &Value) -> Result<Map<String, Value>, Failure> {
    let hidden =
        |why: &str| Failure::said(format!("couldn't retrieve selectors via --selector flag or introspection: {why}"));
    let (found, why) = match kind(resource) {
        "Pod" => (&object["metadata"]["labels"], "the pod has no labels and cannot be exposed"),
        "Service" | "ReplicationController" => (&object["spec"]["selector"], "it has no pod selector set"),
        "Deployment" | "ReplicaSet" => {
            let selector = &object["spec"]["selector"];
            if selector["matchExpressions"].as_array().is_some_and(|all| !all.is_empty()) {
                return Err(hidden("a service knows no matchExpressions"));
            }
            (&selector["matchLabels"], "it has no matchLabels")
        }
        _ => {
            let named = resource.named("");
            return Err(Failure::said(format!("cannot expose a {}", named.trim_end_matches('/'))));
        }
    };
    found.as_object().filter(|map| !map.is_empty()).cloned().ok_or_else(|| hidden(why))
}

/// The ports of the service: the given ones, else those of the workload.
fn ports(args: &Expose, resource: &Resource, object: &Value) -> Result<Vec<Value>, Failure> {
    let (spec, field) = match resource.kind.as_str() {
        "Service" => (&object["spec"], "port"),
        "Pod" => (&object["spec"], "containerPort"),
        _ => (&object["spec"]["template"]["spec"], "containerPort"),
    };
    let own: Vec<&Value> = if field == "port" {
        spec["ports"].as_array().into_iter().flatten().collect()
    } else {
        let containers = spec["containers"].as_array().into_iter().flatten();
        containers.flat_map(|c| c["ports"].as_array().into_iter().flatten()).collect()
    };
    // One number may be a port of UDP and another of TCP.
    let protocols = |number: u64| -> Vec<String> {
        if let Some(given) = &args.protocol {
            return vec![given.clone()];
        }
        let mut found: Vec<String> = Vec::new();
        for port in own.iter().filter(|port| port[field] == number) {
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            if !found.iter().any(|known| known == protocol) {
                found.push(protocol.to_owned());
            }
        }
        if found.is_empty() { vec!["TCP".to_owned()] } else { found }
    };
    let mut numbers: Vec<u64> = match &args.port {
        None => own.iter().filter_map(|port| port[field].as_u64()).collect(),
        Some(text) => text
            .split(',')
            .map(|number| match number.trim().parse::<u16>() {
                Ok(number) if number > 0 => Ok(u64::from(number)),
                _ => Err(Failure::said(format!("invalid port {number}: it must be between 1 and 65535"))),
            })
            .collect::<Result<Vec<u64>, Failure>>()?,
    };
    let mut seen = std::collections::HashSet::new();
    numbers.retain(|number| seen.insert(*number));
    let several = numbers.len() > 1;
    let target = |number: u64| match &args.target_port {
        None => json!(number),
        Some(text) => text.parse::<u16>().map_or_else(|_| json!(text), |number| json!(number)),
    };
    let port = |(i, number): (usize, &u64)| {
        let protocols = protocols(*number);
        let twins = protocols.len() > 1;
        let one = |protocol: String| {
            let mut port = json!({"port": number, "protocol": protocol, "targetPort": target(*number)});
            if twins {
                port["name"] = json!(format!("port-{}-{}", i + 1, protocol.to_lowercase()));
            } else if several {
                port["name"] = json!(format!("port-{}", i + 1));
            }
            port
        };
        protocols.into_iter().map(one).collect::<Vec<Value>>()
    };
    Ok(numbers.iter().enumerate().flat_map(port).collect())
}

fn check(args: &Autoscale) -> Result<(), Failure> {
    let (min, max) = (args.min, args.max);
    if max < 1 {
        return Err(Failure::said(format!("--max=MAXPODS is required and must be at least 1, max: {max}")));
    }
    if max < min {
        let words = "--max=MAXPODS must be larger or equal to --min=MINPODS";
        return Err(Failure::said(format!("{words}, max: {max}, min: {min}")));
    }
    Ok(())
}

fn autoscaler(args: &Autoscale, resource: &Resource, name: &str) -> Result<Value, Failure> {
    let mut spec = json!({
        "scaleTargetRef": {"apiVersion": resource.api_version(), "kind": resource.kind, "name": name},
        "maxReplicas": args.max,
    });
    if args.min >= 0 {
        spec["minReplicas"] = json!(args.min);
    }
    let percent = args.cpu_percent.filter(|percent| *percent >= 0).map(|percent| format!("{percent}%"));
    let mut metrics = Vec::new();
    for (resource, wanted) in [("cpu", args.cpu.as_ref().or(percent.as_ref())), ("memory", args.memory.as_ref())] {
        if let Some(wanted) = wanted {
            metrics
                .push(json!({"type": "Resource", "resource": {"name": resource, "target": target(resource, wanted)?}}));
        }
    }
    if !metrics.is_empty() {
        spec["metrics"] = json!(metrics);
    }
    Ok(json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": args.name.as_deref().unwrap_or(name)}, "spec": spec,
    }))
}

/// `70%` of what is requested, or a quantity for each pod.
fn target(of: &str, text: &str) -> Result<Value, Failure> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: u32 = percent
            .parse()
            .map_err(|_| Failure::said(format!("invalid --{of} {text}: it must be a percentage or a quantity")))?;
        return Ok(json!({"type": "Utilization", "averageUtilization": percent}));
    }
    kedge_api::quantity::Quantity::parse(text)
        .map_err(|fault| Failure::said(format!("invalid --{of} {text}: {fault}")))?;
    Ok(json!({"type": "AverageValue", "averageValue": text}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Verb, read};

    fn deployment() -> (Resource, Value) {
        let resource = Resource {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            kind: "Deployment".to_owned(),
            ..Resource::default()
        };
        let object = json!({"metadata": {"name": "web", "labels": {"a": "b"}}, "spec": {
            "selector": {"matchLabels": {"app": "web"}}, "template": {"spec": {"containers": [
                {"ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]}]}}}});
        (resource, object)
    }

    #[track_caller]
    fn exposed(flags: &str) -> Result<Value, String> {
        let Verb::Expose(args) = read(format!("edgectl expose deploy web {flags}").trim()).unwrap().verb else {
            panic!("{flags}")
        };
        let (resource, object) = deployment();
        service(&args, &resource, &object).map_err(|e| e.to_string())
    }

    #[test]
    fn a_service_is_made_of_what_the_workload_says() {
        assert_eq!(
            exposed("").unwrap(),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "labels": {"a": "b"}}, "spec": {
                "selector": {"app": "web"}, "ports": [
                    {"name": "port-1", "port": 80, "protocol": "TCP", "targetPort": 80},
                    {"name": "port-2", "port": 53, "protocol": "UDP", "targetPort": 53}]}})
        );
    }

    #[test]
    fn a_number_may_be_a_port_of_two_protocols() {
        let Verb::Expose(args) = read("edgectl expose pod dns").unwrap().verb else { panic!() };
        let resource = Resource { kind: "Pod".to_owned(), ..Resource::default() };
        let port = |number: u64, protocol: &str| json!({"containerPort": number, "protocol": protocol});
        let ports = json!([port(53, "UDP"), port(53, "TCP"), port(80, "TCP"), port(80, "TCP")]);
        let object =
            json!({"metadata": {"name": "dns", "labels": {"a": "b"}}, "spec": {"containers": [{"ports": ports}]}});
        let made = service(&args, &resource, &object).unwrap();
        let ports: Vec<String> = made["spec"]["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| format!("{} {} {}", p["name"].as_str().unwrap(), p["port"], p["protocol"].as_str().unwrap()))
            .collect();
        assert_eq!(ports, ["port-1-udp 53 UDP", "port-1-tcp 53 TCP", "port-2 80 TCP"]);
    }

    #[test]
    fn flags_come_first() {
        let made =
            exposed("--port=8080 --target-port=http --type=NodePort --name=front -l x=y --selector=z=1").unwrap();
        assert_eq!(made["metadata"], json!({"name": "front", "labels": {"x": "y"}}));
        assert_eq!(
            made["spec"],
            json!({"selector": {"z": "1"}, "type": "NodePort", "ports": [{"port": 8080, "protocol": "TCP", "targetPort": "http"}]})
        );
        assert!(exposed("--port=0").unwrap_err().contains("invalid port 0"));
        assert!(exposed("--selector=x").unwrap_err().contains("unexpected label spec: x"));
    }

    #[test]
    fn what_has_no_pods_is_not_exposed() {
        let kind = |kind: &str| Resource { kind: kind.to_owned(), ..Resource::default() };
        for (resource, object, why) in [
            (kind("Node"), json!({}), "cannot expose a node"),
            (kind("Pod"), json!({"metadata": {}}), "the pod has no labels"),
            (deployment().0, json!({"spec": {"selector": {"matchExpressions": [{}]}}}), "matchExpressions"),
        ] {
            let said = selector(&resource, &object).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn an_autoscaler_has_its_bounds_and_metrics() {
        let parsed = |flags: &str| match read(&format!("edgectl autoscale deploy web {flags}")).unwrap().verb {
            Verb::Autoscale(args) => args,
            other => panic!("{other:?}"),
        };
        let made =
            autoscaler(&parsed("--min=2 --max=5 --cpu-percent=80 --memory=100Mi"), &deployment().0, "web").unwrap();
        assert_eq!(
            made["spec"],
            json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": 2, "maxReplicas": 5, "metrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
                    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "100Mi"}}}]})
        );
        assert!(check(&parsed("--max=0")).unwrap_err().to_string().contains("at least 1"));
        assert!(check(&parsed("--max=1 --min=2")).unwrap_err().to_string().contains("larger or equal"));
        assert!(autoscaler(&parsed("--max=1 --cpu=lots"), &deployment().0, "web").is_err());
    }
}
