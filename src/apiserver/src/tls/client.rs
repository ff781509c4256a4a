//! Whom a client certificate names.
//!
//! In: the certificates a client showed in its handshake. Out: an identity with the time its
//! certificate is good for, or why it is not believed. The handshake itself accepts any
//! certificate whose key the client holds: a stranger is told 401, as Kubernetes does, instead
//! of a broken connection.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::renewal::Validity;
use crate::authn::Shown;
use crate::identity::Identity;

/// Why a certificate names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// It is not signed by our authority, or out of date.
    #[error("the client certificate is not valid here: {0}")]
    Untrusted(String),
    /// It cannot be parsed.
    #[error("the client certificate cannot be read")]
    Unreadable,
}

/// A believed certificate.
#[derive(Debug, Clone)]
pub struct Believed {
    /// Whom it names.
    pub identity: Identity,
    /// When it may be used.
    pub validity: Validity,
}

/// Checks client certificates against the authorities trusted for that.
#[derive(Debug, Clone)]
pub struct ClientCertificates {
    verifier: Arc<dyn ClientCertVerifier>,
    /// Of front proxies, and the names they may have (empty: any).
    proxies: Option<(Arc<dyn ClientCertVerifier>, Vec<String>)>,
}

impl ClientCertificates {
    /// Trusts the given authority.
    pub fn trusting(
        authority: &CertificateDer<'static>,
        provider: &Arc<rustls::crypto::CryptoProvider>,
    ) -> Result<Self, rustls::Error> {
        Ok(ClientCertificates { verifier: verifier([authority.clone()], provider)?, proxies: None })
    }

    /// Lets holders of these authorities' certificates say for whom they ask.
    pub fn trust_proxies(
        &mut self,
        pem: &str,
        names: Vec<String>,
        provider: &Arc<rustls::crypto::CryptoProvider>,
    ) -> Result<(), rustls::Error> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let authorities = read.map_err(|e| rustls::Error::General(format!("the front proxies' authority: {e}")))?;
        if authorities.is_empty() {
            return Err(rustls::Error::General("the front proxies' authority: no certificate in the file".to_owned()));
        }
        self.proxies = Some((verifier(authorities, provider)?, names));
        Ok(())
    }

    /// The authorities that clients are told about in the handshake.
    pub fn hints(&self) -> Vec<DistinguishedName> {
        let proxies = self.proxies.iter().flat_map(|(verifier, _)| verifier.root_hint_subjects());
        self.verifier.root_hint_subjects().iter().chain(proxies).cloned().collect()
    }

    /// What a connection with this chain shows.
    pub fn shown(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Shown {
        let own = match self.believe(chain, now) {
            Ok(believed) => Shown::Certificate(Arc::new(believed)),
            Err(fault) => Shown::Stranger(fault),
        };
        match self.proxy(chain, now) {
            Some(validity) => Shown::Proxy(validity, Box::new(own)),
            None => own,
        }
    }

    /// The time of a front proxy's certificate, if the chain is one's.
    fn proxy(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Option<Validity> {
        let (verifier, names) = self.proxies.as_ref()?;
        let (leaf, intermediates) = chain.split_first()?;
        verifier.verify_client_cert(leaf, intermediates, unix(now)).ok()?;
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf).ok()?;
        let name = parsed.subject().iter_common_name().next().and_then(|n| n.as_str().ok()).unwrap_or_default();
        (names.is_empty() || names.iter().any(|n| n == name)).then(|| validity(&parsed))
    }

    /// Whom the chain names, leaf first.
    pub fn believe(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<Believed, CertificateFault> {
        let (leaf, intermediates) = chain.split_first().ok_or(CertificateFault::Unreadable)?;
        self.verifier
            .verify_client_cert(leaf, intermediates, unix(now))
            .map_err(|e| CertificateFault::Untrusted(e.to_string()))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|_| CertificateFault::Unreadable)?;
        let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
        let name = parsed.subject().iter_common_name().next().and_then(text).unwrap_or_default();
        if name.is_empty() {
            return Err(CertificateFault::Untrusted("its subject has no common name".to_owned()));
        }
        let groups: Vec<String> = parsed.subject().iter_organization().filter_map(text).collect();
        let mut identity = Identity::user(name, groups);
        let digest = ring::digest::digest(&ring::digest::SHA256, leaf);
        identity.extra.insert(
            "authentication.kubernetes.io/credential-id".to_owned(),
            vec![format!("X509SHA256={}", hex(digest.as_ref()))],
        );
        Ok(Believed { identity, validity: validity(&parsed) })
    }
}

fn verifier(
    authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    provider: &Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority)?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|e| rustls::Error::General(e.to_string()))
}

fn unix(now: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
}

fn validity(parsed: &x509_parser::certificate::X509Certificate<'_>) -> Validity {
    let at =
        |t: x509_parser::time::ASN1Time| UNIX_EPOCH + Duration::from_secs(u64::try_from(t.timestamp()).unwrap_or(0));
    Validity { not_before: at(parsed.validity().not_before), not_after: at(parsed.validity().not_after) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Accepts every certificate in the handshake, but only with proof of its key.
#[derive(Debug)]
pub(super) struct AskForCertificate {
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    pub(super) hints: Vec<DistinguishedName>,
}

impl ClientCertVerifier for AskForCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        // Who it names is decided by `ClientCertificates::believe` before the first request.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Authority;
    use crate::tls::renewal::LEAF_LIFETIME;

    #[track_caller]
    fn check(issued_by_us: bool, later: Duration, expected: Result<(&str, &[&str]), &str>) {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let authority = Authority::open(ours.path(), now).unwrap();
        let stranger = Authority::open(theirs.path(), now).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trusted = ClientCertificates::trusting(authority.certificate(), &provider).unwrap();
        let signer = if issued_by_us { &authority } else { &stranger };
        let issued = signer.issue_client("jane", Some("ops"), now, LEAF_LIFETIME).unwrap();
        match (trusted.believe(&[issued.certificate], now + later), expected) {
            (Ok(seen), Ok((name, groups))) => {
                assert_eq!(
                    (seen.identity.name.as_str(), seen.identity.groups),
                    (name, groups.iter().map(|g| (*g).to_owned()).collect())
                );
            }
            (Err(fault), Err(text)) => assert!(fault.to_string().contains(text), "{fault}"),
            (seen, expected) => panic!("{seen:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn a_certificate_names_user_and_groups_only_if_ours_and_in_date() {
        check(true, Duration::ZERO, Ok(("jane", &["ops", "system:authenticated"])));
        check(true, LEAF_LIFETIME * 2, Err("not valid here"));
        check(false, Duration::ZERO, Err("not valid here"));
    }

    #[test]
    fn nonsense_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), SystemTime::now()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trusted = ClientCertificates::trusting(authority.certificate(), &provider).unwrap();
        assert!(trusted.believe(&[], SystemTime::now()).is_err());
        assert!(trusted.believe(&[CertificateDer::from(vec![0x30, 3, 1, 2, 3])], SystemTime::now()).is_err());
    }
}
