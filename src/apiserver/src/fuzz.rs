//! Doors for `tests/fuzz` to what reads requests, tokens, certificates, streams and the answers of other servers.
//!
//! In: any bytes. Out: nothing, or a panic that says which promise was broken. Only with the feature `fuzz`; touches no
//! file, no clock and no network.

mod documents;
mod streams;
mod trust;

use kedge_api::kinds::{Kinds, Sub};

pub use documents::{aggregated, html, review};
pub use streams::{spdy, websocket};
pub use trust::{backup, certificate_request, client_certificate, der, token};

use crate::media;
use crate::query::{ListOptions, Query, WriteOptions, dry_run};
use crate::registry::cursor::Cursor;
use crate::request;
use crate::streams::{options, portforward};

/// A query string and every option that is read from one.
pub fn query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let query = Query::parse(text);
    if let Ok(one) = ListOptions::parse(&query) {
        assert_eq!(ListOptions::parse(&query).as_ref(), Ok(&one));
    }
    let _ = WriteOptions::parse(&query);
    let _ = dry_run(query.all("dryRun"));
    let _ = options::log(&query, "a");
    for command in [true, false] {
        if let Ok(one) = options::exec(&query, command) {
            assert!(one.command.is_empty() != command && !(one.tty && one.stderr));
        }
    }
    if let Ok(ports) = portforward::ports(&query) {
        assert!(!ports.is_empty() && ports.len() <= 64 && !ports.contains(&0));
    }
    let kinds = Kinds::builtin();
    let pods = kinds.by_word("pods").expect("is built in");
    for sub in [Sub::Exec, Sub::Attach, Sub::PortForward] {
        assert!(options::object(pods, sub, &query).is_object());
    }
}

/// A path, then perhaps `?` and a query.
pub fn request_path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let query = Query::parse(query);
    for method in
        [http::Method::GET, http::Method::POST, http::Method::DELETE, http::Method::PATCH, http::Method::OPTIONS]
    {
        let info = request::parse(&method, path, &query);
        assert!(info.resource_request || info.resource.is_empty() && info.name.is_empty() && info.group.is_empty());
        assert!(info.rest.is_empty() || info.rest.starts_with('/'), "{info:?}");
        assert!(!info.verb.as_str().is_empty());
    }
}

/// Headers of media types, one a line: `Accept`, then `Content-Type`.
pub fn media_types(bytes: &[u8]) {
    let mut headers = http::HeaderMap::new();
    let names = [http::header::ACCEPT, http::header::CONTENT_TYPE];
    for (name, line) in names.into_iter().zip(bytes.split(|byte| *byte == b'\n')) {
        if let Ok(value) = http::HeaderValue::from_bytes(line) {
            headers.insert(name, value);
        }
    }
    let choices = media::choices(&media::accept(&headers));
    assert!(choices.iter().all(|choice| !choice.kind.is_empty() && choice.param("q").is_empty()));
    for offer in [
        media::Offer::ITSELF,
        media::Offer { shapes: true, protobuf: true },
        media::Offer { shapes: true, protobuf: false },
    ] {
        if let Ok(accepted) = media::negotiate(&headers, offer) {
            assert!(!accepted.content_type().is_empty());
            let bare = accepted.shape == media::Shape::Metadata;
            assert!(offer.protobuf || bare || accepted.format != media::Format::Protobuf);
            assert!(offer.shapes || accepted.shape == media::Shape::Whole);
        }
    }
    let _ = media::body_format(&headers);
    assert!(!matches!(media::patch_kind(&headers, true), Ok(media::PatchKind::Strategic)));
}

/// A continue token, as it is and as what one is made of.
pub fn continue_token(bytes: &[u8]) {
    use base64::Engine as _;
    let inner = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    for token in [std::str::from_utf8(bytes).unwrap_or_default(), &inner] {
        let Ok(cursor) = Cursor::decode(token) else { continue };
        // No key is nearly as long as a token may be.
        if cursor.after.len() < 1000 {
            assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor.clone()));
        }
        // Whatever a token says, the list goes on below its own prefix.
        assert!(!cursor.after.is_empty() && !cursor.after.starts_with('/') && cursor.revision != Some(0));
    }
}
