//! Sizes of what is shipped.

use super::row::Row;
use crate::command::{Done, Failure, binary};

/// What a daemon's file may weigh.
const REACH: u64 = 20_000_000;

/// The stripped release binaries.
pub fn measure() -> Done<Vec<Row>> {
    let size = |name: &str| {
        let path = binary(name);
        let meta = std::fs::metadata(&path).map_err(|source| Failure::File { act: "look at", path, source })?;
        Done::Ok(meta.len())
    };
    let (edged, edgectl) = (size("edged")?, size("edgectl")?);
    Ok(vec![
        Row::new("binary of `edged`, with all built-in plugins", megabytes(edged)).reach("20 MB", edged <= REACH),
        Row::new("binary of `edgectl`", megabytes(edgectl)),
    ])
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
