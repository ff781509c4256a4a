//! Tokens without an end that live in Secrets of type `kubernetes.io/service-account-token`.
//!
//! In: names. Out: claims as Kubernetes' token controller writes them, and back. Pure. Whether the
//! Secret still holds the token is looked up by `authn/identify.rs`.

use serde::{Deserialize, Serialize};

/// Who issues them.
pub const ISSUER: &str = "kubernetes/serviceaccount";
/// The type of their Secrets.
pub const TYPE: &str = "kubernetes.io/service-account-token";

/// What such a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyClaims {
    /// Who issued it.
    pub iss: String,
    /// The account's namespace.
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    pub namespace: String,
    /// The Secret that holds it.
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    pub secret: String,
    /// The account.
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    pub account: String,
    /// The account's uid.
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    pub uid: String,
    /// The user it names.
    pub sub: String,
}

impl LegacyClaims {
    /// The claims of an account's token in a Secret.
    pub fn new(namespace: &str, secret: &str, account: &str, uid: &str) -> Self {
        LegacyClaims {
            iss: ISSUER.to_owned(),
            namespace: namespace.to_owned(),
            secret: secret.to_owned(),
            account: account.to_owned(),
            uid: uid.to_owned(),
            sub: format!("system:serviceaccount:{namespace}:{account}"),
        }
    }
}
