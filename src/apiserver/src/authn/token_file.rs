//! The static token file: `token,user,uid,"group1,group2"`, a line each.
//!
//! In: the file's text. Out: tokens with whom they name, or the line that is no such record. Pure.

use crate::identity::Identity;

/// Lines that are read: more are no file of a device.
const MOST: usize = 10_000;

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFileFault {
    /// Too few fields.
    #[error("line {line} must have at least 3 columns (token, user name, user uid), found {found}")]
    Columns {
        /// Which line.
        line: usize,
        /// How many there are.
        found: usize,
    },
    /// A quoted field without an end, or with more after it.
    #[error("line {0}: a quoted field does not end with its quote")]
    Quote(usize),
    /// No token or user.
    #[error("line {0}: the {1} is empty")]
    Empty(usize, &'static str),
    /// The same token twice.
    #[error("line {0}: the token was given before")]
    Twice(usize),
    /// Too many lines.
    #[error("there are more than {MOST} lines")]
    TooMany,
}

/// Reads the file.
pub fn parse(text: &str) -> Result<Vec<(String, Identity)>, TokenFileFault> {
    let mut found: Vec<(String, Identity)> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (at, text) in text.lines().enumerate() {
        let line = at + 1;
        if line > MOST {
            return Err(TokenFileFault::TooMany);
        }
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        let fields = fields(text).ok_or(TokenFileFault::Quote(line))?;
        let [token, user, uid, rest @ ..] = fields.as_slice() else {
            return Err(TokenFileFault::Columns { line, found: fields.len() });
        };
        if token.is_empty() {
            return Err(TokenFileFault::Empty(line, "token"));
        }
        if user.is_empty() {
            return Err(TokenFileFault::Empty(line, "user name"));
        }
        let groups = rest.first().map(String::as_str).unwrap_or("");
        let groups = groups.split(',').map(str::trim).filter(|g| !g.is_empty());
        let identity = Identity { uid: uid.clone(), ..Identity::user(user.as_str(), groups) };
        if !seen.insert(token.clone()) {
            return Err(TokenFileFault::Twice(line));
        }
        found.push((token.clone(), identity));
    }
    Ok(found)
}

/// The fields of one record: bare, or in quotes within which a quote is doubled.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let mut rest = line;
    loop {
        let trimmed = rest.trim_start();
        let (field, after) = match trimmed.strip_prefix('"') {
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].trim().to_owned(), &rest[end..])
            }
            Some(mut inside) => {
                let mut field = String::new();
                loop {
                    let end = inside.find('"')?;
                    field.push_str(&inside[..end]);
                    inside = &inside[end + 1..];
                    match inside.strip_prefix('"') {
                        Some(more) => {
                            field.push('"');
                            inside = more;
                        }
                        None => break,
                    }
                }
                (field, inside.trim_start())
            }
        };
        all.push(field);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Some(all),
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is "token user uid groups" a record, or the fault.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let seen = match parse(text) {
            Ok(all) => all
                .into_iter()
                .map(|(token, who)| format!("{token} {} {} {}", who.name, who.uid, who.groups.join("+")))
                .collect::<Vec<_>>()
                .join("; "),
            Err(fault) => fault.to_string(),
        };
        assert_eq!(seen, expected);
    }

    #[test]
    fn records_are_read_or_named() {
        check("t,jane,1\n", "t jane 1 system:authenticated");
        check(
            "# who\n\nt,jane,1,\"a, b\"\nu,joe,2,c\n",
            "t jane 1 a+b+system:authenticated; u joe 2 c+system:authenticated",
        );
        check("\"t\"\"x\",jane,1", "t\"x jane 1 system:authenticated");
        check("t,jane", "line 1 must have at least 3 columns (token, user name, user uid), found 2");
        check("t,jane,1,\"a", "line 1: a quoted field does not end with its quote");
        check("t,jane,1,\"a\"b", "line 1: a quoted field does not end with its quote");
        check(",jane,1", "line 1: the token is empty");
        check("t,,1", "line 1: the user name is empty");
        check("t,jane,1\nt,joe,2", "line 2: the token was given before");
    }
}
