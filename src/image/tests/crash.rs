//! Loads that end badly: a process that is killed again and again, a disk that is full. What the store shows is whole.

// A test that cannot prepare itself has failed.
#![allow(clippy::unwrap_used)]

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use kedge_image::build::{Layer, Recipe, oci_archive};
use kedge_image::{Images, Options};

const FOLDER: &str = "KEDGE_IMAGE_CRASH_FOLDER";
const SMALL: &str = "KEDGE_IMAGE_SMALL_DISK";
const ROUNDS: u64 = 15;

/// An error and its causes in one line.
fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn archive(name: &str) -> Vec<u8> {
    let base = (0..50).fold(Layer::new(), |l, i| l.file(&format!("lib/{i}"), 0o644, vec![i; 3000]));
    let top = (0..50).fold(Layer::new(), |l, i| l.file(&format!("{name}/{i}"), 0o644, vec![i; 2000]));
    let mut recipe = Recipe::new(name, base);
    recipe.layers.push(top);
    let mut bytes = Vec::new();
    oci_archive(&[recipe], &mut bytes).unwrap();
    bytes
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Not a test by itself: what the killed process does.
#[test]
fn victim() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let images = Images::open(Options::new(Path::new(&folder).join("store"))).unwrap();
    runtime().block_on(async {
        loop {
            for name in ["one", "two"] {
                images.load_archive(io::Cursor::new(archive(name)), false).await.unwrap();
                // Past the harness, which would keep it until the end.
                io::stdout().write_all(b"loaded\n").unwrap();
            }
            images.remove("one").await.unwrap();
            images.collect_garbage(&[], u64::MAX).await.unwrap();
        }
    });
}

#[test]
fn a_killed_process_leaves_whole_images_or_none() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: unpacking layers needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["victim", "--exact", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Kept open until the end: the victim goes on writing.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(
            lines.by_ref().map_while(Result::ok).any(|line| line.ends_with("loaded")),
            "the victim ended by itself"
        );
        // It is at work now. Where it is hit is chance; that it is hit is what counts.
        std::thread::sleep(Duration::from_millis(round * 7 % 40));
        child.kill().unwrap();
        child.wait().unwrap();
        drop(lines);
        let images = Images::open(Options::new(folder.path().join("store"))).unwrap();
        runtime().block_on(async {
            for image in images.list().await {
                seen += 1;
                // Saving checks each layer against its digest.
                images.save(&image.id, io::sink()).await.unwrap();
            }
        });
        assert_eq!(std::fs::read_dir(folder.path().join("store/tmp")).unwrap().count(), 0);
    }
    assert!(seen > 0, "no round had an image: the victim was killed too early");
}

/// Not a test by itself: loads on a file system of 4 MiB.
#[test]
fn tenant_of_a_small_disk() {
    let Ok(folder) = std::env::var(SMALL) else { return };
    let mut options = Options::new(Path::new(&folder).join("store"));
    options.limits.reserve = 0;
    let images = Images::open(options).unwrap();
    let recipe =
        Recipe::new("large", Layer::new().file("a", 0o644, vec![1; 3 << 20]).file("b", 0o644, vec![2; 3 << 20]));
    let mut bytes = Vec::new();
    oci_archive(&[recipe], &mut bytes).unwrap();
    let path = std::env::temp_dir().join(format!("large-{}.tar", std::process::id()));
    std::fs::write(&path, &bytes).unwrap();
    runtime().block_on(async {
        let spooled = causes(&images.load_archive(io::Cursor::new(bytes), false).await.unwrap_err());
        let unpacked = causes(&images.load_file(&path, false).await.unwrap_err());
        std::fs::remove_file(&path).unwrap();
        assert!(spooled.contains("No space left"), "{spooled}");
        assert!(unpacked.contains("not enough disk space"), "{unpacked}");
        assert!(images.list().await.is_empty());
        // What failed is gone, so that this fits.
        images.load_archive(io::Cursor::new(archive("one")), false).await.unwrap();
    });
}

#[test]
fn a_full_disk_is_named_and_leaves_room() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let own = std::env::current_exe().unwrap();
    let script = "mount -t tmpfs -o size=4m none \"$0\" && exec \"$1\" tenant_of_a_small_disk --exact --nocapture";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .args([folder.path(), &own])
        .env(SMALL, folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
