//! The program that libFuzzer drives: `KEDGE_FUZZ_TARGET` names the target.
//!
//! In: libFuzzer's arguments. Out: its report; an input that breaks a promise ends it. Mutations are half libFuzzer's own,
//! half those of `mutate.rs`, which know the input's shape.

#![no_main]

use std::sync::OnceLock;

use kedge_fuzz::{Target, mutate, target};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("KEDGE_FUZZ_TARGET").unwrap_or_default();
        target(&name).unwrap_or_else(|| panic!("KEDGE_FUZZ_TARGET={name:?} is no target"))
    })
}

fuzz_target!(|bytes: &[u8]| (chosen().run)(bytes));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed % 2 == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let mut input = data[..size].to_vec();
    mutate::mutate(chosen(), &mut input, &[], max_size, &mut fastrand::Rng::with_seed(seed.into()));
    data[..input.len()].copy_from_slice(&input);
    input.len()
});
