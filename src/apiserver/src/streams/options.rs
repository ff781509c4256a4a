//! Queries of log, exec and attach as options.
//!
//! In: a query. Out: options, or which parameter is wrong.

use kedge_api::Object;
use kedge_api::field::{FieldError, Path};
use kedge_api::kinds::{Kind, Sub};
use kedge_api::status::Status;
use serde_json::json;

use super::{ExecOptions, LogOptions};
use crate::query::Query;

/// Options of a log.
pub fn log(query: &Query) -> Result<LogOptions, Status> {
    let number = |name: &'static str, least: i64| match query.get(name).filter(|v| !v.is_empty()) {
        None => Ok(None),
        Some(text) => match text.parse::<i64>() {
            Ok(n) if n >= least => Ok(Some(n.unsigned_abs())),
            Ok(n) => {
                let why = if least == 0 { "must be greater than or equal to 0" } else { "must be greater than 0" };
                Err(refused(&[FieldError::invalid(&Path::root(name), n, why)]))
            }
            Err(_) => {
                Err(Status::bad_request(format!("invalid value {text:?} for parameter {name}: must be a number")))
            }
        },
    };
    let since_time = query.get("sinceTime").filter(|v| !v.is_empty()).map(str::to_owned);
    if let Some(text) = &since_time
        && kedge_api::clock::parse(text).is_none()
    {
        return Err(Status::bad_request(format!("invalid value {text:?} for parameter sinceTime: must be a time")));
    }
    let options = LogOptions {
        follow: query.flag("follow"),
        previous: query.flag("previous"),
        timestamps: query.flag("timestamps"),
        tail_lines: number("tailLines", 0)?,
        since_seconds: number("sinceSeconds", 1)?,
        since_time,
        limit_bytes: number("limitBytes", 1)?,
    };
    if options.since_seconds.is_some() && options.since_time.is_some() {
        let fault = FieldError::forbidden(
            &Path::root("sinceSeconds"),
            "at most one of `sinceTime` or `sinceSeconds` may be specified",
        );
        return Err(refused(&[fault]));
    }
    Ok(options)
}

fn refused(faults: &[FieldError]) -> Status {
    Status::invalid("", "PodLogOptions", "", faults)
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
    fn check(query: &str, expected: Result<LogOptions, u16>) {
        assert_eq!(log(&Query::parse(query)).map_err(|s| s.code), expected, "{query}");
    }

    #[test]
    fn logs_are_narrowed_by_the_query() {
        check("", Ok(LogOptions::default()));
        check("follow=true&tailLines=0", Ok(LogOptions { follow: true, tail_lines: Some(0), ..LogOptions::default() }));
        check("tailLines=-1", Err(422));
        check("sinceSeconds=0", Err(422));
        check("limitBytes=x", Err(400));
        check("sinceTime=yesterday", Err(400));
        check("sinceSeconds=5&sinceTime=2026-01-01T00:00:00Z", Err(422));
    }

    #[test]
    fn an_exec_needs_a_command_and_a_stream() {
        assert!(exec(&Query::parse("stdout=true"), true).is_err());
        assert!(exec(&Query::parse("command=ls"), true).is_err());
        let options = exec(&Query::parse("command=ls&command=-l&stdout=1&stderr=1&tty=1"), true).unwrap();
        assert_eq!((options.command.len(), options.stderr, options.tty), (2, false, true));
    }
}
