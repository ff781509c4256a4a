//! Running other programs.
//!
//! In: a program, its arguments, the folder. Out: success, or an error that names the command and how it ended.
//! Never captures what a user should see: output goes through unless asked for.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Why a step of the build tool failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The program could not be started.
    #[error("cannot run {program}: {source}")]
    Start {
        /// Its name.
        program: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The program ended badly.
    #[error("`{line}` ended with {status}")]
    Ended {
        /// The command line.
        line: String,
        /// Its status.
        status: std::process::ExitStatus,
    },
    /// A file operation failed.
    #[error("cannot {act} {path}: {source}", path = path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Anything that needs a sentence of its own.
    #[error("{0}")]
    Said(String),
}

/// The result of a step.
pub type Done<T = ()> = Result<T, Failure>;

/// The workspace's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("src/xtask is two folders below the root").to_path_buf()
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where release binaries are.
pub fn binary(name: &str) -> PathBuf {
    target().join("release").join(name)
}

/// A cargo command in the workspace's root.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // A landing check builds once and from nothing: what only a debugger or a second build reads is time. Where a panic
    // was is told without it.
    if std::env::var_os("CI").is_some_and(|value| value == "true") {
        command.envs([("CARGO_PROFILE_DEV_DEBUG", "0"), ("CARGO_INCREMENTAL", "0")]);
    }
    command
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Done {
    let line = line(command);
    let status = command.status().map_err(|source| start(command, source))?;
    if status.success() { Ok(()) } else { Err(Failure::Ended { line, status }) }
}

/// Runs a command and gives its standard output.
pub fn output(command: &mut Command) -> Done<String> {
    let line = line(command);
    let output = command.stderr(std::process::Stdio::inherit()).output().map_err(|source| start(command, source))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Failure::Ended { line, status: output.status })
    }
}

/// Whether a program is on the path.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|dir| dir.join(program).is_file())
}

/// Builds the daemon and the command line for a device.
pub fn build_release() -> Done {
    run(cargo().args(["build", "--release", "--locked", "-p", "edged", "-p", "edgectl"]))
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn start(command: &Command, source: std::io::Error) -> Failure {
    Failure::Start { program: command.get_program().to_string_lossy().into_owned(), source }
}
