//! The certificate authority of the device: made at first start, kept in `pki/` of the data
//! directory, issues certificates for the server and for clients.
//!
//! In: a directory, subjects, the time. Out: certificates and keys as PEM and DER.
//! Never decides when to renew, never serves.

use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::renewal::{AUTHORITY_LIFETIME, Validity};

/// Why the authority cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("cannot {act} {path}")]
    File {
        /// "read", "write" or "create".
        act: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is there but holds no certificate or key.
    #[error("{path} is damaged: {why}; move it away to have a new one made")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Issue(#[from] rcgen::Error),
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Issued {
    /// The certificate as PEM.
    pub certificate_pem: String,
    /// The private key as PEM (PKCS #8).
    pub key_pem: String,
    /// The certificate as DER.
    pub certificate: CertificateDer<'static>,
    /// The private key as DER.
    pub key: PrivateKeyDer<'static>,
    /// The time it is good for.
    pub validity: Validity,
}

/// The authority, loaded.
pub struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    certificate: CertificateDer<'static>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// Loads `ca.crt` and `ca.key` of `dir`, or makes them if neither is there.
    pub fn open(dir: &Path, now: SystemTime) -> Result<Self, AuthorityError> {
        Authority::open_as(dir, "kedge-ca", now)
    }

    /// The same; one that is made bears that name.
    pub fn open_as(dir: &Path, name: &str, now: SystemTime) -> Result<Self, AuthorityError> {
        let (certificate_path, key_path) = (dir.join("ca.crt"), dir.join("ca.key"));
        if !certificate_path.exists() && !key_path.exists() {
            std::fs::create_dir_all(dir).map_err(|source| AuthorityError::File {
                act: "create",
                path: dir.to_owned(),
                source,
            })?;
            let key = KeyPair::generate()?;
            let certificate = authority_params(name, now)?.self_signed(&key)?;
            // The key first: a certificate without its key could never be used again.
            write_private(&key_path, &key.serialize_pem())?;
            write_private(&certificate_path, &certificate.pem())?;
        }
        let key_pem = read(&key_path)?;
        let certificate_pem = read(&certificate_path)?;
        let damaged = |path: &Path, why: String| AuthorityError::Damaged { path: path.to_owned(), why };
        let key = KeyPair::from_pem(&key_pem).map_err(|e| damaged(&key_path, e.to_string()))?;
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|e| damaged(&certificate_path, e.to_string()))?;
        let issuer =
            Issuer::from_ca_cert_der(&certificate, key).map_err(|e| damaged(&certificate_path, e.to_string()))?;
        Ok(Authority { issuer, certificate_pem, certificate })
    }

    /// The authority's certificate, for clients to trust.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's certificate as DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A certificate for a server of these names and addresses.
    pub fn issue_server(
        &self,
        names: &[String],
        addresses: &[IpAddr],
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<Issued, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name("kube-apiserver", None);
        for name in names {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
        }
        params.subject_alt_names.extend(addresses.iter().map(|a| SanType::IpAddress(*a)));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params, Validity::starting(now, lifetime))
    }

    /// A certificate for a client: the user's name is the common name, the group the organisation.
    pub fn issue_client(
        &self,
        user: &str,
        group: Option<&str>,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<Issued, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(user, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, Validity::starting(now, lifetime))
    }

    fn issue(&self, mut params: CertificateParams, validity: Validity) -> Result<Issued, AuthorityError> {
        params.not_before = validity.not_before.into();
        params.not_after = validity.not_after.into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            validity,
        })
    }
}

fn authority_params(name: &str, now: SystemTime) -> Result<CertificateParams, AuthorityError> {
    let validity = Validity::starting(now, AUTHORITY_LIFETIME);
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(name, None);
    params.subject_alt_names = vec![SanType::DnsName(name.try_into()?)];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // The authority is dated back to 1970: devices that share it may wake up with any clock.
    params.not_before = SystemTime::UNIX_EPOCH.into();
    params.not_after = validity.not_after.into();
    Ok(params)
}

fn distinguished_name(common_name: &str, organisation: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organisation) = organisation {
        name.push(DnType::OrganizationName, organisation);
    }
    name.push(DnType::CommonName, common_name);
    name
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    std::fs::read_to_string(path).map_err(|source| AuthorityError::File { act: "read", path: path.to_owned(), source })
}

/// Writes a file only its owner can read: a new one, synced, renamed over the old.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), AuthorityError> {
    let fault = |source| AuthorityError::File { act: "write", path: path.to_owned(), source };
    let new = path.with_extension("new");
    // A left-over of a crash may have another mode.
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fault(error)),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(fault)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fault)?;
    std::fs::rename(&new, path).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::renewal::LEAF_LIFETIME;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_authority_is_made_once_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::open(dir.path(), SystemTime::now()).unwrap();
        let again = Authority::open(dir.path(), SystemTime::now()).unwrap();
        assert_eq!(first.certificate_pem(), again.certificate_pem());
        let mode = std::fs::metadata(dir.path().join("ca.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let issued = again.issue_client("admin", Some("system:masters"), SystemTime::now(), LEAF_LIFETIME).unwrap();
        assert!(issued.certificate_pem.contains("BEGIN CERTIFICATE") && issued.key_pem.contains("PRIVATE KEY"));
    }

    #[test]
    fn a_damaged_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        Authority::open(dir.path(), SystemTime::now()).unwrap();
        std::fs::write(dir.path().join("ca.key"), "nonsense").unwrap();
        let error = Authority::open(dir.path(), SystemTime::now()).unwrap_err().to_string();
        assert!(error.contains("ca.key is damaged"), "{error}");
    }
}
