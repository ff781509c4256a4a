//! The files of a kubeconfig.
//!
//! In: paths. Out: what they say together, each setting as the first file has it; files with what was changed. A file is
//! replaced whole or not at all, and stays the user's alone.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use kedge_api::decode::{self, Limits};
use kedge_api::{base64, yaml};
use serde_json::{Value, json};

use crate::error::Failure;

/// Fields that name files, and the fields that hold what is in them.
const NAMED: [(&str, Option<&str>); 4] = [
    ("certificate-authority", Some("certificate-authority-data")),
    ("client-certificate", Some("client-certificate-data")),
    ("client-key", Some("client-key-data")),
    ("tokenFile", None),
];

/// One file.
struct One {
    path: PathBuf,
    /// What it says; `None` where it is not there.
    held: Option<Value>,
    changed: bool,
}

/// All of them.
pub struct Files(Vec<One>);

impl Files {
    /// Reads what is there; only a file that was named on the command line must be, unless the command makes it.
    pub fn read(given: Option<&Path>, makes: bool) -> Result<Files, Failure> {
        let paths = match given {
            Some(path) => vec![path.to_path_buf()],
            None => paths(std::env::var("KUBECONFIG").ok(), std::env::var("HOME").ok()),
        };
        if paths.is_empty() {
            return Err(Failure::said("there is no kubeconfig: neither --kubeconfig nor KUBECONFIG nor HOME is set"));
        }
        let mut files = Vec::new();
        for path in paths {
            let held = match std::fs::read(&path) {
                Ok(bytes) => Some(parse(&path, &bytes)?),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && (given.is_none() || makes) => None,
                Err(source) => return Err(Failure::Read { path, source }),
            };
            files.push(One { path, held, changed: false });
        }
        Ok(Files(files))
    }

    /// What they say together.
    pub fn merged(&self) -> Value {
        let held: Vec<Value> = self
            .0
            .iter()
            .filter_map(|file| {
                let mut value = file.held.clone()?;
                absolute(&mut value, file.path.parent().unwrap_or(Path::new("")));
                Some(value)
            })
            .collect();
        merge(&held)
    }

    /// The file that settings go to which none has: the first that is there.
    pub fn main(&mut self) -> &mut Value {
        let at = self.0.iter().position(|file| file.held.is_some()).unwrap_or(self.0.len() - 1);
        self.open(at)
    }

    /// The file that has an entry of a list.
    pub fn holding(&mut self, list: &str, name: &str) -> &mut Value {
        let has = |value: &Value| value[list].as_array().into_iter().flatten().any(|entry| entry["name"] == *name);
        match self.0.iter().position(|file| file.held.as_ref().is_some_and(has)) {
            Some(at) => self.open(at),
            None => self.main(),
        }
    }

    /// Whether one of them has an entry.
    pub fn has(&self, list: &str, name: &str) -> bool {
        let has = |value: &Value| value[list].as_array().into_iter().flatten().any(|entry| entry["name"] == *name);
        self.0.iter().any(|file| file.held.as_ref().is_some_and(has))
    }

    /// Where a context was the current one, that of its new name is.
    pub fn move_current(&mut self, name: &str, new: &str) {
        for file in &mut self.0 {
            if let Some(held) = file.held.as_mut().filter(|held| held["current-context"] == *name) {
                held["current-context"] = json!(new);
                file.changed = true;
            }
        }
    }

    fn open(&mut self, at: usize) -> &mut Value {
        let file = &mut self.0[at];
        file.changed = true;
        file.held.get_or_insert_with(|| json!({"apiVersion": "v1", "kind": "Config"}))
    }

    /// Writes those that were changed.
    pub fn write(&self) -> Result<(), Failure> {
        for file in self.0.iter().filter(|file| file.changed) {
            let text = yaml::text(file.held.as_ref().unwrap_or(&Value::Null));
            replace(&file.path, text.as_bytes())
                .map_err(|error| Failure::said(format!("cannot write {}: {error}", file.path.display())))?;
        }
        Ok(())
    }
}

/// The paths of KUBECONFIG, else the one at home.
fn paths(variable: Option<String>, home: Option<String>) -> Vec<PathBuf> {
    let named: Vec<PathBuf> =
        variable.iter().flat_map(|list| list.split(':')).filter(|path| !path.is_empty()).map(PathBuf::from).collect();
    if !named.is_empty() {
        return named;
    }
    home.filter(|home| !home.is_empty()).map(|home| Path::new(&home).join(".kube/config")).into_iter().collect()
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Value, Failure> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(json!({"apiVersion": "v1", "kind": "Config"}));
    }
    let fault = |source| Failure::Parse { origin: path.display().to_string(), source };
    let value = decode::yaml(bytes, &Limits::MANIFEST).map_err(fault)?.value;
    if value.is_object() { Ok(value) } else { Err(Failure::said(format!("{} is no kubeconfig", path.display()))) }
}

/// Of entries of one name the first counts.
fn merge(files: &[Value]) -> Value {
    let mut whole = json!({"apiVersion": "v1", "kind": "Config"});
    for list in ["clusters", "contexts", "users"] {
        let mut entries: Vec<Value> = Vec::new();
        for entry in files.iter().flat_map(|file| file[list].as_array().into_iter().flatten()) {
            if !entries.iter().any(|held| held["name"] == entry["name"]) {
                entries.push(entry.clone());
            }
        }
        entries.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
        whole[list] = json!(entries);
    }
    let current = files.iter().find_map(|file| file["current-context"].as_str().filter(|name| !name.is_empty()));
    whole["current-context"] = json!(current.unwrap_or(""));
    whole
}

fn settings(config: &mut Value) -> impl Iterator<Item = &mut Value> {
    let lists = config.as_object_mut().into_iter().flatten().filter_map(|(list, entries)| match list.as_str() {
        "clusters" => Some(("cluster", entries)),
        "users" => Some(("user", entries)),
        _ => None,
    });
    lists.flat_map(|(field, entries)| {
        entries.as_array_mut().into_iter().flatten().filter_map(move |entry| entry.get_mut(field))
    })
}

/// Names of files as they are from everywhere.
fn absolute(config: &mut Value, folder: &Path) {
    for settings in settings(config) {
        for (field, _) in NAMED {
            let name = settings[field].as_str().filter(|name| !name.is_empty()).map(PathBuf::from);
            if let Some(path) = name.filter(|path| path.is_relative()) {
                settings[field] = json!(folder.join(path).display().to_string());
            }
        }
    }
}

/// Puts what is in files in the place of their names.
pub fn flatten(config: &mut Value) -> Result<(), Failure> {
    for settings in settings(config) {
        for (field, held) in NAMED {
            let (Some(held), Some(path)) = (held, settings[field].as_str().map(PathBuf::from)) else { continue };
            let bytes = std::fs::read(&path).map_err(|source| Failure::Read { path, source })?;
            settings[held] = json!(base64::encode(&bytes));
            settings.as_object_mut().map(|map| map.remove(field));
        }
    }
    Ok(())
}

/// A file of the user's alone, whole or as before.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // Where it is a link, the file that it leads to is replaced.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let done = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&beside, &path));
    if done.is_err() {
        // The failure that is told is the first one.
        let _ = std::fs::remove_file(&beside);
    }
    done
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_first_file_counts() {
        let files = [
            json!({"users": [{"name": "u", "user": {"token": "1"}}], "current-context": ""}),
            json!({"users": [{"name": "u", "user": {"token": "2"}}, {"name": "a"}], "current-context": "x"}),
        ];
        let whole = merge(&files);
        assert_eq!(whole["users"], json!([{"name": "a"}, {"name": "u", "user": {"token": "1"}}]));
        assert_eq!((&whole["current-context"], &whole["clusters"]), (&json!("x"), &json!([])));
    }

    #[test]
    fn paths_are_kubectls() {
        let home = || Some("/home/jane".to_owned());
        for (variable, expected) in [
            (None, vec!["/home/jane/.kube/config"]),
            (Some(""), vec!["/home/jane/.kube/config"]),
            (Some("/a::/b"), vec!["/a", "/b"]),
        ] {
            let found = paths(variable.map(str::to_owned), home());
            assert_eq!(found, expected.into_iter().map(PathBuf::from).collect::<Vec<_>>());
        }
    }

    #[test]
    fn files_are_changed_whole_and_stay_private() {
        let folder = std::env::temp_dir().join(format!("edgectl-config-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("config");
        std::fs::write(folder.join("ca.crt"), "x").unwrap();
        std::fs::write(&path, "clusters:\n- name: c\n  cluster: {certificate-authority: ca.crt}\nother: kept\n")
            .unwrap();
        let mut files = Files::read(Some(&path), false).unwrap();
        files.main()["current-context"] = json!("b");
        files.write().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("current-context: b") && text.contains("other: kept") && text.contains(": ca.crt"),
            "{text}"
        );
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut whole = files.merged();
        assert_eq!(
            whole["clusters"][0]["cluster"]["certificate-authority"],
            folder.join("ca.crt").display().to_string()
        );
        flatten(&mut whole).unwrap();
        assert_eq!(whole["clusters"][0]["cluster"], json!({"certificate-authority-data": "eA=="}));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(Files::read(Some(&path), false).is_err());
    }
}
