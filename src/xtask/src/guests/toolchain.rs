//! Finds or makes a Rust toolchain that compiles to WebAssembly components.
//!
//! In: the machine. Out: a cargo command. On most machines that is rustup's `wasm32-unknown-unknown` target. Where
//! it cannot be had, Debian's `rustc-web` compiles the standard library once into a sysroot of our own.
//! Nothing in a guest names a linker or a toolchain; only this file does.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, Done, Failure};

/// What guests are compiled for; the linker turns it into a component.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's compiler and the sources of its standard library, which must be of one version.
const DEBIAN: &[(&str, &str, &str)] = &[
    ("rustc-web", "/usr/bin/rustc", "compiles plugins to WebAssembly (this Rust has no wasm32-unknown-unknown target)"),
    ("rust-web-src", "/usr/lib/rustlib/src/rust/library/std/Cargo.toml", "the standard library for plugins"),
];

/// A way to compile guests.
pub enum Toolchain {
    /// The ordinary one: cargo's own compiler has the target.
    Ordinary,
    /// Debian's compiler with a sysroot that we made.
    Debian,
}

/// Packages that are missing for compiling guests, and why they are wanted.
pub fn missing_packages() -> Vec<(&'static str, &'static str)> {
    if has_target() {
        return Vec::new();
    }
    DEBIAN.iter().filter(|(_, shows, _)| !Path::new(shows).exists()).map(|(name, _, why)| (*name, *why)).collect()
}

/// The way that this machine offers.
pub fn find() -> Done<Toolchain> {
    if has_target() {
        return Ok(Toolchain::Ordinary);
    }
    if missing_packages().is_empty() {
        return Ok(Toolchain::Debian);
    }
    Err(Failure::Said(format!(
        "plugins cannot be compiled: run `rustup target add {TARGET}`, or on Debian `apt-get install rustc-web rust-web-src`"
    )))
}

impl Toolchain {
    /// Cargo, set up to compile guests.
    pub fn cargo(&self) -> Done<Command> {
        let tools = linkers()?;
        let mut cargo = command::cargo();
        // What is set for the daemon's build must not reach the guests'.
        for foreign in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "RUSTUP_TOOLCHAIN"] {
            cargo.env_remove(foreign);
        }
        cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", tools.join("wasm-component-ld"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [tools.join("gcc-ld")].into_iter().chain(std::env::split_paths(&path));
        let joined = std::env::join_paths(folders).map_err(|error| Failure::Said(format!("PATH: {error}")))?;
        cargo.env("PATH", joined);
        if matches!(self, Self::Debian) {
            cargo.env("RUSTC", debian_wrapper()?);
        }
        Ok(cargo)
    }
}

fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

fn sysroot() -> Done<PathBuf> {
    Ok(PathBuf::from(command::output(rustc().args(["--print", "sysroot"]))?.trim()))
}

fn has_target() -> bool {
    sysroot().is_ok_and(|root| root.join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

/// Where rustup puts `wasm-component-ld` and `wasm-ld`.
fn linkers() -> Done<PathBuf> {
    let sysroot = sysroot()?;
    let host = command::output(rustc().args(["--print", "host-tuple"]))?;
    let folder = sysroot.join("lib/rustlib").join(host.trim()).join("bin");
    if folder.join("wasm-component-ld").is_file() {
        return Ok(folder);
    }
    Err(Failure::Said(format!(
        "{} has no wasm-component-ld, which turns plugins into components: install Rust by rustup",
        folder.display()
    )))
}

/// A `rustc` that uses Debian's compiler with a sysroot that has the Wasm standard library; made once.
fn debian_wrapper() -> Done<PathBuf> {
    let version = command::output(Command::new("/usr/bin/rustc").arg("--version"))?;
    let version = version.split_whitespace().nth(1).unwrap_or("unknown").to_string();
    let folder = command::target().join("plugins/sysroot").join(&version);
    let wrapper = folder.join("rustc");
    if !wrapper.is_file() {
        println!("Building the standard library for {TARGET} with Debian's Rust {version}, once (about a minute).");
        let _ = std::fs::remove_dir_all(&folder);
        make_sysroot(&folder)?;
        let text = format!("#!/bin/sh\nexec /usr/bin/rustc --sysroot '{}' \"$@\"\n", folder.display());
        // Written last: where it is, the rest is whole.
        let half = folder.join("rustc.half");
        std::fs::write(&half, text)
            .and_then(|()| std::fs::set_permissions(&half, std::os::unix::fs::PermissionsExt::from_mode(0o755)))
            .and_then(|()| std::fs::rename(&half, &wrapper))
            .map_err(|source| Failure::File { act: "write", path: wrapper.clone(), source })?;
    }
    Ok(wrapper)
}

fn make_sysroot(folder: &Path) -> Done {
    let seed = folder.join("seed");
    let file = |act, path: &Path| {
        let path = path.to_path_buf();
        move |source| Failure::File { act, path, source }
    };
    std::fs::create_dir_all(seed.join("src")).map_err(file("make", &seed))?;
    let manifest = "[package]\nname = \"seed\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(seed.join("Cargo.toml"), manifest).map_err(file("write", &seed))?;
    std::fs::write(seed.join("src/lib.rs"), "#![no_std]\n").map_err(file("write", &seed))?;
    let mut cargo = command::cargo();
    cargo.current_dir(&seed).env_remove("CARGO_TARGET_DIR").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Cembed-bitcode=yes");
    cargo.args(["build", "--quiet", "--release", "--target", TARGET, "-Zbuild-std=std,panic_abort"]);
    command::run(cargo.arg("--target-dir").arg(seed.join("target")))?;

    let host = command::output(Command::new("/usr/bin/rustc").args(["--print", "host-tuple"]))?;
    let rustlib = folder.join("lib/rustlib");
    let libraries = rustlib.join(TARGET).join("lib");
    std::fs::create_dir_all(&libraries).map_err(file("make", &libraries))?;
    let host_libraries = rustlib.join(host.trim());
    std::os::unix::fs::symlink(Path::new("/usr/lib/rustlib").join(host.trim()), &host_libraries)
        .map_err(file("link", &host_libraries))?;
    let built = seed.join("target").join(TARGET).join("release/deps");
    for entry in std::fs::read_dir(&built).map_err(file("read", &built))? {
        let path = entry.map_err(file("read", &built))?.path();
        let name = path.file_name().unwrap_or_default().to_owned();
        if path.extension().is_some_and(|end| end == "rlib") && !name.to_string_lossy().starts_with("libseed") {
            std::fs::copy(&path, libraries.join(name)).map_err(file("copy", &path))?;
        }
    }
    std::fs::remove_dir_all(&seed).map_err(file("remove", &seed))
}
