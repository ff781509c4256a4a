//! Places: folders of kustomizations, and fields within objects.
//!
//! In: words. Out: bytes of files that lie in or below a folder, links followed; values at a path, through lists as
//! well. Never leaves the folder.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use kedge_api::decode::Limits;
use serde_json::{Map, Value};

use crate::error::Failure;

/// Whether a word names something that is not on this machine.
pub fn is_remote(word: &str) -> bool {
    let hosts = ["github.com/", "git@", "git::", "gh:", "bitbucket.org/", "gitlab.com/"];
    word.contains("://") || hosts.iter().any(|host| word.starts_with(host)) || word.contains("?ref=")
}

/// A folder with a kustomization.
pub struct Folder {
    /// Links followed.
    pub root: PathBuf,
}

impl Folder {
    /// The folder of that name.
    pub fn open(path: &Path) -> Result<Folder, Failure> {
        let fault = |source| Failure::Read { path: path.to_path_buf(), source };
        let root = std::fs::canonicalize(path).map_err(fault)?;
        if !root.is_dir() {
            return Err(Failure::said(format!("'{}' must be a directory so that it can be a root", path.display())));
        }
        Ok(Folder { root })
    }

    /// What is in a file.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let path = self.root.join(name);
        let fault = |source| Failure::Read { path: path.clone(), source };
        let real = std::fs::canonicalize(&path).map_err(fault)?;
        if !real.starts_with(&self.root) {
            return Err(Failure::said(format!(
                "security; file '{}' is not in or below '{}'",
                real.display(),
                self.root.display()
            )));
        }
        if !real.is_file() {
            return Err(Failure::said(format!("'{}' is no file", path.display())));
        }
        let (mut bytes, limit) = (Vec::new(), Limits::MANIFEST.bytes as u64);
        std::fs::File::open(&real).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(fault)?;
        if bytes.len() as u64 > limit {
            return Err(Failure::said(format!("'{}' is larger than {limit} bytes", path.display())));
        }
        Ok(bytes)
    }
}

/// Puts a text where a path leads; what is no object on the way becomes one.
pub fn put(value: &mut Value, path: &[&str], text: &str) {
    let mut here = value;
    for name in path {
        if !here.is_object() {
            *here = Value::Object(Map::new());
        }
        let Some(map) = here.as_object_mut() else { return };
        here = map.entry(*name).or_insert(Value::Null);
    }
    *here = Value::from(text);
}

/// The parts of a path such as `spec/a\/b/c[]`.
pub fn split(path: &str) -> Vec<String> {
    let (mut parts, mut last) = (Vec::new(), String::new());
    let mut chars = path.trim_start_matches('/').chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => last.extend(chars.next()),
            '/' => parts.push(std::mem::take(&mut last)),
            c => last.push(c),
        }
    }
    parts.push(last);
    parts.into_iter().map(|part| part.trim_end_matches("[]").to_owned()).collect()
}

/// Shows every value where a path leads, through all items of lists. With `create` missing objects on the way are
/// made, and the last value is shown as null where it is not there.
pub fn each(value: &mut Value, path: &[String], create: bool, show: &mut dyn FnMut(&mut Value)) {
    if let Value::Array(items) = value {
        return items.iter_mut().for_each(|item| each(item, path, create, show));
    }
    let [first, rest @ ..] = path else { return show(value) };
    if create && value.is_null() {
        *value = Value::Object(Map::new());
    }
    let Some(map) = value.as_object_mut() else { return };
    if create {
        each(map.entry(first.as_str()).or_insert(Value::Null), rest, create, show);
    } else if let Some(inner) = map.get_mut(first) {
        each(inner, rest, create, show);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_through_lists() {
        let mut value = json!({"a": [{"b": "x"}, {"c": 1}, 7]});
        let mut seen = Vec::new();
        each(&mut value, &split("a[]/b"), false, &mut |value| seen.push(value.clone()));
        assert_eq!(seen, [json!("x")]);
        each(&mut value, &split("d/e\\/f"), true, &mut |value| *value = json!(2));
        assert_eq!(value["d"], json!({"e/f": 2}));
        put(&mut value, &["d", "g"], "y");
        put(&mut value, &["a", "g"], "y");
        assert_eq!((&value["d"]["g"], &value["a"]), (&json!("y"), &json!({"g": "y"})));
    }

    #[test]
    fn addresses_are_known() {
        for word in ["https://a.lan/x.yaml", "github.com/a/b//c?ref=v1", "git@a.lan:b", "ssh://a/b"] {
            assert!(is_remote(word), "{word}");
        }
        for word in ["../base", "github.yaml", "a/b.yaml"] {
            assert!(!is_remote(word), "{word}");
        }
    }
}
