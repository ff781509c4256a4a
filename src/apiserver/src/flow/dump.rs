//! What flow control does now, as text for people: `/debug/api_priority_and_fairness/dump_...`.
//!
//! In: its state, the time. Out: lines of values with Kubernetes' columns, aligned. Requests that are served are counted
//! and not listed: to be listed, each would have to be noted down. What is not known by queue is `<none>`.

use std::fmt::Write as _;
use std::time::SystemTime;

use super::FlowControl;
use crate::query::Query;
use crate::request;

const LEVELS: &str = "PriorityLevelName ActiveQueues IsIdle IsQuiescing WaitingRequests ExecutingRequests \
    DispatchedRequests RejectedRequests TimedoutRequests CancelledRequests";
const QUEUES: &str = "PriorityLevelName Index PendingRequests ExecutingRequests SeatsInUse NextDispatchR \
    InitialSeatsSum MaxSeatsSum TotalWorkSum";
const REQUESTS: &str = "PriorityLevelName FlowSchemaName QueueIndex RequestIndexInQueue FlowDistingsher ArriveTime \
    InitialSeats FinalSeats AdditionalLatency StartTime";
const DETAILS: &str = "UserName Verb APIPath Namespace Name APIVersion Resource SubResource";

/// When nothing has begun.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// What a seat of a request that waits is taken for, in seconds, as in Kubernetes.
const GUESS: f64 = 0.003;

/// The text of that name, perhaps with what is asked for by each request; `None` where there is none of that name.
pub fn text(flow: &FlowControl, name: &str, details: bool, now: SystemTime) -> Option<String> {
    Some(match name {
        "dump_priority_levels" => levels(flow),
        "dump_queues" => queues(flow),
        "dump_requests" => requests(flow, details, now),
        _ => return None,
    })
}

fn levels(flow: &FlowControl) -> String {
    let (table, state) = (flow.table(), flow.state());
    let mut out = LEVELS.replace(' ', "\t");
    for (level, (_, queues)) in state.seats.figures().into_iter().zip(state.seats.queues()) {
        let active = queues.iter().filter(|queue| !queue.waiting.is_empty()).count();
        let (served, [no_seat, full, late, gone]) = state.tally.of_level(&level.name);
        let _ = write!(
            out,
            "\n{}\t{active}\t{}\t{}\t{}\t{}\t{served}\t{}\t{late}\t{gone}",
            level.name,
            level.waiting + level.executing == 0,
            !table.has_level(&level.name),
            level.waiting,
            level.executing,
            no_seat + full
        );
    }
    aligned(&out)
}

fn queues(flow: &FlowControl) -> String {
    let state = flow.state();
    let mut out = QUEUES.replace(' ', "\t");
    for (level, queues) in state.seats.queues() {
        for (at, queue) in queues.iter().enumerate() {
            let (waiting, had) = (queue.waiting.len(), queue.served as f64 / 1e6);
            let seats: usize = queue.waiting.iter().map(|(_, width)| width).sum();
            let work = seats as f64 * GUESS;
            let _ =
                write!(out, "\n{level}\t{at}\t{waiting}\t<none>\t<none>\t{had:.8}ss\t{seats}\t{seats}\t{work:.8}ss");
        }
        if queues.is_empty() {
            let _ = write!(out, "\n{level}{}", "\t<none>".repeat(8));
        }
    }
    aligned(&out)
}

fn requests(flow: &FlowControl, details: bool, now: SystemTime) -> String {
    let (table, state) = (flow.table(), flow.state());
    let mut out = REQUESTS.replace(' ', "\t");
    if details {
        out.push('\t');
        out.push_str(&DETAILS.replace(' ', "\t"));
    }
    for (level, queues) in state.seats.queues() {
        for (queue, held) in queues.iter().enumerate() {
            for (at, (ticket, _)) in held.waiting.iter().enumerate() {
                let Some(waiter) = state.waiting.get(ticket) else { continue };
                // What is asked is in its path. A line stays one whatever somebody asks for.
                let (user, path) = (waiter.user.escape_debug().to_string(), waiter.path.escape_debug().to_string());
                let asked = request::parse(&http::Method::GET, &path, &Query::default());
                let of = table.schema(&waiter.schema).map_or("", |schema| schema.flow(&user, &asked.namespace));
                let since = kedge_api::clock::nano(now.checked_sub(waiter.since.elapsed()).unwrap_or(now));
                let (seats, after) = (waiter.work.seats, waiter.work.after);
                let (lasting, unit) = if after.is_zero() { (0, "s") } else { (seats, "ms") };
                let _ = write!(
                    out,
                    "\n{level}\t{}\t{queue}\t{at}\t{of}\t{since}\t{seats}\t{lasting}\t{}{unit}\t{NEVER}",
                    waiter.schema,
                    after.as_millis()
                );
                if details {
                    let version = kedge_api::kinds::join_api_version(&asked.group, &asked.version);
                    let _ = write!(
                        out,
                        "\t{user}\t{}\t{path}\t{}\t{}\t{version}\t{}\t{}",
                        waiter.verb.as_str(),
                        asked.namespace,
                        asked.name,
                        asked.resource,
                        asked.subresource
                    );
                }
            }
        }
    }
    aligned(&out)
}

/// Every value but the last of a line with a comma, and as wide as the widest of its column.
fn aligned(text: &str) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for (at, value) in text.lines().flat_map(|line| line.split('\t').enumerate()) {
        match widths.get_mut(at) {
            Some(width) => *width = value.len().max(*width),
            None => widths.push(value.len()),
        }
    }
    let mut out = String::new();
    for line in text.lines() {
        let mut values = line.split('\t').zip(&widths).peekable();
        while let Some((value, width)) = values.next() {
            match values.peek() {
                Some(_) => {
                    let _ = write!(out, "{value},{:1$}", "", width + 1 - value.len());
                }
                None => out.push_str(value),
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::flow::width::Work;
    use crate::flow::{defaults, table::Table};
    use crate::identity::Identity;

    #[tokio::test]
    async fn levels_queues_and_who_waits_are_told() {
        let flow = Arc::new(FlowControl::new(1));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let said = |name: &str, details| text(&flow, name, details, now).expect("is told");
        assert_eq!(said("dump_requests", false).lines().count(), 1);
        flow.configure(Table::compile(defaults::objects().iter()));
        let jane = Identity::user("jane", ["dev"]);
        let asked = request::parse(&http::Method::GET, "/api/v1/namespaces/a/pods/p/status", &Query::default());
        let _held = flow.enter(&jane, &asked, Work::ONE).await.1.expect("a seat");
        let mut waits =
            std::pin::pin!(flow.enter(&jane, &asked, Work { after: Duration::from_millis(5), ..Work::ONE }));
        assert!(futures::poll!(waits.as_mut()).is_pending());

        let levels = said("dump_priority_levels", false);
        let line = |text: &str, start: &str| {
            let found = text.lines().find(|line| line.starts_with(start)).expect("has that line");
            found.split(',').map(|value| value.trim().to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line(&levels, "PriorityLevelName,"), LEVELS);
        assert_eq!(line(&levels, "global-default,"), "global-default 1 false false 1 1 1 0 0 0");
        assert_eq!(line(&levels, "exempt,"), "exempt 0 true false 0 0 0 0 0 0");
        let starts: Vec<_> = levels.lines().filter_map(|line| line.find("true,").or(line.find("false,"))).collect();
        assert!(starts.iter().all(|at| Some(*at) == levels.find("IsIdle")), "{levels}");

        let queues = said("dump_queues", false);
        assert_eq!(line(&queues, "exempt,"), "exempt <none> <none> <none> <none> <none> <none> <none> <none>");
        let busy = queues.lines().find(|line| line.contains(" 0.00300000ss")).expect("one waits");
        assert!(busy.starts_with("global-default, ") && busy.contains("<none>,            <none>,"), "{busy}");

        let requests = said("dump_requests", true);
        assert_eq!(line(&requests, "PriorityLevelName,"), format!("{REQUESTS} {DETAILS}"));
        let mut told: Vec<_> = line(&requests, "global-default,").split(' ').map(str::to_owned).collect();
        assert!(told.remove(5).starts_with("2023-11-14T22:13:"), "{requests}");
        let queue = told.remove(2);
        assert!(busy.contains(&format!(" {queue}, ")), "{busy}");
        assert_eq!(
            told.join(" "),
            format!(
                "global-default global-default 0 jane 1 1 5ms {NEVER} jane get /api/v1/namespaces/a/pods/p/status a p v1 pods status"
            )
        );
        assert_eq!(text(&flow, "dump", false, now), None);
    }
}
