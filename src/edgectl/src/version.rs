//! `version`: the client's and the server's.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::args::Version;
use crate::error::Failure;
use crate::output;
use crate::session::Session;

/// Runs the verb. Without a server (or with --client) only the client's version is told.
pub async fn run(session: Option<Session>, args: Version) -> Result<ExitCode, Failure> {
    let client = env!("CARGO_PKG_VERSION");
    let mut told = json!({"clientVersion": {"gitVersion": format!("v{client}")}});
    let mut failure = None;
    if !args.client {
        match session {
            None => failure = Some(Failure::said("there is no kubeconfig that names a server")),
            Some(session) => match session.client.call(http::Method::GET, "/version", None, Vec::new()).await {
                Ok(body) => told["serverVersion"] = serde_json::from_slice(&body).unwrap_or(Value::Null),
                Err(e) => failure = Some(e.into()),
            },
        }
    }
    match args.output.as_deref() {
        Some("json") => print!("{}", output::json(&told)),
        Some("yaml") => print!("{}", kedge_api::yaml::text(&told)),
        Some(other) => return Err(Failure::said(format!("--output must be 'yaml' or 'json', not '{other}'"))),
        None => {
            println!("Client Version: v{client}");
            if let Some(server) = told["serverVersion"]["gitVersion"].as_str() {
                println!("Server Version: {server}");
            }
        }
    }
    failure.map_or(Ok(ExitCode::SUCCESS), Err)
}
