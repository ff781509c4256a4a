//! Fetches what volumes show, and has them made, refreshed and cleared on a blocking thread.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::container::env::SourceRef;
use crate::pod::{PodId, spec};
use crate::port::{Kind, Mono};
use crate::shared::Shared;
use crate::volume::Source;
use crate::volume::effects::{self, Fetched, VolumeFault};
use crate::volume::payload::{Context, TokenWish, references, tokens};

/// What came of making or refreshing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prepared {
    /// Objects that volumes show: to be followed.
    pub follow: Vec<SourceRef>,
    /// When tokens are to be fetched again.
    pub refresh_at: Option<Mono>,
}

/// Makes every volume.
pub(crate) async fn make_volumes(shared: Arc<Shared>, id: PodId, pod: Arc<Pod>) -> Result<Prepared, VolumeFault> {
    run(shared, id, pod, true).await
}

/// Brings the files of volumes up to date.
pub(crate) async fn refresh_volumes(shared: Arc<Shared>, id: PodId, pod: Arc<Pod>) -> Result<Prepared, VolumeFault> {
    run(shared, id, pod, false).await
}

async fn run(shared: Arc<Shared>, id: PodId, pod: Arc<Pod>, everything: bool) -> Result<Prepared, VolumeFault> {
    let volumes: Vec<_> = spec(&pod).volumes.clone().unwrap_or_default();
    if volumes.is_empty() {
        return Ok(Prepared::default());
    }
    let mut sources = crate::container::env::Sources::new();
    let mut wishes = BTreeMap::new();
    let mut claims = BTreeMap::new();
    let mut refresh_at: Option<Mono> = None;
    for volume in &volumes {
        let fault = |cause: String| VolumeFault::new(volume, cause);
        let fetched = shared.sources.fetch(&id.namespace, references(volume)).await;
        sources.extend(fetched.map_err(|error| fault(error.to_string()))?);
        for wish in tokens(volume) {
            let token = token(&shared, &id, &pod, &wish).await.map_err(fault)?;
            let at = shared.clock.mono() + token_life(&wish);
            refresh_at = Some(refresh_at.map_or(at, |old| old.min(at)));
            wishes.insert(wish, token);
        }
        if let Source::Claim(claim) = Source::of(volume) {
            let path = claim_path(&shared, &id.namespace, claim).await.map_err(fault)?;
            claims.insert(volume.name.clone(), path);
        }
    }
    let follow = sources.keys().cloned().collect();
    let stamp = shared.new_id();
    let work = move || {
        let fetched = Fetched {
            payload: Context { pod: &pod, sources: &sources, tokens: &wishes, allocatable: shared.allocatable },
            claims: &claims,
            stamp: &stamp,
        };
        let mounts = shared.mounts.as_ref();
        match everything {
            true => effects::make(&shared.dirs, &id, &pod, &fetched, mounts),
            false => effects::refresh(&shared.dirs, &id, &pod, &fetched, mounts),
        }
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map(|()| Prepared { follow, refresh_at }),
        Err(error) => Err(VolumeFault { volume: String::new(), cause: error.to_string() }),
    }
}

/// A token is renewed when four fifths of its life, or a day, are over.
fn token_life(wish: &TokenWish) -> Duration {
    let life = Duration::from_secs(wish.seconds.max(0).unsigned_abs());
    (life * 4 / 5).min(Duration::from_secs(24 * 3600))
}

async fn token(shared: &Shared, id: &PodId, pod: &Pod, wish: &TokenWish) -> Result<String, String> {
    let account = spec(pod).service_account_name.as_deref();
    let account = account.filter(|name| !name.is_empty()).unwrap_or("default");
    let audiences: Vec<&str> = match wish.audience.as_str() {
        "" => Vec::new(),
        audience => vec![audience],
    };
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": audiences,
            "expirationSeconds": wish.seconds,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": id.name, "uid": id.uid},
        },
    });
    let namespace = Some(id.namespace.as_str());
    let answer = shared
        .api
        .create_under(Kind::ServiceAccount, namespace, account, "token", &body)
        .await
        .map_err(|fault| format!("failed to fetch token: {fault}"))?;
    let token = answer["status"]["token"].as_str();
    token.map(str::to_owned).ok_or_else(|| "failed to fetch token: the answer has none".to_owned())
}

/// The host path of a claim that is bound to a hostPath or local volume.
async fn claim_path(shared: &Shared, namespace: &str, claim: &str) -> Result<PathBuf, String> {
    let api = &shared.api;
    let bound =
        api.get(Kind::PersistentVolumeClaim, Some(namespace), claim).await.map_err(|fault| fault.to_string())?;
    let name = bound["spec"]["volumeName"].as_str().unwrap_or_default();
    if name.is_empty() || bound["status"]["phase"] != "Bound" {
        return Err(format!("persistentvolumeclaim \"{claim}\" is not bound"));
    }
    let volume = api.get(Kind::PersistentVolume, None, name).await.map_err(|fault| fault.to_string())?;
    let paths = ["hostPath", "local"].map(|kind| volume["spec"][kind]["path"].as_str());
    match paths.into_iter().flatten().next() {
        Some(path) => Ok(PathBuf::from(path)),
        None => Err(format!(
            "persistent volume \"{name}\" is neither hostPath nor local; other kinds are not supported by this node"
        )),
    }
}

/// Takes away everything that a pod has on disk and in memory.
pub(crate) async fn clear(shared: Arc<Shared>, id: PodId) -> Result<(), String> {
    let work = move || effects::clear(&shared.dirs, &id, shared.mounts.as_ref());
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
