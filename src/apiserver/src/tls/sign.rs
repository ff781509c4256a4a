//! Certificates for requests: the request's subject and key, our issuer, validity and usages.
//!
//! In: a request that a signer accepted, usages, a lifetime. Out: a certificate as PEM. Never checks
//! who asked: `request.rs` has the rules, `upkeep/requests.rs` the approval.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    CertificateParams, CustomExtension, ExtendedKeyUsagePurpose as Extended, IsCa, KeyUsagePurpose as Usage,
    SerialNumber, SigningKey as _,
};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::authority::{Authority, AuthorityError};
use super::der;
use super::request::Request;

/// How far a certificate is dated back, for clocks that differ.
const BACKDATE: Duration = Duration::from_secs(5 * 60);
/// Certificates of a shorter life are not cut by what they were dated back.
const SHORT: Duration = Duration::from_secs(8 * 3600);
/// OID of the basic constraints.
const BASIC_CONSTRAINTS: [u64; 4] = [2, 5, 29, 19];

impl Authority {
    /// A certificate for what was asked, for `lifetime` from `now` but not longer than ours.
    pub fn sign(
        &self,
        request: &Request,
        usages: &[&str],
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<String, AuthorityError> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::NoCa;
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names = request.alternatives()?;
        // Not an authority, said explicitly and critically.
        let mut constraints = CustomExtension::from_oid_content(&BASIC_CONSTRAINTS, vec![0x30, 0]);
        constraints.set_criticality(true);
        params.custom_extensions = vec![constraints];
        let mut serial = [0u8; 16];
        SystemRandom::new().fill(&mut serial).map_err(|_| rcgen::Error::RingUnspecified)?;
        // Positive and of full length.
        serial[0] = serial[0] & 0x3f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        for usage in usages {
            note_usage(&mut params, usage);
        }
        let ends = if lifetime < SHORT { now + lifetime } else { now + lifetime - BACKDATE };
        params.not_before = now.checked_sub(BACKDATE).filter(|t| *t > UNIX_EPOCH).unwrap_or(UNIX_EPOCH).into();
        params.not_after = ends.min(self.ends()?).into();
        // Made for our own key, then the request's subject and key take their places: they are
        // carried over byte by byte, whatever names and kind of key they are.
        let template = params.signed_by(self.issuer.key(), &self.issuer)?;
        let certificate = self.replace(template.der(), request).ok_or(rcgen::Error::CouldNotParseCertificate)?;
        Ok(pem(&certificate))
    }

    /// The template with the request's subject and key, signed anew.
    fn replace(&self, template: &[u8], request: &Request) -> Option<Vec<u8>> {
        let outer = der::elements(template)?;
        let [body, algorithm, _signature] = outer.as_slice() else { return None };
        let mut parts = der::elements(body)?;
        // version, serial, algorithm, issuer, validity, subject, key, extensions
        *parts.get_mut(5)? = &request.subject;
        *parts.get_mut(6)? = &request.key;
        let body = der::sequence(&parts);
        let signature = der::bits(&self.issuer.key().sign(&body).ok()?);
        Some(der::sequence(&[&body, algorithm, &signature]))
    }

    /// When our own certificate ends.
    fn ends(&self) -> Result<SystemTime, AuthorityError> {
        let (_, parsed) = x509_parser::parse_x509_certificate(self.certificate())
            .map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
        let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        Ok(UNIX_EPOCH + Duration::from_secs(seconds))
    }
}

/// Adds one of the words of `spec.usages`.
fn note_usage(params: &mut CertificateParams, word: &str) {
    let usage = match word {
        "signing" | "digital signature" => Some(Usage::DigitalSignature),
        "content commitment" => Some(Usage::ContentCommitment),
        "key encipherment" => Some(Usage::KeyEncipherment),
        "key agreement" => Some(Usage::KeyAgreement),
        "data encipherment" => Some(Usage::DataEncipherment),
        "cert sign" => Some(Usage::KeyCertSign),
        "crl sign" => Some(Usage::CrlSign),
        "encipher only" => Some(Usage::EncipherOnly),
        "decipher only" => Some(Usage::DecipherOnly),
        _ => None,
    };
    if let Some(usage) = usage.filter(|u| !params.key_usages.contains(u)) {
        params.key_usages.push(usage);
    }
    let other = |last: u64| Some(Extended::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, last]));
    let extended = match word {
        "any" => Some(Extended::Any),
        "server auth" => Some(Extended::ServerAuth),
        "client auth" => Some(Extended::ClientAuth),
        "code signing" => Some(Extended::CodeSigning),
        "email protection" | "s/mime" => Some(Extended::EmailProtection),
        "ipsec end system" => other(5),
        "ipsec tunnel" => other(6),
        "ipsec user" => other(7),
        "timestamping" => Some(Extended::TimeStamping),
        "ocsp signing" => Some(Extended::OcspSigning),
        "microsoft sgc" => Some(Extended::Other(vec![1, 3, 6, 1, 4, 1, 311, 10, 3, 3])),
        "netscape sgc" => Some(Extended::Other(vec![2, 16, 840, 1, 113730, 4, 1])),
        _ => None,
    };
    if let Some(extended) = extended.filter(|e| !params.extended_key_usages.contains(e)) {
        params.extended_key_usages.push(extended);
    }
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    // Base64 is ASCII, so every chunk of it is UTF-8.
    for line in text.as_bytes().chunks(64) {
        out.push_str(std::str::from_utf8(line).unwrap_or_default());
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::client::ClientCertificates;
    use crate::tls::request::tests as requests;
    use rustls_pki_types::{CertificateDer, pem::PemObject as _};
    use std::sync::Arc;

    const USAGES: [&str; 3] = ["digital signature", "key encipherment", "client auth"];

    #[test]
    fn a_signed_request_names_its_subject_for_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let authority = Authority::open(dir.path(), now).unwrap();
        let request = Request::parse(requests::pem("jane", "team", &[]).as_bytes()).unwrap();
        let pem = authority.sign(&request, &USAGES, now, Duration::from_secs(3600)).unwrap();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients = ClientCertificates::trusting(authority.certificate(), &provider).unwrap();
        let believed = clients.believe(std::slice::from_ref(&der), now).unwrap();
        assert_eq!(believed.identity.name, "jane");
        assert_eq!(believed.identity.groups, ["team", "system:authenticated"]);
        let left = believed.validity.not_after.duration_since(now).unwrap();
        assert!((3590..=3600).contains(&left.as_secs()), "{left:?}");
        assert!(clients.believe(&[der], now + Duration::from_secs(3700)).is_err());
        let (_, parsed) = x509_parser::parse_x509_certificate(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
            .map(|(rest, c)| (rest.len(), c.basic_constraints().unwrap().is_some_and(|b| !b.value.ca && b.critical)))
            .unwrap();
        assert!(parsed, "it says that it is no authority");
    }

    #[test]
    fn a_certificate_does_not_outlive_its_issuer() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let authority = Authority::open(dir.path(), now).unwrap();
        let request = Request::parse(requests::pem("jane", "", &[]).as_bytes()).unwrap();
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        let pem = authority.sign(&request, &USAGES, now, century).unwrap();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        let ends = u64::try_from(parsed.validity().not_after.timestamp()).unwrap();
        assert_eq!(UNIX_EPOCH + Duration::from_secs(ends), authority.ends().unwrap());
    }
}
