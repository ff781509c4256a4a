//! Holds the house to its plan: which crate may name which, and who alone may name an engine.
//!
//! In: the manifests and sources of this checkout. Out: one sentence for each fault. Never builds anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The arrows of ARCHITECTURE.md: a folder under `src/` and the workspace crates that it may name.
const ARROWS: &[(&str, &[&str])] = &[
    ("api", &["cel"]),
    ("cel", &[]),
    ("store", &[]),
    ("apiserver", &["api", "cel", "store", "plugin-api"]),
    ("client", &["api"]),
    ("plugin-api", &["api"]),
    ("plugin-host", &["api", "plugin-api"]),
    ("scheduler", &["api", "client", "plugin-api"]),
    ("controllers", &["api", "client", "plugin-api"]),
    ("node", &["api", "client"]),
    ("runtime", &["api"]),
    ("image", &["api"]),
    ("network", &["api", "client"]),
    ("edgectl", &["api", "client"]),
    ("regex", &[]),
];

/// Engines and the folders that alone may name them. The daemon wires and the build tool drives, so both are free.
const OWNERS: &[(&str, &[&str])] = &[
    ("rusqlite", &["store"]),
    ("regex-automata", &["cel"]),
    ("regex-lite", &["regex"]),
    ("regex", &[]),
    ("axum", &["apiserver", "edged"]),
    ("kube", &["client"]),
    ("wasmtime", &["plugin-host"]),
    ("libcontainer", &["runtime"]),
    ("seccompiler", &["runtime"]),
    ("oci-client", &["image"]),
    ("rtnetlink", &["network"]),
    ("rumqttc", &["federation"]),
];

/// Folders that may name every workspace crate: they join the others.
const JOINERS: &[&str] = &["edged", "xtask"];

/// What `edgectl` must never link, directly or through another crate.
const NOT_IN_EDGECTL: &[&str] = &["wasmtime", "rusqlite", "libcontainer"];

struct Manifest {
    folder: String,
    dependencies: BTreeSet<String>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn manifests() -> Vec<Manifest> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(root().join("src")).expect("src/ is a folder") {
        let folder = entry.expect("src/ is readable").path();
        let text = std::fs::read_to_string(folder.join("Cargo.toml"))
            .unwrap_or_else(|e| panic!("{}: one folder under src/ is one crate: {e}", folder.display()));
        let table: toml::Table = text.parse().unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let mut dependencies = BTreeSet::new();
        collect(&table, &mut dependencies);
        all.push(Manifest { folder: folder.file_name().expect("a name").to_string_lossy().into_owned(), dependencies });
    }
    all
}

/// Every dependency but those of tests: a test may use what it likes.
fn collect(table: &toml::Table, into: &mut BTreeSet<String>) {
    for key in ["dependencies", "build-dependencies"] {
        if let Some(toml::Value::Table(deps)) = table.get(key) {
            for (name, spec) in deps {
                let real = spec.get("package").and_then(toml::Value::as_str).unwrap_or(name);
                into.insert(real.to_owned());
            }
        }
    }
    if let Some(toml::Value::Table(targets)) = table.get("target") {
        for target in targets.values().filter_map(toml::Value::as_table) {
            collect(target, into);
        }
    }
}

#[test]
fn arrows_point_one_way() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut faults = Vec::new();
    for manifest in manifests() {
        if JOINERS.contains(&manifest.folder.as_str()) {
            continue;
        }
        let Some(allowed) = arrows.get(manifest.folder.as_str()) else {
            faults.push(format!("src/{} is not in ARCHITECTURE.md's table", manifest.folder));
            continue;
        };
        for dependency in &manifest.dependencies {
            if let Some(other) = dependency.strip_prefix("kedge-")
                && !allowed.contains(&other)
            {
                faults.push(format!("src/{} names {other}; it may name {allowed:?} only", manifest.folder));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn engines_have_one_owner() {
    let mut faults = Vec::new();
    for manifest in manifests() {
        for (engine, owners) in OWNERS {
            if manifest.dependencies.contains(*engine) && !owners.contains(&manifest.folder.as_str()) {
                faults.push(format!("src/{} names {engine}, which only {owners:?} may", manifest.folder));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn edgectl_links_no_engine() {
    let lock: toml::Table =
        std::fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock").parse().expect("a lock file is TOML");
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in lock["package"].as_array().expect("packages") {
        let deps = package.get("dependencies").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        edges
            .entry(package["name"].as_str().expect("a name").to_owned())
            .or_default()
            .extend(deps.iter().filter_map(|d| d.as_str()?.split(' ').next().map(str::to_owned)));
    }
    // The lock lists test dependencies of workspace members too, so members are walked by their manifests.
    for manifest in manifests() {
        let name = if edges.contains_key(&manifest.folder) {
            manifest.folder.clone()
        } else {
            format!("kedge-{}", manifest.folder)
        };
        let real = edges.get(&name).cloned().unwrap_or_default();
        edges.insert(name, real.intersection(&manifest.dependencies).cloned().collect());
    }
    let (mut seen, mut queue) = (BTreeSet::new(), vec!["edgectl".to_owned()]);
    while let Some(name) = queue.pop() {
        if seen.insert(name.clone()) {
            queue.extend(edges.get(&name).into_iter().flatten().cloned());
        }
    }
    assert!(seen.len() > 20, "edgectl's dependencies were not found in Cargo.lock: {seen:?}");
    for engine in NOT_IN_EDGECTL {
        assert!(!seen.contains(*engine), "edgectl links {engine}");
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut faults = Vec::new();
    let mut folders = vec![root().join("src"), root().join("tests"), root().join("plugins")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                if path.file_name().is_some_and(|n| n != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs") && !opens_with_words(&path) {
                faults.push(format!("{} does not open with a //! comment", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn opens_with_words(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).expect("a readable source");
    let first = text.lines().find(|l| !l.trim().is_empty() && !l.starts_with("#!["));
    first.is_none_or(|line| line.starts_with("//!"))
}

#[test]
fn the_top_level_is_fixed() {
    const FIXED: &[&str] = &[
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "clippy.toml",
        "configs",
        "cross",
        "plugins",
        "rustfmt.toml",
        "src",
        "tests",
        "wit",
        "target",
    ];
    for entry in std::fs::read_dir(root()).expect("the root is readable") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        assert!(name.starts_with('.') || FIXED.contains(&name.as_str()), "{name} does not belong at the top level");
    }
}
