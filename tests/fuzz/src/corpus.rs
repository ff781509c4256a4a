//! Seeds: small inputs that are kept, each of them a test for ever.
//!
//! In: a target. Out: the files of `tests/fuzz/corpus/NAME`, in the order of their names. A seed named `text-*` or with
//! another ending is only bytes: the name says why it is there.

use std::path::{Path, PathBuf};

use crate::Target;

/// The folder of a target's seeds.
pub fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// Name and bytes of each seed.
pub fn seeds(target: &Target) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder(target))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        all.push((name, std::fs::read(&path)?));
    }
    all.sort();
    Ok(all)
}
