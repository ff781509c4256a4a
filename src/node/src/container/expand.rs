//! `$(VAR)` in commands, arguments and environment values.
//!
//! In: text and variables, where a later one of a name wins. Out: text in which known variables are put in, unknown ones
//! stay as they stand, and `$$` is one `$`. Pure.

/// Expands one text.
pub fn expand(text: &str, env: &[(String, String)]) -> String {
    expand_with(text, |name| env.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
}

/// Expands one text by a lookup.
pub fn expand_with(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('(') {
            match inner.find(')') {
                Some(end) => {
                    let name = &inner[..end];
                    match lookup(name) {
                        Some(value) => out.push_str(&value),
                        None => {
                            out.push_str("$(");
                            out.push_str(name);
                            out.push(')');
                        }
                    }
                    rest = &inner[end + 1..];
                }
                None => {
                    out.push_str("$(");
                    rest = inner;
                }
            }
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let env = [("A", "1"), ("B", "two"), ("A", "one")].map(|(k, v)| (k.into(), v.into()));
        assert_eq!(expand(text, &env), want);
    }

    #[test]
    fn variables_are_put_in() {
        check("x$(A)-$(B)y", "xone-twoy");
        check("$(C)", "$(C)");
        check("$$(A)", "$(A)");
        check("$$$(A)", "$one");
        check("$A $ $", "$A $ $");
        check("$(A", "$(A");
        check("", "");
    }
}
