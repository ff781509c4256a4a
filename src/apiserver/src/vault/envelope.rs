//! One sealed value: `k8s:enc:ALGORITHM:v1:NAME:`, then what the algorithm makes of the bytes (`cipher.rs`).
//!
//! In: a key, the store's key of the value, the bytes. Out: the same sealed, or opened. Inside the
//! seal the place of the revision comes first, since the store cannot write it there.

use bytes::Bytes;
use kedge_store::{Body, Revision};

use super::cipher::{Algorithm, Cipher};

/// What every sealed value begins with; JSON never does.
pub const MARK: &[u8] = b"k8s:enc:";
/// A key's name is at most this long.
pub const NAME: usize = 64;
/// Stands for "no revision inside".
const NOWHERE: u32 = u32::MAX;

/// A key with its name.
pub struct Secret {
    /// Its name in the settings, and in what it seals.
    pub name: String,
    cipher: Cipher,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({})", self.name)
    }
}

impl Secret {
    /// A key of a length that the algorithm takes.
    pub fn new(algorithm: Algorithm, name: &str, bytes: &[u8]) -> Option<Secret> {
        Some(Secret { name: name.to_owned(), cipher: Cipher::new(algorithm, bytes)? })
    }
}

/// A sealed value, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// The name of the key; empty if the value is sealed in a way that is not known here.
    pub name: &'a str,
    algorithm: Option<Algorithm>,
    rest: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Reads a value; `None` if it is not sealed at all.
    pub fn parse(bytes: &'a [u8]) -> Option<Sealed<'a>> {
        let after = bytes.strip_prefix(MARK)?;
        let known = || {
            let (algorithm, rest) = Algorithm::ALL.into_iter().find_map(|algorithm| {
                let rest = after.strip_prefix(algorithm.name().as_bytes())?.strip_prefix(b":v1:")?;
                Some((algorithm, rest))
            })?;
            let end = rest.iter().take(NAME + 1).position(|b| *b == b':')?;
            let name = std::str::from_utf8(&rest[..end]).ok()?;
            Some(Sealed { name, algorithm: Some(algorithm), rest: &rest[end + 1..] })
        };
        Some(known().unwrap_or(Sealed { name: "", algorithm: None, rest: &[] }))
    }

    /// Whether it was made by a key of this name, in its way.
    pub fn is_by(&self, secret: &Secret) -> bool {
        self.name == secret.name && self.algorithm == Some(secret.cipher.algorithm())
    }
}

/// Seals a body for its place.
pub fn seal(secret: &Secret, place: &str, body: &Body) -> Bytes {
    let stamp = body.stamp.and_then(|at| u32::try_from(at).ok()).unwrap_or(NOWHERE);
    let mut plain = Vec::with_capacity(body.bytes.len() + 4);
    plain.extend_from_slice(&stamp.to_le_bytes());
    plain.extend_from_slice(&body.bytes);
    let head = format!("k8s:enc:{}:v1:{}:", secret.cipher.algorithm().name(), secret.name);
    let mut out = head.into_bytes();
    secret.cipher.seal(place, plain, &mut out);
    Bytes::from(out)
}

/// The bytes of a sealed value, with the revision in its place; `None` if the key does not fit.
pub fn open(secret: &Secret, place: &str, sealed: &Sealed<'_>, revision: Revision) -> Option<Bytes> {
    if !sealed.is_by(secret) {
        return None;
    }
    let opened = secret.cipher.open(place, sealed.rest)?;
    let (stamp, body) = opened.split_first_chunk::<4>()?;
    let stamp = u32::from_le_bytes(*stamp);
    // What was sealed is an object. Of a cipher that proves nothing this tells most wrong keys.
    if body.first() != Some(&b'{') {
        return None;
    }
    if stamp == NOWHERE {
        return Some(Bytes::copy_from_slice(body));
    }
    let (before, after) = body.split_at_checked(usize::try_from(stamp).ok()?)?;
    Some(Bytes::from([before, revision.to_string().as_bytes(), after].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str, byte: u8) -> Secret {
        Secret::new(Algorithm::AesGcm, name, &[byte; 32]).unwrap()
    }

    #[track_caller]
    fn check(opener: &Secret, place: &str, change: impl FnOnce(&mut Vec<u8>), expected: Option<&str>) {
        let body = Body::stamped_at(r#"{"rv":""}"#.as_bytes(), 7);
        let mut bytes = seal(&secret("k", 1), "/core/secrets/a/b", &body).to_vec();
        assert!(!bytes.windows(4).any(|w| w == b"\"rv\""), "nothing shows through");
        change(&mut bytes);
        let sealed = Sealed::parse(&bytes).unwrap();
        let seen = open(opener, place, &sealed, 42);
        assert_eq!(seen.as_deref(), expected.map(str::as_bytes));
    }

    #[test]
    fn a_value_opens_in_its_place_by_its_key_only() {
        let place = "/core/secrets/a/b";
        check(&secret("k", 1), place, |_| (), Some(r#"{"rv":"42"}"#));
        check(&secret("k", 2), place, |_| (), None);
        check(&secret("k", 1), "/core/secrets/a/c", |_| (), None);
        check(&secret("k", 1), place, |b| *b.last_mut().unwrap() ^= 1, None);
        check(&secret("k", 1), place, |b| b.truncate(b.len() - 1), None);
        check(&secret("k", 1), place, |b| b.truncate("k8s:enc:aesgcm:v1:".len() + 3), None);
    }

    #[test]
    fn other_values_are_told_apart() {
        assert_eq!(Sealed::parse(b"{\"a\":1}"), None);
        assert_eq!(Sealed::parse(b""), None);
        for bytes in [
            b"k8s:enc:kms:v2:x:".as_slice(),
            b"k8s:enc:",
            b"k8s:enc:aesgcm:v1:no-end",
            b"k8s:enc:aesgcm:v1:\xff:012345678901",
        ] {
            assert_eq!(Sealed::parse(bytes).unwrap().name, "");
        }
        let new = |length: usize| Secret::new(Algorithm::AesGcm, "k", &vec![0; length]);
        assert!(new(24).is_none() && new(16).is_some());
    }
}
