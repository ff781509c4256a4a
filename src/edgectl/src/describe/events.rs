//! Events at the end of a page.
//!
//! In: events, and the time. Out: lines. Never asks the server.

use std::time::SystemTime;

use serde_json::Value;

use super::page::Page;
use super::values::{age, number, words};

/// All events of an object, those last whose last time is the latest.
pub fn events(mut found: Vec<Value>, now: SystemTime, page: &mut Page) {
    if found.is_empty() {
        return page.line(0, "Events", "<none>");
    }
    found.sort_by_key(|event| words(&event["lastTimestamp"]));
    page.cut();
    page.raw(0, "Events:\n  Type\tReason\tAge\tFrom\tMessage\n  ----\t------\t----\t----\t-------");
    for event in &found {
        let component = words(&event["source"]["component"]);
        let from = if component.is_empty() { words(&event["reportingComponent"]) } else { component };
        let message = words(&event["message"]);
        let part = words(&event["involvedObject"]["fieldPath"]);
        let part = if part.is_empty() { part } else { part + ": " };
        let [of, why] = ["type", "reason"].map(|field| words(&event[field]));
        page.raw(1, format!("{of}\t{why}\t{}\t{from}\t{part}{}", interval(event, now), message.trim()));
    }
}

/// How long ago, and how often: `5s`, `5s (x3 over 2m)`.
fn interval(event: &Value, now: SystemTime) -> String {
    let first = if event["eventTime"].is_null() { &event["firstTimestamp"] } else { &event["eventTime"] };
    let first = age(first, now);
    let series = &event["series"];
    if !series.is_null() {
        return format!("{} (x{} over {first})", age(&series["lastObservedTime"], now), number(&series["count"]));
    }
    match number(&event["count"]) {
        count if count > 1 => format!("{} (x{count} over {first})", age(&event["lastTimestamp"], now)),
        _ => first,
    }
}

#[cfg(test)]
mod tests {
    use kedge_api::clock;
    use serde_json::json;

    use super::*;
    use crate::describe::page::check;

    #[test]
    fn events_are_told_in_columns_of_their_own() {
        let now = clock::parse("2026-11-30T10:10:00Z").unwrap();
        let event = |reason: &str, extra: Value| {
            let mut event = json!({"type": "Normal", "reason": reason, "message": " well\n", "source": {"component": "kubelet"},
                "firstTimestamp": "2026-11-30T10:00:00Z", "lastTimestamp": "2026-11-30T10:09:55Z"});
            extra.as_object().unwrap().iter().for_each(|(key, value)| event[key] = value.clone());
            event
        };
        let found = vec![
            event("B", json!({"count": 3, "involvedObject": {"fieldPath": "spec.containers{c}"}})),
            event(
                "A",
                json!({"lastTimestamp": null, "firstTimestamp": null, "source": {}, "reportingComponent": "scheduler",
                "eventTime": "2026-11-30T10:00:00Z", "series": {"count": 4, "lastObservedTime": "2026-11-30T10:09:00Z"}}),
            ),
        ];
        check(
            |page| {
                page.line(0, "A longer name", "x");
                events(found, now, page);
            },
            "A longer name:  x\nEvents:\n  Type    Reason  Age                From       Message\n  ----    ------  ----               ----       -------\n  Normal  A       60s (x4 over 10m)  scheduler  well\n  Normal  B       5s (x3 over 10m)   kubelet    spec.containers{c}: well\n",
        );
        check(|page| events(Vec::new(), now, page), "Events:  <none>\n");
    }
}
