//! TCP and TLS to one backend.
//!
//! In: an address or a name, the name in its certificate, TLS settings. Out: a stream whose other
//! side has shown who it is.

use std::io;

use rustls::CertificateError;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::fault::Fault;
use super::resolve::Backend;
use super::trust::Tls;

/// A TLS connection.
pub type Stream = TlsStream<TcpStream>;

/// Opens a connection.
pub async fn open(backend: &Backend, name: String, tls: &Tls) -> Result<Stream, Fault> {
    let tcp = match backend {
        Backend::Address(address) => TcpStream::connect(address).await,
        Backend::Name(host, port) => {
            let found = tokio::net::lookup_host((host.as_str(), *port)).await;
            let addresses = found.map_err(|_| Fault::Lookup { name: host.clone(), why: "no such host".to_owned() })?;
            let mut last = Err(io::Error::from(io::ErrorKind::NotFound));
            for address in addresses {
                last = TcpStream::connect(address).await;
                if last.is_ok() {
                    break;
                }
            }
            last
        }
    };
    let tcp = tcp.map_err(|error| Fault::Dial { address: backend.to_string(), why: words(&error) })?;
    // Requests are small and wanted at once.
    let _ = tcp.set_nodelay(true);
    let name_of = ServerName::try_from(name.clone()).map_err(|_| Fault::Tls(format!("{name:?} is no host name")))?;
    TlsConnector::from(tls.config.clone()).connect(name_of, tcp).await.map_err(|error| refused(&error, &name))
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        io::ErrorKind::NotFound => "connect: no such host".to_owned(),
        _ => format!("connect: {error}"),
    }
}

fn refused(error: &io::Error, name: &str) -> Fault {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(why)) = inner else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => Fault::Closed,
            _ => Fault::Tls(error.to_string()),
        };
    };
    let x509 = match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "certificate signed by unknown authority".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("certificate is not valid for {name}")
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => "certificate has expired or is not yet valid".to_owned(),
        other => other.to_string(),
    };
    Fault::Tls(format!("failed to verify certificate: x509: {x509}"))
}
