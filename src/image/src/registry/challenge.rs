//! The header by which a registry says how it wants to be asked.
//!
//! In: the text of `WWW-Authenticate`. Out: a closed set of challenges.
//! Never fetches a token.

use std::collections::BTreeMap;

/// How a registry wants to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// With user name and password.
    Basic,
    /// With a token that is fetched from `realm`.
    Bearer {
        /// Where tokens are given.
        realm: String,
        /// For whom.
        service: Option<String>,
        /// For what.
        scope: Option<String>,
    },
}

/// Longer headers are nonsense.
const MAX_HEADER: usize = 8 * 1024;

/// The best challenge of a header's values; `None` if there is none that we can meet.
pub fn parse<'a>(values: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut found = None;
    for value in values.filter(|v| v.len() <= MAX_HEADER) {
        let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            let mut parameters = parameters(rest);
            if let Some(realm) = parameters.remove("realm") {
                return Some(Challenge::Bearer {
                    realm,
                    service: parameters.remove("service"),
                    scope: parameters.remove("scope"),
                });
            }
        } else if scheme.eq_ignore_ascii_case("basic") {
            found = Some(Challenge::Basic);
        }
    }
    found
}

/// `key="value", key=value`, with commas and escaped quotes inside of quotes.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut rest = text.trim();
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.trim_matches([' ', ',']).to_ascii_lowercase();
        let mut value = String::new();
        if let Some(quoted) = after.strip_prefix('"') {
            let mut chars = quoted.char_indices();
            let end = loop {
                match chars.next() {
                    None => break quoted.len(),
                    Some((at, '"')) => break at + 1,
                    Some((_, '\\')) => value.extend(chars.next().map(|(_, c)| c)),
                    Some((_, c)) => value.push(c),
                }
            };
            rest = &quoted[end..];
        } else {
            let end = after.find(',').unwrap_or(after.len());
            value.push_str(after[..end].trim());
            rest = &after[end..];
        }
        all.insert(key, value);
    }
    all
}

/// Writes a text so that it can stand in a query.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[&str], expected: Option<(&str, Option<&str>, Option<&str>)>) {
        let expected = expected.map(|(realm, service, scope)| Challenge::Bearer {
            realm: realm.into(),
            service: service.map(Into::into),
            scope: scope.map(Into::into),
        });
        assert_eq!(parse(values.iter().copied()), expected);
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        check(
            &[
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
            ],
            Some(("https://auth.docker.io/token", Some("registry.docker.io"), Some("repository:a/b:pull,push"))),
        );
        check(&["Basic realm=\"x\"", "bearer realm=https://a/t, service=s"], Some(("https://a/t", Some("s"), None)));
        check(&[r#"Bearer realm="a\"b"#], Some(("a\"b", None, None)));
        check(&["Bearer service=\"x\"", "Negotiate", "", "Bearer ====\"\"", "Bearer \\"], None);
        assert_eq!(parse(["BASIC"].into_iter()), Some(Challenge::Basic));
        assert_eq!(encode("repository:a/b:pull é"), "repository%3Aa%2Fb%3Apull%20%C3%A9");
    }
}
