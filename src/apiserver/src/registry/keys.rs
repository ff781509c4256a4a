//! Where objects are kept: `/GROUP/PLURAL/NAMESPACE/NAME`, `/GROUP/PLURAL/NAME` for cluster-wide
//! kinds; the core group is called `core`.
//!
//! Group and plural are those of the storage version, so every served version of a kind shares
//! its objects. Pure.

use kedge_api::kinds::Kind;

/// The key of one object.
pub fn object(kind: &Kind, namespace: &str, name: &str) -> String {
    let mut key = collection(kind, namespace);
    key.push_str(name);
    key
}

/// The prefix of all objects of a kind, or of those in one namespace.
pub fn collection(kind: &Kind, namespace: &str) -> String {
    prefix(&kind.stored.0, &kind.plural, if kind.namespaced { namespace } else { "" })
}

/// The key of an object of a kind that is known at compile time.
pub fn fixed(group: &str, plural: &str, namespace: &str, name: &str) -> String {
    let mut key = prefix(group, plural, namespace);
    key.push_str(name);
    key
}

/// Namespace (empty for cluster-wide kinds) and name of a key.
pub fn parse(key: &str) -> Option<(&str, &str)> {
    let mut parts = key.strip_prefix('/')?.splitn(4, '/');
    let (_group, _plural, third) = (parts.next()?, parts.next()?, parts.next()?);
    Some(match parts.next() {
        Some(name) => (third, name),
        None => ("", third),
    })
}

fn prefix(group: &str, plural: &str, namespace: &str) -> String {
    let group = if group.is_empty() { "core" } else { group };
    let mut key = String::with_capacity(group.len() + plural.len() + namespace.len() + 48);
    for part in [group, plural] {
        key.push('/');
        key.push_str(part);
    }
    key.push('/');
    if !namespace.is_empty() {
        key.push_str(namespace);
        key.push('/');
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use kedge_api::kinds::Kinds;

    #[track_caller]
    fn check(kind: &str, namespace: &str, name: &str, expected: &str) {
        let kinds = Kinds::builtin();
        let kind = kinds.by_word(kind).unwrap();
        let key = object(kind, namespace, name);
        assert_eq!(key, expected);
        assert_eq!(parse(&key), Some((if kind.namespaced { namespace } else { "" }, name)));
        assert!(key.starts_with(&collection(kind, "")));
    }

    #[test]
    fn keys_are_of_the_storage_version() {
        check("pods", "default", "a", "/core/pods/default/a");
        check("nodes", "", "n1", "/core/nodes/n1");
        check("deployments", "x", "a", "/apps/deployments/x/a");
        check("events.events.k8s.io", "x", "a", "/core/events/x/a");
        check("hpa.v1.autoscaling", "x", "a", "/autoscaling/horizontalpodautoscalers/x/a");
        check("clusterroles", "", "system:node", "/rbac.authorization.k8s.io/clusterroles/system:node");
    }
}
