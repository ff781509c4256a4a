//! JSON for people: indented as Kubernetes does, for those who ask for it and for tools that people hold in their hands.
//!
//! In: a request's query and headers; an answer's bytes, in pieces. Out: the same JSON with line breaks and two spaces
//! a level. Never parses: a piece is read byte by byte, so an answer of any length takes no more memory than before.

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, header};

use crate::media;
use crate::query::Query;
use crate::respond::Answer;

/// Programs whose answers somebody reads.
const HANDS: [&str; 3] = ["curl", "Wget", "Mozilla/5.0"];

/// Whether somebody reads the answer.
pub fn is_wanted(query: &Query, headers: &HeaderMap) -> bool {
    // Hardly anybody asks that way, and every request comes by here.
    let mentions =
        headers.get_all(header::ACCEPT).iter().any(|accept| accept.as_bytes().windows(6).any(|w| w == b"pretty"));
    if mentions && media::choices(&media::accept(headers)).first().is_some_and(|choice| choice.param("pretty") == "1") {
        return true;
    }
    match query.get("pretty").filter(|said| !said.is_empty()) {
        Some(said) => matches!(said, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        None => {
            let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
            HANDS.iter().any(|hand| agent.starts_with(hand))
        }
    }
}

/// An answer that is indented.
#[derive(Clone)]
struct Indented;

/// The answer, indented if it is plain JSON and is not yet.
pub fn indented(answer: Answer) -> Answer {
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json")
        || answer.headers().contains_key(header::CONTENT_ENCODING)
        || answer.extensions().get::<Indented>().is_some()
    {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    head.extensions.insert(Indented);
    let mut layout = Layout::default();
    let pieces = body.into_data_stream().map(move |piece| piece.map(|piece| Bytes::from(layout.piece(&piece))));
    Answer::from_parts(head, Body::from_stream(pieces))
}

/// Where in a document the next byte stands.
#[derive(Debug, Default)]
struct Layout {
    depth: usize,
    in_text: bool,
    escaped: bool,
    /// A list or map has begun, and nothing of it was seen yet.
    opened: bool,
}

impl Layout {
    fn piece(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len() + piece.len() / 2);
        for byte in piece {
            self.byte(*byte, &mut out);
        }
        out
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.in_text {
            out.push(byte);
            self.in_text = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            return;
        }
        let closes = matches!(byte, b'}' | b']');
        if byte.is_ascii_whitespace() {
            return;
        }
        if closes {
            self.depth = self.depth.saturating_sub(1);
        }
        if self.opened != closes {
            self.line(out);
        }
        self.opened = false;
        out.push(byte);
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => {
                self.depth += 1;
                self.opened = true;
            }
            b',' => self.line(out),
            b':' => out.push(b' '),
            _ => {}
        }
    }

    fn line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.resize(out.len() + 2 * self.depth, b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_indented_says_the_same() {
        for object in [
            json!({"a": {}, "b": [], "c": [1, [2.5, {"d": null}], "x,y:{[\"\\"], "e": {"f": true}}),
            json!([]),
            json!({}),
            json!("text"),
        ] {
            let (plain, wanted) = (object.to_string(), serde_json::to_string_pretty(&object).unwrap());
            let mut layout = Layout::default();
            let halves: Vec<u8> = plain.as_bytes().chunks(3).flat_map(|piece| layout.piece(piece)).collect();
            let seen = String::from_utf8(halves).unwrap();
            assert_eq!(seen, wanted);
            assert_eq!(serde_json::from_str::<Value>(&seen).unwrap(), object);
        }
    }

    #[test]
    fn people_and_who_asks() {
        for (query, name, value, expected) in [
            ("", "user-agent", "kubectl/v1.36", false),
            ("", "user-agent", "curl/8.0", true),
            ("", "user-agent", "Mozilla/5.0 (X11)", true),
            ("pretty=false", "user-agent", "curl/8.0", false),
            ("pretty=1", "user-agent", "x", true),
            ("pretty=true", "user-agent", "x", true),
            ("pretty=yes", "user-agent", "curl/8.0", false),
            ("pretty=", "user-agent", "Wget/1", true),
            ("", "accept", "application/json;pretty=1", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(is_wanted(&Query::parse(query), &headers), expected, "{query} {value}");
        }
    }
}
