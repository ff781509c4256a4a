//! The ciphers of Kubernetes' providers `aesgcm`, `aescbc` and `secretbox`, with a nonce of its own for each value.
//!
//! In: a key, bytes. Out: nonce and sealed bytes, and back. `aesgcm` authenticates the value's place with it, so a value
//! moved elsewhere does not open; `secretbox` authenticates the value alone; `aescbc` proves nothing and is there for
//! files that name it.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut as _, BlockEncryptMut as _, KeyIvInit as _};
use aes::{Aes128, Aes192, Aes256};
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use crypto_secretbox::{Nonce as BoxNonce, XSalsa20Poly1305};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

const IV: usize = 16;
const BOX_NONCE: usize = 24;

/// A way to seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// AES in Galois mode.
    AesGcm,
    /// AES in chained blocks, with PKCS #7.
    AesCbc,
    /// XSalsa20 and Poly1305.
    Secretbox,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 3] = [Algorithm::AesGcm, Algorithm::AesCbc, Algorithm::Secretbox];

    /// The provider's name, in settings and in what it seals.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::AesGcm => "aesgcm",
            Algorithm::AesCbc => "aescbc",
            Algorithm::Secretbox => "secretbox",
        }
    }

    /// How long its keys are, in words.
    pub const fn lengths(self) -> &'static str {
        match self {
            Algorithm::AesGcm => "16 or 32",
            Algorithm::AesCbc => "16, 24 or 32",
            Algorithm::Secretbox => "32",
        }
    }
}

/// A key, made ready.
pub enum Cipher {
    /// See [`Algorithm::AesGcm`].
    AesGcm(Box<LessSafeKey>),
    /// See [`Algorithm::AesCbc`].
    AesCbc(Vec<u8>),
    /// See [`Algorithm::Secretbox`].
    Secretbox(Box<XSalsa20Poly1305>),
}

impl Cipher {
    /// A key of a length that the algorithm takes.
    pub fn new(algorithm: Algorithm, key: &[u8]) -> Option<Cipher> {
        Some(match algorithm {
            Algorithm::AesGcm => {
                let own = match key.len() {
                    16 => &AES_128_GCM,
                    32 => &AES_256_GCM,
                    _ => return None,
                };
                Cipher::AesGcm(Box::new(LessSafeKey::new(UnboundKey::new(own, key).ok()?)))
            }
            Algorithm::AesCbc => Cipher::AesCbc(matches!(key.len(), 16 | 24 | 32).then(|| key.to_vec())?),
            Algorithm::Secretbox => Cipher::Secretbox(Box::new(XSalsa20Poly1305::new_from_slice(key).ok()?)),
        })
    }

    /// What it is a key of.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Cipher::AesGcm(_) => Algorithm::AesGcm,
            Cipher::AesCbc(_) => Algorithm::AesCbc,
            Cipher::Secretbox(_) => Algorithm::Secretbox,
        }
    }

    /// Puts nonce and sealed bytes to the end of `out`.
    pub fn seal(&self, place: &str, mut plain: Vec<u8>, out: &mut Vec<u8>) {
        match self {
            Cipher::AesGcm(key) => {
                let nonce: [u8; NONCE_LEN] = random();
                // Fails only above 64 GiB, and no body is.
                let _ = key.seal_in_place_append_tag(
                    Nonce::assume_unique_for_key(nonce),
                    Aad::from(place.as_bytes()),
                    &mut plain,
                );
                out.extend_from_slice(&nonce);
                out.extend_from_slice(&plain);
            }
            Cipher::AesCbc(key) => {
                let iv: [u8; IV] = random();
                out.extend_from_slice(&iv);
                out.extend_from_slice(&chained(key, &iv, &plain));
            }
            Cipher::Secretbox(key) => {
                let nonce: [u8; BOX_NONCE] = random();
                out.extend_from_slice(&nonce);
                // Fails only above 256 GiB.
                out.extend_from_slice(&key.encrypt(BoxNonce::from_slice(&nonce), plain.as_slice()).unwrap_or_default());
            }
        }
    }

    /// The bytes that were sealed; `None` if the key is another one or they were changed.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        match self {
            Cipher::AesGcm(key) => {
                let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
                let mut bytes = sealed.to_vec();
                let aad = Aad::from(place.as_bytes());
                let length = key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut bytes).ok()?.len();
                bytes.truncate(length);
                Some(bytes)
            }
            Cipher::AesCbc(key) => {
                let (iv, sealed) = sealed.split_first_chunk::<IV>()?;
                unchained(key, iv, sealed)
            }
            Cipher::Secretbox(key) => {
                let (nonce, sealed) = sealed.split_first_chunk::<BOX_NONCE>()?;
                key.decrypt(BoxNonce::from_slice(nonce), sealed).ok()
            }
        }
    }
}

/// Lengths of keys were checked when the cipher was made: a wrong one gives nothing.
fn chained(key: &[u8], iv: &[u8; IV], plain: &[u8]) -> Vec<u8> {
    macro_rules! with {
        ($aes:ty) => {
            cbc::Encryptor::<$aes>::new_from_slices(key, iv).map(|c| c.encrypt_padded_vec_mut::<Pkcs7>(plain))
        };
    }
    match key.len() {
        16 => with!(Aes128),
        24 => with!(Aes192),
        _ => with!(Aes256),
    }
    .unwrap_or_default()
}

fn unchained(key: &[u8], iv: &[u8; IV], sealed: &[u8]) -> Option<Vec<u8>> {
    macro_rules! with {
        ($aes:ty) => {
            cbc::Decryptor::<$aes>::new_from_slices(key, iv).ok()?.decrypt_padded_vec_mut::<Pkcs7>(sealed).ok()
        };
    }
    match key.len() {
        16 => with!(Aes128),
        24 => with!(Aes192),
        _ => with!(Aes256),
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The system's source fails only before it was seeded; ring waits for that.
    let _ = SystemRandom::new().fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(algorithm: Algorithm, length: usize, takes: bool) {
        let cipher = |byte: u8| Cipher::new(algorithm, &vec![byte; length]);
        assert_eq!(cipher(1).is_some(), takes, "{algorithm:?} {length}");
        let (Some(one), Some(other)) = (cipher(1), cipher(2)) else { return };
        for plain in [&b""[..], b"0123456789abcdef", b"{}"] {
            let mut sealed = Vec::new();
            one.seal("a", plain.to_vec(), &mut sealed);
            assert_eq!(one.open("a", &sealed).as_deref(), Some(plain));
            assert_ne!(other.open("a", &sealed).as_deref(), Some(plain));
            assert_eq!(one.open("b", &sealed).is_none(), algorithm == Algorithm::AesGcm, "the place is part of it");
            for end in 0..sealed.len() {
                assert_ne!(one.open("a", &sealed[..end]).as_deref(), Some(plain), "cut at {end}");
            }
        }
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_alone() {
        for (length, takes) in [(0, [false; 3]), (16, [true, true, false]), (24, [false, true, false]), (32, [true; 3])]
        {
            for (algorithm, takes) in Algorithm::ALL.into_iter().zip(takes) {
                check(algorithm, length, takes);
            }
        }
    }

    /// AES-128-CBC of RFC 3602, case 1, and a box of NaCl's own tests.
    #[test]
    fn known_values_open() {
        let hex = |text: &str| -> Vec<u8> {
            let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
            (0..text.len()).step_by(2).map(digit).collect()
        };
        let key = hex("06a9214036b8a15b512e03d534120006");
        let iv = hex("3dafba429d9eb430b422da802c9fac41");
        let made = chained(&key, &iv.try_into().unwrap(), b"Single block msg");
        assert_eq!(made[..16], hex("e353779c1079aeb82708942dbe77181a"));
        let cipher = Cipher::new(Algorithm::Secretbox, &[7; 32]).unwrap();
        let mut sealed = Vec::new();
        cipher.seal("", b"x".to_vec(), &mut sealed);
        assert_eq!(sealed.len(), BOX_NONCE + 16 + 1);
    }
}
