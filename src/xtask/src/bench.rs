//! `cargo xtask bench [NAME...]`: measures a device and prints one table.
//!
//! In: the release binaries, root's rights, the peers that are installed. Out: a markdown table of figures, each beside
//! what was to be reached and beside the peer of the same run; talk goes to stderr. Everything listens on loopback,
//! lives under `target/bench` and is gone afterwards. Never judges by a figure of another machine or of another run.

mod api;
mod cycle;
pub(crate) mod device;
mod etcd;
mod http;
mod idle;
mod keys;
mod lists;
mod load;
mod machine;
mod memory;
mod pods;
mod process;
mod reconcile;
mod row;
mod schedule;
mod size;
mod start;
mod watch;
mod wire;
mod writes;

use std::future::Future;
use std::pin::Pin;
use std::process::Command;
use std::time::Instant;

use crate::command::{self, Done, Failure, cargo, run as run_command};
use crate::{guests, images, setup};
use row::{Row, table};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// The parts to run, all without any: size, start, idle, pods, cycle, reconcile, schedule, writes, api, list, watch,
    /// memory.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Measure the binaries of `target/release` as they are, without building.
    #[arg(long)]
    built: bool,
}

type Rows = Pin<Box<dyn Future<Output = Done<Vec<Row>>>>>;

/// A part's name, and what measures it.
type Part = (&'static str, fn() -> Rows);

/// The parts in the order of the table.
const PARTS: &[Part] = &[
    ("size", || Box::pin(async { size::measure() })),
    ("start", || Box::pin(start::measure())),
    ("idle", || Box::pin(idle::measure())),
    ("pods", || Box::pin(pods::measure())),
    ("cycle", || Box::pin(async { cycle::measure() })),
    ("reconcile", || Box::pin(reconcile::measure())),
    ("schedule", || Box::pin(schedule::measure())),
    ("writes", || Box::pin(writes::measure())),
    ("api", || Box::pin(api::measure())),
    ("list", || Box::pin(lists::measure())),
    ("watch", || Box::pin(watch::measure())),
    ("memory", || Box::pin(memory::measure())),
];

/// Builds, measures, prints.
pub fn run(options: &Options) -> Done {
    if let Some(unknown) = options.names.iter().find(|name| PARTS.iter().all(|(part, _)| part != name)) {
        let known: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
        return Err(Failure::Said(format!("there is no part {unknown:?}; there are {}", known.join(", "))));
    }
    if !setup::is_root() {
        return Err(Failure::Said("benchmarks start real containers and need root".into()));
    }
    // A load generator without optimisation would measure itself.
    if cfg!(debug_assertions) {
        return build_and_begin_again(options);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::Start { program: "the benchmarks".into(), source })?;
    let begun = Instant::now();
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for (name, measure) in PARTS {
        if !options.names.is_empty() && !options.names.iter().any(|wanted| wanted == name) {
            continue;
        }
        eprintln!("[{:>4} s] {name}", begun.elapsed().as_secs());
        match runtime.block_on(measure()) {
            Ok(more) => {
                for row in &more {
                    eprintln!("         {}", row.line());
                }
                rows.extend(more);
            }
            Err(error) => {
                eprintln!("         failed: {error}");
                failed.push(*name);
            }
        }
    }
    println!("{}\n\n{}", machine::described(), table(&rows));
    eprintln!("Took {} s.", begun.elapsed().as_secs());
    match failed.as_slice() {
        [] => Ok(()),
        names => Err(Failure::Said(format!("not measured: {}", names.join(", ")))),
    }
}

fn build_and_begin_again(options: &Options) -> Done {
    if !options.built {
        setup::run_with(true)?;
        guests::build()?;
        command::build_release()?;
    }
    images::build()?;
    run_command(cargo().args(["build", "--locked", "--profile", "tools", "-p", "xtask"]))?;
    run_command(cargo().args([
        "build",
        "--locked",
        "--profile",
        "tools",
        "-p",
        "kedge-runtime",
        "--example",
        "cycle",
    ]))?;
    let mut again = Command::new(command::target().join("tools/xtask"));
    run_command(again.arg("bench").args(&options.names).current_dir(command::root()))
}

/// An error of the network or of the file system, as a sentence.
fn said<E: std::fmt::Display>(act: impl std::fmt::Display) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Said(format!("{act}: {error}"))
}
