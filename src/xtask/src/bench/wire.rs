//! The cheapest client there is, for measurements on cores that are shared with what is measured.
//!
//! In: requests whose bytes were made before. Out: status codes, and bodies as bytes. One blocking TLS connection with
//! a client certificate, one request after the other; only the numbers of a request change, in place. Never interprets
//! an object and never allocates for a request.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use super::http::Admin;
use super::said;
use crate::command::{Done, Failure};

/// Digits of a number in a request: enough for ten million objects.
const DIGITS: usize = 7;
/// Stands in a request for the number of the object.
pub const OBJECT: &str = "%%%%%%%";
/// Stands in a request for the number of the request, so that each write changes something.
pub const TURN: &str = "@@@@@@@";
/// Longest wait for an answer, which also ends a measurement of a server that hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is read at once: a TLS record and its head.
const PIECE: usize = 16 * 1024 + 512;
/// Largest answer: a list of thirty thousand pods.
const LARGEST: usize = 64 << 20;

/// A request in which numbers are written in place.
#[derive(Clone)]
pub struct Template {
    bytes: Vec<u8>,
    objects: Vec<usize>,
    turns: Vec<usize>,
}

impl Template {
    /// One without a body has no type either.
    pub fn new(method: &str, path: &str, kind: &str, body: &str) -> Template {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\n");
        if !body.is_empty() {
            text.push_str(&format!("content-type: {kind}\r\ncontent-length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(body);
        let places = |mark: &str| text.match_indices(mark).map(|(at, _)| at).collect();
        Template { objects: places(OBJECT), turns: places(TURN), bytes: text.into_bytes() }
    }

    /// The request about that object in that turn.
    pub fn fill(&mut self, object: usize, turn: usize) -> &[u8] {
        for (places, number) in [(&self.objects, object), (&self.turns, turn)] {
            let digits = digits(number);
            for at in places {
                self.bytes[*at..*at + DIGITS].copy_from_slice(&digits);
            }
        }
        &self.bytes
    }
}

/// A number as it stands in requests, and so in names.
pub fn digits(mut number: usize) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    digits
}

/// An open connection.
pub struct Wire {
    stream: StreamOwned<ClientConnection, TcpStream>,
    read: Vec<u8>,
}

/// An answer.
pub struct Answer<'a> {
    /// Its status code.
    pub code: u16,
    /// Its body, in chunks still if it came in chunks.
    pub body: &'a [u8],
}

impl Wire {
    /// Connects, and does the handshake, so that the first request is like every other.
    pub fn open(admin: &Admin) -> Done<Wire> {
        let failed = || said("cannot connect to the API server");
        let mut socket = TcpStream::connect(admin.address).map_err(failed())?;
        socket.set_nodelay(true).map_err(failed())?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(failed())?;
        socket.set_write_timeout(Some(PATIENCE)).map_err(failed())?;
        let name = ServerName::from(admin.address.ip());
        let mut tls = ClientConnection::new(Arc::clone(admin.tls.config()), name).map_err(said("TLS"))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).map_err(failed())?;
        }
        Ok(Wire { stream: StreamOwned::new(tls, socket), read: vec![0; PIECE] })
    }

    /// Sends a request and reads its answer.
    pub fn send(&mut self, request: &[u8]) -> Done<Answer<'_>> {
        self.stream.write_all(request).and_then(|()| self.stream.flush()).map_err(said("the request was not sent"))?;
        let (mut filled, mut length) = (0, None);
        let (head, code, whole) = loop {
            if self.read.len() - filled < PIECE {
                if self.read.len() >= LARGEST {
                    return Err(Failure::Said(format!("an answer has more than {LARGEST} bytes")));
                }
                self.read.resize(self.read.len() * 2, 0);
            }
            let more = self.stream.read(&mut self.read[filled..]).map_err(said("the answer broke off"))?;
            if more == 0 {
                return Err(Failure::Said("the connection ended before the answer did".into()));
            }
            filled += more;
            let so_far = &self.read[..filled];
            if length.is_none() {
                length = Head::parse(so_far);
            }
            match &mut length {
                Some(Head { size, code, body: Length::Known(bytes) }) if filled >= *size + *bytes => {
                    break (*size, *code, *size + *bytes);
                }
                Some(Head { size, code, body: Length::Chunks { reached } }) => {
                    if let Some(end) = ended(so_far, reached) {
                        break (*size, *code, end);
                    }
                }
                _ => {}
            }
        };
        Ok(Answer { code, body: &self.read[head..whole] })
    }
}

/// What the head of an answer says.
struct Head {
    size: usize,
    code: u16,
    body: Length,
}

/// How the end of a body is found.
enum Length {
    Known(usize),
    /// The chunk that is looked at next.
    Chunks {
        reached: usize,
    },
}

impl Head {
    /// None while it has not come whole.
    fn parse(bytes: &[u8]) -> Option<Head> {
        let size = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let text = std::str::from_utf8(&bytes[..size]).ok()?;
        let code = text.split(' ').nth(1)?.parse().ok()?;
        let length = text.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok()).flatten()
        });
        Some(Head { size, code, body: length.map_or(Length::Chunks { reached: size }, Length::Known) })
    }
}

/// Where a body of chunks ends, if that has come; `reached` goes on to the last chunk whose size is known.
fn ended(bytes: &[u8], reached: &mut usize) -> Option<usize> {
    loop {
        let rest = bytes.get(*reached..)?;
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        let next = *reached + line + 2 + size + 2;
        if size == 0 {
            return (bytes.len() >= next).then_some(next);
        }
        *reached = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_place() {
        let mut template = Template::new("PUT", "/x/a-%%%%%%%", "application/json", r#"{"a":"%%%%%%%","b":"@@@@@@@"}"#);
        let text = String::from_utf8(template.fill(12, 345).to_vec()).unwrap();
        assert!(text.starts_with("PUT /x/a-0000012 HTTP/1.1\r\n"), "{text}");
        assert!(text.ends_with("content-length: 29\r\n\r\n{\"a\":\"0000012\",\"b\":\"0000345\"}"), "{text}");
        assert!(String::from_utf8_lossy(template.fill(13, 1)).contains("a-0000013"));
    }

    #[test]
    fn the_head_says_how_long_the_body_is() {
        let head = Head::parse(b"HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\nabc").unwrap();
        assert!(matches!(head, Head { size: 44, code: 201, body: Length::Known(12) }));
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\ncontent-").is_none());
    }

    #[test]
    fn chunks_end_with_the_empty_one() {
        let bytes = b"4\r\nabcd\r\na\r\n0123456789\r\n0\r\n\r\n";
        let mut reached = 0;
        for cut in 0..bytes.len() {
            assert_eq!(ended(&bytes[..cut], &mut reached), None, "{cut}");
        }
        assert_eq!(ended(bytes, &mut reached), Some(bytes.len()));
    }
}
