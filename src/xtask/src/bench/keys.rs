//! Certificates of one run for a peer that speaks TLS.
//!
//! In: a folder. Out: an authority's certificate and the peer's own with its key as files, and a client that shows a
//! certificate of the same authority. Everything goes with the folder.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::said;
use crate::command::{Done, Failure};

/// Where the files are, and the client.
pub struct Keys {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// The server's key.
    pub key: PathBuf,
    /// A client of HTTP/2.
    pub client: TlsConnector,
}

impl Keys {
    /// Makes all of them for a server on the loopback address.
    pub fn make(folder: &Path) -> Done<Keys> {
        let failed = "certificates for the peer";
        std::fs::create_dir_all(folder).map_err(|source| Failure::File { act: "make", path: folder.into(), source })?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().map_err(said(failed))?;
        let root = params.self_signed(&key).map_err(said(failed))?;
        let issuer = Issuer::new(params, key);
        let signed = |purpose: ExtendedKeyUsagePurpose| -> Done<(rcgen::Certificate, KeyPair)> {
            let key = KeyPair::generate().map_err(said(failed))?;
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "bench");
            params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
            params.extended_key_usages = vec![purpose];
            Ok((params.signed_by(&key, &issuer).map_err(said(failed))?, key))
        };
        let (server, server_key) = signed(ExtendedKeyUsagePurpose::ServerAuth)?;
        let (own, own_key) = signed(ExtendedKeyUsagePurpose::ClientAuth)?;
        let file = |name: &str, text: String| -> Done<PathBuf> {
            let path = folder.join(name);
            match std::fs::write(&path, text) {
                Ok(()) => Ok(path),
                Err(source) => Err(Failure::File { act: "write", path, source }),
            }
        };
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).map_err(said(failed))?;
        let own_key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own_key.serialize_der()));
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![own.der().clone()], own_key)
            .map_err(said(failed))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Keys {
            authority: file("authority.pem", root.pem())?,
            certificate: file("server.pem", server.pem())?,
            key: file("server.key", server_key.serialize_pem())?,
            client: TlsConnector::from(Arc::new(config)),
        })
    }
}
