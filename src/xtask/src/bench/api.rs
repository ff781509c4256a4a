//! Requests a second for each verb, with few and with many clients, and what they cost the daemon.
//!
//! ConfigMaps of some hundred bytes through TLS with a client certificate, authentication, RBAC, admission and
//! validation. Clients are threads with a connection each and with requests made before; what they take from the
//! cores they share with the daemon is said beside the figures.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::device::Device;
use super::http::{Admin, refused};
use super::load::Outcome;
use super::process::ticks;
use super::row::{Row, quantile};
use super::wire::{OBJECT, TURN, Template, Wire};
use crate::command::{Done, Failure};

/// The numbers of clients.
const CLIENTS: [usize; 3] = [1, 4, 64];
/// Where among them what is wanted is looked at.
const FOUR: usize = 1;
/// How long each verb is asked for by each number of clients: 21 turns in 24 s.
const TURN_TIME: Duration = Duration::from_millis(1150);
/// Bytes of a value.
const VALUE: usize = 100;
/// What a request may cost the daemon, in milliseconds of CPU.
const COST: f64 = 0.2;
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";

/// A verb as it is asked for.
struct Verb {
    name: &'static str,
    method: &'static str,
    /// What follows the collection's path.
    path: &'static str,
    kind: &'static str,
    /// The value written, none for no body.
    body: Option<&'static str>,
    code: u16,
    /// How many a second are wanted with four clients.
    wanted: Option<f64>,
    /// What Kubernetes v1.36.2 did with four clients, in another run on two such cores; never judged by.
    upstream: Option<u32>,
}

const READ: Verb =
    Verb { name: "", method: "GET", path: "", kind: "", body: None, code: 200, wanted: None, upstream: None };
const WRITE: Verb = Verb { body: Some(TURN), path: "/KEY", kind: JSON, ..READ };

/// In an order in which each finds what it needs: the first makes objects, the last removes them.
const VERBS: [Verb; 7] = [
    Verb { name: "create", method: "POST", path: "", code: 201, wanted: Some(5000.0), upstream: Some(879), ..WRITE },
    Verb { name: "get", path: "/KEY", wanted: Some(10_000.0), upstream: Some(1495), ..READ },
    Verb { name: "list of 20", path: "?limit=20", ..READ },
    Verb {
        name: "merge patch",
        method: "PATCH",
        kind: "application/merge-patch+json",
        wanted: Some(3000.0),
        upstream: Some(741),
        ..WRITE
    },
    Verb {
        name: "server-side apply",
        method: "PATCH",
        path: "/KEY?fieldManager=bench&force=true",
        kind: "application/apply-patch+yaml",
        wanted: Some(3000.0),
        upstream: Some(758),
        ..WRITE
    },
    Verb { name: "update", method: "PUT", upstream: Some(725), ..WRITE },
    Verb { name: "delete", method: "DELETE", path: "/KEY", upstream: Some(860), ..READ },
];

/// What a turn brought.
struct Turn {
    outcome: Outcome,
    /// CPU of the daemon and of ourselves for each request, in milliseconds.
    cost: f64,
    own: f64,
}

/// A row for each verb, with all numbers of clients.
pub async fn measure() -> Done<Vec<Row>> {
    let device = Device::start("api").await?;
    let (admin, pid) = (device.admin.clone(), device.pid());
    let turns = tokio::task::spawn_blocking(move || all(&admin, pid)).await.map_err(super::said("the clients"))??;
    device.end();
    Ok(VERBS.iter().zip(turns).map(|(verb, turns)| row(verb, &turns)).collect())
}

/// For each verb its turns in the order of the numbers of clients.
fn all(admin: &Admin, pid: u32) -> Done<Vec<Vec<Turn>>> {
    let mut turns: Vec<Vec<Turn>> = VERBS.iter().map(|_| Vec::new()).collect();
    for clients in CLIENTS {
        let mut wires = (0..clients).map(|_| Wire::open(admin)).collect::<Done<Vec<_>>>()?;
        let mut objects = None;
        for (verb, turns) in VERBS.iter().zip(&mut turns) {
            let request = verb.request(clients);
            let before = (ticks(pid), ticks(std::process::id()));
            let outcome = turn(&mut wires, verb, &request, objects)?;
            let each = |then: u64, now: u64| (now - then) as f64 * 10.0 / outcome.each.len() as f64;
            let (cost, own) = (each(before.0, ticks(pid)), each(before.1, ticks(std::process::id())));
            objects = objects.or(Some(outcome.each.len()));
            turns.push(Turn { outcome, cost, own });
        }
    }
    Ok(turns)
}

/// All clients ask at once until the time is over, or until there is nothing left to delete.
fn turn(wires: &mut [Wire], verb: &Verb, request: &Template, objects: Option<usize>) -> Done<Outcome> {
    let (next, begun) = (AtomicUsize::new(0), Instant::now());
    let ends = if verb.method == "DELETE" { objects.unwrap_or_default() } else { usize::MAX };
    let each = std::thread::scope(|scope| {
        let clients: Vec<_> = wires
            .iter_mut()
            .map(|wire| {
                let (next, mut request) = (&next, request.clone());
                scope.spawn(move || {
                    let mut each = Vec::with_capacity(16 * 1024);
                    while begun.elapsed() < TURN_TIME {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        if at >= ends {
                            break;
                        }
                        let bytes = request.fill(objects.map_or(at, |objects| at % objects.max(1)), at);
                        let sent = Instant::now();
                        let answer = wire.send(bytes)?;
                        if answer.code != verb.code {
                            return Err(refused(verb.method, verb.name, answer.code, answer.body));
                        }
                        each.push(sent.elapsed().as_secs_f64() * 1e3);
                    }
                    Ok(each)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect::<Done<Vec<_>>>()
    })?;
    let outcome = Outcome { took: begun.elapsed(), each: each.concat() };
    if outcome.each.is_empty() {
        return Err(Failure::Said(format!("{} was not answered within {TURN_TIME:?}", verb.name)));
    }
    Ok(outcome)
}

impl Verb {
    /// The objects of each number of clients are their own.
    fn request(&self, clients: usize) -> Template {
        let name = format!("c{clients}-{OBJECT}");
        let body = self.body.map_or_else(String::new, |value| {
            let pad = "x".repeat(VALUE);
            format!(
                r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"pad":"{pad}","turn":"{value}"}}}}"#
            )
        });
        Template::new(self.method, &format!("{MAPS}{}", self.path.replace("KEY", &name)), self.kind, &body)
    }
}

fn row(verb: &Verb, turns: &[Turn]) -> Row {
    let all = |figure: &dyn Fn(&Turn) -> String| turns.iter().map(figure).collect::<Vec<_>>().join(" / ");
    let tail = |turn: &Turn, share| format!("{:.2}", quantile(&turn.outcome.each, share));
    let measured = format!(
        "{} a second; p50 {} ms, p99 {} ms; CPU {} ms (clients' own {})",
        all(&|turn| format!("{:.0}", turn.outcome.rate())),
        all(&|turn| tail(turn, 0.5)),
        all(&|turn| tail(turn, 0.99)),
        all(&|turn| format!("{:.3}", turn.cost)),
        all(&|turn| format!("{:.3}", turn.own)),
    );
    let mut wanted = Vec::new();
    let mut reached = turns[FOUR].cost <= COST;
    if let Some(rate) = verb.wanted {
        wanted.push(format!("{rate:.0} a second with 4"));
        reached &= turns[FOUR].outcome.rate() >= rate;
    }
    wanted.push(format!("{COST} ms CPU"));
    if verb.name == "get" {
        wanted.push("p99 1 ms with 1".into());
        reached &= quantile(&turns[0].outcome.each, 0.99) < 1.0;
    }
    let row = Row::new(format!("{} of a small ConfigMap, 1 / 4 / 64 clients", verb.name), measured);
    let peer = verb.upstream.map_or_else(
        || "none can be installed".to_owned(),
        |rate| format!("none can be installed; Kubernetes v1.36.2 in another run: {rate} a second with 4"),
    );
    row.reach(wanted.join(", "), reached).peer(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_write_changes_something_and_names_its_object() {
        for verb in &VERBS {
            let mut request = verb.request(4);
            let mut text = |object, turn| String::from_utf8(request.fill(object, turn).to_vec()).unwrap();
            assert!(verb.path.contains('?') && verb.method == "GET" || text(7, 1) != text(8, 1), "{}", verb.name);
            assert_eq!(verb.body.is_some(), text(7, 1) != text(7, 2), "{}", verb.name);
            assert!(!text(7, 1).contains("KEY") && !text(7, 1).contains(TURN), "{}", verb.name);
        }
    }
}
