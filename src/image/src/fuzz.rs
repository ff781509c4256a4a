//! Doors for `tests/fuzz` to what reads registries, archives and images: none of them is trusted.
//!
//! In: any bytes. Out: nothing, or a panic that says which promise was broken. Only with the feature `fuzz`; touches no
//! file and no network.

use std::collections::BTreeMap;
use std::io::Read as _;

use crate::compress;
use crate::manifest::{ConfigFile, Document, Platform, chain_ids, parse_saved};
use crate::reference::Reference;
use crate::registry::challenge;
use crate::registry::keys::Keys;
use crate::tar::{self, Archive, Entry, write::Writer};
use crate::user;

/// A reference: its text reads as itself.
pub fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(reference) = Reference::parse(text) else { return };
    let written = reference.to_string();
    assert_eq!(Reference::parse(&written).as_ref(), Ok(&reference), "{written}");
    // What goes into a URL has nothing in it that could end a part of one.
    assert!(
        reference
            .name()
            .bytes()
            .chain(reference.wanted().bytes())
            .all(|byte| byte.is_ascii_graphic() && !b"?#%\\".contains(&byte))
    );
    assert!(!reference.repository.split('/').any(|part| part.is_empty() || part == "." || part == ".."), "{written}");
}

/// A manifest or index, a configuration, or the list of an archive.
pub fn manifest(bytes: &[u8]) {
    let platform = Platform { os: "linux".to_owned(), architecture: "arm".to_owned(), variant: Some("v7".to_owned()) };
    match Document::parse(bytes) {
        Ok(Document::Index(index)) => {
            if let Ok(chosen) = index.choose(&platform) {
                assert!(index.manifests.iter().any(|one| one.digest == chosen.digest));
            }
        }
        Ok(Document::Manifest(_)) | Err(_) => {}
    }
    if let Ok(config) = ConfigFile::parse(bytes, &platform) {
        assert_eq!(chain_ids(config.diff_ids()).len(), config.diff_ids().len());
        let _ = config.run();
    }
    let _ = parse_saved(bytes);
}

/// A header by which a registry says how it wants to be asked; or a file of credentials.
pub fn challenge(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = challenge::parse(text.lines());
    let encoded = challenge::encode(text);
    assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~%".contains(&byte)));
    let mut keys = Keys::default();
    let _ = keys.add_docker_config(bytes);
    let _ = keys.add_dockercfg(bytes);
    for image in ["nginx", "a.example.com:5000/b/c", "localhost/x"] {
        let image = Reference::parse(image).expect("is a reference");
        let _ = keys.for_image(&image);
    }
}

/// At most so much of what a stream becomes is read here.
const UNPACKED: u64 = 1 << 20;

/// A layer, perhaps compressed.
pub fn compressed(bytes: &[u8]) {
    let Ok(reader) = compress::decompress(bytes) else { return };
    let mut out = Vec::new();
    let _ = reader.take(UNPACKED).read_to_end(&mut out);
}

/// A tar stream: as it is, and with checksums that fit, which chance would not find.
pub fn archive(bytes: &[u8]) {
    entries(bytes);
    let mut repaired = bytes.to_vec();
    for block in repaired.chunks_exact_mut(tar::BLOCK) {
        if block[257..262] == *b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        }
    }
    entries(&repaired);
}

/// Reads every entry; what was read is written and read as the same, but for times: whole seconds since 1970 are written.
fn entries(bytes: &[u8]) {
    let mut archive = Archive::new(bytes);
    let mut all: Vec<(Entry, Vec<u8>)> = Vec::new();
    loop {
        match archive.next_entry() {
            Ok(Some(entry)) => {
                let mut content = Vec::new();
                assert!(archive.content_offset() <= bytes.len() as u64);
                if archive.read_to_end(&mut content).is_err() {
                    return;
                }
                assert_eq!(content.len() as u64, entry.size);
                all.push((entry, content));
            }
            Ok(None) => break,
            Err(_) => return,
        }
    }
    let _ = archive.drain();
    let mut writer = Writer::new(Vec::new());
    for (entry, content) in &all {
        writer.entry(entry, &mut content.as_slice()).expect("memory takes it");
    }
    let written = writer.finish().expect("memory takes it");
    let mut again = Archive::new(written.as_slice());
    for (entry, content) in &all {
        let read = again.next_entry().unwrap_or_else(|why| panic!("{why}: {entry:?}")).expect("as many as before");
        let mut body = Vec::new();
        again.read_to_end(&mut body).expect("is whole");
        let whole = Entry { modified: (entry.modified.0.clamp(0, 0o77_777_777_777), 0), ..entry.clone() };
        assert_eq!((parts(&read), &body), (parts(&whole), content));
    }
    assert!(again.next_entry().expect("ends well").is_none());
}

type Parts<'a> = (&'a [u8], tar::Kind, &'a [u8], u32, u32, u32, (i64, u32), u64, &'a BTreeMap<String, Vec<u8>>);

fn parts(entry: &Entry) -> Parts<'_> {
    let Entry { path, kind, link, mode, uid, gid, modified, size, xattrs } = entry;
    (path, *kind, link, *mode, *uid, *gid, *modified, *size, xattrs)
}

/// The wanted user, then the lines of both of the image's lists.
pub fn user(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n').map(str::to_owned);
    let wanted = lines.next().unwrap_or_default();
    let lists: Vec<String> = lines.collect();
    let _ = user::pick(&lists, &lists, &wanted);
}
