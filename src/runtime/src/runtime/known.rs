//! What the daemon knows about its containers, and the gates that put acts on one thing in order.
//!
//! In: names and states. Out: the same. In memory only: the state folder is what lasts.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use kedge_api::machine::{ContainerStatus, Exit};
use tokio::sync::OwnedMutexGuard;

use super::not_found;
use crate::error::{Result, RuntimeError};
use crate::life::Processes;

/// How a container stands.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Made; its first process waits.
    Created(Processes),
    /// Its program runs.
    Running {
        /// Its processes.
        processes: Processes,
        /// Since when.
        started: SystemTime,
    },
    /// It ended.
    Exited(Exit),
    /// It is gone and nobody knows how.
    Lost,
}

impl State {
    /// The refusal of an act that needs another state.
    pub fn refuse(&self, act: &'static str, id: &str) -> RuntimeError {
        let state = match self {
            Self::Created(_) => "created",
            Self::Running { .. } => "running",
            Self::Exited(_) => "exited",
            Self::Lost => "lost",
        };
        RuntimeError::State { act, id: id.to_owned(), state }
    }
}

/// One container.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its pod.
    pub pod_uid: String,
    /// How it stands.
    pub state: State,
}

/// All containers, by name.
#[derive(Default)]
pub struct KnownContainers {
    all: Mutex<BTreeMap<String, Known>>,
}

impl KnownContainers {
    /// Adds or replaces one.
    pub fn put(&self, id: &str, pod_uid: &str, state: State) {
        let known = Known { pod_uid: pod_uid.to_owned(), state };
        self.lock().insert(id.to_owned(), known);
    }

    /// One, if there is one.
    pub fn get(&self, id: &str) -> Option<Known> {
        self.lock().get(id).cloned()
    }

    /// How one stands.
    pub fn state(&self, id: &str) -> Result<State> {
        self.get(id).map(|known| known.state).ok_or_else(|| not_found("container", id))
    }

    /// How one stands, in the node's words.
    pub fn status(&self, id: &str) -> Result<ContainerStatus> {
        let known = self.get(id).ok_or_else(|| not_found("container", id))?;
        Ok(status(id, &known))
    }

    /// How all stand.
    pub fn all(&self) -> Vec<ContainerStatus> {
        self.lock().iter().map(|(id, known)| status(id, known)).collect()
    }

    /// It runs, unless it has ended meanwhile.
    pub fn started(&self, id: &str, processes: Processes, started: SystemTime) {
        if let Some(known) = self.lock().get_mut(id)
            && matches!(known.state, State::Created(_))
        {
            known.state = State::Running { processes, started };
        }
    }

    /// It ended.
    pub fn exited(&self, id: &str, exit: Exit) {
        if let Some(known) = self.lock().get_mut(id) {
            known.state = State::Exited(exit);
        }
    }

    /// It is removed.
    pub fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    /// All are removed.
    pub fn forget_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn status(id: &str, known: &Known) -> ContainerStatus {
    ContainerStatus { id: id.to_owned(), pod_uid: known.pod_uid.clone(), state: (&known.state).into() }
}

type Gate = tokio::sync::Mutex<()>;

/// Lets one act at a time pass for each container and sandbox.
#[derive(Default)]
pub struct Gates {
    all: Mutex<HashMap<(&'static str, String), Weak<Gate>>>,
}

impl Gates {
    /// Waits for the acts that came before.
    pub async fn enter(&self, what: &'static str, id: &str) -> OwnedMutexGuard<()> {
        let gate = {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            // Gates that nobody uses go away as others come.
            all.retain(|_, gate| gate.strong_count() > 0);
            let key = (what, id.to_owned());
            let open = all.get(&key).and_then(Weak::upgrade);
            open.unwrap_or_else(|| {
                let gate = Arc::default();
                all.insert(key, Arc::downgrade(&gate));
                gate
            })
        };
        gate.lock_owned().await
    }
}
