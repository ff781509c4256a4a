//! Where an object or a collection lives under the API's root.
//!
//! In: group, version, plural, namespace, name, subresource. Out: a URL path, each part percent-encoded.
//! Never checks that the kind exists: the server answers that.

use std::fmt;

/// A path of the API: a collection, an object or a subresource of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResourcePath {
    group: String,
    version: String,
    plural: String,
    namespace: Option<String>,
    name: Option<String>,
    subresource: Option<String>,
}

impl ResourcePath {
    /// The collection of a kind over all namespaces. The core group is the empty string.
    pub fn new(group: impl Into<String>, version: impl Into<String>, plural: impl Into<String>) -> Self {
        ResourcePath {
            group: group.into(),
            version: version.into(),
            plural: plural.into(),
            namespace: None,
            name: None,
            subresource: None,
        }
    }

    /// A collection of the core group, e.g. `core("pods")`.
    pub fn core(plural: impl Into<String>) -> Self {
        ResourcePath::new("", "v1", plural)
    }

    /// The same within one namespace.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// One object.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A subresource of one object, e.g. `status`.
    pub fn subresource(mut self, subresource: impl Into<String>) -> Self {
        self.subresource = Some(subresource.into());
        self
    }

    /// The collection that the object is in.
    pub fn collection(mut self) -> Self {
        self.name = None;
        self.subresource = None;
        self
    }

    /// The plural, for messages.
    pub fn plural(&self) -> &str {
        &self.plural
    }

    /// The path with a query; `query` holds unencoded pairs.
    pub fn with_query(&self, query: &[(&str, String)]) -> String {
        let mut text = self.to_string();
        for (i, (key, value)) in query.iter().enumerate() {
            text.push(if i == 0 { '?' } else { '&' });
            encode(key, &mut text);
            text.push('=');
            encode(value, &mut text);
        }
        text
    }
}

impl fmt::Display for ResourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(96);
        if self.group.is_empty() {
            text.push_str("/api/");
        } else {
            text.push_str("/apis/");
            encode(&self.group, &mut text);
            text.push('/');
        }
        encode(&self.version, &mut text);
        let parts = [self.namespace.as_deref().map(|ns| ("namespaces", ns)), Some((self.plural.as_str(), ""))];
        for (head, tail) in parts.into_iter().flatten() {
            text.push('/');
            encode(head, &mut text);
            if !tail.is_empty() {
                text.push('/');
                encode(tail, &mut text);
            }
        }
        for part in [&self.name, &self.subresource].into_iter().flatten() {
            text.push('/');
            encode(part, &mut text);
        }
        f.write_str(&text)
    }
}

/// Appends `text` percent-encoded as one path segment or query part (RFC 3986 unreserved stay).
fn encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => {
                out.push('%');
                out.push(HEX[usize::from(byte >> 4)] as char);
                out.push(HEX[usize::from(byte & 15)] as char);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: ResourcePath, expected: &str) {
        assert_eq!(path.to_string(), expected);
    }

    #[test]
    fn a_path_follows_the_api_conventions() {
        check(ResourcePath::core("nodes"), "/api/v1/nodes");
        check(
            ResourcePath::core("pods").namespace("a").name("b").subresource("log"),
            "/api/v1/namespaces/a/pods/b/log",
        );
        check(ResourcePath::new("apps", "v1", "deployments").namespace("a"), "/apis/apps/v1/namespaces/a/deployments");
        check(ResourcePath::core("namespaces").name("a b/.."), "/api/v1/namespaces/a%20b%2F..");
    }

    #[test]
    fn a_query_is_encoded() {
        let path =
            ResourcePath::core("pods").with_query(&[("labelSelector", "a in (b,c)".into()), ("limit", "5".into())]);
        assert_eq!(path, "/api/v1/pods?labelSelector=a%20in%20%28b%2Cc%29&limit=5");
    }
}
