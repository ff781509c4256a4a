//! Gets a container's image by its pull policy.
//!
//! In: the container's words, the pod's pull secrets. Out: an image that is present, or the reason why not, with
//! Kubernetes' events on the way. The same image is pulled once at a time, and few at once.

use std::collections::HashMap;
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

/// A slow link and a small CPU gain nothing from more.
const PULLS_AT_ONCE: usize = 2;

/// Pulls images for all pods.
pub struct Puller {
    images: Arc<dyn Images>,
    api: Arc<dyn Api>,
    clock: Arc<dyn Clock>,
    machine_logins: Vec<RegistryLogin>,
    slots: Semaphore,
    busy: Mutex<HashMap<String, Weak<AsyncMutex<()>>>>,
    /// Told whenever an image has come.
    pub arrived: Notify,
}

impl Puller {
    /// Over that image store.
    pub fn new(
        images: Arc<dyn Images>,
        api: Arc<dyn Api>,
        clock: Arc<dyn Clock>,
        machine_logins: Vec<RegistryLogin>,
    ) -> Self {
        Self {
            images,
            api,
            clock,
            machine_logins,
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
            (_, Some(info)) => {
                let message = format!("Container image \"{name}\" already present on machine");
                events.tell(about, Level::Normal, "Pulled", message);
                return Ok(info);
            }
            (Policy::Never, None) => {
                let message = format!("Container image \"{name}\" is not present with pull policy of Never");
                events.tell(about, Level::Warning, "ErrImageNeverPull", message.clone());
                return Err(Reason::new("ErrImageNeverPull", message));
            }
            (Policy::IfNotPresent, None) => {}
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
        {
            let message = format!("Container image \"{name}\" already present on machine");
            events.tell(about, Level::Normal, "Pulled", message);
            return Ok(info);
        }
        let began = self.clock.mono();
        let logins = self.logins(pod).await;
        match self.images.pull(name, &logins).await {
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

    /// The pod's pull secrets, then its service account's, then the machine's own.
    async fn logins(&self, pod: &Pod) -> Vec<RegistryLogin> {
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
        let mut all = Vec::new();
        for name in names {
            // One that is missing is no fault: the image may be public.
            if let Ok(secret) = self.api.get(Kind::Secret, namespace, &name).await {
                all.extend(logins_of(&secret));
            }
        }
        all.extend(self.machine_logins.iter().cloned());
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

fn millis(duration: std::time::Duration) -> String {
    match duration.as_millis() {
        short @ 0..1000 => format!("{short}ms"),
        _ => format!("{:.3}s", duration.as_secs_f64()),
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
