//! The store as the rest of this crate sees it: values of chosen kinds are sealed before they are
//! kept and opened when they are read. Without settings every call goes straight through.
//!
//! In: what the store takes. Out: what it gives, opened. Keys, labels and selectable fields stay
//! plain, so lists and selectors work as before. A value that cannot be opened is an error about
//! that object; everything else goes on. What is sealed and how: `envelope.rs`, `settings.rs`.

mod cipher;
pub mod envelope;
pub mod settings;

use std::sync::Arc;

use bytes::Bytes;
use kedge_store::{
    BackupError, Body, Entry, Event, Op, Page, ReadError, Revision, ScrubError, Store, Tier, WatchError, WriteError,
};

use envelope::{MARK, Sealed};
use settings::{Provider, Rules};

/// Values rewritten at a time after the keys were changed: enough to share commits.
const REWRITE: usize = 64;

/// See the module.
#[derive(Clone)]
pub struct Vault {
    store: Store,
    rules: Arc<Rules>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// A store whose values are sealed by these rules.
    pub fn new(store: Store, rules: Rules) -> Self {
        Vault { store, rules: Arc::new(rules) }
    }

    /// Bytes of its files on disk.
    pub fn size(&self) -> u64 {
        let metrics = self.store.metrics();
        metrics.database_bytes + metrics.wal_bytes
    }

    /// See [`Store::create`].
    pub async fn create(&self, tier: Tier, key: &str, body: Body, index: Bytes) -> Result<Arc<Entry>, WriteError> {
        let body = self.seal(key, body);
        self.written(self.store.create(tier, key, body, index).await?)
    }

    /// See [`Store::update`].
    pub async fn update(
        &self,
        key: &str,
        expected: Revision,
        body: Body,
        index: Bytes,
    ) -> Result<Arc<Entry>, WriteError> {
        let body = self.seal(key, body);
        self.written(self.store.update(key, expected, body, index).await?)
    }

    /// See [`Store::delete`].
    pub async fn delete(&self, key: &str, expected: Revision, last: Body) -> Result<Arc<Entry>, WriteError> {
        let last = self.seal(key, last);
        self.written(self.store.delete(key, expected, last).await?)
    }

    /// See [`Store::apply`].
    pub async fn apply(&self, mut ops: Vec<Op>) -> Result<Vec<Arc<Entry>>, WriteError> {
        for op in &mut ops {
            match op {
                Op::Create { key, body, .. } | Op::Update { key, body, .. } | Op::Delete { key, last: body, .. } => {
                    *body = self.seal(key, body.clone());
                }
            }
        }
        self.store.apply(ops).await?.into_iter().map(|entry| self.written(entry)).collect()
    }

    /// See [`Store::get`].
    pub async fn get(&self, key: &str) -> Result<Option<Arc<Entry>>, ReadError> {
        self.store.get(key).await?.map(|entry| self.open(entry)).transpose()
    }

    /// See [`Store::list`]. Fails if one of the values cannot be opened.
    pub async fn list(
        &self,
        prefix: &str,
        at: Option<Revision>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, ReadError> {
        let mut page = self.store.list(prefix, at, after, limit).await?;
        for entry in page.entries.iter_mut().filter(|e| is_sealed(e)) {
            *entry = self.open(entry.clone())?;
        }
        Ok(page)
    }

    /// What is kept under a key, as it is kept if it cannot be opened.
    pub async fn locked(&self, key: &str) -> Result<Option<Result<Arc<Entry>, Arc<Entry>>>, ReadError> {
        let entry = self.store.get(key).await?;
        Ok(entry.map(|entry| self.open(entry.clone()).map_err(|_| entry)))
    }

    /// Keys below a prefix whose values cannot be opened, and why, up to a number.
    pub async fn unreadable(&self, prefix: &str, most: usize) -> Result<Vec<(Arc<str>, Arc<str>)>, ReadError> {
        let page = self.store.list(prefix, None, None, 0).await?;
        let why = |entry: Arc<Entry>| match self.open(entry) {
            Err(ReadError::Unreadable { key, why }) => Some((key, why)),
            _ => None,
        };
        Ok(page.entries.into_iter().filter(|e| is_sealed(e)).filter_map(why).take(most).collect())
    }

    /// Everything below a prefix that can be opened, for upkeep, which must go on without the rest.
    pub async fn readable(&self, prefix: &str) -> Result<Page, ReadError> {
        let mut page = self.store.list(prefix, None, None, 0).await?;
        page.entries = page.entries.into_iter().filter_map(|e| self.try_open(e)).collect();
        Ok(page)
    }

    /// See [`Store::count`].
    pub async fn count(&self, prefix: &str) -> Result<u64, ReadError> {
        self.store.count(prefix).await
    }

    /// See [`Store::rest`].
    pub async fn rest(&self, prefix: &str, at: Option<Revision>, after: Option<&str>) -> Result<u64, ReadError> {
        self.store.rest(prefix, at, after).await
    }

    /// See [`Store::watch`]. Events of values that cannot be opened are left out.
    pub fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, WatchError> {
        Ok(Watch { inner: self.store.watch(prefix, from)?, vault: self.clone() })
    }

    /// See [`Store::revision`].
    pub fn revision(&self) -> Revision {
        self.store.revision()
    }

    /// See [`Store::wait_for`].
    pub async fn wait_for(&self, revision: Revision) -> Result<(), ReadError> {
        self.store.wait_for(revision).await
    }

    /// See [`Store::backup`]: sealed values stay sealed.
    pub async fn backup(&self, path: &std::path::Path) -> Result<(), BackupError> {
        self.store.backup(path).await
    }

    /// See [`Store::restore`].
    pub async fn restore(&self, path: &std::path::Path) -> Result<Revision, BackupError> {
        self.store.restore(path).await
    }

    /// Writes again what is not sealed as it would be now: after keys were exchanged, or sealing was
    /// turned on or off. Out: how many were written and how many could not be opened. The first is owed a
    /// [`Vault::scrub`].
    pub async fn rewrite(&self) -> Result<(usize, usize), ReadError> {
        let (mut written, mut locked) = (0, 0);
        let mut noted = false;
        for prefix in self.rules.prefixes() {
            let mut after: Option<String> = None;
            loop {
                let page = self.store.list(&prefix, None, after.as_deref(), REWRITE).await?;
                after = page.entries.last().map(|e| e.key.to_string());
                for entry in &page.entries {
                    match self.again(entry) {
                        Ok(None) => {}
                        Ok(Some(body)) => {
                            // Once, before the first is replaced.
                            if !std::mem::replace(&mut noted, true)
                                && let Err(error) = self.store.owe_scrub()
                            {
                                tracing::error!(
                                    error = &error as &dyn std::error::Error,
                                    "what is sealed anew may stay on the disk as it was before"
                                );
                            }
                            let outcome =
                                self.store.update(&entry.key, entry.revision, body, entry.index.clone()).await;
                            // Whoever else wrote it sealed it.
                            written += usize::from(outcome.is_ok());
                        }
                        Err(_) => locked += 1,
                    }
                }
                if !page.more || page.entries.is_empty() {
                    break;
                }
            }
        }
        Ok((written, locked))
    }

    /// Takes what was sealed otherwise off the disk, if that is owed; out: whether it was.
    pub async fn scrub(&self) -> Result<bool, ScrubError> {
        let owed = self.store.owes_scrub();
        if owed {
            self.store.scrub().await?;
        }
        Ok(owed)
    }

    /// The body of an entry as it would be sealed now, if it is not.
    fn again(&self, entry: &Arc<Entry>) -> Result<Option<Body>, ReadError> {
        let Some(providers) = self.rules.of(&entry.key) else { return Ok(None) };
        let first = providers.first();
        let current = match (first, Sealed::parse(&entry.bytes)) {
            (Some(Provider::Key(key)), Some(sealed)) => sealed.is_by(key),
            (Some(Provider::Key(_)), None) => false,
            (_, sealed) => sealed.is_none(),
        };
        if current {
            return Ok(None);
        }
        let opened = self.open(entry.clone())?;
        let mut object = crate::registry::body::decode(&opened.bytes).map_err(|e| unreadable(&entry.key, &e))?;
        kedge_api::meta::set_resource_version(&mut object, "");
        Ok(Some(self.seal(&entry.key, crate::registry::body::encode(&object))))
    }

    fn seal(&self, key: &str, body: Body) -> Body {
        match self.rules.of(key).and_then(|providers| providers.first()) {
            Some(Provider::Key(secret)) => Body::plain(envelope::seal(secret, key, &body)),
            _ => body,
        }
    }

    fn open(&self, entry: Arc<Entry>) -> Result<Arc<Entry>, ReadError> {
        let Some(sealed) = Sealed::parse(&entry.bytes) else { return Ok(entry) };
        let secret = self.rules.key(&entry.key, &sealed);
        let secret = secret.ok_or_else(|| {
            unreadable(
                &entry.key,
                &format_args!("it is sealed with the key {:?}, which is not configured", sealed.name),
            )
        })?;
        let bytes = envelope::open(secret, &entry.key, &sealed, entry.revision)
            .ok_or_else(|| unreadable(&entry.key, &format_args!("the key {:?} does not open it", sealed.name)))?;
        Ok(Arc::new(Entry {
            key: entry.key.clone(),
            bytes,
            index: entry.index.clone(),
            revision: entry.revision,
            created: entry.created,
        }))
    }

    /// What was just written opens by the key that sealed it.
    fn written(&self, entry: Arc<Entry>) -> Result<Arc<Entry>, WriteError> {
        let fallback = entry.clone();
        Ok(self.open(entry).unwrap_or(fallback))
    }

    fn try_open(&self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        match self.open(entry) {
            Ok(entry) => Some(entry),
            Err(error) => {
                tracing::error!(%error, "a value is left out");
                None
            }
        }
    }
}

fn is_sealed(entry: &Entry) -> bool {
    entry.bytes.starts_with(MARK)
}

fn unreadable(key: &str, why: &dyn std::fmt::Display) -> ReadError {
    ReadError::Unreadable { key: key.into(), why: why.to_string().into() }
}

/// See [`kedge_store::Watch`].
#[derive(Debug)]
pub struct Watch {
    inner: kedge_store::Watch,
    vault: Vault,
}

impl Watch {
    /// See [`kedge_store::Watch::next`].
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchError> {
        loop {
            let mut events = self.inner.next().await?;
            let sealed = |e: &Arc<Event>| is_sealed(&e.entry) || e.previous.as_ref().is_some_and(|p| is_sealed(p));
            if !events.iter().any(sealed) {
                return Ok(events);
            }
            events = events.into_iter().filter_map(|event| self.opened(event)).collect();
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    /// See [`kedge_store::Watch::progress`].
    pub fn progress(&self) -> Revision {
        self.inner.progress()
    }

    fn opened(&self, event: Arc<Event>) -> Option<Arc<Event>> {
        let entry = self.vault.try_open(event.entry.clone())?;
        // Of what cannot be opened the labels and fields are known still, by which selectors judge.
        let blind = |kept: &Entry| {
            let (key, index) = (kept.key.clone(), kept.index.clone());
            Arc::new(Entry { key, bytes: entry.bytes.clone(), index, revision: kept.revision, created: kept.created })
        };
        let previous = event.previous.as_ref().map(|p| self.vault.open(p.clone()).unwrap_or_else(|_| blind(p)));
        Some(Arc::new(Event { revision: event.revision, change: event.change, entry, previous }))
    }
}
