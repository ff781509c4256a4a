//! Compiled forms of other people's plugins.
//!
//! In: a component's file. Out: a file with its code, compiled by a child process if it was not there.
//! Keyed by the component's digest, the engine and the kind of machine; checked against its own digest before anybody
//! loads it, since loading trusts every byte. Never compiles in this process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::bundle::{BundleError, digest};
use crate::engine::{ENGINE_VERSION, native_target};

/// CPU seconds for compiling one plugin. The largest known (Python's runtime, 18 MB) takes 20 on a PC.
const COMPILE_SECONDS: u64 = 600;
/// The largest component that is read: well above an interpreter with its library.
const LARGEST: u64 = 128 << 20;

/// A folder of compiled plugins.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The folder; nobody else writes there.
    pub folder: PathBuf,
    /// The program that compiles.
    pub compiler: PathBuf,
}

/// Why there is no compiled form.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The component cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no component.
    #[error("{} is {bytes} bytes long, more than the {} MiB that a plugin may have", path.display(), LARGEST >> 20)]
    TooLarge {
        /// Its file.
        path: PathBuf,
        /// How long.
        bytes: u64,
    },
    /// The folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The compiler cannot be started.
    #[error("cannot start the plugin compiler {}: {source}", path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bundle of built-in plugins.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// It refused.
    #[error("does not compile: {0}")]
    Compile(String),
}

/// A compiled plugin on disk.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the component that it was compiled from.
    pub wasm: String,
}

impl Cache {
    /// The compiled form of a component, from the cache or made now. Blocks for as long as compiling takes.
    pub fn get(&self, wasm: &Path) -> Result<Compiled, CacheError> {
        let read = |source| CacheError::Read { path: wasm.into(), source };
        let bytes = std::fs::metadata(wasm).map_err(read)?.len();
        if bytes > LARGEST {
            return Err(CacheError::TooLarge { path: wasm.into(), bytes });
        }
        let wasm_digest = digest(&std::fs::read(wasm).map_err(read)?);
        let compiled = self.folder.join(format!("{wasm_digest}-{ENGINE_VERSION}-{}.cwasm", native_target()));
        if !is_whole(&compiled) {
            self.compile(wasm, &compiled)?;
        }
        Ok(Compiled { path: compiled, wasm: wasm_digest })
    }

    /// The file of a built-in plugin whose compiled form has that digest; `unpack` gives it if it is not there or not
    /// whole.
    pub fn builtin(
        &self,
        compiled: &str,
        unpack: impl FnOnce() -> Result<Vec<u8>, BundleError>,
    ) -> Result<PathBuf, CacheError> {
        let path = self.folder.join(format!("builtin-{compiled}-{}.cwasm", native_target()));
        if std::fs::read(&path).is_ok_and(|bytes| digest(&bytes) == compiled) {
            return Ok(path);
        }
        let bytes = unpack()?;
        let half = path.with_extension("half");
        std::fs::create_dir_all(&self.folder)
            .and_then(|()| std::fs::write(&half, bytes))
            .and_then(|()| std::fs::rename(&half, &path))
            .map_err(|source| CacheError::Write { path: path.clone(), source })?;
        Ok(path)
    }

    /// Forgets one: the engine did not accept it (another processor, say).
    pub fn forget(&self, compiled: &Compiled) {
        let _ = std::fs::remove_file(sum_of(&compiled.path));
        let _ = std::fs::remove_file(&compiled.path);
    }

    /// Removes everything but these.
    pub fn keep(&self, wanted: &[PathBuf]) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if !wanted.iter().any(|keep| *keep == path || sum_of(keep) == path) {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn compile(&self, wasm: &Path, to: &Path) -> Result<(), CacheError> {
        let write = |path: &Path| {
            let path = path.to_path_buf();
            |source| CacheError::Write { path, source }
        };
        std::fs::create_dir_all(&self.folder).map_err(write(&self.folder))?;
        let _ = std::fs::remove_file(sum_of(to));
        let mut command = Command::new(&self.compiler);
        command.arg("compile").arg(wasm).arg(to).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        if native_target().starts_with("pulley") {
            command.arg(native_target());
        }
        let start = |source| CacheError::Start { path: self.compiler.clone(), source };
        let child = command.spawn().map_err(start)?;
        limit_cpu(child.id());
        let output = child.wait_with_output().map_err(start)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim().lines().take(8).collect::<Vec<_>>().join("; ");
            return Err(CacheError::Compile(if said.is_empty() { output.status.to_string() } else { said }));
        }
        let sum = digest(&std::fs::read(to).map_err(write(to))?);
        let half = to.with_extension("half");
        std::fs::write(&half, sum).and_then(|()| std::fs::rename(&half, sum_of(to))).map_err(write(&half))
    }
}

/// Compiling is the work of a stranger's input: it may not run for ever.
fn limit_cpu(child: u32) {
    let limit = libc::rlimit { rlim_cur: COMPILE_SECONDS, rlim_max: COMPILE_SECONDS };
    // SAFETY: `limit` is a valid rlimit for the duration of the call, the old one is not asked for, and the child
    // has not been waited for, so its id is its own.
    unsafe { libc::prlimit(child as libc::pid_t, libc::RLIMIT_CPU, &limit, std::ptr::null_mut()) };
}

fn sum_of(compiled: &Path) -> PathBuf {
    compiled.with_extension("sha256")
}

fn is_whole(compiled: &Path) -> bool {
    let (Ok(sum), Ok(bytes)) = (std::fs::read_to_string(sum_of(compiled)), std::fs::read(compiled)) else {
        return false;
    };
    sum == digest(&bytes)
}
