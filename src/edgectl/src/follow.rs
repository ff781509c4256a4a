//! A collection as it is, and then each change of it, in the form that was asked for: objects or rows of tables.
//!
//! In: a path, selectors, a media type. Out: the list, then events from exactly where the list ended. A link that breaks
//! is opened again from the last version seen; after a version that is no longer kept only what has changed since is
//! given. Never polls.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use http::header;
use kedge_client::{ClientError, Lines, ListOptions, ResourcePath};
use serde_json::Value;

use crate::error::Failure;
use crate::session::Session;

/// The largest answer: ten thousand rows with their metadata.
pub const LIMIT: usize = 256 << 20;
/// The wait before a link is opened again.
const AGAIN: Duration = Duration::from_millis(100);

/// What happened.
#[derive(Debug, PartialEq)]
pub struct Event {
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub of_type: String,
    /// The object, or a table with its row.
    pub object: Value,
}

/// Follows one collection.
pub struct Follow<'a> {
    session: &'a Session,
    path: ResourcePath,
    options: ListOptions,
    accept: &'static str,
    /// The version of each object by its UID: what is not new is not given again.
    known: HashMap<String, String>,
    version: String,
    lines: Option<Lines>,
    ready: Vec<Event>,
}

impl<'a> Follow<'a> {
    /// One that has not asked yet.
    pub fn new(session: &'a Session, path: ResourcePath, options: ListOptions, accept: &'static str) -> Self {
        let (known, version) = (HashMap::new(), String::new());
        Follow { session, path, options, accept, known, version, lines: None, ready: Vec::new() }
    }

    /// The whole list, which is given first.
    pub async fn list(&mut self) -> Result<Value, ClientError> {
        let list = fetch(self.session, &self.path.with_query(&self.options.query()), self.accept).await?;
        self.version = list["metadata"]["resourceVersion"].as_str().unwrap_or("").to_owned();
        for one in parts(&list) {
            self.is_new("", one);
        }
        Ok(list)
    }

    /// The next event; an error that will not pass by itself ends it.
    pub async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            if let Some(event) = self.ready.pop() {
                return Ok(event);
            }
            let Some(lines) = &mut self.lines else {
                self.open().await?;
                continue;
            };
            let event = match lines.next().await {
                Some(Ok(line)) => serde_json::from_slice::<Value>(&line).unwrap_or(Value::Null),
                Some(Err(_)) | None => {
                    self.lines = None;
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            let (of_type, object) = (event["type"].as_str().unwrap_or(""), &event["object"]);
            let one = parts(object).next().unwrap_or(object);
            match of_type {
                "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" => {
                    if let Some(version) = one["metadata"]["resourceVersion"].as_str().filter(|v| !v.is_empty()) {
                        self.version = version.to_owned();
                    }
                    if of_type != "BOOKMARK" && self.is_new(of_type, one) {
                        return Ok(Event { of_type: of_type.to_owned(), object: object.clone() });
                    }
                }
                "ERROR" if object["code"] == 410 => self.again().await?,
                "ERROR" => return Err(Failure::said(object["message"].as_str().unwrap_or("the watch failed"))),
                _ => {}
            }
        }
    }

    /// Whether an object was not given yet in this version; it is known from then on.
    fn is_new(&mut self, of_type: &str, object: &Value) -> bool {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or("").to_owned();
        let (id, version) = (text("uid"), text("resourceVersion"));
        if id.is_empty() {
            return true;
        }
        if of_type == "DELETED" {
            self.known.remove(&id);
            return true;
        }
        self.known.insert(id, version.clone()).is_none_or(|before| before != version)
    }

    async fn open(&mut self) -> Result<(), Failure> {
        let mut query = vec![
            ("watch", "true".to_owned()),
            ("allowWatchBookmarks", "true".to_owned()),
            ("resourceVersion", self.version.clone()),
        ];
        query.extend(self.options.query().into_iter().filter(|(key, _)| key.ends_with("Selector")));
        let url = self.path.with_query(&query);
        match self.session.client.send(request(&url, self.accept)?).await {
            Ok(answer) => self.lines = Some(Lines::of(kedge_client::pieces(answer.into_body()))),
            Err(error) if error.is_expired() => self.again().await?,
            Err(error @ ClientError::Status { .. }) if error.code().is_some_and(|code| code < 500 && code != 429) => {
                return Err(error.into());
            }
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
        Ok(())
    }

    /// Lists anew; what has changed since comes as events.
    async fn again(&mut self) -> Result<(), Failure> {
        self.lines = None;
        let list = fetch(self.session, &self.path.with_query(&self.options.query()), self.accept).await?;
        self.version = list["metadata"]["resourceVersion"].as_str().unwrap_or("").to_owned();
        let is_table = list["rows"].is_array();
        let there: HashSet<&str> = parts(&list).filter_map(|one| one["metadata"]["uid"].as_str()).collect();
        self.known.retain(|id, _| there.contains(&**id));
        for (at, one) in parts(&list).enumerate().collect::<Vec<_>>() {
            let was = self.known.len();
            if self.is_new("", one) {
                let object = if is_table {
                    let mut table = list.clone();
                    table["rows"] = Value::Array(vec![list["rows"][at].clone()]);
                    table
                } else {
                    one.clone()
                };
                let of_type = if self.known.len() > was { "ADDED" } else { "MODIFIED" }.to_owned();
                self.ready.push(Event { of_type, object });
            }
        }
        self.ready.reverse();
        Ok(())
    }
}

/// The objects of a list or of a table's rows.
pub fn parts(list: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match list["rows"].as_array() {
        Some(rows) => Box::new(rows.iter().map(|row| &row["object"])),
        None => Box::new(list["items"].as_array().into_iter().flatten()),
    }
}

/// One answer in a form.
pub async fn fetch(session: &Session, url: &str, accept: &str) -> Result<Value, ClientError> {
    let body = session.client.fetch(request(url, accept)?, LIMIT).await?;
    serde_json::from_slice(&body).map_err(|source| ClientError::Decode { path: url.to_owned(), source })
}

fn request(url: &str, accept: &str) -> Result<http::Request<Bytes>, ClientError> {
    let request = http::Request::get(url).header(header::ACCEPT, accept).body(Bytes::new());
    request.map_err(|source| ClientError::Request { path: url.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::fake;

    fn pod(uid: &str, version: &str) -> Value {
        json!({"metadata": {"name": uid, "uid": uid, "resourceVersion": version}})
    }

    fn event(of_type: &str, object: Value) -> String {
        json!({"type": of_type, "object": object}).to_string() + "\n"
    }

    #[tokio::test]
    async fn nothing_is_lost_and_nothing_comes_twice() {
        let lists = AtomicUsize::new(0);
        let (session, log) = fake::session(move |asked| {
            let line = asked.line.as_str();
            if !line.contains("watch=true") {
                let first = lists.fetch_add(1, Ordering::Relaxed) == 0;
                let (version, items) = if first {
                    ("5", vec![pod("a", "1"), pod("b", "2")])
                } else {
                    ("9", vec![pod("a", "1"), pod("b", "8"), pod("c", "9")])
                };
                return (200, json!({"metadata": {"resourceVersion": version}, "items": items}));
            }
            let events = if line.contains("resourceVersion=5") {
                event("MODIFIED", pod("a", "6")) + &event("BOOKMARK", pod("", "7")) + &event("DELETED", pod("a", "7"))
            } else if line.contains("resourceVersion=7") {
                event("ERROR", json!({"code": 410, "message": "too old"}))
            } else {
                event("ADDED", pod("d", "10"))
            };
            (200, Value::String(events))
        });
        let mut follow = Follow::new(&session, ResourcePath::core("pods"), ListOptions::default(), "application/json");
        assert_eq!(parts(&follow.list().await.unwrap()).count(), 2);
        let mut seen = Vec::new();
        for _ in 0..6 {
            let event = follow.next().await.unwrap();
            seen.push(format!("{} {}", event.of_type, event.object["metadata"]["name"].as_str().unwrap()));
        }
        assert_eq!(seen, ["MODIFIED a", "DELETED a", "ADDED a", "MODIFIED b", "ADDED c", "ADDED d"]);
        let watches = log.lines().into_iter().filter(|line| line.contains("watch=true")).collect::<Vec<_>>();
        assert!(watches[0].contains("resourceVersion=5") && watches[1].contains("resourceVersion=7"), "{watches:?}");
    }

    #[tokio::test]
    async fn what_does_not_pass_ends_it() {
        let (session, _) = fake::session(|asked| match asked.line.contains("watch=true") {
            true => fake::refusal(403, "Forbidden"),
            false => (200, json!({"metadata": {"resourceVersion": "1"}, "items": []})),
        });
        let mut follow = Follow::new(&session, ResourcePath::core("pods"), ListOptions::default(), "application/json");
        follow.list().await.unwrap();
        assert!(follow.next().await.unwrap_err().words().contains("Forbidden"));
    }
}
