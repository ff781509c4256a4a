//! Whether there are any objects of the kinds that bind what others may make: limit ranges, quotas, pod presets.
//!
//! In: objects of those kinds come and go. Out: a look that costs one atomic load, so that requests pay nothing
//! where nothing is bound. The numbers are exact: each write that succeeded counts once.

use std::sync::atomic::{AtomicU64, Ordering};

use kedge_api::kinds::Kind;
use kedge_store::ReadError;

use crate::registry::keys;
use crate::vault::Vault;

/// A kind that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// LimitRange.
    LimitRanges,
    /// ResourceQuota.
    Quotas,
    /// PodPreset.
    Presets,
}

const KINDS: [(&str, &str); 3] = [("", "limitranges"), ("", "resourcequotas"), ("settings.k8s.io", "podpresets")];

/// How many objects there are of each of those kinds.
#[derive(Debug, Default)]
pub struct Presence([AtomicU64; KINDS.len()]);

impl Presence {
    /// Counts what the store holds.
    pub async fn of(store: &Vault) -> Result<Self, ReadError> {
        let presence = Presence::default();
        presence.count(store).await?;
        Ok(presence)
    }

    /// Counts again, after all objects were replaced.
    pub async fn count(&self, store: &Vault) -> Result<(), ReadError> {
        for (counter, (group, plural)) in self.0.iter().zip(KINDS) {
            counter.store(store.count(&keys::fixed(group, plural, "", "")).await?, Ordering::Release);
        }
        Ok(())
    }

    /// Whether there are any.
    pub fn any(&self, kind: Bound) -> bool {
        self.0[kind as usize].load(Ordering::Acquire) > 0
    }

    /// An object of that kind was made.
    pub fn came(&self, kind: &Kind) {
        if let Some(counter) = self.counter(kind) {
            counter.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// An object of that kind is gone.
    pub fn went(&self, kind: &Kind) {
        if let Some(counter) = self.counter(kind) {
            counter.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn counter(&self, kind: &Kind) -> Option<&AtomicU64> {
        let at = KINDS.iter().position(|(group, plural)| kind.stored.0 == *group && kind.plural == *plural)?;
        self.0.get(at)
    }
}
