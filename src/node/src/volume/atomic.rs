//! Writes a volume's files so that a reader sees all old ones or all new ones.
//!
//! In: a folder, files. Out: `..data` pointing to a fresh hidden folder, and one link for each top-level name; nothing
//! is touched when nothing changed. The layout is Kubernetes', since programs watch `..data`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use super::payload::Files;
use crate::port::Mounts;

/// The link that is swapped.
const CURRENT: &str = "..data";

/// Makes the folder hold exactly these files. `stamp` must be new for each call. True if anything changed.
pub fn write(folder: &Path, files: &Files, group: Option<u32>, stamp: &str, mounts: &dyn Mounts) -> io::Result<bool> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    let old = fs::read_link(folder.join(CURRENT)).ok();
    if let Some(old) = &old
        && same(&folder.join(old), files, group)
    {
        return Ok(false);
    }
    let fresh = format!("..{stamp}");
    let target = folder.join(&fresh);
    if let Err(error) = fill(&target, files, group, mounts) {
        // Half of it is of no use, and takes the room that the next try needs.
        let _ = fs::remove_dir_all(&target);
        return Err(error);
    }
    let swap = folder.join("..data_tmp");
    let _ = fs::remove_file(&swap);
    symlink(&fresh, &swap)?;
    fs::rename(&swap, folder.join(CURRENT))?;
    link_names(folder, files)?;
    if let Some(old) = old {
        let _ = fs::remove_dir_all(folder.join(old));
    }
    Ok(true)
}

fn fill(target: &Path, files: &Files, group: Option<u32>, mounts: &dyn Mounts) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o755).create(target)?;
    for (path, file) in files {
        let path = target.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, &file.bytes)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode(file.mode, group)))?;
        if group.is_some() {
            mounts.chown(&path, None, group)?;
        }
    }
    Ok(())
}

/// A group that owns the files can read them.
fn mode(mode: u32, group: Option<u32>) -> u32 {
    match group {
        Some(_) => mode | 0o440,
        None => mode,
    }
}

/// One link for each top-level name; links of names that are gone go.
fn link_names(folder: &Path, files: &Files) -> io::Result<()> {
    let first = |path: &String| {
        let relative = path.trim_start_matches("./");
        relative.split('/').next().unwrap_or_default().to_owned()
    };
    let names: BTreeSet<String> = files.keys().map(first).collect();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        if !text.starts_with("..") && !names.contains(text.as_ref()) {
            fs::remove_file(folder.join(&name))?;
        }
    }
    for name in names {
        let link = folder.join(&name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(CURRENT).join(&name), link)?;
        }
    }
    Ok(())
}

fn same(folder: &Path, files: &Files, group: Option<u32>) -> bool {
    let whole = files.iter().all(|(path, file)| {
        let path = folder.join(path);
        let bits = fs::metadata(&path).map(|meta| meta.permissions().mode() & 0o777);
        bits.is_ok_and(|bits| bits == mode(file.mode, group)) && fs::read(&path).is_ok_and(|bytes| bytes == file.bytes)
    });
    whole && count(folder).is_ok_and(|count| count == files.len())
}

fn count(folder: &Path) -> io::Result<usize> {
    let mut files = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files += match entry.file_type()?.is_dir() {
            true => count(&entry.path())?,
            false => 1,
        };
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::super::payload::File;
    use super::*;
    use crate::fakes::FakeMounts;

    fn files(list: &[(&str, &str)]) -> Files {
        let file = |bytes: &str| File { bytes: bytes.into(), mode: 0o640 };
        list.iter().map(|(path, bytes)| ((*path).into(), file(bytes))).collect()
    }

    #[test]
    fn a_change_swaps_everything_at_once_and_no_change_touches_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mounts = FakeMounts::default();
        let put = |list, stamp| write(folder.path(), &files(list), None, stamp, &mounts).unwrap();
        let read = |path: &str| fs::read_to_string(folder.path().join(path)).ok();
        assert!(put(&[("a", "1"), ("d/b", "2")], "1"));
        assert_eq!(read("a").as_deref(), Some("1"));
        assert_eq!(read("d/b").as_deref(), Some("2"));
        assert!(!put(&[("a", "1"), ("d/b", "2")], "2"));
        assert!(put(&[("a", "9"), ("c", "3")], "3"));
        assert_eq!(read("a").as_deref(), Some("9"));
        assert_eq!(read("c").as_deref(), Some("3"));
        assert_eq!(read("d/b"), None);
        let hidden = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(hidden, 4, "..3, ..data, a, c");
        assert!(put(&[("c", "3")], "4"), "a key that is gone is a change");
        let bad = files(&[("c", "4"), ("c/d", "5")]);
        assert!(write(folder.path(), &bad, None, "5", &mounts).is_err());
        assert!(!folder.path().join("..5").exists(), "a try that failed takes no room");
        assert_eq!(read("c").as_deref(), Some("3"));
    }

    #[test]
    fn a_group_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let mounts = FakeMounts::default();
        let mut list = files(&[("a", "1")]);
        list.get_mut("a").unwrap().mode = 0o600;
        write(folder.path(), &list, Some(5), "1", &mounts).unwrap();
        let meta = fs::metadata(folder.path().join("a")).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o640);
        assert_eq!(mounts.owners()[0].2, Some(5));
        assert!(!write(folder.path(), &list, Some(5), "2", &mounts).unwrap());
    }
}
