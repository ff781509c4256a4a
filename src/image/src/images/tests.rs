//! Archives in, images out; hostile and broken archives leave nothing behind.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::build::{Layer, Recipe, docker_archive, oci_archive};
use crate::registry::http::causes;
use crate::tar::write::Writer;
use crate::tar::{Entry, Kind};

struct Bench {
    images: Images,
    folder: tempfile::TempDir,
}

/// Owners and whiteouts need root; without it the test is skipped and says so.
fn bench() -> Option<Bench> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: unpacking layers needs root");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let images = open(folder.path());
    Some(Bench { images, folder })
}

/// The same store two hours later.
fn later(bench: &Bench) -> Options {
    let now = SystemTime::now() + std::time::Duration::from_secs(2 * 60 * 60);
    Options { clock: Arc::new(move || now), ..Options::new(bench.folder.path().join("store")) }
}

fn open(folder: &Path) -> Images {
    Images::open(Options::new(folder.join("store"))).unwrap()
}

fn recipe() -> Recipe {
    let base = Layer::new()
        .folder("etc", 0o755)
        .file("etc/passwd", 0o644, "web:x:33:33::/:/bin/sh\n")
        .folder("tmp", 0o1777)
        .file("bin/tool", 0o755, "#!");
    let top =
        Layer::new().file("srv/index.html", 0o644, "hello").file("etc/.wh.passwd", 0o644, "").file("tmp/x", 0o644, "");
    let mut recipe = Recipe::new("web:v1", base);
    recipe.layers.push(top);
    recipe.config.cmd = vec!["/bin/tool".into()];
    recipe
}

fn docker(recipe: &Recipe) -> Vec<u8> {
    let mut bytes = Vec::new();
    docker_archive(recipe, &mut bytes).unwrap();
    bytes
}

fn oci(recipes: &[Recipe]) -> Vec<u8> {
    let mut bytes = Vec::new();
    oci_archive(recipes, &mut bytes).unwrap();
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Loads and expects a refusal whose words contain `expected`, with nothing left on disk.
#[track_caller]
fn refused(bench: &Bench, bytes: Vec<u8>, expected: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = causes(&runtime.block_on(bench.images.load_archive(io::Cursor::new(bytes), false)).unwrap_err());
    assert!(error.contains(expected), "{error:?} should contain {expected:?}");
    for name in ["tmp", "layers", "images", "configs"] {
        let left = fs::read_dir(bench.folder.path().join("store").join(name)).unwrap().count();
        assert_eq!(left, 0, "{name} is not empty after {error:?}");
    }
}

#[tokio::test]
async fn both_forms_compressed_or_not_give_the_same_image() {
    let Some(bench) = bench() else { return };
    let mut zipped = recipe();
    zipped.gzip = true;
    let mut ids = Vec::new();
    for bytes in [docker(&recipe()), gzip(&docker(&recipe())), oci(&[recipe()]), oci(&[zipped])] {
        let loaded = bench.images.load_archive(io::Cursor::new(bytes), false).await.unwrap();
        assert_eq!(loaded[0].tags, ["docker.io/library/web:v1"]);
        ids.push(loaded[0].id.clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let image = bench.images.present("web:v1").await.unwrap();
    assert_eq!((image.layers.len(), image.config.cmd.clone()), (2, vec!["/bin/tool".to_owned()]));
    let (top, base) = (&image.layers[0], &image.layers[1]);
    assert_eq!(fs::read(top.join("srv/index.html")).unwrap(), b"hello");
    assert_eq!(fs::metadata(base.join("bin/tool")).unwrap().permissions().mode() & 0o7777, 0o755);
    // A whiteout in overlayfs's form, and a folder that the layer does not describe keeps its looks.
    let whiteout = fs::symlink_metadata(top.join("etc/passwd")).unwrap();
    assert_eq!((whiteout.mode() & 0o170_000, whiteout.rdev()), (0o020_000, 0));
    assert_eq!(fs::metadata(top.join("tmp")).unwrap().mode() & 0o7777, 0o1777);
    assert!(bench.images.resolve_user(&image, "web").await.is_err());
    assert!(bench.images.present(&image.id).await.is_some());
    assert!(bench.images.present("web:v2").await.is_none());
}

#[tokio::test]
async fn everything_is_there_after_a_restart_and_what_a_crash_left_is_swept() {
    let Some(bench) = bench() else { return };
    bench.images.load_archive(io::Cursor::new(docker(&recipe())), true).await.unwrap();
    let before = bench.images.list().await;
    let store = bench.folder.path().join("store");
    fs::create_dir_all(store.join("tmp/7/1/fs/deep")).unwrap();
    fs::create_dir_all(store.join("layers/half/fs")).unwrap();
    fs::write(store.join("images/x.json"), "{").unwrap();
    let again = open(bench.folder.path());
    assert_eq!(again.list().await, before);
    assert!(before[0].pinned);
    assert!(!store.join("tmp/7").exists() && !store.join("layers/half").exists());
    assert_eq!(fs::metadata(&store).unwrap().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn an_image_whose_layer_is_gone_is_forgotten() {
    let Some(bench) = bench() else { return };
    let image = bench.images.load_archive(io::Cursor::new(docker(&recipe())), false).await.unwrap().remove(0);
    fs::remove_dir_all(image.layers[1].parent().unwrap()).unwrap();
    let again = open(bench.folder.path());
    assert!(again.list().await.is_empty());
    // The upper layer is still there and is used again.
    again.load_archive(io::Cursor::new(docker(&recipe())), false).await.unwrap();
    assert_eq!(fs::read(image.layers[1].join("bin/tool")).unwrap(), b"#!");
}

#[tokio::test]
async fn a_name_belongs_to_the_newest_image_and_removal_takes_layers_with_the_last_user() {
    let Some(bench) = bench() else { return };
    let old = bench.images.load_archive(io::Cursor::new(docker(&recipe())), true).await.unwrap().remove(0);
    let mut changed = recipe();
    changed.layers[1] = changed.layers[1].clone().file("new", 0o644, "new");
    let new = bench.images.load_archive(io::Cursor::new(oci(&[changed])), false).await.unwrap().remove(0);
    assert_ne!(old.id, new.id);
    assert_eq!(old.layers[1], new.layers[1]);
    assert_eq!(bench.images.present("web:v1").await.unwrap().id, new.id);
    let superseded = bench.images.present(&old.id).await.unwrap();
    assert!(superseded.tags.is_empty() && !superseded.pinned);
    assert!(bench.images.remove(&old.id).await.unwrap());
    assert!(!old.layers[0].exists() && old.layers[1].exists());
    assert!(bench.images.remove("web:v1").await.unwrap());
    assert!(!bench.images.remove("web:v1").await.unwrap());
    assert!(!old.layers[1].exists());
    assert_eq!(bench.images.size(), 0);
}

#[tokio::test]
async fn garbage_collection_spares_used_and_pinned_images() {
    let Some(bench) = bench() else { return };
    for (name, pin) in [("kept", true), ("used", false), ("idle", false)] {
        let mut one = Recipe::new(name, Layer::new().file("f", 0o644, name));
        one.config.cmd = vec![name.into()];
        bench.images.load_archive(io::Cursor::new(docker(&one)), pin).await.unwrap();
    }
    assert_eq!(bench.images.collect_garbage(&[], u64::MAX).await.unwrap(), Collected::default(), "all are too young");
    let patient = Options { least_age: std::time::Duration::from_secs(3 * 60 * 60), ..later(&bench) };
    let patient = Images::open(patient).unwrap();
    assert_eq!(patient.collect_garbage(&[], u64::MAX).await.unwrap(), Collected::default(), "by its own settings");
    let images = Images::open(later(&bench)).unwrap();
    let collected = images.collect_garbage(&["used".into()], u64::MAX).await.unwrap();
    assert_eq!(collected.images.len(), 1);
    assert!(collected.bytes > 4);
    let mut left: Vec<String> = images.list().await.into_iter().flat_map(|i| i.tags).collect();
    left.sort();
    assert_eq!(left, ["docker.io/library/kept:latest", "docker.io/library/used:latest"]);
}

#[tokio::test]
async fn a_folder_is_loaded_once_and_again_when_a_file_changes() {
    let Some(bench) = bench() else { return };
    let folder = bench.folder.path().join("preload");
    assert!(bench.images.load_folder(&folder).await.unwrap().is_empty());
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.tar"), docker(&recipe())).unwrap();
    fs::write(folder.join("b.tar.gz"), gzip(&oci(&[Recipe::new("b", Layer::new().file("b", 0o644, "b"))]))).unwrap();
    fs::write(folder.join("c.tar"), "no archive").unwrap();
    fs::write(folder.join("notes.txt"), "").unwrap();
    let loaded = bench.images.load_folder(&folder).await.unwrap();
    let good: Vec<bool> = loaded.iter().map(|l| l.images.is_ok()).collect();
    assert_eq!(good, [true, true, false]);
    assert!(bench.images.list().await.iter().all(|i| i.pinned));
    let list = fs::metadata(bench.folder.path().join("store/folder.json")).unwrap().ino();
    assert_eq!(bench.images.load_folder(&folder).await.unwrap().len(), 3);
    assert_eq!(
        fs::metadata(bench.folder.path().join("store/folder.json")).unwrap().ino(),
        list,
        "nothing changed, nothing is written"
    );
    fs::write(folder.join("a.tar"), oci(&[Recipe::new("other", Layer::new().file("o", 0o644, "o"))])).unwrap();
    bench.images.load_folder(&folder).await.unwrap();
    assert!(bench.images.present("other").await.is_some());
}

#[tokio::test]
async fn the_platform_of_this_machine_is_taken() {
    let Some(bench) = bench() else { return };
    let mut other = recipe();
    other.platform.architecture = "riscv64".into();
    other.platform.variant = None;
    other.layers[0] = Layer::new().file("other", 0o644, "");
    let image =
        bench.images.load_archive(io::Cursor::new(oci(&[other.clone(), recipe()])), false).await.unwrap().remove(0);
    assert!(image.layers[1].join("bin/tool").exists());
    let error = causes(&bench.images.load_archive(io::Cursor::new(oci(&[other.clone()])), false).await.unwrap_err());
    assert!(error.contains("linux/riscv64"), "{error}");
    let error = causes(&bench.images.load_archive(io::Cursor::new(docker(&other)), false).await.unwrap_err());
    assert!(error.contains("riscv64"), "{error}");
}

#[test]
fn broken_archives_are_refused_and_leave_nothing() {
    let Some(bench) = bench() else { return };
    refused(&bench, Vec::new(), "truncated");
    refused(&bench, b"<html>not found</html>".repeat(100), "not a tar archive");
    refused(&bench, gzip(b"no"), "truncated");
    let whole = docker(&recipe());
    for part in [1, 2, 5, 9] {
        refused(&bench, whole[..whole.len() * part / 10].to_vec(), "truncated");
    }
    let zipped = gzip(&whole);
    refused(&bench, zipped[..zipped.len() / 2].to_vec(), "");
    let mut empty = Writer::new(Vec::new());
    empty.file("readme", 0o644, b"x").unwrap();
    refused(&bench, empty.finish().unwrap(), "neither manifest.json");
    let named = |manifest: &str| {
        let mut writer = Writer::new(Vec::new());
        writer.file("manifest.json", 0o644, manifest.as_bytes()).unwrap();
        writer.finish().unwrap()
    };
    refused(&bench, named("[]"), "0 images");
    refused(&bench, named("{}"), "manifest.json is not usable");
    refused(&bench, named(r#"[{"Config":"../../etc/shadow","Layers":[]}]"#), "which its manifest names");
    refused(&bench, named(r#"[{"Config":"/etc/hostname","Layers":[]}]"#), "which its manifest names");
    // One bit of a layer differs.
    let at = whole.windows(5).position(|w| w == b"hello").unwrap();
    let mut flipped = whole.clone();
    flipped[at] ^= 1;
    refused(&bench, flipped, "layer 2 of 2 does not match");
    let bytes = oci(&[recipe()]);
    let at = bytes.windows(5).position(|w| w == b"hello").unwrap();
    let mut flipped = bytes.clone();
    flipped[at] ^= 1;
    refused(&bench, flipped, "damaged");
}

#[test]
fn layers_that_reach_outside_are_refused() {
    let Some(bench) = bench() else { return };
    let outside = bench.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    let link = |path: &str, kind: Kind, target: &str| Entry { link: target.into(), ..Entry::new(path, kind) };
    let deep = outside.to_str().unwrap();
    let hostile: Vec<(Layer, &str)> = vec![
        (Layer::new().file("../escape", 0o644, ""), "leaves its folder"),
        (Layer::new().file("a/../../escape", 0o644, ""), "leaves its folder"),
        (Layer::new().entry(link("h", Kind::HardLink, "../../secret"), ""), "leaves the folder"),
        (Layer::new().entry(link("h", Kind::HardLink, &format!("{deep}/secret")), ""), "no file of the image"),
        (Layer::new().symlink("out", deep).entry(link("h", Kind::HardLink, "out/secret"), ""), "no file of the image"),
        (Layer::new().symlink("loop", "loop").file("loop/x", 0o644, ""), "too many symbolic links"),
        (Layer::new().file("f", 0o644, "").file("f/x", 0o644, ""), "not a folder"),
        (Layer::new().file(".wh...", 0o644, ""), "whiteout without a name"),
        (Layer::new().file(&format!("{}f", "x/".repeat(300)), 0o644, ""), "deeper than 256"),
        (Layer::new().file(&"n".repeat(256), 0o644, ""), "longer than 255"),
        (Layer::new().file("f", 0o644, "").entry(link("f", Kind::HardLink, "f"), ""), "no file of the image"),
    ];
    for (layer, expected) in hostile {
        refused(&bench, docker(&Recipe::new("x", layer)), expected);
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[tokio::test]
async fn links_are_resolved_inside_the_image() {
    let Some(bench) = bench() else { return };
    let outside = bench.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let link = |path: &str, target: &str| Entry { link: target.into(), ..Entry::new(path, Kind::HardLink) };
    let base = Layer::new()
        .folder("usr/lib", 0o755)
        .symlink("lib", "usr/lib")
        .symlink("up", "../../../..")
        .symlink("abs", outside.to_str().unwrap())
        .file("lib/a.so", 0o644, "a")
        .file("up/at-root", 0o644, "r")
        .file("abs/inside", 0o644, "i")
        .entry(link("b.so", "lib/a.so"), "")
        .entry(link("/c.so", "/usr/lib/a.so"), "");
    let top = Layer::new()
        .file("lib/new.so", 0o644, "n")
        .entry(link("copy.so", "usr/lib/a.so"), "")
        .entry(link("lib/copy2.so", "lib/a.so"), "");
    let mut both = Recipe::new("links", base);
    both.layers.push(top);
    let image = bench.images.load_archive(io::Cursor::new(docker(&both)), false).await.unwrap().remove(0);
    let (top, base) = (&image.layers[0], &image.layers[1]);
    assert_eq!(fs::read(base.join("usr/lib/a.so")).unwrap(), b"a");
    assert_eq!(fs::read(base.join("at-root")).unwrap(), b"r");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "an absolute link leads inside the image");
    assert_eq!(fs::metadata(base.join("b.so")).unwrap().ino(), fs::metadata(base.join("usr/lib/a.so")).unwrap().ino());
    assert_eq!(fs::metadata(base.join("c.so")).unwrap().nlink(), 3);
    // `lib` is a link in the layer below: the file goes where it leads, and a link across layers is a copy.
    assert_eq!(fs::read(top.join("usr/lib/new.so")).unwrap(), b"n");
    assert!(fs::symlink_metadata(top.join("lib")).is_err());
    assert_eq!(fs::read(top.join("copy.so")).unwrap(), b"a");
    assert_eq!(fs::read(top.join("usr/lib/copy2.so")).unwrap(), b"a");
}

#[tokio::test]
async fn opaque_folders_replacements_and_odd_entries_take_overlayfs_form() {
    let Some(bench) = bench() else { return };
    let opaque = |path: &Path| crate::merged::is_opaque(fs::File::open(path).unwrap());
    let base = Layer::new()
        .folder("d", 0o755)
        .file("d/old", 0o644, "")
        .folder("e", 0o755)
        .file("e/old", 0o644, "")
        .file("f/x", 0o644, "")
        .file("gone", 0o644, "");
    let fifo = Entry { mode: 0o622, ..Entry::new("pipe", Kind::Fifo) };
    let mut tool = Entry { mode: 0o4755, uid: 7, gid: 8, modified: (1_000_000, 0), ..Entry::new("tool", Kind::File) };
    let capability = vec![1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    tool.xattrs.insert("security.capability".into(), capability.clone());
    tool.xattrs.insert("trusted.overlay.redirect".into(), b"/etc".to_vec());
    let top = Layer::new()
        .file("d/.wh..wh..opq", 0o644, "")
        .file("d/new", 0o644, "")
        .file(".wh.e", 0o644, "")
        .folder("e", 0o700)
        .file(".wh.gone", 0o644, "")
        .file(".wh.never-was", 0o644, "")
        .file(".wh..wh.plnk", 0o644, "")
        .entry(Entry::new("dev/sda", Kind::Device), "")
        .entry(fifo, "")
        .entry(tool, "t")
        .file("twice", 0o644, "1")
        .file("twice", 0o600, "2")
        .folder("turns", 0o755)
        .file("turns/deep/file", 0o644, "")
        .file("turns", 0o644, "now a file");
    let mut both = Recipe::new("odd", base);
    both.layers.push(top);
    let image = bench.images.load_archive(io::Cursor::new(docker(&both)), false).await.unwrap().remove(0);
    let top = &image.layers[0];
    assert!(opaque(&top.join("d")) && opaque(&top.join("e")));
    assert_eq!(fs::symlink_metadata(top.join("gone")).unwrap().rdev(), 0);
    for absent in ["never-was", ".wh.gone", "dev/sda", "d/.wh..wh..opq"] {
        assert!(fs::symlink_metadata(top.join(absent)).is_err(), "{absent}");
    }
    assert_eq!(fs::metadata(top.join("pipe")).unwrap().mode(), 0o010_622);
    let tool = fs::metadata(top.join("tool")).unwrap();
    assert_eq!((tool.mode() & 0o7777, tool.uid(), tool.gid(), tool.mtime()), (0o4755, 7, 8, 1_000_000));
    let mut value = [0; 64];
    let n = rustix::fs::getxattr(top.join("tool"), "security.capability", &mut value[..]).unwrap();
    assert_eq!(value[..n], capability);
    assert!(rustix::fs::getxattr(top.join("tool"), "trusted.overlay.redirect", &mut value[..]).is_err());
    assert_eq!(fs::read(top.join("twice")).unwrap(), b"2");
    assert_eq!(fs::read(top.join("turns")).unwrap(), b"now a file");
}

#[test]
fn limits_bound_what_a_layer_may_cost() {
    let Some(bench) = bench() else { return };
    let mut options = Options::new(bench.folder.path().join("small"));
    options.limits = Limits { entries: 10, bytes: 20_000, reserve: 0 };
    let small = Bench { images: Images::open(options).unwrap(), folder: tempfile::tempdir().unwrap() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let check = |layer: Layer, expected: &str| {
        let error = runtime.block_on(small.images.load_file(
            {
                let path = small.folder.path().join("x.tar");
                fs::write(&path, docker(&Recipe::new("x", layer))).unwrap();
                path
            },
            false,
        ));
        let error = causes(&error.unwrap_err());
        assert!(error.contains(expected), "{error}");
    };
    check((0..11).fold(Layer::new(), |l, i| l.file(&format!("f{i}"), 0o644, "")), "more than 10 entries");
    check(Layer::new().file("big", 0o644, vec![0; 30_000]), "more than 20000 bytes");
    let mut options = Options::new(bench.folder.path().join("full"));
    options.limits.reserve = u64::MAX;
    let full = Images::open(options).unwrap();
    let error = causes(&runtime.block_on(full.load_archive(io::Cursor::new(docker(&recipe())), false)).unwrap_err());
    assert!(error.contains("kept free"), "{error}");
}

#[tokio::test]
async fn abandoned_downloads_are_collected() {
    let Some(bench) = bench() else { return };
    let options = later(&bench);
    let partial = bench.folder.path().join("store/partial/x");
    fs::write(&partial, "12345").unwrap();
    assert_eq!(bench.images.collect_garbage(&[], 1).await.unwrap().bytes, 0);
    let images = Images::open(options).unwrap();
    assert_eq!(images.collect_garbage(&[], 0).await.unwrap().bytes, 0);
    assert_eq!(images.collect_garbage(&[], 1).await.unwrap().bytes, 5);
    assert!(!partial.exists());
}

#[tokio::test]
async fn no_damaged_byte_panics_or_leaves_anything() {
    let Some(bench) = bench() else { return };
    let whole = oci(&[recipe()]);
    let mut seed = 7u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for _ in 0..100 {
        let mut bytes = whole.clone();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            bytes[at] = next(256) as u8;
        }
        if next(4) == 0 {
            bytes.truncate(next(bytes.len()));
        }
        // Either it is refused, or the damage was where it means nothing.
        let result = bench.images.load_archive(io::Cursor::new(bytes), false).await;
        if let Ok(images) = result {
            bench.images.remove(&images[0].id).await.unwrap();
        }
        for name in ["tmp", "layers", "images"] {
            assert_eq!(fs::read_dir(bench.folder.path().join("store").join(name)).unwrap().count(), 0);
        }
    }
    assert_eq!(fs::read_dir(bench.folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn overlayfs_shows_what_the_layers_say() {
    let Some(bench) = bench() else { return };
    let base = Layer::new()
        .folder("d", 0o755)
        .file("d/old", 0o644, "")
        .file("d/sub/x", 0o644, "")
        .file("gone", 0o644, "")
        .file("kept", 0o644, "k");
    let middle = Layer::new().file("d/.wh..wh..opq", 0o644, "").file("d/new", 0o644, "").file(".wh.gone", 0o644, "");
    let top = Layer::new().file("gone/again", 0o644, "").file("d/.wh.new", 0o644, "");
    let mut recipe = Recipe::new("overlay", base);
    recipe.layers.extend([middle, top]);
    let image = bench.images.load_archive(io::Cursor::new(docker(&recipe)), false).await.unwrap().remove(0);
    let lower: Vec<&str> = image.layers.iter().map(|l| l.to_str().unwrap()).collect();
    let at = bench.folder.path().join("merged");
    fs::create_dir(&at).unwrap();
    let script = format!(
        "mount -t overlay overlay -o lowerdir={} {} && cd {} && find . | sort",
        lower.join(":"),
        at.display(),
        at.display()
    );
    let output = std::process::Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), ".\n./d\n./gone\n./gone/again\n./kept\n");
}

/// A sink that a test can look into afterwards.
#[derive(Clone, Default)]
struct Sink(Arc<std::sync::Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_saved_image_is_the_image_that_was_loaded() {
    let Some(bench) = bench() else { return };
    let mut zipped = recipe();
    let link = |path: &str, target: &str| Entry { link: target.into(), ..Entry::new(path, Kind::HardLink) };
    zipped.layers[1] = zipped.layers[1]
        .clone()
        .file("a/b/c", 0o600, vec![7; 100_000])
        .entry(link("copy", "bin/tool"), "")
        .entry(link("same", "a/b/c"), "")
        .symlink("l", "a");
    zipped.gzip = true;
    let image = bench.images.load_archive(io::Cursor::new(oci(&[zipped])), false).await.unwrap().remove(0);
    for name in ["web:v1", image.id.as_str()] {
        let sink = Sink::default();
        bench.images.save(name, sink.clone()).await.unwrap();
        let bytes = sink.0.lock().unwrap().clone();
        let other = tempfile::tempdir().unwrap();
        let again = open(other.path()).load_archive(io::Cursor::new(bytes), false).await.unwrap().remove(0);
        assert_eq!((&again.id, &again.tags), (&image.id, &image.tags));
        assert_eq!(fs::read(again.layers[0].join("same")).unwrap(), vec![7; 100_000]);
    }
    assert!(bench.images.save("nothing", Sink::default()).await.is_err());
    // A file that was changed behind our back is noticed.
    fs::write(image.layers[0].join("srv/index.html"), "HELLO").unwrap();
    let error = causes(&bench.images.save("web:v1", Sink::default()).await.unwrap_err());
    assert!(error.contains("cannot be put together again"), "{error}");
}

#[tokio::test]
async fn an_archive_is_loaded_while_it_arrives() {
    let Some(bench) = bench() else { return };
    let bytes = docker(&recipe());
    assert!(bench.images.load_stream(io::Cursor::new(bytes.clone()), false).await.is_ok());
    let broken = tokio::io::AsyncReadExt::chain(io::Cursor::new(bytes[..3000].to_vec()), Broken);
    let error = causes(&bench.images.load_stream(broken, false).await.unwrap_err());
    assert!(error.contains("the client went away"), "{error}");
}

/// A connection that breaks.
struct Broken;

impl tokio::io::AsyncRead for Broken {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Err(io::Error::other("the client went away")))
    }
}
