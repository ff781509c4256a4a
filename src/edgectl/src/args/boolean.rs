//! Flags that are true or false, and how a command line is read and refused.
//!
//! In: the definitions of all verbs. Out: the same, whose boolean flags take a value as kubectl's do (`-A=false`,
//! `--wait=false`), and the exit code of a mistake. Never asks the server.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, CommandFactory, FromArgMatches};

use super::Arguments;

/// The exit code of a command line that is not understood.
const MISTAKE: u8 = 1;
/// The same of `diff`, whose 1 says that there are differences.
const MISTAKE_OF_DIFF: u8 = 2;

impl Arguments {
    /// Reads a command line, its first word the program's name.
    pub fn parse_words<W>(words: impl IntoIterator<Item = W>) -> Result<Arguments, clap::Error>
    where
        W: Into<OsString> + Clone,
    {
        let mut command = command();
        let mut matches = command.try_get_matches_from_mut(words)?;
        Arguments::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    }
}

/// The command line's definition. Of a flag that is given twice the last one counts.
pub fn command() -> Command {
    valued(Arguments::command()).args_override_self(true)
}

/// Says what is wrong with a command line, or prints the help that was asked for; the exit code.
pub fn tell<W>(refusal: &clap::Error, words: impl IntoIterator<Item = W>) -> ExitCode
where
    W: Into<OsString> + Clone,
{
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    if words.len() < 2 && refusal.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Asked for nothing it tells what it can do, and that is no mistake.
        print!("{refusal}");
        return ExitCode::SUCCESS;
    }
    let verbs = verbs(words);
    match mistake(refusal, &verbs) {
        Some(text) => eprint!("{text}"),
        // Where nobody reads it nothing is to be done about that.
        None => drop(refusal.print()),
    }
    if refusal.use_stderr() { ExitCode::from(code(&verbs)) } else { ExitCode::SUCCESS }
}

/// The verb in these words, and the verbs below it.
fn verbs(words: Vec<OsString>) -> Vec<String> {
    let matches = command().ignore_errors(true).try_get_matches_from(words).ok();
    let (mut verbs, mut at) = (Vec::new(), matches.as_ref());
    while let Some((verb, below)) = at.and_then(clap::ArgMatches::subcommand) {
        verbs.push(verb.to_owned());
        at = Some(below);
    }
    verbs
}

/// kubectl's words for a flag or a verb that there is not; of other mistakes more can be said than it says.
fn mistake(refusal: &clap::Error, verbs: &[String]) -> Option<String> {
    let context = |kind| match refusal.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let place = std::iter::once("edgectl").chain(verbs.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let said = match refusal.kind() {
        ErrorKind::UnknownArgument => {
            let flag = context(ContextKind::InvalidArg).filter(|word| word.starts_with('-'))?;
            if flag.starts_with("--") {
                format!("unknown flag: {flag}")
            } else {
                format!("unknown shorthand flag: '{}' in {flag}", flag.chars().nth(1)?)
            }
        }
        ErrorKind::InvalidSubcommand => {
            format!("unknown command \"{}\" for \"{place}\"", context(ContextKind::InvalidSubcommand)?)
        }
        _ => return None,
    };
    let meant = match refusal.get(ContextKind::SuggestedSubcommand).or(refusal.get(ContextKind::SuggestedArg)) {
        Some(ContextValue::String(one)) => format!("\n\nDid you mean this?\n\t{one}"),
        Some(ContextValue::Strings(many)) => format!("\n\nDid you mean this?\n\t{}", many.join("\n\t")),
        _ => String::new(),
    };
    Some(format!("error: {said}{meant}\nSee '{place} --help' for usage.\n"))
}

/// The exit code of a mistake.
fn code(verbs: &[String]) -> u8 {
    if verbs.first().is_some_and(|verb| verb == "diff") { MISTAKE_OF_DIFF } else { MISTAKE }
}

/// `true` and `false` in all the ways that Go reads them.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("it must be true or false".to_owned()),
    }
}

/// Flags take a value after `=` and only there: in `delete --wait pod a` the pod is none.
fn valued(command: Command) -> Command {
    command.mut_args(with_value).mut_subcommands(valued)
}

fn with_value(arg: Arg) -> Arg {
    // They would hide the verb's own flags in its help.
    let arg = if arg.is_global_set() { arg.help_heading("Options of every verb") } else { arg };
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        let default = arg.get_default_values().first().is_some_and(|value| value == "true");
        return arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .value_name("BOOL")
            .value_parser(boolean)
            .default_missing_value("true")
            .default_value(if default { "true" } else { "false" })
            .hide_default_value(!default);
    }
    let optional = arg.get_num_args().is_some_and(|range| range.min_values() == 0 && range.max_values() == 1);
    if optional && !arg.is_positional() { arg.require_equals(true) } else { arg }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Verb, read};

    #[track_caller]
    fn check(line: &str, seen: impl Fn(&Verb) -> bool, expected: bool) {
        let parsed = read(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_eq!(seen(&parsed.verb), expected, "{line}");
    }

    #[test]
    fn boolean_flags_take_a_value() {
        let everywhere = |verb: &Verb| matches!(verb, Verb::Get(get) if get.all_namespaces);
        check("edgectl get pods", everywhere, false);
        check("edgectl get -A pods", everywhere, true);
        check("edgectl get pods -A=true", everywhere, true);
        check("edgectl get pods -A=false", everywhere, false);
        check("edgectl get pods --all-namespaces=F", everywhere, false);
        check("edgectl get pods --all-namespaces --all-namespaces=false", everywhere, false);
        check("edgectl get pods -Aw", everywhere, true);
        let shown = |verb: &Verb| matches!(verb, Verb::Get(get) if get.show_labels && get.no_headers);
        check("edgectl get pods --show-labels=true --no-headers", shown, true);
    }

    #[test]
    fn flags_that_are_true_can_be_false() {
        let waits = |verb: &Verb| matches!(verb, Verb::Delete(delete) if delete.wait);
        check("edgectl delete pod a", waits, true);
        check("edgectl delete --wait=false pod a", waits, false);
        check("edgectl delete --wait pod a", waits, true);
        let named = |verb: &Verb| matches!(verb, Verb::Delete(delete) if delete.which.words == ["pod", "a"]);
        check("edgectl delete --wait pod a", named, true);
        check("edgectl delete --dry-run pod a", named, true);
        check("edgectl delete --cascade pod a", named, true);
        let terminal = |verb: &Verb| matches!(verb, Verb::Exec(exec) if exec.stdin && exec.tty);
        check("edgectl exec -it web -- sh", terminal, true);
        check("edgectl exec -i=true --tty=true web -- sh", terminal, true);
        check("edgectl exec -it=false web -- sh", terminal, false);
        let attaches = |verb: &Verb| matches!(verb, Verb::Run(run) if run.own.attach == Some(false));
        check("edgectl run web --image=a --attach=false", attaches, true);
    }

    #[test]
    fn mistakes_end_with_one() {
        for line in [
            "edgectl get pods --nonsense",
            "edgectl nonsense",
            "edgectl get pods -A=maybe",
            "edgectl scale deploy web",
            "edgectl backup",
            "edgectl rollout",
        ] {
            let refusal = read(line).err().unwrap_or_else(|| panic!("{line} is understood"));
            assert!(refusal.use_stderr(), "{line}");
            assert_eq!(code(&verbs(line.split(' ').map(OsString::from).collect())), MISTAKE, "{line}");
        }
        let verbs = verbs("edgectl diff --nonsense".split(' ').map(OsString::from).collect());
        assert_eq!(code(&verbs), MISTAKE_OF_DIFF);
    }

    #[test]
    fn unknown_flags_and_verbs_are_told_as_kubectl_does() {
        for (line, expected) in [
            ("edgectl get --nonsense", Some("error: unknown flag: --nonsense\nSee 'edgectl get --help' for usage.\n")),
            ("edgectl get -Z", Some("error: unknown shorthand flag: 'Z' in -Z\nSee 'edgectl get --help' for usage.\n")),
            ("edgectl zzz", Some("error: unknown command \"zzz\" for \"edgectl\"\nSee 'edgectl --help' for usage.\n")),
            (
                "edgectl rollout undone",
                Some(
                    "error: unknown command \"undone\" for \"edgectl rollout\"\n\nDid you mean this?\n\tundo\nSee \
                     'edgectl rollout --help' for usage.\n",
                ),
            ),
            ("edgectl exec web ls", None),
            ("edgectl get -A=maybe", None),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let refusal = read(line).unwrap_err();
            assert_eq!(mistake(&refusal, &verbs(words)).as_deref(), expected, "{line}");
        }
    }
}
