//! Builds the plugins: Rust crates to Wasm components, then to one bundle of compiled code for the daemon.
//!
//! In: `plugins/`. Out: `target/plugins/builtin/bundle`, which the daemon embeds, and `kedge-plugin-compiler`, which
//! compiles other people's plugins on a device. A second run does nothing when nothing changed.

mod toolchain;

use std::path::{Path, PathBuf};

use crate::command::{self, Done, Failure};
pub use toolchain::missing_packages;

/// The built-in components: name in the configuration, crate in `plugins/`.
const BUILTIN: &[(&str, &str)] = &[("controllers", "kedge-controllers"), ("scheduling", "kedge-scheduling")];

/// Components that tests run, built along.
const TESTED: &[&str] = &["battery", "image-policy", "misbehaving", "misjudging", "misruling"];

/// Builds the built-in plugins, compiles them for this machine's kind, and bundles them.
pub fn build() -> Done {
    build_for("native")
}

/// The same for another target: one of the triples that Cranelift knows, or `pulley32`, `pulley64`. A cross build of the
/// daemon takes it from `target/plugins/TARGET`.
pub fn build_for(target: &str) -> Done {
    let crates: Vec<&str> = BUILTIN.iter().map(|(_, package)| *package).chain(TESTED.iter().copied()).collect();
    let mut components = components(&crates)?;
    components.truncate(BUILTIN.len());
    let compiler = compiler()?;
    let folder = command::target().join("plugins").join(if target == "native" { "builtin" } else { target });
    make(&folder)?;
    let members: Vec<String> =
        BUILTIN.iter().zip(&components).map(|((name, _), wasm)| format!("{name}={}", wasm.display())).collect();
    let bundle = folder.join("bundle");
    let stamp = folder.join("stamp");
    let wanted = fingerprint(target, &components, &compiler)?;
    if bundle.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    println!("Compiling the built-in plugins for {target}.");
    command::run(std::process::Command::new(&compiler).arg("bundle").arg(&bundle).arg(target).args(&members))?;
    put(&stamp, wanted.as_bytes())
}

/// Builds one crate of `plugins/` and says where the component is.
pub fn build_one(package: &str) -> Done {
    for file in components(&[package])? {
        println!("{}", file.display());
    }
    Ok(())
}

/// Builds crates of `plugins/` to components; the files, in the same order.
pub fn components(crates: &[&str]) -> Done<Vec<PathBuf>> {
    let plugins = command::root().join("plugins");
    let target = command::target().join("plugins/cargo");
    let mut cargo = toolchain::find()?.cargo()?;
    cargo.current_dir(&plugins).args(["build", "--quiet", "--release", "--locked"]).arg("--target-dir").arg(&target);
    cargo.args(["--target", toolchain::TARGET]);
    for package in crates {
        cargo.args(["-p", package]);
    }
    println!("Building plugins: {}.", crates.join(", "));
    command::run(&mut cargo)?;
    let built = target.join(toolchain::TARGET).join("release");
    let file = |package: &&str| built.join(format!("{}.wasm", package.replace('-', "_")));
    Ok(crates.iter().map(file).collect())
}

/// The plugins' own tests, on this machine and without Wasm; `lint` runs clippy instead.
pub fn native(lint: bool) -> Done {
    let mut cargo = command::cargo();
    cargo.current_dir(command::root().join("plugins")).env_remove("CARGO_TARGET_DIR");
    cargo.args([if lint { "clippy" } else { "test" }, "--quiet", "--locked", "--target-dir"]);
    cargo.arg(command::target().join("plugins/native"));
    if lint {
        cargo.args(["--all-targets", "--", "-D", "warnings"]);
    }
    command::run(&mut cargo)
}

/// Builds the program that compiles plugins, and puts it beside the daemon's binaries.
///
/// A cargo run of its own: with the daemon in one run, cargo would give the daemon the compiler's features.
pub fn compiler() -> Done<PathBuf> {
    let target = command::target().join("tools");
    let mut cargo = command::cargo();
    cargo.args(["build", "--quiet", "--profile", "tools", "-p", "kedge-plugin-host", "--features", "compiler"]);
    command::run(cargo.args(["--bin", "kedge-plugin-compiler", "--target-dir"]).arg(&target))?;
    let built = target.join("tools/kedge-plugin-compiler");
    for profile in ["debug", "release"] {
        let folder = command::target().join(profile);
        make(&folder)?;
        let beside = folder.join("kedge-plugin-compiler");
        if read(&built)? != std::fs::read(&beside).unwrap_or_default() {
            let half = folder.join("kedge-plugin-compiler.half");
            let copied = std::fs::copy(&built, &half).and_then(|_| std::fs::rename(&half, &beside));
            copied.map_err(|source| Failure::File { act: "write", path: beside, source })?;
        }
    }
    Ok(built)
}

/// Changes when anything that the bundle is made of does.
fn fingerprint(target: &str, components: &[PathBuf], compiler: &Path) -> Done<String> {
    use sha2::{Digest, Sha256};
    let mut sum = Sha256::new_with_prefix(target);
    for (name, package) in BUILTIN {
        sum.update(format!("{name}={package}\n"));
    }
    for file in components {
        sum.update(Sha256::digest(read(file)?));
    }
    sum.update(command::output(std::process::Command::new(compiler).arg("version"))?);
    Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn make(folder: &Path) -> Done {
    std::fs::create_dir_all(folder).map_err(|source| Failure::File { act: "make", path: folder.into(), source })
}

fn read(path: &Path) -> Done<Vec<u8>> {
    std::fs::read(path).map_err(|source| Failure::File { act: "read", path: path.into(), source })
}

fn put(path: &Path, bytes: &[u8]) -> Done {
    std::fs::write(path, bytes).map_err(|source| Failure::File { act: "write", path: path.into(), source })
}
