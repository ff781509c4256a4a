//! Tokens, certificates, requests for them, and archives of backups.
//!
//! In: any bytes. Out: a panic where something is believed that nobody signed, or is carried over otherwise than it was
//! written.

use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls_pki_types::CertificateDer;
use serde_json::Value;

use crate::authn::settings::{Claim, Issuer, Source};
use crate::authn::token::{ISSUER, TokenKey};
use crate::authn::{bootstrap, oidc};
use crate::backup::archive;
use crate::tls;
use crate::tls::client::ClientCertificates;
use crate::tls::possession;
use crate::tls::request::{Request, Signer};

/// A key that is only for this; nothing is ever signed with it elsewhere.
fn key() -> &'static TokenKey {
    static KEY: OnceLock<TokenKey> = OnceLock::new();
    KEY.get_or_init(|| {
        let pem = rcgen::KeyPair::generate().expect("keys can be made").serialize_pem();
        TokenKey::of(&pem).expect("is a key")
    })
}

/// A token as text, and claims that are signed here.
pub fn token(bytes: &[u8]) {
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(key().check(text, &[ISSUER], now).is_err() && key().check_legacy(text).is_err(), "nobody signed it");
        let _ = oidc::take_apart(text);
        if let Some((id, secret)) = bootstrap::split(text) {
            assert_eq!((id.len(), secret.len()), (6, 16));
        }
    }
    let Ok(claims) = serde_json::from_slice::<Value>(bytes) else { return };
    let signed = key().sign(&claims);
    if let Ok(said) = key().check(&signed, &[ISSUER], now) {
        assert_eq!(said.iss, ISSUER);
        assert!(said.aud.iter().any(|one| one == ISSUER));
    }
    let _ = key().check_legacy(&signed);
    // The same signature over anything else is of no worth.
    let (head, signature) = signed.rsplit_once('.').expect("has three parts");
    let (header, _) = head.split_once('.').expect("has three parts");
    let other = URL_SAFE_NO_PAD.encode(serde_json::json!({"iss": ISSUER, "forged": claims}).to_string());
    assert!(key().check(&format!("{header}.{other}.{signature}"), &[ISSUER], now).is_err());
    let _ = oidc::take_apart(&signed);
    let keys = oidc::jwk::read_set(&claims);
    assert!(
        keys.iter().all(|key| !key.verify("none", head.as_bytes(), b"") && !key.verify("ES256", head.as_bytes(), b""))
    );
    if let Some(map) = claims.as_object() {
        let named = |claim: &str| Source::Claim(Claim { claim: claim.to_owned(), prefix: "oidc:".to_owned() });
        let issuer = Issuer {
            url: "https://login".to_owned(),
            audiences: vec!["kedge".to_owned()],
            username: named("email"),
            groups: Some(named("groups")),
            uid: Some(named("uid")),
            required: vec![("hd".to_owned(), "example.com".to_owned())],
            ..Issuer::default()
        };
        if let Ok((identity, audiences)) = oidc::judge(&issuer, map, now) {
            assert!(identity.name.starts_with("oidc:") && identity.name.len() > 5, "{identity:?}");
            assert_eq!(audiences.iter().filter(|one| *one != "kedge").count(), 0);
            assert!(identity.groups.iter().all(|group| group.starts_with("oidc:") || group == "system:authenticated"));
        }
    }
}

/// A request for a certificate as DER, or as the PEM around one.
pub fn certificate_request(bytes: &[u8]) {
    pod_certificate_request(bytes);
    let usages = ["digital signature", "client auth"];
    for request in [Request::parse(bytes), Request::of(bytes, false)].into_iter().flatten() {
        for name in ["kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown"] {
            let signer = Signer::parse(&format!("kubernetes.io/{name}")).expect("is one of ours");
            if signer.accepts(&request, &usages).is_ok() && signer == Signer::KubeletClient {
                assert!(
                    request.common_name.starts_with("system:node:")
                        && request.names.is_empty()
                        && request.addresses.is_empty()
                );
            }
        }
        let _ = request.alternatives();
        // Both are put into a certificate as they are.
        for part in [&request.key, &request.subject] {
            assert!(tls::der::first(part).is_some_and(|(_, rest)| rest.is_empty()));
        }
    }
}

/// The same bytes as a request for a pod's certificate, and as a key with a signature behind it.
fn pod_certificate_request(bytes: &[u8]) {
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let _ = possession::fault(&serde_json::json!({"podUID": "uid", "stubPKCS10Request": encode(bytes)}));
    if let Some((key, proof)) = tls::der::first(bytes).filter(|(key, _)| tls::der::inside(key).is_some()) {
        let spec =
            serde_json::json!({"podUID": "uid", "pkixPublicKey": encode(key), "proofOfPossession": encode(proof)});
        assert!(possession::fault(&spec).is_some(), "nobody signed it");
    }
}

/// A sequence of elements.
pub fn der(bytes: &[u8]) {
    if let Some((element, rest)) = tls::der::first(bytes) {
        assert_eq!([element, rest].concat(), bytes);
        assert!(!element.is_empty());
    }
    if let Some(elements) = tls::der::elements(bytes) {
        let inside = tls::der::inside(bytes).expect("has elements");
        assert_eq!(elements.concat(), inside);
        let again = tls::der::sequence(&elements);
        assert_eq!(tls::der::elements(&again).as_deref(), Some(&elements[..]));
    }
    let bits = tls::der::bits(bytes);
    assert_eq!(tls::der::first(&bits), Some((&bits[..], &[][..])));
}

/// An authority that is only for this, and who trusts it.
fn authority() -> &'static (rcgen::Issuer<'static, KeyPair>, ClientCertificates) {
    static AUTHORITY: OnceLock<(rcgen::Issuer<'static, KeyPair>, ClientCertificates)> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let key = KeyPair::generate().expect("keys can be made");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("certificates can be made");
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let trusted = ClientCertificates::trusting(certificate.der(), &provider).expect("is an authority");
        (rcgen::Issuer::from_ca_cert_der(certificate.der(), key).expect("is an authority"), trusted)
    })
}

/// A chain of certificates as DER, and the name and group of one that is signed here: `name`, a line break, `group`.
pub fn client_certificate(bytes: &[u8]) {
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let (issuer, trusted) = authority();
    let (mut chain, mut rest) = (Vec::new(), bytes);
    while let (Some((element, after)), true) = (tls::der::first(rest), chain.len() < 3) {
        chain.push(CertificateDer::from(element));
        rest = after;
    }
    for chain in [&chain[..], &[CertificateDer::from(bytes)]] {
        assert!(trusted.believe(chain, now).is_err(), "nobody signed it");
        let _ = trusted.shown(chain, now);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (name, group) = text.split_once('\n').unwrap_or((text, ""));
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, group);
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    let key = KEY.get_or_init(|| KeyPair::generate().expect("keys can be made"));
    let Ok(signed) = params.signed_by(key, issuer) else { return };
    match trusted.believe(&[signed.der().clone()], now) {
        Ok(believed) => {
            assert_eq!(believed.identity.name, name);
            assert!(group.is_empty() || believed.identity.groups.first().is_some_and(|first| first == group));
            assert!(believed.identity.groups.len() <= 2, "the organisation, and that somebody is known");
            assert!(believed.validity.covers(now));
        }
        Err(why) => assert!(name.is_empty(), "{why}: {name:?}"),
    }
}

/// An archive, and the same with a digest that fits.
pub fn backup(bytes: &[u8]) {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    for archive in [bytes, &[bytes, digest.as_ref()].concat()[..]] {
        let Ok((manifest, before)) = archive::verify(&mut &archive[..], archive.len() as u64) else { continue };
        let parts = before + manifest.database_bytes + manifest.keys_bytes + archive::DIGEST as u64;
        assert_eq!(parts, archive.len() as u64, "{manifest:?}");
        let from = usize::try_from(before + manifest.database_bytes).expect("is within");
        let text = &archive[from..archive.len() - archive::DIGEST];
        if let Ok(keys) = archive::Keys::decode(text) {
            assert_eq!(archive::Keys::decode(&keys.encode()).ok(), Some(keys));
        }
        let again = archive::head(&manifest);
        let mut whole =
            [&again[..], &archive[usize::try_from(before).expect("is within")..archive.len() - archive::DIGEST]]
                .concat();
        let digest = ring::digest::digest(&ring::digest::SHA256, &whole);
        whole.extend_from_slice(digest.as_ref());
        let read = archive::verify(&mut &whole[..], whole.len() as u64).expect("is what was written");
        assert_eq!(read.0, manifest);
    }
}
