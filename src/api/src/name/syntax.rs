//! The shapes of names, without words: byte classes and positions.
//!
//! In: text. Out: whether it has the shape, lengths aside. Never says why not.

fn lower(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

/// `middle` all along, `edge` at both ends.
fn shaped(text: &str, edge: fn(u8) -> bool, middle: fn(u8) -> bool) -> bool {
    match text.as_bytes() {
        [] => false,
        [one] => edge(*one),
        [first, between @ .., last] => edge(*first) && edge(*last) && between.iter().all(|b| middle(*b)),
    }
}

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?`
pub(super) fn label(text: &str) -> bool {
    shaped(text, lower, |b| lower(b) || b == b'-')
}

/// Labels with dots between.
pub(super) fn subdomain(text: &str) -> bool {
    text.split('.').all(label)
}

/// `_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?`
pub(super) fn label_with_underscore(text: &str) -> bool {
    shaped(text.strip_prefix('_').unwrap_or(text), lower, |b| lower(b) || b"-_".contains(&b))
}

/// `([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]`
pub(super) fn qualified(text: &str) -> bool {
    shaped(text, |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}
