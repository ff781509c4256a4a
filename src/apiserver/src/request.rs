//! What a request asks for, read off its method, path and query.
//!
//! In: method, path, query. Out: [`RequestInfo`]: verb, group, version, resource, subresource,
//! namespace, name. Pure; never looks at headers, bodies or what kinds exist.

use crate::query::Query;

/// What is done to a resource, in the words authorization uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read a collection.
    List,
    /// Follow a collection.
    Watch,
    /// Make an object, or act on a subresource by POST.
    Create,
    /// Replace an object.
    Update,
    /// Change parts of an object.
    Patch,
    /// Remove an object.
    Delete,
    /// Remove every matching object of a collection.
    DeleteCollection,
    /// POST to a path that is no resource.
    Post,
    /// PUT to a path that is no resource.
    Put,
    /// HEAD of a path that is no resource.
    Head,
    /// OPTIONS of anything.
    Options,
    /// Any other method; nothing is ever granted for it.
    Other,
}

impl Verb {
    /// The word used in RBAC rules, metrics and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
            Verb::Post => "post",
            Verb::Put => "put",
            Verb::Head => "head",
            Verb::Options => "options",
            Verb::Other => "other",
        }
    }

    /// Whether the verb may change what is stored.
    pub const fn mutates(self) -> bool {
        !matches!(self, Verb::Get | Verb::List | Verb::Watch | Verb::Head | Verb::Options)
    }
}

/// A request, understood. Empty strings mean "not given".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether the path names a resource; if not, only `verb` and `path` carry meaning.
    pub resource_request: bool,
    /// The decoded path.
    pub path: String,
    /// What is to be done.
    pub verb: Verb,
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Namespace, for namespaced resources and for the namespace object itself.
    pub namespace: String,
    /// The plural resource name.
    pub resource: String,
    /// What follows the name.
    pub subresource: String,
    /// The object's name.
    pub name: String,
    /// What follows the subresource, for proxies; starts with `/` when present.
    pub rest: String,
}

/// Subresources of the namespace object itself; anything else after a namespace's name is a
/// resource inside it.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

/// Reads a request. `path` is still percent-encoded.
pub fn parse(method: &http::Method, path: &str, query: &Query) -> RequestInfo {
    let decoded = percent_decode(path);
    let mut info = RequestInfo {
        resource_request: false,
        path: decoded,
        verb: plain_verb(method),
        group: String::new(),
        version: String::new(),
        namespace: String::new(),
        resource: String::new(),
        subresource: String::new(),
        name: String::new(),
        rest: String::new(),
    };
    let raw: Vec<&str> = path.trim_matches('/').split('/').collect();
    let mut parts: &[&str] = match raw.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => {
            info.version = percent_decode(version);
            rest
        }
        ["apis", group, version, rest @ ..] if !rest.is_empty() => {
            info.group = percent_decode(group);
            info.version = percent_decode(version);
            rest
        }
        _ => return info,
    };
    info.resource_request = true;
    info.verb = resource_verb(method);

    // The deprecated form /api/v1/watch/...
    let mut watch_prefix = false;
    if parts.len() > 1 && parts[0] == "watch" {
        watch_prefix = true;
        parts = &parts[1..];
    }

    if parts[0] == "namespaces" && parts.len() > 1 {
        info.namespace = percent_decode(parts[1]);
        if parts.len() > 2 && !NAMESPACE_SUBRESOURCES.contains(&parts[2]) {
            parts = &parts[2..];
        }
    }
    info.resource = percent_decode(parts[0]);
    if let Some(name) = parts.get(1) {
        info.name = percent_decode(name);
    }
    if let Some(subresource) = parts.get(2) {
        info.subresource = percent_decode(subresource);
    }
    if parts.len() > 3 {
        for part in &parts[3..] {
            info.rest.push('/');
            info.rest.push_str(&percent_decode(part));
        }
    }
    if path.ends_with('/') && parts.len() > 2 {
        info.rest.push('/');
    }

    if watch_prefix && info.verb == Verb::Get {
        info.verb = Verb::Watch;
    } else if info.name.is_empty() && info.verb == Verb::Get {
        info.verb = if query.flag("watch") { Verb::Watch } else { Verb::List };
    } else if info.name.is_empty() && info.verb == Verb::Delete {
        info.verb = Verb::DeleteCollection;
    }
    // Authorization by name also holds for a collection narrowed to that name.
    if info.name.is_empty()
        && matches!(info.verb, Verb::List | Verb::Watch | Verb::DeleteCollection)
        && let Some(name) = query.get("fieldSelector").and_then(exact_name)
    {
        info.name = name.to_owned();
    }
    info
}

fn exact_name(selector: &str) -> Option<&str> {
    selector.split(',').find_map(|term| {
        let value = term.trim().strip_prefix("metadata.name=")?;
        let value = value.strip_prefix('=').unwrap_or(value);
        (!value.is_empty()).then_some(value)
    })
}

fn plain_verb(method: &http::Method) -> Verb {
    match *method {
        http::Method::GET => Verb::Get,
        http::Method::POST => Verb::Post,
        http::Method::PUT => Verb::Put,
        http::Method::PATCH => Verb::Patch,
        http::Method::DELETE => Verb::Delete,
        http::Method::HEAD => Verb::Head,
        http::Method::OPTIONS => Verb::Options,
        _ => Verb::Other,
    }
}

fn resource_verb(method: &http::Method) -> Verb {
    match *method {
        http::Method::GET | http::Method::HEAD => Verb::Get,
        http::Method::POST => Verb::Create,
        http::Method::PUT => Verb::Update,
        http::Method::PATCH => Verb::Patch,
        http::Method::DELETE => Verb::Delete,
        http::Method::OPTIONS => Verb::Options,
        _ => Verb::Other,
    }
}

/// Decodes `%XX`; what is no valid escape stays as it is, what is no UTF-8 is replaced.
pub fn percent_decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%'
            && let Some(hex) = text.get(at + 1..at + 3)
            && let Ok(byte) = u8::from_str_radix(hex, 16)
        {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is "verb group/version namespace resource/subresource name rest", `-` for empty.
    #[track_caller]
    fn check(method: &str, target: &str, expected: &str) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let info = parse(&method.parse().unwrap(), path, &Query::parse(query));
        let dash = |s: &str| if s.is_empty() { "-".to_owned() } else { s.to_owned() };
        let seen = if info.resource_request {
            format!(
                "{} {}/{} {} {}/{} {} {}",
                info.verb.as_str(),
                dash(&info.group),
                info.version,
                dash(&info.namespace),
                info.resource,
                dash(&info.subresource),
                dash(&info.name),
                dash(&info.rest)
            )
        } else {
            format!("{} {}", info.verb.as_str(), info.path)
        };
        assert_eq!(seen, expected, "{method} {target}");
    }

    #[test]
    fn paths_become_requests() {
        check("GET", "/api/v1/namespaces", "list -/v1 - namespaces/- - -");
        check("GET", "/api/v1/namespaces/other", "get -/v1 other namespaces/- other -");
        check("GET", "/api/v1/namespaces/other/pods", "list -/v1 other pods/- - -");
        check("GET", "/api/v1/namespaces/other/pods?watch=true", "watch -/v1 other pods/- - -");
        check("GET", "/api/v1/namespaces/other/pods?watch=1", "watch -/v1 other pods/- - -");
        check("GET", "/api/v1/namespaces/other/pods?watch=0", "list -/v1 other pods/- - -");
        check("GET", "/api/v1/namespaces/other/pods/foo", "get -/v1 other pods/- foo -");
        check("HEAD", "/api/v1/namespaces/other/pods/foo", "get -/v1 other pods/- foo -");
        check("GET", "/api/v1/pods", "list -/v1 - pods/- - -");
        check("POST", "/api/v1/namespaces/other/pods", "create -/v1 other pods/- - -");
        check("PUT", "/api/v1/namespaces/other/pods/foo", "update -/v1 other pods/- foo -");
        check("PATCH", "/api/v1/namespaces/other/pods/foo/status", "patch -/v1 other pods/status foo -");
        check("DELETE", "/api/v1/namespaces/other/pods", "deletecollection -/v1 other pods/- - -");
        check("DELETE", "/api/v1/namespaces/other", "delete -/v1 other namespaces/- other -");
        check("PUT", "/api/v1/namespaces/other/finalize", "update -/v1 other namespaces/finalize other -");
        check("PUT", "/api/v1/namespaces/other/status", "update -/v1 other namespaces/status other -");
        check("GET", "/api/v1/watch/namespaces/other/pods", "watch -/v1 other pods/- - -");
        check("GET", "/api/v1/watch/pods", "watch -/v1 - pods/- - -");
        check("GET", "/apis/apps/v1/deployments", "list apps/v1 - deployments/- - -");
        check("GET", "/apis/apps/v1/namespaces/x/deployments/d/scale", "get apps/v1 x deployments/scale d -");
        check("POST", "/api/v1/namespaces/other/pods/foo/eviction", "create -/v1 other pods/eviction foo -");
        check("GET", "/api/v1/namespaces/x/pods/p/proxy/a/b", "get -/v1 x pods/proxy p /a/b");
        check("GET", "/api/v1/namespaces/x/pods/p/proxy/", "get -/v1 x pods/proxy p /");
        check("GET", "/api/v1/nodes/n/proxy/logs/x", "get -/v1 - nodes/proxy n /logs/x");
    }

    #[test]
    fn paths_outside_the_api_keep_their_method() {
        check("GET", "/", "get /");
        check("GET", "/api", "get /api");
        check("GET", "/api/v1", "get /api/v1");
        check("GET", "/apis/apps/v1", "get /apis/apps/v1");
        check("GET", "/version/", "get /version/");
        check("POST", "/healthz", "post /healthz");
        check("GET", "/healthz%2Flog", "get /healthz/log");
    }

    #[test]
    fn a_selector_for_one_name_counts_as_that_name() {
        check("GET", "/api/v1/namespaces/x/pods?fieldSelector=metadata.name%3Da", "list -/v1 x pods/- a -");
        check("GET", "/api/v1/nodes?watch=true&fieldSelector=metadata.name==n1", "watch -/v1 - nodes/- n1 -");
        check("GET", "/api/v1/nodes?fieldSelector=metadata.name!=n1", "list -/v1 - nodes/- - -");
    }

    #[test]
    fn escapes_are_decoded_once_and_separators_stay_inside_a_segment() {
        check("GET", "/api/v1/namespaces/x/pods/a%2Fb", "get -/v1 x pods/- a/b -");
        check("GET", "/api/v1/namespaces/x/pods/a%zz", "get -/v1 x pods/- a%zz -");
        check("GET", "/api/v1/namespaces/x/pods/a%2", "get -/v1 x pods/- a%2 -");
    }
}
