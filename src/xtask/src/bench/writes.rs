//! Durable writes a second through the API, beside etcd on the same disk, in turns.

use std::time::Duration;

use super::device::Device;
use super::etcd::Etcd;
use super::load::{Outcome, Until, create};
use super::process::ticks;
use super::row::{Row, quantile};
use crate::command::Done;

/// The numbers of clients.
const CLIENTS: [usize; 2] = [1, 64];
/// Turns of each side.
const ROUNDS: usize = 3;
/// How long a turn is.
const TURN: Duration = Duration::from_secs(4);
/// Bytes of a value, so that an object has about a kilobyte.
const VALUE: usize = 700;

/// ConfigMaps of a kilobyte through TLS, authentication, RBAC and validation; a kilobyte each into etcd.
pub async fn measure() -> Done<Vec<Row>> {
    let device = Device::start("writes").await?;
    // As a control plane asks it, and by the shortest way.
    let etcd = Etcd::start("etcd", true).await?;
    let bare = Etcd::start("etcd-bare", false).await?;
    let mut rows = Vec::new();
    for clients in CLIENTS {
        let (mut ours, mut theirs, mut barely) = (Outcome::default(), Outcome::default(), Outcome::default());
        let mut cpu = 0;
        for round in 0..ROUNDS {
            let path = "/api/v1/namespaces/default/configmaps";
            let object = move |at: usize| map(&format!("c{clients}-{round}-{at}"), VALUE);
            let before = ticks(device.pid());
            add(&mut ours, create(&device.admin, clients, Until::Time(TURN), path, object).await?);
            cpu += ticks(device.pid()) - before;
            for (etcd, sum) in [(&etcd, &mut theirs), (&bare, &mut barely)] {
                let Some(etcd) = etcd else { continue };
                let object = move |at: usize| (format!("c{clients}-{round}-{at}"), "x".repeat(1024));
                add(sum, etcd.puts(clients, Until::Time(TURN), object).await?);
            }
        }
        eprintln!("         {clients} clients: {:.3} ms CPU a write", cpu as f64 * 10.0 / ours.each.len() as f64);
        let words =
            |outcome: &Outcome| format!("{:.0} a second, p99 {:.1} ms", outcome.rate(), quantile(&outcome.each, 0.99));
        let name = format!("durable writes through the API, {clients} client{}", if clients == 1 { "" } else { "s" });
        let mut row = Row::new(name, words(&ours));
        if etcd.is_some() {
            let ratio = ours.rate() / theirs.rate();
            let bare = format!("; without TLS {:.0} ({:.2})", barely.rate(), ours.rate() / barely.rate());
            row = row.peer(format!("etcd with TLS {}: {ratio:.2} times as many{bare}", words(&theirs)));
            if clients == 64 {
                row = row.reach("etcd's", ratio >= 1.0);
            }
        }
        rows.push(row);
    }
    device.end();
    Ok(rows)
}

fn add(sum: &mut Outcome, one: Outcome) {
    sum.took += one.took;
    sum.each.extend(one.each);
}

/// A ConfigMap with a value of so many bytes.
pub fn map(name: &str, bytes: usize) -> String {
    let pad = "x".repeat(bytes);
    format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"pad":"{pad}"}}}}"#)
}
