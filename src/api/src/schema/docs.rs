//! The documentation of types and fields, inflated for as long as somebody reads it.
//!
//! In: the deflated file. Out: texts by number. Kept nowhere: `explain` and OpenAPI open it and drop it.

use std::io::Read as _;

static DEFLATED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/docs.bin"));

/// Open documentation: about 700 KB while it lives.
#[derive(Debug)]
pub struct Docs {
    bytes: Vec<u8>,
    texts: usize,
}

impl Docs {
    /// Inflates the documentation.
    pub fn open() -> Docs {
        let mut bytes = Vec::new();
        // What build.rs deflated inflates; were it not so, everything would be undocumented.
        if flate2::read::DeflateDecoder::new(DEFLATED).read_to_end(&mut bytes).is_err() {
            bytes.clear();
        }
        let texts = bytes.first_chunk::<4>().map_or(0, |word| u32::from_le_bytes(*word) as usize);
        Docs { bytes, texts }
    }

    /// No documentation: for documents that leave it out.
    pub const fn closed() -> Docs {
        Docs { bytes: Vec::new(), texts: 0 }
    }

    /// The text of that number.
    pub(super) fn text(&self, number: u16) -> &str {
        let number = usize::from(number);
        if number >= self.texts {
            return "";
        }
        let end = |of: usize| match self.bytes.get(4 * of..4 * of + 4) {
            Some(&[a, b, c, d]) if of > 0 => u32::from_le_bytes([a, b, c, d]) as usize,
            _ => 0,
        };
        let base = 4 + 4 * self.texts;
        let text = self.bytes.get(base + end(number)..base + end(number + 1));
        text.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }
}
