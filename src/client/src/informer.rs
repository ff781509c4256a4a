//! List, then watch, for ever: the state of a collection as a sequence of steps.
//!
//! Expected flow: `Restart`, an `Apply` for each object there is, `Synced`, then `Apply` and `Delete` as things
//! happen. After an expired version or a broken list the sequence starts again with `Restart`; on the `Synced` that
//! follows, whatever was not applied since is gone.
//!
//! Guarantees: steps of one object come in the order of its versions; `next` may be dropped and called again without
//! losing a step. Assumes that the caller keeps what it needs: nothing is cached here. Waits only on the stream or a
//! back-off with jitter; never polls. Errors are logged and retried; only the caller's drop ends it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use rand::Rng;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::Sleep;

use crate::lines::Lines;
use crate::{Client, ClientError, ListOptions, ResourcePath, Result};

/// Objects asked for in one page: 500 of 2 KiB make 1 MiB, held once.
const PAGE: u32 = 500;
/// First wait after a failure.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest wait after failures.
const BACKOFF_MOST: Duration = Duration::from_secs(30);
/// The server ends a remote watch after this long (plus up to as much again), so that dead links are noticed.
const WATCH_SECONDS: u64 = 300;

/// What to watch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WatchOptions {
    /// Label selector in its text form.
    pub labels: Option<String>,
    /// Field selector in its text form.
    pub fields: Option<String>,
    /// Ask the server to end the watch now and then; wanted over a network, needless in process.
    pub remote: bool,
}

/// What happened to a collection.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<T> {
    /// The whole state follows, up to `Synced`.
    Restart,
    /// An object is there, in this version.
    Apply(T),
    /// An object is gone; its last version.
    Delete(T),
    /// The whole state was given.
    Synced,
}

/// Follows one collection.
pub struct Informer<T> {
    client: Client,
    path: ResourcePath,
    options: WatchOptions,
    state: State,
    decode: Decode<T>,
    ready: VecDeque<Step<T>>,
    failures: u32,
}

/// Makes what the caller wants of an object's text.
type Decode<T> = Box<dyn Fn(&str) -> serde_json::Result<T> + Send + Sync>;

/// Where the informer is between two steps. Futures are kept here so that `next` may be dropped at any await.
enum State {
    /// Nothing known: list from the start.
    Start,
    /// A page is under way; the first one has emitted `Restart`.
    Listing(BoxFuture<'static, Result<Page>>),
    /// A watch from this version is to be opened.
    Listed { version: String },
    /// The watch is being opened.
    Opening { version: String, stream: BoxFuture<'static, Result<Lines>> },
    /// Events come, the last of them this one.
    Watching { version: String, last: Option<Bytes>, lines: Lines },
    /// After a failure: wait, then go on watching from `version`, or list when there is none.
    Waiting { version: Option<String>, sleep: Pin<Box<Sleep>> },
}

struct Page {
    items: Vec<Box<RawValue>>,
    version: String,
    continuation: Option<String>,
}

#[derive(Deserialize)]
struct ListFrame {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default)]
    items: Option<Vec<Box<RawValue>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMeta {
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    r#continue: Option<String>,
}

#[derive(Deserialize)]
struct EventFrame<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Versioned {
    metadata: ListMeta,
}

impl<T: DeserializeOwned> Informer<T> {
    /// An informer that has not asked anything yet.
    pub fn new(client: Client, path: ResourcePath, options: WatchOptions) -> Self {
        Informer::reading(client, path, options, |text| serde_json::from_str(text))
    }
}

impl<T> Informer<T> {
    /// One that makes something else of the text of each object.
    pub fn reading(
        client: Client,
        path: ResourcePath,
        options: WatchOptions,
        decode: impl Fn(&str) -> serde_json::Result<T> + Send + Sync + 'static,
    ) -> Self {
        let decode = Box::new(decode);
        Informer { client, path, options, state: State::Start, decode, ready: VecDeque::new(), failures: 0 }
    }

    /// The next step. Never ends; cancel-safe.
    pub async fn next(&mut self) -> Step<T> {
        loop {
            if let Some(step) = self.ready.pop_front() {
                return step;
            }
            self.advance().await;
        }
    }

    /// Awaits one thing and moves on. State changes only after the await, so dropping the future loses nothing.
    async fn advance(&mut self) {
        match &mut self.state {
            State::Start => {
                self.ready.push_back(Step::Restart);
                self.state = State::Listing(self.list(None));
            }
            State::Listing(page) => {
                let page = page.await;
                self.listed(page);
            }
            State::Listed { version } => {
                let version = std::mem::take(version);
                let stream = self.open(&version);
                self.state = State::Opening { version, stream };
            }
            State::Opening { version, stream } => match stream.await {
                Ok(lines) => {
                    let version = std::mem::take(version);
                    self.state = State::Watching { version, last: None, lines };
                }
                Err(e) => {
                    let version = std::mem::take(version);
                    self.failed(Some(version), &e);
                }
            },
            State::Watching { version, last, lines } => match lines.next().await {
                Some(Ok(line)) => self.event(line),
                Some(Err(e)) => {
                    let version = reached(version, last.as_deref());
                    self.failed(Some(version), &e);
                }
                // The server ended the watch in good order: go on from where it was, after a breath, since one that
                // is shutting down ends each watch at once.
                None => {
                    let version = Some(reached(version, last.as_deref()));
                    self.state = State::Waiting { version, sleep: Box::pin(tokio::time::sleep(BACKOFF_FIRST)) };
                }
            },
            State::Waiting { version, sleep } => {
                sleep.as_mut().await;
                self.state = match version.take() {
                    Some(version) => State::Listed { version },
                    None => State::Start,
                };
            }
        }
    }

    fn list(&self, continuation: Option<String>) -> BoxFuture<'static, Result<Page>> {
        let options = ListOptions {
            labels: self.options.labels.clone(),
            fields: self.options.fields.clone(),
            limit: Some(PAGE),
            continuation,
            resource_version: None,
        };
        let (client, target) = (self.client.clone(), self.path.with_query(&options.query()));
        Box::pin(async move {
            let body = client.call(http::Method::GET, &target, None, Vec::new()).await?;
            let frame: ListFrame =
                serde_json::from_slice(&body).map_err(|source| ClientError::Decode { path: target.clone(), source })?;
            Ok(Page {
                items: frame.items.unwrap_or_default(),
                version: frame.metadata.resource_version,
                continuation: frame.metadata.r#continue.filter(|c| !c.is_empty()),
            })
        })
    }

    fn listed(&mut self, page: Result<Page>) {
        match page {
            Ok(page) => {
                for item in &page.items {
                    self.apply(item, Step::Apply);
                }
                self.state = match page.continuation {
                    Some(continuation) => State::Listing(self.list(Some(continuation))),
                    None => {
                        self.failures = 0;
                        self.ready.push_back(Step::Synced);
                        State::Listed { version: page.version }
                    }
                };
            }
            Err(e) => self.failed(None, &e),
        }
    }

    fn open(&self, version: &str) -> BoxFuture<'static, Result<Lines>> {
        let mut query = vec![
            ("watch", "true".to_owned()),
            ("allowWatchBookmarks", "true".to_owned()),
            ("resourceVersion", version.to_owned()),
        ];
        query.extend(self.options.labels.clone().map(|s| ("labelSelector", s)));
        query.extend(self.options.fields.clone().map(|s| ("fieldSelector", s)));
        if self.options.remote {
            let seconds = WATCH_SECONDS + rand::rng().random_range(0..WATCH_SECONDS);
            query.push(("timeoutSeconds", seconds.to_string()));
        }
        let (client, target) = (self.client.clone(), self.path.with_query(&query));
        Box::pin(async move { Ok(Lines::of(client.stream(&target).await?)) })
    }

    fn event(&mut self, line: Bytes) {
        if line.is_empty() {
            return;
        }
        // Nearly every event: its object is read once.
        if let Some((step, text)) = plain(&line)
            && let Ok(object) = (self.decode)(text)
        {
            self.failures = 0;
            self.ready.push_back(step(object));
            if let State::Watching { last, .. } = &mut self.state {
                *last = Some(line);
            }
            return;
        }
        let frame: EventFrame<'_> = match serde_json::from_slice(&line) {
            Ok(frame) => frame,
            Err(source) => {
                return self.failed(None, &ClientError::Decode { path: self.path.to_string(), source });
            }
        };
        if frame.r#type == "ERROR" {
            let error = ClientError::from_status(500, frame.object.get().as_bytes(), None);
            let version = match &self.state {
                State::Watching { version, last, .. } if !error.is_expired() => Some(reached(version, last.as_deref())),
                _ => None,
            };
            return self.failed(version, &error);
        }
        self.failures = 0;
        match frame.r#type {
            "ADDED" | "MODIFIED" => self.apply(frame.object, Step::Apply),
            "DELETED" => self.apply(frame.object, Step::Delete),
            "BOOKMARK" => {}
            other => {
                tracing::warn!(path = %self.path, kind = other, "a watch event of an unknown type was passed over")
            }
        }
        if let State::Watching { last, .. } = &mut self.state {
            *last = Some(line);
        }
    }

    fn apply(&mut self, object: &RawValue, step: Told<T>) {
        match (self.decode)(object.get()) {
            Ok(object) => self.ready.push_back(step(object)),
            Err(e) => {
                tracing::error!(path = %self.path, error = %e, "an object could not be decoded and was passed over")
            }
        }
    }

    fn failed(&mut self, version: Option<String>, error: &ClientError) {
        let version = version.filter(|_| !error.is_expired());
        if error.is_expired() {
            tracing::debug!(path = %self.path, "the version watched is no longer kept; listing again");
        } else {
            tracing::warn!(path = %self.path, error = %error, "a watch failed; trying again");
        }
        let most = backoff(self.failures);
        self.failures = self.failures.saturating_add(1);
        let wait = rand::rng().random_range(most / 2..=most);
        self.state = State::Waiting { version, sleep: Box::pin(tokio::time::sleep(wait)) };
    }
}

/// What is told of an object.
type Told<T> = fn(T) -> Step<T>;

/// The step and the object's text of an event about an object that is written as API servers write it. What follows the
/// object is taken for a part of it: decoding says so.
fn plain<T>(line: &[u8]) -> Option<(Told<T>, &str)> {
    let text = std::str::from_utf8(line).ok()?;
    let (kind, rest) = text.strip_prefix("{\"type\":\"")?.split_once('"')?;
    let object = rest.strip_prefix(",\"object\":")?.trim_end().strip_suffix('}')?;
    match kind {
        "ADDED" | "MODIFIED" => Some((Step::Apply, object)),
        "DELETED" => Some((Step::Delete, object)),
        _ => None,
    }
}

/// The version a watch has come to: that of its last event, or where it began. Only asked for when a watch ends, so that
/// events are not read once more for it.
fn reached(began: &str, last: Option<&[u8]>) -> String {
    let seen = last.and_then(|line| serde_json::from_slice::<EventFrame<'_>>(line).ok());
    let seen = seen.and_then(|frame| serde_json::from_str::<Versioned>(frame.object.get()).ok());
    seen.map_or_else(|| began.to_owned(), |seen| seen.metadata.resource_version)
}

/// The longest wait before try number `failures + 1`: 0.1 s doubling to 30 s.
fn backoff(failures: u32) -> Duration {
    BACKOFF_FIRST.saturating_mul(1 << failures.min(16)).min(BACKOFF_MOST)
}

#[cfg(test)]
mod tests;
