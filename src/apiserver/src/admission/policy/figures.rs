//! Figures about admission policies, with Kubernetes' names.
//!
//! In: one word for each decision. Out: lines of `/metrics`. Policies are named by their users, so the number of series has
//! a bound.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use super::cache::{Family, Policies};
use super::read::{Binding, Policy};
use crate::metrics::{MetricsSource, family};

/// Series of one family, at most: 100 bindings with all their actions and outcomes.
const MOST_SERIES: usize = 512;

/// What came of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It was made.
    Judged,
    /// The expression has no value.
    Faulty,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Figures(Mutex<BTreeMap<Series, u64>>);

/// Policy, binding, what it led to, what came of it.
type Series = (Family, String, String, &'static str, Outcome);

impl Figures {
    /// Counts a decision; `action` is what it led to.
    pub fn decided(&self, of: Family, policy: &Policy, binding: &Binding, action: &'static str, outcome: Outcome) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (of, policy.name.clone(), binding.name.clone(), action, outcome);
        if counted.len() < MOST_SERIES || counted.contains_key(&key) {
            *counted.entry(key).or_default() += 1;
        }
    }
}

impl MetricsSource for Policies {
    fn render(&self, out: &mut String) {
        let counted = self.figures.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (of, name, help) in [
            (Family::Mutating, "apiserver_mutating_admission_policy_check_total", "Mutations by admission policies."),
            (
                Family::Validating,
                "apiserver_validating_admission_policy_check_total",
                "Refusals by admission policies.",
            ),
        ] {
            let mut rows = counted.iter().filter(|((own, ..), _)| *own == of).peekable();
            if rows.peek().is_none() {
                continue;
            }
            family(out, name, "counter", help);
            for ((_, policy, binding, action, outcome), count) in rows {
                let error = if *outcome == Outcome::Judged { "no_error" } else { "invalid_error" };
                // Names of objects are DNS names: nothing in them needs escaping.
                let action =
                    if of == Family::Validating { format!("enforcement_action=\"{action}\",") } else { String::new() };
                let _ = writeln!(
                    out,
                    "{name}{{{action}error_type=\"{error}\",policy=\"{policy}\",policy_binding=\"{binding}\"}} {count}"
                );
            }
        }
    }
}
