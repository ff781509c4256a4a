//! What edgectl reads of a certificate request. The program is no library, so its reader is compiled in here.
//!
//! In: the text of `spec.request`, or the DER within it. Out: a panic where something is shown that could do harm.

#[path = "../../../src/edgectl/src/describe/request.rs"]
mod reader;

use kedge_api::base64;

/// Both forms of a request.
pub fn request(bytes: &[u8]) {
    let inside = base64::encode(bytes);
    let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\n{inside}\n-----END CERTIFICATE REQUEST-----\n");
    for text in [String::from_utf8_lossy(bytes).into_owned(), base64::encode(pem.as_bytes())] {
        let Some(asked) = reader::read(&text) else { continue };
        let shown = asked.names.iter().map(|(_, name)| name.as_str()).chain(asked.subject("CN"));
        shown.for_each(|name| assert!(!name.contains(|c: char| c.is_control()), "{name:?}"));
    }
}
