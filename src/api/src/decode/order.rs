//! In which order the oddities of a JSON text stand in it.
//!
//! In: a text that was read before, the paths of what is unknown in it and of what is given twice. Out: what is to be
//! said of them, from the front to the back, as Go's decoder meets them: what is unknown is not looked into, and told
//! once however often it is given. Only texts that are odd come here.

use crate::check::{duplicate, unknown_field};

/// A list or map that is open.
struct Open {
    /// Where its own path ends.
    path: usize,
    /// Which item comes next; none in a map.
    item: Option<usize>,
}

/// Tells each path where it stands; what is unknown and not found there comes last.
pub fn in_order(text: &[u8], unknown: &[String], duplicates: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    let mut told = vec![false; unknown.len()];
    let mut met = vec![false; duplicates.len()];
    let mut path = String::new();
    let mut open: Vec<Open> = Vec::new();
    // How many are open where the unknown is whose value is passed over.
    let mut passes = usize::MAX;
    let mut wants_key = false;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let from = at;
        at += 1;
        match byte {
            b'"' => {
                while let Some(byte) = text.get(at) {
                    at += if *byte == b'\\' { 2 } else { 1 };
                    if *byte == b'"' {
                        break;
                    }
                }
                if !std::mem::take(&mut wants_key) || open.len() > passes {
                    continue;
                }
                let key: String =
                    text.get(from..at).and_then(|key| serde_json::from_slice(key).ok()).unwrap_or_default();
                if open.len() > 1 {
                    path.push('.');
                }
                path.push_str(&key);
                if let Some(which) = unknown.iter().position(|one| *one == path) {
                    passes = open.len();
                    if !std::mem::replace(&mut told[which], true) {
                        out.push(unknown_field(&path));
                    }
                } else if let Some(which) = duplicates.iter().position(|one| *one == path)
                    && std::mem::replace(&mut met[which], true)
                {
                    let text = duplicate(&path);
                    if !out.contains(&text) {
                        out.push(text);
                    }
                }
            }
            b'{' | b'[' => {
                wants_key = *byte == b'{';
                open.push(Open { path: path.len(), item: (!wants_key).then_some(0) });
                if !wants_key {
                    path.push_str("[0]");
                }
            }
            b'}' | b']' => {
                wants_key = false;
                path.truncate(open.pop().map_or(0, |open| open.path));
                if open.len() < passes {
                    passes = usize::MAX;
                }
            }
            b',' => {
                if open.len() <= passes {
                    passes = usize::MAX;
                }
                let Some(innermost) = open.last_mut() else { continue };
                path.truncate(innermost.path);
                wants_key = innermost.item.is_none();
                if let Some(item) = &mut innermost.item {
                    *item += 1;
                    path.push_str(&format!("[{item}]"));
                }
            }
            _ => {}
        }
    }
    out.extend(unknown.iter().zip(told).filter(|(_, told)| !told).map(|(path, _)| unknown_field(path)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, unknown: &[&str], duplicates: &[&str], expected: &[&str]) {
        let owned = |list: &[&str]| list.iter().map(|&path| path.to_owned()).collect::<Vec<_>>();
        assert_eq!(in_order(text.as_bytes(), &owned(unknown), &owned(duplicates)), expected);
    }

    #[test]
    fn oddities_are_told_from_the_front_to_the_back() {
        let text = r#"{"metadata": {"name": "a", "name": "b", "unknownMeta": 1}, "spec": {"unknown1": "x", "unknownDupe": {"a": 1, "a": 2},
            "unknownDupe": [[{"paused": 3}]], "paused": true, "paused": false, "paused": true, "list": [1, [], "[,{\"", {"nested": "}"}, {"key\u0022": 1}]}}"#;
        check(
            text,
            &[
                "spec.list[3].nested",
                "spec.list[4].key\"",
                "spec.unknown1",
                "spec.unknownDupe",
                "metadata.unknownMeta",
                "lost",
            ],
            &["metadata.name", "spec.paused", "spec.unknownDupe", "spec.unknownDupe.a"],
            &[
                "duplicate field \"metadata.name\"",
                "unknown field \"metadata.unknownMeta\"",
                "unknown field \"spec.unknown1\"",
                "unknown field \"spec.unknownDupe\"",
                "duplicate field \"spec.paused\"",
                "unknown field \"spec.list[3].nested\"",
                "unknown field \"spec.list[4].key\"\"",
                "unknown field \"lost\"",
            ],
        );
        check(r#"[{"op": 1, "op": 2}, {"op": 3}]"#, &[], &["[0].op", "[1].op"], &["duplicate field \"[0].op\""]);
        check(r#"{"": {"a": 1, "a": 2}}"#, &[], &[".a"], &["duplicate field \".a\""]);
        check("]}},,\"", &[], &[], &[]);
        check("{\"a\\", &["a"], &[], &["unknown field \"a\""]);
    }
}
