//! What a plugin in Rust starts from.
//!
//! In: the WIT package `kedge:plugin`. Out: its bindings, and for predicates and priorities a table of the nodes that
//! applies deltas by itself, so that a plugin is its decisions and nothing else.
//! Never decides anything.

/// Bindings of world `scheduler-plugin`.
#[allow(missing_docs, clippy::all)]
pub mod scheduler {
    wit_bindgen::generate!({
        world: "scheduler-plugin",
        path: "../../wit",
        pub_export_macro: true,
        default_bindings_module: "kedge_plugin_sdk::scheduler",
        export_macro_name: "export_scheduler",
        additional_derives: [PartialEq],
    });
}

/// Bindings of world `controller-plugin`.
#[allow(missing_docs, clippy::all)]
pub mod controller {
    wit_bindgen::generate!({
        world: "controller-plugin",
        path: "../../wit",
        pub_export_macro: true,
        default_bindings_module: "kedge_plugin_sdk::controller",
        export_macro_name: "export_controller",
        additional_derives: [PartialEq],
    });
}
