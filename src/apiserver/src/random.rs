//! Randomness as a parameter: uids, name suffixes, token ids.
//!
//! In: a source of bytes. Out: texts in Kubernetes' forms. Never used for keys: those come from ring.

use std::sync::Arc;

use ring::rand::{SecureRandom as _, SystemRandom};

/// Fills bytes at random.
type Fill = dyn Fn(&mut [u8]) + Send + Sync;

/// A source of random bytes. Cloned freely; tests give a closure.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random")
    }
}

/// Letters and digits that make no words and are not taken for each other.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Random characters at the end of a generated name.
const SUFFIX: usize = 5;
/// A name is at most 63 bytes; the suffix takes five.
const MAX_GENERATED_BASE: usize = 63 - SUFFIX;

impl Random {
    /// Bytes from the given source.
    pub fn new(fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        Random(Arc::new(fill))
    }

    /// Bytes from the system.
    pub fn system() -> Self {
        let system = SystemRandom::new();
        // The system's source fails only before it was seeded; ring waits for that.
        Random::new(move |out| {
            let _ = system.fill(out);
        })
    }

    /// A random uid (RFC 9562 version 4).
    pub fn uid(&self) -> String {
        let mut b = [0u8; 16];
        (self.0)(&mut b);
        b[6] = b[6] & 0x0f | 0x40;
        b[8] = b[8] & 0x3f | 0x80;
        let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
        let mut uid = String::with_capacity(36);
        for (at, byte) in b.into_iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                uid.push('-');
            }
            uid.extend([digit(byte >> 4), digit(byte & 0x0f)]);
        }
        uid
    }

    /// Five random characters.
    pub fn suffix(&self) -> String {
        let mut out = String::with_capacity(SUFFIX);
        while out.len() < SUFFIX {
            let mut bytes = [0u8; 16];
            (self.0)(&mut bytes);
            // 9 * 27 = 243: bytes from there on would favour some characters.
            let fair = bytes.iter().filter(|b| usize::from(**b) < SUFFIX_ALPHABET.len() * 9);
            out.extend(
                fair.take(SUFFIX - out.len())
                    .map(|b| char::from(SUFFIX_ALPHABET[usize::from(*b) % SUFFIX_ALPHABET.len()])),
            );
        }
        out
    }

    /// A name from `generateName`.
    pub fn name(&self, base: &str) -> String {
        let mut end = base.len().min(MAX_GENERATED_BASE);
        while !base.is_char_boundary(end) {
            end -= 1;
        }
        format!("{}{}", &base[..end], self.suffix())
    }

    /// A number below `bound`.
    pub fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0u8; 8];
        (self.0)(&mut bytes);
        u64::from_be_bytes(bytes) % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_kubernetes_forms() {
        let random = Random::system();
        let uid = random.uid();
        assert_eq!((uid.len(), &uid[14..15]), (36, "4"));
        let counting = Random::new(|out| out.iter_mut().zip(0..).for_each(|(byte, at)| *byte = at));
        assert_eq!(counting.uid(), "00010203-0405-4607-8809-0a0b0c0d0e0f");
        let name = random.name(&"x".repeat(80));
        assert_eq!(name.len(), 63);
        assert!(name[58..].bytes().all(|b| SUFFIX_ALPHABET.contains(&b)));
        assert_ne!(random.name("a-"), random.name("a-"));
    }
}
