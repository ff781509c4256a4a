//! Who may do what.
//!
//! In: an identity and what it asks for. Out: yes or no, with the reason. Roles and bindings come
//! from the store as events (`cache.rs`), never by polling; nothing is read while deciding.

pub mod cache;
pub mod defaults;
pub mod rules;

pub use cache::RoleCache;
pub use rules::{Rule, Wanted};

use std::sync::{PoisonError, RwLock};

use crate::identity::{Identity, MASTERS};

/// The answer of the authorizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may be done.
    pub allowed: bool,
    /// Which rule says so; empty for a refusal.
    pub reason: String,
}

/// Role-based access control over a cache of roles and bindings.
#[derive(Debug, Default)]
pub struct Authorizer {
    cache: RwLock<RoleCache>,
}

/// The group of the node agents and the role they have by being nodes.
const NODES: (&str, &str) = ("system:nodes", "system:node");

impl Authorizer {
    /// Decides.
    pub fn decide(&self, who: &Identity, wanted: &Wanted<'_>) -> Decision {
        if who.is_in(MASTERS) {
            return Decision { allowed: true, reason: String::new() };
        }
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = cache.first_grant(who, wanted) {
            return Decision { allowed: true, reason };
        }
        if who.is_in(NODES.0) && cache.cluster_role_allows(NODES.1, wanted) {
            return Decision { allowed: true, reason: String::new() };
        }
        Decision { allowed: false, reason: String::new() }
    }

    /// Every rule that holds for the user in that namespace (empty: cluster-wide ones only).
    pub fn rules_of(&self, who: &Identity, namespace: &str) -> Vec<Rule> {
        if who.is_in(MASTERS) {
            return vec![Rule::everything(), Rule::every_path()];
        }
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        let mut rules = cache.rules_of(who, namespace);
        if who.is_in(NODES.0) {
            rules.extend(cache.cluster_role(NODES.1).iter().cloned());
        }
        rules
    }

    /// The rules of a role, as a binding refers to it; `None` if there is no such role.
    pub fn rules_of_role(&self, namespace: Option<&str>, name: &str) -> Option<Vec<Rule>> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).role(namespace, name).map(<[Rule]>::to_vec)
    }

    /// Takes in a change of a role or binding.
    pub fn change(&self, apply: impl FnOnce(&mut RoleCache)) {
        apply(&mut self.cache.write().unwrap_or_else(PoisonError::into_inner));
    }
}
