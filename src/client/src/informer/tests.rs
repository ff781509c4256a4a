//! The informer against a scripted API.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};

use super::*;

type Script = Arc<Mutex<VecDeque<(u16, String)>>>;

/// An API that gives one scripted answer after another, then hangs; and the targets that were asked for.
fn api(answers: &[(u16, &str)]) -> (Client, Arc<Mutex<Vec<String>>>) {
    let script: Script = Arc::new(Mutex::new(answers.iter().map(|(c, b)| (*c, (*b).to_owned())).collect()));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
        seen.lock().unwrap().push(request.uri().to_string());
        let answer = script.lock().unwrap().pop_front();
        async move {
            match answer {
                Some((code, body)) => Ok::<_, std::io::Error>(
                    Response::builder().status(code).body(Full::new(Bytes::from(body))).unwrap(),
                ),
                None => std::future::pending().await,
            }
        }
    });
    (Client::from_service(service, "default"), asked)
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or("?").to_owned()
}

async fn steps(answers: &[(u16, &str)], count: usize) -> (Vec<String>, Vec<String>) {
    let (client, asked) = api(answers);
    let mut informer = Informer::<Value>::new(client, ResourcePath::core("pods"), WatchOptions::default());
    let mut seen = Vec::new();
    for _ in 0..count {
        seen.push(match informer.next().await {
            Step::Restart => "restart".to_owned(),
            Step::Apply(o) => format!("+{}", name(&o)),
            Step::Delete(o) => format!("-{}", name(&o)),
            Step::Synced => "synced".to_owned(),
        });
    }
    let asked = asked.lock().unwrap().clone();
    (seen, asked)
}

fn page(names: &[&str], version: &str, next: &str) -> String {
    let items: Vec<Value> = names.iter().map(|n| json!({"metadata": {"name": n}})).collect();
    json!({"metadata": {"resourceVersion": version, "continue": next}, "items": items}).to_string()
}

fn event(kind: &str, name: &str, version: &str) -> String {
    let object = json!({"metadata": {"name": name, "resourceVersion": version}});
    json!({"type": kind, "object": object}).to_string() + "\n"
}

#[tokio::test(start_paused = true)]
async fn a_list_in_pages_then_a_watch() {
    let watch = event("ADDED", "c", "8") + &event("BOOKMARK", "", "9") + &event("DELETED", "a", "10");
    let (seen, asked) =
        steps(&[(200, &page(&["a"], "7", "next")), (200, &page(&["b"], "7", "")), (200, &watch)], 6).await;
    assert_eq!(seen, ["restart", "+a", "+b", "synced", "+c", "-a"]);
    assert!(asked[1].contains("continue=next"), "{asked:?}");
    assert!(asked[2].contains("resourceVersion=7") && asked[2].contains("watch=true"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn an_ended_watch_goes_on_from_the_last_version() {
    let (seen, asked) =
        steps(&[(200, &page(&[], "7", "")), (200, &event("ADDED", "a", "9")), (200, &event("MODIFIED", "a", "12"))], 4)
            .await;
    assert_eq!(seen, ["restart", "synced", "+a", "+a"]);
    assert!(asked[2].contains("resourceVersion=9"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_each_watch_at_once_is_not_asked_in_a_circle() {
    let begun = tokio::time::Instant::now();
    let list = page(&[], "7", "");
    let last = event("ADDED", "a", "9");
    let mut answers = vec![(200, list.as_str())];
    answers.extend([(200, ""); 10]);
    answers.push((200, last.as_str()));
    let (seen, _) = steps(&answers, 3).await;
    assert_eq!(seen, ["restart", "synced", "+a"]);
    assert!(begun.elapsed() >= BACKOFF_FIRST * 10, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_expired_version_starts_again_with_a_list() {
    let gone =
        json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}});
    let (seen, _) =
        steps(&[(200, &page(&["a"], "7", "")), (200, &format!("{gone}\n")), (200, &page(&["b"], "20", ""))], 6).await;
    assert_eq!(seen, ["restart", "+a", "synced", "restart", "+b", "synced"]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_server_is_tried_again() {
    let (seen, asked) = steps(&[(503, "{}"), (500, "x"), (200, &page(&["a"], "7", ""))], 5).await;
    assert_eq!(seen, ["restart", "restart", "restart", "+a", "synced"]);
    assert_eq!(asked.len(), 3);
}

#[test]
fn the_wait_doubles_up_to_its_bound() {
    assert_eq!(backoff(0), Duration::from_millis(100));
    assert_eq!(backoff(3), Duration::from_millis(800));
    assert_eq!(backoff(30), BACKOFF_MOST);
}

#[tokio::test(start_paused = true)]
async fn events_are_understood_however_they_are_written() {
    let object = |name: &str| format!("{{\"metadata\":{{\"name\":\"{name}\",\"resourceVersion\":\"8\"}}}}");
    let lines = [
        format!("{{\"type\":\"ADDED\",\"object\":{}}}\n", object("a")),
        format!("{{\"type\":\"MODIFIED\",\"object\":{},\"more\":{{}}}}\n", object("b")),
        format!("{{ \"object\": {}, \"type\": \"DELETED\" }}\r\n", object("c")),
        format!("{{\"type\":\"DELETED\",\"object\":{} }}\r\n", object("d")),
        format!("{{\"type\":\"BOOKMARK\",\"object\":{}}}\n", object("e")),
        format!("{{\"type\":\"ADDED\",\"object\":{}}}\n", "7]"),
    ];
    let (seen, asked) =
        steps(&[(200, &page(&[], "7", "")), (200, &lines.concat()), (200, &page(&[], "9", ""))], 7).await;
    // What is no JSON breaks the watch: the list is read again.
    assert_eq!(seen, ["restart", "synced", "+a", "+b", "-c", "-d", "restart"]);
    assert_eq!(asked.len(), 2, "{asked:?}");
}
