//! A file in the user's editor.
//!
//! In: a text. Out: the text as the user left it. The file is the user's alone, and goes with the edit unless it is kept.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use kedge_api::decode::Limits;

use crate::error::Failure;

/// The editor where none is named.
const EDITOR: &str = "vi";
/// Names that are tried for a file: leftovers of earlier processes with this one's number are few.
const NAMES: u32 = 100;

/// What a user made of a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    Same,
    /// Nothing is left of it.
    Empty,
    /// Something else.
    Changed,
}

/// What became of `given`; comments are no content.
pub fn seen(given: &str, edited: &str) -> Seen {
    let after = content(edited);
    if content(given) == after {
        Seen::Same
    } else if after.trim().is_empty() {
        Seen::Empty
    } else {
        Seen::Changed
    }
}

/// The lines that are no comments.
pub fn content(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
}

/// The file.
pub struct Draft {
    path: PathBuf,
    kept: bool,
    /// What the user was given first.
    first: Option<String>,
}

impl Draft {
    /// An empty one that nobody else may read; `ending` tells editors what it is.
    pub fn new(ending: &str) -> Result<Draft, Failure> {
        let folder = std::env::temp_dir();
        let mut last = None;
        for number in 0..NAMES {
            let path = folder.join(format!("edgectl-edit-{}-{number}.{ending}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(_) => return Ok(Draft { path, kept: false, first: None }),
                Err(error) => last = Some(error),
            }
        }
        let why = last.map_or_else(String::new, |error| error.to_string());
        Err(Failure::said(format!("cannot make a file to edit in {}: {why}", folder.display())))
    }

    /// Lets the user edit a text; as it is afterwards.
    pub fn edit(&mut self, text: &str) -> Result<String, Failure> {
        self.first.get_or_insert_with(|| text.to_owned());
        let fail = |source| Failure::Read { path: self.path.clone(), source };
        // Editors may have put another file in this one's place, so it is opened anew each time.
        let mut file = OpenOptions::new().write(true).truncate(true).open(&self.path).map_err(fail)?;
        file.write_all(text.as_bytes()).map_err(fail)?;
        drop(file);
        let named = |key: &str| std::env::var(key).ok().filter(|text| !text.trim().is_empty());
        let editor = named("KUBE_EDITOR").or_else(|| named("EDITOR")).unwrap_or_else(|| EDITOR.to_owned());
        open(&editor, &self.path)?;
        let mut edited = String::new();
        let limit = Limits::MANIFEST.bytes as u64;
        File::open(&self.path).and_then(|file| file.take(limit).read_to_string(&mut edited)).map_err(fail)?;
        Ok(edited)
    }

    /// Whether the file has anything that the user wrote. What cannot be read as text is no text of ours.
    pub fn holds_changes(&self) -> bool {
        let Some(first) = &self.first else { return false };
        match std::fs::read(&self.path) {
            Ok(bytes) => !std::str::from_utf8(&bytes).is_ok_and(|text| seen(first, text) != Seen::Changed),
            Err(_) => false,
        }
    }

    /// Leaves the file where it is.
    pub fn keep(&mut self) -> &Path {
        self.kept = true;
        &self.path
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // Of a file that is gone already nothing is left to be removed.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// An editor may be a command with words of its own: `code --wait`.
fn open(editor: &str, path: &Path) -> Result<(), Failure> {
    let done = Command::new("sh").arg("-c").arg(format!("{editor} \"$@\"")).arg("sh").arg(path).status();
    match done {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::said(format!("there was a problem with the editor \"{editor}\""))),
        Err(error) => Err(Failure::said(format!("cannot start the editor \"{editor}\": {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn comments_are_no_change() {
        for (edited, expected) in [
            ("# head\na: 1\n", Seen::Same),
            ("# other\n# words\na: 1", Seen::Same),
            ("# head\na: 2\n", Seen::Changed),
            ("# head\n", Seen::Empty),
            ("\n", Seen::Empty),
        ] {
            assert_eq!(seen("# head\na: 1\n", edited), expected, "{edited:?}");
        }
    }

    #[test]
    fn a_draft_knows_whether_the_user_wrote_in_it() {
        let mut draft = Draft::new("yaml").unwrap();
        assert!(!draft.holds_changes());
        draft.first = Some("# head\na: 1\n".to_owned());
        for (left, expected) in [
            (&b"# head\na: 1\n"[..], false),
            (b"# head\n# reason\na: 1\n", false),
            (b"", false),
            (b"# head\na: 2\n", true),
            (b"\xff", true),
        ] {
            std::fs::write(&draft.path, left).unwrap();
            assert_eq!(draft.holds_changes(), expected, "{left:?}");
        }
    }

    #[test]
    fn a_draft_is_the_users_alone_and_goes() {
        let draft = Draft::new("yaml").unwrap();
        let path = draft.path.clone();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        open("sed -i s/^$/x/", &path).unwrap();
        assert!(open("false", &path).unwrap_err().to_string().contains("\"false\""));
        drop(draft);
        assert!(!path.exists());
        let mut draft = Draft::new("yaml").unwrap();
        let path = draft.keep().to_path_buf();
        drop(draft);
        assert!(path.exists());
        std::fs::remove_file(path).unwrap();
    }
}
