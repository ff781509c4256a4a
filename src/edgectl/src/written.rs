//! What a verb says of the objects that it wrote.
//!
//! In: objects as stored, and those that failed. Out: a line each, or all of them in a format; the exit code. Never
//! writes an object.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::args::DryRun;
use crate::error::Failure;
use crate::output::{self, Format};
use crate::resource::Resource;

/// Says it as it comes; formats are printed at the end.
pub struct Written {
    format: Option<Format>,
    dry_run: DryRun,
    objects: Vec<Value>,
    failed: bool,
}

impl Written {
    /// Nothing is written yet.
    pub fn new(output: Option<&str>, dry_run: DryRun) -> Result<Written, Failure> {
        Ok(Written { format: Format::of_write(output)?, dry_run, objects: Vec::new(), failed: false })
    }

    /// An object was written, which `verb` tells in one word.
    pub fn done(&mut self, resource: &Resource, object: Value, verb: &str) {
        let named = resource.named(object["metadata"]["name"].as_str().unwrap_or(""));
        match &self.format {
            None => println!("{named} {verb}{}", dry(self.dry_run)),
            Some(Format::Name) => println!("{named}"),
            Some(_) => self.objects.push(object),
        }
    }

    /// One was not, and why, with its line end.
    pub fn failed(&mut self, words: &str) {
        self.failed = true;
        eprint!("{words}");
    }

    /// Prints what waits to be printed.
    pub fn end(self) -> Result<ExitCode, Failure> {
        if let Some(format) = self.format.filter(|f| *f != Format::Name && !self.objects.is_empty()) {
            output::print(&format, &as_list(self.objects), "")?;
        }
        Ok(if self.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// One object as it is, several as a list.
pub fn as_list(mut objects: Vec<Value>) -> Value {
    match objects.len() {
        1 => objects.remove(0),
        _ => json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": objects}),
    }
}

/// What follows a sentence in a dry run.
pub fn dry(run: DryRun) -> &'static str {
    match run {
        DryRun::None => "",
        DryRun::Client => " (dry run)",
        DryRun::Server => " (server dry run)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_itself_and_several_are_a_list() {
        assert_eq!(as_list(vec![json!({"kind": "Pod"})]), json!({"kind": "Pod"}));
        assert_eq!(as_list(vec![json!(1), json!(2)])["items"], json!([1, 2]));
    }
}
