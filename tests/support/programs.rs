//! Where the programs under test and the peers' programs are.
//!
//! In: the environment and the target folder. Out: paths, or why a test is skipped. Never builds or downloads.

use std::path::{Path, PathBuf};

/// The checkout.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The folder with `edged` and `edgectl`.
pub fn binaries() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("KEDGE_BIN_DIR") {
        return Some(PathBuf::from(given));
    }
    ["release", "debug"]
        .iter()
        .map(|profile| target().join(profile))
        .find(|dir| dir.join("edged").is_file() && dir.join("edgectl").is_file())
}

/// An archive of the demo image in this version.
pub fn image(version: u32) -> Option<PathBuf> {
    let path = target().join(format!("demo/web-{version}.tar"));
    path.is_file().then_some(path)
}

/// An example manifest.
pub fn example(name: &str) -> String {
    root().join("configs/examples").join(name).to_string_lossy().into_owned()
}

/// A kubectl under test: what to call it, and where it is.
#[derive(Clone, Debug)]
pub struct Kubectl {
    /// Its minor version, or whose it is.
    pub name: &'static str,
    /// The program.
    pub program: PathBuf,
}

/// The kubectls that the test tiers fetch, from the oldest that `apt-get` still gives to the newest: their names and
/// their places below `target/tools`.
const KUBECTLS: [(&str, &str); 3] = [
    ("1.20", "kubectl-debian/usr/bin/kubectl"),
    ("1.36", "kubectl-1.36/bin/kubectl"),
    ("1.37", "kubectl-1.37/bin/kubectl"),
];

/// The kubectls that were fetched, the one that the user names in `KEDGE_KUBECTL`, and whichever the machine has.
pub fn kubectls() -> Vec<Kubectl> {
    let fetched = KUBECTLS.map(|(name, place)| Kubectl { name, program: target().join("tools").join(place) });
    let given = std::env::var_os("KEDGE_KUBECTL").map(|given| Kubectl { name: "given", program: given.into() });
    let own = Kubectl { name: "machine", program: "/usr/bin/kubectl".into() };
    let mut found: Vec<Kubectl> = fetched.into_iter().chain(given).chain([own]).collect();
    found.retain(|kubectl| kubectl.program.is_file());
    found
}

/// Why a test of a Python program is skipped.
pub const NO_PYTHON: &str = "there is no Python environment with the clients' packages: cargo xtask test makes one";

/// A Python with the packages `kubernetes` and `kopf` in an environment under the target folder.
pub fn python() -> Option<PathBuf> {
    let path = target().join("tools/python-kubernetes/bin/python3");
    path.is_file().then_some(path)
}

/// Node.js of the machine, and the package `@kubernetes/client-node` under the target folder.
pub fn node() -> Option<(PathBuf, PathBuf)> {
    let library = target().join("tools/node-kubernetes/node_modules/@kubernetes/client-node/dist/index.js");
    Some((on_path("node")?, library)).filter(|(_, library)| library.is_file())
}

/// Whether we may make containers.
pub fn is_root() -> bool {
    // SAFETY: a call without arguments that cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Says that something is skipped; in CI nothing is skipped in silence.
#[track_caller]
pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "this cannot be skipped in CI: {why}");
    eprintln!("SKIPPED: {why}");
}

/// What a device test needs is there.
pub(crate) fn complete() -> Result<(PathBuf, [PathBuf; 2]), String> {
    if !is_root() {
        return Err("real containers need root".into());
    }
    let binaries = binaries().ok_or("edged and edgectl are not built: cargo build --release -p edged -p edgectl")?;
    let image = |version| image(version).ok_or("the demo images are not built: cargo xtask images");
    Ok((binaries, [image(1)?, image(2)?]))
}

/// A program of the system, also where a user's path does not lead.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    all.map(|dir: PathBuf| Path::join(&dir, name)).find(|file| file.is_file())
}
