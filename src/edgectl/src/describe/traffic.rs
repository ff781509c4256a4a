//! Pages of ingresses, their classes, and the addresses of services.
//!
//! In: an object, the services behind it and the EndpointSlices of its namespace, or why they are not known. Out: lines. Never asks the server.

use std::collections::BTreeSet;

use serde_json::Value;

use super::kinds::{both, conditions_since};
use super::page::Page;
use super::service::endpoints;
use super::values::{items, joined, number, words};

/// An Ingress.
pub fn ingress(object: &Value, related: &Value, page: &mut Page) {
    let spec = &object["spec"];
    let place =
        |at: &Value| Some(words(&at["ip"])).filter(|ip| !ip.is_empty()).unwrap_or_else(|| words(&at["hostname"]));
    let places = items(&object["status"]["loadBalancer"]["ingress"]).map(place).filter(|place| !place.is_empty());
    page.line(0, "Address", places.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(","));
    let class = &spec["ingressClassName"];
    page.line(0, "Ingress Class", if class.is_null() { "<none>".to_owned() } else { words(class) });
    let default = &spec["defaultBackend"];
    let default = if default.is_null() { "<default>".to_owned() } else { backend(default, related) };
    page.line(0, "Default backend", &default);
    if items(&spec["tls"]).next().is_some() {
        page.head(0, "TLS");
    }
    for tls in items(&spec["tls"]) {
        let (secret, hosts) = (words(&tls["secretName"]), joined(&tls["hosts"], ","));
        page.raw(
            1,
            if secret.is_empty() { format!("SNI routes {hosts}") } else { format!("{secret} terminates {hosts}") },
        );
    }
    page.raw(0, "Rules:\n  Host\tPath\tBackends\n  ----\t----\t--------");
    let rules: Vec<&Value> = items(&spec["rules"]).filter(|rule| !rule["http"].is_null()).collect();
    if rules.is_empty() {
        page.raw(1, format!("*\t*\t{default}"));
    }
    for rule in rules {
        let host = words(&rule["host"]);
        page.raw(1, if host.is_empty() { "*\t".to_owned() } else { host + "\t" });
        for path in items(&rule["http"]["paths"]) {
            page.raw(2, format!("\t{} \t{}", words(&path["path"]), backend(&path["backend"], related)));
        }
    }
    page.annotations(0, "Annotations", &object["metadata"]["annotations"]);
}

/// The names of the services behind an Ingress.
pub fn services(object: &Value) -> BTreeSet<String> {
    let spec = &object["spec"];
    let paths = items(&spec["rules"]).flat_map(|rule| items(&rule["http"]["paths"]));
    let backends = paths.map(|path| &path["backend"]).chain([&spec["defaultBackend"]]);
    backends.map(|backend| words(&backend["service"]["name"])).filter(|name| !name.is_empty()).collect()
}

/// `web:80 (10.0.0.2:8080)`.
fn backend(backend: &Value, related: &Value) -> String {
    let Some(service) = backend.get("service").filter(|service| !service.is_null()) else {
        let resource = &backend["resource"];
        if resource.is_null() {
            return String::new();
        }
        let group = &resource["apiGroup"];
        let group = if group.is_null() { "<none>".to_owned() } else { words(group) };
        return format!("APIGroup: {group}, Kind: {}, Name: {}", words(&resource["kind"]), words(&resource["name"]));
    };
    let (name, wanted) = (&service["name"], number(&service["port"]["number"]));
    let wanted_name = words(&service["port"]["name"]);
    let port = if wanted == 0 { wanted_name.clone() } else { wanted.to_string() };
    let shown = format!("{}:{port}", words(name));
    if !related["without"].is_null() {
        return format!("{shown} (<error: {}>)", words(&related["without"]));
    }
    let Some(found) = items(&related["services"]).find(|s| s["metadata"]["name"] == *name) else {
        let why = words(&related["refused"][words(name)]);
        return format!("{shown} (<error: {why}>)");
    };
    let is_wanted = |port: &&Value| match wanted {
        0 => !wanted_name.is_empty() && words(&port["name"]) == wanted_name,
        wanted => number(&port["port"]) == wanted,
    };
    let port = items(&found["spec"]["ports"]).rfind(is_wanted).map(|port| words(&port["name"]));
    format!("{shown} ({})", endpoints(&related["slices"], name, &port.unwrap_or_default()))
}

/// An IngressClass.
pub fn ingress_class(object: &Value, page: &mut Page) {
    let spec = &object["spec"];
    both(object, page);
    page.line(0, "Controller", words(&spec["controller"]));
    let parameters = &spec["parameters"];
    if !parameters.is_null() {
        page.head(0, "Parameters");
        if !parameters["apiGroup"].is_null() {
            page.line(1, "APIGroup", words(&parameters["apiGroup"]));
        }
        page.line(1, "Kind", words(&parameters["kind"]));
        page.line(1, "Name", words(&parameters["name"]));
    }
}

/// A ServiceCIDR.
pub fn service_cidr(object: &Value, page: &mut Page) {
    both(object, page);
    page.line(0, "CIDRs", joined(&object["spec"]["cidrs"], ", "));
    let conditions = &object["status"]["conditions"];
    if items(conditions).next().is_some() {
        page.head(0, "Status");
        conditions_since(conditions, page);
    }
}

/// An IPAddress.
pub fn ip_address(object: &Value, page: &mut Page) {
    both(object, page);
    let parent = &object["spec"]["parentRef"];
    if !parent.is_null() {
        page.head(0, "Parent Reference");
        for (name, field) in
            [("Group", "group"), ("Resource", "resource"), ("Namespace", "namespace"), ("Name", "name")]
        {
            page.line(1, name, words(&parent[field]));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page::check;

    #[test]
    fn an_ingress_shows_what_is_behind_each_path() {
        let slice = json!({"metadata": {"labels": {"kubernetes.io/service-name": "web"}},
            "ports": [{"name": "http", "port": 8080}], "endpoints": [{"addresses": ["10.0.0.2"]}]});
        let services = json!([{"metadata": {"name": "web"}, "spec": {"ports": [{"name": "http", "port": 80}]}}]);
        let related =
            json!({"services": services, "slices": [slice], "refused": {"nobody": "services \"nobody\" not found"}});
        let to = |service: &str, port: Value| json!({"service": {"name": service, "port": port}});
        let object = json!({"metadata": {}, "spec": {"tls": [{"secretName": "t", "hosts": ["a", "b"]}], "rules": [
            {"host": "a", "http": {"paths": [
                {"path": "/", "backend": to("web", json!({"number": 80}))},
                {"path": "/name", "backend": to("web", json!({"name": "http"}))},
                {"path": "/x", "backend": to("nobody", json!({"number": 80}))},
                {"backend": {"resource": {"kind": "K", "name": "n"}}}]}},
        ]}});
        assert_eq!(super::services(&object).into_iter().collect::<Vec<_>>(), ["nobody", "web"]);
        let unseen = json!({"without": "no"});
        assert_eq!(backend(&to("web", json!({"number": 80})), &unseen), "web:80 (<error: no>)");
        check(
            |page| ingress(&object, &related, page),
            "Address:          \nIngress Class:    <none>\nDefault backend:  <default>\nTLS:\n  t terminates a,b\nRules:\n  Host        Path  Backends\n  ----        ----  --------\n  a           \n              /       web:80 (10.0.0.2:8080)\n              /name   web:http (10.0.0.2:8080)\n              /x      nobody:80 (<error: services \"nobody\" not found>)\n                      APIGroup: <none>, Kind: K, Name: n\nAnnotations:  <none>\n",
        );
    }
}
