//! What wasmtime generates from `wit/`.

#[allow(missing_docs, clippy::all)]
pub(crate) mod scheduler {
    wasmtime::component::bindgen!({ world: "scheduler-plugin", path: "../../wit" });
}

#[allow(missing_docs, clippy::all)]
pub(crate) mod controller {
    wasmtime::component::bindgen!({
        world: "controller-plugin",
        path: "../../wit",
        with: {
            "kedge:plugin/host": crate::bindings::scheduler::kedge::plugin::host,
            "kedge:plugin/columns": crate::bindings::scheduler::kedge::plugin::columns,
        },
    });
}

#[allow(missing_docs, clippy::all)]
pub(crate) mod admission {
    wasmtime::component::bindgen!({
        world: "admission-plugin",
        path: "../../wit",
        with: { "kedge:plugin/host": crate::bindings::scheduler::kedge::plugin::host },
    });
}

pub(crate) use scheduler::kedge::plugin::host;
