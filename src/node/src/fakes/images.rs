//! An image store in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use kedge_api::machine::{ImageConfig, ImageInfo, User};

use crate::port::{ImageFault, Images, RegistryLogin};

/// An image of that name which runs `/bin/app`.
pub fn image(name: &str) -> ImageInfo {
    ImageInfo {
        id: format!("sha256:{name}"),
        tags: vec![name.into()],
        digests: vec![format!("example.test/{}@sha256:0", name.split(':').next().unwrap_or_default())],
        size: 1000,
        layers: vec!["/layers/0".into()],
        config: ImageConfig { cmd: vec!["/bin/app".into()], ..ImageConfig::default() },
        pinned: false,
    }
}

/// Images here, images in the registry, and faults to give.
#[derive(Debug, Default)]
pub struct FakeImages {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    present: BTreeMap<String, ImageInfo>,
    remote: BTreeMap<String, ImageInfo>,
    pulls: Vec<(String, Vec<RegistryLogin>)>,
    offline: bool,
    private: BTreeSet<String>,
}

impl FakeImages {
    /// A store that has these images.
    pub fn with(names: &[&str]) -> Self {
        let images = Self::default();
        for name in names {
            images.add(image(name));
        }
        images
    }

    /// Makes an image present.
    pub fn add(&self, info: ImageInfo) {
        let name = info.tags.first().cloned().unwrap_or_default();
        self.lock().present.insert(name, info);
    }

    /// Makes an image pullable.
    pub fn publish(&self, info: ImageInfo) {
        let name = info.tags.first().cloned().unwrap_or_default();
        self.lock().remote.insert(name, info);
    }

    /// This registry lets nobody in whose password is not `good`.
    pub fn make_private(&self, host: &str) {
        self.lock().private.insert(host.into());
    }

    /// No registry answers from now on.
    pub fn go_offline(&self) {
        self.lock().offline = true;
    }

    /// What was pulled, with which logins.
    pub fn pulls(&self) -> Vec<(String, Vec<RegistryLogin>)> {
        self.lock().pulls.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Images for FakeImages {
    async fn present(&self, reference: &str) -> Result<Option<ImageInfo>, ImageFault> {
        if reference.chars().any(char::is_uppercase) {
            return Err(ImageFault::InvalidName { name: reference.into(), cause: "invalid reference format".into() });
        }
        Ok(self.lock().present.get(reference).cloned())
    }

    async fn pull(&self, reference: &str, logins: &[RegistryLogin]) -> Result<(ImageInfo, Option<usize>), ImageFault> {
        let mut state = self.lock();
        state.pulls.push((reference.into(), logins.to_vec()));
        if state.offline {
            return Err(ImageFault::RegistryUnavailable("no route to host".into()));
        }
        let Some(info) = state.remote.get(reference).cloned() else {
            return Err(ImageFault::Pull(format!("{reference}: not found")));
        };
        let host = reference.split('/').next().unwrap_or_default();
        let login = match state.private.contains(host) {
            false => None,
            true => match logins.iter().position(|login| login.registry == host && login.password == "good") {
                None => return Err(ImageFault::Pull(format!("{reference}: denied"))),
                found => found,
            },
        };
        state.present.insert(reference.into(), info.clone());
        Ok((info, login))
    }

    async fn list(&self) -> Result<Vec<ImageInfo>, ImageFault> {
        Ok(self.lock().present.values().cloned().collect())
    }

    async fn collect_garbage(&self, in_use: &[String], _free: u64) -> Result<u64, ImageFault> {
        let mut state = self.lock();
        let before = state.present.len();
        let used = |info: &ImageInfo| info.digests.iter().chain([&info.id]).any(|name| in_use.contains(name));
        state.present.retain(|_, info| info.pinned || used(info));
        Ok((before - state.present.len()) as u64)
    }

    async fn resolve_user(&self, _image: &ImageInfo, user: &str) -> Result<User, ImageFault> {
        let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
        let number = |text: &str| match text {
            "" | "root" => Ok(0),
            text => text.parse().map_err(|_| {
                ImageFault::User(format!("unable to find user {text}: no matching entries in passwd file"))
            }),
        };
        Ok(User { uid: number(uid)?, gid: number(gid)?, groups: Vec::new() })
    }
}
