//! How the daemon is linked.
//!
//! In: the target, the profile. Out: arguments for the linker that make the binary smaller. Never changes what is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CARGO_PROFILE_RELEASE_STRIP");
    // Cargo's own `strip` passes over a program that has a row of its own among the profile's packages, as this one has.
    let symbols = std::env::var("CARGO_PROFILE_RELEASE_STRIP").is_ok_and(|strip| strip == "none");
    if std::env::var("PROFILE").as_deref() == Ok("release") && !symbols {
        println!("cargo:rustc-link-arg-bins=-Wl,--strip-all");
    }
    // Rust's own linker for this target; others do not know the arguments. Equal functions and ends of texts are kept once, and
    // relocations of data are written as a bitmap: together a twelfth of the binary.
    if std::env::var("TARGET").as_deref() == Ok("x86_64-unknown-linux-gnu") {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
        println!("cargo:rustc-link-arg-bins=-Wl,-O2");
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
