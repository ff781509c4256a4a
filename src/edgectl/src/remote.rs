//! A process or port of a pod, over a WebSocket.
//!
//! In: a path, input, what to do with output. Out: how it ended. Channels are `v4.channel.k8s.io` and
//! `v5.channel.k8s.io`: the first byte of each message. Never interprets the bytes.

use std::process::ExitCode;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::error::Failure;
use crate::session::Session;

const STDIN: u8 = 0;
/// The channel of output.
pub const STDOUT: u8 = 1;
/// The channel of error output.
pub const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
/// `v5` only: the channel in the second byte is at its end.
const CLOSE: u8 = 255;
/// Bytes of input in one message.
const PIECE: usize = 16 << 10;

/// Where input comes from.
pub enum Input {
    /// There is none.
    None,
    /// Our own.
    Standard,
    /// Pieces; the end of the channel is the end of input.
    Pieces(mpsc::Receiver<Vec<u8>>),
}

impl Input {
    /// The next piece; `None` at the end.
    async fn next(&mut self, stdin: &mut tokio::io::Stdin) -> Option<Vec<u8>> {
        match self {
            Input::None => None,
            Input::Standard => {
                let mut piece = vec![0; PIECE];
                let count = stdin.read(&mut piece).await.ok().filter(|count| *count > 0)?;
                piece.truncate(count);
                Some(piece)
            }
            Input::Pieces(pieces) => pieces.recv().await,
        }
    }
}

/// How a session ended.
pub enum Ended {
    /// Well.
    Success,
    /// The command's own exit code.
    Code(u8),
    /// It could not be run.
    Failed(String),
}

impl Ended {
    fn read(bytes: &[u8]) -> Ended {
        let status: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
        if status["status"] == "Success" {
            return Ended::Success;
        }
        let causes = status["details"]["causes"].as_array().cloned().unwrap_or_default();
        let code =
            causes.iter().find(|cause| cause["reason"] == "ExitCode").and_then(|cause| cause["message"].as_str());
        match code.and_then(|text| text.parse::<u8>().ok()) {
            Some(code) => Ended::Code(code),
            None => Ended::Failed(status["message"].as_str().unwrap_or("the command failed").to_owned()),
        }
    }

    /// As this program's own end.
    pub fn exit(self) -> Result<ExitCode, Failure> {
        match self {
            Ended::Success => Ok(ExitCode::SUCCESS),
            Ended::Code(code) => {
                eprintln!("command terminated with exit code {code}");
                Ok(ExitCode::from(code))
            }
            Ended::Failed(why) => Err(Failure::said(why)),
        }
    }
}

/// A WebSocket to a path of the API.
pub async fn connect(session: &Session, target: &str) -> Result<kedge_client::kube::client::Connection, Failure> {
    let request = http::Request::get(target)
        .body(Vec::new())
        .map_err(|source| kedge_client::ClientError::Request { path: target.to_owned(), source })?;
    session.kube.connect(request).await.map_err(said)
}

/// Runs a session: input goes out until its end, output is handed to `show` with its channel.
pub async fn run(
    session: &Session,
    target: &str,
    mut input: Input,
    mut sizes: Option<mpsc::Receiver<(u16, u16)>>,
    mut show: impl FnMut(u8, &[u8]) -> Result<(), Failure>,
) -> Result<Ended, Failure> {
    let connection = connect(session, target).await?;
    let closes = connection.supports_stream_close();
    let (mut send, mut receive) = connection.into_stream().split();
    let outgoing = async {
        let mut stdin = tokio::io::stdin();
        let mut open = !matches!(input, Input::None);
        loop {
            let message = tokio::select! {
                piece = input.next(&mut stdin), if open => match piece {
                    Some(mut piece) => {
                        piece.insert(0, STDIN);
                        piece
                    }
                    None => {
                        open = false;
                        if !closes {
                            continue;
                        }
                        vec![CLOSE, STDIN]
                    }
                },
                size = async { match &mut sizes {
                    Some(sizes) => sizes.recv().await,
                    None => std::future::pending().await,
                } } => match size {
                    Some((columns, rows)) => {
                        let mut message = vec![RESIZE];
                        message.extend(json!({"Width": columns, "Height": rows}).to_string().into_bytes());
                        message
                    }
                    None => {
                        sizes = None;
                        continue;
                    }
                },
                // The output goes on after the input's end.
                () = std::future::pending() => continue,
            };
            if send.send(Message::binary(message)).await.is_err() {
                // How it ended is read on the other side.
                return std::future::pending::<()>().await;
            }
        }
    };
    let incoming = async {
        while let Some(message) = receive.next().await {
            let bytes = match message {
                Ok(Message::Binary(bytes)) => bytes,
                Ok(Message::Close(_)) => break,
                Ok(_) => continue,
                Err(e) => return Err(Failure::said(format!("the connection broke: {e}"))),
            };
            match bytes.split_first() {
                Some((&STATUS, rest)) if !rest.is_empty() => return Ok(Ended::read(rest)),
                Some((channel @ (&STDOUT | &STDERR), rest)) if !rest.is_empty() => show(*channel, rest)?,
                _ => {}
            }
        }
        Err(Failure::said("the connection ended before the command did"))
    };
    tokio::select! {
        () = outgoing => Err(Failure::said("standard input failed")),
        ended = incoming => ended,
    }
}

/// Output to our own.
pub fn to_standard(channel: u8, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    fn put(mut out: impl std::io::Write, bytes: &[u8]) {
        // Nobody reads any more: the command goes on all the same, as in a shell.
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    }
    match channel {
        STDERR => put(std::io::stderr().lock(), bytes),
        _ => put(std::io::stdout().lock().by_ref(), bytes),
    }
    Ok(())
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
    use super::*;

    #[test]
    fn the_exit_code_is_the_commands() {
        let ended = |status: Value| Ended::read(status.to_string().as_bytes());
        assert!(matches!(ended(json!({"status": "Success"})), Ended::Success));
        let failed = json!({"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}});
        assert!(matches!(ended(failed), Ended::Code(7)));
        let lost = json!({"status": "Failure", "message": "no such file"});
        assert!(matches!(ended(lost), Ended::Failed(why) if why.contains("no such")));
    }
}
