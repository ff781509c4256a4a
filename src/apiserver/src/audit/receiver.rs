//! Events sent to a receiver: lists of them, after a while, again if it does not take them.
//!
//! In: lines that wait. Out: `EventList`s. What the receiver did not take after some tries is
//! counted and gone; meanwhile new Events wait, as far as there is room.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::buffer::Buffer;
use crate::core::Core;
use crate::outbound::Endpoint;

/// Events in a list, at most, and after how long it is sent: upstream's defaults.
const LIST: usize = 400;
/// See [`LIST`].
const DELAY: Duration = Duration::from_secs(30);
/// Bytes of a list, at most.
const PIECE: usize = 1024 * 1024;
/// A list is sent so often, and so long after the first time, then twice as long each time.
const TRIES: u32 = 5;
/// See [`TRIES`].
const PAUSE: Duration = Duration::from_secs(10);
/// How long the receiver may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// When the server stops, what is left is sent once, within this.
const FAREWELL: Duration = Duration::from_secs(2);

/// Sends lists until the server stops.
pub async fn run(core: Arc<Core>, endpoint: Endpoint, buffer: Arc<Buffer>) {
    loop {
        tokio::select! {
            () = buffer.told() => {}
            () = core.stop.cancelled() => break,
        }
        let full = async {
            while buffer.bytes() < PIECE {
                buffer.told().await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(DELAY) => {}
            () = full => {}
            () = core.stop.cancelled() => break,
        }
        loop {
            let lines = buffer.take(LIST, PIECE);
            if lines.is_empty() {
                break;
            }
            tokio::select! {
                sent = send(&core, &endpoint, &lines) => if !sent {
                    buffer.lose(lines.len());
                },
                () = core.stop.cancelled() => {
                    buffer.lose(lines.len());
                    break;
                }
            }
        }
    }
    let last = buffer.take(LIST, PIECE);
    if !last.is_empty() {
        let body = list(&last);
        if core.outbound.post(&endpoint, "", body, FAREWELL).await.is_err() {
            buffer.lose(last.len());
        }
    }
}

async fn send(core: &Core, endpoint: &Endpoint, lines: &[Arc<str>]) -> bool {
    let body = list(lines);
    let mut pause = PAUSE;
    for again in 1..=TRIES {
        match core.outbound.post(endpoint, "", body.clone(), PATIENCE).await {
            Ok(_) => return true,
            Err(fault) => tracing::warn!(%fault, events = lines.len(), "the receiver of the audit log takes nothing"),
        }
        if again < TRIES {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
    false
}

fn list(lines: &[Arc<str>]) -> Bytes {
    let mut body = String::with_capacity(lines.iter().map(|line| line.len() + 1).sum::<usize>() + 96);
    body.push_str(r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#);
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            body.push(',');
        }
        body.push_str(line);
    }
    body.push_str("]}");
    Bytes::from(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_one_list() {
        let body = list(&[r#"{"a":1}"#.into(), r#"{"b":2}"#.into()]);
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&value["kind"], &value["items"][1]["b"]), (&"EventList".into(), &2.into()));
    }
}
