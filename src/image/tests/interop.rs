//! Archives of another tool are read, and ours are read by it; images come from a real registry.
//! Needs root and the programs skopeo and docker-registry.

// A test that cannot prepare itself has failed.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use kedge_image::build::{Layer, Recipe, oci_archive};
use kedge_image::{Credential, Images, Keys, Options};

/// An error and its causes in one line.
fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Says that something is skipped; in CI, where both programs can be installed, nothing is skipped in silence.
#[track_caller]
fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "this cannot be skipped in CI: {why}");
    eprintln!("SKIPPED: {why}");
}

/// Copies an image from one form to another, as users do.
fn skopeo(folder: &Path, extra: &[&str], from: &str, to: &str) {
    let output = Command::new("skopeo")
        .current_dir(folder)
        .args(["copy", "--quiet", "--insecure-policy"])
        .args(extra)
        .args([from, to])
        .output()
        .unwrap();
    assert!(output.status.success(), "{from} to {to}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn images_go_to_and_fro() {
    let there = Command::new("skopeo").arg("--version").output().is_ok();
    if !there || !rustix::process::geteuid().is_root() {
        return skip("this needs root and the program skopeo");
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let long = format!("deep/{}/{}", "d".repeat(120), "f".repeat(150));
    let base = Layer::new().tree(Path::new("/etc/default")).unwrap().file(&long, 0o4755, vec![7; 300_000]);
    let mut recipe = Recipe::new("example.org/team/app:v1", base);
    recipe.layers.push(Layer::new().symlink("link", "deep").file("deep/.wh.none", 0o644, ""));
    recipe.config.cmd = vec!["/bin/true".into()];
    recipe.config.user = "7:8".into();
    oci_archive(&[recipe], File::create(at("ours.tar")).unwrap()).unwrap();
    skopeo(folder.path(), &[], "oci-archive:ours.tar", "docker-archive:docker.tar:example.org/team/app:v1");
    skopeo(
        folder.path(),
        &["--dest-compress-format", "zstd", "--dest-compress"],
        "oci-archive:ours.tar",
        "oci:zstd:example.org/team/app:v1",
    );
    skopeo(folder.path(), &["--dest-compress"], "oci-archive:ours.tar", "oci-archive:gzip.tar:example.org/team/app:v1");
    let mut ids = Vec::new();
    for (i, form) in ["ours.tar", "docker.tar", "zstd", "gzip.tar"].iter().enumerate() {
        // Each in a store of its own, so that each is unpacked.
        let images = Images::open(Options::new(at(&format!("store{i}")))).unwrap();
        let image = images.load_file(at(form), false).await.unwrap().remove(0);
        assert_eq!(image.tags, ["example.org/team/app:v1"], "{form}");
        assert_eq!(fs::read(image.layers[1].join(&long)).unwrap(), vec![7; 300_000], "{form}");
        assert_eq!((image.config.cmd, image.config.user), (vec!["/bin/true".to_owned()], "7:8".to_owned()), "{form}");
        images.save("example.org/team/app:v1", File::create(at("saved.tar")).unwrap()).await.unwrap();
        skopeo(folder.path(), &[], "oci-archive:saved.tar", &format!("dir:plain{i}"));
        skopeo(folder.path(), &[], "docker-archive:saved.tar", &format!("dir:docker{i}"));
        ids.push(image.id);
    }
    // skopeo writes a Docker configuration anew for docker-archive; the others keep ours.
    assert_eq!((&ids[0], &ids[0]), (&ids[2], &ids[3]));
}

/// A registry that ends with the test.
struct Registry(Child);

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn images_are_pulled_from_the_reference_registry() {
    let there = ["skopeo", "docker-registry"].iter().all(|p| Command::new(p).arg("--version").output().is_ok());
    if !there || !rustix::process::geteuid().is_root() {
        return skip("this needs root and the programs skopeo and docker-registry");
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // Free a moment ago; nobody else on this machine wants it now.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
        at("registry").display()
    );
    fs::write(at("config.yml"), config).unwrap();
    let mut command = Command::new("docker-registry");
    command.args(["serve", "config.yml"]).current_dir(folder.path());
    let mut registry = Registry(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    while TcpStream::connect(address).is_err() {
        assert!(registry.0.try_wait().unwrap().is_none(), "the registry ended");
    }
    let mut recipe = Recipe::new("x", Layer::new().tree(Path::new("/etc/default")).unwrap());
    recipe.layers.push(Layer::new().file("big", 0o644, vec![7; 3_000_000]));
    oci_archive(&[recipe], File::create(at("ours.tar")).unwrap()).unwrap();
    let name = format!("{address}/team/app:v1");
    for (extra, tag) in
        [(&[][..], "v1"), (&["--dest-compress-format", "zstd"][..], "v2"), (&["--format", "v2s2"][..], "v3")]
    {
        let args = [&["--dest-tls-verify=false"], extra].concat();
        skopeo(folder.path(), &args, "oci-archive:ours.tar", &format!("docker://{address}/team/app:{tag}"));
        let images = Images::open(Options::new(at(&format!("store-{tag}")))).unwrap();
        let image = images.pull(&format!("{address}/team/app:{tag}"), &Keys::default(), |_| {}).await.unwrap();
        assert_eq!(fs::read(image.layers[0].join("big")).unwrap().len(), 3_000_000, "{tag}");
        let again = images.pull(&image.digests[0], &Keys::default(), |_| {}).await.unwrap();
        assert_eq!(again.id, image.id);
    }
    let images = Images::open(Options::new(at("store"))).unwrap();
    let error = images.pull(&format!("{address}/team/none:v1"), &Keys::default(), |_| {}).await.unwrap_err();
    let error = causes(&error);
    assert!(error.contains("has no team/none:v1"), "{error}");
    // Credentials that nobody asks for do no harm.
    let mut keys = Keys::default();
    keys.add_login(&address.to_string(), Credential::Basic { user: "me".into(), password: "secret".into() });
    let pulled = images.pull_and_tell(&name, &keys, |_| {}).await.unwrap();
    assert_eq!(pulled.proof, None, "nor are they said to have opened anything");
    drop(registry);
    assert!(images.pull(&name, &keys, |_| {}).await.unwrap_err().is_unavailable());
}
