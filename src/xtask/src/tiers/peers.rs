//! Other people's clients that the tests try against a device.
//!
//! In: Debian's archive and PyPI, once. Out: programs below `target/tools`. Installs nothing in the system.

use std::path::Path;
use std::process::Command;

use crate::command::{self, Done, Failure};

/// Debian's package of kubectl, version 1.20: the oldest client that people still have by `apt-get`.
const KUBECTL: &str = "kubernetes-client";
/// PyPI's client, pinned.
const PYTHON_CLIENT: &str = "kubernetes==34.1.0";

/// Unpacks Debian's kubectl without installing it: another one may be there.
pub fn kubectl() -> Done {
    let folder = command::target().join("tools/kubectl-debian");
    if folder.join("usr/bin/kubectl").is_file() {
        return Ok(());
    }
    if !command::on_path("apt-get") || !command::on_path("dpkg") {
        return Err(Failure::Said(format!(
            "tests use Debian's kubectl, and this is no Debian; put a kubectl into {}/usr/bin",
            folder.display()
        )));
    }
    println!(
        "Fetching Debian's {KUBECTL} for the tests of stock kubectl; it is unpacked below target/, not installed."
    );
    make(&folder)?;
    command::run(Command::new("apt-get").args(["download", "-qq", KUBECTL]).current_dir(&folder))?;
    let package = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| Failure::Said(format!("apt-get downloaded no package into {}", folder.display())))?;
    command::run(Command::new("dpkg").arg("-x").arg(package).arg(&folder))
}

/// A Python environment with the `kubernetes` package.
pub fn python() -> Done {
    let folder = command::target().join("tools/python-kubernetes");
    let done = folder.join(".complete");
    if done.is_file() {
        return Ok(());
    }
    println!("Making a Python environment with {PYTHON_CLIENT} below target/ for the test of that client.");
    command::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let pip = folder.join("bin/pip");
    command::run(Command::new(pip).args(["install", "--quiet", "--disable-pip-version-check", PYTHON_CLIENT]))?;
    std::fs::write(&done, "").map_err(|source| Failure::File { act: "write", path: done, source })
}

fn make(folder: &Path) -> Done {
    std::fs::create_dir_all(folder).map_err(|source| Failure::File { act: "make", path: folder.into(), source })
}
