//! `cp`: files and folders between this machine and a container that has `tar`.
//!
//! In: a local path and one in a pod. Out: the files on the other side. What comes from a container is hostile: nothing
//! is written outside of the destination, and links are not made.

use std::fs;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use kedge_client::ResourcePath;
use tokio::sync::mpsc;

use crate::args::Copy;
use crate::error::Failure;
use crate::logs::container;
use crate::remote::{self, Ended, Input, STDOUT};
use crate::session::Session;
use crate::tar::{self, Entry, Kind};

/// Pieces of an archive that wait to be sent.
const PIECES: usize = 4;

/// One side of a copy.
#[derive(Debug, PartialEq, Eq)]
struct Side {
    namespace: Option<String>,
    pod: Option<String>,
    path: String,
}

impl Side {
    fn read(text: &str) -> Result<Side, Failure> {
        let wrong = || Failure::said("filespec must match the canonical format: [[namespace/]pod:]file/path");
        let Some((pod, path)) = text.split_once(':') else {
            return Ok(Side { namespace: None, pod: None, path: text.to_owned() });
        };
        let (namespace, pod) = match pod.split('/').collect::<Vec<_>>().as_slice() {
            [""] => return Err(wrong()),
            [pod] => (None, (*pod).to_owned()),
            [namespace, pod] => (Some((*namespace).to_owned()), (*pod).to_owned()),
            _ => return Err(wrong()),
        };
        Ok(Side { namespace, pod: Some(pod), path: path.to_owned() })
    }
}

/// Runs the verb.
pub async fn run(mut session: Session, args: Copy) -> Result<ExitCode, Failure> {
    let (from, to) = (Side::read(&args.from)?, Side::read(&args.to)?);
    if from.path.is_empty() || to.path.is_empty() {
        return Err(Failure::said("filepath can not be empty"));
    }
    let namespace = from.namespace.clone().or_else(|| to.namespace.clone());
    session.namespace = namespace.unwrap_or(session.namespace);
    match (&from.pod, &to.pod) {
        (Some(_), Some(_)) => Err(Failure::said("one of src or dest must be a local file specification")),
        (None, None) => Err(Failure::said("one of src or dest must be a remote file specification")),
        (Some(pod), None) => from_pod(&session, &args, pod, &from.path, Path::new(&to.path)).await,
        (None, Some(pod)) => to_pod(&session, &args, pod, Path::new(&from.path), &to.path).await,
    }
}

/// The path of an exec of these words.
async fn exec(session: &Session, args: &Copy, pod: &str, stdin: bool, words: &[&str]) -> Result<String, Failure> {
    let pods = ResourcePath::core("pods").namespace(&*session.namespace).name(pod);
    let container = container(&session.client.get(&pods).await?, args.container.as_ref())?;
    let mut query = vec![("container", container), ("stdout", "true".into()), ("stderr", "true".into())];
    if stdin {
        query.push(("stdin", "true".to_owned()));
    }
    query.extend(words.iter().map(|word| ("command", (*word).to_owned())));
    Ok(pods.subresource("exec").with_query(&query))
}

async fn to_pod(session: &Session, args: &Copy, pod: &str, from: &Path, to: &str) -> Result<ExitCode, Failure> {
    if fs::symlink_metadata(from).is_err() {
        return Err(Failure::said(format!("{} doesn't exist in local filesystem", from.display())));
    }
    let mut to = to.trim_end_matches('/').to_owned();
    let test = exec(session, args, pod, false, &["test", "-d", if to.is_empty() { "/" } else { &to }]).await?;
    let is_folder = matches!(remote::run(session, &test, Input::None, None, |_, _| Ok(())).await?, Ended::Success);
    if is_folder {
        let own = fs::canonicalize(from).ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        to = format!("{to}/{}", own.ok_or_else(|| Failure::said(format!("{} has no name", from.display())))?);
    }
    let (folder, name) = to
        .rsplit_once('/')
        .map_or(("", to.as_str()), |(folder, name)| (if folder.is_empty() { "/" } else { folder }, name));
    let mut words = vec!["tar"];
    if args.no_preserve {
        words.extend(["--no-same-permissions", "--no-same-owner"]);
    }
    words.extend(["-xmf", "-"]);
    if !folder.is_empty() {
        words.extend(["-C", folder]);
    }
    let target = exec(session, args, pod, true, &words).await?;
    let (sender, pieces) = mpsc::channel(PIECES);
    let (from, name) = (from.to_owned(), name.to_owned());
    let packing = tokio::task::spawn_blocking(move || {
        let mut archive = tar::Writer::new(|piece: Vec<u8>| sender.blocking_send(piece).is_ok());
        pack(&mut archive, &from, &name)?;
        archive.finish();
        Ok::<(), Failure>(())
    });
    let ended = remote::run(session, &target, Input::Pieces(pieces), None, remote::to_standard).await;
    packing.await.map_err(|e| Failure::said(format!("the archive could not be made: {e}")))??;
    ended?.exit()
}

/// Adds a file, a link, or a folder with what is in it.
fn pack(archive: &mut tar::Writer<impl FnMut(Vec<u8>) -> bool>, path: &Path, name: &str) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let unread = |source| Failure::Read { path: path.to_owned(), source };
    let about = fs::symlink_metadata(path).map_err(unread)?;
    let mode = about.permissions().mode() & 0o7777;
    if about.is_symlink() {
        let to = fs::read_link(path).map_err(unread)?;
        archive.add(&Entry { name: name.into(), kind: Kind::Link(to.to_string_lossy().into_owned()), mode, size: 0 });
    } else if about.is_dir() {
        let mut inside: Vec<_> = fs::read_dir(path).map_err(unread)?.collect::<Result<_, _>>().map_err(unread)?;
        inside.sort_by_key(fs::DirEntry::file_name);
        if inside.is_empty() {
            archive.add(&Entry { name: format!("{name}/"), kind: Kind::Folder, mode, size: 0 });
        }
        for entry in inside {
            pack(archive, &entry.path(), &format!("{name}/{}", entry.file_name().to_string_lossy()))?;
        }
    } else if about.is_file() {
        let mut file = fs::File::open(path).map_err(unread)?;
        archive.add(&Entry { name: name.into(), kind: Kind::File, mode, size: about.len() });
        archive.content(&mut file, about.len()).map_err(unread)?;
    }
    Ok(())
}

async fn from_pod(session: &Session, args: &Copy, pod: &str, from: &str, to: &Path) -> Result<ExitCode, Failure> {
    let target = exec(session, args, pod, false, &["tar", "cf", "-", from]).await?;
    let mut unpacking = Unpacking { prefix: plain(from), to: to.to_owned(), file: None };
    let mut archive = tar::Reader::default();
    let ended = remote::run(session, &target, Input::None, None, |channel, bytes| match channel {
        STDOUT => archive.feed(bytes, &mut |part| unpacking.take(part)),
        channel => remote::to_standard(channel, bytes),
    });
    match ended.await? {
        Ended::Success if archive.is_begun() => Ok(ExitCode::SUCCESS),
        Ended::Success => Err(Failure::said("tar contents corrupted")),
        other => other.exit(),
    }
}

/// A path without what tar takes off: slashes at the start, `.` and `..`.
fn plain(path: &str) -> String {
    let mut all: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(all.pop()),
            part => all.push(part),
        }
    }
    all.join("/")
}

/// Files on their way to the disk.
struct Unpacking {
    prefix: String,
    to: PathBuf,
    file: Option<(fs::File, PathBuf)>,
}

impl Unpacking {
    fn take(&mut self, part: tar::Part<'_>) -> Result<(), Failure> {
        match part {
            tar::Part::Entry(entry) => {
                self.file = None;
                self.begin(entry)
            }
            tar::Part::Content(bytes) => match &mut self.file {
                Some((file, path)) => file.write_all(bytes).map_err(|e| unwritten(path, &e)),
                None => Ok(()),
            },
        }
    }

    fn begin(&mut self, entry: &Entry) -> Result<(), Failure> {
        let name = plain(&entry.name);
        // All names begin with the path that was asked for; others are not what was asked for.
        let rest = match self.prefix.is_empty() {
            true => name.as_str(),
            false => name.strip_prefix(&self.prefix).ok_or_else(|| Failure::said("tar contents corrupted"))?,
        };
        let rest = Path::new(rest.trim_start_matches('/'));
        if entry.name.split('/').any(|part| part == "..")
            || rest.components().any(|c| !matches!(c, Component::Normal(_)))
        {
            eprintln!("warning: file {:?} is outside target destination, skipping", entry.name);
            return Ok(());
        }
        let path = if rest.as_os_str().is_empty() { self.to.clone() } else { self.to.join(rest) };
        match &entry.kind {
            Kind::Folder => fs::create_dir_all(&path).map_err(|e| unwritten(&path, &e)),
            Kind::Link(to) => {
                eprintln!("warning: skipping symlink: {:?} -> {to:?}", path.display().to_string());
                Ok(())
            }
            Kind::Other => Ok(()),
            Kind::File => {
                if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    fs::create_dir_all(folder).map_err(|e| unwritten(folder, &e))?;
                }
                let file = fs::File::create(&path).map_err(|e| unwritten(&path, &e))?;
                self.file = Some((file, path));
                Ok(())
            }
        }
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::said(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_name_a_pod_or_none() {
        let side = |namespace: Option<&str>, pod: Option<&str>, path: &str| Side {
            namespace: namespace.map(str::to_owned),
            pod: pod.map(str::to_owned),
            path: path.to_owned(),
        };
        for (text, expected) in [
            ("/tmp/x", Some(side(None, None, "/tmp/x"))),
            ("web:/x", Some(side(None, Some("web"), "/x"))),
            ("a/web:x", Some(side(Some("a"), Some("web"), "x"))),
            (":x", None),
            ("a/b/c:x", None),
        ] {
            assert_eq!(Side::read(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn folders_survive_packing_and_nothing_leaves_the_destination() {
        let folder = std::env::temp_dir().join(format!("edgectl-copy-{}", std::process::id()));
        let (from, to) = (folder.join("from"), folder.join("to"));
        fs::create_dir_all(from.join("sub/empty")).unwrap();
        fs::write(from.join("sub/file"), vec![b'x'; 100_000]).unwrap();
        let long = "n".repeat(200);
        fs::write(from.join(&long), "long").unwrap();
        let mut bytes = Vec::new();
        let mut archive = tar::Writer::new(|piece: Vec<u8>| {
            bytes.extend(piece);
            true
        });
        pack(&mut archive, &from, "tree").unwrap();
        archive.add(&Entry { name: "tree/../../out".into(), kind: Kind::File, mode: 0o644, size: 0 });
        archive.add(&Entry { name: "tree/link".into(), kind: Kind::Link("/etc".into()), mode: 0o777, size: 0 });
        archive.finish();
        let mut unpacking = Unpacking { prefix: "tree".into(), to: to.clone(), file: None };
        let mut reader = tar::Reader::default();
        for piece in bytes.chunks(777) {
            // `..` leads out of what was asked for, and is either skipped or refused.
            if reader.feed(piece, &mut |part| unpacking.take(part)).is_err() {
                break;
            }
        }
        drop(unpacking);
        assert_eq!(fs::read(to.join("sub/file")).unwrap().len(), 100_000);
        assert_eq!(fs::read(to.join(long)).unwrap(), b"long");
        assert!(to.join("sub/empty").is_dir() && !folder.join("out").exists() && !to.join("link").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
