//! Text to tokens.
//!
//! In: a text. Out: tokens with their place, ending with [`Tok::End`], or the first characters that begin none.
//! Never reads what a token means.

use crate::fault::Issue;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tok {
    Ident,
    /// A name in backticks.
    Quoted,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    True,
    False,
    Null,
    /// An operator, a bracket, or `in`.
    Sign(&'static str),
    End,
}

/// A token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'t> {
    /// What it is.
    pub tok: Tok,
    /// Its text.
    pub text: &'t str,
    /// The byte it begins at.
    pub at: u32,
}

/// Longer ones first.
const SIGNS: [&str; 26] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*",
    "/", "%", "=", "&",
];

/// The tokens of a text, and what is wrong with it.
pub fn tokens(text: &str) -> (Vec<Token<'_>>, Vec<Issue>) {
    let (mut found, mut issues) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let skipped = blank(rest);
        if skipped > 0 {
            at += skipped;
            continue;
        }
        match one(rest) {
            Ok((tok, length)) => {
                found.push(Token { tok, text: &rest[..length], at: at as u32 });
                at += length;
            }
            Err(length) => {
                let shown = shown(&rest[..length]);
                issues.push(Issue::new(at as u32, format!("Syntax error: token recognition error at: '{shown}'")));
                at += length;
            }
        }
    }
    found.push(Token { tok: Tok::End, text: "<EOF>", at: text.len() as u32 });
    (found, issues)
}

fn shown(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
}

/// How many bytes of white space and comments it begins with.
fn blank(rest: &str) -> usize {
    let white = rest.bytes().take_while(|b| matches!(b, b'\t' | b' ' | b'\r' | b'\n' | 0x0c)).count();
    if white == 0 && rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    white
}

/// The token at the start, or how many bytes begin none.
fn one(rest: &str) -> Result<(Tok, usize), usize> {
    let bytes = rest.as_bytes();
    let first = bytes[0];
    if let Some(found) = text(rest) {
        return found;
    }
    if first.is_ascii_alphabetic() || first == b'_' {
        let length = bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let tok = match &rest[..length] {
            "true" => Tok::True,
            "false" => Tok::False,
            "null" => Tok::Null,
            "in" => Tok::Sign("in"),
            _ => Tok::Ident,
        };
        return Ok((tok, length));
    }
    if first == b'`' {
        let inner = bytes[1..].iter().take_while(|b| b.is_ascii_alphanumeric() || b"_.-/ ".contains(b)).count();
        return if inner > 0 && bytes.get(inner + 1) == Some(&b'`') {
            Ok((Tok::Quoted, inner + 2))
        } else {
            Err(inner + 1)
        };
    }
    if first.is_ascii_digit() || (first == b'.' && bytes.get(1).is_some_and(u8::is_ascii_digit)) {
        return Ok(number(bytes));
    }
    match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        Some(&"=" | &"&") | None => {}
        Some(sign) => return Ok((Tok::Sign(sign), sign.len())),
    }
    // `=` or `&` alone begins a sign that does not end: both characters are shown.
    let mut characters = rest.chars();
    let length = characters.next().map_or(1, char::len_utf8);
    let is_half = matches!(first, b'=' | b'&' | b'|');
    Err(length + if is_half { characters.next().map_or(0, char::len_utf8) } else { 0 })
}

fn number(bytes: &[u8]) -> (Tok, usize) {
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let is_unsigned = |at: usize| matches!(bytes.get(at), Some(b'u' | b'U'));
    if bytes.starts_with(b"0x") {
        let hex = bytes[2..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if hex > 0 {
            return if is_unsigned(2 + hex) { (Tok::Uint, 3 + hex) } else { (Tok::Int, 2 + hex) };
        }
    }
    let whole = digits(0);
    let (mut end, mut is_double) = (whole, false);
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
        is_double = true;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.len() > end + 1 + sign && digits(end + 1 + sign) > 0 {
            end += 1 + sign + digits(end + 1 + sign);
            is_double = true;
        }
    }
    match is_double {
        true => (Tok::Double, end),
        false if is_unsigned(end) => (Tok::Uint, end + 1),
        false => (Tok::Int, end),
    }
}

/// A text or bytes at the start, if there is one.
fn text(rest: &str) -> Option<Result<(Tok, usize), usize>> {
    let bytes = rest.as_bytes();
    let (mut at, mut raw, mut tok) = (0, false, Tok::Text);
    while let Some(letter) = bytes.get(at) {
        match letter {
            b'b' | b'B' if tok == Tok::Text && !raw => tok = Tok::Bytes,
            b'r' | b'R' if !raw => raw = true,
            b'"' | b'\'' => break,
            _ => return None,
        }
        at += 1;
    }
    let quote = *bytes.get(at)?;
    let triple = bytes[at..].starts_with(&[quote; 3]);
    let mut end = at + if triple { 3 } else { 1 };
    loop {
        match bytes.get(end) {
            None => return Some(Err(rest.len())),
            Some(b'\n' | b'\r') if !triple => return Some(Err(end)),
            Some(b'\\') if !raw => {
                let length = escape(&bytes[end..]);
                if length == 0 {
                    return Some(Err(cut(rest, end + 2)));
                }
                end += length;
            }
            Some(byte) if *byte == quote && (!triple || bytes[end..].starts_with(&[quote; 3])) => {
                return Some(Ok((tok, end + if triple { 3 } else { 1 })));
            }
            Some(_) => end += 1,
        }
    }
}

/// A place in the text that is no further than `end` and between characters.
fn cut(text: &str, end: usize) -> usize {
    (0..=end.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0).max(1)
}

/// How many bytes an escape sequence is; 0 if it is none.
fn escape(bytes: &[u8]) -> usize {
    let hex = |count: usize| bytes.len() >= 2 + count && bytes[2..2 + count].iter().all(u8::is_ascii_hexdigit);
    let octal = |at: usize, most: u8| bytes.get(at).is_some_and(|b| (b'0'..=most).contains(b));
    match bytes.get(1) {
        Some(b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'"' | b'\'' | b'\\' | b'?' | b'`') => 2,
        Some(b'x' | b'X') if hex(2) => 4,
        Some(b'u') if hex(4) => 6,
        Some(b'U') if hex(8) => 10,
        Some(b'0'..=b'3') if octal(2, b'7') && octal(3, b'7') => 4,
        _ => 0,
    }
}
