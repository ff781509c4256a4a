//! The file that holds the built-in plugins, compiled.
//!
//! In: named components. Out: one file: a line of JSON that names them, then each at a page's start, so that the
//! daemon runs them where its own binary is mapped, without a copy.
//! Never runs anything.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// First bytes of a bundle.
const MAGIC: &[u8; 12] = b"kedgeplugin1";

/// Where code may start: a multiple of every page size in use (64 KiB on some ARM kernels, 4 KiB on x86).
pub const ALIGNMENT: usize = 64 << 10;

/// What a bundle says of itself.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`crate::engine::ENGINE_VERSION`] of the compiler.
    pub engine: String,
    /// What it was compiled for.
    pub target: String,
    /// The components.
    pub plugins: Vec<Member>,
}

/// A component in a bundle.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its built-in name.
    pub name: String,
    /// SHA-256 of the Wasm that it was compiled from, in hexadecimal.
    pub wasm: String,
    /// SHA-256 of the compiled form.
    pub compiled: String,
    /// Where it starts, from the bundle's start.
    pub offset: usize,
    /// Its length.
    pub length: usize,
}

/// Why bytes are no usable bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The build made none.
    #[error("this build carries no built-in plugins: run `cargo xtask guests`, then build again")]
    Absent,
    /// It is something else, or cut short.
    #[error("the bundle of built-in plugins is damaged: {0}")]
    Damaged(String),
    /// It was made by another version.
    #[error(
        "the bundle of built-in plugins was compiled by engine {found}, this daemon has {}",
        crate::engine::ENGINE_VERSION
    )]
    Engine {
        /// By which.
        found: String,
    },
}

/// SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a bundle. `members`: name, Wasm and compiled form.
pub fn write(target: &str, members: &[(String, Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut offset = ALIGNMENT;
    let plugins = members.iter().map(|(name, wasm, compiled)| {
        let member = Member {
            name: name.clone(),
            wasm: digest(wasm),
            compiled: digest(compiled),
            offset,
            length: compiled.len(),
        };
        offset += compiled.len().next_multiple_of(ALIGNMENT);
        member
    });
    let manifest =
        Manifest { engine: crate::engine::ENGINE_VERSION.into(), target: target.into(), plugins: plugins.collect() };
    let text = serde_json::to_vec(&manifest).expect("names and numbers are JSON");
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&text);
    for (_, _, compiled) in members {
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes.extend_from_slice(compiled);
    }
    bytes
}

/// Reads what a bundle says of itself, and checks that its members lie inside.
pub fn read(bytes: &[u8]) -> Result<Manifest, BundleError> {
    if bytes.is_empty() {
        return Err(BundleError::Absent);
    }
    let damaged = |what: &str| BundleError::Damaged(what.to_string());
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| damaged("its first bytes are not a bundle's"))?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(|| damaged("it ends in its head"))?;
    let text = rest.get(..u32::from_le_bytes(*length) as usize).ok_or_else(|| damaged("it ends in its manifest"))?;
    let manifest: Manifest = serde_json::from_slice(text).map_err(|error| BundleError::Damaged(error.to_string()))?;
    if manifest.engine != crate::engine::ENGINE_VERSION {
        return Err(BundleError::Engine { found: manifest.engine });
    }
    for member in &manifest.plugins {
        let end = member.offset.checked_add(member.length).filter(|end| *end <= bytes.len());
        if end.is_none() {
            return Err(BundleError::Damaged(format!("{} is not whole", member.name)));
        }
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        write("pulley64", &[("a".into(), b"wasm".to_vec(), vec![7; 100]), ("b".into(), vec![], vec![8; 70_000])])
    }

    #[test]
    fn a_bundle_is_read_as_it_was_written() {
        let bytes = sample();
        let manifest = read(&bytes).unwrap();
        let names: Vec<_> = manifest.plugins.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        for member in &manifest.plugins {
            assert_eq!(member.offset % ALIGNMENT, 0);
            assert_eq!(digest(&bytes[member.offset..member.offset + member.length]), member.compiled);
        }
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let said = read(bytes).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn damage_is_named() {
        let whole = sample();
        check(&[], "run `cargo xtask guests`");
        check(b"ELF", "not a bundle's");
        check(&whole[..14], "ends in its head");
        check(&whole[..40], "ends in its manifest");
        check(&whole[..whole.len() - 1], "b is not whole");
        let version = crate::engine::ENGINE_VERSION.as_bytes();
        let at = whole.windows(version.len()).position(|bytes| bytes == version).unwrap();
        let mut other = whole.clone();
        other[at..at + 2].copy_from_slice(b"47");
        check(&other, "engine 47.");
    }
}
