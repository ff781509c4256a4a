//! Queries of log, exec and attach as options.
//!
//! In: a query. Out: options, or which parameter is wrong.

use kedge_api::Object;
use kedge_api::field::{FieldError, Path};
use kedge_api::kinds::{Kind, Sub};
use kedge_api::status::Status;
use serde_json::json;

use super::{ExecOptions, LogOptions, LogSource};
use crate::query::Query;

/// Options of the log of the pod of that name. All that is wrong with them is told at once.
pub fn log(query: &Query, pod: &str) -> Result<LogOptions, Status> {
    let mut faults = Vec::new();
    let mut number = |name: &'static str, least: i64| {
        let Some(text) = query.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        let number: i64 = text
            .parse()
            .map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))?;
        if number < least {
            let rule = if least == 0 { "must be greater than or equal to 0" } else { "must be greater than 0" };
            faults.push(FieldError::invalid(&Path::root(name), number, rule));
        }
        Ok::<_, Status>(Some(number.unsigned_abs()))
    };
    let tail_lines = number("tailLines", 0)?;
    let limit_bytes = number("limitBytes", 1)?;
    let since_time = query.get("sinceTime").filter(|text| !text.is_empty());
    // With both, how many seconds is of no matter.
    let since_seconds = number("sinceSeconds", if since_time.is_some() { i64::MIN } else { 1 })?;
    if let Some(text) = since_time.filter(|text| kedge_api::clock::parse(text).is_none()) {
        return Err(Status::bad_request(format!(
            "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""
        )));
    }
    if since_seconds.is_some() && since_time.is_some() {
        let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        faults.push(FieldError::forbidden(&Path::root(""), why));
    }
    let stream = match query.get("stream") {
        None | Some("" | "All") => None,
        Some("Stdout") => Some(LogSource::Stdout),
        Some("Stderr") => Some(LogSource::Stderr),
        Some(other) => {
            faults.push(FieldError::not_supported(&Path::root("stream"), other, &["All", "Stderr", "Stdout"]));
            None
        }
    };
    if tail_lines.is_some() && !matches!(query.get("stream"), None | Some("" | "All")) {
        let why = "`tailLines` and specific `stream` are mutually exclusive for now";
        faults.push(FieldError::forbidden(&Path::root(""), why));
    }
    if !faults.is_empty() {
        return Err(Status::invalid("", "PodLogOptions", pod, &faults));
    }
    Ok(LogOptions {
        follow: query.flag("follow"),
        previous: query.flag("previous"),
        timestamps: query.flag("timestamps"),
        tail_lines,
        since_seconds,
        since_time: since_time.map(str::to_owned),
        limit_bytes,
        stream,
    })
}

/// Options of an exec (which has a command) or attach.
pub fn exec(query: &Query, command: bool) -> Result<ExecOptions, Status> {
    let on = |name: &str| query.flag(name);
    let options = ExecOptions {
        command: if command { query.all("command").map(str::to_owned).collect() } else { Vec::new() },
        stdin: on("stdin"),
        stdout: on("stdout"),
        // A terminal has one output.
        stderr: on("stderr") && !on("tty"),
        tty: on("tty"),
    };
    if command && options.command.is_empty() {
        return Err(Status::bad_request("you must specify at least one command for the container"));
    }
    if !options.stdin && !options.stdout && !options.stderr {
        return Err(Status::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    Ok(options)
}

/// What a query asks of a stream, as an object of the subresource's kind: what admission sees.
pub fn object(kind: &Kind, sub: Sub, query: &Query) -> Object {
    let gvk = sub.gvk(kind);
    let mut object = json!({"kind": gvk.kind, "apiVersion": gvk.api_version()});
    match sub {
        Sub::Exec | Sub::Attach => {
            for flag in ["stdin", "stdout", "stderr", "tty"] {
                if query.flag(flag) {
                    object[flag] = json!(true);
                }
            }
            if let Some(container) = query.get("container").filter(|c| !c.is_empty()) {
                object["container"] = json!(container);
            }
            if sub == Sub::Exec {
                object["command"] = query.all("command").collect();
            }
        }
        Sub::PortForward => {
            let ports =
                query.all("ports").flat_map(|list| list.split(',')).filter_map(|p| p.trim().parse::<u16>().ok());
            object["ports"] = ports.collect();
        }
        Sub::Proxy => {
            if let Some(path) = query.get("path").filter(|p| !p.is_empty()) {
                object["path"] = json!(path);
            }
        }
        _ => {}
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: Result<LogOptions, &str>) {
        let found = log(&Query::parse(query), "p").map_err(|s| s.message);
        assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e), "{query}");
    }

    #[test]
    fn logs_are_narrowed_by_the_query() {
        let plain = LogOptions::default;
        check("", Ok(plain()));
        check(
            "follow=true&tailLines=0&insecureSkipTLSVerifyBackend=true",
            Ok(LogOptions { follow: true, tail_lines: Some(0), ..plain() }),
        );
        check("stream=Stderr", Ok(LogOptions { stream: Some(LogSource::Stderr), ..plain() }));
        check("stream=All&tailLines=1", Ok(LogOptions { tail_lines: Some(1), ..plain() }));
    }

    #[test]
    fn what_is_wrong_with_a_log_is_told_as_kubernetes_tells_it() {
        let invalid = "PodLogOptions \"p\" is invalid: ";
        for (query, why) in [
            ("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
            ("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0"),
            ("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"),
            (
                "sinceSeconds=5&sinceTime=2026-01-01T00:00:00Z",
                ": Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
            ),
            ("stream=x", "stream: Unsupported value: \"x\": supported values: \"All\", \"Stderr\", \"Stdout\""),
            (
                "stream=Stdout&tailLines=1",
                ": Forbidden: `tailLines` and specific `stream` are mutually exclusive for now",
            ),
            (
                "tailLines=-1&limitBytes=0",
                "[tailLines: Invalid value: -1: must be greater than or equal to 0, limitBytes: Invalid value: 0: \
                 must be greater than 0]",
            ),
        ] {
            check(query, Err(&format!("{invalid}{why}")));
        }
        check("limitBytes=x", Err("strconv.ParseInt: parsing \"x\": invalid syntax"));
        check(
            "sinceTime=yesterday",
            Err("parsing time \"yesterday\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"yesterday\" as \"2006\""),
        );
    }

    #[test]
    fn an_exec_needs_a_command_and_a_stream() {
        assert!(exec(&Query::parse("stdout=true"), true).is_err());
        assert!(exec(&Query::parse("command=ls"), true).is_err());
        let options = exec(&Query::parse("command=ls&command=-l&stdout=1&stderr=1&tty=1"), true).unwrap();
        assert_eq!((options.command.len(), options.stderr, options.tty), (2, false, true));
    }
}
