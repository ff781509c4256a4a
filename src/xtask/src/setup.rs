//! Installs what building, the demo and the tests need.
//!
//! In: the machine as it is. Out: Debian's packages installed, each with its reason said. Never installs what is
//! there, and on other systems names what is missing instead of guessing.

use std::process::Command;

use crate::command::{Done, Failure, on_path, run};
use crate::guests;

/// A package, how to tell that it is there, and why it is wanted.
struct Package {
    name: &'static str,
    /// A program on the path, or an absolute file.
    shows: &'static str,
    why: &'static str,
    tests_only: bool,
}

const PACKAGES: &[Package] = &[
    Package { name: "gcc", shows: "gcc", why: "compiles SQLite and the linker's start files", tests_only: false },
    Package { name: "libc6-dev", shows: "/usr/include/stdio.h", why: "C headers for SQLite", tests_only: false },
    Package { name: "nftables", shows: "nft", why: "host ports and outbound masquerade of pods", tests_only: false },
    Package { name: "busybox-static", shows: "/bin/busybox", why: "the demo image's web server", tests_only: false },
    Package { name: "iproute2", shows: "ip", why: "test networks", tests_only: true },
    Package { name: "skopeo", shows: "skopeo", why: "archives of another tool, for tests", tests_only: true },
    Package {
        name: "docker-registry",
        shows: "docker-registry",
        why: "the reference registry, for tests",
        tests_only: true,
    },
    Package { name: "crun", shows: "crun", why: "the runtime that benchmarks compare with", tests_only: true },
    Package { name: "etcd-server", shows: "etcd", why: "the store that benchmarks compare with", tests_only: true },
    Package {
        name: "python3-venv",
        shows: "/usr/share/doc/python3-venv",
        why: "the Python client test",
        tests_only: true,
    },
];

/// Installs what is missing. `tests` adds what only tests and benchmarks need.
pub fn run_with(tests: bool) -> Done {
    let mut missing: Vec<(&str, &str)> =
        PACKAGES.iter().filter(|p| (tests || !p.tests_only) && !there(p.shows)).map(|p| (p.name, p.why)).collect();
    missing.extend(guests::missing_packages());
    if missing.is_empty() {
        return Ok(());
    }
    println!("These packages are missing:");
    for (name, why) in &missing {
        println!("  {name:20} {why}");
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    if !on_path("apt-get") || !is_root() {
        return Err(Failure::Said(format!(
            "install them with your system's package manager and run the command again; on Debian or Ubuntu, as root: apt-get install {}",
            names.join(" ")
        )));
    }
    println!("Installing them with apt-get.");
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    run(Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(&names))
}

/// The verb `setup`.
pub fn run_verb(tests: bool) -> Done {
    run_with(tests)?;
    println!("Everything that is needed is installed.");
    Ok(())
}

fn there(shows: &str) -> bool {
    if shows.starts_with('/') { std::path::Path::new(shows).exists() } else { on_path(shows) }
}

/// Whether we are root: containers, networks and package installation need it.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}
