//! Who is asking.
//!
//! Data only: an authenticator makes an [`Identity`], authorization and admission read it.

use std::collections::BTreeMap;

/// Everyone who proved who they are.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Everyone who did not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Those whom no rule binds.
pub const MASTERS: &str = "system:masters";
/// The name of everyone who did not say who they are.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of all service accounts; `system:serviceaccounts:NAMESPACE` is one namespace's.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// A user, as `UserInfo` of `authentication.k8s.io` knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The user's name.
    pub name: String,
    /// The groups the user is in.
    pub groups: Vec<String>,
    /// The user's uid, if the authenticator knows one.
    pub uid: String,
    /// What else the authenticator says of the user.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Identity {
    /// A proven user in the given groups; `system:authenticated` is added.
    pub fn user<G: Into<String>>(name: impl Into<String>, groups: impl IntoIterator<Item = G>) -> Self {
        let mut groups: Vec<String> = groups.into_iter().map(Into::into).collect();
        if !groups.iter().any(|g| g == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Identity { name: name.into(), groups, ..Identity::default() }
    }

    /// A service account.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Identity::user(
            format!("system:serviceaccount:{namespace}:{name}"),
            [SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")],
        )
    }

    /// The node agent of a node.
    pub fn node(name: &str) -> Self {
        Identity::user(format!("system:node:{name}"), ["system:nodes"])
    }

    /// A member of `system:masters`.
    pub fn master(name: impl Into<String>) -> Self {
        Identity::user(name, [MASTERS])
    }

    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Identity { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..Identity::default() }
    }

    /// Whether the user is in the group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// Namespace and name, if this is a service account.
    pub fn as_service_account(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix("system:serviceaccount:")?.split_once(':')
    }
}
