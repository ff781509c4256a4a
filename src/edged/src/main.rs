//! The daemon: configuration, wiring, supervision. Decides nothing.
//!
//! In: a command line, a configuration, a data directory. Out: one device: API, scheduler, controllers, node.

mod accounts;
mod args;
mod cleanup;
mod config;
mod device;
mod kubelet;
mod layout;
mod plugins;
mod ports;
mod restore;
mod run;
mod settle;
mod streams;
mod system_logs;
mod uploads;
mod usage;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Verb};
use config::{Config, Overrides};
use kedge_runtime::zygote::Zygote;
use layout::{Layout, Seat};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Threads of the runtime: two serve the API of a gateway; what blocks has threads of its own.
const WORKERS: usize = 2;
/// Threads for what blocks: reconciles, lists, unpacking. They end when idle.
const BLOCKING: usize = 64;

fn main() -> ExitCode {
    // The zygote must be born before any thread, and it must stay small: nothing comes before it.
    let zygote = match kedge_runtime::zygote::fork_first() {
        Ok(zygote) => zygote,
        Err(error) => {
            eprintln!("error: cannot make the process that starts containers: {error}");
            return ExitCode::FAILURE;
        }
    };
    few_arenas();
    match act(Arguments::parse(), zygote) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

fn act(arguments: Arguments, zygote: Zygote) -> Result<(), Fault> {
    match arguments.verb {
        Some(Verb::Cleanup { data_dir, config }) => {
            drop(zygote);
            if !data_dir.exists() {
                let folder = data_dir.display();
                return Err(format!(
                    "there is no data directory {folder}: nothing was cleaned up; name that of the daemon"
                )
                .into());
            }
            let layout = Layout::of(&data_dir)?;
            let _seat = Seat::take(&layout)?;
            let config = cleanup::configuration(&layout, config.as_deref())?;
            start_log(&config)?;
            runtime()?.block_on(cleanup::everything(&layout, &config))
        }
        Some(Verb::Restore { file, data_dir, keys }) => {
            drop(zygote);
            let layout = Layout::of(&data_dir)?;
            let _seat = Seat::take(&layout)?;
            start_log(&Config::default())?;
            runtime()?.block_on(restore::stopped(&layout, &file, keys))
        }
        None => {
            let run = arguments.run;
            let overrides = Overrides { listen: run.listen, node_name: run.node_name };
            let config = Config::load(run.config.as_deref(), &overrides)?;
            start_log(&config)?;
            let layout = Layout::of(&run.data_dir)?;
            let _seat = Seat::take(&layout)?;
            let file = run.config.as_deref().map(Path::to_path_buf);
            let runtime = runtime()?;
            let done = runtime.block_on(run::daemon(layout, config, file, overrides, zygote));
            // Threads that still block (a pull, a backup) must not keep the process.
            runtime.shutdown_background();
            done
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Fault> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(WORKERS).max_blocking_threads(BLOCKING).enable_all().thread_name("edged");
    Ok(builder.build()?)
}

fn start_log(config: &Config) -> Result<(), Fault> {
    let filter =
        log_filter(&config.log.level).map_err(|why| format!("the configuration was not accepted: log.level: {why}"))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(filter).with(lines).init();
    Ok(())
}

/// Levels by target, as in `info,kedge_node=debug`. A word that is neither would be taken for a target of its own, and
/// nothing else would be logged.
fn log_filter(text: &str) -> Result<Targets, String> {
    for part in text.split(',').map(str::trim) {
        if part.is_empty() || !part.contains('=') && part.parse::<LevelFilter>().is_err() {
            return Err(format!(
                "{part:?} is no level: write off, error, warn, info, debug or trace, and TARGET=LEVEL for single targets"
            ));
        }
    }
    text.parse::<Targets>().map_err(|error| error.to_string())
}

/// glibc gives each thread an arena of its own; on a small device two keep memory together.
fn few_arenas() {
    // SAFETY: called before any other thread exists; it sets one number of the allocator.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 2) };
}

/// An error and its sources in one line, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_level() {
        for (text, accepted) in [
            ("info", true),
            ("off", true),
            ("warn,kedge_node=debug", true),
            ("kedge_node=debug, error", true),
            ("loud", false),
            ("", false),
            ("info,kedge_node", false),
            ("kedge_node=loud", false),
        ] {
            assert_eq!(log_filter(text).is_ok(), accepted, "{text:?}");
        }
        assert!(log_filter("loud").unwrap_err().contains("\"loud\" is no level"));
    }
}
