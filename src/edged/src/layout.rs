//! Where a device keeps its things, and who has them.
//!
//! In: a data directory. Out: paths below it, and a seat that only one daemon can have. Never deletes anything.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The folders of a data directory.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The data directory, absolute.
    pub root: PathBuf,
    /// The store.
    pub store: PathBuf,
    /// Images.
    pub images: PathBuf,
    /// Archives that are loaded at start.
    pub preload: PathBuf,
    /// The node agent: pods, volumes, logs.
    pub node: PathBuf,
    /// The runtime: containers, root file systems, pinned namespaces.
    pub runtime: PathBuf,
    /// The pod network's leases.
    pub network: PathBuf,
    /// Compiled plugins.
    pub plugins: PathBuf,
    /// Archives that are being uploaded.
    pub uploads: PathBuf,
    /// The configuration of the last start, for `cleanup`.
    pub effective: PathBuf,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file or folder could not be made.
    #[error("cannot {act} {path}: {source}", path = path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Another daemon has it.
    #[error("the data directory {dir} is in use by process {pid}: stop it, or choose another one with --data-dir", dir = dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Who.
        pid: String,
    },
}

fn failed(act: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> LayoutError {
    let path = path.to_path_buf();
    move |source| LayoutError::File { act, path, source }
}

impl Layout {
    /// Makes the data directory (mode 0700) if it is not there.
    pub fn of(data_dir: &Path) -> Result<Layout, LayoutError> {
        make(data_dir)?;
        let root = fs::canonicalize(data_dir).map_err(failed("find", data_dir))?;
        let at = |name: &str| root.join(name);
        Ok(Layout {
            store: at("store"),
            images: at("images"),
            preload: at("preload"),
            node: at("node"),
            runtime: at("runtime"),
            network: at("network"),
            plugins: at("plugins"),
            uploads: at("uploads"),
            effective: at("effective.yaml"),
            root,
        })
    }

    /// Eight hexadecimal digits that differ for each data directory of a machine.
    pub fn instance(&self) -> String {
        let digest = Sha256::digest(self.root.as_os_str().as_encoded_bytes());
        digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A folder for us alone.
pub fn make(path: &Path) -> Result<(), LayoutError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make", path))
}

/// Writes a file for us alone: whole or not at all, also when the power goes.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), LayoutError> {
    kedge_image::replace(path, content).map_err(failed("write", path))
}

/// The right to work on a data directory; ends with the process.
pub struct Seat {
    _file: File,
}

impl Seat {
    /// Takes the seat, or says who has it.
    pub fn take(layout: &Layout) -> Result<Seat, LayoutError> {
        let path = layout.root.join("edged.lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Only for the message: an unreadable number is shown as unknown.
                let _ = file.read_to_string(&mut pid);
                let pid = pid.trim();
                let pid = if pid.is_empty() { "(unknown)" } else { pid }.to_owned();
                return Err(LayoutError::InUse { dir: layout.root.clone(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed("write", &path))?;
        Ok(Seat { _file: file })
    }
}
