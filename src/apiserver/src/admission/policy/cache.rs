//! The policies there are, compiled and joined with their bindings, in the order of their names.
//!
//! In: policies and bindings as they come and go. Out: one list for each kind of policy. While no policy is bound, a write
//! looks at one number.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use kedge_api::{Object, meta};
use kedge_store::Revision;
use tokio::sync::watch;

use super::figures::Figures;
use super::read::{Binding, Policy};

/// How long a change waits to be known here before it is acknowledged: it is a matter of microseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// Which kind of policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// May change objects.
    Mutating,
    /// May only refuse.
    Validating,
}

/// What a key below the group is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A policy.
    Policy(Family),
    /// A binding.
    Binding(Family),
}

impl Part {
    /// The part of that plural.
    pub fn of(plural: &str) -> Option<Part> {
        Some(match plural {
            "mutatingadmissionpolicies" => Part::Policy(Family::Mutating),
            "validatingadmissionpolicies" => Part::Policy(Family::Validating),
            "mutatingadmissionpolicybindings" => Part::Binding(Family::Mutating),
            "validatingadmissionpolicybindings" => Part::Binding(Family::Validating),
            _ => return None,
        })
    }
}

/// A policy with everything that binds it.
#[derive(Debug)]
pub struct Hook {
    /// The policy.
    pub policy: Arc<Policy>,
    /// What binds it, by name.
    pub bindings: Vec<Arc<Binding>>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Policies {
    counts: [AtomicUsize; 2],
    kept: Mutex<Kept>,
    bound: [RwLock<Arc<[Hook]>>; 2],
    /// What is counted.
    pub figures: Figures,
    /// Changes up to this revision are known.
    known: watch::Sender<Revision>,
}

#[derive(Debug, Default)]
struct Kept {
    policies: BTreeMap<(Family, String), Arc<Policy>>,
    bindings: BTreeMap<(Family, String), Arc<Binding>>,
}

impl Policies {
    /// Whether there is any of that family; costs nothing.
    pub fn any(&self, family: Family) -> bool {
        self.counts[family as usize].load(Ordering::Acquire) != 0
    }

    /// All bound policies of a kind; `None` if there is none.
    pub fn all(&self, family: Family) -> Option<Arc<[Hook]>> {
        if self.counts[family as usize].load(Ordering::Acquire) == 0 {
            return None;
        }
        Some(self.bound[family as usize].read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Everything up to that revision is in the lists.
    pub fn reached(&self, revision: Revision) {
        self.known.send_if_modified(|known| std::mem::replace(known, revision.max(*known)) < revision);
    }

    /// Waits until a change of that revision is in the lists, so that what was acknowledged holds.
    pub async fn settled(&self, plural: &str, revision: Revision) {
        if Part::of(plural).is_some() {
            let mut known = self.known.subscribe();
            let _ = tokio::time::timeout(PATIENCE, known.wait_for(|known| *known >= revision)).await;
        }
    }

    /// Forgets everything, before all is read again.
    pub fn clear(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
    }

    /// Adds or replaces a policy or binding.
    pub fn put(&self, part: Part, object: &Object) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let name = meta::name(object).to_owned();
        let family = match part {
            Part::Policy(family) => {
                let key = (family, name);
                // A status that is written changes nothing.
                if kept.policies.get(&key).is_some_and(|policy| policy.is_of(object)) {
                    return;
                }
                kept.policies.insert(key, Arc::new(Policy::read(object, family)));
                family
            }
            Part::Binding(family) => {
                kept.bindings.insert((family, name), Arc::new(Binding::read(object)));
                family
            }
        };
        self.join(&kept, family);
    }

    /// Removes a policy or binding.
    pub fn remove(&self, part: Part, name: &str) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let family = match part {
            Part::Policy(family) => {
                kept.policies.remove(&(family, name.to_owned()));
                family
            }
            Part::Binding(family) => {
                kept.bindings.remove(&(family, name.to_owned()));
                family
            }
        };
        self.join(&kept, family);
    }

    fn join(&self, kept: &Kept, family: Family) {
        let own = kept.policies.iter().filter(|((of, _), _)| *of == family);
        let hooks: Arc<[Hook]> = own
            .map(|((_, name), policy)| {
                let bindings =
                    kept.bindings.iter().filter(|((of, _), binding)| *of == family && binding.policy == *name);
                Hook { policy: policy.clone(), bindings: bindings.map(|(_, binding)| binding.clone()).collect() }
            })
            .filter(|hook| !hook.bindings.is_empty())
            .collect();
        let count = hooks.len();
        *self.bound[family as usize].write().unwrap_or_else(PoisonError::into_inner) = hooks;
        self.counts[family as usize].store(count, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(policies: &Policies, expected: &[&str]) {
        let all = policies.all(Family::Validating);
        let seen: Vec<String> = all
            .iter()
            .flat_map(|all| all.iter())
            .flat_map(|hook| hook.bindings.iter().map(|b| format!("{}/{}", hook.policy.name, b.name)))
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn policies_are_asked_once_they_are_bound() {
        let policies = Policies::default();
        let (policy, binding) = (Part::Policy(Family::Validating), Part::Binding(Family::Validating));
        policies.put(policy, &json!({"metadata": {"name": "a"}}));
        check(&policies, &[]);
        policies.put(binding, &json!({"metadata": {"name": "y"}, "spec": {"policyName": "a"}}));
        policies.put(binding, &json!({"metadata": {"name": "x"}, "spec": {"policyName": "a"}}));
        policies.put(binding, &json!({"metadata": {"name": "z"}, "spec": {"policyName": "none"}}));
        check(&policies, &["a/x", "a/y"]);
        assert!(policies.all(Family::Mutating).is_none());
        policies.remove(binding, "x");
        check(&policies, &["a/y"]);
        policies.remove(policy, "a");
        check(&policies, &[]);
    }
}
