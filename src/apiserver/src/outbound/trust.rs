//! Whom a call believes to be on the other side, and who it says it is itself.
//!
//! In: roots as PEM, a client certificate. Out: TLS settings, made once for equal input. A server
//! certificate that is itself among the roots is believed, though it is no authority: people make
//! one self-signed certificate and give it to both sides.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::clock::Clock;
use crate::tls::ClockForTls;

/// Settings that are remembered: each Service that is called has its own, of about 10 KiB.
const MOST: usize = 64;
/// TLS sessions that each of them remembers for a quicker handshake.
const SESSIONS: usize = 4;

/// Who is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Whoever the system's authorities vouch for.
    System,
    /// Whoever these vouch for, as PEM.
    Bundle(Vec<u8>),
    /// Anybody.
    Anybody,
}

/// Who is believed, and who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Who is believed.
    pub roots: Roots,
    /// Our certificate and its key, as PEM.
    pub client: Option<(String, String)>,
}

/// TLS settings, and a mark that equal ones share.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The settings.
    pub config: Arc<ClientConfig>,
    /// The mark.
    pub id: [u8; 16],
}

/// The settings that were made.
pub struct Memory {
    clock: Clock,
    provider: Arc<CryptoProvider>,
    made: Mutex<VecDeque<Tls>>,
}

impl Memory {
    /// Nothing made yet.
    pub fn new(clock: Clock) -> Self {
        Memory { clock, provider: Arc::new(rustls::crypto::ring::default_provider()), made: Mutex::default() }
    }

    /// The settings for that trust.
    pub fn get(&self, trust: &Trust) -> Result<Tls, String> {
        let id = mark(trust);
        let made = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tls) = made().iter().find(|tls| tls.id == id) {
            return Ok(tls.clone());
        }
        let tls = Tls { config: Arc::new(self.make(trust)?), id };
        let mut made = made();
        made.push_back(tls.clone());
        if made.len() > MOST {
            made.pop_front();
        }
        Ok(tls)
    }

    fn make(&self, trust: &Trust) -> Result<ClientConfig, String> {
        let time = Arc::new(ClockForTls(self.clock.clone()));
        let builder = ClientConfig::builder_with_details(self.provider.clone(), time)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier::new(&trust.roots, &self.provider)?));
        let mut config = match &trust.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate.as_bytes())
                    .collect::<Result<_, _>>()
                    .map_err(|e| format!("the client certificate cannot be read: {e}"))?;
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                    .map_err(|e| format!("the client key cannot be read: {e}"))?;
                builder.with_client_auth_cert(chain, key).map_err(|e| format!("the client certificate: {e}"))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(config)
    }
}

fn mark(trust: &Trust) -> [u8; 16] {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    match &trust.roots {
        Roots::System => digest.update(b"system"),
        Roots::Anybody => digest.update(b"anybody"),
        Roots::Bundle(pem) => {
            digest.update(b"bundle");
            digest.update(pem);
        }
    }
    if let Some((certificate, key)) = &trust.client {
        for part in [certificate, key] {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
    }
    let mut id = [0; 16];
    id.copy_from_slice(&digest.finish().as_ref()[..16]);
    id
}

#[derive(Debug)]
struct Verifier {
    /// None: anybody is believed.
    chain: Option<Chain>,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct Chain {
    /// None: there is no authority at all.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    /// Certificates that are believed as they are.
    known: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(roots: &Roots, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let algorithms = provider.signature_verification_algorithms;
        let known = match roots {
            Roots::Anybody => return Ok(Verifier { chain: None, algorithms }),
            Roots::System => rustls_native_certs::load_native_certs().certs,
            Roots::Bundle(pem) => {
                let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
                    .collect::<Result<_, _>>()
                    .map_err(|e| format!("unable to load root certificates: {e}"))?;
                if found.is_empty() {
                    return Err("unable to load root certificates: unable to parse bytes as PEM block".to_owned());
                }
                found
            }
        };
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(known.iter().cloned());
        let authorities = if store.is_empty() {
            None
        } else {
            let built = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone()).build();
            Some(built.map_err(|e| format!("unable to load root certificates: {e}"))?)
        };
        let known = if *roots == Roots::System { Vec::new() } else { known };
        Ok(Verifier { chain: Some(Chain { authorities, known }), algorithms })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        if chain.known.iter().any(|one| one == leaf) {
            in_date(leaf, now)?;
            verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        match &chain.authorities {
            Some(authorities) => authorities.verify_server_cert(leaf, intermediates, name, ocsp, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn in_date(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|_| CertificateError::BadEncoding)?;
    let at =
        |t: x509_parser::time::ASN1Time| UNIX_EPOCH + Duration::from_secs(u64::try_from(t.timestamp()).unwrap_or(0));
    let now = UNIX_EPOCH + Duration::from_secs(now.as_secs());
    if now > at(parsed.validity().not_after) {
        return Err(CertificateError::Expired.into());
    }
    if now < at(parsed.validity().not_before) {
        return Err(CertificateError::NotValidYet.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(roots: Roots, expected: &str) {
        let memory = Memory::new(Clock::system());
        let seen = memory.get(&Trust { roots, client: None }).map(|_| "ok".to_owned());
        assert_eq!(seen.unwrap_or_else(|fault| fault), expected);
    }

    #[test]
    fn roots_must_be_certificates() {
        let own = rcgen::generate_simple_self_signed(vec!["a.b.svc".to_owned()]).unwrap();
        check(Roots::Bundle(own.cert.pem().into_bytes()), "ok");
        check(Roots::Anybody, "ok");
        check(
            Roots::Bundle(b"nonsense".to_vec()),
            "unable to load root certificates: unable to parse bytes as PEM block",
        );
    }

    #[test]
    fn a_self_signed_certificate_is_believed_where_it_is_a_root_and_only_for_its_name() {
        let own = rcgen::generate_simple_self_signed(vec!["a.b.svc".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["a.b.svc".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier::new(&Roots::Bundle(own.cert.pem().into_bytes()), &provider).unwrap();
        let verify = |leaf: &rcgen::Certificate, name: &'static str, now: UnixTime| {
            verifier.verify_server_cert(leaf.der(), &[], &ServerName::try_from(name).unwrap(), &[], now).is_ok()
        };
        assert!(verify(&own.cert, "a.b.svc", UnixTime::now()));
        assert!(!verify(&own.cert, "x.b.svc", UnixTime::now()));
        assert!(!verify(&own.cert, "a.b.svc", UnixTime::since_unix_epoch(Duration::ZERO)));
        assert!(!verify(&other.cert, "a.b.svc", UnixTime::now()));
    }

    #[test]
    fn equal_trust_shares_its_settings() {
        let memory = Memory::new(Clock::system());
        let trust = Trust { roots: Roots::Anybody, client: None };
        let (a, b) = (memory.get(&trust).unwrap(), memory.get(&trust).unwrap());
        assert!(Arc::ptr_eq(&a.config, &b.config));
    }
}
