//! Who watches what: how many will be told of a write.
//!
//! In: watches that begin and end. Out: how many of them a write concerns, by kind, namespace and name; what else a
//! watch selects does not count, because it has to look at the event either way, as in Kubernetes. Bounded by the
//! watches that there are. Never tells anybody anything.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::request::RequestInfo;

/// See the module.
#[derive(Debug, Default)]
pub struct Watchers(Mutex<HashMap<Box<str>, usize>>);

/// A watch, until it is dropped.
#[derive(Debug)]
pub struct Watching {
    watchers: Arc<Watchers>,
    key: Box<str>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut counts = self.watchers.counts();
        let left = counts.get_mut(&self.key).map_or(0, |count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == 0 {
            counts.remove(&self.key);
        }
    }
}

impl Watchers {
    fn counts(&self) -> MutexGuard<'_, HashMap<Box<str>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watch begins.
    pub fn enter(self: &Arc<Self>, info: &RequestInfo) -> Watching {
        let RequestInfo { group, resource, namespace, name, .. } = info;
        let key: Box<str> = format!("{group}/{resource}/{namespace}/{name}").into();
        *self.counts().entry(key.clone()).or_default() += 1;
        Watching { watchers: self.clone(), key }
    }

    /// How many watch what a request writes: the kind, its namespace or the very object.
    pub fn of(&self, info: &RequestInfo) -> usize {
        let RequestInfo { group, resource, namespace, name, .. } = info;
        let mut key = format!("{group}/{resource}/");
        let kind = key.len();
        let counts = self.counts();
        let count = |key: &str| counts.get(key).copied().unwrap_or_default();
        key.push('/');
        let mut found = count(&key);
        key.truncate(kind);
        let _ = write!(key, "{namespace}/");
        if !namespace.is_empty() {
            found += count(&key);
        }
        if !name.is_empty() {
            key.push_str(name);
            found += count(&key);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::query::Query;
    use crate::request::parse;

    fn watch(path: &str, query: &str) -> RequestInfo {
        parse(&Method::GET, path, &Query::parse(&format!("watch=true&{query}")))
    }

    #[test]
    fn watches_of_the_kind_the_namespace_and_the_object_are_told() {
        let watchers = Arc::new(Watchers::default());
        let watching = [
            watchers.enter(&watch("/api/v1/pods", "")),
            watchers.enter(&watch("/api/v1/pods", "labelSelector=a%3Db")),
            watchers.enter(&watch("/api/v1/namespaces/a/pods", "")),
            watchers.enter(&watch("/api/v1/namespaces/a/pods", "fieldSelector=metadata.name%3Dx")),
            watchers.enter(&watch("/apis/apps/v1/deployments", "")),
            watchers.enter(&watch("/api/v1/nodes", "fieldSelector=metadata.name%3Dn")),
        ];
        let of = |method: Method, path: &str| watchers.of(&parse(&method, path, &Query::parse("")));
        for (method, path, expected) in [
            (Method::POST, "/api/v1/namespaces/a/pods", 3),
            (Method::PUT, "/api/v1/namespaces/a/pods/x", 4),
            (Method::PATCH, "/api/v1/namespaces/a/pods/x/status", 4),
            (Method::DELETE, "/api/v1/namespaces/b/pods/x", 2),
            (Method::PUT, "/apis/apps/v1/namespaces/a/deployments/x", 1),
            (Method::PUT, "/api/v1/nodes/n", 1),
            (Method::PUT, "/api/v1/nodes/m", 0),
            (Method::PUT, "/api/v1/namespaces/a/secrets/x", 0),
        ] {
            assert_eq!(of(method.clone(), path), expected, "{method} {path}");
        }
        drop(watching);
        assert!(watchers.counts().is_empty());
    }
}
