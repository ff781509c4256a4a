//! `exec`: runs a command in a container, over a WebSocket.
//!
//! In: a pod, a command, standard input. Out: the command's output and its exit code. Never interprets the bytes.

use std::io::Write;
use std::process::ExitCode;

use futures::{SinkExt, StreamExt};
use kedge_client::ResourcePath;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::Message;

use crate::args::Exec;
use crate::error::Failure;
use crate::logs::{container, pod_of};
use crate::session::Session;

/// Channels of `v4.channel.k8s.io` and `v5.channel.k8s.io`: the first byte of each message.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
/// `v5` only: the channel in the second byte is at its end.
const CLOSE: u8 = 255;
/// Bytes of input in one message.
const PIECE: usize = 16 << 10;

/// Runs the verb.
pub async fn run(session: Session, args: Exec) -> Result<ExitCode, Failure> {
    let pod = pod_of(&session, &args.target).await?;
    let container = container(&pod, args.container.as_ref())?;
    let mut query = vec![("container", container), ("stdout", "true".to_owned())];
    if args.stdin {
        query.push(("stdin", "true".to_owned()));
    }
    if args.tty {
        query.push(("tty", "true".to_owned()));
    } else {
        query.push(("stderr", "true".to_owned()));
    }
    query.extend(args.command.iter().map(|word| ("command", word.clone())));
    let name = pod["metadata"]["name"].as_str().unwrap_or("");
    let path = ResourcePath::core("pods").namespace(&*session.namespace).name(name).subresource("exec");
    let target = path.with_query(&query);
    let request = http::Request::get(&target)
        .body(Vec::new())
        .map_err(|source| kedge_client::ClientError::Request { path: target, source })?;
    let connection = session.client.kube().connect(request).await.map_err(said)?;
    let closes = connection.supports_stream_close();
    let (mut send, mut receive) = connection.into_stream().split();
    let input = async {
        if !args.stdin {
            return std::future::pending::<()>().await;
        }
        let mut stdin = tokio::io::stdin();
        let mut piece = vec![STDIN; PIECE + 1];
        while let Ok(count) = stdin.read(&mut piece[1..]).await {
            if count == 0 || send.send(Message::binary(piece[..=count].to_vec())).await.is_err() {
                break;
            }
        }
        if closes {
            let _ = send.send(Message::binary(vec![CLOSE, STDIN])).await;
        }
        // The output goes on after the input's end.
        std::future::pending::<()>().await
    };
    let output = async {
        while let Some(message) = receive.next().await {
            let bytes = match message {
                Ok(Message::Binary(bytes)) => bytes,
                Ok(Message::Close(_)) => break,
                Ok(_) => continue,
                Err(e) => return Err(Failure::said(format!("the connection broke: {e}"))),
            };
            let Some((channel, rest)) = bytes.split_first() else { continue };
            match *channel {
                STDOUT => show(&mut std::io::stdout().lock(), rest),
                STDERR => show(&mut std::io::stderr().lock(), rest),
                STATUS => return outcome(rest),
                _ => {}
            }
        }
        Err(Failure::said("the connection ended before the command did"))
    };
    tokio::select! {
        () = input => Err(Failure::said("standard input failed")),
        done = output => done,
    }
}

fn show(out: &mut impl Write, bytes: &[u8]) {
    // Nobody reads any more: the command goes on all the same, as in a shell.
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// The `Status` that ends a session: success, an exit code, or a failure.
fn outcome(bytes: &[u8]) -> Result<ExitCode, Failure> {
    let status: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    if status["status"] == "Success" {
        return Ok(ExitCode::SUCCESS);
    }
    let causes = status["details"]["causes"].as_array().cloned().unwrap_or_default();
    let code = causes.iter().find(|cause| cause["reason"] == "ExitCode").and_then(|cause| cause["message"].as_str());
    match code.and_then(|text| text.parse::<u8>().ok()) {
        Some(code) => {
            eprintln!("command terminated with exit code {code}");
            Ok(ExitCode::from(code))
        }
        None => Err(Failure::said(status["message"].as_str().unwrap_or("the command failed").to_owned())),
    }
}

fn said(error: kedge_client::kube::Error) -> Failure {
    match error {
        kedge_client::kube::Error::Api(status) if status.reason.is_empty() => {
            Failure::said(format!("from server: {}", status.message))
        }
        kedge_client::kube::Error::Api(status) => {
            Failure::said(format!("from server ({}): {}", status.reason, status.message))
        }
        other => Failure::said(format!("unable to upgrade connection: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_exit_code_is_the_commands() {
        let ended = |status: Value| outcome(status.to_string().as_bytes()).map(|code| format!("{code:?}"));
        assert_eq!(ended(json!({"status": "Success"})).unwrap(), format!("{:?}", ExitCode::SUCCESS));
        let failed = json!({"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}});
        assert_eq!(ended(failed).unwrap(), format!("{:?}", ExitCode::from(7)));
        assert!(
            ended(json!({"status": "Failure", "message": "no such file"})).unwrap_err().to_string().contains("no such")
        );
    }
}
