//! The rows still in, and why the others are out.

use crate::rows::{Rows, bits};
use crate::scheduling::{Reason, WireVerdict};

/// Why one node is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The words that follow a number: "Insufficient cpu".
    pub text: String,
    /// True if removing pods from the node could not help.
    pub unresolvable: bool,
}

impl Refusal {
    /// Removing pods could help.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), unresolvable: false }
    }

    /// Removing pods could not help.
    pub fn for_good(text: impl Into<String>) -> Self {
        Self { text: text.into(), unresolvable: true }
    }
}

/// What predicates work on: each refuses rows that are still in.
#[derive(Debug, Default)]
pub struct Verdict {
    feasible: Rows,
    reasons: Vec<Reason>,
    predicate: u32,
    /// Refused by the predicate that is at work; they leave when it is done, so that it may name several reasons.
    refused: Rows,
}

impl Verdict {
    /// All candidates are in.
    pub fn new(candidates: Rows) -> Self {
        Self { feasible: candidates, ..Self::default() }
    }

    /// The rows that no earlier predicate refused.
    pub fn rows(&self) -> &Rows {
        &self.feasible
    }

    /// The next predicate begins.
    pub fn begin(&mut self, predicate: usize) {
        self.end();
        self.predicate = predicate as u32;
    }

    /// Refuses the rows of one word of 64. Bits that are not in are ignored.
    pub fn refuse_word(&mut self, at: usize, refused: u64, text: &str, unresolvable: bool) {
        let refused = refused & self.feasible.word(at);
        if refused == 0 {
            return;
        }
        let predicate = self.predicate;
        let same = |r: &Reason| r.unresolvable == unresolvable && r.predicate == predicate && r.text == text;
        let found = self.reasons.iter().rposition(same).unwrap_or_else(|| {
            let nodes = vec![0; self.feasible.words().len()];
            self.reasons.push(Reason { text: text.to_string(), predicate, nodes, unresolvable });
            self.reasons.len() - 1
        });
        self.reasons[found].nodes[at] |= refused;
        self.refused.add_word(at, refused);
    }

    /// Refuses these rows, as far as they are in.
    pub fn refuse(&mut self, rows: &Rows, refusal: &Refusal) {
        for (at, word) in rows.words().iter().enumerate() {
            self.refuse_word(at, *word, &refusal.text, refusal.unresolvable);
        }
    }

    /// Asks about each row that is in.
    pub fn each(&mut self, mut judge: impl FnMut(usize) -> Result<(), Refusal>) {
        for at in 0..self.feasible.words().len() {
            for bit in bits(self.feasible.word(at)) {
                if let Err(refusal) = judge(at * 64 + bit) {
                    self.refuse_word(at, 1 << bit, &refusal.text, refusal.unresolvable);
                }
            }
        }
    }

    /// The answer.
    pub fn finish(mut self) -> WireVerdict {
        self.end();
        WireVerdict { feasible: self.feasible.into_words(), reasons: self.reasons }
    }

    fn end(&mut self) {
        let refused = std::mem::take(&mut self.refused);
        for (at, word) in refused.words().iter().enumerate() {
            self.feasible.clear_word(at, *word);
        }
    }
}
