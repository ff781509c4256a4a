//! PyPI's `kubernetes` and npm's `@kubernetes/client-node`: one script for each way of using them.
//!
//! In: the scripts in this folder. Out: each says "all good".

use std::path::Path;
use std::process::Command;

use kedge::{Device, Output, programs};

use crate::words::deployment;

/// A device with one pod of the demo server.
fn with_web(name: &str) -> Option<Device> {
    let device = Device::with_images(name)?;
    device.apply(&deployment("web", 1, 1)).ok();
    device.rolled_out("web");
    Some(device)
}

#[track_caller]
fn script(program: &Path, name: &str, device: &Device, more: &[&Path]) {
    let script = programs::root().join("tests/e2e/clients").join(name);
    let mut command = Command::new(program);
    // What it caches is a test's own.
    command.env("TMPDIR", device.setup.folder()).env("HOME", device.setup.folder());
    let output = Output::of(command.arg(script).arg(device.kubeconfig()).args(more));
    assert!(output.clone().ok().ends_with("all good\n"), "{output}");
}

#[test]
fn the_python_package_lists_creates_watches_patches_and_deletes() {
    let Some(python) = programs::python() else { return programs::skip(programs::NO_PYTHON) };
    let Some(device) = with_web("python") else { return };
    script(&python, "everyday.py", &device, &[]);
}

#[test]
fn the_python_packages_dynamic_client_knows_kinds_that_are_made_while_it_runs() {
    let Some(python) = programs::python() else { return programs::skip(programs::NO_PYTHON) };
    let Some(device) = with_web("dynamic") else { return };
    script(&python, "dynamic.py", &device, &[programs::example("brew.yaml").as_ref()]);
}

#[test]
fn the_npm_packages_informer_misses_nothing_and_its_streams_reach_containers() {
    let Some((node, library)) = programs::node() else {
        return programs::skip(
            "there is no Node.js with @kubernetes/client-node: cargo xtask test fetches the package",
        );
    };
    let Some(device) = with_web("node") else { return };
    script(&node, "everyday.mjs", &device, &[&library]);
}
