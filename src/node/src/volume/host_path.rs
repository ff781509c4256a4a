//! hostPath volumes: checks what is there, or makes it.
//!
//! In: a path and Kubernetes' type word. Out: nothing, or the sentence of a FailedMount event.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Checks or makes a path of the host.
pub fn check(path: &Path, kind: &str) -> Result<(), String> {
    let say = |what: &str| format!("hostPath type check failed: {} {what}", path.display());
    let meta = fs::metadata(path);
    match (kind, meta) {
        ("", _) => Ok(()),
        ("DirectoryOrCreate", Err(_)) => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(path)
            .map_err(|error| say(&format!("cannot be made: {error}"))),
        ("FileOrCreate", Err(_)) => fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o644)
            .open(path)
            .map(drop)
            .map_err(|error| say(&format!("cannot be made: {error}"))),
        ("Directory" | "DirectoryOrCreate", Ok(meta)) if meta.is_dir() => Ok(()),
        ("File" | "FileOrCreate", Ok(meta)) if meta.is_file() => Ok(()),
        ("Socket", Ok(meta)) if meta.file_type().is_socket() => Ok(()),
        ("CharDevice", Ok(meta)) if meta.file_type().is_char_device() => Ok(()),
        ("BlockDevice", Ok(meta)) if meta.file_type().is_block_device() => Ok(()),
        ("Directory" | "DirectoryOrCreate", _) => Err(say("is not a directory")),
        ("File" | "FileOrCreate", _) => Err(say("is not a file")),
        ("Socket", _) => Err(say("is not a socket file")),
        ("CharDevice", _) => Err(say("is not a character device")),
        ("BlockDevice", _) => Err(say("is not a block device")),
        (other, _) => Err(format!("{other} is an invalid volume type")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_checked_and_two_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "").unwrap();
        let rows = [
            ("new", "", true),
            ("new", "Directory", false),
            ("new", "File", false),
            ("new", "Socket", false),
            ("file", "Directory", false),
            ("file", "File", true),
            ("file", "BlockDevice", false),
            ("a/b", "DirectoryOrCreate", true),
            ("a/b", "Directory", true),
            ("made", "FileOrCreate", true),
            ("made", "File", true),
            ("file", "DirectoryOrCreate", false),
        ];
        for (name, kind, want) in rows {
            assert_eq!(check(&at(name), kind).is_ok(), want, "{name} {kind}");
        }
        assert!(check(Path::new("/dev/null"), "CharDevice").is_ok());
    }
}
