//! A container's root file system: layers under a writable one.
//!
//! In: layers, the container's folder. Out: an overlay mounted at `rootfs`, seen by this process and what it forks, and
//! by nobody else: the machine's mount table stays as it was, and what is left after a crash is only folders.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use kedge_api::machine::{ContainerSpec, Propagation};

use super::{During, OperationError, Outcome};
use crate::layout::Layout;
use crate::sys;

/// The kernel takes one page of mount options.
const LONGEST_OPTIONS: usize = 4096 - 1;

/// Leaves the machine's mount namespace for a copy, so that mounts stay ours. Answers the way back.
pub fn enter_own_mounts(spec: &ContainerSpec, layout: &Layout) -> Outcome<fs::File> {
    let has = |propagation| spec.mounts.iter().any(|mount| mount.propagation == propagation);
    let back = fs::File::open("/proc/self/ns/mnt").during("open the mount namespace")?;
    sys::unshare(libc::CLONE_NEWNS).during("make a mount namespace")?;
    let set = |path: &Path, propagation| sys::mount(Path::new("none"), path, "", propagation, "");
    let set = if has(Propagation::Bidirectional) {
        // What the container mounts in a volume is to be seen by the machine: only where we mount ourselves is private.
        [layout.run(), PathBuf::from("/sys/fs/cgroup")].iter().try_for_each(|path| set(path, libc::MS_PRIVATE))
    } else if has(Propagation::HostToContainer) {
        set(Path::new("/"), libc::MS_REC | libc::MS_SLAVE)
    } else {
        set(Path::new("/"), libc::MS_REC | libc::MS_PRIVATE)
    };
    set.during("set mount propagation")?;
    Ok(back)
}

/// Goes back to where `enter_own_mounts` left from.
pub fn leave_own_mounts(back: fs::File) -> Outcome<()> {
    // SAFETY: no memory is involved.
    let answer = unsafe { libc::setns(back.as_raw_fd(), libc::CLONE_NEWNS) };
    sys::check(i64::from(answer)).map(drop).during("go back to the machine's mounts")
}

/// Mounts the layers. Leaves the process in another folder.
pub fn mount(spec: &ContainerSpec, layout: &Layout) -> Outcome<()> {
    let paths = layout.container(&spec.id);
    // As few new folders as can be: on a disk each is a search for a free inode.
    let upper = layout.writable_of(&spec.pod_uid, &spec.id);
    let work = layout.works().join(&spec.id);
    for folder in [&upper, &work, &paths.rootfs()] {
        fs::create_dir_all(folder).during(format!("make {}", folder.display()))?;
    }
    let (base, lower) = lower_folders(&spec.layers)?;
    std::env::set_current_dir(&base).during(format!("go to {}", base.display()))?;
    let options = format!("lowerdir={lower},upperdir={},workdir={}", option(&upper)?, option(&work)?);
    if options.len() > LONGEST_OPTIONS {
        return Err(OperationError::Refused(format!("{} layers are more than one mount takes", spec.layers.len())));
    }
    let overlay = |options: &str| sys::mount(Path::new("overlay"), &paths.rootfs(), "overlay", 0, options);
    // Nothing of the upper layer outlives the container: it need not be written through. Kernels before 5.10 can't.
    overlay(&format!("{options},volatile"))
        .or_else(|_| overlay(&options))
        .during(format!("mount the layers of {}", spec.id))
}

/// The folder that all layers are below and their names from there, so that many fit into one page.
fn lower_folders(layers: &[PathBuf]) -> Outcome<(PathBuf, String)> {
    let mut base = layers
        .first()
        .and_then(|first| first.parent())
        .ok_or_else(|| OperationError::Refused("the image has no layer".to_owned()))?;
    while !layers.iter().all(|layer| layer.starts_with(base) && layer != base) {
        base = base.parent().unwrap_or(Path::new("/"));
        if base == Path::new("/") {
            break;
        }
    }
    let mut names = Vec::new();
    for layer in layers {
        names.push(option(layer.strip_prefix(base).unwrap_or(layer))?);
    }
    Ok((base.to_owned(), names.join(":")))
}

/// A path as a mount option: what would need escaping is refused.
fn option(path: &Path) -> Outcome<String> {
    path.to_str()
        .filter(|text| !text.is_empty() && !text.contains([':', ',', '\\', '"']))
        .map(str::to_owned)
        .ok_or_else(|| OperationError::Refused(format!("{}: can't be a mount option", path.display())))
}

/// Makes the working directory in the container if it is missing, without being led out of it by links.
pub fn make_working_folder(rootfs: &Path, cwd: &str) -> Outcome<()> {
    let made = (|| {
        let root: OwnedFd = fs::File::open(rootfs)?.into();
        let mut reached = PathBuf::from(".");
        for part in Path::new(cwd).components() {
            let Component::Normal(name) = part else {
                continue;
            };
            let parent = open_inside(&root, &reached)?;
            reached.push(name);
            match open_inside(&root, &reached) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let name = std::ffi::CString::new(name.as_bytes())?;
                    // SAFETY: a NUL-terminated name.
                    sys::check(i64::from(unsafe { libc::mkdirat(parent.as_raw_fd(), name.as_ptr(), 0o755) }))?;
                }
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        Ok(())
    })();
    made.during(format!("make the working directory {cwd}"))
}

/// Opens a folder as if `root` were the root of everything.
fn open_inside(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct How {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    const RESOLVE_IN_ROOT: u64 = 0x10;
    let how =
        How { flags: (libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) as u64, mode: 0, resolve: RESOLVE_IN_ROOT };
    let path = sys::c_path(path)?;
    // SAFETY: a NUL-terminated path and a structure of the size that is told.
    sys::owned(unsafe {
        libc::syscall(libc::SYS_openat2, root.as_raw_fd(), path.as_ptr(), &raw const how, size_of::<How>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lower(layers: &[&str]) -> (String, String) {
        let layers: Vec<PathBuf> = layers.iter().map(PathBuf::from).collect();
        let (base, names) = lower_folders(&layers).expect("layers");
        (base.display().to_string(), names)
    }

    #[test]
    fn layers_are_named_from_their_common_folder() {
        assert_eq!(lower(&["/d/layers/a/fs", "/d/layers/b/fs"]), ("/d/layers".into(), "a/fs:b/fs".into()));
        assert_eq!(lower(&["/d/a"]), ("/d".into(), "a".into()));
        assert_eq!(lower(&["/d/a", "/e/b"]), ("/".into(), "d/a:e/b".into()));
        assert_eq!(lower(&["/d/a/b", "/d/a"]), ("/d".into(), "a/b:a".into()));
    }

    #[test]
    fn what_a_mount_option_can_not_hold_is_refused() {
        assert!(lower_folders(&[]).is_err());
        assert!(lower_folders(&["/d/a:b".into()]).is_err());
        assert!(lower_folders(&["/d/a,b".into()]).is_err());
    }

    #[test]
    fn a_working_directory_is_made_inside() {
        let root = tempfile::tempdir().expect("folder");
        let outside = tempfile::tempdir().expect("folder");
        std::os::unix::fs::symlink(outside.path(), root.path().join("out")).expect("link");
        make_working_folder(root.path(), "/a/b/c").expect("made");
        assert!(root.path().join("a/b/c").is_dir());
        // The link is taken as one inside, where its target does not exist.
        assert!(make_working_folder(root.path(), "/out/x").is_err() || !outside.path().join("x").exists());
        assert!(!outside.path().join("x").exists());
    }
}
