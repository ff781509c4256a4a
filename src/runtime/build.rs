//! Builds the waiter: a static program without a C library, embedded into the runtime.
//!
//! In: `waiter/*.rs`, cargo's target. Out: `$OUT_DIR/waiter`. Never needs more than the compiler and the linker that
//! build the crate itself.

use std::env;
use std::path::PathBuf;
use std::process::{Command, exit};

/// What must fit with a stack and one page of data into 12 KiB of resident memory, with room to grow.
const LARGEST: u64 = 12 * 1024;

fn main() {
    println!("cargo::rerun-if-changed=waiter");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(variable("OUT_DIR")).join("waiter");
    let mut rustc = Command::new(variable("RUSTC"));
    rustc
        .arg("waiter/main.rs")
        .arg("-o")
        .arg(&out)
        .args(["--crate-name", "kedge_waiter", "--crate-type", "bin", "--edition", "2024"])
        .arg("--target")
        .arg(variable("TARGET"))
        .args(["-Copt-level=s", "-Cpanic=abort", "-Clto=fat", "-Ccodegen-units=1", "-Cstrip=symbols"])
        .args(["-Crelocation-model=static", "-Ctarget-feature=+crt-static", "-Cdebug-assertions=off"])
        .args(["-Clink-arg=-nostartfiles", "-Clink-arg=-nostdlib", "-Clink-arg=-static"])
        .args(["-Clink-arg=-Wl,--build-id=none,-z,norelro,--gc-sections,-z,max-page-size=4096,--no-eh-frame-hdr"])
        .arg("-Clink-arg=-Wl,-T,waiter/link.ld");
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut argument = std::ffi::OsString::from("-Clinker=");
        argument.push(linker);
        rustc.arg(argument);
    }
    match rustc.status() {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("the waiter does not build: rustc ended with {status}")),
        Err(error) => fail(&format!("the waiter does not build: rustc can't be started: {error}")),
    }
    match std::fs::metadata(&out) {
        Ok(file) if file.len() <= LARGEST => {}
        Ok(file) => fail(&format!("the waiter has {} bytes; at most {LARGEST} are meant", file.len())),
        Err(error) => fail(&format!("the waiter was not written: {error}")),
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| fail(&format!("cargo did not set {name}")))
}

fn fail(reason: &str) -> ! {
    eprintln!("{reason}");
    exit(1)
}
