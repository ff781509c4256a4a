//! The server's certificate, exchanged while running, and the rustls configuration around it.
//!
//! In: an authority, names and addresses, a clock. Out: [`ServingCertificate`], whose `renew`
//! makes a new certificate if it is time. Never waits: the caller owns the timer.

use std::net::IpAddr;
use std::sync::{Arc, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{DistinguishedName, ServerConfig};
use rustls_pki_types::UnixTime;

use super::authority::{Authority, AuthorityError};
use super::client::AskForCertificate;
use super::renewal::{LEAF_LIFETIME, Validity};
use super::suites;
use crate::clock::Clock;

/// The certificate in use.
#[derive(Debug)]
pub struct ServingCertificate {
    authority: Arc<Authority>,
    provider: Arc<CryptoProvider>,
    names: Vec<String>,
    current: RwLock<Current>,
    clock: Clock,
    lifetime: Duration,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    validity: Validity,
    addresses: Vec<IpAddr>,
}

impl ServingCertificate {
    /// Issues a first certificate.
    pub fn issue(
        authority: Arc<Authority>,
        provider: Arc<CryptoProvider>,
        names: Vec<String>,
        addresses: Vec<IpAddr>,
        clock: Clock,
    ) -> Result<Arc<Self>, AuthorityError> {
        let first = certified(&authority, &provider, &names, addresses, &clock, LEAF_LIFETIME)?;
        Ok(Arc::new(ServingCertificate {
            authority,
            provider,
            names,
            current: RwLock::new(first),
            clock,
            lifetime: LEAF_LIFETIME,
        }))
    }

    /// Makes a new certificate if it is time or the addresses are others; tells how long until it is time again.
    pub fn renew(&self, addresses: Vec<IpAddr>) -> Result<Duration, AuthorityError> {
        let now = self.clock.now();
        let moved = self.current.read().unwrap_or_else(|e| e.into_inner()).addresses != addresses;
        if moved || self.validity().needs_renewal(now) {
            let fresh = certified(&self.authority, &self.provider, &self.names, addresses, &self.clock, self.lifetime)?;
            *self.current.write().unwrap_or_else(|e| e.into_inner()) = fresh;
        }
        Ok(self.validity().until_renewal(now))
    }

    /// The time the certificate in use is good for.
    pub fn validity(&self) -> Validity {
        self.current.read().unwrap_or_else(|e| e.into_inner()).validity
    }
}

fn certified(
    authority: &Authority,
    provider: &CryptoProvider,
    names: &[String],
    addresses: Vec<IpAddr>,
    clock: &Clock,
    lifetime: Duration,
) -> Result<Current, AuthorityError> {
    let issued = authority.issue_server(names, &addresses, clock.now(), lifetime)?;
    let key = provider
        .key_provider
        .load_private_key(issued.key)
        .map_err(|_| AuthorityError::Issue(rcgen::Error::KeyGenerationUnavailable))?;
    let chain = vec![issued.certificate, authority.certificate().clone()];
    Ok(Current { key: Arc::new(CertifiedKey::new(chain, key)), validity: issued.validity, addresses })
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(|e| e.into_inner()).key.clone())
    }
}

/// The configuration of the listener: TLS 1.2 and 1.3, HTTP/2 and 1.1, the cipher that is quickest
/// here, a client certificate is asked for and may be left out.
pub fn server_config(
    certificate: Arc<ServingCertificate>,
    hints: Vec<DistinguishedName>,
    provider: Arc<CryptoProvider>,
    clock: Clock,
) -> Result<ServerConfig, rustls::Error> {
    let suites = suites::quickest_first(provider.cipher_suites.clone(), suites::processor_has_aes());
    let provider = Arc::new(CryptoProvider { cipher_suites: suites, ..(*provider).clone() });
    let verifier = AskForCertificate { algorithms: provider.signature_verification_algorithms, hints };
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(ClockForTls(clock)))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(certificate);
    config.ignore_client_order = true;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The server's clock, for what TLS checks.
#[derive(Debug)]
pub(crate) struct ClockForTls(pub(crate) Clock);

impl TimeProvider for ClockForTls {
    fn current_time(&self) -> Option<UnixTime> {
        self.0.now().duration_since(UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn the_certificate_is_exchanged_when_its_time_has_come() {
        let dir = tempfile::tempdir().unwrap();
        let seconds = Arc::new(AtomicU64::new(1_700_000_000));
        let clock = {
            let seconds = seconds.clone();
            Clock::new(move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::Relaxed)))
        };
        let authority = Arc::new(Authority::open(dir.path(), clock.now()).unwrap());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let serving = ServingCertificate::issue(authority, provider, vec!["localhost".into()], vec![], clock).unwrap();
        let first = serving.validity();
        assert!(!serving.renew(vec![]).unwrap().is_zero());
        assert_eq!(serving.validity(), first);
        let shown = |serving: &ServingCertificate| {
            let current = serving.current.read().unwrap();
            (current.key.cert[0].clone(), current.addresses.clone())
        };
        let (before, _) = shown(&serving);
        let moved: IpAddr = [192, 0, 2, 7].into();
        serving.renew(vec![moved]).unwrap();
        let (after, addresses) = shown(&serving);
        assert_eq!(addresses, [moved]);
        assert!(after.windows(4).any(|part| part == [192, 0, 2, 7]) && before != after);
        seconds.fetch_add(300 * 24 * 3600, Ordering::Relaxed);
        assert!(!serving.renew(vec![moved]).unwrap().is_zero());
        assert!(serving.validity().not_after > first.not_after);
    }
}
