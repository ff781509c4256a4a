//! What watches are told: how many events of each kind, and how large they are, under Kubernetes' names.
//!
//! In: the sizes of the events of one piece, once for each piece that is sent. Out: the text of `/metrics`. A watch
//! holds the figures of its kind, so that telling takes no lock, however many there are.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kedge_api::kinds::{Kind, Word};

use super::{MAX_SERIES, family};

/// Upper bounds of sizes: 1 KiB, and twice as much each; then whatever is larger.
const BUCKETS: usize = 8;
const SMALLEST: usize = 1024;

/// The events of one piece by their size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    events: [u32; BUCKETS + 1],
    bytes: u64,
}

impl Sizes {
    /// One more, of so many bytes.
    pub fn add(&mut self, bytes: usize) {
        let above = bytes.saturating_sub(1) / SMALLEST;
        let at = above.checked_ilog2().map_or(0, |power| power as usize + 1);
        self.events[at.min(BUCKETS)] += 1;
        self.bytes += bytes as u64;
    }
}

/// What all watches of one kind were told.
#[derive(Debug, Default)]
pub struct Told {
    events: [AtomicU64; BUCKETS + 1],
    bytes: AtomicU64,
}

impl Told {
    /// A piece is sent.
    pub fn piece(&self, sizes: &Sizes) {
        for (all, more) in self.events.iter().zip(sizes.events).filter(|(_, more)| *more > 0) {
            all.fetch_add(more.into(), Ordering::Relaxed);
        }
        self.bytes.fetch_add(sizes.bytes, Ordering::Relaxed);
    }
}

/// The figures of each kind that was ever watched, by group, version and resource.
#[derive(Debug, Default)]
pub struct Kinds(Mutex<Vec<([Word; 3], Arc<Told>)>>);

impl Kinds {
    /// Those of a kind. Whoever defines kinds without end is not told of the last of them.
    pub fn of(&self, kind: &Kind) -> Arc<Told> {
        let name = [&kind.group, &kind.version, &kind.plural].map(Word::clone);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, told)) = all.iter().find(|(other, _)| *other == name) {
            return told.clone();
        }
        let told = Arc::<Told>::default();
        if all.len() < MAX_SERIES {
            all.push((name, told.clone()));
        }
        told
    }

    /// Appends the figures.
    pub fn render(&self, out: &mut String) {
        let (total, sizes) = ("apiserver_watch_events_total", "apiserver_watch_events_sizes");
        let mut totals = String::new();
        family(&mut totals, total, "counter", "Events that watches were told.");
        family(out, sizes, "histogram", "Bytes of the events that watches were told.");
        for ([group, version, resource], told) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let of = format!("group=\"{group}\",resource=\"{resource}\",version=\"{version}\"");
            let mut count = 0;
            for (at, events) in told.events.iter().enumerate() {
                count += events.load(Ordering::Relaxed);
                let most = if at < BUCKETS { (SMALLEST << at).to_string() } else { "+Inf".to_owned() };
                let _ = writeln!(out, "{sizes}_bucket{{{of},le=\"{most}\"}} {count}");
            }
            let bytes = told.bytes.load(Ordering::Relaxed);
            let _ = writeln!(out, "{sizes}_sum{{{of}}} {bytes}\n{sizes}_count{{{of}}} {count}");
            let _ = writeln!(totals, "{total}{{{of}}} {count}");
        }
        out.push_str(&totals);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_by_kind_and_size() {
        for (bytes, expected) in
            [(0, 0), (1024, 0), (1025, 1), (2048, 1), (2049, 2), (128 << 10, 7), ((128 << 10) + 1, 8), (1 << 24, 8)]
        {
            let mut sizes = Sizes::default();
            sizes.add(bytes);
            assert_eq!(sizes.events.iter().position(|count| *count == 1), Some(expected), "{bytes}");
        }
        let kinds = Kinds::default();
        let pods = kedge_api::kinds::Kinds::builtin().by_word("pods").expect("is built in").clone();
        let mut sizes = Sizes::default();
        sizes.add(100);
        sizes.add(3000);
        kinds.of(&pods).piece(&sizes);
        kinds.of(&Kind::clone(&pods)).piece(&sizes);
        let mut text = String::new();
        kinds.render(&mut text);
        let of = "{group=\"\",resource=\"pods\",version=\"v1\"";
        for line in [
            format!("apiserver_watch_events_total{of}}} 4\n"),
            format!("apiserver_watch_events_sizes_bucket{of},le=\"1024\"}} 2\n"),
            format!("apiserver_watch_events_sizes_bucket{of},le=\"2048\"}} 2\n"),
            format!("apiserver_watch_events_sizes_bucket{of},le=\"4096\"}} 4\n"),
            format!("apiserver_watch_events_sizes_bucket{of},le=\"131072\"}} 4\n"),
            format!("apiserver_watch_events_sizes_bucket{of},le=\"+Inf\"}} 4\n"),
            format!("apiserver_watch_events_sizes_sum{of}}} 6200\n"),
            format!("apiserver_watch_events_sizes_count{of}}} 4\n"),
        ] {
            assert!(text.contains(&line), "{line} in {text}");
        }
    }
}
