//! `cargo xtask test`: every tier of tests, the cheapest first.
//!
//! In: this checkout. Out: each tier with its time; the first one that fails ends the run with a line that names it.
//! Tests themselves are cargo's: this only says what runs in which order and what must be there before.

mod demo;
mod peers;

use std::time::Instant;

use crate::command::{self, Done, Failure};
use crate::{guests, images, setup};

/// What a run may be told.
#[derive(clap::Args)]
pub struct Options {
    /// Only these tiers, by name; may be repeated.
    #[arg(long = "only", value_name = "TIER")]
    only: Vec<String>,
    /// Print the tiers and what they are for.
    #[arg(long)]
    list: bool,
}

struct Tier {
    name: &'static str,
    what: &'static str,
    run: fn() -> Done,
}

const TIERS: &[Tier] = &[
    Tier { name: "format", what: "sources are formatted", run: format },
    Tier { name: "guests", what: "plugins build to Wasm components and are compiled", run: guests::build },
    Tier { name: "lint", what: "no warning in any crate, test, benchmark or plugin", run: lint },
    Tier { name: "plugins", what: "the plugins' own tests, natively", run: plugins },
    Tier { name: "crates", what: "the tests of every crate, and the arrows between crates", run: crates },
    Tier { name: "fuzz", what: "what parses hostile input: its corpus and seeded mutations of it", run: fuzz },
    Tier { name: "it", what: "the whole stack in one process, with fakes at the ports", run: it },
    Tier { name: "release", what: "the programs as they are shipped, and the demo images", run: release },
    Tier {
        name: "demo",
        what: "the demonstration, as README tells it, and that nothing of it is left; as root",
        run: demo::run,
    },
    Tier { name: "e2e", what: "real containers, networks, kubectl and client libraries; as root", run: e2e },
];

/// Mutations of each fuzz target: of all targets together they take half a minute of one core.
const FUZZ_RUNS: &str = "10000";

/// Runs the tiers.
pub fn run(options: &Options) -> Done {
    if options.list {
        TIERS.iter().for_each(|tier| println!("{:10} {}", tier.name, tier.what));
        return Ok(());
    }
    if let Some(unknown) = options.only.iter().find(|name| TIERS.iter().all(|tier| tier.name != **name)) {
        let names: Vec<&str> = TIERS.iter().map(|tier| tier.name).collect();
        return Err(Failure::Said(format!("there is no tier {unknown:?}; there are {}", names.join(", "))));
    }
    setup::run_with(true)?;
    let chosen = TIERS.iter().filter(|tier| options.only.is_empty() || options.only.iter().any(|n| n == tier.name));
    let begun = Instant::now();
    let mut done = Vec::new();
    for tier in chosen {
        println!("\n== {}: {}", tier.name, tier.what);
        let start = Instant::now();
        let outcome = (tier.run)();
        let seconds = start.elapsed().as_secs_f64();
        done.push(format!("{:10} {seconds:7.1} s", tier.name));
        if let Err(fault) = outcome {
            println!("\n{}", done.join("\n"));
            return Err(Failure::Said(format!("the tier {} failed: {fault}", tier.name)));
        }
    }
    println!("\n{}\n{:10} {:7.1} s", done.join("\n"), "all", begun.elapsed().as_secs_f64());
    Ok(())
}

fn format() -> Done {
    command::run(command::cargo().args(["fmt", "--all", "--check"]))?;
    command::run(command::cargo().current_dir(command::root().join("plugins")).args(["fmt", "--all", "--check"]))
}

fn lint() -> Done {
    let warnings = ["--", "-D", "warnings"];
    command::run(command::cargo().args(["clippy", "--workspace", "--all-targets", "--locked"]).args(warnings))?;
    guests::native(true)
}

fn plugins() -> Done {
    guests::native(false)
}

fn crates() -> Done {
    command::run(command::cargo().args(["test", "--workspace", "--exclude", "kedge", "--locked"]))?;
    command::run(command::cargo().args(["test", "-p", "kedge", "--locked", "--lib", "--test", "architecture"]))
}

/// With all crates chosen, what the test is built of is there already.
fn fuzz() -> Done {
    let mut cargo = command::cargo();
    cargo.env("KEDGE_FUZZ_RUNS", FUZZ_RUNS);
    command::run(cargo.args(["test", "--workspace", "--exclude", "kedge", "--locked", "--test", "replay"]))
}

fn it() -> Done {
    command::run(command::cargo().args(["test", "-p", "kedge", "--locked", "--test", "it"]))
}

fn release() -> Done {
    command::build_release()?;
    images::build().map(drop)
}

fn e2e() -> Done {
    if !setup::is_root() {
        println!("SKIPPED: real containers need root; run `cargo xtask test --only e2e` as root.");
        return Ok(());
    }
    release()?;
    peers::kubectl()?;
    peers::python()?;
    let node = peers::node()?;
    let mut cargo = command::cargo();
    cargo.env("KEDGE_BIN_DIR", command::target().join("release"));
    // With programs, images and peers in place nothing may be skipped.
    cargo.env("CI", "true");
    cargo.args(["test", "-p", "kedge", "--locked", "--test", "e2e", "--", "--test-threads=2"]);
    if !node {
        cargo.args(["--skip", "the_npm_package"]);
    }
    command::run(&mut cargo)
}
