//! Credentials: token files, bootstrap tokens, tokens in Secrets, issuers, front proxies; hostile ones.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kedge_apiserver::{ApiServer, Authentication, Clock, Config, Parts};
use kedge_store::{Options, Store};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::sockets::{code, serve};
use crate::support::{Client, PODS, pod, server, server_with, until};

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";

fn file(dir: &std::path::Path, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = dir.join(name);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    path
}

/// What a TokenReview says.
async fn review(admin: &Client, token: &str) -> Value {
    admin.post(REVIEWS, json!({"spec": {"token": token}})).await.ok()["status"].clone()
}

#[tokio::test]
async fn a_token_file_names_people_and_must_be_private() {
    let dir = tempfile::tempdir().unwrap();
    let text = "s3cret,jane,7,\"dev,ops\"\n";
    let good = file(dir.path(), "tokens.csv", text, 0o600);
    let server = server_with(|config, _| config.authentication.token_file = Some(good)).await;
    let seen = review(&server.admin, "s3cret").await;
    assert_eq!(seen["user"]["username"], "jane");
    assert_eq!(seen["user"]["groups"], json!(["dev", "ops", "system:authenticated"]));
    assert_eq!(review(&server.admin, "s3cre").await["authenticated"], false);

    for (name, text, mode, expected) in [
        ("open.csv", text, 0o644, "can be read by others (mode 644); chmod 600 it"),
        ("short.csv", "a,b\n", 0o600, "line 1 must have at least 3 columns"),
    ] {
        let config = Config {
            data_dir: dir.path().join(name),
            authentication: Authentication {
                token_file: Some(file(dir.path(), &format!("x{name}"), text, mode)),
                ..Authentication::default()
            },
            ..Config::default()
        };
        std::fs::create_dir(&config.data_dir).unwrap();
        let store = Store::open(Options::new(config.data_dir.join("store"))).unwrap();
        let error = ApiServer::open(config, store, Parts::default()).await.unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(format!("{error}: {source}").contains(expected), "{error}: {source}");
    }
}

fn bootstrap_token(id: &str, expiration: &str) -> Value {
    json!({"metadata": {"name": format!("bootstrap-token-{id}")}, "type": "bootstrap.kubernetes.io/token", "stringData": {
        "token-id": id, "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true", "auth-extra-groups": "system:bootstrappers:edge", "expiration": expiration}})
}

#[tokio::test]
async fn bootstrap_tokens_let_in_sign_and_end() {
    let server = server().await;
    let admin = &server.admin;
    let secrets = "/api/v1/namespaces/kube-system/secrets";
    admin.post(secrets, bootstrap_token("abcdef", "2100-01-01T00:00:00Z")).await.ok();
    let seen = review(admin, "abcdef.0123456789abcdef").await;
    assert_eq!(seen["user"]["username"], "system:bootstrap:abcdef");
    assert!(seen["user"]["groups"].as_array().unwrap().contains(&json!("system:bootstrappers:edge")));
    assert_eq!(review(admin, "abcdef.0123456789abcdee").await["authenticated"], false);
    let info = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
    until(async || admin.get(info).await.body["data"]["jws-kubeconfig-abcdef"].is_string()).await;
    assert!(admin.get(info).await.ok()["data"]["kubeconfig"].as_str().unwrap().contains("certificate-authority-data"));

    // One whose time is over goes by itself, and its signature with it.
    admin.post(secrets, bootstrap_token("expire", "2020-01-01T00:00:00Z")).await.ok();
    until(async || admin.get(&format!("{secrets}/bootstrap-token-expire")).await.code == 404).await;
    admin.delete(&format!("{secrets}/bootstrap-token-abcdef"), Value::Null).await.ok();
    until(async || admin.get(info).await.body["data"]["jws-kubeconfig-abcdef"].is_null()).await;
    assert_eq!(review(admin, "abcdef.0123456789abcdef").await["authenticated"], false);
}

#[tokio::test]
async fn secrets_of_accounts_are_filled_and_go_with_them() {
    let server = server().await;
    let admin = &server.admin;
    admin.post(ACCOUNTS, json!({"metadata": {"name": "bot"}})).await.ok();
    let secret = json!({"metadata": {"name": "bot-token", "annotations": {"kubernetes.io/service-account.name": "bot"}},
        "type": "kubernetes.io/service-account-token"});
    admin.post(SECRETS, secret).await.ok();
    let path = format!("{SECRETS}/bot-token");
    until(async || admin.get(&path).await.ok()["data"]["token"].is_string()).await;
    let filled = admin.get(&path).await.ok();
    assert!(filled["data"]["ca.crt"].is_string() && filled["data"]["namespace"] == STANDARD.encode("default"));
    let token = String::from_utf8(STANDARD.decode(filled["data"]["token"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(review(admin, &token).await["user"]["username"], "system:serviceaccount:default:bot");
    // Whoever empties the token gets a new one (of the same claims); the account's end is the Secret's.
    admin.patch("merge", &path, json!({"data": {"token": null}})).await.ok();
    until(async || admin.get(&path).await.ok()["data"]["token"].is_string()).await;
    admin.delete(&format!("{ACCOUNTS}/bot"), Value::Null).await.ok();
    until(async || admin.get(&path).await.code == 404).await;
    assert_eq!(review(admin, &token).await["authenticated"], false);
}

#[tokio::test]
async fn tokens_of_pods_hold_on_and_end_with_their_pod() {
    let server = server().await.with_account().await;
    let admin = &server.admin;
    let made = admin.post(PODS, pod("p")).await.ok();
    let request = |seconds: u64, uid: &Value| {
        json!({"spec": {"expirationSeconds": seconds,
        "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid}}})
    };
    let path = format!("{ACCOUNTS}/default/token");
    admin.post(&path, request(3607, &json!("other"))).await.fails(409, "does not match the UID in record");
    let other = json!({"spec": {"boundObjectRef": {"kind": "Deployment", "apiVersion": "apps/v1", "name": "p"}}});
    admin.post(&path, other).await.fails(400, "cannot bind token to object of type apps/v1, Kind=Deployment");
    let named = json!({"metadata": {"name": "x"}, "spec": {}});
    admin.post(&path, named).await.fails(422, "must match the service account name if specified");
    let answer = admin.post(&path, request(3607, &made["metadata"]["uid"])).await.ok();
    let token = answer["status"]["token"].as_str().unwrap().to_owned();
    let body = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&body).unwrap();
    let (issued, warns) = (claims["iat"].as_u64().unwrap(), claims["kubernetes.io"]["warnafter"].as_u64().unwrap());
    assert_eq!((warns - issued, claims["exp"].as_u64().unwrap() - issued), (3607, 31_536_000));
    let seen = review(admin, &token).await;
    assert_eq!(seen["user"]["extra"]["authentication.kubernetes.io/pod-name"], json!(["p"]));
    admin.delete(&format!("{PODS}/p?gracePeriodSeconds=0"), Value::Null).await.ok();
    let gone = review(admin, &token).await;
    assert_eq!(gone["error"], "[invalid bearer token, service account token has been invalidated]");
}

/// A small issuer of tokens over TLS; out: its URL, its certificate as PEM, its signing key.
async fn issuer() -> (String, String, EcdsaKeyPair) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let random = ring::rand::SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let point = pair.public_key().as_ref();
    let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
    let documents = [
        ("/.well-known/openid-configuration", json!({"issuer": url, "jwks_uri": format!("{url}/keys")})),
        ("/keys", json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k", "x": part(1..33), "y": part(33..65)}]})),
    ];
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = vec![0u8; 4096];
            let read = stream.read(&mut head).await.unwrap_or(0);
            let asked = String::from_utf8_lossy(&head[..read]).split(' ').nth(1).unwrap_or("").to_owned();
            let body = documents.iter().find(|(p, _)| *p == asked).map_or(String::new(), |(_, d)| d.to_string());
            let code = if body.is_empty() { "404 Not Found" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {code}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (url, certified.cert.pem(), pair)
}

#[tokio::test]
async fn users_of_a_trusted_issuer_are_let_in() {
    let (url, ca, pair) = issuer().await;
    let dir = tempfile::tempdir().unwrap();
    let settings = json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": [{
        "issuer": {"url": url, "audiences": ["kedge"], "certificateAuthority": ca},
        "claimMappings": {"username": {"claim": "sub", "prefix": "oidc:"}, "groups": {"claim": "groups", "prefix": ""}}}]});
    let path = file(dir.path(), "authn.yaml", &settings.to_string(), 0o600);
    let server = server_with(|config, _| config.authentication.config = Some(path)).await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let token = |header: Value, claims: Value| {
        let text =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = pair.sign(&ring::rand::SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let header = json!({"alg": "ES256", "kid": "k"});
    let claims = json!({"iss": url, "aud": "kedge", "sub": "jane", "exp": now + 600, "groups": ["dev"]});
    let good = token(header.clone(), claims.clone());
    let seen = review(&server.admin, &good).await;
    assert_eq!((&seen["user"]["username"], &seen["authenticated"]), (&json!("oidc:jane"), &json!(true)), "{seen}");
    assert_eq!(seen["user"]["groups"], json!(["dev", "system:authenticated"]));

    let (body, signature) = good.rsplit_once('.').unwrap();
    let forged = body
        .replace(body.split('.').nth(1).unwrap(), &URL_SAFE_NO_PAD.encode(claims.to_string().replace("jane", "root")));
    let with = |key: &str, value: Value| {
        let mut claims = claims.clone();
        claims[key] = value;
        token(header.clone(), claims)
    };
    for (hostile, why) in [
        (format!("{forged}.{signature}"), "failed to verify signature"),
        (token(json!({"alg": "none"}), claims.clone()), "is not accepted"),
        (token(json!({"alg": "HS256", "kid": "k"}), claims.clone()), "is not accepted"),
        (token(json!({"alg": "ES256", "kid": "unknown"}), claims.clone()), "failed to verify signature"),
        (with("exp", json!(now - 1)), "token is expired"),
        (with("aud", json!("other")), "expected audience"),
        (with("iss", json!("https://evil")), "invalid bearer token"),
        (with("sub", json!({"$gt": ""})), "claim not present"),
    ] {
        let seen = review(&server.admin, &hostile).await;
        assert_eq!(seen["authenticated"], false, "{why}");
        assert!(seen["error"].as_str().unwrap().contains(why), "{seen} does not say {why}");
    }
}

#[tokio::test]
async fn front_proxies_say_for_whom_they_ask_and_nobody_else_does() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "proxies");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).unwrap().pem();
    let ca_issuer = Issuer::new(params, key);
    let certificate = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &ca_issuer).unwrap().pem(), key.serialize_pem())
    };
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "proxies.crt", &ca, 0o600);
    let served = serve(
        server_with(|config, _| {
            config.authentication.front_proxy_ca = Some(path);
            config.authentication.front_proxy_names = vec!["front".to_owned()];
        })
        .await,
    )
    .await;
    let path = "/api/v1/namespaces/default/configmaps";
    let says = "X-Remote-User: root\r\nX-Remote-Group: system:masters\r\n";
    assert_eq!(code(&served.get(path, Some(certificate("front")), says).await), 200);
    assert_eq!(code(&served.get(path, Some(certificate("front")), "").await), 401);
    assert_eq!(code(&served.get(path, Some(certificate("back")), says).await), 401);
    assert_eq!(code(&served.get(path, None, says).await), 401);
    let day = Duration::from_secs(86400);
    let jane = served.server.api.issue_client_certificate("jane", None, day).unwrap();
    assert_eq!(code(&served.get(path, Some(jane), says).await), 403);
    served.end().await;
}

#[tokio::test]
async fn a_token_that_has_run_out_is_refused() {
    let now = Arc::new(std::sync::atomic::AtomicU64::new(1_800_000_000));
    let clock = {
        let now = now.clone();
        Clock::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(now.load(std::sync::atomic::Ordering::Relaxed)))
    };
    let server = server_with(|_, parts| parts.clock = clock).await.with_account().await;
    let admin = &server.admin;
    let made = admin.post(&format!("{ACCOUNTS}/default/token"), json!({"spec": {"expirationSeconds": 600}})).await.ok();
    let token = made["status"]["token"].as_str().unwrap();
    assert_eq!(review(admin, token).await["authenticated"], true);
    now.fetch_add(700, std::sync::atomic::Ordering::Relaxed);
    let seen = review(admin, token).await;
    assert_eq!(seen["error"], "[invalid bearer token, service account token has expired]");
}
