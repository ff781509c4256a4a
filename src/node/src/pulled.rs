//! Remembers with whose credentials images came, so that no pod gets one that it could not have pulled itself.
//!
//! In: pulls, and the pull secret that opened the registry. Out: whether a pod may have an image that is here. What is
//! not remembered came with the machine or without a secret, and is everyone's: Kubernetes' policy
//! `NeverVerifyPreloadedImages`. One small file, written only around pulls with secrets.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kedge_api::machine::ImageInfo;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::port::RegistryLogin;

/// Secrets that are remembered for one image, as in Kubernetes.
const SECRETS: usize = 100;

/// What a pod shows: a login of one of its pull secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// UID of the secret.
    secret: String,
    /// Of the login: the same one may be in secrets of several namespaces.
    hash: String,
}

impl Proof {
    /// Of a login in the secret of this UID.
    pub fn new(secret: &str, login: &RegistryLogin) -> Self {
        let token = login.identity_token.as_deref().unwrap_or_default();
        let mut hash = Sha256::new();
        for part in [&login.registry, &login.username, &login.password, token] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let hash = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { secret: secret.to_owned(), hash }
    }

    fn fits(&self, other: &Self) -> bool {
        self.secret == other.secret || self.hash == other.hash
    }
}

/// What is remembered.
pub struct Pulled {
    file: PathBuf,
    known: Mutex<Known>,
}

#[derive(Default, Serialize, Deserialize)]
struct Known {
    /// Names that are being pulled with secrets, or were when the power went: nobody knows yet whose they are.
    pulling: Vec<String>,
    /// By image ID, and then by the repository that it was pulled from.
    images: BTreeMap<String, BTreeMap<String, Access>>,
}

#[derive(Default, Serialize, Deserialize)]
struct Access {
    everyone: bool,
    proofs: Vec<Proof>,
}

impl Pulled {
    /// What the file says; one that is not there says nothing.
    pub fn open(file: PathBuf) -> Self {
        let known = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::error!(?file, %error, "whose credentials images came with is lost: they are everyone's");
                Known::default()
            }),
            Err(_) => Known::default(),
        };
        Self { file, known: Mutex::new(known) }
    }

    /// Whether a pod may have an image under this name. `proofs` is asked only if that matters.
    pub async fn may_have(&self, name: &str, image: &ImageInfo, proofs: impl Future<Output = Vec<Proof>>) -> bool {
        match self.without_proof(name, image) {
            Some(verdict) => verdict,
            None => {
                let shown = proofs.await;
                let known = self.lock();
                let access = known.images.get(&image.id).and_then(|from| from.get(&repository(name)));
                let fits = |proof: &Proof| shown.iter().any(|shown| shown.fits(proof));
                access.is_some_and(|access| access.everyone || access.proofs.iter().any(fits))
            }
        }
    }

    /// The verdict, if no secret can change it.
    fn without_proof(&self, name: &str, image: &ImageInfo) -> Option<bool> {
        if image.pinned {
            return Some(true);
        }
        let by_id = name == image.id || image.id.strip_prefix("sha256:") == Some(name);
        let known = self.lock();
        match known.images.get(&image.id) {
            None if by_id => Some(known.pulling.is_empty()),
            None => Some(!known.pulling.iter().any(|pulling| pulling == name)),
            Some(from) => match from.get(&repository(name)) {
                // A name that came without a secret; the image's ID is nobody's name.
                None => Some(!by_id),
                Some(access) if access.everyone => Some(true),
                Some(_) => None,
            },
        }
    }

    /// Whether something is written down about an image under this name: who may have it, or that its pull was broken
    /// off.
    pub fn knows(&self, name: &str, image: &ImageInfo) -> bool {
        let known = self.lock();
        known.pulling.iter().any(|pulling| pulling == name)
            || known.images.get(&image.id).is_some_and(|from| from.contains_key(&repository(name)))
    }

    /// A pull with secrets begins. Should it be broken off, the image is nobody's until it is pulled again.
    pub fn begin(&self, name: &str) -> io::Result<()> {
        let mut known = self.lock();
        known.pulling.push(name.to_owned());
        self.save(&known)
    }

    /// A pull has ended. `image` came with `proof`, or with none that a pod must show; `here` are the IDs of all images:
    /// the others are forgotten. What says nothing new is not written.
    pub fn end(&self, name: &str, image: Option<(&ImageInfo, Option<Proof>)>, here: &HashSet<String>) {
        let mut known = self.lock();
        let before = serde_json::to_vec(&*known).ok();
        if let Some((image, proof)) = image {
            known.images.retain(|id, _| here.contains(id));
            let access = known.images.entry(image.id.clone()).or_default().entry(repository(name)).or_default();
            match proof {
                Some(proof) if access.proofs.contains(&proof) => {}
                Some(proof) => {
                    access.proofs.retain(|old| old.secret != proof.secret);
                    if access.proofs.len() == SECRETS {
                        access.proofs.remove(0);
                    }
                    access.proofs.push(proof);
                }
                None => access.everyone = true,
            }
        }
        // One name is pulled once at a time.
        known.pulling.retain(|pulling| pulling != name);
        if before == serde_json::to_vec(&*known).ok() {
            return;
        }
        if let Err(error) = self.save(&known) {
            // The begin is on disk: after a restart the image is nobody's, which is safe.
            tracing::warn!(%error, file = ?self.file, "whose credentials an image came with could not be written down");
        }
    }

    fn save(&self, known: &Known) -> io::Result<()> {
        let beside = self.file.with_extension("new");
        let folder = self.file.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder)?;
        // What it says of credentials is nobody else's.
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec(known).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&beside, &self.file)?;
        // Else a power cut could bring the old name back, and an image would be everyone's.
        fs::File::open(folder)?.sync_all()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An image's whole name without tag and digest, as `docker.io/library/nginx`.
pub fn repository(name: &str) -> String {
    let name = name.split('@').next().unwrap_or_default();
    let name = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    };
    let host = |part: &str| part.contains(['.', ':']) || part == "localhost";
    let path = match name.split_once('/') {
        Some(("docker.io" | "index.docker.io", path)) => path,
        Some((first, _)) if host(first) => return name.to_owned(),
        _ => name,
    };
    let library = if path.contains('/') { "" } else { "library/" };
    format!("docker.io/{library}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::image;
    use futures::FutureExt as _;

    fn proof(secret: &str, password: &str) -> Proof {
        let login = RegistryLogin {
            registry: "r".into(),
            username: "u".into(),
            password: password.into(),
            identity_token: None,
        };
        Proof::new(secret, &login)
    }

    #[track_caller]
    fn check(pulled: &Pulled, name: &str, shown: &[Proof], want: bool) {
        let image = image("r/x:1");
        let may = pulled.may_have(name, &image, std::future::ready(shown.to_vec()));
        assert_eq!(may.now_or_never(), Some(want), "{name} {shown:?}");
    }

    #[test]
    fn an_image_is_its_pullers_until_it_was_pulled_without_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pulled.json");
        let pulled = Pulled::open(file.clone());
        let here = HashSet::from([image("r/x:1").id]);
        check(&pulled, "r/x:1", &[], true);
        assert!(!file.exists(), "what came with the machine costs no write");
        pulled.begin("r/x:1").unwrap();
        check(&Pulled::open(file.clone()), "r/x:1", &[proof("s", "p")], false);
        pulled.end("r/x:1", Some((&image("r/x:1"), Some(proof("s", "p")))), &here);
        for pulled in [&pulled, &Pulled::open(file.clone())] {
            check(pulled, "r/x:1", &[], false);
            check(pulled, "r/x@sha256:0", &[proof("other", "wrong")], false);
            check(pulled, "r/x@sha256:0", &[proof("s", "rotated")], true);
            check(pulled, "r/x:1", &[proof("other", "p")], true);
            check(pulled, "docker.io/r/x:1", &[], false);
            check(pulled, &image("r/x:1").id, &[proof("s", "p")], false);
            check(pulled, "loaded/x:1", &[], true);
        }
        let mut preloaded = image("r/x:1");
        preloaded.pinned = true;
        let may = pulled.may_have("r/x:1", &preloaded, std::future::ready(Vec::new()));
        assert_eq!(may.now_or_never(), Some(true));
        std::fs::remove_file(&file).unwrap();
        assert!(pulled.knows("r/x:2", &image("r/x:1")));
        pulled.begin("r/z:1").unwrap();
        assert!(pulled.knows("r/z:1", &image("r/z:1")), "a pull that was broken off");
        pulled.end("r/z:1", None, &here);
        assert!(!pulled.knows("r/z:1", &image("r/z:1")));
        std::fs::remove_file(&file).unwrap();
        pulled.end("r/x:1", Some((&image("r/x:1"), Some(proof("s", "p")))), &here);
        assert!(!file.exists(), "what says nothing new costs no write");
        pulled.end("r/x:1", Some((&image("r/x:1"), None)), &here);
        check(&pulled, "r/x:1", &[], true);
        pulled.end("r/y:1", Some((&image("r/y:1"), None)), &HashSet::new());
        assert!(!pulled.knows("r/x:1", &image("r/x:1")), "what is gone is forgotten");
    }

    #[test]
    fn repositories_have_neither_tag_nor_digest() {
        for (name, want) in [
            ("nginx", "docker.io/library/nginx"),
            ("team/nginx:1", "docker.io/team/nginx"),
            ("docker.io/nginx:1", "docker.io/library/nginx"),
            ("index.docker.io/library/nginx", "docker.io/library/nginx"),
            ("r:5000/nginx", "r:5000/nginx"),
            ("localhost/nginx:1", "localhost/nginx"),
            ("r.example/a/nginx:1@sha256:0", "r.example/a/nginx"),
        ] {
            assert_eq!(repository(name), want);
        }
    }
}
