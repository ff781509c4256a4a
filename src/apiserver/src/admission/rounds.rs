//! What the plugins that change an object tell each other within one write.
//!
//! In: the word that an object was changed by somebody outside. Out: whether all of them look at
//! it once more, as Kubernetes' chain does; never more than twice.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use kedge_api::Object;

/// See the module. One for each write.
#[derive(Debug, Default)]
pub struct Rounds {
    again: AtomicBool,
    second: AtomicBool,
    changed: AtomicBool,
    hooks: Mutex<Hooks>,
    policies: Mutex<Hooks>,
}

/// What one kind of plugin remembers between the rounds.
#[derive(Debug, Default)]
pub struct Hooks {
    /// Whom to ask again if the object changes.
    pub asked: BTreeSet<String>,
    /// Whom to ask again, since it did.
    pub again: BTreeSet<String>,
    /// The object as they left it.
    pub left: Option<Object>,
}

impl Hooks {
    /// Everybody who wants to be asked after a change is.
    pub fn require_again(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        self.again.extend(asked);
    }
}

impl Rounds {
    /// Somebody outside changed the object: every plugin shall look at it once more.
    pub fn ask_again(&self) {
        self.again.store(true, Ordering::Relaxed);
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Whether this is the second look.
    pub fn is_second(&self) -> bool {
        self.second.load(Ordering::Relaxed)
    }

    /// Whether anybody outside changed the object.
    pub fn is_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }

    /// Begins the second round, if one was asked for and it was not made yet.
    pub(super) fn next(&self) -> bool {
        self.again.load(Ordering::Relaxed) && !self.second.swap(true, Ordering::Relaxed)
    }

    /// What policies remember.
    pub(super) fn policies(&self) -> std::sync::MutexGuard<'_, Hooks> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What webhooks remember.
    pub(super) fn hooks(&self) -> std::sync::MutexGuard<'_, Hooks> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
