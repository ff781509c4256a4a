//! `exec` and `attach`: a command in a container, or its own process.
//!
//! In: a pod, a command, standard input. Out: the output and the exit code. Never interprets the bytes.

use std::process::ExitCode;

use kedge_client::ResourcePath;
use serde_json::Value;

use crate::args::{Attach, Exec};
use crate::error::Failure;
use crate::logs::{container, pod_of};
use crate::remote::{self, Ended, Input};
use crate::session::Session;
use crate::terminal::{self, Raw};

/// What is wanted of standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    stdin: bool,
    tty: bool,
}

impl Wanted {
    /// What can be had: a terminal needs input, and that must be one.
    fn possible(self, is_terminal: bool) -> Wanted {
        Wanted { stdin: self.stdin, tty: self.tty && self.stdin && is_terminal }
    }
}

/// Runs the verb `exec`.
pub async fn run(session: Session, args: Exec) -> Result<ExitCode, Failure> {
    let pod = pod_of(&session, &args.target).await?;
    refuse_ended(&pod, "exec into")?;
    let container = container(&pod, args.container.as_ref())?;
    let asked = Wanted { stdin: args.stdin, tty: args.tty };
    let wanted = asked.possible(terminal::is_terminal());
    if asked.tty && asked.stdin && !wanted.tty && !args.quiet {
        eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
    }
    let target = target(&session.namespace, &pod, "exec", &container, wanted, &args.command);
    talk(&session, &target, wanted, false).await?.exit()
}

/// Runs the verb `attach`.
pub async fn attach(session: Session, args: Attach) -> Result<ExitCode, Failure> {
    let pod = pod_of(&session, &args.target.join("/")).await?;
    refuse_ended(&pod, "attach")?;
    let container = container(&pod, args.container.as_ref())?;
    let wanted = Wanted { stdin: args.stdin, tty: args.tty };
    join(&session, &pod, &container, (wanted.stdin, wanted.tty), args.quiet).await?.exit()
}

/// Joins a container's own process; what is wanted is (standard input, a terminal).
pub async fn join(
    session: &Session,
    pod: &Value,
    container: &str,
    (stdin, tty): (bool, bool),
    quiet: bool,
) -> Result<Ended, Failure> {
    let lists = ["containers", "ephemeralContainers", "initContainers"].map(|list| pod["spec"][list].as_array());
    let spec = lists.into_iter().flatten().flatten().find(|c| c["name"] == container).cloned().unwrap_or_default();
    let has_terminal = spec["tty"] == true;
    if tty && !has_terminal && !quiet {
        eprintln!("error: Unable to use a TTY - container {container} did not allocate one");
    }
    // A container with a terminal has one output, whatever was asked for.
    let wanted = Wanted { stdin, tty: has_terminal };
    let raw = wanted.possible(terminal::is_terminal());
    if !quiet {
        eprintln!(
            "All commands and output from this session will be recorded in container logs, including credentials and \
             sensitive information passed through the command prompt."
        );
        eprintln!("If you don't see a command prompt, try pressing enter.");
    }
    let target = target(&session.namespace, pod, "attach", container, wanted, &[]);
    let ended = talk(session, &target, raw, true).await?;
    let name = pod["metadata"]["name"].as_str().unwrap_or("");
    let restarts = pod["spec"]["restartPolicy"] == "Always";
    if !quiet && raw.tty && spec["stdin"] == true && restarts && matches!(ended, Ended::Success) {
        println!(
            "Session ended, resume using 'edgectl attach {name} -c {container} -i -t' command when the pod is running"
        );
    }
    Ok(ended)
}

async fn talk(session: &Session, target: &str, wanted: Wanted, redraw: bool) -> Result<Ended, Failure> {
    // Held until the end: dropping it puts the terminal back.
    let _raw = if wanted.tty { Raw::enter() } else { None };
    let sizes = wanted.tty.then(|| terminal::sizes(redraw));
    let input = if wanted.stdin { Input::Standard } else { Input::None };
    remote::run(session, target, input, sizes, remote::to_standard).await
}

fn target(namespace: &str, pod: &Value, sub: &str, container: &str, wanted: Wanted, command: &[String]) -> String {
    let mut query = vec![("container", container.to_owned()), ("stdout", "true".to_owned())];
    if wanted.stdin {
        query.push(("stdin", "true".to_owned()));
    }
    query.push((if wanted.tty { "tty" } else { "stderr" }, "true".to_owned()));
    query.extend(command.iter().map(|word| ("command", word.clone())));
    let name = pod["metadata"]["name"].as_str().unwrap_or("");
    ResourcePath::core("pods").namespace(namespace).name(name).subresource(sub).with_query(&query)
}

fn refuse_ended(pod: &Value, act: &str) -> Result<(), Failure> {
    match pod["status"]["phase"].as_str() {
        Some(phase @ ("Succeeded" | "Failed")) => {
            Err(Failure::said(format!("cannot {act} a container in a completed pod; current phase is {phase}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_terminal_needs_input_that_is_one() {
        for (stdin, tty, there, expected) in [
            (true, true, true, true),
            (true, true, false, false),
            (false, true, true, false),
            (true, false, true, false),
        ] {
            assert_eq!(Wanted { stdin, tty }.possible(there), Wanted { stdin, tty: expected });
        }
    }

    #[test]
    fn the_query_says_what_is_wanted() {
        let pod = json!({"metadata": {"name": "web"}});
        let words = ["ls".to_owned(), "-l a".to_owned()];
        assert_eq!(
            target("default", &pod, "exec", "c", Wanted { stdin: true, tty: true }, &words),
            "/api/v1/namespaces/default/pods/web/exec?container=c&stdout=true&stdin=true&tty=true&command=ls&command=-l%20a"
        );
        assert_eq!(
            target("default", &pod, "attach", "c", Wanted { stdin: false, tty: false }, &[]),
            "/api/v1/namespaces/default/pods/web/attach?container=c&stdout=true&stderr=true"
        );
    }
}
