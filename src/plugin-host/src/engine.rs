//! How Wasm is compiled and run: one configuration for the compiler and the daemon.
//!
//! In: the target. Out: wasmtime's configuration. What is compiled under another one is refused when it is loaded.

use wasmtime::{Config, ModuleVersionStrategy};

/// The engine's version, part of every compiled plugin and of the cache's keys. A test holds it against the lock file.
pub const ENGINE_VERSION: &str = "48.0.8";

/// Address space that an instance has for its memory.
struct Space {
    /// Reserved at the start.
    reservation: u64,
    /// Reserved beyond the size each time that a memory moves to grow.
    growth: u64,
    /// Unmapped behind it: what an access may add to its pointer without a check.
    guard: u64,
}

/// With 64 bits all that a plugin's pointers can reach, so that no access needs a check of its bounds: a seventh less
/// code. It is address space only, which no overcommit policy counts.
const WIDE: Space = Space { reservation: 4 << 30, growth: 0, guard: 32 << 20 };

/// A board with 32 bits has no gigabytes to give to each of many instances: what most never outgrow. Every access is
/// checked, and one page of Wasm is plenty behind it.
const NARROW: Space = Space { reservation: 16 << 20, growth: 16 << 20, guard: 64 << 10 };

/// The configuration that compiler and daemon share.
pub fn config() -> Config {
    config_for(native_target())
}

/// The same for another target than this machine's.
pub fn config_for(target: &str) -> Config {
    let space = if target == "pulley32" { NARROW } else { WIDE };
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .memory_reservation(space.reservation)
        .memory_reservation_for_growth(space.growth)
        .memory_guard_size(space.guard)
        .guard_before_linear_memory(false)
        .native_unwind_info(false)
        // From machine code back to Wasm: a tenth of a plugin's size, for backtraces that nobody is shown.
        .generate_address_map(false)
        .concurrency_support(false);
    if target.starts_with("pulley") {
        config.target(target).expect("the interpreter is a known target");
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
