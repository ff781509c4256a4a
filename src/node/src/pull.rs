//! Gets a container's image by its pull policy.
//!
//! In: the container's words, the pod's pull secrets. Out: an image that is present, or the reason why not, with
//! Kubernetes' events on the way. The same image is pulled once at a time, and few at once.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Container, Pod};
use kedge_api::machine::ImageInfo;
use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, Notify, Semaphore};

use crate::events::{About, Events, Level};
use crate::pod::observed::Reason;
use crate::pod::spec;
use crate::port::{Api, Clock, ImageFault, Images, Kind, RegistryLogin};
use crate::pulled::{Proof, Pulled};

/// A slow link and a small CPU gain nothing from more.
const PULLS_AT_ONCE: usize = 2;

/// Pulls images for all pods.
pub struct Puller {
    images: Arc<dyn Images>,
    api: Arc<dyn Api>,
    clock: Arc<dyn Clock>,
    machine_logins: Vec<RegistryLogin>,
    pulled: Pulled,
    slots: Semaphore,
    busy: Mutex<HashMap<String, Weak<AsyncMutex<()>>>>,
    /// Told whenever an image has come.
    pub arrived: Notify,
}

impl Puller {
    /// Over that image store; `record` is the file that remembers with whose secrets images came.
    pub fn new(
        images: Arc<dyn Images>,
        api: Arc<dyn Api>,
        clock: Arc<dyn Clock>,
        machine_logins: Vec<RegistryLogin>,
        record: PathBuf,
    ) -> Self {
        Self {
            images,
            api,
            clock,
            machine_logins,
            pulled: Pulled::open(record),
            slots: Semaphore::new(PULLS_AT_ONCE),
            busy: Mutex::default(),
            arrived: Notify::new(),
        }
    }

    /// The image store.
    pub fn images(&self) -> &Arc<dyn Images> {
        &self.images
    }

    /// The image of a container, present.
    pub async fn get(
        &self,
        pod: &Pod,
        container: &Container,
        about: About,
        events: &Events,
    ) -> Result<ImageInfo, Reason> {
        let name = container.image.as_deref().unwrap_or_default();
        let policy = policy(container);
        let present = match self.images.present(name).await {
            Ok(present) => present,
            Err(fault @ ImageFault::InvalidName { .. }) => {
                let message = format!("Failed to apply default image tag \"{name}\": {fault}");
                events.tell(about, Level::Warning, "InspectFailed", message.clone());
                return Err(Reason::new("InvalidImageName", message));
            }
            Err(fault) => {
                let message = format!("Failed to inspect image \"{name}\": {fault}");
                events.tell(about, Level::Warning, "InspectFailed", message.clone());
                return Err(Reason::new("ImageInspectError", message));
            }
        };
        match (policy, present) {
            (Policy::Always, _) => {}
            (_, Some(info)) if self.may_have(pod, name, &info, &about, events).await => {
                events.tell(about, Level::Normal, "Pulled", here(name));
                return Ok(info);
            }
            // That it is here is not told to one who may not have it.
            (Policy::Never, _) => {
                let message = format!("Container image \"{name}\" is not present with pull policy of Never");
                events.tell(about, Level::Warning, "ErrImageNeverPull", message.clone());
                return Err(Reason::new("ErrImageNeverPull", message));
            }
            (Policy::IfNotPresent, _) => {}
        }
        self.pull(pod, name, policy, about, events).await
    }

    async fn pull(
        &self,
        pod: &Pod,
        name: &str,
        policy: Policy,
        about: About,
        events: &Events,
    ) -> Result<ImageInfo, Reason> {
        events.tell(about.clone(), Level::Normal, "Pulling", format!("Pulling image \"{name}\""));
        let asked = self.clock.mono();
        let turn = self.turn(name);
        let _turn = turn.lock().await;
        // The semaphore is never closed.
        let _slot = self.slots.acquire().await;
        if policy == Policy::IfNotPresent
            && let Ok(Some(info)) = self.images.present(name).await
            && self.may_have(pod, name, &info, &about, events).await
        {
            events.tell(about, Level::Normal, "Pulled", here(name));
            return Ok(info);
        }
        let began = self.clock.mono();
        match self.fetch(pod, name, &about, events).await {
            Ok(info) => {
                let now = self.clock.mono();
                let message = format!(
                    "Successfully pulled image \"{name}\" in {} ({} including waiting). Image size: {} bytes.",
                    millis(now - began),
                    millis(now - asked),
                    info.size
                );
                events.tell(about, Level::Normal, "Pulled", message);
                self.arrived.notify_one();
                Ok(info)
            }
            Err(fault @ ImageFault::InvalidName { .. }) => {
                let message = format!("Failed to apply default image tag \"{name}\": {fault}");
                events.tell(about, Level::Warning, "InspectFailed", message.clone());
                Err(Reason::new("InvalidImageName", message))
            }
            Err(fault) => {
                let message = format!("Failed to pull image \"{name}\": {fault}");
                events.tell(about.clone(), Level::Warning, "Failed", message);
                if matches!(fault, ImageFault::RegistryUnavailable(_))
                    && let Ok(Some(info)) = self.images.present(name).await
                    && self.may_have(pod, name, &info, &about, events).await
                {
                    // Without a network a device starts from what it has: better than not at all.
                    let message = format!(
                        "Container image \"{name}\" already present on machine; its registry cannot be reached to look for a newer one"
                    );
                    events.tell(about, Level::Warning, "Pulled", message);
                    return Ok(info);
                }
                Err(match fault {
                    ImageFault::RegistryUnavailable(_) => Reason::new(
                        "RegistryUnavailable",
                        format!("image pull failed for {name} because the registry is unavailable: {fault}"),
                    ),
                    _ => Reason::new("ErrImagePull", fault.to_string()),
                })
            }
        }
    }

    fn turn(&self, name: &str) -> Arc<AsyncMutex<()>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = busy.get(name).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(AsyncMutex::new(()));
        busy.insert(name.to_owned(), Arc::downgrade(&turn));
        turn
    }

    /// Asks the registry, and remembers whose secret opened it.
    async fn fetch(&self, pod: &Pod, name: &str, about: &About, events: &Events) -> Result<ImageInfo, ImageFault> {
        let (proofs, logins): (Vec<_>, Vec<_>) = self.logins(pod, about, events).await.into_iter().unzip();
        let known = match self.images.present(name).await {
            Ok(Some(image)) => self.pulled.knows(name, &image),
            _ => false,
        };
        if proofs.iter().all(Option::is_none) && !known {
            return self.images.pull(name, &logins).await.map(|(image, _)| image);
        }
        // A pull that will most likely bring what is here costs the flash nothing.
        if !known {
            let begun = self.pulled.begin(name);
            begun.map_err(|error| ImageFault::Store(format!("failed to record image pull intent: {error}")))?;
        }
        let answer = self.images.pull(name, &logins).await;
        let here: HashSet<String> =
            self.images.list().await.unwrap_or_default().into_iter().map(|image| image.id).collect();
        let came = answer.as_ref().ok().map(|(image, login)| {
            let proof = login.and_then(|at| proofs.get(at).cloned().flatten());
            (image, proof)
        });
        // One that was broken off earlier may still have brought the image: only a pull that succeeds settles that.
        if came.is_some() || !known {
            self.pulled.end(name, came, &here);
        }
        answer.map(|(image, _)| image)
    }

    /// Whether the pod may have an image that is here.
    async fn may_have(&self, pod: &Pod, name: &str, image: &ImageInfo, about: &About, events: &Events) -> bool {
        let proofs = async {
            let logins = self.logins(pod, about, events).await;
            logins.into_iter().filter_map(|(proof, _)| proof).collect()
        };
        self.pulled.may_have(name, image, proofs).await
    }

    /// The pod's pull secrets, then its service account's, then the machine's own.
    async fn logins(&self, pod: &Pod, about: &About, events: &Events) -> Vec<(Option<Proof>, RegistryLogin)> {
        let namespace = pod.metadata.namespace.as_deref();
        let own = spec(pod).image_pull_secrets.iter().flatten();
        let mut names: Vec<String> = own.map(|reference| reference.name.clone()).collect();
        if let Some(account) = &spec(pod).service_account_name
            && let Ok(account) = self.api.get(Kind::ServiceAccount, namespace, account).await
        {
            let more = account["imagePullSecrets"].as_array().into_iter().flatten();
            names.extend(more.filter_map(|secret| Some(secret["name"].as_str()?.to_owned())));
        }
        names.dedup();
        let (mut all, mut missing) = (Vec::new(), Vec::new());
        for name in names {
            // One that is missing is no fault: the image may be public.
            match self.api.get(Kind::Secret, namespace, &name).await {
                Ok(secret) => {
                    let uid = secret["metadata"]["uid"].as_str().unwrap_or_default();
                    all.extend(logins_of(&secret).into_iter().map(|login| (Some(Proof::new(uid, &login)), login)));
                }
                Err(_) => missing.push(name),
            }
        }
        if !missing.is_empty()
            && let About::Pod(id) | About::Container(id, _, _) = about
        {
            let message = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            events.tell(About::Pod(id.clone()), Level::Warning, "FailedToRetrieveImagePullSecret", message);
        }
        all.extend(self.machine_logins.iter().map(|login| (None, login.clone())));
        all
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Always,
    IfNotPresent,
    Never,
}

/// Kubernetes' default: always for `latest` and for no tag, else only what is missing.
fn policy(container: &Container) -> Policy {
    let image = container.image.as_deref().unwrap_or_default();
    match container.image_pull_policy.as_deref() {
        Some("Always") => Policy::Always,
        Some("Never") => Policy::Never,
        Some("IfNotPresent") => Policy::IfNotPresent,
        _ => {
            let name = image.rsplit('/').next().unwrap_or_default();
            let pinned = name.contains('@') || name.contains(':') && !name.ends_with(":latest");
            match pinned {
                true => Policy::IfNotPresent,
                false => Policy::Always,
            }
        }
    }
}

fn here(name: &str) -> String {
    format!("Container image \"{name}\" already present on machine and can be accessed by the pod")
}

/// To the millisecond, as Go writes it: `0s`, `345ms`, `1.5s`, `2m0.25s`.
fn millis(duration: std::time::Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (hours, minutes, rest) = (millis / 3_600_000, millis / 60_000 % 60, millis % 60_000);
    let fraction = format!(".{:03}", rest % 1000);
    let seconds = format!("{}{}s", rest / 1000, fraction.trim_end_matches('0').trim_end_matches('.'));
    match (hours, minutes) {
        (0, 0) => seconds,
        (0, _) => format!("{minutes}m{seconds}"),
        _ => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// The logins in a `kubernetes.io/dockerconfigjson` or `kubernetes.io/dockercfg` secret.
fn logins_of(secret: &Value) -> Vec<RegistryLogin> {
    let part = |key: &str| {
        let text = secret["data"][key].as_str()?;
        let bytes = STANDARD.decode(text).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    let auths = part(".dockerconfigjson")
        .map(|config| config["auths"].clone())
        .or_else(|| part(".dockercfg"))
        .unwrap_or_default();
    let Value::Object(auths) = auths else {
        return Vec::new();
    };
    auths
        .into_iter()
        .map(|(registry, auth)| {
            let word = |key: &str| auth[key].as_str().unwrap_or_default().to_owned();
            let pair = STANDARD.decode(word("auth")).unwrap_or_default();
            let pair = String::from_utf8(pair).unwrap_or_default();
            let (user, password) = pair.split_once(':').unwrap_or_default();
            let or = |own: String, other: &str| match own.is_empty() {
                true => other.to_owned(),
                false => own,
            };
            RegistryLogin {
                registry,
                username: or(word("username"), user),
                password: or(word("password"), password),
                identity_token: Some(word("identitytoken")).filter(|token| !token.is_empty()),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(image: &str, words: Option<&str>, want: Policy) {
        let container = json!({"name": "a", "image": image, "imagePullPolicy": words});
        assert_eq!(policy(&serde_json::from_value(container).unwrap()), want);
    }

    #[test]
    fn the_policy_follows_the_tag_when_nothing_is_said() {
        check("nginx", None, Policy::Always);
        check("nginx:latest", None, Policy::Always);
        check("nginx:1.27", None, Policy::IfNotPresent);
        check("registry:5000/nginx", None, Policy::Always);
        check("nginx@sha256:0", None, Policy::IfNotPresent);
        check("nginx", Some("Never"), Policy::Never);
    }

    #[test]
    fn durations_are_written_as_go_does() {
        let rows =
            [(0, "0s"), (345, "345ms"), (1500, "1.5s"), (2000, "2s"), (120_250, "2m0.25s"), (3_600_000, "1h0m0s")];
        for (given, want) in rows {
            assert_eq!(millis(std::time::Duration::from_millis(given)), want);
        }
    }

    #[test]
    fn logins_are_read_in_both_forms() {
        let config = json!({"auths": {
            "a.example": {"auth": STANDARD.encode("me:pass:word")},
            "b.example": {"username": "u", "password": "p", "identitytoken": "t"}}});
        let secret = json!({"data": {".dockerconfigjson": STANDARD.encode(config.to_string())}});
        let logins = logins_of(&secret);
        assert_eq!(logins[0].username, "me");
        assert_eq!(logins[0].password, "pass:word");
        assert_eq!(logins[1].identity_token.as_deref(), Some("t"));
        let old = json!({"data": {".dockercfg": STANDARD.encode(config["auths"].to_string())}});
        assert_eq!(logins_of(&old), logins);
        assert_eq!(logins_of(&json!({})), []);
    }
}
