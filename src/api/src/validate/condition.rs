//! Conditions of the common form, as newer kinds have them in their status.
//!
//! In: a list of conditions. Out: faults.

use std::collections::BTreeSet;

use super::at::{At, Out};
use crate::field::FieldError;
use crate::name;

const REASON_MOST: usize = 1024;
const MESSAGE_MOST: usize = 32 * 1024;

pub(super) fn all(at: &At<'_, '_>, out: &mut Out) {
    let mut seen = BTreeSet::new();
    for condition in at.items() {
        let (kind, status) = (condition.get("type"), condition.get("status"));
        if !seen.insert(kind.text()) {
            out.push(FieldError::duplicate(&kind.path, kind.text()));
        }
        out.form(&kind, name::check_qualified);
        if !matches!(status.text(), "True" | "False" | "Unknown") {
            out.push(FieldError::not_supported(&status.path, status.text(), &["False", "True", "Unknown"]));
        }
        let generation = condition.get("observedGeneration");
        if generation.int().is_some_and(|n| n < 0) {
            out.invalid(&generation, "must be greater than or equal to zero");
        }
        out.filled(&condition.get("lastTransitionTime"));
        let reason = condition.get("reason");
        if out.filled(&reason) {
            out.form(&reason, check_reason);
            if reason.text().len() > REASON_MOST {
                out.push(FieldError::too_long(&reason.path, REASON_MOST));
            }
        }
        let message = condition.get("message");
        if message.text().len() > MESSAGE_MOST {
            out.push(FieldError::too_long(&message.path, MESSAGE_MOST));
        }
    }
}

fn check_reason(text: &str) -> Result<(), name::Faults> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_,:".contains(&b);
    let bytes = text.as_bytes();
    let fits = bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
        && text.bytes().all(allowed);
    if fits {
        return Ok(());
    }
    let rule = "a condition reason must start with alphabetic character, optionally followed by a string of \
                alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";
    let examples = ["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"];
    Err(vec![name::form(rule, "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", &examples).into()])
}
