//! What a quoted text says.
//!
//! In: a token of a text or bytes, as the lexer accepted it. Out: its characters or bytes. Never fails on what a lexer
//! accepts but for numbers that are no character.

/// The text a token says.
pub fn text(token: &str) -> Result<String, &'static str> {
    let (inner, raw) = strip(token);
    if raw {
        return Ok(inner.to_owned());
    }
    let mut out = String::with_capacity(inner.len());
    each(inner, false, &mut |piece| match piece {
        Piece::Char(c) => out.push(c),
        Piece::Byte(b) => out.push(char::from(b)),
    })?;
    Ok(out)
}

/// The bytes a token says, without its `b`.
pub fn bytes(token: &str) -> Result<Vec<u8>, &'static str> {
    let (inner, raw) = strip(token.trim_start_matches(['b', 'B']));
    if raw {
        return Ok(inner.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(inner.len());
    each(inner, true, &mut |piece| match piece {
        Piece::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        Piece::Byte(b) => out.push(b),
    })?;
    Ok(out)
}

enum Piece {
    Char(char),
    Byte(u8),
}

fn strip(token: &str) -> (&str, bool) {
    let raw = token.starts_with(['r', 'R']);
    // `rb` and `br` both are raw bytes.
    let token = token.trim_start_matches(['r', 'R', 'b', 'B']);
    let width = if token.len() >= 6 && (token.starts_with("\"\"\"") || token.starts_with("'''")) { 3 } else { 1 };
    (token.get(width..token.len().saturating_sub(width)).unwrap_or_default(), raw)
}

fn each(inner: &str, is_bytes: bool, put: &mut dyn FnMut(Piece)) -> Result<(), &'static str> {
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            put(Piece::Char(c));
            continue;
        }
        let letter = rest.next().ok_or("unable to unescape string, found '\\' as last character")?;
        let plain = match letter {
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' | 'X' | 'u' | 'U' | '0'..='3' => {
                let (digits, base) = match letter {
                    'x' | 'X' => (2, 16),
                    'u' => (4, 16),
                    'U' => (8, 16),
                    _ => (2, 8),
                };
                if is_bytes && matches!(letter, 'u' | 'U') {
                    return Err("unable to unescape string");
                }
                let mut number = if base == 8 { letter.to_digit(8).unwrap_or(0) } else { 0 };
                for _ in 0..digits {
                    let digit = rest.next().and_then(|c| c.to_digit(base)).ok_or("unable to unescape string")?;
                    number = number.saturating_mul(base).saturating_add(digit);
                }
                if is_bytes {
                    put(Piece::Byte(number as u8));
                    continue;
                }
                char::from_u32(number).ok_or("unable to unescape string")?
            }
            other => other,
        };
        put(Piece::Char(plain));
    }
    Ok(())
}
