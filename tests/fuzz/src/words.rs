//! Words that matter to a target: what chance would not find.
//!
//! In: the files of `tests/fuzz/words`, one word a line; a line that begins with a quote is a JSON string. Out: the words
//! of each target. Read once.

use std::sync::OnceLock;

use crate::{TARGETS, Target};

/// The target's words.
pub fn of(target: &Target) -> &'static [String] {
    static ALL: OnceLock<Vec<Vec<String>>> = OnceLock::new();
    let all = ALL.get_or_init(|| TARGETS.iter().map(|target| target.words.lines().map(word).collect()).collect());
    let at = TARGETS.iter().position(|one| one.name == target.name);
    at.map_or(&[], |at| &all[at])
}

fn word(line: &str) -> String {
    let text = line.starts_with('"').then(|| serde_json::from_str(line).expect("is a JSON string"));
    text.unwrap_or_else(|| line.to_owned())
}
