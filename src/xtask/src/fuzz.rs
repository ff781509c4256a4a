//! `cargo xtask fuzz`: targets of `tests/fuzz`, guided by coverage.
//!
//! In: names of targets, seconds for each. Out: libFuzzer's report; an input that breaks a promise is kept under
//! `target/fuzz/found`, and the last line says how to make it a seed. What leads to new code is kept under
//! `target/fuzz/corpus` and used the next time.
//!
//! Coverage comes from a pass of LLVM that every toolchain has, so no nightly is needed; the engine is C++, so a compiler
//! for that is. CI runs the same targets without it (`tiers.rs`).

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, Done, Failure};

/// What a run may be told.
#[derive(clap::Args)]
pub struct Options {
    /// Only these targets; all of them if none is named.
    targets: Vec<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Print the targets.
    #[arg(long)]
    list: bool,
}

/// The targets' corpora, one folder each: they name the targets.
fn corpora() -> PathBuf {
    command::root().join("tests/fuzz/corpus")
}

/// Published objects of Kubernetes, where they lie beside the checkout; never copied into it.
const PUBLISHED: &str = "../shared/data/kubernetes-1.36/roundtrip";
/// Targets that read whole objects in one of the forms that are published.
const OF_OBJECTS: [&str; 3] = ["json", "yaml", "protobuf"];

/// Edges, comparisons and a table of places: what cargo-fuzz asks of LLVM too. One unit for each crate, or places lie twice.
const INSTRUMENT: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1";
/// A slower input than this is a finding: requests are answered in milliseconds.
const SLOWEST: &str = "-timeout=10";
/// More memory than this is one too: inputs have 4 KiB.
const LARGEST: &str = "-rss_limit_mb=2048";

/// Builds the guided program and runs the targets one after the other.
pub fn run(options: &Options) -> Done {
    let all = names()?;
    if options.list {
        all.iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    if let Some(unknown) = options.targets.iter().find(|name| !all.contains(name)) {
        return Err(Failure::Said(format!("there is no target {unknown:?}; there are {}", all.join(", "))));
    }
    let program = build()?;
    let chosen = all.iter().filter(|name| options.targets.is_empty() || options.targets.contains(name));
    for name in chosen {
        println!("\n== {name}");
        one(&program, name, options.seconds)?;
    }
    Ok(())
}

fn names() -> Done<Vec<String>> {
    let file = |source| Failure::File { act: "read", path: corpora(), source };
    let mut all = Vec::new();
    for entry in std::fs::read_dir(corpora()).map_err(file)? {
        all.push(entry.map_err(file)?.file_name().to_string_lossy().into_owned());
    }
    all.sort();
    Ok(all)
}

/// With a target named, flags do not reach build scripts, which run here and need no counters.
fn build() -> Done<PathBuf> {
    let triple = host()?;
    let folder = command::target().join("fuzz");
    let mut cargo = command::cargo();
    cargo.args(["build", "--package", "kedge-fuzz", "--features", "guided", "--bin", "guided", "--locked"]);
    cargo
        .args(["--profile", "fuzz", "--target", &triple])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", INSTRUMENT);
    command::run(&mut cargo)?;
    Ok(folder.join(triple).join("fuzz/guided"))
}

fn host() -> Done<String> {
    let said = command::output(Command::new("rustc").arg("-vV"))?;
    let line = said.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).ok_or_else(|| Failure::Said("rustc -vV names no host".to_owned()))
}

fn one(program: &Path, name: &str, seconds: u32) -> Done {
    let folder = command::target().join("fuzz");
    let (grown, found) = (folder.join("corpus").join(name), folder.join("found"));
    for path in [&grown, &found] {
        std::fs::create_dir_all(path).map_err(|source| Failure::File { act: "create", path: path.clone(), source })?;
    }
    let prefix = found.join(format!("{name}-"));
    let mut fuzzer = Command::new(program);
    fuzzer.env("KEDGE_FUZZ_TARGET", name).arg(&grown).arg(corpora().join(name));
    let published = command::root().join(PUBLISHED);
    if OF_OBJECTS.contains(&name) && published.is_dir() {
        fuzzer.arg(published);
    }
    fuzzer.args([SLOWEST, LARGEST, "-max_len=4096", "-print_final_stats=1", "-verbosity=1"]);
    fuzzer.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}", prefix.display()));
    command::run(&mut fuzzer).map_err(|fault| {
        Failure::Said(format!(
            "{name} broke: {fault}\nthe input is the newest of {}*; give it a name under {} and it is a test",
            prefix.display(),
            corpora().join(name).display()
        ))
    })
}
