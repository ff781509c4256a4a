//! The options a client gave with a write, as webhooks and policies are shown them.
//!
//! In: what stood in the query and, of a deletion, the body. Out: `CreateOptions`, `UpdateOptions` or `DeleteOptions`
//! of what is done: a patch updates, or creates. Nothing that the client did not say, and no `force`, is in it.

use serde_json::{Value, json};

use super::Operation;
use crate::registry::delete::DeleteOptions;

/// What the client gave; empty where it gave nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given<'a> {
    /// `fieldManager`.
    pub manager: &'a str,
    /// `fieldValidation`.
    pub validation: &'a str,
    /// The options of a deletion.
    pub deletion: Option<&'a DeleteOptions>,
}

impl Given<'_> {
    /// The options object of an operation; null for a stream, whose options are its object.
    pub fn options(&self, operation: Operation, dry_run: bool) -> Value {
        let kind = match operation {
            Operation::Create => "CreateOptions",
            Operation::Update => "UpdateOptions",
            Operation::Delete => "DeleteOptions",
            Operation::Connect => return Value::Null,
        };
        let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        if dry_run {
            options["dryRun"] = json!(["All"]);
        }
        if operation == Operation::Delete {
            self.deletion.into_iter().for_each(|deletion| deletion.show(&mut options));
            return options;
        }
        for (key, text) in [("fieldManager", self.manager), ("fieldValidation", self.validation)] {
            if !text.is_empty() {
                options[key] = json!(text);
            }
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    #[track_caller]
    fn check(operation: Operation, given: Given<'_>, dry_run: bool, mut expected: Value) {
        if expected.is_object() {
            expected["apiVersion"] = json!("meta.k8s.io/v1");
        }
        assert_eq!(given.options(operation, dry_run), expected);
    }

    #[test]
    fn what_was_given_is_shown_and_nothing_else() {
        use Operation::{Connect, Create, Delete, Update};
        let given = Given { manager: "me", validation: "Strict", deletion: None };
        check(Create, Given::default(), false, json!({"kind": "CreateOptions"}));
        let both = json!({"kind": "CreateOptions", "fieldManager": "me", "fieldValidation": "Strict"});
        check(Create, given, false, both);
        let dry =
            json!({"kind": "UpdateOptions", "fieldManager": "me", "fieldValidation": "Strict", "dryRun": ["All"]});
        check(Update, given, true, dry);
        check(Connect, given, false, Value::Null);
        let body = json!({"gracePeriodSeconds": 5, "propagationPolicy": "Orphan", "preconditions": {"uid": "u"}});
        let deletion = crate::registry::delete::options(&Query::parse(""), Some(&body)).unwrap();
        let mut expected = body.clone();
        expected["kind"] = json!("DeleteOptions");
        check(Delete, Given { deletion: Some(&deletion), ..given }, false, expected);
        let old = json!({"orphanDependents": true});
        let deletion = crate::registry::delete::options(&Query::parse(""), Some(&old)).unwrap();
        let expected = json!({"kind": "DeleteOptions", "orphanDependents": true, "dryRun": ["All"]});
        check(Delete, Given { deletion: Some(&deletion), ..given }, true, expected);
    }
}
