//! What a plugin in Rust starts from.
//!
//! In: the WIT package `kedge:plugin`. Out: its bindings, and for predicates and priorities a table of the nodes that
//! applies deltas by itself, so that a plugin is its decisions and nothing else.
//! Never decides anything.

mod label_columns;
mod nodes;
mod panics;
mod plugin;
pub mod review;
mod rows;
mod symbols;
pub mod table;
mod taints;
mod verdict;

pub use label_columns::Labels;
pub use nodes::{CPU, Images, MEMORY, Nodes, PODS, STORAGE};
pub use panics::report_panics;
pub use plugin::{Configured, Plugin};
pub use rows::Rows;
pub use symbols::Symbols;
pub use taints::TaintSets;
pub use verdict::{Refusal, Verdict};

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

/// Bindings of world `admission-plugin`.
#[allow(missing_docs, clippy::all)]
pub mod admission {
    wit_bindgen::generate!({
        world: "admission-plugin",
        path: "../../wit",
        pub_export_macro: true,
        default_bindings_module: "kedge_plugin_sdk::admission",
        export_macro_name: "export_admission",
        additional_derives: [PartialEq],
    });
}

/// The words of interface `scheduling`.
pub mod scheduling {
    pub use crate::scheduler::exports::kedge::plugin::scheduling::{
        Delta, Description, Effect, Groups, HostPort, Image, ImageLists, Label, LabelLists, NodeColumns, NodeTerm,
        Operator, Pod, PortLists, Protocol, Reason, Request, Requirement, Row, Symbol, Taint, TaintLists, Toleration,
        TolerationOperator, UsageColumns, Verdict as WireVerdict, WeightedTerm,
    };
    pub use crate::scheduler::kedge::plugin::columns::Texts;
}

/// Makes a [`Plugin`] the component's exports.
#[macro_export]
macro_rules! export_scheduling {
    ($plugin:ty) => {
        const _: fn(&str) -> Result<$plugin, String> = <$plugin as $crate::Plugin>::new;
        // Natively (in tests) there is nobody to export to, and linkers refuse the names.
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::scheduler::exports::kedge::plugin::scheduling as wire;

            struct Exported;

            // A component's instance has one thread and is never entered twice.
            std::thread_local! {
                static STATE: std::cell::RefCell<$crate::Configured<$plugin>> = Default::default();
            }

            impl wire::Guest for Exported {
                fn describe() -> wire::Description {
                    $crate::report_panics();
                    $crate::Configured::<$plugin>::describe()
                }
                fn configure(
                    predicates: Vec<String>,
                    priorities: Vec<String>,
                    arguments: String,
                ) -> Result<(), String> {
                    STATE.with_borrow_mut(|state| state.configure(predicates, priorities, arguments))
                }
                fn update(delta: wire::Delta) -> u64 {
                    STATE.with_borrow_mut(|state| state.update(delta))
                }
                fn filter(pod: wire::Pod, candidates: Vec<u64>) -> wire::Verdict {
                    STATE.with_borrow_mut(|state| state.filter(pod, candidates))
                }
                fn score(pod: wire::Pod, feasible: Vec<u64>) -> Vec<Vec<u8>> {
                    STATE.with_borrow_mut(|state| state.score(pod, feasible))
                }
            }

    $crate::scheduler::export_scheduler!(Exported with_types_in $crate::scheduler);
        };
    };
}

/// Makes a [`review::Reviewer`] the component's exports.
#[macro_export]
macro_rules! export_reviewer {
    ($reviewer:ty) => {
        const _: fn(&str) -> Result<$reviewer, String> = <$reviewer as $crate::review::Reviewer>::new;
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::admission::exports::kedge::plugin::admission as wire;

            struct Exported;

            std::thread_local! {
                static STATE: std::cell::RefCell<$crate::review::Reviewing<$reviewer>> = Default::default();
            }

            impl wire::Guest for Exported {
                fn declare(arguments: String) -> Result<Vec<wire::Hook>, String> {
                    $crate::report_panics();
                    STATE.with_borrow_mut(|state| state.declare(&arguments))
                }
                fn review(request: wire::Request) -> wire::Verdict {
                    STATE.with_borrow_mut(|state| state.review(&request))
                }
            }

    $crate::admission::export_admission!(Exported with_types_in $crate::admission);
        };
    };
}
