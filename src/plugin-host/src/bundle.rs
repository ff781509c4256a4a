//! The file that holds the built-in plugins, compiled.
//!
//! In: named components. Out: one file: a line of JSON that names them, then each compressed, which makes the daemon's
//! binary smaller by a tenth. The daemon unpacks them once into its cache and runs them from there (`code.rs`).
//! Never runs anything.

use std::io::Read as _;

use ruzstd::decoding::StreamingDecoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// First bytes of a bundle.
const MAGIC: &[u8; 12] = b"kedgeplugin3";

/// More than this is no compiled plugin of ours: ten times the largest.
const LARGEST: usize = 64 << 20;

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
    /// Its compressed length.
    pub length: usize,
    /// Its length.
    pub size: usize,
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

/// Zstandard's smallest: a second of the build, once.
#[cfg(any(test, feature = "compiler"))]
const LEVEL: i32 = 22;

/// Writes a bundle. `members`: name, Wasm and compiled form.
#[cfg(any(test, feature = "compiler"))]
pub fn write(target: &str, members: &[(String, Vec<u8>, Vec<u8>)]) -> std::io::Result<Vec<u8>> {
    let mut code = Vec::new();
    let mut plugins = Vec::new();
    for (name, wasm, compiled) in members {
        let offset = code.len();
        code.extend(zstd::bulk::compress(compiled, LEVEL)?);
        plugins.push(Member {
            name: name.clone(),
            wasm: digest(wasm),
            compiled: digest(compiled),
            offset,
            length: code.len() - offset,
            size: compiled.len(),
        });
    }
    let manifest = Manifest { engine: crate::engine::ENGINE_VERSION.into(), target: target.into(), plugins };
    let text = serde_json::to_vec(&manifest)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&text);
    bytes.extend_from_slice(&code);
    Ok(bytes)
}

/// The compiled form of a member, checked against its digest.
pub fn unpack(bytes: &[u8], member: &Member) -> Result<Vec<u8>, BundleError> {
    let damaged = |what: &str| BundleError::Damaged(format!("{}: {what}", member.name));
    let packed = body(bytes)
        .and_then(|body| body.get(member.offset..member.offset.checked_add(member.length)?))
        .ok_or_else(|| damaged("it is not whole"))?;
    if member.size > LARGEST {
        return Err(damaged("it is too large"));
    }
    let mut compiled = Vec::with_capacity(member.size);
    let most = member.size as u64 + 1;
    let decoder = StreamingDecoder::new(packed).map_err(|error| damaged(&error.to_string()))?;
    let read = decoder.take(most).read_to_end(&mut compiled);
    read.map_err(|error| damaged(&error.to_string()))?;
    if compiled.len() != member.size || digest(&compiled) != member.compiled {
        return Err(damaged("it is not what its digest says"));
    }
    Ok(compiled)
}

/// What follows the manifest.
fn body(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.get(MAGIC.len()..)?.split_first_chunk::<4>()?;
    rest.get(u32::from_le_bytes(*length) as usize..)
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
    let code = body(bytes).map_or(0, <[u8]>::len);
    for member in &manifest.plugins {
        let end = member.offset.checked_add(member.length).filter(|end| *end <= code);
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
            .unwrap()
    }

    #[test]
    fn a_bundle_is_read_as_it_was_written() {
        let bytes = sample();
        let manifest = read(&bytes).unwrap();
        let names: Vec<_> = manifest.plugins.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        for member in &manifest.plugins {
            let compiled = unpack(&bytes, member).unwrap();
            assert_eq!((compiled.len(), digest(&compiled)), (member.size, member.compiled.clone()));
            let other = Member { compiled: digest(b"other"), ..member.clone() };
            assert!(unpack(&bytes, &other).is_err());
            let longer = Member { size: member.size - 1, ..member.clone() };
            assert!(unpack(&bytes, &longer).is_err());
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
