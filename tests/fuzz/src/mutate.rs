//! Mutations that keep an input near to what its parser understands.
//!
//! In: an input, the target's shape and words, other inputs, a generator that is given. Out: the input changed, never
//! longer than asked for. The same generator makes the same mutation, here and under libFuzzer.

mod tree;

use fastrand::Rng;

use crate::{Shape, Target, words};

/// Changes an input; `others` may lend parts.
pub fn mutate(target: &Target, input: &mut Vec<u8>, others: &[Vec<u8>], longest: usize, rng: &mut Rng) {
    for _ in 0..rng.usize(1..=4) {
        let structural = target.shape == Shape::Json && rng.u8(..8) < 7;
        if !(structural && tree::change(input, words::of(target), others, rng)) {
            change_bytes(target, input, others, rng);
        }
    }
    input.truncate(longest);
}

/// Numbers at which parsers go wrong.
const EDGES: [u64; 12] = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 53, 1 << 63, u64::MAX];

fn change_bytes(target: &Target, input: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.usize(..=input.len());
    let run = rng.usize(1..=16);
    let end = (at + run).min(input.len());
    match rng.u8(..9) {
        0 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
        1 if at < input.len() => input[at] = rng.u8(..),
        2 => input.insert(at, if target.shape == Shape::Bytes { rng.u8(..) } else { rng.u8(b' '..=b'~') }),
        3 => drop(input.drain(at..end)),
        4 => {
            // Again what is there, once or many times: nesting and repetition.
            let piece = input[at..end].to_vec();
            let times = if rng.u8(..8) == 0 { rng.usize(2..200) } else { 1 };
            input.splice(at..at, piece.repeat(times));
        }
        5 | 6 if !words::of(target).is_empty() => {
            let all = words::of(target);
            let word = all[rng.usize(..all.len())].as_bytes();
            let cut = if rng.bool() { end } else { at };
            input.splice(at..cut, word.iter().copied());
        }
        7 if target.shape == Shape::Bytes => {
            let edge = EDGES[rng.usize(..EDGES.len())];
            let width = [1, 2, 4, 8][rng.usize(..4)];
            let (big, little) = (edge.to_be_bytes(), edge.to_le_bytes());
            let number = if rng.bool() { &big[8 - width..] } else { &little[..width] };
            let cut = (at + width).min(input.len());
            input.splice(at..cut, number.iter().copied());
        }
        7 => {
            let number = EDGES[rng.usize(..EDGES.len())].to_string();
            let cut = if rng.bool() { end } else { at };
            input.splice(at..cut, number.bytes());
        }
        _ if !others.is_empty() => {
            let other = &others[rng.usize(..others.len())];
            let from = rng.usize(..=other.len());
            let to = rng.usize(from..=other.len());
            input.splice(at..end, other[from..to].iter().copied());
        }
        _ => {}
    }
}
