//! A plugin that does what plugins must not do. Its configuration's `arguments` name the misdeed.
//!
//! A namespace `good` makes it behave, so that a test sees it work again after it was replaced.
#![cfg(target_arch = "wasm32")]

use std::cell::RefCell;

use kedge_plugin_sdk::scheduler::exports::kedge::plugin::scheduling::*;
use kedge_plugin_sdk::scheduler::kedge::plugin::host;

struct Misbehaving;

#[derive(Default)]
struct State {
    misdeed: String,
    generation: u64,
    rows: u32,
    symbols: Vec<String>,
    hoard: Vec<Vec<u8>>,
}

std::thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

impl Guest for Misbehaving {
    fn describe() -> Description {
        kedge_plugin_sdk::report_panics();
        let (predicates, priorities) = (vec!["P".to_string()], vec!["S".to_string()]);
        Description { predicates, priorities, groups: Groups::empty() }
    }

    fn configure(_: Vec<String>, _: Vec<String>, arguments: String) -> Result<(), String> {
        if arguments == "\"refuse\"" {
            return Err("no, thank you".into());
        }
        STATE.with_borrow_mut(|state| state.misdeed = arguments.trim_matches('"').to_string());
        Ok(())
    }

    fn update(delta: Delta) -> u64 {
        STATE.with_borrow_mut(|state| {
            if state.misdeed == "forget" {
                return 7;
            }
            if delta.base == 0 {
                state.symbols = vec![String::new()];
            }
            let mut from = 0;
            for end in &delta.symbols.ends {
                state.symbols.push(delta.symbols.all[from..*end as usize].to_string());
                from = *end as usize;
            }
            (state.generation, state.rows) = (delta.generation, delta.rows);
            state.generation
        })
    }

    fn filter(pod: Pod, candidates: Vec<u64>) -> Verdict {
        let all = Verdict { feasible: candidates.clone(), reasons: vec![] };
        let refused = |nodes: Vec<u64>, predicate: u32, count: usize| {
            let reason = Reason { text: "no".into(), predicate, nodes, unresolvable: false };
            Verdict { feasible: vec![], reasons: vec![reason; count] }
        };
        STATE.with_borrow_mut(|state| {
            if state.symbols[pod.namespace as usize] == "good" {
                return all;
            }
            match state.misdeed.as_str() {
                "trap" => panic!("I meant to do that"),
                "overflow" => Verdict { feasible: vec![deep(pod.name.len() as u64)], reasons: vec![] },
                "loop" => loop {
                    std::hint::black_box(());
                },
                "grow" => loop {
                    state.hoard.push(vec![1; 1 << 20]);
                },
                "swell" => {
                    state.hoard.push(vec![1; 12 << 20]);
                    all
                }
                "log" => {
                    let line = "x".repeat(1 << 20);
                    for _ in 0..2000 {
                        host::log(host::Level::Info, &line);
                    }
                    all
                }
                "long bitmap" => Verdict { feasible: vec![!0; 1000], reasons: vec![] },
                "beyond" => Verdict { feasible: vec![!0; candidates.len()], reasons: vec![] },
                "silent" => Verdict { feasible: vec![], reasons: vec![] },
                "unknown predicate" => refused(candidates, 9, 1),
                "talkative" => refused(candidates, 0, 5000),
                _ => all,
            }
        })
    }

    fn score(pod: Pod, feasible: Vec<u64>) -> Vec<Vec<u8>> {
        let count: usize = feasible.iter().map(|word| word.count_ones() as usize).sum();
        STATE.with_borrow(|state| {
            if state.symbols[pod.namespace as usize] == "good" {
                return vec![vec![1; count]];
            }
            match state.misdeed.as_str() {
                "too high" => vec![vec![101; count]],
                "too few" => vec![vec![1; count.saturating_sub(1)]],
                "too many lists" => vec![vec![1; count]; 2],
                _ => vec![vec![1; count]],
            }
        })
    }
}

#[allow(unconditional_recursion)]
fn deep(n: u64) -> u64 {
    std::hint::black_box(deep(n + 1)) + std::hint::black_box(n)
}

kedge_plugin_sdk::scheduler::export_scheduler!(Misbehaving with_types_in kedge_plugin_sdk::scheduler);
