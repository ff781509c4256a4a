//! Who a container runs as, by the image's own lists of users and groups.
//!
//! In: unpacked layers and `user[:group]`. Out: numbers.
//! Never reads this machine's lists.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use kedge_api::machine::User;

use crate::merged::Merged;

/// Lists longer than this are not read on: 10,000 users of 100 bytes.
const MAX_LIST: u64 = 1 << 20;

/// Why a user cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No such user.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    /// No such group.
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
    /// A number that is none.
    #[error("uids and gids must be in range 0-2147483647, but the image says {0:?}")]
    Range(String),
    /// The layers cannot be read.
    #[error("reading the image's users")]
    Read(#[from] std::io::Error),
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
}

/// Resolves `user[:group]`; empty is root.
pub fn resolve(layers: &[PathBuf], wanted: &str) -> Result<User, UserError> {
    let merged = Merged::open(layers).map_err(std::io::Error::from)?;
    let passwd = lines(&merged, "/etc/passwd")?;
    let group = lines(&merged, "/etc/group")?;
    pick(&passwd, &group, wanted)
}

/// Decides by the lists' lines.
pub(crate) fn pick(passwd: &[String], group: &[String], wanted: &str) -> Result<User, UserError> {
    let (user, wanted_group) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|g| !g.is_empty())),
        None => (wanted, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = number(user)?;
    let field = |line: &str, n: usize| line.split(':').nth(n).map(str::to_owned);
    let entry = passwd.iter().find(|line| match number {
        Some(uid) => field(line, 2).and_then(|f| f.parse().ok()) == Some(uid),
        None => field(line, 0).as_deref() == Some(user),
    });
    let uid = match (number, entry) {
        (Some(uid), _) => uid,
        (None, Some(line)) => {
            field(line, 2).and_then(|f| f.parse().ok()).ok_or_else(|| UserError::NoUser(user.to_owned()))?
        }
        (None, None) => return Err(UserError::NoUser(user.to_owned())),
    };
    let name = entry.and_then(|line| field(line, 0));
    if let Some(wanted) = wanted_group {
        let gid = match self::number(wanted)? {
            Some(gid) => gid,
            None => group
                .iter()
                .find(|line| field(line, 0).as_deref() == Some(wanted))
                .and_then(|line| field(line, 2)?.parse().ok())
                .ok_or_else(|| UserError::NoGroup(wanted.to_owned()))?,
        };
        // A group that is named leaves no others, as runtimes do it.
        return Ok(User { uid, gid, groups: Vec::new() });
    }
    let gid = entry.and_then(|line| field(line, 3)?.parse().ok()).unwrap_or(0);
    let member = |line: &&String| {
        name.as_ref().is_some_and(|name| field(line, 3).is_some_and(|m| m.trim().split(',').any(|m| m == name)))
    };
    let mut groups: Vec<u32> = group.iter().filter(member).filter_map(|line| field(line, 2)?.parse().ok()).collect();
    groups.sort_unstable();
    groups.dedup();
    Ok(User { uid, gid, groups })
}

/// A number within the kernel's range, `None` if it is a name.
fn number(text: &str) -> Result<Option<u32>, UserError> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(n) if n <= i32::MAX as u32 => Ok(Some(n)),
        _ => Err(UserError::Range(text.to_owned())),
    }
}

fn lines(merged: &Merged, path: &str) -> Result<Vec<String>, UserError> {
    let Some(file) = merged.open_file(path).map_err(std::io::Error::from)? else { return Ok(Vec::new()) };
    let mut lines = Vec::new();
    for line in BufReader::new(file.take(MAX_LIST)).split(b'\n') {
        lines.push(String::from_utf8_lossy(&line?).into_owned());
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wanted: &str, expected: Option<(u32, u32, &[u32])>) {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let passwd = lines("root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/:/bin/false\nbad\n7up:x:700:70::/:\n");
        let group = lines("root:x:0:\nweb:x:33:\naudio:x:29:web,root\nvideo:x:44:web\n");
        let got = pick(&passwd, &group, wanted).ok();
        assert_eq!(got, expected.map(|(uid, gid, groups)| User { uid, gid, groups: groups.to_vec() }), "{wanted}");
    }

    #[test]
    fn names_and_numbers_are_found_in_the_image() {
        check("", Some((0, 0, &[29])));
        check("web", Some((33, 33, &[29, 44])));
        check("33", Some((33, 33, &[29, 44])));
        check("1000", Some((1000, 0, &[])));
        check("web:audio", Some((33, 29, &[])));
        check("web:12", Some((33, 12, &[])));
        check("1000:", Some((1000, 0, &[])));
        check("7up", Some((700, 70, &[])));
        check("nobody", None);
        check("web:nogroup", None);
        check("4294967295", None);
    }
}
