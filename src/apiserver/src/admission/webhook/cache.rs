//! The webhooks there are, ready to be asked, in Kubernetes' order: by the configuration's name,
//! then as it lists them.
//!
//! In: configurations as they come and go. Out: one list for each kind of webhook. While there is
//! none, a write looks at one number.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kedge_api::Object;
use kedge_api::meta;
use kedge_store::Revision;
use tokio::sync::watch;

use super::figures::Figures;
use super::hook::{self, Hook};

/// How long a change waits to be known here before it is acknowledged: it is a matter of microseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// Which kind of webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// May change objects.
    Mutating,
    /// May only refuse.
    Validating,
}

impl Family {
    /// Both.
    pub const ALL: [Family; 2] = [Family::Mutating, Family::Validating];

    /// The plural of the configurations' kind.
    pub fn plural(self) -> &'static str {
        match self {
            Family::Mutating => "mutatingwebhookconfigurations",
            Family::Validating => "validatingwebhookconfigurations",
        }
    }

    /// The step's name in figures.
    pub fn step(self) -> &'static str {
        match self {
            Family::Mutating => "admit",
            Family::Validating => "validating",
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Webhooks {
    mutating: List,
    validating: List,
    /// What is counted.
    pub figures: Figures,
}

#[derive(Debug, Default)]
struct List {
    count: AtomicUsize,
    by_name: RwLock<BTreeMap<String, Vec<Arc<Hook>>>>,
    ordered: RwLock<Arc<[Arc<Hook>]>>,
    /// Changes up to this revision are known.
    known: watch::Sender<Revision>,
}

impl Webhooks {
    fn list(&self, family: Family) -> &List {
        match family {
            Family::Mutating => &self.mutating,
            Family::Validating => &self.validating,
        }
    }

    /// Whether there is any of that family; costs nothing.
    pub fn any(&self, family: Family) -> bool {
        self.list(family).count.load(Ordering::Acquire) != 0
    }

    /// All webhooks of a kind; `None` if there is none.
    pub fn all(&self, family: Family) -> Option<Arc<[Arc<Hook>]>> {
        let list = self.list(family);
        if list.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        Some(list.ordered.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Everything up to that revision is in the list.
    pub fn reached(&self, family: Family, revision: Revision) {
        self.list(family).known.send_if_modified(|known| std::mem::replace(known, revision.max(*known)) < revision);
    }

    /// Waits until a change of that revision is in the list, so that what was acknowledged holds.
    pub async fn settled(&self, plural: &str, revision: Revision) {
        let Some(family) = Family::ALL.into_iter().find(|family| family.plural() == plural) else { return };
        let mut known = self.list(family).known.subscribe();
        let _ = tokio::time::timeout(PATIENCE, known.wait_for(|known| *known >= revision)).await;
    }

    /// Replaces all configurations of a kind.
    pub fn fill(&self, family: Family, configurations: &[Object]) {
        let list = self.list(family);
        let fresh = configurations.iter().map(|c| (meta::name(c).to_owned(), hooks(c))).collect();
        *list.by_name.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        list.order();
    }

    /// Adds or replaces a configuration.
    pub fn put(&self, family: Family, configuration: &Object) {
        let list = self.list(family);
        let mut by_name = list.by_name.write().unwrap_or_else(PoisonError::into_inner);
        by_name.insert(meta::name(configuration).to_owned(), hooks(configuration));
        drop(by_name);
        list.order();
    }

    /// Removes a configuration.
    pub fn remove(&self, family: Family, name: &str) {
        let list = self.list(family);
        list.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        list.order();
    }
}

fn hooks(configuration: &Object) -> Vec<Arc<Hook>> {
    hook::read(configuration).into_iter().map(Arc::new).collect()
}

impl List {
    fn order(&self) {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let ordered: Arc<[Arc<Hook>]> = by_name.values().flatten().cloned().collect();
        let count = ordered.len();
        *self.ordered.write().unwrap_or_else(PoisonError::into_inner) = ordered;
        self.count.store(count, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(webhooks: &Webhooks, expected: &[&str]) {
        let all = webhooks.all(Family::Mutating);
        let seen: Vec<String> = all.iter().flat_map(|all| all.iter().map(|h| h.uid.clone())).collect();
        assert_eq!(seen, expected);
    }

    fn configuration(name: &str, hooks: &[&str]) -> Object {
        json!({"metadata": {"name": name}, "webhooks": hooks.iter().map(|h| json!({"name": h})).collect::<Vec<_>>()})
    }

    #[test]
    fn hooks_are_ordered_by_configuration_and_place() {
        let webhooks = Webhooks::default();
        check(&webhooks, &[]);
        webhooks.put(Family::Mutating, &configuration("b", &["z", "a"]));
        webhooks.put(Family::Mutating, &configuration("a", &["m"]));
        check(&webhooks, &["a/m/0", "b/z/0", "b/a/0"]);
        assert!(webhooks.all(Family::Validating).is_none());
        webhooks.remove(Family::Mutating, "b");
        check(&webhooks, &["a/m/0"]);
        webhooks.fill(Family::Mutating, &[]);
        check(&webhooks, &[]);
    }
}
