//! `create service`, `job`, `cronjob`, `ingress`, `poddisruptionbudget` and `priorityclass`.
//!
//! In: flags. Out: the object. Never asks the server, but for the cron job that a job is made of.

use kedge_client::ResourcePath;
use serde_json::{Map, Value, json};

use crate::args::{CreateHow, CreateObject, CreateService, ServicePorts};
use crate::error::Failure;
use crate::session::Session;

fn object(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}})
}

/// The object that the flags describe.
pub async fn generate(what: CreateObject, session: &Session) -> Result<(Value, CreateHow), Failure> {
    if let CreateObject::Job { name, from: Some(from), how, .. } = &what {
        let wrong = || Failure::said(format!("--from {from}: it must be cronjob/NAME"));
        let (of, source) = from.split_once('/').ok_or_else(wrong)?;
        if !matches!(of, "cronjob" | "cronjobs" | "cj" | "cronjob.batch" | "cronjobs.batch") || source.is_empty() {
            return Err(wrong());
        }
        let path = ResourcePath::new("batch", "v1", "cronjobs").namespace(&*session.namespace).name(source);
        return Ok((of_cron_job(name, &session.client.get(&path).await?), how.clone()));
    }
    made(what)
}

fn made(what: CreateObject) -> Result<(Value, CreateHow), Failure> {
    Ok(match what {
        CreateObject::Service { what } => service(what)?,
        CreateObject::Job { name, image, command, how, .. } => {
            let mut job = object("batch/v1", "Job", &name);
            let template = template(&name, image.as_deref().unwrap_or(""), "Never", &command);
            job["spec"] = json!({"template": template});
            (job, how)
        }
        CreateObject::Cronjob { name, image, schedule, restart, command, how } => {
            let mut job = object("batch/v1", "CronJob", &name);
            let template = template(&name, &image, &restart, &command);
            let of_job = json!({"metadata": {"name": name}, "spec": {"template": template}});
            job["spec"] = json!({"schedule": schedule, "jobTemplate": of_job});
            (job, how)
        }
        CreateObject::Ingress { name, rule, class, default_backend, annotation, how } => {
            if rule.is_empty() && default_backend.is_none() {
                return Err(Failure::said(
                    "not enough information provided: every ingress has to either specify a default-backend (which catches all traffic) or a list of rules (which catch specific paths)",
                ));
            }
            let mut ingress = object("networking.k8s.io/v1", "Ingress", &name);
            ingress["spec"] = rules(&rule)?;
            if let Some(class) = class {
                ingress["spec"]["ingressClassName"] = json!(class);
            }
            if let Some(text) = default_backend {
                ingress["spec"]["defaultBackend"] = backend(&text)?;
            }
            for pair in annotation {
                let wrong = || Failure::said(format!("incorrect annotation {pair}: it must be KEY=VALUE"));
                let (key, value) = pair.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(wrong)?;
                ingress["metadata"]["annotations"][key] = json!(value);
            }
            (ingress, how)
        }
        CreateObject::Poddisruptionbudget { name, selector, min_available, max_unavailable, how } => {
            let mut budget = object("policy/v1", "PodDisruptionBudget", &name);
            budget["spec"] = json!({"selector": selected(&selector)?});
            for (field, value) in [("minAvailable", min_available), ("maxUnavailable", max_unavailable)] {
                if let Some(text) = value {
                    budget["spec"][field] = text.parse::<u32>().map_or_else(|_| json!(text), |count| json!(count));
                }
            }
            (budget, how)
        }
        CreateObject::Priorityclass { name, value, global_default, description, preemption_policy, how } => {
            let mut class = object("scheduling.k8s.io/v1", "PriorityClass", &name);
            class["value"] = json!(value);
            if global_default {
                class["globalDefault"] = json!(true);
            }
            if !description.is_empty() {
                class["description"] = json!(description);
            }
            class["preemptionPolicy"] = json!(preemption_policy);
            (class, how)
        }
    })
}

fn template(name: &str, image: &str, restart: &str, command: &[String]) -> Value {
    let mut container = json!({"name": name, "image": image});
    if !command.is_empty() {
        container["command"] = json!(command);
    }
    json!({"spec": {"containers": [container], "restartPolicy": restart}})
}

/// A job as the cron job itself would make it, by hand.
fn of_cron_job(name: &str, cron_job: &Value) -> Value {
    let template = &cron_job["spec"]["jobTemplate"];
    let mut annotations = template["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    annotations.insert("cronjob.kubernetes.io/instantiate".to_owned(), json!("manual"));
    let mut job = object("batch/v1", "Job", name);
    job["metadata"]["annotations"] = Value::Object(annotations);
    if template["metadata"]["labels"].is_object() {
        job["metadata"]["labels"] = template["metadata"]["labels"].clone();
    }
    let (owner, uid) = (&cron_job["metadata"]["name"], &cron_job["metadata"]["uid"]);
    let reference = json!({"apiVersion": "batch/v1", "kind": "CronJob", "name": owner, "uid": uid, "controller": true});
    job["metadata"]["ownerReferences"] = json!([reference]);
    job["spec"] = template["spec"].clone();
    job
}

fn service(what: CreateService) -> Result<(Value, CreateHow), Failure> {
    let (flags, of_type, more) = match what {
        CreateService::Clusterip { ports, clusterip } => (ports, "ClusterIP", clusterip.map(|ip| ("clusterIP", ip))),
        CreateService::Nodeport { ports, node_port } => {
            let number = (node_port > 0).then(|| ("nodePort", node_port.to_string()));
            (ports, "NodePort", number)
        }
        CreateService::Loadbalancer { ports } => (ports, "LoadBalancer", None),
        CreateService::Externalname { ports, external_name } => {
            (ports, "ExternalName", Some(("externalName", external_name)))
        }
    };
    let ServicePorts { name, tcp, how } = flags;
    let headless = matches!(&more, Some(("clusterIP", ip)) if ip == "None");
    if tcp.is_empty() && of_type != "ExternalName" && !headless {
        return Err(Failure::said("at least one tcp port specifier must be provided: --tcp=PORT[:TARGET]"));
    }
    let mut ports = tcp.iter().map(|text| port(text)).collect::<Result<Vec<Value>, Failure>>()?;
    let mut service = object("v1", "Service", &name);
    service["metadata"]["labels"] = json!({"app": name});
    service["spec"] = json!({"type": of_type, "selector": {"app": name}});
    match more {
        Some(("nodePort", number)) => {
            ports.iter_mut().for_each(|port| port["nodePort"] = json!(number.parse::<u16>().unwrap_or_default()));
        }
        Some((field, value)) => service["spec"][field] = json!(value),
        None => {}
    }
    if !ports.is_empty() {
        service["spec"]["ports"] = json!(ports);
    }
    Ok((service, how))
}

/// `80` or `80:8080` or `80:http`.
fn port(text: &str) -> Result<Value, Failure> {
    let (own, target) = text.split_once(':').unwrap_or((text, text));
    let wrong = || Failure::said(format!("invalid port {text}: it must be PORT or PORT:TARGET, each from 1 to 65535"));
    let own = own.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    let target = match target.parse::<u32>() {
        Ok(number) if number == 0 || number > 65_535 => return Err(wrong()),
        Ok(number) => json!(number),
        Err(_) if target.is_empty() => return Err(wrong()),
        Err(_) => json!(target),
    };
    Ok(json!({"name": text.replace(':', "-"), "port": own, "protocol": "TCP", "targetPort": target}))
}

/// `web:80` or `web:http`.
fn backend(text: &str) -> Result<Value, Failure> {
    let wrong = || Failure::said(format!("invalid backend {text}: it must be SERVICE:PORT"));
    let (service, port) = text.split_once(':').filter(|(s, p)| !s.is_empty() && !p.is_empty()).ok_or_else(wrong)?;
    let port = port.parse::<u16>().map_or_else(|_| json!({"name": port}), |number| json!({"number": number}));
    Ok(json!({"service": {"name": service, "port": port}}))
}

/// `rules` and `tls` of an ingress: paths of one host stand together.
fn rules(words: &[String]) -> Result<Value, Failure> {
    let (mut rules, mut secrets): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for word in words {
        let wrong = || {
            Failure::said(format!(
                "rule {word} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]"
            ))
        };
        let mut parts = word.split(',');
        let (place, behind) = parts.next().and_then(|rule| rule.split_once('=')).ok_or_else(wrong)?;
        let slash = place.find('/').ok_or_else(wrong)?;
        let (host, path) = place.split_at(slash);
        let (path, of_type) = match path.strip_suffix('*') {
            Some(path) => (path, "Prefix"),
            None => (path, "Exact"),
        };
        let path = json!({"path": path, "pathType": of_type, "backend": backend(behind)?});
        match rules.iter_mut().find(|rule| rule["host"].as_str().unwrap_or("") == host) {
            Some(rule) => {
                if let Some(paths) = rule["http"]["paths"].as_array_mut() {
                    paths.push(path);
                }
            }
            None => {
                let mut rule = json!({"http": {"paths": [path]}});
                if !host.is_empty() {
                    rule["host"] = json!(host);
                }
                rules.push(rule);
            }
        }
        for part in parts {
            let secret = match part.split_once('=') {
                None if part == "tls" => "",
                Some(("tls", secret)) => secret,
                _ => return Err(wrong()),
            };
            let mut tls = Map::new();
            if !host.is_empty() {
                tls.insert("hosts".to_owned(), json!([host]));
            }
            if !secret.is_empty() {
                tls.insert("secretName".to_owned(), json!(secret));
            }
            let tls = Value::Object(tls);
            if !secrets.contains(&tls) {
                secrets.push(tls);
            }
        }
    }
    let mut spec = json!({});
    for (field, list) in [("rules", rules), ("tls", secrets)] {
        if !list.is_empty() {
            spec[field] = json!(list);
        }
    }
    Ok(spec)
}

/// A selector of labels as objects have it.
pub fn selected(text: &str) -> Result<Value, Failure> {
    let (mut labels, mut terms) = (Map::new(), Vec::new());
    let wrong = || {
        Failure::said(format!(
            "invalid selector {text}: there are KEY=VALUE, KEY in (A,B), KEY notin (A,B), KEY and !KEY"
        ))
    };
    let mut depth = 0usize;
    let parts = text.split(|c| {
        depth = match c {
            '(' => depth + 1,
            ')' => depth.saturating_sub(1),
            _ => depth,
        };
        c == ',' && depth == 0
    });
    for part in parts.map(str::trim) {
        let term = |operator: &str, key: &str, values: &str| {
            let values: Vec<&str> =
                values.trim().trim_start_matches('(').trim_end_matches(')').split(',').map(str::trim).collect();
            json!({"key": key.trim(), "operator": operator, "values": values})
        };
        if let Some((key, values)) = part.split_once(" notin ") {
            terms.push(term("NotIn", key, values));
        } else if let Some((key, values)) = part.split_once(" in ") {
            terms.push(term("In", key, values));
        } else if let Some((key, value)) = part.split_once("!=") {
            terms.push(term("NotIn", key, value));
        } else if let Some((key, value)) = part.split_once('=') {
            labels.insert(key.trim().to_owned(), json!(value.trim_start_matches('=').trim()));
        } else if let Some(key) = part.strip_prefix('!').filter(|key| !key.is_empty()) {
            terms.push(json!({"key": key.trim(), "operator": "DoesNotExist"}));
        } else if !part.is_empty() && !part.contains([' ', '!']) {
            terms.push(json!({"key": part, "operator": "Exists"}));
        } else {
            return Err(wrong());
        }
    }
    if labels.contains_key("") || terms.iter().any(|term| term["key"] == "") {
        return Err(wrong());
    }
    let mut selector = json!({});
    if !labels.is_empty() {
        selector["matchLabels"] = Value::Object(labels);
    }
    if !terms.is_empty() {
        selector["matchExpressions"] = json!(terms);
    }
    Ok(selector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Create, CreateWhat, Verb, read};

    #[track_caller]
    fn spec(words: &str) -> Result<Value, String> {
        // An underscore stands for a blank within a word.
        let line: Vec<String> =
            format!("edgectl create {words}").split(' ').map(|word| word.replace('_', " ")).collect();
        let Verb::Create(Create { what: Some(CreateWhat::Object(what)), .. }) =
            crate::args::Arguments::parse_words(line).unwrap().verb
        else {
            panic!("{words}")
        };
        made(what).map(|(object, _)| object["spec"].clone()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn services_are_made() {
        let port = json!({"name": "80-8080", "port": 80, "protocol": "TCP", "targetPort": 8080});
        assert_eq!(
            spec("service clusterip web --tcp=80:8080"),
            Ok(json!({"type": "ClusterIP", "selector": {"app": "web"}, "ports": [port]}))
        );
        let node = spec("svc nodeport web --tcp=80 --node-port=30000").unwrap();
        assert_eq!(
            node["ports"][0],
            json!({"name": "80", "port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": 30000})
        );
        assert_eq!(spec("service externalname web --external-name=a.lan").unwrap()["externalName"], "a.lan");
        assert_eq!(spec("service clusterip web --clusterip=None").unwrap()["clusterIP"], "None");
        assert!(spec("service loadbalancer web").unwrap_err().contains("--tcp"));
        for tcp in ["0", "x", "80:0", "80:70000", "80:"] {
            assert!(spec(&format!("service clusterip web --tcp={tcp}")).unwrap_err().contains("invalid port"), "{tcp}");
        }
    }

    #[test]
    fn jobs_are_made() {
        let container = json!({"name": "pi", "image": "a", "command": ["sh", "x"]});
        let template = |restart: &str| json!({"spec": {"containers": [container], "restartPolicy": restart}});
        assert_eq!(spec("job pi --image=a -- sh x"), Ok(json!({"template": template("Never")})));
        assert_eq!(
            spec("cronjob pi --image=a --schedule=*_*_*_*_* -- sh x"),
            Ok(json!({"schedule": "* * * * *",
                "jobTemplate": {"metadata": {"name": "pi"}, "spec": {"template": template("OnFailure")}}}))
        );
        let cron_job = json!({"metadata": {"name": "c", "uid": "u"}, "spec": {"jobTemplate": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"template": template("Never")}}}});
        let job = of_cron_job("now", &cron_job);
        assert_eq!(job["spec"], json!({"template": template("Never")}));
        assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], "u");
        assert_eq!(job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"], "manual");
        assert!(read("edgectl create job pi").is_err() && read("edgectl create job pi --image=a --from=cj/b").is_err());
    }

    #[test]
    fn ingresses_are_made() {
        let to = |service: &str, port: Value| json!({"service": {"name": service, "port": port}});
        assert_eq!(
            spec("ingress i --class=c --rule=a.lan/x*=web:80,tls=s --rule=a.lan/y=web:http --default-backend=d:1"),
            Ok(json!({"ingressClassName": "c", "defaultBackend": to("d", json!({"number": 1})),
                "tls": [{"hosts": ["a.lan"], "secretName": "s"}],
                "rules": [{"host": "a.lan", "http": {"paths": [
                    {"path": "/x", "pathType": "Prefix", "backend": to("web", json!({"number": 80}))},
                    {"path": "/y", "pathType": "Exact", "backend": to("web", json!({"name": "http"}))}]}}]}))
        );
        for rule in ["a", "a=b:1", "a/=b", "a/=b:1,x"] {
            assert!(spec(&format!("ingress i --rule={rule}")).is_err(), "{rule}");
        }
        assert!(spec("ingress i").unwrap_err().contains("default-backend"));
    }

    #[test]
    fn budgets_and_classes_are_made() {
        assert_eq!(
            spec("pdb b --selector=app=web --min-available=50%"),
            Ok(json!({"selector": {"matchLabels": {"app": "web"}}, "minAvailable": "50%"}))
        );
        assert_eq!(spec("pdb b --selector=a=b --max-unavailable=1").unwrap()["maxUnavailable"], 1);
        assert!(read("edgectl create pdb b --selector=a=b").is_err());
        assert!(read("edgectl create priorityclass high --value=-5 --global-default --description=x").is_ok());
    }

    #[test]
    fn selectors_are_read() {
        assert_eq!(
            selected("a=b,c==d, e in (f,g),h notin (i), j,!k,l!=m").unwrap(),
            json!({"matchLabels": {"a": "b", "c": "d"}, "matchExpressions": [
                {"key": "e", "operator": "In", "values": ["f", "g"]}, {"key": "h", "operator": "NotIn", "values": ["i"]},
                {"key": "j", "operator": "Exists"}, {"key": "k", "operator": "DoesNotExist"},
                {"key": "l", "operator": "NotIn", "values": ["m"]}]})
        );
        for text in ["", "=a", "!", "a b"] {
            assert!(selected(text).is_err(), "{text}");
        }
    }
}
