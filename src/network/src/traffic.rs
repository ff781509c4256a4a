//! What went through a pod's link.
//!
//! In: the folder in which the kernel counts for the link's end on this machine. Out: the same as the pod sees it: what
//! this end sent, the pod received. Reads only.

use std::path::Path;

/// Counts since the link was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// What came to the pod.
    pub received: Count,
    /// What the pod sent.
    pub sent: Count,
}

/// Counts of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets with an error.
    pub errors: u64,
    /// Packets that were dropped.
    pub dropped: u64,
}

/// The counts of a link, if it is there.
pub(crate) fn of(statistics: &Path) -> Option<Traffic> {
    let number = |name: String| std::fs::read_to_string(statistics.join(name)).ok()?.trim().parse::<u64>().ok();
    let count = |direction: &str| {
        Some(Count {
            bytes: number(format!("{direction}_bytes"))?,
            packets: number(format!("{direction}_packets"))?,
            errors: number(format!("{direction}_errors"))?,
            dropped: number(format!("{direction}_dropped"))?,
        })
    };
    Some(Traffic { received: count("tx")?, sent: count("rx")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_end_sent_the_pod_received() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of(folder.path()), None);
        for (number, name) in ["bytes", "packets", "errors", "dropped"].iter().enumerate() {
            std::fs::write(folder.path().join(format!("rx_{name}")), format!("{number}\n")).unwrap();
            std::fs::write(folder.path().join(format!("tx_{name}")), format!("1{number}\n")).unwrap();
        }
        let traffic = of(folder.path()).unwrap();
        assert_eq!(traffic.received, Count { bytes: 10, packets: 11, errors: 12, dropped: 13 });
        assert_eq!(traffic.sent, Count { bytes: 0, packets: 1, errors: 2, dropped: 3 });
    }
}
