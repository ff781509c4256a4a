//! Compiles policies into a classic BPF program.
//!
//! In: for each machine, what happens to each call. Out: instructions for `seccomp(2)`. A machine that is not named
//! kills the process. Never decides what is allowed: `profile` and `oci` do.

use std::collections::BTreeMap;

use super::profile::{Comparison, Policy, Verdict};
use super::{Action, FilterError, Machine};

/// What the kernel takes.
const LONGEST: usize = 4096;

/// Calls of the x32 ABI carry this bit; none is allowed.
const X32: u32 = 0x4000_0000;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// One instruction, as the kernel lays it out (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to pass over if a comparison holds.
    pub yes: u8,
    /// Instructions to pass over if it does not.
    pub no: u8,
    /// Operand.
    pub k: u32,
}

/// The program for a family of machines.
pub fn compile(policies: &[(Machine, Policy)]) -> Result<Vec<Instruction>, FilterError> {
    let mut program = vec![load(ARCHITECTURE)];
    for (machine, policy) in policies {
        let body = search(&ranges(*machine, policy), policy.other);
        // A comparison reaches 255 instructions, a jump all of them.
        program.push(compare(EQUAL, machine.audit(), 1, 0));
        program.push(jump(body.len() + 1));
        program.push(load(NUMBER));
        program.extend(body);
    }
    program.push(answer(Action::KillProcess));
    if program.len() > LONGEST {
        return Err(FilterError::TooLarge(program.len()));
    }
    Ok(program)
}

/// What happens from a number up to the next entry's.
struct Range<'a> {
    from: u32,
    verdicts: &'a [Verdict],
}

/// The number space cut where what happens changes.
fn ranges(machine: Machine, policy: &Policy) -> Vec<Range<'_>> {
    let mut cuts: BTreeMap<u32, &[Verdict]> = BTreeMap::new();
    for (number, verdicts) in &policy.calls {
        if machine == Machine::X86_64 && *number >= X32 {
            continue;
        }
        cuts.insert(*number, verdicts);
        cuts.entry(number + 1).or_insert(&[]);
    }
    let mut ranges: Vec<Range<'_>> = vec![Range { from: 0, verdicts: &[] }];
    for (from, verdicts) in cuts {
        match ranges.last_mut() {
            Some(last) if last.verdicts == verdicts => {}
            Some(last) if last.from == from => last.verdicts = verdicts,
            _ => ranges.push(Range { from, verdicts }),
        }
    }
    ranges
}

/// A binary search whose leaves answer.
fn search(ranges: &[Range<'_>], other: Action) -> Vec<Instruction> {
    match ranges {
        [] => vec![answer(other)],
        [one] => decide(one.verdicts, other),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let middle = high.first().map_or(0, |range| range.from);
            let below = search(low, other);
            let above = search(high, other);
            let mut code = Vec::with_capacity(below.len() + above.len() + 2);
            match u8::try_from(below.len()) {
                Ok(near) => code.push(compare(AT_LEAST, middle, near, 0)),
                Err(_) => {
                    code.push(compare(AT_LEAST, middle, 0, 1));
                    code.push(jump(below.len()));
                }
            }
            code.extend(below);
            code.extend(above);
            code
        }
    }
}

/// The first verdict whose comparisons all hold answers.
fn decide(verdicts: &[Verdict], other: Action) -> Vec<Instruction> {
    let mut code = Vec::new();
    for verdict in verdicts {
        let mut tests: Vec<Vec<Instruction>> = verdict.when.iter().map(test).collect();
        // Each test falls through if it holds; otherwise it jumps past the answer.
        let mut left = 1;
        for test in tests.iter_mut().rev() {
            test.push(jump(left));
            left += test.len();
        }
        code.extend(tests.into_iter().flatten());
        code.push(answer(verdict.action));
        if verdict.when.is_empty() {
            return code;
        }
    }
    code.push(answer(other));
    code
}

/// Falls off its end if the comparison does not hold; passes over one instruction more if it does.
fn test(comparison: &Comparison) -> Vec<Instruction> {
    let low = ARGUMENTS + 8 * u32::from(comparison.argument);
    let high = low + 4;
    let half = |value: u64, shift: u32| (value >> shift) as u32;
    let Comparison { mask, value, equal, .. } = *comparison;
    let mut code = vec![load(high)];
    if half(mask, 32) != u32::MAX {
        code.push(operate(AND, half(mask, 32)));
    }
    let decides_high = code.len();
    code.push(compare(EQUAL, half(value, 32), 0, 0));
    code.push(load(low));
    if half(mask, 0) != u32::MAX {
        code.push(operate(AND, half(mask, 0)));
    }
    // What comes after the last comparison is the way out; one further goes on.
    let way_out = (code.len() - decides_high) as u8;
    if equal {
        code[decides_high].no = way_out;
        code.push(compare(EQUAL, half(value, 0), 1, 0));
    } else {
        code[decides_high].no = way_out + 1;
        code.push(compare(EQUAL, half(value, 0), 0, 1));
    }
    code
}

fn load(offset: u32) -> Instruction {
    operate(LOAD, offset)
}

fn answer(action: Action) -> Instruction {
    operate(RETURN, action.code())
}

fn jump(over: usize) -> Instruction {
    operate(JUMP, u32::try_from(over).unwrap_or(u32::MAX))
}

fn operate(code: u16, k: u32) -> Instruction {
    Instruction { code, yes: 0, no: 0, k }
}

fn compare(code: u16, k: u32, yes: u8, no: u8) -> Instruction {
    debug_assert!(matches!(code, EQUAL | AT_LEAST));
    Instruction { code, yes, no, k }
}
