//! `events`: what has happened, oldest first, and what happens next.
//!
//! In: events of a namespace, of one object or of all. Out: rows or objects. Never asks twice: it watches.

use std::process::ExitCode;
use std::time::SystemTime;

use kedge_api::clock;
use kedge_client::{ListOptions, ResourcePath};
use serde_json::{Value, json};

use crate::args::Events;
use crate::error::Failure;
use crate::follow::{Event, Follow, parts};
use crate::output::{self, Format, columns};
use crate::screen::{padded, safe};
use crate::session::Session;

/// Runs the verb.
pub async fn run(session: Session, args: Events) -> Result<ExitCode, Failure> {
    if let Some(other) = args.types.iter().find(|of| !["normal", "warning"].contains(&of.to_lowercase().as_str())) {
        return Err(Failure::said(format!("valid --types are Normal or Warning, not {other}")));
    }
    let format = Format::parse(args.output.as_deref())?;
    let fields = match &args.about {
        None => None,
        Some(text) => {
            let (of, name) = text
                .split_once('/')
                .filter(|(of, name)| !of.is_empty() && !name.is_empty())
                .ok_or_else(|| Failure::said("--for must be in resource/name form"))?;
            let kind = session.catalogue().await?.find(of)?.kind.clone();
            Some(format!("involvedObject.kind={kind},involvedObject.name={name}"))
        }
    };
    let path = ResourcePath::core("events");
    let path = if args.all_namespaces { path } else { path.namespace(&*session.namespace) };
    let mut follow = Follow::new(&session, path, ListOptions { fields, ..ListOptions::default() }, "application/json");
    let list = follow.list().await?;
    let mut found: Vec<Value> = parts(&list).filter(|event| event.is_object()).cloned().collect();
    found.retain(|event| is_of(event, &args.types));
    // By the time and not its text: some are told to the second, some to its millionth.
    found.sort_by_cached_key(|event| clock::parse(&seen(event)));
    if found.is_empty() && !args.watch {
        match args.all_namespaces {
            true => eprintln!("No events found"),
            false => eprintln!("No events found in {} namespace.", session.namespace),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut printer = Printer { args: &args, format, widths: Vec::new() };
    printer.all(found)?;
    if args.watch {
        printer.watch(follow).await?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Printer<'a> {
    args: &'a Events,
    format: Format,
    widths: Vec<usize>,
}

impl Printer<'_> {
    fn all(&mut self, mut events: Vec<Value>) -> Result<(), Failure> {
        for event in &mut events {
            (event["apiVersion"], event["kind"]) = (json!("v1"), json!("Event"));
        }
        if let Format::Table { .. } = self.format {
            let now = SystemTime::now();
            let mut rows: Vec<Vec<String>> = Vec::new();
            if !self.args.no_headers {
                let mut head = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"].map(str::to_owned).to_vec();
                if self.args.all_namespaces {
                    head.insert(0, "NAMESPACE".to_owned());
                }
                rows.push(head);
            }
            rows.extend(events.iter().map(|event| row(event, self.args.all_namespaces, now)));
            let count = rows.iter().map(Vec::len).max().unwrap_or(0);
            let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
            self.widths = (0..count).map(width).collect();
            print!("{}", columns(&rows));
        } else if self.format == Format::Name {
            events.iter().for_each(|event| println!("event/{}", text(&event["metadata"]["name"])));
        } else {
            let list =
                json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": events});
            output::print(&self.format, &list, "")?;
        }
        Ok(())
    }

    /// Those that come, one by one, until the user ends it.
    async fn watch(&mut self, mut follow: Follow<'_>) -> Result<(), Failure> {
        loop {
            let Event { of_type, object: mut event } = follow.next().await?;
            if of_type == "DELETED" || !event.is_object() || !is_of(&event, &self.args.types) {
                continue;
            }
            (event["apiVersion"], event["kind"]) = (json!("v1"), json!("Event"));
            match &self.format {
                Format::Table { .. } => {
                    let row = row(&event, self.args.all_namespaces, SystemTime::now());
                    println!("{}", self.line(&row));
                }
                format => {
                    let name = format!("event/{}", text(&event["metadata"]["name"]));
                    output::print(format, &event, &name)?;
                }
            }
        }
    }

    /// A row below the others; columns only ever grow.
    fn line(&mut self, row: &[String]) -> String {
        self.widths.resize(row.len(), 0);
        let cell = |(cell, width): (&String, &mut usize)| {
            let cell = safe(cell);
            *width = (*width).max(cell.chars().count());
            padded(&cell, *width) + "   "
        };
        row.iter().zip(&mut self.widths).map(cell).collect::<String>().trim_end().to_owned()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}

fn is_of(event: &Value, types: &[String]) -> bool {
    types.is_empty() || types.iter().any(|of| of.eq_ignore_ascii_case(event["type"].as_str().unwrap_or("")))
}

fn row(event: &Value, with_namespace: bool, now: SystemTime) -> Vec<String> {
    let about = &event["involvedObject"];
    let mut row = vec![
        interval(event, now),
        text(&event["type"]),
        text(&event["reason"]),
        format!("{}/{}", text(&about["kind"]), text(&about["name"])),
        text(&event["message"]).trim().replace('\n', "\\n"),
    ];
    if with_namespace {
        row.insert(0, text(&event["metadata"]["namespace"]));
    }
    row
}

/// When an event was seen last.
pub fn seen(event: &Value) -> String {
    let times = [
        &event["series"]["lastObservedTime"],
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["firstTimestamp"],
        &event["metadata"]["creationTimestamp"],
    ];
    times.into_iter().find_map(Value::as_str).unwrap_or("").to_owned()
}

/// How long ago that was, and how often it was seen: `5s`, `5s (x3 over 2m)`.
pub fn interval(event: &Value, now: SystemTime) -> String {
    let series = event["series"]["count"].as_i64();
    let count = series.or(event["count"].as_i64()).unwrap_or(1);
    let last = clock::age(now, &seen(event));
    if count <= 1 {
        return last;
    }
    let first = event["firstTimestamp"].as_str().or(event["eventTime"].as_str()).unwrap_or("");
    format!("{last} (x{count} over {})", clock::age(now, first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_that_are_no_lists_are_no_end_of_the_program() {
        for answer in [json!([]), json!({"items": [1]})] {
            let (session, _) = crate::fake::session(move |_| (200, answer.clone()));
            let line = "edgectl events -o json";
            let crate::args::Verb::Events(args) = crate::args::read(line).unwrap().verb else { panic!("{line}") };
            run(session, args).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_watch_begins_where_the_list_ends() {
        let (session, log) = crate::fake::session(|asked| match asked.line.contains("watch=true") {
            true => crate::fake::refusal(403, "Forbidden"),
            false => (200, json!({"metadata": {"resourceVersion": "4"}, "items": []})),
        });
        let line = "edgectl events -w";
        let crate::args::Verb::Events(args) = crate::args::read(line).unwrap().verb else { panic!("{line}") };
        assert!(run(session, args).await.is_err());
        let lines = log.lines();
        assert!(lines.len() == 2 && lines[1].contains("resourceVersion=4"), "{lines:?}");
    }

    #[test]
    fn an_event_is_a_row() {
        let now = clock::parse("2026-11-30T10:10:00Z").unwrap();
        let event = |extra: Value| {
            let mut event = json!({"type": "Warning", "reason": "BackOff", "message": "restarting\n",
                "metadata": {"namespace": "a"}, "involvedObject": {"kind": "Pod", "name": "web"},
                "firstTimestamp": "2026-11-30T10:00:00Z", "lastTimestamp": "2026-11-30T10:09:55Z"});
            extra.as_object().unwrap().iter().for_each(|(key, value)| event[key] = value.clone());
            event
        };
        for (extra, expected) in [
            (json!({}), "5s"),
            (json!({"count": 3}), "5s (x3 over 10m)"),
            (json!({"series": {"count": 4, "lastObservedTime": "2026-11-30T10:09:00Z"}}), "60s (x4 over 10m)"),
        ] {
            let row = row(&event(extra), true, now);
            assert_eq!(row, ["a", expected, "Warning", "BackOff", "Pod/web", "restarting"]);
        }
        assert!(is_of(&event(json!({})), &["warning".to_owned()]) && !is_of(&event(json!({})), &["Normal".to_owned()]));
    }
}
