//! Version 2: making cgroups that may be limited, or saying what is in the way.
//!
//! In: the root of the hierarchy and a path below it. Out: folders, each parent handing down the controllers that limits
//! need. Never writes a limit and never moves a process: whose it is to move is for the machine's owner to say.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::named;

/// What limits, counts of OOM kills and usage need. No others are handed down: each costs memory in every cgroup.
const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];

/// Makes a cgroup that may have others below it, and its parents.
pub fn make(root: &Path, cgroup: &Path) -> io::Result<()> {
    let mut folder = root.to_owned();
    hand_down(&folder)?;
    for part in cgroup.components() {
        folder.push(part);
        make_folder(&folder)?;
        hand_down(&folder)?;
    }
    Ok(())
}

/// Makes a cgroup that holds processes: the kernel refuses them where controllers are handed down.
pub fn make_leaf(root: &Path, cgroup: &Path) -> io::Result<()> {
    make(root, cgroup.parent().unwrap_or(Path::new("")))?;
    make_folder(&root.join(cgroup))
}

/// Those needed controllers that a list of names lacks.
pub fn lacking(controllers: &str) -> Vec<&'static str> {
    NEEDED.into_iter().filter(|needed| controllers.split_ascii_whitespace().all(|name| name != *needed)).collect()
}

/// What a machine without these controllers is told.
pub fn missing(place: &Path, controllers: &[&str]) -> io::Error {
    let text = format!(
        "{} has no cgroup controllers {}: if the kernel has them turned off, turn them on on its command line (as in \
         cgroup_enable=memory); inside of a container or service, have them delegated to it",
        place.display(),
        controllers.join(", ")
    );
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// Writes a file that is there. A cgroup has no file for what it has no controller for, and nobody may make one.
pub fn write_existing(file: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(named(folder, error)),
        _ => Ok(()),
    }
}

fn hand_down(folder: &Path) -> io::Result<()> {
    let file = folder.join("cgroup.subtree_control");
    let wanted = lacking(&fs::read_to_string(&file).map_err(|error| named(&file, error))?);
    if wanted.is_empty() {
        return Ok(());
    }
    let words: Vec<String> = wanted.iter().map(|name| format!("+{name}")).collect();
    write_existing(&file, &words.join(" ")).map_err(|error| {
        let available = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
        obstacle(folder, &wanted, &available, error)
    })
}

/// Why controllers were not handed down, and what to do about it.
fn obstacle(folder: &Path, wanted: &[&str], available: &str, error: io::Error) -> io::Error {
    let absent = lacking(available);
    if !absent.is_empty() {
        return missing(folder, &absent);
    }
    let place = folder.display();
    let text = match error.kind() {
        io::ErrorKind::ResourceBusy => format!(
            "processes live in the cgroup {place} itself, so none below it can have limits: move them into one of \
             their own below it before the start"
        ),
        _ => format!("hand down the cgroup controllers {} in {place}: {error}", wanted.join(", ")),
    };
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_controllers_are_whole_words() {
        for (have, lack) in [
            ("cpuset cpu io memory hugetlb pids rdma misc\n", vec![]),
            ("cpuset cpu io pids", vec!["memory"]),
            ("cpuset memory pids", vec!["cpu"]),
            ("", vec!["cpu", "memory", "pids"]),
        ] {
            assert_eq!(lacking(have), lack, "{have}");
        }
    }

    #[test]
    fn what_is_in_the_way_is_said_with_what_to_do() {
        let folder = Path::new("/sys/fs/cgroup");
        for (available, errno, words) in [
            ("cpu pids", libc::ENOENT, "/sys/fs/cgroup has no cgroup controllers memory: "),
            ("cpu memory pids", libc::EBUSY, "move them into one of their own below it"),
            ("cpu memory pids", libc::EACCES, "controllers cpu, memory in /sys/fs/cgroup: Permission denied"),
            // Real-time processes outside of the root keep `cpu` from being handed down.
            ("cpu memory pids", libc::EINVAL, "controllers cpu, memory in /sys/fs/cgroup: Invalid argument"),
        ] {
            let error = obstacle(folder, &["cpu", "memory"], available, io::Error::from_raw_os_error(errno));
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    /// A folder with the files that the kernel puts into each cgroup.
    fn cgroup(folder: &Path, available: &str, handed: &str) {
        fs::create_dir_all(folder).expect("a folder");
        fs::write(folder.join("cgroup.controllers"), available).expect("a file");
        fs::write(folder.join("cgroup.subtree_control"), handed).expect("a file");
    }

    #[test]
    fn parents_hand_down_and_leaves_do_not() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = |path: &str| root.path().join(path);
        for path in ["", "k", "k/pod"] {
            cgroup(&folder(path), "cpu io memory pids", if path.is_empty() { "memory pids" } else { "" });
        }
        make_leaf(root.path(), Path::new("k/pod/c")).expect("made");
        let handed = |path: &str| fs::read_to_string(folder(path).join("cgroup.subtree_control")).expect("a file");
        // The kernel adds; plain files keep only what was written, from their start on.
        assert_eq!((handed("").as_str(), handed("k").as_str()), ("+cpury pids", "+cpu +memory +pids"));
        assert_eq!(handed("k/pod"), "+cpu +memory +pids");
        assert!(folder("k/pod/c").is_dir() && !folder("k/pod/c/cgroup.subtree_control").exists());
        cgroup(&folder("k"), "cpu memory pids", "cpu memory pids");
        make_leaf(root.path(), Path::new("k/pod/c")).expect("again");
        assert_eq!(handed("k"), "cpu memory pids");
    }
}
