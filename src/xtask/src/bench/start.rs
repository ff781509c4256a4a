//! From the start of the process to `/readyz`.

use super::device::Device;
use super::row::{Row, median};
use crate::command::Done;

/// Starts measured, cold and warm.
const ROUNDS: usize = 7;
/// What a warm start may take, in milliseconds.
const REACH: f64 = 300.0;

/// Cold is an empty data directory, keys and certificates included; warm is the second start on it.
pub async fn measure() -> Done<Vec<Row>> {
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let device = Device::start("start").await?;
        cold.push(device.ready_after.as_secs_f64() * 1e3);
        // The second start finds what the first one makes after it is ready, too.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let device = device.again().await?;
        warm.push(device.ready_after.as_secs_f64() * 1e3);
        device.end();
    }
    let (cold, warm) = (median(&cold), median(&warm));
    Ok(vec![
        Row::new("start to `/readyz`, empty data directory", format!("{cold:.0} ms")),
        Row::new("start to `/readyz`, warm", format!("{warm:.0} ms")).reach("300 ms", warm <= REACH),
    ])
}
