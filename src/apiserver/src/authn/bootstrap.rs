//! Bootstrap tokens: `ID.SECRET`, each a Secret in `kube-system`, for machines that join.
//!
//! In: a token, its Secret, the time. Out: whom it names, or why it is not believed. Pure; the
//! Secret is read by `authn/identify.rs`, expired ones are removed by `upkeep/bootstrap_tokens.rs`.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kedge_api::{Object, clock, meta};

use crate::identity::Identity;

/// Where the Secrets are.
pub const NAMESPACE: &str = "kube-system";
/// How their names begin.
pub const PREFIX: &str = "bootstrap-token-";
/// Their type.
pub const TYPE: &str = "bootstrap.kubernetes.io/token";
/// The group of all of them, and how groups of one begin.
const GROUP: &str = "system:bootstrappers";

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootstrapFault {
    /// Another kind of Secret, one being deleted, or one of another id.
    #[error("the bootstrap token's secret is not one")]
    NotOne,
    /// The secret part differs.
    #[error("the bootstrap token does not match its secret")]
    Mismatch,
    /// Its time is over, or cannot be read.
    #[error("the bootstrap token has expired")]
    Expired,
    /// It is for something else.
    #[error("the bootstrap token is not for authentication")]
    Usage,
    /// A group that bootstrap tokens cannot have.
    #[error("the bootstrap token's group {0:?} is not allowed")]
    Group(String),
}

/// Id and secret, if the text has that form.
pub fn split(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let is = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    (is(id, 6) && is(secret, 16)).then_some((id, secret))
}

/// Whom a token names by its Secret.
pub fn holder(object: &Object, id: &str, secret: &str, now: SystemTime) -> Result<Identity, BootstrapFault> {
    if meta::text(object, "type") != TYPE || meta::deletion_timestamp(object).is_some() {
        return Err(BootstrapFault::NotOne);
    }
    let kept = value(object, "token-secret");
    if kept.is_empty() || !super::same_secret(kept.as_bytes(), secret.as_bytes()) {
        return Err(BootstrapFault::Mismatch);
    }
    if value(object, "token-id") != id {
        return Err(BootstrapFault::NotOne);
    }
    if ends(object).is_some_and(|end| end.is_none_or(|t| t <= now)) {
        return Err(BootstrapFault::Expired);
    }
    if value(object, "usage-bootstrap-authentication") != "true" {
        return Err(BootstrapFault::Usage);
    }
    let mut groups = vec![GROUP.to_owned()];
    for group in value(object, "auth-extra-groups").split(',').filter(|g| !g.is_empty()) {
        if !allowed(group) {
            return Err(BootstrapFault::Group(group.to_owned()));
        }
        groups.push(group.to_owned());
    }
    Ok(Identity::user(format!("system:bootstrap:{id}"), groups))
}

/// When a token ends, if it does; `Some(None)` if that cannot be read.
pub fn ends(object: &Object) -> Option<Option<SystemTime>> {
    let text = value(object, "expiration");
    (!text.is_empty()).then(|| clock::parse(&text))
}

/// One value of the Secret's data, as text.
pub fn value(object: &Object, key: &str) -> String {
    let bytes = STANDARD.decode(meta::text_at(object, &["data", key])).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// `system:bootstrappers:` and at most 256 of `a-z0-9:-`, the last of them no separator.
fn allowed(group: &str) -> bool {
    let Some(rest) = group.strip_prefix(GROUP).and_then(|r| r.strip_prefix(':')) else { return false };
    let simple = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=256).contains(&rest.len())
        && rest.bytes().all(|b| simple(b) || matches!(b, b':' | b'-'))
        && rest.bytes().last().is_some_and(simple)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::time::{Duration, UNIX_EPOCH};

    #[track_caller]
    fn check(change: impl FnOnce(&mut Value), token: &str, expected: Result<&str, &str>) {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut secret = json!({"type": TYPE, "data": {"token-id": "abcdef", "token-secret": "0123456789abcdef",
            "usage-bootstrap-authentication": "true", "auth-extra-groups": "system:bootstrappers:a,system:bootstrappers:b"}});
        change(&mut secret);
        for value in secret["data"].as_object_mut().unwrap().values_mut() {
            *value = json!(STANDARD.encode(value.as_str().unwrap()));
        }
        let (id, part) = split(token).unwrap();
        let seen = holder(&secret, id, part, now).map(|who| format!("{} {}", who.name, who.groups.join(" ")));
        assert_eq!(seen.map_err(|e| e.to_string()), expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn a_token_names_its_machine_while_it_holds() {
        let good = "abcdef.0123456789abcdef";
        let who = "system:bootstrap:abcdef system:bootstrappers system:bootstrappers:a system:bootstrappers:b system:authenticated";
        check(|_| (), good, Ok(who));
        check(|_| (), "abcdef.0123456789abcdeg", Err("the bootstrap token does not match its secret"));
        check(|s| s["data"]["token-secret"] = json!(""), good, Err("the bootstrap token does not match its secret"));
        check(|s| s["type"] = json!("Opaque"), good, Err("the bootstrap token's secret is not one"));
        check(
            |s| s["data"]["expiration"] = json!("2020-01-01T00:00:00Z"),
            good,
            Err("the bootstrap token has expired"),
        );
        check(|s| s["data"]["expiration"] = json!("soon"), good, Err("the bootstrap token has expired"));
        check(|s| s["data"]["expiration"] = json!("2100-01-01T00:00:00Z"), good, Ok(who));
        check(
            |s| s["data"]["usage-bootstrap-authentication"] = json!("no"),
            good,
            Err("the bootstrap token is not for authentication"),
        );
        check(
            |s| s["data"]["auth-extra-groups"] = json!("system:masters"),
            good,
            Err("the bootstrap token's group \"system:masters\" is not allowed"),
        );
    }

    #[test]
    fn other_texts_are_no_bootstrap_tokens() {
        for text in ["", "abcdef", "abcdef.", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcde", "a.b.c"] {
            assert_eq!(split(text), None, "{text}");
        }
    }
}
