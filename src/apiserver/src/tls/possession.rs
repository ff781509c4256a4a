//! Certificates for pods: whether whoever asks for one holds the key.
//!
//! In: the spec of a new PodCertificateRequest whose fields have the right shape. Out: what is wrong with its key, or with
//! the signature that shows that somebody has the other half of it. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kedge_api::field::{FieldError, Path};
use kedge_api::meta;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use super::{der, pss};

/// What makes a key, as elements of DER.
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const ED25519: &[u8] = &[6, 3, 0x2b, 0x65, 0x70];
const ELLIPTIC: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 0x22];
const P521: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 0x23];
const NULL: &[u8] = &[5, 0];

/// A public key.
enum Key<'a> {
    /// Of a kind whose signatures ring knows, over the message itself.
    Known(&'static dyn VerificationAlgorithm, &'a [u8]),
    Rsa {
        n: &'a [u8],
        e: &'a [u8],
    },
}

impl Key<'_> {
    fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Key::Known(how, key) => UnparsedPublicKey::new(*how, key).verify(message, signature).is_ok(),
            Key::Rsa { n, e } => pss::verify(n, e, message, signature),
        }
    }
}

/// What is wrong, if anything is.
pub fn fault(spec: &Value) -> Option<FieldError> {
    let root = Path::root("spec");
    let bytes = |name: &str| STANDARD.decode(meta::text(spec, name)).ok().filter(|bytes| !bytes.is_empty());
    let (place, proof, bytes) = match bytes("stubPKCS10Request") {
        Some(request) => (root.child("stubPKCS10Request"), None, request),
        None => {
            (root.child("pkixPublicKey"), Some(bytes("proofOfPossession").unwrap_or_default()), bytes("pkixPublicKey")?)
        }
    };
    // What is no sequence at all is told by the other checks.
    der::inside(&bytes)?;
    let Some(proof) = proof else {
        let parsed = match X509CertificationRequest::from_der(&bytes) {
            Ok(([], parsed)) => parsed,
            _ => return Some(FieldError::omitted(&place, "must be a valid PKCS#10 CSR")),
        };
        let held = key(parsed.certification_request_info.subject_pki.raw, &place);
        let fits = || parsed.verify_signature().is_ok();
        let why = "could not verify the signature of the certificate request";
        return held.map_or_else(Some, |_| (!fits()).then(|| FieldError::omitted(&place, why)));
    };
    match key(&bytes, &place) {
        Err(fault) => Some(fault),
        Ok(key) if key.signed(meta::text(spec, "podUID").as_bytes(), &proof) => None,
        Ok(_) => {
            let place = root.child("proofOfPossession");
            Some(FieldError::omitted(&place, "could not verify proof-of-possession signature"))
        }
    }
}

/// A key as it is in certificates, if it is of one of the kinds that pods may have.
fn key<'a>(info: &'a [u8], place: &Path<'_>) -> Result<Key<'a>, FieldError> {
    let unreadable = || FieldError::omitted(place, "must be a valid PKIX-serialized public key");
    let parts = der::elements(info).unwrap_or_default();
    let &[algorithm, bits] = parts.as_slice() else { return Err(unreadable()) };
    let (kind, bits) = (der::elements(algorithm).ok_or_else(unreadable)?, der::value(bits).ok_or_else(unreadable)?);
    match *kind.as_slice() {
        [ED25519] if bits.len() == 32 => Ok(Key::Known(&signature::ED25519, bits)),
        [ELLIPTIC, P256] if bits.len() == 65 => Ok(Key::Known(&signature::ECDSA_P256_SHA256_ASN1, bits)),
        [ELLIPTIC, P384] if bits.len() == 97 => Ok(Key::Known(&signature::ECDSA_P384_SHA256_ASN1, bits)),
        [ELLIPTIC, P521] => Err(FieldError::invalid(
            place,
            "curve P-521",
            "this server cannot verify signatures of this curve: elliptic public keys must use curve P256 or P384",
        )),
        [ELLIPTIC, P256 | P384] | [ED25519] => Err(unreadable()),
        [ELLIPTIC, _] => Err(FieldError::omitted(place, "elliptic public keys must use curve P256 or P384")),
        [RSA, NULL] => {
            let numbers = der::elements(bits).unwrap_or_default();
            let &[n, e] = numbers.as_slice() else { return Err(unreadable()) };
            let (Some(n), Some(e)) = (der::value(n), der::value(e)) else { return Err(unreadable()) };
            if !matches!(n.len(), 384 | 512) {
                let size = format!("{}-bit modulus", 8 * n.len());
                return Err(FieldError::invalid(place, size, "RSA keys must have modulus size 3072 or 4096"));
            }
            Ok(Key::Rsa { n, e })
        }
        _ => Err(FieldError::omitted(place, "unknown public key type; supported types are Ed25519, ECDSA, and RSA")),
    }
}

#[cfg(test)]
mod tests;
