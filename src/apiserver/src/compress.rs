//! Large answers to those who take gzip.
//!
//! In: an answer and the request's `Accept-Encoding`. Out: the same answer, compressed while it is sent if it is large.
//! Never touches watches, logs or anything that is not read at once: their bytes must not wait for a block to fill.

use std::io::Write as _;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt as _;
use http::{HeaderMap, HeaderValue, header};

use crate::respond::Answer;

/// Smaller answers cost more to compress than to send: Kubernetes' limit.
const LARGE: usize = 128 * 1024;

/// Whether the client says that it takes gzip.
pub fn accepts(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| {
        let mut pieces = part.split(';').map(str::trim);
        let refused = |piece: &str| piece.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32));
        pieces.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")) && !pieces.any(refused)
    })
}

/// Compresses an answer that turns out to be large.
pub async fn large(answer: Answer) -> Answer {
    let size = http_body::Body::size_hint(answer.body());
    let small = size.upper().is_some_and(|most| most < LARGE as u64);
    if small || answer.status() != http::StatusCode::OK || answer.headers().contains_key(header::CONTENT_ENCODING) {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    let mut pieces = body.into_data_stream();
    // Only what is surely large is compressed: the first pieces tell.
    let mut first = BytesMut::new();
    let mut ended = false;
    while first.len() < LARGE {
        match pieces.next().await {
            Some(Ok(piece)) => first.extend_from_slice(&piece),
            Some(Err(error)) => {
                let rest = futures::stream::iter([Ok(first.freeze()), Err(error)]);
                return Answer::from_parts(head, Body::from_stream(rest));
            }
            None => {
                ended = true;
                break;
            }
        }
    }
    if ended && first.len() < LARGE {
        return Answer::from_parts(head, Body::from(first.freeze()));
    }
    head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    head.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    head.headers.remove(header::CONTENT_LENGTH);
    let source = futures::stream::once(async move { Ok(first.freeze()) }).chain(pieces);
    let encoder = GzEncoder::new(Vec::with_capacity(LARGE), Compression::fast());
    Answer::from_parts(head, Body::from_stream(encoded(source, encoder)))
}

/// The pieces, compressed; an output piece is sent when it is worth a packet.
fn encoded<S>(source: S, encoder: GzEncoder<Vec<u8>>) -> impl futures::Stream<Item = Result<Bytes, axum::Error>>
where
    S: futures::Stream<Item = Result<Bytes, axum::Error>> + Send,
{
    /// Bytes of output that are sent together.
    const SENT: usize = 32 * 1024;
    let source = Box::pin(source);
    futures::stream::unfold(Some((source, encoder)), |state| async move {
        let (mut source, mut encoder) = state?;
        loop {
            match source.next().await {
                Some(Ok(piece)) => {
                    if let Err(error) = encoder.write_all(&piece) {
                        return Some((Err(axum::Error::new(error)), None));
                    }
                    if encoder.get_ref().len() >= SENT {
                        let out = std::mem::take(encoder.get_mut());
                        return Some((Ok(Bytes::from(out)), Some((source, encoder))));
                    }
                }
                Some(Err(error)) => return Some((Err(error), None)),
                None => return Some((encoder.finish().map(Bytes::from).map_err(axum::Error::new), None)),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use std::io::Read as _;

    #[track_caller]
    fn check(header: &str, expected: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, header.parse().unwrap());
        assert_eq!(accepts(&headers), expected, "{header}");
    }

    #[test]
    fn who_takes_gzip_says_so() {
        check("gzip", true);
        check("deflate, gzip;q=1.0, *;q=0.5", true);
        check("GZIP", true);
        check("gzip;q=0", false);
        check("identity", false);
        check("xgzip", false);
    }

    async fn sent(pieces: Vec<Vec<u8>>) -> (Option<HeaderValue>, Vec<u8>) {
        let stream =
            futures::stream::iter(pieces.into_iter().map(|p| Ok::<_, std::convert::Infallible>(Bytes::from(p))));
        let answer = large(Answer::new(Body::from_stream(stream))).await;
        let encoding = answer.headers().get(header::CONTENT_ENCODING).cloned();
        (encoding, answer.into_body().collect().await.unwrap().to_bytes().to_vec())
    }

    #[tokio::test]
    async fn only_large_answers_are_compressed_and_nothing_is_lost() {
        let (encoding, body) = sent(vec![vec![b'a'; 1000], vec![b'b'; 1000]]).await;
        assert!(encoding.is_none() && body.len() == 2000);
        let pieces: Vec<Vec<u8>> = (0..200u32).map(|at| format!("{at:04}").repeat(500).into_bytes()).collect();
        let whole = pieces.concat();
        let (encoding, body) = sent(pieces).await;
        assert_eq!(encoding, Some(HeaderValue::from_static("gzip")));
        assert!(body.len() < whole.len() / 4);
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut read).unwrap();
        assert!(read == whole);
    }
}
