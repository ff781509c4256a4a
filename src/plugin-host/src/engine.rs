//! How Wasm is compiled and run: one configuration for the compiler and the daemon.
//!
//! In: the target. Out: wasmtime's configuration. What is compiled under another one is refused when it is loaded.

use wasmtime::{Config, ModuleVersionStrategy};

/// The engine's version, part of every compiled plugin and of the cache's keys. A test holds it against the lock file.
pub const ENGINE_VERSION: &str = "48.0.8";

/// Address space an instance reserves for its memory at the start: what most never outgrow. Small, since a board with
/// 32 bits, or with a strict overcommit policy, has no gigabytes to give to each of ten instances.
const RESERVATION: u64 = 16 << 20;

/// Address space reserved beyond the size each time that a memory moves to grow.
const RESERVATION_FOR_GROWTH: u64 = 16 << 20;

/// Unmapped bytes behind a memory; with explicit bounds checks one page of Wasm is plenty.
const GUARD: u64 = 64 << 10;

/// The configuration that compiler and daemon share.
pub fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .memory_reservation(RESERVATION)
        .memory_reservation_for_growth(RESERVATION_FOR_GROWTH)
        .memory_guard_size(GUARD)
        .guard_before_linear_memory(false)
        .native_unwind_info(false)
        // From machine code back to Wasm: a tenth of a plugin's size, for backtraces that nobody is shown.
        .generate_address_map(false)
        .concurrency_support(false);
    if native_target().starts_with("pulley") {
        config.target(native_target()).expect("the interpreter is a known target");
    }
    config
        .module_version(ModuleVersionStrategy::Custom(format!("kedge-1/{ENGINE_VERSION}")))
        .expect("the version is below 255 bytes");
    config
}

/// Changes when compiled plugins have to be compiled again.
pub fn fingerprint() -> String {
    let sources = [&include_bytes!("engine.rs")[..], include_bytes!("bundle.rs")].concat();
    format!("{ENGINE_VERSION} {}", crate::bundle::digest(&sources))
}

/// The target that plugins are compiled for so that any machine of this kind can run them.
pub fn native_target() -> &'static str {
    match (std::env::consts::ARCH, cfg!(target_pointer_width = "64")) {
        ("x86_64", _) => "x86_64-unknown-linux-gnu",
        ("aarch64", _) => "aarch64-unknown-linux-gnu",
        // No native code generator: the interpreter.
        (_, true) => "pulley64",
        (_, false) => "pulley32",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_engines_version_is_the_locked_one() {
        let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).unwrap();
        let expected = format!("name = \"wasmtime\"\nversion = \"{}\"", super::ENGINE_VERSION);
        assert!(lock.contains(&expected), "ENGINE_VERSION is not what Cargo.lock says of wasmtime");
    }
}
