//! One line of the table.
//!
//! In: figures. Out: markdown. Never measures.

/// A figure beside its reach and its peer.
pub struct Row {
    figure: String,
    measured: String,
    reach: String,
    peer: String,
}

impl Row {
    /// A figure of which nobody has said what it should be.
    pub fn new(figure: impl Into<String>, measured: impl Into<String>) -> Row {
        Row { figure: figure.into(), measured: measured.into(), reach: "-".into(), peer: "-".into() }
    }

    /// What is to be reached, and whether it is.
    pub fn reach(mut self, reach: impl std::fmt::Display, reached: bool) -> Row {
        self.reach = format!("{reach}{}", if reached { "" } else { " (missed)" });
        self
    }

    /// The peer's figure of the same run.
    pub fn peer(mut self, peer: impl Into<String>) -> Row {
        self.peer = peer.into();
        self
    }

    /// For reading while it runs.
    pub fn line(&self) -> String {
        format!("{}: {} | reach {} | peer {}", self.figure, self.measured, self.reach, self.peer)
    }
}

/// All rows as a markdown table.
pub fn table(rows: &[Row]) -> String {
    let mut out = String::from("| Figure | Measured | Reach | Peer, same run |\n| --- | --- | --- | --- |\n");
    for row in rows {
        out.push_str(&format!("| {} | {} | {} | {} |\n", row.figure, row.measured, row.reach, row.peer));
    }
    out
}

/// The middle of some measurements; 0 of none.
pub fn median(all: &[f64]) -> f64 {
    let mut all = all.to_vec();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// The measurement below which a share of all lies; 0 of none.
pub fn quantile(all: &[f64], share: f64) -> f64 {
    let mut all = all.to_vec();
    all.sort_by(f64::total_cmp);
    let at = ((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1));
    all.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_reach_is_said() {
        let rows = [Row::new("size", "21 MB").reach("20 MB", false).peer("ls")];
        assert!(table(&rows).ends_with("| size | 21 MB | 20 MB (missed) | ls |\n"));
    }

    #[test]
    fn the_middle_and_the_tail() {
        let all: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!((median(&all), quantile(&all, 0.99), median(&[])), (51.0, 100.0, 0.0));
    }
}
