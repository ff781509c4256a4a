//! The lines of a body that goes on for as long as somebody reads it.
//!
//! In: pieces of bytes, cut anywhere. Out: lines without their ends, the last one even if it has none. A line within one
//! piece is a part of it, so that who waits holds no buffer and nothing is copied; only a line across pieces is put
//! together, and at most [`LONGEST`] bytes of it.

use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use crate::client::ByteStream;
use crate::{ClientError, Result};

/// The longest line: an object is at most 3 MiB as a request, larger with defaults and escapes.
const LONGEST: usize = 16 << 20;

/// Cuts a body into lines.
pub struct Lines {
    pieces: ByteStream,
    /// What of the newest piece was not given out yet.
    rest: Bytes,
    /// The beginning of a line whose end has not come yet.
    begun: BytesMut,
}

impl Lines {
    /// Of a body that nobody has read yet.
    pub fn of(pieces: ByteStream) -> Self {
        Lines { pieces, rest: Bytes::new(), begun: BytesMut::new() }
    }

    /// The next line; `None` at the end of the body. Cancel-safe. Errors: the body broke off, or a line is too long.
    pub async fn next(&mut self) -> Option<Result<Bytes>> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.rest) {
                let mut line = self.rest.split_to(end + 1);
                line.truncate(end);
                return Some(match self.begun.is_empty() {
                    true => Ok(line),
                    false => self.begin(&line).map(|()| self.begun.split().freeze()),
                });
            }
            let rest = std::mem::take(&mut self.rest);
            if let Err(error) = self.begin(&rest) {
                return Some(Err(error));
            }
            match self.pieces.next().await {
                Some(Ok(piece)) => self.rest = piece,
                Some(Err(error)) => return Some(Err(error)),
                None if self.begun.is_empty() => return None,
                None => return Some(Ok(self.begun.split().freeze())),
            }
        }
    }

    fn begin(&mut self, part: &[u8]) -> Result<()> {
        if self.begun.len() + part.len() > LONGEST {
            self.begun = BytesMut::new();
            let said = format!("the server sent a line of more than {LONGEST} bytes, which is no event of a watch");
            return Err(ClientError::Unreachable(said.into()));
        }
        self.begun.extend_from_slice(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(pieces: Vec<Result<Bytes>>) -> Vec<std::result::Result<String, String>> {
        let mut lines = Lines::of(Box::pin(futures::stream::iter(pieces)));
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await {
            let is_fault = line.is_err();
            seen.push(line.map(|line| String::from_utf8(line.to_vec()).unwrap()).map_err(|error| error.to_string()));
            if is_fault {
                break;
            }
        }
        seen
    }

    async fn check(pieces: &[&'static str], expected: &[&str]) {
        let seen = lines(pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).collect()).await;
        let expected: Vec<_> = expected.iter().map(|line| Ok((*line).to_owned())).collect();
        assert_eq!(seen, expected, "{pieces:?}");
    }

    #[tokio::test]
    async fn lines_are_put_together_however_they_are_cut() {
        check(&[], &[]).await;
        check(&["a\nb\n"], &["a", "b"]).await;
        check(&["a", "b\nc", "", "d", "\n"], &["ab", "cd"]).await;
        check(&["a\n\nb"], &["a", "", "b"]).await;
        check(&["a\n", "b"], &["a", "b"]).await;
    }

    #[tokio::test]
    async fn a_line_within_a_piece_is_a_part_of_it() {
        let piece = Bytes::from_static(b"one\ntwo\n");
        let mut lines = Lines::of(Box::pin(futures::stream::iter([Ok(piece.clone())])));
        let line = lines.next().await.unwrap().unwrap();
        assert_eq!(line.as_ptr(), piece.as_ptr());
    }

    #[tokio::test]
    async fn what_has_no_end_is_refused() {
        let piece = Bytes::from(vec![b'x'; LONGEST / 2 + 1]);
        let seen = lines(vec![Ok(piece.clone()), Ok(piece)]).await;
        assert!(matches!(seen.as_slice(), [Err(said)] if said.contains("a line of more than")), "{}", seen.len());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_says_so() {
        let broken = Err(ClientError::Unreachable("gone".into()));
        let seen = lines(vec![Ok(Bytes::from_static(b"a\nb")), broken]).await;
        assert!(matches!(seen.as_slice(), [Ok(_), Err(_)]), "{seen:?}");
    }
}
