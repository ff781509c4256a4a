//! What is wrong with an expression: where, and in which words.
//!
//! In: places in a text and messages. Out: the lines that are shown, with the line of the text and a caret below it.
//! Never decides what is wrong.

use std::fmt;

/// This many faults are shown; what is beyond is counted.
const MOST_SHOWN: usize = 100;

/// A line longer than this is not shown below its fault.
const LONGEST_LINE: usize = 16384;

/// One fault of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// The byte it begins at; `None` if it is about the whole.
    pub at: Option<u32>,
    /// What is wrong.
    pub text: String,
}

impl Issue {
    /// A fault at a byte of the text.
    pub fn new(at: u32, text: impl Into<String>) -> Issue {
        Issue { at: Some(at), text: text.into() }
    }

    /// A fault of the whole.
    pub fn whole(text: impl Into<String>) -> Issue {
        Issue { at: None, text: text.into() }
    }
}

/// Everything that is wrong with an expression, with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issues {
    text: String,
    all: Vec<Issue>,
}

impl Issues {
    /// The faults of that text.
    pub fn new(text: &str, all: Vec<Issue>) -> Issues {
        Issues { text: text.to_owned(), all }
    }

    /// Each of them.
    pub fn all(&self) -> &[Issue] {
        &self.all
    }
}

impl std::error::Error for Issues {}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut placed: Vec<((i64, i64), &Issue)> =
            self.all.iter().map(|issue| (place(&self.text, issue.at), issue)).collect();
        placed.sort_by_key(|(place, _)| *place);
        for (number, ((line, column), issue)) in placed.iter().take(MOST_SHOWN).enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "ERROR: <input>:{line}:{}: {}", column + 1, issue.text)?;
            show_line(f, &self.text, *line, *column)?;
        }
        if placed.len() > MOST_SHOWN {
            write!(f, "\n{} more errors were truncated", placed.len() - MOST_SHOWN)?;
        }
        Ok(())
    }
}

/// Line from 1, column from 0 in characters; -1 and -1 for the whole.
fn place(text: &str, at: Option<u32>) -> (i64, i64) {
    let Some(at) = at else { return (-1, -1) };
    let (mut line, mut column) = (1, 0);
    for (offset, c) in text.char_indices() {
        if offset >= at as usize {
            break;
        }
        if c == '\n' {
            (line, column) = (line + 1, 0);
        } else {
            column += 1;
        }
    }
    (line, column)
}

fn show_line(f: &mut fmt::Formatter<'_>, text: &str, line: i64, column: i64) -> fmt::Result {
    let Some(shown) = usize::try_from(line - 1).ok().and_then(|line| text.split('\n').nth(line)) else { return Ok(()) };
    if shown.len() > LONGEST_LINE {
        return Ok(());
    }
    let shown = shown.replace('\t', " ");
    let mut pointer = String::new();
    let mut rest = shown.chars();
    for _ in 0..column {
        match rest.next() {
            Some(c) => pointer.push(if c.len_utf8() > 1 { '\u{ff0e}' } else { '.' }),
            None => break,
        }
    }
    pointer.push(if rest.next().is_some_and(|c| c.len_utf8() > 1) { '\u{ff3e}' } else { '^' });
    write!(f, "\n | {shown}\n | {pointer}")
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The words.
    pub text: String,
    /// Whether evaluation ended for what it cost. No operator makes up for that.
    pub halted: bool,
}

impl Fault {
    /// A fault of a value.
    pub fn new(text: impl Into<String>) -> Fault {
        Fault { text: text.into(), halted: false }
    }

    /// There is no such operation on such values.
    pub fn no_overload() -> Fault {
        Fault::new("no such overload")
    }

    /// It costs too much.
    pub fn too_costly() -> Fault {
        Fault { text: "operation cancelled: actual cost limit exceeded".to_owned(), halted: true }
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
