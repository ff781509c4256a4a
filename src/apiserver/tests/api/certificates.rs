//! Certificate signing requests: made, approved, signed, used; refused ones; nodes' own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kedge_apiserver::Identity;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};

use crate::support::{Client, server, until};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// A request's PEM as base64.
fn pem(name: &str, organisation: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if !organisation.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, organisation);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    STANDARD.encode(params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap())
}

fn request(name: &str, pem: &str, signer: &str, usages: &[&str]) -> Value {
    json!({"metadata": {"name": name}, "spec": {"request": pem, "usages": usages,
        "signerName": format!("kubernetes.io/{signer}"), "expirationSeconds": 3600}})
}

const CLIENT: [&str; 2] = ["digital signature", "client auth"];

async fn approve(admin: &Client, name: &str) -> Value {
    let path = format!("{REQUESTS}/{name}");
    let mut object = admin.get(&path).await.ok();
    object["status"]["conditions"] =
        json!([{"type": "Approved", "status": "True", "reason": "Test", "message": "as the test wants"}]);
    admin.put(&format!("{path}/approval"), object).await.ok()
}

#[tokio::test]
async fn an_approved_request_is_signed_and_others_are_not() {
    let server = server().await;
    let admin = &server.admin;
    let made = admin.post(REQUESTS, request("jane", &pem("jane", "team"), "kube-apiserver-client", &CLIENT)).await.ok();
    assert_eq!(made["spec"]["username"], "admin");
    let approved = approve(admin, "jane").await;
    let condition = &approved["status"]["conditions"][0];
    assert!(condition["lastUpdateTime"].is_string() && condition["lastTransitionTime"].is_string(), "{condition}");
    let path = format!("{REQUESTS}/jane");
    until(async || admin.get(&path).await.ok()["status"]["certificate"].is_string()).await;
    let signed = admin.get(&path).await.ok();
    let certificate = STANDARD.decode(signed["status"]["certificate"].as_str().unwrap()).unwrap();
    assert!(String::from_utf8(certificate).unwrap().starts_with("-----BEGIN CERTIFICATE-----\n"));

    // The signer's rules are told as a condition.
    let serving = request("bad", &pem("jane", ""), "kubelet-serving", &["server auth", "digital signature"]);
    admin.post(REQUESTS, serving).await.ok();
    approve(admin, "bad").await;
    let path = format!("{REQUESTS}/bad");
    until(async || admin.get(&path).await.ok()["status"]["conditions"].as_array().is_some_and(|c| c.len() == 2)).await;
    let failed = admin.get(&path).await.ok()["status"]["conditions"][1].clone();
    assert_eq!((&failed["type"], &failed["reason"]), (&json!("Failed"), &json!("SignerValidationFailure")));
    assert_eq!(failed["message"], "subject organization is not system:nodes");

    // Whoever signs neither approves nor takes an approval back; a changed one stays as it was.
    let mut object = admin.get(&path).await.ok();
    object["status"]["conditions"][0]["message"] = json!("changed");
    object["status"]["conditions"][1]["message"] = json!("told again");
    let written = admin.put(&format!("{path}/status"), object.clone()).await.ok();
    assert_eq!(written["status"]["conditions"][0]["message"], "as the test wants");
    assert_eq!(written["status"]["conditions"][1]["message"], "told again");
    let more = json!([{"op": "add", "path": "/status/conditions/-", "value": {"type": "Denied", "status": "True"}}]);
    let refused = admin.patch("json", &format!("{path}/status"), more).await;
    refused.fails(422, "status.conditions: Forbidden: updates may not add a condition of type \\\"Denied\\\"");
    let less = json!([{"op": "remove", "path": "/status/conditions/0"}]);
    let refused = admin.patch("json", &format!("{path}/status"), less).await;
    refused.fails(422, "status.conditions: Forbidden: updates may not remove a condition of type \\\"Approved\\\"");

    // What is handed in as a certificate must be one.
    for (text, why) in [
        ("nonsense", "must contain at least one CERTIFICATE PEM block"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "x509: malformed certificate"),
        ("-----BEGIN X-----\nAAAA\n-----END X-----\n", "only CERTIFICATE PEM blocks are allowed, found \\\"X\\\""),
    ] {
        let given = json!({"status": {"certificate": STANDARD.encode(text)}});
        let refused = admin.patch("merge", &format!("{path}/status"), given).await;
        refused.fails(422, &format!("status.certificate: Invalid value: \\\"<certificate data>\\\": {why}"));
    }

    // An approval cannot be taken back, and the rest of the object is not its to change.
    let mut object = admin.get(&path).await.ok();
    object["status"]["conditions"] = json!([]);
    admin.put(&format!("{path}/approval"), object).await.fails(422, "may not remove a condition");
}

#[tokio::test]
async fn a_request_without_its_key_is_refused() {
    let server = server().await;
    let admin = &server.admin;
    let good = String::from_utf8(STANDARD.decode(pem("jane", "")).unwrap()).unwrap();
    let body: String = good.lines().filter(|l| !l.starts_with('-')).collect();
    let mut der = STANDARD.decode(body).unwrap();
    let at = der.windows(4).position(|w| w == b"jane").unwrap();
    der[at] = b'r';
    let forged =
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", STANDARD.encode(&der));
    for text in [forged, "nonsense".to_owned(), good.replace("CERTIFICATE REQUEST", "CERTIFICATE")] {
        let sent = request("forged", &STANDARD.encode(text), "kube-apiserver-client", &CLIENT);
        admin.post(REQUESTS, sent).await.fails(422, "spec.request");
    }
    admin.get(&format!("{REQUESTS}/forged")).await.fails(404, "");
}

#[tokio::test]
async fn nodes_requests_are_approved_where_roles_say_so() {
    let server = server().await;
    let admin = &server.admin;
    let binding = json!({"metadata": {"name": "boot"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole", "name": "system:certificates.k8s.io:certificatesigningrequests:nodeclient"},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "bootstrappers"}]});
    admin.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding.clone()).await.ok();
    let mut may_make = binding;
    may_make["metadata"]["name"] = json!("boot2");
    may_make["roleRef"]["name"] = json!("system:node-bootstrapper");
    admin.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", may_make).await.ok();
    let joiner = server.as_user(Identity::user("joiner", ["bootstrappers"]));
    let node = pem("system:node:n1", "system:nodes");
    let sent = request("n1", &node, "kube-apiserver-client-kubelet", &CLIENT);
    until(async || joiner.post(REQUESTS, sent.clone()).await.code == 201).await;
    let path = format!("{REQUESTS}/n1");
    until(async || admin.get(&path).await.ok()["status"]["certificate"].is_string()).await;
    let condition = admin.get(&path).await.ok()["status"]["conditions"][0].clone();
    assert_eq!((&condition["type"], &condition["reason"]), (&json!("Approved"), &json!("AutoApproved")));
    // The admin is no bootstrapper: theirs waits for a person.
    admin.post(REQUESTS, request("n2", &node, "kube-apiserver-client-kubelet", &CLIENT)).await.ok();
    admin.post(REQUESTS, request("n3", &pem("x", ""), "kube-apiserver-client", &CLIENT)).await.ok();
    approve(admin, "n3").await;
    until(async || admin.get(&format!("{REQUESTS}/n3")).await.ok()["status"]["certificate"].is_string()).await;
}
