//! A disk without room and registries that answer nonsense: said clearly, and the device, its store and its pods go on.
//!
//! In: a small file system in memory, a server on the loopback address. Out: what the user reads, and that nothing else
//! stops. Everything that is mounted or listens ends with its test.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kedge::{Device, Output, Setup, http as web, until};

use crate::words::deployment;

const SOON: Duration = Duration::from_secs(60);

/// A file system in memory over a folder, until the end of the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn over(folder: &Path) -> SmallDisk {
        // The database, its log, two images and their unpacked layers have room; one more image has not.
        Output::of(Command::new("mount").args(["-t", "tmpfs", "-o", "size=192m", "none"]).arg(folder)).ok();
        SmallDisk(folder.to_owned())
    }

    /// Takes all the room there is; out: the file to delete.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut ballast = std::fs::File::create(&path).unwrap();
        // In halves: what is left at the end is less than one block.
        let mut size = 1 << 20;
        while size > 0 {
            if ballast.write_all(&vec![b'x'; size]).is_err() {
                size /= 2;
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Output::of(Command::new("umount").arg("-l").arg(&self.0));
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[track_caller]
fn serves(device: &Device) {
    let addresses = device.ready_addresses("app=web");
    assert_eq!(addresses.len(), 1, "{addresses:?}");
    assert_eq!(web::get(&addresses[0], "/").unwrap().0, 200);
}

#[test]
fn a_full_disk_is_said_and_everything_that_needs_no_room_goes_on() {
    let Some(setup) = Setup::new("full") else { return };
    let disk = SmallDisk::over(setup.folder());
    setup.configure("");
    let device = setup.start();
    device.load_images();
    device.apply(&deployment("web", 1, 1)).ok();
    device.rolled_out("web");

    let ballast = disk.fill();
    // The log has room that it took before; after that it is said.
    let large = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(large.path(), "x".repeat(500_000)).unwrap();
    let value = format!("--from-file=a={}", large.path().display());
    let refused = (0..1_000).find_map(|number| {
        let made = device.edgectl(&["create", "configmap", &format!("big-{number}"), &value]);
        (made.code != 0).then_some(made)
    });
    refused.expect("a disk that is full refuses a write").fails(&["no space left on the device"]);
    serves(&device);
    assert_eq!(device.get(&["deployment", "web"])["spec"]["replicas"], 1);
    let archive = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(archive.path(), other()).unwrap();
    device.edgectl(&["image", "load", archive.path().to_str().unwrap()]).fails(&["space"]);

    // Room that returns is used, without a restart.
    std::fs::remove_file(ballast).unwrap();
    until("a write after the room is back", SOON, || {
        device.edgectl(&["create", "configmap", "after", "--from-literal=a=b"]).seen()
    });
    serves(&device);
    device.edgectl(&["delete", "pods", "-l", "app=web"]).ok();
    device.rolled_out("web");
    until("the new pod", SOON, || match device.ready_addresses("app=web").len() {
        1 => Ok(()),
        count => Err(format!("{count} ready")),
    });
}

/// An image that the device does not have.
fn other() -> Vec<u8> {
    use kedge_image::build::{Layer, Recipe, docker_archive};
    let noise: Vec<u8> = (0..8_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut out = Vec::new();
    docker_archive(&Recipe::new("noise:1", Layer::new().file("noise", 0o644, noise)), &mut out).unwrap();
    out
}

/// A server that reads a request and answers these bytes, for as long as the process lives.
fn answering(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { continue };
            let _ = connection.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(bytes);
        }
    });
    port
}

#[test]
fn registries_that_answer_nonsense_stop_only_their_pod() {
    let Some(device) = Device::with_images("registries") else { return };
    device.apply(&deployment("web", 1, 1)).ok();
    device.rolled_out("web");
    let page =
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\nconnection: close\r\n\r\n<html></html>";
    let manifest = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.oci.image.manifest.v1+json\r\n\
        content-length: 36\r\nconnection: close\r\n\r\n{\"schemaVersion\":2,\"layers\":[{},{}]}";
    let cases: [(&str, &'static [u8]); 5] = [
        ("noise", b"\x00\x01\xff\xfenothing of this is HTTP"),
        ("silent", b""),
        ("page", page.as_bytes()),
        ("manifest", manifest.as_bytes()),
        ("endless", b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n"),
    ];
    for (name, bytes) in cases {
        let image = format!("127.0.0.1:{}/some/thing:1", answering(bytes));
        device
            .apply(&format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  containers:\n  - {{name: c, image: \"{image}\"}}\n"
            ))
            .ok();
        let seen = device.wait_for(&["pod", name], SOON, |pod| {
            let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
            match waiting["reason"].as_str() {
                Some("ErrImagePull" | "ImagePullBackOff") => Ok(()),
                _ => Err(pod["status"].to_string()),
            }
        });
        let waiting = &seen["status"]["containerStatuses"][0]["state"]["waiting"];
        assert!(waiting["message"].as_str().is_some_and(|text| text.contains(&image)), "{waiting}");
        let events =
            device.edgectl(&["get", "events", "--field-selector", &format!("involvedObject.name={name}")]).ok();
        assert!(events.contains("Failed") && events.contains("127.0.0.1"), "{name}: {events}");
    }
    serves(&device);
    device.goes_on();
}
