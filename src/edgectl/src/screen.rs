//! Words on their way to a terminal.
//!
//! In: text that may hold what a server, or somebody who may write an object, put into it. Out: text that moves no
//! cursor and changes no colour. The crate's `print!` and its kin are those of this file, so that no exit is forgotten;
//! what must come out byte by byte (logs, sessions, JSONPath) says `std::print!` or writes bytes. Never changes a line
//! end or a tab.

use std::borrow::Cow;

/// ESC as `^[` and CR as `\r`, as kubectl's printers do; the controls above ASCII, which some terminals obey too, as
/// `\u{9b}`.
pub fn safe(text: &str) -> Cow<'_, str> {
    let is_bad = |c: char| matches!(c, '\u{1b}' | '\r' | '\u{80}'..='\u{9f}');
    if !text.contains(is_bad) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\u{1b}' => shown.push_str("^["),
            '\r' => shown.push_str("\\r"),
            c if is_bad(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// A cell with as much room after it as its column wants; a format's own width ends the program above 65535.
pub fn padded(cell: &str, width: usize) -> String {
    let gap = width.saturating_sub(cell.chars().count());
    let mut text = String::with_capacity(cell.len() + gap);
    text.push_str(cell);
    text.extend(std::iter::repeat_n(' ', gap));
    text
}

macro_rules! print {
    ($($words:tt)*) => { std::print!("{}", $crate::screen::safe(&std::format!($($words)*))) };
}

macro_rules! println {
    () => { std::println!() };
    ($($words:tt)*) => { std::println!("{}", $crate::screen::safe(&std::format!($($words)*))) };
}

macro_rules! eprint {
    ($($words:tt)*) => { std::eprint!("{}", $crate::screen::safe(&std::format!($($words)*))) };
}

macro_rules! eprintln {
    () => { std::eprintln!() };
    ($($words:tt)*) => { std::eprintln!("{}", $crate::screen::safe(&std::format!($($words)*))) };
}

#[cfg(test)]
mod tests {
    use super::{padded, safe};

    #[test]
    fn cells_may_be_of_any_width() {
        assert_eq!(padded("ä", 3), "ä  ");
        assert_eq!(padded("abc", 2), "abc");
        assert_eq!(padded("a", 100_000).len(), 100_000);
    }

    #[test]
    fn nothing_moves_the_cursor() {
        for (text, expected) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("\u{1b}[2Jgone", "^[[2Jgone"),
            ("true\rfalse", "true\\rfalse"),
            ("\u{9b}31mred", "\\u{9b}31mred"),
            ("größer", "größer"),
        ] {
            assert_eq!(safe(text), expected);
        }
    }
}
