//! One sealed value: `k8s:enc:aesgcm:v1:NAME:`, a nonce, and the bytes under AES-GCM.
//!
//! In: a key, the store's key of the value, the bytes. Out: the same sealed, or opened. The store's
//! key is authenticated with the value, so a value moved to another place does not open. Inside the
//! seal the place of the revision comes first, since the store cannot write it there.

use bytes::Bytes;
use kedge_store::{Body, Revision};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

/// What every sealed value begins with; JSON never does.
pub const MARK: &[u8] = b"k8s:enc:";
const ALGORITHM: &[u8] = b"k8s:enc:aesgcm:v1:";
/// A key's name is at most this long.
pub const NAME: usize = 64;
/// Stands for "no revision inside".
const NOWHERE: u32 = u32::MAX;

/// A key with its name.
pub struct Secret {
    /// Its name in the settings, and in what it seals.
    pub name: String,
    key: LessSafeKey,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({})", self.name)
    }
}

impl Secret {
    /// A key of 16 or 32 bytes.
    pub fn new(name: &str, bytes: &[u8]) -> Option<Secret> {
        let algorithm = match bytes.len() {
            16 => &AES_128_GCM,
            32 => &AES_256_GCM,
            _ => return None,
        };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, bytes).ok()?);
        Some(Secret { name: name.to_owned(), key })
    }
}

/// A sealed value, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// The name of the key; empty if the value is sealed in a way that is not known here.
    pub name: &'a str,
    nonce: [u8; NONCE_LEN],
    rest: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Reads a value; `None` if it is not sealed at all.
    pub fn parse(bytes: &'a [u8]) -> Option<Sealed<'a>> {
        if !bytes.starts_with(MARK) {
            return None;
        }
        let unknown = Sealed { name: "", nonce: [0; NONCE_LEN], rest: &[] };
        let known = || {
            let rest = bytes.strip_prefix(ALGORITHM)?;
            let end = rest.iter().take(NAME + 1).position(|b| *b == b':')?;
            let (nonce, sealed) = rest.get(end + 1..)?.split_first_chunk::<NONCE_LEN>()?;
            Some(Sealed { name: std::str::from_utf8(&rest[..end]).ok()?, nonce: *nonce, rest: sealed })
        };
        Some(known().unwrap_or(unknown))
    }

    /// Whether it names this key.
    pub fn is_by(&self, secret: &Secret) -> bool {
        self.name == secret.name
    }
}

/// Seals a body for its place.
pub fn seal(secret: &Secret, place: &str, body: &Body) -> Bytes {
    let stamp = body.stamp.and_then(|at| u32::try_from(at).ok()).unwrap_or(NOWHERE);
    let mut nonce = [0u8; NONCE_LEN];
    // The system's source fails only before it was seeded; ring waits for that.
    let _ = SystemRandom::new().fill(&mut nonce);
    let mut sealed = Vec::with_capacity(body.bytes.len() + 4 + 16);
    sealed.extend_from_slice(&stamp.to_le_bytes());
    sealed.extend_from_slice(&body.bytes);
    let aad = Aad::from(place.as_bytes());
    // Fails only above 64 GiB, and no body is.
    let _ = secret.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed);
    let mut out = Vec::with_capacity(ALGORITHM.len() + secret.name.len() + 1 + NONCE_LEN + sealed.len());
    out.extend_from_slice(ALGORITHM);
    out.extend_from_slice(secret.name.as_bytes());
    out.push(b':');
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&sealed);
    Bytes::from(out)
}

/// The bytes of a sealed value, with the revision in its place; `None` if the key does not fit.
pub fn open(secret: &Secret, place: &str, sealed: &Sealed<'_>, revision: Revision) -> Option<Bytes> {
    let mut bytes = sealed.rest.to_vec();
    let aad = Aad::from(place.as_bytes());
    let opened = secret.key.open_in_place(Nonce::assume_unique_for_key(sealed.nonce), aad, &mut bytes).ok()?;
    let (stamp, body) = opened.split_first_chunk::<4>()?;
    let stamp = u32::from_le_bytes(*stamp);
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
        Secret::new(name, &[byte; 32]).unwrap()
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
        check(&secret("k", 1), place, |b| b.truncate(ALGORITHM.len() + 3), None);
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
        assert!(Secret::new("k", &[0; 24]).is_none() && Secret::new("k", &[0; 16]).is_some());
    }
}
