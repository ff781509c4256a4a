//! Requests for certificates (PKCS #10): what they ask for, and whether a signer's rules let it.
//!
//! In: PEM, usages. Out: a [`Request`] whose signature fits its key, or why it is none; the rules of
//! the signers `kubernetes.io/...`. Pure; who may ask and who approves is decided elsewhere.

use std::net::IpAddr;

use rcgen::SanType;
use rustls_pki_types::{CertificateSigningRequestDer, pem::PemObject as _};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

use super::der;

/// The signers of this cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// `kubernetes.io/kube-apiserver-client`
    Client,
    /// `kubernetes.io/kube-apiserver-client-kubelet`
    KubeletClient,
    /// `kubernetes.io/kubelet-serving`
    KubeletServing,
    /// `kubernetes.io/legacy-unknown`
    Legacy,
}

impl Signer {
    /// The signer of that name; others are not ours.
    pub fn parse(name: &str) -> Option<Signer> {
        Some(match name {
            "kubernetes.io/kube-apiserver-client" => Signer::Client,
            "kubernetes.io/kube-apiserver-client-kubelet" => Signer::KubeletClient,
            "kubernetes.io/kubelet-serving" => Signer::KubeletServing,
            "kubernetes.io/legacy-unknown" => Signer::Legacy,
            _ => return None,
        })
    }

    /// Whether this signer may sign it; else why not, in Kubernetes' words.
    pub fn accepts(self, request: &Request, usages: &[&str]) -> Result<(), String> {
        match self {
            Signer::Client => client_usages(usages),
            Signer::KubeletClient => kubelet_client(request, usages),
            Signer::KubeletServing => kubelet_serving(request, usages),
            Signer::Legacy => Ok(()),
        }
    }
}

/// Why something is no request for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// No PEM, or of something else.
    #[error("PEM block type must be CERTIFICATE REQUEST")]
    NotPem,
    /// The DER inside cannot be read.
    #[error("the certificate request cannot be parsed")]
    Unreadable,
    /// The signature does not fit the key, or the key is of a kind that is not known here.
    #[error("the signature of the certificate request does not fit its key")]
    Signature,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The subject as it is in the request: names may repeat, and their order counts.
    pub subject: Vec<u8>,
    /// The public key with its algorithm, as it is in the request.
    pub key: Vec<u8>,
    /// The subject's common name.
    pub common_name: String,
    /// The subject's organisations.
    pub organisations: Vec<String>,
    /// Host names.
    pub names: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Mail addresses.
    pub mails: Vec<String>,
    /// URIs.
    pub uris: Vec<String>,
}

impl Request {
    /// Reads a request and checks that whoever made it holds its key.
    pub fn parse(pem: &[u8]) -> Result<Request, RequestFault> {
        let der = CertificateSigningRequestDer::from_pem_slice(pem).map_err(|_| RequestFault::NotPem)?;
        Request::of(&der, true)
    }

    /// Reads the DER of a request. Only fuzzing, which knows no key, does without the check.
    pub(crate) fn of(der: &[u8], check: bool) -> Result<Request, RequestFault> {
        let (rest, parsed) = X509CertificationRequest::from_der(der).map_err(|_| RequestFault::Unreadable)?;
        if !rest.is_empty() {
            return Err(RequestFault::Unreadable);
        }
        if check {
            parsed.verify_signature().map_err(|_| RequestFault::Signature)?;
        }
        let info = &parsed.certification_request_info;
        // Both are put into a certificate as they are: what claims to be longer than its parts would take what follows it
        // there along.
        let (subject, key) = (info.subject.as_raw(), info.subject_pki.raw);
        if der::elements(subject).is_none() || der::elements(key).is_none_or(|parts| parts.len() != 2) {
            return Err(RequestFault::Unreadable);
        }
        let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
        let mut request = Request {
            subject: subject.to_vec(),
            key: key.to_vec(),
            // The last one counts, as in Go.
            common_name: info.subject.iter_common_name().filter_map(text).last().unwrap_or_default(),
            organisations: info.subject.iter_organization().filter_map(text).collect(),
            names: Vec::new(),
            addresses: Vec::new(),
            mails: Vec::new(),
            uris: Vec::new(),
        };
        for extension in parsed.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension {
                names.general_names.iter().for_each(|name| request.note(name));
            }
        }
        Ok(request)
    }

    fn note(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.names.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => self.mails.push((*name).to_owned()),
            GeneralName::URI(name) => self.uris.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let sixteen = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
                self.addresses.extend(four.or(sixteen).ok());
            }
            // Other names are not carried over, as in Kubernetes.
            _ => {}
        }
    }

    /// The names a certificate for this request bears.
    pub fn alternatives(&self) -> Result<Vec<SanType>, rcgen::Error> {
        let mut all = Vec::new();
        for name in &self.names {
            all.push(SanType::DnsName(name.as_str().try_into()?));
        }
        for name in &self.mails {
            all.push(SanType::Rfc822Name(name.as_str().try_into()?));
        }
        all.extend(self.addresses.iter().map(|a| SanType::IpAddress(*a)));
        for name in &self.uris {
            all.push(SanType::URI(name.as_str().try_into()?));
        }
        Ok(all)
    }
}

const SIGNATURE: &str = "digital signature";
const ENCIPHERMENT: &str = "key encipherment";
const CLIENT: &str = "client auth";
const SERVER: &str = "server auth";

/// Usages of a client: to authenticate, and what its key does for that.
fn client_usages(usages: &[&str]) -> Result<(), String> {
    if let Some(other) = usages.iter().find(|u| ![SIGNATURE, ENCIPHERMENT, CLIENT].contains(*u)) {
        return Err(format!("invalid usage for client certificate: {other}"));
    }
    if usages.contains(&CLIENT) {
        return Ok(());
    }
    Err(format!("missing required usage for client certificate: {CLIENT}"))
}

/// What a node's client certificate may say.
pub fn kubelet_client(request: &Request, usages: &[&str]) -> Result<(), String> {
    of_nodes(request)?;
    if !request.names.is_empty() {
        return refuse("DNS subjectAltNames are not allowed");
    }
    if !request.mails.is_empty() {
        return refuse("Email subjectAltNames are not allowed");
    }
    if !request.addresses.is_empty() {
        return refuse("IP subjectAltNames are not allowed");
    }
    if !request.uris.is_empty() {
        return refuse("URI subjectAltNames are not allowed");
    }
    named_node(request)?;
    exactly(usages, CLIENT)
}

/// What a node's serving certificate may say.
fn kubelet_serving(request: &Request, usages: &[&str]) -> Result<(), String> {
    of_nodes(request)?;
    if request.names.is_empty() && request.addresses.is_empty() {
        return refuse("DNS or IP subjectAltName is required");
    }
    if !request.mails.is_empty() {
        return refuse("Email subjectAltNames are not allowed");
    }
    if !request.uris.is_empty() {
        return refuse("URI subjectAltNames are not allowed");
    }
    exactly(usages, SERVER)?;
    named_node(request)
}

fn of_nodes(request: &Request) -> Result<(), String> {
    if request.organisations == ["system:nodes"] {
        return Ok(());
    }
    refuse("subject organization is not system:nodes")
}

fn named_node(request: &Request) -> Result<(), String> {
    if request.common_name.starts_with("system:node:") {
        return Ok(());
    }
    refuse("subject common name does not begin with system:node:")
}

/// Usages that are these two, with or without key encipherment (only RSA keys need it).
fn exactly(usages: &[&str], purpose: &str) -> Result<(), String> {
    let known = usages.iter().all(|u| [SIGNATURE, ENCIPHERMENT, purpose].contains(u));
    if known && usages.contains(&SIGNATURE) && usages.contains(&purpose) {
        return Ok(());
    }
    let mut wanted = [SIGNATURE, ENCIPHERMENT, purpose];
    wanted.sort_unstable();
    Err(format!("usages did not match [{}]", wanted.join(" ")))
}

fn refuse(why: &str) -> Result<(), String> {
    Err(why.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    /// A request's PEM with this common name, organisation and alternative names.
    pub fn pem(name: &str, organisation: &str, alternatives: &[SanType]) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if !organisation.is_empty() {
            params.distinguished_name.push(DnType::OrganizationName, organisation);
        }
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = alternatives.to_vec();
        params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
    }

    #[track_caller]
    fn check(signer: &str, who: (&str, &str), alternatives: &[SanType], usages: &[&str], expected: &str) {
        let request = Request::parse(pem(who.0, who.1, alternatives).as_bytes()).unwrap();
        let seen = Signer::parse(signer).unwrap().accepts(&request, usages);
        assert_eq!(seen.err().unwrap_or_default(), expected, "{signer} {who:?}");
    }

    #[test]
    fn a_key_that_claims_to_be_longer_than_its_parts_is_refused() {
        let request = pem("jane", "", &[]);
        let mut der = CertificateSigningRequestDer::from_pem_slice(request.as_bytes()).unwrap().to_vec();
        assert!(Request::of(&der, false).is_ok());
        // The bits of the key end before the key does.
        let bits = der.windows(2).position(|two| two == [3, 0x42]).unwrap();
        der[bits + 1] -= 4;
        assert_eq!(Request::of(&der, false), Err(RequestFault::Unreadable));
    }

    #[test]
    fn each_signer_has_its_rules() {
        let dns = || SanType::DnsName("n1".try_into().unwrap());
        let uri = || SanType::URI("spiffe://x".try_into().unwrap());
        let ip = || SanType::IpAddress("10.0.0.1".parse().unwrap());
        let mail = || SanType::Rfc822Name("a@b.c".try_into().unwrap());
        let node = ("system:node:n1", "system:nodes");
        let jane = ("jane", "");
        let (client, all) = ([SIGNATURE, CLIENT], [SIGNATURE, ENCIPHERMENT, CLIENT]);
        let serving = [SIGNATURE, SERVER];

        let signer = "kubernetes.io/kube-apiserver-client";
        check(signer, jane, &[], &all, "");
        check(signer, jane, &[dns()], &[CLIENT], "");
        check(signer, jane, &[], &[CLIENT, "cert sign"], "invalid usage for client certificate: cert sign");
        check(signer, jane, &[], &[SIGNATURE], "missing required usage for client certificate: client auth");

        let signer = "kubernetes.io/kube-apiserver-client-kubelet";
        check(signer, node, &[], &client, "");
        check(signer, node, &[], &all, "");
        check(signer, jane, &[], &all, "subject organization is not system:nodes");
        check(signer, ("jane", "system:nodes"), &[], &all, "subject common name does not begin with system:node:");
        check(signer, node, &[dns()], &all, "DNS subjectAltNames are not allowed");
        check(signer, node, &[mail()], &all, "Email subjectAltNames are not allowed");
        check(signer, node, &[ip()], &all, "IP subjectAltNames are not allowed");
        check(signer, node, &[uri()], &all, "URI subjectAltNames are not allowed");
        check(signer, node, &[], &serving, "usages did not match [client auth digital signature key encipherment]");

        let signer = "kubernetes.io/kubelet-serving";
        check(signer, node, &[dns()], &serving, "");
        check(signer, node, &[ip()], &[SIGNATURE, ENCIPHERMENT, SERVER], "");
        check(signer, node, &[], &serving, "DNS or IP subjectAltName is required");
        check(signer, node, &[dns(), mail()], &serving, "Email subjectAltNames are not allowed");
        check(signer, node, &[dns(), uri()], &serving, "URI subjectAltNames are not allowed");
        check(signer, jane, &[dns()], &serving, "subject organization is not system:nodes");
        check(signer, node, &[dns()], &client, "usages did not match [digital signature key encipherment server auth]");
        check("kubernetes.io/legacy-unknown", jane, &[], &["any"], "");
        assert_eq!(Signer::parse("example.com/mine"), None);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let good = pem("jane", "", &[]);
        assert!(Request::parse(good.as_bytes()).is_ok());
        let mut der = CertificateSigningRequestDer::from_pem_slice(good.as_bytes()).unwrap().to_vec();
        let at = der.windows(4).position(|w| w == b"jane").unwrap();
        der[at] = b'J';
        let forged = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            STANDARD.encode(&der)
        );
        let rows: [(&[u8], RequestFault); 5] = [
            (b"", RequestFault::NotPem),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", RequestFault::NotPem),
            (b"\xff\xfe\x00", RequestFault::NotPem),
            (
                b"-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n",
                RequestFault::Unreadable,
            ),
            (forged.as_bytes(), RequestFault::Signature),
        ];
        for (text, fault) in rows {
            assert_eq!(Request::parse(text), Err(fault));
        }
    }
}
