//! Applies rulesets with the program `nft`.
//!
//! In: the text of a ruleset. Out: applied as one transaction, or nothing of it.
//! Never makes the text up.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A transaction takes 2 ms; the first one after a start, on a slow device whose cores and card are busy, seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a ruleset was not applied.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The program is not there.
    #[error("the program {} is missing; install the package nftables", .0.display())]
    Missing(PathBuf),
    /// The program cannot be run.
    #[error("running {}", program.display())]
    Run {
        /// Which.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The program does not end.
    #[error("{} did not answer within {} seconds", .0.display(), PATIENCE.as_secs())]
    Slow(PathBuf),
    /// The kernel or the program refused.
    #[error("nftables refused the rules: {message}{hint}")]
    Refused {
        /// What it said.
        message: String,
        /// What may be missing.
        hint: &'static str,
    },
}

/// Applies a ruleset in one transaction.
pub async fn apply(program: &Path, text: &str) -> Result<(), NftError> {
    let run = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => NftError::Missing(program.to_owned()),
        _ => NftError::Run { program: program.to_owned(), source },
    };
    let mut child = spawn(program).map_err(run)?;
    let stdin = child.stdin.take();
    let work = async {
        if let Some(mut stdin) = stdin {
            // A program that ended early says why below.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(PATIENCE, work).await {
        Err(_) => return Err(NftError::Slow(program.to_owned())),
        Ok(output) => output.map_err(run)?,
    };
    if output.status.success() {
        return Ok(());
    }
    let message: String =
        String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("no reason given").chars().take(300).collect();
    let hint = hint(&message);
    Err(NftError::Refused { message, hint })
}

/// Chains of others, as `family table chain`, that drop what is forwarded unless a rule of theirs allows it.
pub async fn dropping_chains(program: &Path) -> Vec<String> {
    let listing = Command::new(program).args(["list", "chains"]).stdin(Stdio::null()).kill_on_drop(true).output();
    match tokio::time::timeout(PATIENCE, listing).await {
        Ok(Ok(output)) => read_dropping(&String::from_utf8_lossy(&output.stdout)),
        _ => Vec::new(),
    }
}

fn read_dropping(listing: &str) -> Vec<String> {
    let (mut table, mut chain, mut found) = ("", "", Vec::new());
    for line in listing.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("table ") {
            table = name.trim_end_matches([' ', '{']);
        } else if let Some(name) = line.strip_prefix("chain ") {
            chain = name.trim_end_matches([' ', '{']);
        } else if line.contains("hook forward") && line.contains("policy drop") && !table.starts_with("ip6") {
            found.push(format!("{table} {chain}"));
        }
    }
    found
}

/// Starts the program; without a folder in its name, it is also looked for where root's programs are.
fn spawn(program: &Path) -> std::io::Result<tokio::process::Child> {
    let start = |program: &Path| {
        let mut command = Command::new(program);
        command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn()
    };
    match start(program) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && program.components().count() == 1 => {
            start(&Path::new("/usr/sbin").join(program)).or_else(|_| start(&Path::new("/sbin").join(program)))
        }
        other => other,
    }
}

fn hint(message: &str) -> &'static str {
    if message.contains("Operation not permitted") {
        "; this needs root"
    } else if message.contains("Operation not supported")
        || message.contains("No such file or directory")
        || message.contains("Protocol not supported")
    {
        "; this kernel may lack nf_tables, nft_chain_nat, nft_masq or nft_fib_inet"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firewalls_that_drop_what_is_forwarded_are_found() {
        let listing = "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n\
            table inet fw4 {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n\
            \tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n\
            table ip6 filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n";
        assert_eq!(read_dropping(listing), ["ip filter FORWARD", "inet fw4 forward"]);
        assert!(read_dropping("").is_empty());
    }
}
