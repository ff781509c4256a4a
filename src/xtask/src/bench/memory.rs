//! What the daemon holds in memory once it has been filled.
//!
//! A thousand nodes without machines and six thousand pods, all created through the API, scheduled and bound; then it
//! is left alone for a moment, because memory of work that is over is not what objects cost.

use std::time::Duration;

use super::device::Device;
use super::process::{Memory, family};
use super::row::Row;
use super::schedule::fill;
use crate::command::Done;

const NODES: usize = 1000;
const PODS: usize = 6000;
/// Until work that is over has let go of its memory.
const CALM: Duration = Duration::from_secs(5);
/// What the daemon may have resident, in MB.
const REACH: f64 = 80.0;

/// Before, after, and the difference for a thousand objects.
pub async fn measure() -> Done<Vec<Row>> {
    let device = Device::start("memory").await?;
    tokio::time::sleep(CALM).await;
    let before = Memory::of(device.pid());
    let filled = fill(&device.admin, NODES, PODS).await?;
    eprintln!("         {PODS} pods were made and bound in {:.1} s", filled.bound.as_secs_f64());
    tokio::time::sleep(CALM).await;
    let (after, all) = (Memory::of(device.pid()), Memory::sum(&family(device.pid())));
    device.end();
    let megabytes = |kibibytes: u64| kibibytes as f64 * 1024.0 / 1e6;
    let three = |memory: &Memory| {
        let Memory { resident, proportional, anonymous } = memory;
        [resident, proportional, anonymous].map(|figure| format!("{:.1}", megabytes(*figure))).join(" / ")
    };
    let each = |then: u64, now: u64| now.saturating_sub(then) as f64 / ((NODES + PODS) as f64 / 1000.0);
    Ok(vec![
        Row::new(
            format!("memory of edged with {NODES} nodes and {PODS} bound pods: RSS / PSS / anonymous"),
            format!("{} MB (empty {}; with its zygote {})", three(&after), three(&before), three(&all)),
        )
        .reach("80 MB RSS", megabytes(after.resident) < REACH)
        .peer(
            "none can be installed; Kubernetes v1.36.2 in another run: API server 753 MiB, scheduler 183, \
             controllers 175, etcd 143",
        ),
        Row::new(
            "memory of edged for 1000 more objects, RSS / anonymous",
            format!(
                "{:.0} / {:.0} KiB",
                each(before.resident, after.resident),
                each(before.anonymous, after.anonymous)
            ),
        ),
    ])
}
