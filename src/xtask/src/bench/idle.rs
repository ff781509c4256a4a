//! What a device costs when nothing happens.

use std::time::Duration;

use super::device::Device;
use super::process::{Memory, family, ticks, wake_ups, written};
use super::row::Row;
use crate::command::Done;

/// Before the first look, and between the first and the second.
const MINUTE: Duration = Duration::from_secs(60);
/// Proportional memory in KiB.
const PROPORTIONAL: u64 = 24_000_000 / 1024;
/// Anonymous memory in KiB.
const ANONYMOUS: u64 = 8_000_000 / 1024;
/// One commit: a few pages of log, once a minute.
const WRITTEN: u64 = 32 << 10;

/// The daemon with all built-in plugins and the zygote that starts containers, no pods, one minute after its start.
pub async fn measure() -> Done<Vec<Row>> {
    let device = Device::start("idle").await?.again().await?;
    let pid = device.pid();
    tokio::time::sleep(MINUTE).await;
    let processes = family(pid);
    let all = Memory::sum(&processes);
    let sum = |what: fn(u32) -> u64| processes.iter().map(|pid| what(*pid)).sum::<u64>();
    let before = (sum(wake_ups), sum(written), sum(ticks));
    tokio::time::sleep(MINUTE).await;
    let woken = (sum(wake_ups) - before.0) as f64 / MINUTE.as_secs_f64();
    let (bytes, cpu) = (sum(written) - before.1, sum(ticks) - before.2);
    device.end();
    let megabytes = |kibibytes: u64| format!("{:.1} MB", kibibytes as f64 * 1024.0 / 1e6);
    Ok(vec![
        Row::new("idle memory: proportional (PSS)", megabytes(all.proportional))
            .reach("24 MB", all.proportional <= PROPORTIONAL),
        Row::new("idle memory: anonymous", megabytes(all.anonymous)).reach("8 MB", all.anonymous <= ANONYMOUS),
        Row::new("idle memory: resident (RSS)", megabytes(all.resident)),
        Row::new("idle wake-ups", format!("{woken:.2} a second")),
        Row::new("idle CPU", format!("{:.2} % of a core", cpu as f64 / MINUTE.as_secs_f64())),
        Row::new("idle disk writes", format!("{:.1} kB a minute", bytes as f64 / 1e3))
            .reach("one commit a minute", bytes <= WRITTEN),
    ])
}
