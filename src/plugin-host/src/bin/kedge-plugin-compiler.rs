//! `kedge-plugin-compiler`: compiles plugins, in a process of its own that ends.
//!
//! In: Wasm components. Out: compiled forms, or one bundle of them. Never runs what it compiles.

use std::path::Path;
use std::process::ExitCode;

use kedge_plugin_host::{bundle, compile, engine};

const USAGE: &str = "usage:
  kedge-plugin-compiler compile IN.wasm OUT.cwasm [TARGET]     without TARGET: for exactly this processor
  kedge-plugin-compiler bundle OUT TARGET|native NAME=IN.wasm...
  kedge-plugin-compiler version";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["compile", from, to] => one(from, to, None),
        ["compile", from, to, target] => one(from, to, Some(target)),
        ["bundle", to, target, members @ ..] => many(to, target, members),
        ["version"] => {
            println!("{}", engine::fingerprint());
            Ok(())
        }
        _ => Err(USAGE.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

fn one(from: &str, to: &str, target: Option<&str>) -> Result<(), String> {
    let compiled = compile::compile(&read(from)?, target).map_err(|error| format!("{from}: {error}"))?;
    write(to, &compiled)
}

fn many(to: &str, target: &str, members: &[&str]) -> Result<(), String> {
    let target = if target == "native" { engine::native_target() } else { target };
    let mut compiled = Vec::new();
    for member in members {
        let (name, from) = member.split_once('=').ok_or_else(|| format!("{member}: not NAME=IN.wasm"))?;
        let wasm = read(from)?;
        let code = compile::compile(&wasm, Some(target)).map_err(|error| format!("{from}: {error}"))?;
        compiled.push((name.to_string(), wasm, code));
    }
    let bundle = bundle::write(target, &compiled).map_err(|error| format!("{to}: {error}"))?;
    write(to, &bundle)
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))
}

/// Whole or not at all: what reads it never sees half a file.
fn write(path: &str, bytes: &[u8]) -> Result<(), String> {
    let half = Path::new(path).with_extension("half");
    std::fs::write(&half, bytes)
        .and_then(|()| std::fs::rename(&half, path))
        .map_err(|error| format!("cannot write {path}: {error}"))
}
