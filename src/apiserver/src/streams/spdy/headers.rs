//! SPDY/3 header blocks: names and values behind one zlib stream for each direction.
//!
//! In: blocks as they came. Out: pairs of lower-case names and values, or what is wrong. The other way round, blocks
//! that are stored rather than compressed: what this server says has hardly any headers. Everything that comes in is
//! hostile: a block has limits before and after it is unpacked.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

/// Unpacked, a block is at most this: streams of Kubernetes' clients have three headers of a few bytes.
const UNPACKED: usize = 16 * 1024;
/// Headers of one block.
const HEADERS: usize = 64;
/// How far back deflate may refer.
const WINDOW: usize = 32 * 1024;

/// The words that both ends know before anything is said, each after its length (the dictionary of SPDY/3).
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language \
    accept-ranges age allow authorization cache-control connection content-base content-encoding content-language \
    content-length content-location content-md5 content-range content-type date etag expect expires from host if-match \
    if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma \
    proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
    user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie \
    keep-alive origin";
/// What follows them, without lengths.
const TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
    203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized\
    403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable\
    Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT\
    chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
    text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
/// Adler-32 of the dictionary, by which zlib names it.
const DICTIONARY_ID: [u8; 4] = [0xe3, 0xc6, 0xa7, 0xc2];

fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1423);
    for word in WORDS.split(' ') {
        let word = word.replace('_', " ");
        bytes.extend((word.len() as u32).to_be_bytes());
        bytes.extend(word.as_bytes());
    }
    bytes.extend(TAIL.as_bytes());
    bytes
}

/// Names and values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The value of that name, which is lower-case; empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// Reads an unpacked block.
    fn read(mut bytes: &[u8]) -> Result<Headers, &'static str> {
        let count = number(&mut bytes)? as usize;
        if count > HEADERS {
            return Err("a block has too many headers");
        }
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            let name = text(&mut bytes)?;
            let value = text(&mut bytes)?;
            // Several values are joined by NUL; the first is the one that counts.
            let value = value.split('\0').next().unwrap_or_default().to_owned();
            all.push((name.to_ascii_lowercase(), value));
        }
        Ok(Headers(all))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Headers {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Headers(pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec())
    }
}

fn number(bytes: &mut &[u8]) -> Result<u32, &'static str> {
    let (head, rest) = bytes.split_first_chunk::<4>().ok_or("a block of headers is cut short")?;
    *bytes = rest;
    Ok(u32::from_be_bytes(*head))
}

fn text(bytes: &mut &[u8]) -> Result<String, &'static str> {
    let length = number(bytes)? as usize;
    let (head, rest) = bytes.split_at_checked(length).ok_or("a block of headers is cut short")?;
    *bytes = rest;
    String::from_utf8(head.to_vec()).map_err(|_| "a header is no UTF-8")
}

/// Unpacks the blocks of one direction, in order.
pub struct Inflater {
    state: Box<DecompressorOxide>,
    /// A ring; before anything is said it holds the dictionary.
    window: Box<[u8]>,
    at: usize,
    begun: bool,
}

impl Inflater {
    /// At the beginning of a connection.
    pub fn new() -> Self {
        let mut window = vec![0; WINDOW].into_boxed_slice();
        let dictionary = dictionary();
        window[..dictionary.len()].copy_from_slice(&dictionary);
        Inflater { state: Box::default(), window, at: dictionary.len(), begun: false }
    }

    /// The headers of the next block.
    pub fn read(&mut self, block: &[u8]) -> Result<Headers, &'static str> {
        let mut input = block;
        if !self.begun {
            let (head, rest) = input.split_first_chunk::<2>().ok_or("the first block has no zlib header")?;
            if head[0] & 0x0f != 8 || !u16::from_be_bytes(*head).is_multiple_of(31) {
                return Err("the first block has no zlib header");
            }
            input = rest;
            if head[1] & 0x20 != 0 {
                input = input.strip_prefix(&DICTIONARY_ID).ok_or("the headers use another dictionary")?;
            }
            self.begun = true;
        }
        let mut unpacked = Vec::new();
        loop {
            let flags = inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
            let (status, used, wrote) = decompress(&mut self.state, input, &mut self.window, self.at, flags);
            unpacked.extend_from_slice(self.window.get(self.at..self.at + wrote).unwrap_or_default());
            if unpacked.len() > UNPACKED {
                return Err("a block of headers is too long");
            }
            self.at = (self.at + wrote) % WINDOW;
            input = input.get(used..).unwrap_or_default();
            match status {
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput if input.is_empty() => return Headers::read(&unpacked),
                _ => return Err("a block of headers cannot be unpacked"),
            }
        }
    }
}

/// Packs the blocks of one direction, in order.
#[derive(Default)]
pub struct Packer {
    begun: bool,
}

impl Packer {
    /// The next block.
    pub fn block(&mut self, headers: &Headers) -> Vec<u8> {
        let mut plain = (headers.0.len() as u32).to_be_bytes().to_vec();
        for text in headers.0.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend((text.len() as u32).to_be_bytes());
            plain.extend(text.as_bytes());
        }
        let mut block = Vec::with_capacity(plain.len() + 16);
        if !self.begun {
            self.begun = true;
            // Deflate with a window of 32 KiB, not compressed, with a dictionary; a multiple of 31.
            block.extend([0x78, 0x20]);
            block.extend(DICTIONARY_ID);
        }
        for piece in plain.chunks(usize::from(u16::MAX)) {
            let length = piece.len() as u16;
            block.push(0);
            block.extend(length.to_le_bytes());
            block.extend((!length).to_le_bytes());
            block.extend(piece);
        }
        // An empty piece: decoders hand out what they hold when they see it.
        block.extend([0, 0, 0, 0xff, 0xff]);
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adler32(bytes: &[u8]) -> u32 {
        let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65521;
            (a, (b + a) % 65521)
        });
        b << 16 | a
    }

    #[test]
    fn the_dictionary_is_the_one_of_spdy_3() {
        assert_eq!(dictionary().len(), 1423);
        assert_eq!(adler32(&dictionary()).to_be_bytes(), DICTIONARY_ID);
    }

    fn bytes(hex: &str) -> Vec<u8> {
        hex.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// Two blocks as zlib makes them: the second is little more than references to the first.
    #[test]
    fn blocks_of_zlib_are_read_in_order() {
        let first =
            "78f9e3c6a7c202253a703a2b294a4dcc851625aca9a0808614cb45e01c6061606100a4398b20d198094ade8c0600000000ffff";
        let second = "c2aa19540e2512d60b000000ffff";
        let mut inflater = Inflater::new();
        let headers = |kind| Headers::from([("streamtype", kind), ("port", "8080"), ("requestid", "0")]);
        assert_eq!(inflater.read(&bytes(first)), Ok(headers("error")));
        assert_eq!(inflater.read(&bytes(second)), Ok(headers("data")));
    }

    #[test]
    fn blocks_survive_packing() {
        let mut packer = Packer::default();
        let mut inflater = Inflater::new();
        for headers in [
            Headers::from([("streamtype", "error"), ("port", "80")]),
            Headers::default(),
            Headers::from([("streamtype", "data"), ("requestid", "1")]),
        ] {
            assert_eq!(inflater.read(&packer.block(&headers)), Ok(headers));
        }
    }

    #[test]
    fn hostile_blocks_are_refused() {
        for block in [&b""[..], b"\x78", b"\xff\xff", b"\x78\xbb\0\0\0\0", b"\x78\x20\xe3\xc6\xa7\xc2\x07"] {
            assert!(Inflater::new().read(block).is_err(), "{block:x?}");
        }
        let mut many = 65u32.to_be_bytes().to_vec();
        many.resize(4 + 65 * 8, 0);
        assert!(Headers::read(&many).is_err());
        assert!(Headers::read(&[0, 0, 0, 1, 0, 0, 0, 9, b'x']).is_err());
        assert!(Headers::read(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]).is_err());
        let long = Headers::from([("a", "x".repeat(UNPACKED).as_str())]);
        assert!(Inflater::new().read(&Packer::default().block(&long)).is_err());
    }

    #[test]
    fn names_are_lower_case_and_the_first_value_counts() {
        let block = Packer::default().block(&Headers::from([("StreamType", "data\0error")]));
        assert_eq!(Inflater::new().read(&block).unwrap().get("streamtype"), "data");
    }
}
