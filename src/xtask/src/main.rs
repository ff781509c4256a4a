//! `cargo xtask`: drives what cargo alone cannot.
//!
//! In: a verb. Out: guests, images, a running demo, test tiers and benchmark tables. Never part of what is shipped.

mod bench;
mod command;
mod conformance;
mod demo;
mod fuzz;
mod guests;
mod images;
mod setup;
mod tiers;

use clap::{Parser, Subcommand};

/// Builds, tries, tests and measures Kedge.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what building and testing need, saying what and why.
    Setup {
        /// Also what only tests and benchmarks need.
        #[arg(long)]
        tests: bool,
    },
    /// Build the plugins, their precompiled forms and the release binaries.
    Build,
    /// Build the plugins and their precompiled forms only.
    Guests,
    /// Run every tier of tests, the cheapest first.
    Test(tiers::Options),
    /// Start a device, show a Deployment answering on it, and stop it on Ctrl-C.
    Demo(demo::Options),
    /// Build the demo images as archives under `target/demo`.
    Images,
    /// Measure a device beside its peers and print a table.
    Bench(bench::Options),
    /// Run Kubernetes' conformance suite, whose program you bring, and count what passes by area.
    Conformance(conformance::Options),
    /// Run fuzz targets, guided by coverage.
    Fuzz(fuzz::Options),
    /// Build one plugin of `plugins/` to a component.
    Plugin {
        /// The crate's name, as in `battery`.
        package: String,
    },
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.verb {
        Verb::Setup { tests } => setup::run_verb(tests),
        Verb::Test(options) => tiers::run(&options),
        Verb::Demo(options) => demo::run(&options),
        Verb::Bench(options) => bench::run(&options),
        Verb::Conformance(options) => conformance::run(&options),
        Verb::Fuzz(options) => fuzz::run(&options),
        Verb::Images => images::build().map(|paths| paths.iter().for_each(|path| println!("{}", path.display()))),
        Verb::Guests => guests::build(),
        Verb::Plugin { package } => guests::build_one(&package),
        Verb::Build => setup::run_with(false).and_then(|()| guests::build()).and_then(|()| command::build_release()),
    };
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
