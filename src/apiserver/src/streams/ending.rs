//! How sessions end, as clients read it.
//!
//! In: an end. Out: the Status that the last channel carries.

use serde_json::{Value, json};

use super::SessionEnd;

/// The Status of an end; `attached` to the container's own process rather than running a command.
pub fn status(end: &SessionEnd, attached: bool) -> Value {
    match end {
        SessionEnd::Exited(0) => json!({"metadata": {}, "status": "Success"}),
        SessionEnd::Exited(code) => json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        SessionEnd::Failed(why) => {
            let act = if attached { "attaching to container" } else { "executing command in container" };
            let why = format!("error {act}: {why}");
            json!({
                "metadata": {},
                "status": "Failure",
                "message": format!("Internal error occurred: {why}"),
                "reason": "InternalError",
                "details": {"causes": [{"message": why}]},
                "code": 500,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_as_kubectl_reads_it() {
        assert_eq!(status(&SessionEnd::Exited(0), false)["status"], "Success");
        let failed = status(&SessionEnd::Exited(3), false);
        assert_eq!(failed["reason"], "NonZeroExitCode");
        assert_eq!(failed["details"]["causes"][0]["message"], "3");
        let lost = status(&SessionEnd::Failed("x".into()), true);
        assert_eq!(lost["message"], "Internal error occurred: error attaching to container: x");
    }
}
