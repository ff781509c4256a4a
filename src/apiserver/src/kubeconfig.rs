//! The admin's kubeconfig: who may do everything, and where.
//!
//! In: an authority, the server's address, the time. Out: `admin.kubeconfig`, mode 0600. It is
//! written again only when it no longer fits, so a restart costs no write to flash.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::tls::Authority;
use crate::tls::authority::{AuthorityError, write_private};
use crate::tls::client::ClientCertificates;
use crate::tls::renewal::LEAF_LIFETIME;

/// Who the admin is.
const ADMIN: &str = "kubernetes-admin";

/// Writes the file unless the one there fits.
pub fn write(
    path: &Path,
    authority: &Authority,
    certificates: &ClientCertificates,
    server: &str,
    now: SystemTime,
) -> Result<(), AuthorityError> {
    if fits(path, authority, certificates, server, now).unwrap_or(false) {
        return Ok(());
    }
    let issued = authority.issue_client(ADMIN, Some(crate::identity::MASTERS), now, LEAF_LIFETIME)?;
    let document = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kedge", "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(authority.certificate_pem()),
        }}],
        "users": [{"name": ADMIN, "user": {
            "client-certificate-data": STANDARD.encode(&issued.certificate_pem),
            "client-key-data": STANDARD.encode(&issued.key_pem),
        }}],
        "contexts": [{"name": "kedge", "context": {"cluster": "kedge", "user": ADMIN}}],
        "current-context": "kedge",
    });
    // JSON values always have a YAML form.
    write_private(path, &serde_yaml::to_string(&document).unwrap_or_default())
}

/// Whether the file there names this server and authority, with a certificate that holds.
fn fits(
    path: &Path,
    authority: &Authority,
    certificates: &ClientCertificates,
    server: &str,
    now: SystemTime,
) -> Option<bool> {
    use rustls_pki_types::{CertificateDer, pem::PemObject as _};
    use std::os::unix::fs::PermissionsExt as _;
    let document = kedge_api::decode::settings(&std::fs::read_to_string(path).ok()?).ok()?;
    let cluster = document.pointer("/clusters/0/cluster")?;
    let user = document.pointer("/users/0/user")?;
    let certificate = STANDARD.decode(user["client-certificate-data"].as_str()?).ok()?;
    let believed = certificates.believe(&[CertificateDer::from_pem_slice(&certificate).ok()?], now).ok()?;
    let private = std::fs::metadata(path).ok()?.permissions().mode() & 0o077 == 0;
    Some(
        private
            && cluster["server"] == server
            && cluster["certificate-authority-data"] == STANDARD.encode(authority.certificate_pem())
            && user["client-key-data"].is_string()
            && !believed.validity.needs_renewal(now),
    )
}

/// Where the file is.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.kubeconfig")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn the_file_is_written_only_when_it_no_longer_fits() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let authority = Authority::open(dir.path(), now).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificates = ClientCertificates::trusting(authority.certificate(), &provider).unwrap();
        let path = path(dir.path());
        let text = |server: &str, now| {
            write(&path, &authority, &certificates, server, now).unwrap();
            std::fs::read_to_string(&path).unwrap()
        };
        let first = text("https://127.0.0.1:6443", now);
        assert_eq!(text("https://127.0.0.1:6443", now), first);
        let moved = text("https://127.0.0.1:7443", now);
        assert_ne!(moved, first);
        assert_ne!(text("https://127.0.0.1:7443", now + Duration::from_secs(300 * 24 * 3600)), moved);
    }
}
