//! What an author of admission hooks writes, and the part around it that answers the daemon.

use crate::admission::exports::kedge::plugin::admission as wire;

pub use wire::{Answer, Hook, Operation, Parts, Refusal, Request, Rule, Verdict};

/// A component's admission hooks.
pub trait Reviewer: Sized + 'static {
    /// Makes one from the configuration's `arguments`: JSON, `null` when there are none.
    fn new(arguments: &str) -> Result<Self, String>;

    /// What it wants to see.
    fn hooks(&self) -> Vec<Hook>;

    /// Judges a write that hook number `request.hook` (of `hooks()`) wanted to see.
    fn review(&mut self, request: &Request) -> Verdict;
}

/// A rule from literals: `rule(&[""], &["pods"], &[Operation::Create])`.
pub fn rule(groups: &[&str], resources: &[&str], operations: &[Operation]) -> Rule {
    let strings = |list: &[&str]| list.iter().map(|word| word.to_string()).collect();
    Rule { groups: strings(groups), resources: strings(resources), operations: operations.to_vec() }
}

/// It may be done.
pub fn allowed() -> Verdict {
    Verdict { answer: Answer::Allowed, warnings: Vec::new() }
}

/// It may not, with these words.
pub fn denied(message: impl Into<String>) -> Verdict {
    let refusal = Refusal { code: 403, reason: "Forbidden".to_string(), message: message.into() };
    Verdict { answer: Answer::Denied(refusal), warnings: Vec::new() }
}

/// It may be done, with this merge patch applied.
pub fn merged(patch: impl Into<String>) -> Verdict {
    Verdict { answer: Answer::MergePatch(patch.into()), warnings: Vec::new() }
}

/// A reviewer with its configuration.
pub struct Reviewing<R>(Option<R>);

impl<R> Default for Reviewing<R> {
    fn default() -> Self {
        Self(None)
    }
}

impl<R: Reviewer> Reviewing<R> {
    /// Takes the configuration.
    pub fn declare(&mut self, arguments: &str) -> Result<Vec<Hook>, String> {
        let reviewer = R::new(arguments)?;
        let hooks = reviewer.hooks();
        self.0 = Some(reviewer);
        Ok(hooks)
    }

    /// Judges.
    pub fn review(&mut self, request: &Request) -> Verdict {
        self.0.as_mut().expect("declare is called first").review(request)
    }
}
