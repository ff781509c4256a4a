//! `options`: the flags that every verb takes.
//!
//! In: the definitions of the command line. Out: text. Never asks the server.

use std::fmt::Write;
use std::process::ExitCode;

use clap::{Args as _, Command};

use crate::args::Global;
use crate::error::Failure;

/// Runs the verb.
pub fn print() -> Result<ExitCode, Failure> {
    print!("{}", text());
    Ok(ExitCode::SUCCESS)
}

fn text() -> String {
    let mut text = "The following options can be passed to any command:\n".to_owned();
    let command = Global::augment_args(Command::new("options"));
    let mut flags: Vec<_> = command.get_arguments().collect();
    flags.sort_by_key(|flag| flag.get_long());
    for flag in flags {
        let Some(long) = flag.get_long() else { continue };
        let short = flag.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
        let default = match flag.get_action() {
            clap::ArgAction::SetTrue => "false",
            clap::ArgAction::Append => "[]",
            _ => "''",
        };
        let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = write!(text, "\n    {short}--{long}={default}:\n\t{help}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn every_flag_is_told_in_order() {
        let text = text();
        for words in [
            "    --as='':\n",
            "    --as-group=[]:\n",
            "    -n, --namespace='':\n",
            "--insecure-skip-tls-verify=false:\n",
        ] {
            assert!(text.contains(words), "no {words:?} in {text}");
        }
        assert!(text.find("--as=").unwrap() < text.find("--user=").unwrap());
    }
}
