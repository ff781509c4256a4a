//! Builds the demo images from Debian's static busybox.
//!
//! In: `/bin/busybox` of this machine. Out: `target/demo/web-1.tar` and `web-2.tar`, archives as `docker save` writes
//! them. Never touches the network and never runs a program of the image.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use kedge_image::build::{Layer, Recipe, docker_archive};

use crate::command::{self, Done, Failure};

/// The web server's name, without its version.
pub const WEB: &str = "kedge.dev/demo/web";
/// Both versions, for updates and rollbacks.
pub const VERSIONS: [&str; 2] = ["1", "2"];

/// Where Debian's busybox-static puts the program.
const BUSYBOX: &str = "/bin/busybox";

/// What the container runs: one page with the version and the pod's name, until SIGTERM.
///
/// The first process of a container ignores signals that it does not ask for, so the script asks; requests that have
/// begun are answered before it ends.
const SERVE: &str = r#"#!/bin/sh
finish() {
    kill "$server"
    # Connections that were accepted are served by processes of their own.
    while pidof httpd >/dev/null; do usleep 20000; done
    echo "stopped"
    exit 0
}
trap finish TERM INT
mkdir -p /www
echo "web version $VERSION on $(hostname)" >/www/index.html
httpd -f -p "${PORT:-8080}" -h /www &
server=$!
echo "web version $VERSION on $(hostname) listens on port ${PORT:-8080}"
wait "$server"
"#;

/// The programs of the image beside the shell and the server; all are links to busybox.
const APPLETS: &[&str] = &[
    "cat", "date", "df", "echo", "env", "false", "grep", "head", "hostname", "httpd", "id", "ip", "kill", "ls",
    "mkdir", "mount", "nslookup", "pidof", "ping", "ps", "pwd", "rm", "seq", "sh", "sleep", "stty", "tail", "tar",
    "test", "touch", "true", "uname", "usleep", "vi", "wc", "wget", "yes",
];

/// Builds every version; the archives in the order of `VERSIONS`.
pub fn build() -> Done<Vec<PathBuf>> {
    let folder = command::target().join("demo");
    std::fs::create_dir_all(&folder).map_err(|source| Failure::File { act: "make", path: folder.clone(), source })?;
    VERSIONS.iter().map(|version| write(&folder, version)).collect()
}

fn write(folder: &Path, version: &str) -> Done<PathBuf> {
    let path = folder.join(format!("web-{version}.tar"));
    let partial = path.with_extension("partial");
    let failed = |act| {
        let path = partial.clone();
        move |source| Failure::File { act, path, source }
    };
    let mut recipe = Recipe::new(&format!("{WEB}:{version}"), layer()?);
    recipe.config.entrypoint = vec!["/bin/serve".into()];
    recipe.config.env = vec!["PATH=/bin".into(), format!("VERSION={version}")];
    let mut out = BufWriter::new(File::create(&partial).map_err(failed("make"))?);
    docker_archive(&recipe, &mut out).and_then(|_| out.flush()).map_err(failed("write"))?;
    std::fs::rename(&partial, &path).map_err(failed("rename"))?;
    Ok(path)
}

/// Both versions share the one layer.
fn layer() -> Done<Layer> {
    let mut layer = Layer::new();
    for name in ["bin", "dev", "etc", "proc", "root", "sys", "var"] {
        layer = layer.folder(name, 0o755);
    }
    layer = layer
        .folder("tmp", 0o1777)
        .file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
        .file("etc/group", 0o644, "root:x:0:\nnogroup:x:65534:\n")
        .copy(Path::new(BUSYBOX), "bin/busybox")
        .map_err(|source| Failure::File { act: "read", path: BUSYBOX.into(), source })?;
    for applet in APPLETS {
        layer = layer.symlink(&format!("bin/{applet}"), "busybox");
    }
    Ok(layer.file("bin/serve", 0o755, SERVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_ends_on_the_signal_that_kubernetes_sends() {
        assert!(SERVE.contains("trap finish TERM"));
    }

    #[test]
    fn every_program_of_the_script_is_in_the_image() {
        for word in ["httpd", "hostname", "kill", "pidof", "usleep", "mkdir", "sh"] {
            assert!(APPLETS.contains(&word), "{word}");
        }
    }
}
