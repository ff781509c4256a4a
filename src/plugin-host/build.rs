//! Finds the bundle of built-in plugins that `cargo xtask guests` made, so that it becomes part of the daemon.
//!
//! In: `KEDGE_PLUGIN_BUNDLE`, or the bundle in the target folder, which for a cross build is that of the other target.
//! Out: `bundle.rs` with the bytes.
//! Without a bundle a debug build carries none and says so; a release build refuses.

use std::path::{Path, PathBuf};

/// The names that `engine::native_target` and `xtask` give to targets.
fn folder() -> &'static str {
    let set = |name: &str| std::env::var(name).unwrap_or_default();
    let arch = set("CARGO_CFG_TARGET_ARCH");
    if set("HOST").starts_with(&arch) {
        return "builtin";
    }
    match (arch.as_str(), set("CARGO_CFG_TARGET_POINTER_WIDTH").as_str()) {
        ("x86_64", _) => "x86_64-unknown-linux-gnu",
        ("aarch64", _) => "aarch64-unknown-linux-gnu",
        (_, "64") => "pulley64",
        _ => "pulley32",
    }
}

fn main() {
    println!("cargo:rerun-if-env-changed=KEDGE_PLUGIN_BUNDLE");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders below the root");
    let bundle = std::env::var_os("KEDGE_PLUGIN_BUNDLE")
        .map_or_else(|| root.join("target/plugins").join(folder()).join("bundle"), PathBuf::from);
    println!("cargo:rerun-if-changed={}", bundle.display());
    let text = if bundle.is_file() {
        format!("include_bytes!({:?})", bundle)
    } else {
        let missing = format!("there are no built-in plugins at {}: run `cargo xtask guests` first", bundle.display());
        if std::env::var("PROFILE").as_deref() == Ok("release") && std::env::var_os("CARGO_FEATURE_COMPILER").is_none()
        {
            println!("cargo:error={missing}");
        } else {
            println!("cargo:warning={missing}");
        }
        "&[]".to_string()
    };
    let text = format!("static EMBEDDED: &[u8] = {text};\n");
    std::fs::write(out.join("bundle.rs"), text).expect("OUT_DIR can be written");
}
