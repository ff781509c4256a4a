//! The user's hand: kubectl's words, flags, output and exit codes for a device or a fleet.
//!
//! In: a command line, manifests. Out: data on standard output, talk on standard error, an exit code.
//! Never links the engines of the daemon: it is a client like any other.

#[macro_use]
mod screen;

mod access;
mod apply;
mod args;
mod backup;
mod completion;
mod config;
mod copy;
mod create;
mod debug;
mod delete;
mod describe;
mod device;
mod diff;
mod discover;
mod drain;
mod dump;
mod edit;
mod elsewhere;
mod error;
mod events;
mod exec;
mod explain;
mod expose;
#[cfg(test)]
mod fake;
mod follow;
mod forward;
mod get;
#[cfg(test)]
mod hostile;
mod kustomize;
mod label;
mod logs;
mod manifest;
mod nodes;
mod options;
mod output;
mod patch;
mod proxy;
mod remote;
mod replace;
#[cfg(test)]
mod requests;
mod resource;
mod rollout;
mod run;
mod scale;
mod session;
mod set;
mod tar;
mod terminal;
mod top;
mod version;
mod wait;
mod written;

use std::process::ExitCode;

use args::{Arguments, Verb};
use error::Failure;
use session::Session;

/// The exit code of a program whose reader has gone: 128 and the number of SIGPIPE.
const NOBODY_READS: u8 = 141;

fn main() -> ExitCode {
    end_with_the_reader();
    let arguments = match Arguments::parse_words(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(refusal) => return args::tell(&refusal, std::env::args_os()),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(run(arguments)) {
        Ok(code) => code,
        Err(Failure::Print(why)) if why.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::from(NOBODY_READS),
        Err(failure) => {
            eprint!("{}", failure.words());
            ExitCode::FAILURE
        }
    };
    // A thread that waits for standard input cannot be cancelled; it must not keep the process.
    runtime.shutdown_background();
    code
}

/// Whoever reads what is printed may have read enough, as `head` has: that is the end, and no fault to tell of.
fn end_with_the_reader() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str().is_some_and(|words| words.contains("Broken pipe")) {
            std::process::exit(NOBODY_READS.into());
        }
        tell(panic);
    }));
}

async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { mut global, verb } = arguments;
    if verb.takes_subjects() {
        // There `--user` names a subject and not a user of the kubeconfig, as with kubectl.
        global.user = None;
    }
    if let Verb::Completion { shell } = verb {
        return completion::print(shell);
    }
    if matches!(verb, Verb::Options) {
        return options::print();
    }
    if let Verb::Config(config) = verb {
        return config::run(&global, config);
    }
    if let Verb::Kustomize(args) = verb {
        return kustomize::run(&args);
    }
    // Whoever drains a node wants to hear which budget forbids it.
    let session = Session::open(&global, matches!(verb, Verb::Drain(_)));
    act(session, verb).await
}

/// Runs a verb that may ask a server.
async fn act(session: impl Future<Output = Result<Session, Failure>>, verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Get(a) => get::run(session.await?, a).await,
        Verb::Describe(a) => describe::run(session.await?, a).await,
        Verb::Apply(a) => apply::run(session.await?, a).await,
        Verb::Create(a) => create::run(session.await?, a).await,
        Verb::Patch(a) => patch::run(session.await?, a).await,
        Verb::Replace(a) => replace::run(session.await?, a).await,
        Verb::Edit(a) => edit::run(session.await?, a).await,
        Verb::Diff(a) => diff::run(session.await, a).await,
        Verb::Wait(a) => wait::run(session.await?, a).await,
        Verb::Delete(a) => delete::run(session.await?, a).await,
        Verb::Logs(a) => logs::run(session.await?, a).await,
        Verb::Exec(a) => exec::run(session.await?, a).await,
        Verb::Attach(a) => exec::attach(session.await?, a).await,
        Verb::Run(a) => run::run(session.await?, a).await,
        Verb::Debug(a) => debug::run(session.await?, a).await,
        Verb::Cp(a) => copy::run(session.await?, a).await,
        Verb::PortForward(a) => forward::run(session.await?, a).await,
        Verb::Proxy(a) => proxy::run(session.await?, a).await,
        Verb::Scale(a) => scale::run(session.await?, a).await,
        Verb::Rollout(a) => rollout::run(session.await?, a).await,
        Verb::Expose(a) => expose::expose(session.await?, a).await,
        Verb::Autoscale(a) => expose::autoscale(session.await?, a).await,
        Verb::Set(a) => set::run(session.await?, a).await,
        Verb::Taint(a) => nodes::taint(session.await?, a).await,
        Verb::Cordon(a) => nodes::cordon(session.await?, a, true).await,
        Verb::Uncordon(a) => nodes::cordon(session.await?, a, false).await,
        Verb::Drain(a) => drain::run(session.await?, a).await,
        Verb::Label(a) => label::run(session.await?, a, label::Which::Labels).await,
        Verb::Annotate(a) => label::run(session.await?, a, label::Which::Annotations).await,
        Verb::Image(a) => device::images(session.await?, a).await,
        Verb::Plugin(a) => device::plugins(session.await?, a).await,
        Verb::Auth(a) => access::auth(session.await?, a).await,
        Verb::Certificate(a) => access::certificate(session.await?, a).await,
        Verb::Backup(a) => backup::backup(session.await?, a).await,
        Verb::Restore(a) => backup::restore(session.await?, a).await,
        Verb::ApiResources(a) => discover::resources(session.await?, a).await,
        Verb::ApiVersions => discover::versions(session.await?).await,
        Verb::ClusterInfo(a) => match a.what {
            None => discover::cluster_info(session.await?).await,
            Some(args::ClusterInfoWhat::Dump(a)) => dump::run(session.await?, a).await,
        },
        Verb::Top(a) => top::run(session.await?, a).await,
        Verb::Explain(a) => explain::run(session.await?, a).await,
        Verb::Events(a) => events::run(session.await?, a).await,
        Verb::Version(a) => version::run(session.await.ok(), a).await,
        Verb::Completion { .. } | Verb::Config(_) | Verb::Kustomize(_) | Verb::Options => Ok(ExitCode::SUCCESS),
    }
}
