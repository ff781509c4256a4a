//! What goes wrong outside gets a clear sentence, and the device, its store and its pods go on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use kedge::{Device, Output, Setup, http as web, programs, until};

use crate::words::deployment;

const SOON: Duration = Duration::from_secs(30);

/// A daemon that must refuse to start, and say why.
#[track_caller]
fn refused(command: &mut Command, words: &[&str]) {
    let output = Output::of(Command::new("timeout").arg("20").arg(command.get_program()).args(command.get_args()));
    assert!(output.code != 124, "it did not end: {output}");
    output.fails(words);
}

#[test]
fn a_daemon_that_cannot_start_says_why_and_touches_nothing() {
    let Some(setup) = Setup::new("refused") else { return };
    let before = setup.marks().all();

    // The port is taken.
    let taken = std::net::TcpListener::bind(("127.0.0.1", setup.port())).unwrap();
    refused(&mut setup.edged(), &[&setup.port().to_string(), "--listen", "in use"]);
    drop(taken);

    // The configuration: an unknown key with its line, a value out of range, a file that is not there.
    setup.configure("api:\n  lisen: 127.0.0.1:1\n");
    refused(&mut setup.edged(), &["edged.yaml", "lisen", "line"]);
    setup.configure("node:\n  maxPods: 0\n");
    refused(&mut setup.edged(), &["node.maxPods", "1 and 1024"]);
    setup.configure("");
    refused(setup.edged().args(["--config", "/nonexistent.yaml"]), &[]);
    refused(setup.edged().arg("--nonsense"), &["--nonsense"]);
    let mut named = Command::new(setup.edged().get_program());
    named.arg("--data-dir").arg(setup.data()).arg("--config").arg(setup.config());
    refused(
        named.args(["--listen", &format!("127.0.0.1:{}", setup.port()), "--node-name", "Not_A_Name"]),
        &["Not_A_Name"],
    );
    assert_eq!(setup.marks().all(), before);

    // The data directory is another daemon's: both the second daemon and a cleanup must keep off.
    let mut device = setup.start();
    let pid = device.pid().to_string();
    refused(&mut device.setup.edged(), &["in use", &pid]);
    let mut cleanup = Command::new(device.setup.edged().get_program());
    refused(cleanup.args(["cleanup", "--data-dir"]).arg(device.setup.data()), &["in use", &pid]);
    device.goes_on();
    device.stop();
}

#[test]
fn manifests_that_are_not_right_are_refused_by_file_line_and_field() {
    let Some(device) = Device::with_images("manifests") else { return };
    let apply = |name: &str, text: &str| {
        let path = device.file(name, text.as_bytes());
        device.edgectl(&["apply", "-f", path.to_str().unwrap()])
    };
    let good = deployment("web", 1, 1);
    apply("web.yaml", &good).ok();
    device.rolled_out("web");

    apply("torn.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: [a\n").fails(&["torn.yaml", "line"]);
    apply("tab.yaml", "apiVersion: v1\nkind: ConfigMap\n\tname: a\n").fails(&["tab.yaml", "line 3"]);
    apply("binary.yaml", "\u{0}\u{1}\u{2}").fails(&["binary.yaml"]);
    apply("kindless.yaml", "apiVersion: v1\nmetadata: {name: a}\n").fails(&["kind"]);
    apply("unknown.yaml", "apiVersion: v1\nkind: Kettle\nmetadata: {name: a}\n").fails(&["Kettle"]);
    apply("name.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Not_A_Name}\n").fails(&[
        "metadata.name",
        "Not_A_Name",
        "RFC 1123",
    ]);
    apply("typed.yaml", &good.replace("replicas: 1", "replicas: many")).fails(&["replicas"]);
    apply("negative.yaml", &good.replace("replicas: 1", "replicas: -1")).fails(&[
        "spec.replicas",
        "-1",
        "must be greater than or equal to 0",
    ]);
    apply("imageless.yaml", &good.replace("image: kedge.dev/demo/web:1", "image: ''"))
        .fails(&["image", "Required value"]);
    apply("selector.yaml", &good.replace("matchLabels: {app: web}", "matchLabels: {app: other}")).fails(&["selector"]);
    apply("twice.yaml", &good.replace("  replicas: 1\n", "  replicas: 1\n  replicas: 2\n")).fails(&["replicas"]);
    device.edgectl(&["apply", "-f", "/nonexistent.yaml"]).fails(&["/nonexistent.yaml"]);

    // An unknown field: strict by default as in kubectl, a warning where it is asked for.
    let unknown = good.replace("  replicas: 1\n", "  replicas: 1\n  replicass: 2\n");
    apply("field.yaml", &unknown).fails(&["unknown field", "spec.replicass"]);
    let path = device.file("field.yaml", unknown.as_bytes());
    let warned = device.edgectl(&["apply", "--validate=warn", "-f", path.to_str().unwrap()]);
    assert_eq!(warned.code, 0, "{warned}");
    assert!(warned.stderr.contains("Warning: unknown field \"spec.replicass\""), "{warned}");

    assert_eq!(device.get(&["deployment", "web"])["spec"]["replicas"], 1);
    still_serving(&device);
}

#[test]
fn archives_that_are_not_right_are_refused() {
    let Some(device) = Device::with_images("archives") else { return };
    device.apply(&deployment("web", 1, 1)).ok();
    device.rolled_out("web");
    let load = |name: &str, bytes: &[u8]| {
        let path = device.file(name, bytes);
        device.edgectl(&["image", "load", path.to_str().unwrap()])
    };
    let whole = std::fs::read(device.setup.image(1)).unwrap();
    load("half.tar", &whole[..whole.len() / 2]).fails(&["BadRequest", "truncated"]);
    load("empty.tar", b"").fails(&["BadRequest"]);
    load("noise.tar", &[0x5a; 100_000]).fails(&["BadRequest"]);
    load("changed.tar", &changed()).fails(&["BadRequest"]);
    load("escape.tar", &escaping()).fails(&["BadRequest"]);
    assert!(!std::path::Path::new("/tmp/kedge-escaped").exists());
    device.edgectl(&["image", "load", "/nonexistent.tar"]).fails(&["/nonexistent.tar"]);
    device.edgectl(&["image", "load", "/tmp"]).fails(&["folder"]);
    let listed = device.edgectl(&["image", "list"]).ok();
    assert_eq!(listed.lines().filter(|line| line.contains("demo/web")).count(), 2, "{listed}");
    still_serving(&device);
}

/// An image whose layer, which the device does not have, is not what its digest says.
fn changed() -> Vec<u8> {
    use kedge_image::build::{Layer, Recipe, docker_archive};
    let layer = Layer::new().file("page", 0o644, vec![b'x'; 100_000]);
    let mut archive = Vec::new();
    docker_archive(&Recipe::new("changed:1", layer), &mut archive).unwrap();
    let middle = archive.windows(100).position(|bytes| bytes.iter().all(|byte| *byte == b'x')).unwrap();
    archive[middle] = b'y';
    archive
}

/// An image whose layer wants to write beside its folder.
fn escaping() -> Vec<u8> {
    use kedge_image::build::{Layer, Recipe, docker_archive};
    let layer = Layer::new().file("../../../../../../../../../../tmp/kedge-escaped", 0o644, "out");
    let mut archive = Vec::new();
    docker_archive(&Recipe::new("escape:1", layer), &mut archive).unwrap();
    archive
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_100_megabytes_is_refused_and_costs_nothing() {
    let Some(device) = Device::with_images("body") else { return };
    device.apply(&deployment("web", 1, 1)).ok();
    device.rolled_out("web");
    let before = memory(device.pid());
    let huge = format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"huge\"}},\"data\":{{\"a\":\"{}\"}}}}",
        "x".repeat(100 << 20)
    );
    let request = http::Request::post("/api/v1/namespaces/default/configmaps");
    let request = request.header("content-type", "application/json").body(huge.into_bytes()).unwrap();
    match crate::clients::client(&device).await.request_text(request).await {
        Err(kube::Error::Api(status)) => {
            assert_eq!((status.code, status.reason.as_str()), (413, "RequestEntityTooLarge"))
        }
        // The server may close the connection before a client that does not listen has sent everything.
        Err(kube::Error::HyperError(_) | kube::Error::Service(_)) => (),
        other => panic!("{other:?}"),
    }
    let after = memory(device.pid());
    assert!(after < before + (20 << 20), "{before} bytes before, {after} after");
    device.edgectl(&["get", "configmap", "huge"]).fails(&["NotFound"]);
    // One object as large as may be is taken.
    let large = device.file("large", "x".repeat(900 << 10).as_bytes());
    device.edgectl(&["create", "configmap", "large", &format!("--from-file=a={}", large.display())]).ok();
    still_serving(&device);
}

/// Sockets of each side count against our own limit too.
const HALF_OPEN: usize = 10_000;

#[test]
fn ten_thousand_half_open_connections_lock_nobody_out() {
    let Some(device) = Device::with_images("half-open") else { return };
    device.apply(&deployment("web", 1, 1)).ok();
    device.rolled_out("web");
    let limit = raise_descriptors();
    let wanted = HALF_OPEN.min(limit.saturating_sub(500));
    if wanted < HALF_OPEN {
        eprintln!("only {wanted} connections: the limit of open files is {limit}");
    }
    let address = format!("127.0.0.1:{}", device.setup.port()).parse().unwrap();
    let mut held = Vec::with_capacity(wanted);
    for number in 0..wanted {
        // A refusal is an answer too; what counts is that others get through.
        if let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
            if number % 2 == 0 {
                // The beginning of a TLS greeting, and then nothing.
                let _ = stream.write_all(&[0x16, 0x03, 0x01]);
            }
            held.push(stream);
        }
    }
    assert!(held.len() > wanted / 2, "{} of {wanted} connections", held.len());
    device.goes_on();
    still_serving(&device);
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", device.pid())).unwrap().count();
    assert!(descriptors < 4_000, "{descriptors} descriptors are held for clients that say nothing");
    drop(held);
    device.goes_on();
}

#[test]
fn what_is_no_tls_and_no_http_is_turned_away() {
    let Some(device) = Device::new("garbage") else { return };
    let address = format!("127.0.0.1:{}", device.setup.port());
    for garbage in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &[0xff; 4096], b"\x16\x03\x01\xff\xff garbage"] {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(garbage).unwrap();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }
    device.goes_on();
}

#[test]
fn a_device_whose_clock_says_1970_works() {
    let Some(shim) = clock_of_1970() else { return };
    let Some(setup) = Setup::new("clock") else { return };
    let preload = shim.path().join("clock.so");
    let log = std::fs::File::create(setup.folder().join("edged.log")).unwrap();
    let mut edged = setup.edged().env("LD_PRELOAD", &preload).stderr(log).spawn().unwrap();
    let kubeconfig = setup.data().join("admin.kubeconfig");
    let edgectl = |words: &[&str]| {
        // The user's clock is right or as wrong as the device's: both must get in.
        let mut command = Command::new(setup.edgectl_program());
        command.arg("--kubeconfig").arg(&kubeconfig).args(words).stdin(Stdio::null());
        command
    };
    until("a ready device in 1970", SOON, || match edged.try_wait() {
        Ok(Some(status)) => {
            panic!("{status}: {}", std::fs::read_to_string(setup.folder().join("edged.log")).unwrap_or_default())
        }
        _ => Output::of(edgectl(&["get", "--raw", "/readyz"]).env("LD_PRELOAD", &preload)).seen(),
    });
    let image = setup.image(1).to_str().unwrap().to_owned();
    let run = |words: &[&str]| Output::of(edgectl(words).env("LD_PRELOAD", &preload)).ok();
    run(&["image", "load", &image]);
    let manifest = setup.folder().join("web.yaml");
    std::fs::write(&manifest, deployment("web", 1, 1)).unwrap();
    run(&["apply", "-f", manifest.to_str().unwrap()]);
    run(&["rollout", "status", "deployment/web", "--timeout", "60s"]);
    run(&["create", "configmap", "old", "--from-literal=a=b"]);

    // Started again with the right time, it goes on with what it has.
    kedge::leftovers::kill(edged.id(), libc::SIGTERM);
    edged.wait().unwrap();
    let device = setup.start();
    assert_eq!(device.get(&["configmap", "old"])["data"]["a"], "b");
    device.rolled_out("web");
    still_serving(&device);
}

/// A library that moves the clock of one process to 1970; nothing if there is no C compiler.
fn clock_of_1970() -> Option<tempfile::TempDir> {
    let Some(compiler) = programs::on_path("gcc").or_else(|| programs::on_path("cc")) else {
        programs::skip("a C compiler is needed to move one process's clock");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("clock.c");
    let text = "#include <sys/syscall.h>\n#include <time.h>\n#include <unistd.h>\n\
        int clock_gettime(clockid_t clock, struct timespec *time) {\n\
            int done = syscall(SYS_clock_gettime, clock, time);\n\
            static long begun;\n\
            if (!done && clock == CLOCK_REALTIME) {\n\
                if (!begun) begun = time->tv_sec;\n\
                time->tv_sec = time->tv_sec - begun + 60;\n\
            }\n\
            return done;\n\
        }\n";
    std::fs::write(&source, text).unwrap();
    let library = folder.path().join("clock.so");
    Output::of(Command::new(compiler).args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source)).ok();
    Some(folder)
}

#[track_caller]
fn still_serving(device: &Device) {
    device.goes_on();
    let addresses = device.ready_addresses("app=web");
    assert_eq!(addresses.len(), 1, "{addresses:?}");
    assert_eq!(web::get(&addresses[0], "/").unwrap().0, 200);
}

/// Resident bytes of a process.
fn memory(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Raises our limit of open files to the hard one; what it is then.
fn raise_descriptors() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write one local struct.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}
