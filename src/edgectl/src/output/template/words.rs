//! The words of one action.
//!
//! In: what stands between the braces. Out: words, each with whether there was room before it.

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// `.`
    Dot,
    /// `.name`
    Field(String),
    /// `$name`, or `$`.
    Variable(String),
    /// `name`
    Name(String),
    /// A string.
    Text(String),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// `|`
    Pipe,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// `:=`
    Declare,
    /// `=`
    Assign,
}

/// The words; whether there was room before each.
pub fn words(text: &str) -> Result<Vec<(Word, bool)>, String> {
    let (mut found, mut rest) = (Vec::new(), text);
    loop {
        let trimmed = rest.trim_start();
        let spaced = trimmed.len() != rest.len();
        let Some(first) = trimmed.chars().next() else { return Ok(found) };
        let (word, after) = match first {
            '|' => (Word::Pipe, &trimmed[1..]),
            '(' => (Word::Open, &trimmed[1..]),
            ')' => (Word::Close, &trimmed[1..]),
            ',' => (Word::Comma, &trimmed[1..]),
            '=' => (Word::Assign, &trimmed[1..]),
            ':' if trimmed.starts_with(":=") => (Word::Declare, &trimmed[2..]),
            '"' => quoted(&trimmed[1..])?,
            '`' => {
                let (text, after) = trimmed[1..].split_once('`').ok_or("unterminated raw quoted string")?;
                (Word::Text(text.to_owned()), after)
            }
            '\'' => letter(&trimmed[1..])?,
            '.' => match name(&trimmed[1..]) {
                ("", after) if after.starts_with(|c: char| c.is_ascii_digit()) => number(trimmed)?,
                ("", after) => (Word::Dot, after),
                (name, after) => (Word::Field(name.to_owned()), after),
            },
            '$' => {
                let (name, after) = name(&trimmed[1..]);
                (Word::Variable(name.to_owned()), after)
            }
            '0'..='9' | '+' | '-' => number(trimmed)?,
            c if c == '_' || c.is_alphabetic() => {
                let (name, after) = name(trimmed);
                (Word::Name(name.to_owned()), after)
            }
            c => return Err(format!("unexpected {c:?} in command")),
        };
        found.push((word, spaced));
        rest = after;
    }
}

/// A name, which begins with no digit.
fn name(text: &str) -> (&str, &str) {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return ("", text);
    }
    text.split_at(text.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(text.len()))
}

fn number(text: &str) -> Result<(Word, &str), String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    let (word, after) = text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len()));
    let plain = word.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let lower = digits.to_lowercase();
    let based =
        [("0x", 16), ("0b", 2), ("0o", 8)].iter().find_map(|(head, base)| Some((lower.strip_prefix(head)?, *base)));
    let (body, base) = based.unwrap_or((&lower, 10));
    if let Ok(whole) = i64::from_str_radix(&format!("{sign}{body}"), base) {
        return Ok((Word::Int(whole), after));
    }
    match plain.parse::<f64>() {
        Ok(part) if part.is_finite() && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            Ok((Word::Float(part), after))
        }
        _ => Err(format!("bad number syntax: {word:?}")),
    }
}

/// A string, after its first quote.
fn quoted(text: &str) -> Result<(Word, &str), String> {
    let (mut found, mut rest) = (String::new(), text);
    loop {
        let c = rest.chars().next().filter(|c| *c != '\n').ok_or("unterminated quoted string")?;
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => return Ok((Word::Text(found), rest)),
            '\\' => {
                let (c, after) = escaped(rest)?;
                found.push(c);
                rest = after;
            }
            c => found.push(c),
        }
    }
}

/// A letter as its number, after its first quote.
fn letter(text: &str) -> Result<(Word, &str), String> {
    let unterminated = || "unterminated character constant".to_owned();
    let first = text.chars().next().ok_or_else(unterminated)?;
    let (c, after) = match first {
        '\\' => escaped(&text[1..])?,
        c => (c, &text[c.len_utf8()..]),
    };
    let after = after.strip_prefix('\'').ok_or_else(unterminated)?;
    Ok((Word::Int(i64::from(u32::from(c))), after))
}

/// What follows a backslash.
fn escaped(text: &str) -> Result<(char, &str), String> {
    let wrong = || "invalid escape in quoted string".to_owned();
    let c = text.chars().next().ok_or_else(wrong)?;
    let rest = &text[c.len_utf8()..];
    let coded = |digits: &str, base: u32| u32::from_str_radix(digits, base).ok().and_then(char::from_u32);
    let by_code = |length: usize| {
        let digits = rest.get(..length).ok_or_else(wrong)?;
        Ok::<_, String>((coded(digits, 16).ok_or_else(wrong)?, &rest[length..]))
    };
    Ok(match c {
        'n' => ('\n', rest),
        't' => ('\t', rest),
        'r' => ('\r', rest),
        'a' => ('\u{7}', rest),
        'b' => ('\u{8}', rest),
        'f' => ('\u{c}', rest),
        'v' => ('\u{b}', rest),
        '\\' | '"' | '\'' => (c, rest),
        'x' => by_code(2)?,
        'u' => by_code(4)?,
        'U' => by_code(8)?,
        '0'..='7' => {
            let digits = text.get(..3).ok_or_else(wrong)?;
            (coded(digits, 8).ok_or_else(wrong)?, &text[3..])
        }
        _ => return Err(wrong()),
    })
}
