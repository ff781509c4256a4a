//! Who may do what.
//!
//! In: an identity and what it asks for. Out: yes or no, with the reason. Roles and bindings come
//! from the store as events (`cache.rs`), never by polling; nothing is read while deciding.

pub mod cache;
pub mod defaults;
pub mod kubelet;
pub mod node;
pub mod rules;
pub mod webhook;

pub use cache::RoleCache;
pub use node::Fields;
pub use rules::{Rule, Wanted};

use node::{NodeGraph, Verdict};
use std::sync::{PoisonError, RwLock};

use crate::identity::{Identity, MASTERS};

/// The answer of the authorizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may be done.
    pub allowed: bool,
    /// Which rule says so, or why not; often empty.
    pub reason: String,
    /// Whether it is forbidden, and not only granted by nobody.
    pub denied: bool,
}

impl Decision {
    /// A yes.
    pub fn yes(reason: impl Into<String>) -> Decision {
        Decision { allowed: true, reason: reason.into(), denied: false }
    }

    /// Nobody grants it.
    pub fn no(reason: impl Into<String>) -> Decision {
        Decision { allowed: false, reason: reason.into(), denied: false }
    }
}

/// What a request says beside what it wants, for those who look closer than roles do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Detail<'a> {
    /// The API version; empty if there is none.
    pub version: &'a str,
    /// The field selector.
    pub fields: &'a str,
    /// The label selector.
    pub labels: &'a str,
}

/// Kubernetes' authorizers in their order: the node authorizer, then role-based access control over
/// a cache of roles and bindings.
#[derive(Debug, Default)]
pub struct Authorizer {
    cache: RwLock<RoleCache>,
    nodes: RwLock<NodeGraph>,
}

impl Authorizer {
    /// Decides.
    pub fn decide(&self, who: &Identity, wanted: &Wanted<'_>) -> Decision {
        self.decide_selected(who, wanted, Fields::default())
    }

    /// Decides about a collection narrowed by a field selector.
    pub fn decide_selected(&self, who: &Identity, wanted: &Wanted<'_>, fields: Fields<'_>) -> Decision {
        if who.is_in(MASTERS) {
            return Decision::yes("");
        }
        let mut refusal = String::new();
        let mut by_role = false;
        if let Some(node) = node::name_of(who) {
            let graph = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
            match graph.decide(node, wanted, fields) {
                Verdict::Allowed => return Decision::yes(""),
                Verdict::ByRole => by_role = true,
                Verdict::Denied(why) => refusal = why,
            }
        }
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        if by_role && cache.cluster_role_allows(node::ROLE, wanted) {
            return Decision::yes("");
        }
        match cache.first_grant(who, wanted) {
            Some(reason) => Decision::yes(reason),
            None => Decision::no(refusal),
        }
    }

    /// Every rule that holds for the user in that namespace (empty: cluster-wide ones only). What a
    /// node may do beside its roles is no set of rules, and is left out.
    pub fn rules_of(&self, who: &Identity, namespace: &str) -> Vec<Rule> {
        if who.is_in(MASTERS) {
            return vec![Rule::everything(), Rule::every_path()];
        }
        self.cache.read().unwrap_or_else(PoisonError::into_inner).rules_of(who, namespace)
    }

    /// The rules of a role, as a binding refers to it; `None` if there is no such role.
    pub fn rules_of_role(&self, namespace: Option<&str>, name: &str) -> Option<Vec<Rule>> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).role(namespace, name).map(<[Rule]>::to_vec)
    }

    /// Takes in a change of a role or binding.
    pub fn change(&self, apply: impl FnOnce(&mut RoleCache)) {
        apply(&mut self.cache.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Reads the roles.
    pub fn read<T>(&self, look: impl FnOnce(&RoleCache) -> T) -> T {
        look(&self.cache.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in a change of what is tied to nodes.
    pub fn change_nodes(&self, apply: impl FnOnce(&mut NodeGraph)) {
        apply(&mut self.nodes.write().unwrap_or_else(PoisonError::into_inner));
    }
}
