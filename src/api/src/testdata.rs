//! Where tests find Kubernetes' published data. In: `KEDGE_TEST_DATA` or `../shared/data` beside the checkout.
//! Out: texts. Never part of a build; a test that finds nothing says that it was skipped.

use std::path::{Path, PathBuf};

/// The folder of that name in the data of the served version, or `None` after saying so.
pub fn folder(name: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("KEDGE_TEST_DATA") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let folder = root.join("kubernetes-1.36").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no {} (set KEDGE_TEST_DATA)", folder.display());
    None
}

/// Name and text of every file with that ending, sorted by name.
pub fn files(folder: &Path, ending: &str) -> Vec<(String, String)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .map(|path| {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("text"))
        })
        .collect();
    files.sort();
    files
}
