//! Says in the daemon's log why a plugin panicked, before the trap says only that it did.

/// From now on a panic is logged. Safe to call again.
pub fn report_panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| {
        use crate::scheduler::kedge::plugin::host;
        host::log(host::Level::Error, &panic.to_string());
    }));
}
