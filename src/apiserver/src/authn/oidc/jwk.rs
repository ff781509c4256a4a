//! Public keys of issuers (JSON Web Keys), and whether a signature is of one.
//!
//! In: a key set as JSON, a signed text. Out: keys, yes or no. By ring only; keys of kinds and
//! algorithms that are not known here are left out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::Value;

/// Keys of one issuer that are read: issuers publish two to ten.
const MOST: usize = 64;

/// Algorithms that are accepted. Never `none`, and none with a shared secret.
pub const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    id: String,
    /// The one algorithm it is for, if it says so.
    algorithm: Option<String>,
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// The signing keys of a set; what is no such key is left out.
pub fn read_set(set: &Value) -> Vec<Key> {
    set["keys"].as_array().into_iter().flatten().take(MOST).filter_map(read).collect()
}

fn read(key: &Value) -> Option<Key> {
    let text = |name: &str| key[name].as_str();
    if text("use").is_some_and(|u| u != "sig") {
        return None;
    }
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    let point = |size: usize| {
        let (x, y) = (bytes("x")?, bytes("y")?);
        (x.len() == size && y.len() == size).then(|| [&[4u8][..], &x, &y].concat())
    };
    let material = match (text("kty")?, text("crv")) {
        ("RSA", _) => Material::Rsa { n: bytes("n")?, e: bytes("e")? },
        ("EC", Some("P-256")) => Material::P256(point(32)?),
        ("EC", Some("P-384")) => Material::P384(point(48)?),
        ("OKP", Some("Ed25519")) => Material::Ed25519(bytes("x")?),
        _ => return None,
    };
    Some(Key { id: text("kid").unwrap_or_default().to_owned(), algorithm: text("alg").map(str::to_owned), material })
}

impl Key {
    /// Whether a token that names this key id (or none) may be of this key.
    pub fn is(&self, id: Option<&str>) -> bool {
        id.is_none_or(|id| self.id.is_empty() || self.id == id)
    }

    /// Whether this key signed it by this algorithm.
    pub fn verify(&self, algorithm: &str, signed: &[u8], signature: &[u8]) -> bool {
        if self.algorithm.as_deref().is_some_and(|only| only != algorithm) {
            return false;
        }
        let by = |how: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(how, key).verify(signed, signature).is_ok()
        };
        match (&self.material, algorithm) {
            (Material::Rsa { n, e }, algorithm) => {
                let how = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
                    "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                    "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
                    "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
                    "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(how, signed, signature).is_ok()
            }
            (Material::P256(key), "ES256") => by(&signature::ECDSA_P256_SHA256_FIXED, key),
            (Material::P384(key), "ES384") => by(&signature::ECDSA_P384_SHA384_FIXED, key),
            (Material::Ed25519(key), "EdDSA") => by(&signature::ED25519, key),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::KeyPair as _;
    use serde_json::json;

    #[test]
    fn a_key_knows_its_signatures_and_no_others() {
        let random = ring::rand::SystemRandom::new();
        let how = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = signature::EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
        let pair = signature::EcdsaKeyPair::from_pkcs8(how, pkcs8.as_ref(), &random).unwrap();
        let point = pair.public_key().as_ref();
        let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
        let set = json!({"keys": [
            {"kty": "oct", "k": "c2VjcmV0"},
            {"kty": "EC", "crv": "P-256", "use": "enc", "x": part(1..33), "y": part(33..65)},
            {"kty": "EC", "crv": "P-256", "kid": "a", "alg": "ES256", "x": part(1..33), "y": part(33..65)},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "RSA", "n": "!", "e": "AQAB"},
        ]});
        let keys = read_set(&set);
        assert_eq!(keys.len(), 1);
        let signature = pair.sign(&random, b"text").unwrap();
        assert!(keys[0].verify("ES256", b"text", signature.as_ref()));
        assert!(!keys[0].verify("ES256", b"texT", signature.as_ref()));
        assert!(!keys[0].verify("ES384", b"text", signature.as_ref()));
        assert!(!keys[0].verify("none", b"text", b""));
        assert!(keys[0].is(None) && keys[0].is(Some("a")) && !keys[0].is(Some("b")));
        assert!(read_set(&json!([])).is_empty() && read_set(&json!({"keys": 7})).is_empty());
    }
}
