//! What a kubelet asks for where somebody reads from it: a subresource of its own for each of its documents.
//!
//! In: a request to `nodes/NAME/proxy`. Out: the narrower right that also lets it in. In Kubernetes monitoring reads
//! from kubelets' own port by these rights; here the node has none, so they hold behind the proxy. Pure.

use super::Wanted;
use crate::request::{RequestInfo, Verb};

/// The kubelet's port, which may be named.
const PORT: &str = ":10250";

/// The right that is as good as `nodes/proxy` for this request, if there is one.
pub fn narrower(info: &RequestInfo) -> Option<Wanted<'_>> {
    let to_node = info.resource_request && info.group.is_empty() && info.resource == "nodes";
    if !to_node || info.subresource != "proxy" || info.verb != Verb::Get {
        return None;
    }
    // Another port is another program.
    let name = info.name.strip_suffix(PORT).unwrap_or(&info.name);
    if name.contains(':') {
        return None;
    }
    let subresource = match info.rest.trim_matches('/').split('/').next()? {
        "metrics" => "metrics",
        "stats" => "stats",
        "logs" => "log",
        "configz" => "configz",
        "healthz" => "healthz",
        "pods" | "runningpods" => "pods",
        _ => return None,
    };
    Some(Wanted::Resource { verb: "get", group: "", resource: "nodes", subresource, namespace: "", name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;
    use crate::request::parse;

    #[track_caller]
    fn check(method: &str, path: &str, expected: Option<(&str, &str)>) {
        let info = parse(&method.parse().unwrap(), path, &Query::parse(""));
        let seen = match narrower(&info) {
            Some(Wanted::Resource { subresource, name, .. }) => Some((subresource.to_owned(), name.to_owned())),
            _ => None,
        };
        assert_eq!(seen, expected.map(|(s, n)| (s.to_owned(), n.to_owned())), "{method} {path}");
    }

    #[test]
    fn each_document_has_a_right_of_its_own() {
        let proxy = "/api/v1/nodes/n/proxy";
        for (path, sub) in [
            ("metrics/cadvisor", "metrics"),
            ("metrics", "metrics"),
            ("stats/summary", "stats"),
            ("logs/a/b", "log"),
            ("configz", "configz"),
            ("pods", "pods"),
        ] {
            check("GET", &format!("{proxy}/{path}"), Some((sub, "n")));
        }
        check("GET", "/api/v1/nodes/n:10250/proxy/metrics", Some(("metrics", "n")));
        for (method, path) in [
            ("POST", format!("{proxy}/metrics")),
            ("GET", proxy.to_owned()),
            ("GET", format!("{proxy}/kedge/v1/images")),
            ("GET", "/api/v1/nodes/n:9100/proxy/metrics".to_owned()),
            ("GET", "/api/v1/nodes/https:n:10250/proxy/metrics".to_owned()),
            ("GET", "/api/v1/nodes/n/status".to_owned()),
            ("GET", "/api/v1/namespaces/a/pods/n/proxy/metrics".to_owned()),
        ] {
            check(method, &path, None);
        }
    }
}
