//! Images from a registry: when it is asked, by whom, and who gets what is here already.
//!
//! In: a registry on the loopback address that knows the demo image under two names; one of them it gives only to those
//! who know the password. Out: pods that run or say why not, and what the registry was asked.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kedge::{Device, Output, until};
use kedge_image::Digest;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);

/// `user:good`, as the Basic scheme writes it.
const PROOF: &str = "Basic dXNlcjpnb29k";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry for as long as the process lives.
struct Registry {
    address: String,
    /// The manifest's digest.
    digest: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    /// Serves the image of an archive as `docker save` writes it.
    fn of(archive: &Path, scratch: &Path) -> Registry {
        let folder = scratch.join("registry");
        std::fs::create_dir(&folder).unwrap();
        Output::of(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(&folder)).ok();
        let list: Value = serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        let mut blobs = HashMap::new();
        let mut part = |name: &Value, media: &str| {
            let bytes = std::fs::read(folder.join(name.as_str().unwrap())).unwrap();
            let digest = Digest::of(&bytes).to_string();
            let descriptor = json!({"mediaType": media, "digest": digest, "size": bytes.len()});
            blobs.insert(digest, bytes);
            descriptor
        };
        let config = part(&list[0]["Config"], "application/vnd.oci.image.config.v1+json");
        let layers = list[0]["Layers"].as_array().unwrap();
        let layers: Vec<Value> =
            layers.iter().map(|layer| part(layer, "application/vnd.oci.image.layer.v1.tar")).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        let manifest = manifest.to_string().into_bytes();
        let digest = Digest::of(&manifest).to_string();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = asked.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // A client that goes away in the midst is its own affair.
                let _ = answer(connection, &manifest, &blobs, &told);
            }
        });
        Registry { address, digest, asked }
    }

    /// How often something with this in its path was asked for.
    fn count(&self, part: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|path| path.contains(part)).count()
    }

    fn image(&self, repository: &str) -> String {
        format!("{}/{repository}/web:1", self.address)
    }
}

fn answer(
    connection: TcpStream,
    manifest: &[u8],
    blobs: &HashMap<String, Vec<u8>>,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut proven = false;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let header = line.split_once(':').unwrap_or_default();
        proven |= header.0.eq_ignore_ascii_case("authorization") && header.1.trim() == PROOF;
    }
    asked.lock().unwrap().push(path.clone());
    let nothing: &[u8] = &[];
    let (status, header, body) = if path.contains("/private/") && !proven {
        ("401 Unauthorized", "www-authenticate: Basic realm=\"test\"".to_owned(), nothing)
    } else if path.contains("/manifests/") {
        ("200 OK", format!("content-type: {MANIFEST}"), manifest)
    } else {
        let digest = path.rsplit('/').next().unwrap_or_default();
        match blobs.get(digest) {
            Some(bytes) => ("200 OK", "content-type: application/octet-stream".to_owned(), bytes.as_slice()),
            None => ("404 Not Found", "content-type: text/plain".to_owned(), nothing),
        }
    };
    let mut out = connection;
    write!(out, "HTTP/1.1 {status}\r\n{header}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
    out.write_all(body)?;
    out.flush()
}

fn pod(name: &str, image: &str, policy: &str, secrets: &[&str]) -> String {
    let secrets: Vec<String> = secrets.iter().map(|secret| format!("{{name: {secret}}}")).collect();
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 1
  imagePullSecrets: [{}]
  containers:
  - name: main
    image: \"{image}\"
    imagePullPolicy: {policy}
    command: [sh, -c, \"trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done\"]
",
        secrets.join(", ")
    )
}

/// Waits until the container runs.
#[track_caller]
fn runs(device: &Device, name: &str) -> Value {
    device.wait_for(&["pod", name], SOON, |pod| {
        let state = &pod["status"]["containerStatuses"][0]["state"];
        if state["running"].is_object() { Ok(()) } else { Err(pod["status"].to_string()) }
    })
}

/// Waits until the container does not run for one of these reasons.
#[track_caller]
fn waits(device: &Device, name: &str, reasons: &[&str]) {
    device.wait_for(&["pod", name], SOON, |pod| {
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        let reason = waiting["reason"].as_str().unwrap_or_default();
        if reasons.contains(&reason) { Ok(()) } else { Err(pod["status"].to_string()) }
    });
}

#[track_caller]
fn says(device: &Device, name: &str, words: &str) {
    let select = format!("involvedObject.name={name}");
    until(&format!("{words:?} about {name}"), SOON, || {
        let events = device.edgectl(&["get", "events", "--field-selector", &select]).seen()?;
        if events.contains(words) { Ok(()) } else { Err(events) }
    });
}

#[test]
fn the_registry_is_asked_as_the_policy_says() {
    let Some(device) = Device::new("policies") else { return };
    let registry = Registry::of(device.setup.image(1), device.setup.folder());
    let image = registry.image("public");
    device.apply(&pod("never-first", &image, "Never", &[])).ok();
    waits(&device, "never-first", &["ErrImageNeverPull"]);
    assert_eq!(registry.count("/v2/"), 0, "who is never to pull asks nobody");

    device.apply(&pod("missing", &image, "IfNotPresent", &[])).ok();
    let seen = runs(&device, "missing");
    let wanted = format!("{}/public/web@{}", registry.address, registry.digest);
    assert_eq!(seen["status"]["containerStatuses"][0]["imageID"], wanted.as_str());
    says(&device, "missing", "Successfully pulled image");
    let (manifests, blobs) = (registry.count("/manifests/"), registry.count("/blobs/"));
    assert!(manifests > 0 && blobs > 1, "{manifests} {blobs}");

    for (name, policy) in [("present", "IfNotPresent"), ("never", "Never")] {
        device.apply(&pod(name, &image, policy, &[])).ok();
        runs(&device, name);
        says(&device, name, "already present on machine and can be accessed by the pod");
    }
    assert_eq!(registry.count("/manifests/"), manifests, "what is here is not asked for");

    device.apply(&pod("always", &image, "Always", &[])).ok();
    runs(&device, "always");
    assert!(registry.count("/manifests/") > manifests, "the registry is asked for a newer one");
    device.edgectl(&["delete", "pod", "never-first"]).ok();
}

#[test]
fn an_image_of_a_secret_is_for_those_who_have_it() {
    let Some(mut device) = Device::new("credentials") else { return };
    let registry = Registry::of(device.setup.image(1), device.setup.folder());
    let image = registry.image("private");
    let config = json!({"auths": {&registry.address: {"username": "user", "password": "good"}}}).to_string();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"},
        "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": config}});
    device.apply(&secret.to_string()).ok();

    let refused = ["ErrImagePull", "ImagePullBackOff"];
    device.apply(&pod("stranger", &image, "IfNotPresent", &["nobody"])).ok();
    waits(&device, "stranger", &refused);
    says(&device, "stranger", "Unable to retrieve some image pull secrets (nobody)");
    device.apply(&pod("owner", &image, "IfNotPresent", &["login"])).ok();
    runs(&device, "owner");
    let manifests = registry.count("/manifests/");
    device.apply(&pod("again", &image, "IfNotPresent", &["login"])).ok();
    runs(&device, "again");
    assert_eq!(registry.count("/manifests/"), manifests, "who has shown the secret needs no registry");

    // That it is here helps nobody who could not pull it, also after a restart.
    device.stop();
    device.start();
    device.apply(&pod("late", &image, "IfNotPresent", &[])).ok();
    waits(&device, "late", &refused);
    device.apply(&pod("never", &image, "Never", &[])).ok();
    waits(&device, "never", &["ErrImageNeverPull"]);
    device.apply(&pod("heir", &image, "Never", &["login"])).ok();
    runs(&device, "heir");
}
