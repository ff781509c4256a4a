//! What a program said and how it ended.
//!
//! In: a finished program. Out: its words and its exit code, and checks that fail with all of them. Or a program that
//! goes on, which ends with the test.

use std::process::{Child, Command};

/// The end of a program.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command line.
    pub line: String,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
}

impl Output {
    /// Runs a program to its end.
    #[track_caller]
    pub fn of(command: &mut Command) -> Output {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let done = command.output().unwrap_or_else(|e| panic!("cannot run {line}: {e}"));
        Output {
            line,
            stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
            code: done.status.code().unwrap_or(-1),
        }
    }

    /// Its standard output, if it ended well.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.code == 0, "{self}");
        self.stdout
    }

    /// Its standard error, if it ended badly and every word is in there.
    #[track_caller]
    pub fn fails(self, words: &[&str]) -> String {
        assert!(self.code != 0, "it should have failed: {self}");
        for word in words {
            assert!(self.stderr.contains(word), "standard error does not say {word:?}: {self}");
        }
        self.stderr
    }

    /// The output if it ended well, everything as one text if not: for `until`.
    pub fn seen(self) -> Result<String, String> {
        if self.code == 0 { Ok(self.stdout) } else { Err(self.to_string()) }
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` ended with {}\n--- stdout\n{}--- stderr\n{}", self.line, self.code, self.stdout, self.stderr)
    }
}

/// A program that goes on until the test ends.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
