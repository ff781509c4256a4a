//! Every seed and a bounded number of mutations, on any toolchain.
//!
//! In: `KEDGE_FUZZ_RUNS` (mutations of each target), `KEDGE_FUZZ_SEED`. Out: a failing test that names the input and
//! where it was written, so that it can become a seed. The same numbers make the same inputs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use kedge_fuzz::{TARGETS, Target, corpus, for_each_target, mutate, target};

/// Mutations of each target in an ordinary `cargo test`: seconds for all of them.
const RUNS: u32 = 300;
/// No input is longer: parsers go wrong in small things first.
const LONGEST: usize = 4096;
/// What was mutated may be mutated again; this many are kept beside the seeds.
const KEPT: usize = 256;

macro_rules! tests {
    ($($name:ident: $shape:ident, $words:literal, $run:path, $what:literal;)*) => {
        mod each {
            $(#[test] fn $name() { super::check(stringify!($name)); })*
        }
    };
}

for_each_target!(tests);

/// The daemon's threads have 2 MiB; frames of a build without optimisation are several times as large as its.
const STACK: usize = 8 << 20;

/// Runs one target.
fn check(name: &'static str) {
    let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK);
    let ended = thread.spawn(move || whole(name)).expect("threads can be made").join();
    assert!(ended.is_ok(), "{name} broke: see above");
}

fn whole(name: &str) {
    let target = target(name).expect("is declared");
    let seeds = corpus::seeds(target).unwrap_or_else(|e| panic!("{}: {e}", corpus::folder(target).display()));
    assert!(!seeds.is_empty(), "{name} has no seeds");
    for (seed, bytes) in &seeds {
        run(target, bytes, seed);
    }
    let number = |name: &str, or: u32| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or);
    let mut rng = fastrand::Rng::with_seed(number("KEDGE_FUZZ_SEED", 1).into());
    let seeds: Vec<Vec<u8>> = seeds.into_iter().map(|(_, bytes)| bytes).collect();
    let mut pool = seeds.clone();
    for _ in 0..number("KEDGE_FUZZ_RUNS", RUNS) {
        let mut input = pool[rng.usize(..pool.len())].clone();
        mutate::mutate(target, &mut input, &seeds, LONGEST, &mut rng);
        run(target, &input, "a mutation");
        if pool.len() < seeds.len() + KEPT {
            pool.push(input);
        } else {
            let at = rng.usize(seeds.len()..pool.len());
            pool[at] = input;
        }
    }
}

fn run(target: &Target, input: &[u8], which: &str) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_ok() {
        return;
    }
    let name = format!("kedge-fuzz-{}-{:016x}", target.name, mark(input));
    let path: PathBuf = std::env::temp_dir().join(name);
    let kept = std::fs::write(&path, input).map_or_else(|e| e.to_string(), |()| path.display().to_string());
    panic!("{} broke on {which}: {:?}\nthe input is kept: {kept}", target.name, String::from_utf8_lossy(input));
}

/// Tells inputs apart in file names (FNV-1a).
fn mark(input: &[u8]) -> u64 {
    input.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn every_folder_of_the_corpus_has_a_target() {
    let all = std::fs::read_dir(corpus::folder(&TARGETS[0]).parent().expect("is below")).expect("is there");
    for folder in all {
        let name = folder.expect("is readable").file_name().to_string_lossy().into_owned();
        assert!(target(&name).is_some(), "tests/fuzz/corpus/{name} is of no target");
    }
}

#[test]
fn the_same_seed_makes_the_same_inputs() {
    let target = &TARGETS[0];
    let made = |seed| {
        let (mut input, mut rng) = (b"{\"a\":[1,2]}".to_vec(), fastrand::Rng::with_seed(seed));
        (0..50).for_each(|_| mutate::mutate(target, &mut input, &[b"{\"b\":2}".to_vec()], LONGEST, &mut rng));
        input
    };
    assert_eq!(made(7), made(7));
    assert_ne!(made(7), made(8));
}
