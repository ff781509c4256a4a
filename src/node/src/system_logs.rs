//! The machine's log files, for those who may read them.
//!
//! In: a folder and a path below it. Out: an open regular file, or the names in a folder. Nothing outside the folder is
//! ever opened, whatever the path says and wherever links lead: the kernel itself resolves it below the folder.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// A folder with more names is shown up to here.
const MOST_NAMES: usize = 10_000;

/// What was found.
#[derive(Debug)]
pub enum SystemLog {
    /// A file and its size when it was opened.
    File(File, u64),
    /// A folder: names in order, those of folders with a slash.
    Folder(Vec<String>),
}

/// Opens what is there.
pub fn open(root: &Path, path: &str) -> io::Result<SystemLog> {
    let path = path.trim_matches('/');
    let folder = openat(CWD, root, OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH, Mode::empty())?;
    let path = if path.is_empty() { "." } else { path };
    // A pipe or a device does not hold up whoever opens it, and is refused below.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let opened = match openat2(&folder, path, flags, Mode::empty(), resolve) {
        // Before Linux 5.6: a path without a link in it, part by part.
        Err(Errno::NOSYS) => step_by_step(&folder, path, flags)?,
        Err(Errno::XDEV) => return Err(io::Error::new(io::ErrorKind::NotFound, "it is outside of the logs")),
        opened => opened?,
    };
    let file = File::from(opened);
    let metadata = file.metadata()?;
    if metadata.is_file() {
        return Ok(SystemLog::File(file, metadata.len()));
    }
    if !metadata.is_dir() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&file)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy();
        if name != "." && name != ".." && names.len() < MOST_NAMES {
            let slash = if entry.file_type().is_dir() { "/" } else { "" };
            names.push(format!("{name}{slash}"));
        }
    }
    names.sort();
    Ok(SystemLog::Folder(names))
}

fn step_by_step(folder: &rustix::fd::OwnedFd, path: &str, flags: OFlags) -> io::Result<rustix::fd::OwnedFd> {
    let mut parts = path.split('/').filter(|part| !part.is_empty() && *part != ".").peekable();
    let mut at = openat(folder, ".", OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY, Mode::empty())?;
    while let Some(part) = parts.next() {
        if part == ".." {
            return Err(Errno::XDEV.into());
        }
        let folder = if parts.peek().is_some() { OFlags::DIRECTORY } else { OFlags::empty() };
        at = openat(&at, part, flags | folder | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    fn text(found: io::Result<SystemLog>) -> Option<String> {
        match found {
            Ok(SystemLog::File(mut file, size)) => {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                assert_eq!(text.len() as u64, size);
                Some(text)
            }
            Ok(SystemLog::Folder(names)) => Some(names.join(" ")),
            Err(_) => None,
        }
    }

    #[test]
    fn only_what_is_below_the_folder_is_opened() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("log");
        std::fs::create_dir_all(root.join("apt")).unwrap();
        std::fs::write(outer.path().join("secret"), "no").unwrap();
        std::fs::write(root.join("syslog"), "yes").unwrap();
        std::fs::write(root.join("apt/history"), "also").unwrap();
        symlink("../secret", root.join("up")).unwrap();
        symlink(outer.path(), root.join("out")).unwrap();
        symlink("apt/history", root.join("history")).unwrap();
        rustix::fs::mknodat(CWD, root.join("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(text(open(&root, path)).as_deref(), expected, "{path}");
        };
        check("", Some("apt/ history out pipe syslog up"));
        check("/", Some("apt/ history out pipe syslog up"));
        check("syslog", Some("yes"));
        check("apt/", Some("history"));
        check("apt/../syslog", Some("yes"));
        check("history", Some("also"));
        for outside in
            ["../secret", "apt/../../secret", "up", "out/secret", "out", "/etc/passwd", "pipe", "none", "a\0b"]
        {
            check(outside, None);
        }
    }

    #[test]
    fn an_old_kernel_follows_no_links() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("apt")).unwrap();
        std::fs::write(root.path().join("apt/history"), "also").unwrap();
        symlink("apt", root.path().join("link")).unwrap();
        let folder = openat(CWD, root.path(), OFlags::DIRECTORY | OFlags::PATH, Mode::empty()).unwrap();
        let opens = |path: &str| step_by_step(&folder, path, OFlags::RDONLY).is_ok();
        assert!(opens("apt/history") && opens("apt"));
        assert!(!opens("link/history") && !opens("link") && !opens("../x") && !opens("apt/../apt/history"));
    }
}
