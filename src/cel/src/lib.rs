//! CEL, the Common Expression Language, as Kubernetes has it: parse, check, estimate cost, evaluate.
//!
//! In: the text of an expression, declarations of its variables, and JSON. Out: faults worded as Kubernetes words them,
//! cost estimates, values. Beside it the regular expressions of Go, which expressions share with schemas (`re2`). Data
//! only: knows no kinds, does no I/O.

mod check;
pub mod declare;
mod estimate;
mod eval;
mod fault;
mod functions;
mod library;
mod program;
pub mod re2;
mod syntax;
mod types;
mod value;

#[cfg(test)]
mod tests;

pub use check::{NoTypes, Provider};
pub use estimate::{Estimate, Sizes};
pub use eval::{Limits, Ran, Variables};
pub use fault::{Fault, Issue, Issues};
pub use library::access::{Account, Authorizer, Decision, Question, Resource};
pub use library::semvers::Semver;
pub use library::times::{Zones, look_up_zones, parse_duration};
pub use program::{Checked, Program};
pub use types::Type;
pub use value::{Key, Lazy, List, Made, Text, Value, Work};

/// What one expression may cost when it runs.
pub const COST_PER_CALL: u64 = 1_000_000;

/// What all expressions of one object or one policy's binding may cost together when they run.
pub const COST_BUDGET: u64 = 10_000_000;

/// What all match conditions of one webhook or binding may cost together when they run.
pub const MATCH_COST_BUDGET: u64 = 2_500_000;

/// A message that an expression makes is at most this long.
pub const LONGEST_MESSAGE: usize = 5 * 1024;
