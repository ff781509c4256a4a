//! Whether a pod keeps more on disk than its words allow.
//!
//! In: the pod's words, what its volumes and containers take. Out: nothing, or the reason for which it is evicted, in
//! the kubelet's words and order. Pure but for `measure`, which walks folders: only those that a limit speaks of.

mod walk;

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, Pod, Volume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Words;
use kedge_api::quantity::{Format, Quantity};

use crate::amount::units_of;
use crate::container::limits::{is_critical, total};
use crate::pod::observed::Reason;
use crate::pod::{PodId, Role, everyone, members, spec};
use crate::volume::{Dirs, Source};
use walk::Walk;

/// Why a pod that takes too much fails.
pub const EVICTED: &str = "Evicted";

/// What a pod takes on disk, in bytes, by name.
#[derive(Debug, Default)]
pub struct Used {
    /// Its emptyDir volumes.
    pub volumes: BTreeMap<String, u64>,
    /// Its containers: logs, and what they wrote over their images.
    pub containers: BTreeMap<String, u64>,
    /// There was more than is looked at.
    pub cut: bool,
}

/// Whether there is a limit that the pod could exceed. Critical pods are not evicted.
pub fn is_limited(pod: &Pod) -> bool {
    !is_critical(pod) && (limit_of_all(pod) > 0 || on_disk(pod).any(|(_, size)| size.is_some()))
}

/// Why the pod is to be evicted, if it takes more than it may.
pub fn exceeded(pod: &Pod, used: &Used) -> Option<Reason> {
    let over = |limit: u64, used: Option<&u64>| used.is_some_and(|used| *used > limit);
    let evicted = |message: String| Some(Reason::new(EVICTED, message));
    for (volume, size) in on_disk(pod) {
        if size.is_some_and(|size| over(size, used.volumes.get(&volume.name))) {
            let limit = volume.empty_dir.as_ref().and_then(|empty| empty.size_limit.as_ref());
            let (name, limit) = (&volume.name, canonical(limit));
            return evicted(format!("Usage of EmptyDir volume {name:?} exceeds the limit \"{limit}\". "));
        }
    }
    let all = used.volumes.values().chain(used.containers.values()).sum();
    let limit = limit_of_all(pod);
    if limit > 0 && over(limit.unsigned_abs(), Some(&all)) {
        // A sum is written as its first part is.
        let first = members(pod).into_iter().find_map(|member| words(member.container));
        let format = first.and_then(|words| Quantity::parse(&words.0).ok()).map_or(Format::BinarySi, |q| q.format());
        let limit = Quantity::whole(limit, format);
        return evicted(format!("Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "));
    }
    for member in members(pod).into_iter().filter(|member| member.role == Role::App) {
        let (name, limit) = (&member.container.name, allowed(member.container));
        if limit > 0 && over(limit.unsigned_abs(), used.containers.get(name)) {
            let limit = canonical(words(member.container));
            return evicted(format!("Container {name} exceeded its local ephemeral storage limit \"{limit}\". "));
        }
    }
    None
}

/// Measures what the pod's limits speak of. `writable` is where its containers write over their images. Blocking.
pub fn measure(dirs: &Dirs, id: &PodId, pod: &Pod, writable: &BTreeMap<String, PathBuf>) -> Used {
    let (mut walk, mut used) = (Walk::new(), Used::default());
    let everything = limit_of_all(pod) > 0;
    for (volume, _) in on_disk(pod).filter(|(_, size)| everything || size.is_some()) {
        used.volumes.insert(volume.name.clone(), walk.folder(&dirs.volume(id, volume)));
    }
    if everything {
        for found in everyone(pod) {
            let name = &found.container.name;
            let written = writable.get(name).map_or(0, |folder| walk.folder(folder));
            used.containers.insert(name.clone(), written + walk.folder(&dirs.pod(id).join(name)));
        }
    }
    used.cut = walk.cut;
    used
}

/// The emptyDir volumes on disk, with their limits.
fn on_disk(pod: &Pod) -> impl Iterator<Item = (&Volume, Option<u64>)> {
    spec(pod).volumes.iter().flatten().filter_map(|volume| match Source::of(volume) {
        Source::Empty { memory: false, size } => Some((volume, size)),
        _ => None,
    })
}

/// What all containers together may take; 0 is no limit.
fn limit_of_all(pod: &Pod) -> i64 {
    total(pod, allowed)
}

fn allowed(container: &Container) -> i64 {
    units_of(container.resources.as_ref().and_then(|resources| resources.limits.as_ref()), RESOURCE)
}

fn words(container: &Container) -> Option<&Words> {
    container.resources.as_ref()?.limits.as_ref()?.get(RESOURCE)
}

const RESOURCE: &str = "ephemeral-storage";

fn canonical(words: Option<&Words>) -> String {
    let text = words.map(|words| words.0.as_str()).unwrap_or_default();
    Quantity::parse(text).map_or_else(|_| text.to_owned(), |quantity| quantity.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    /// Two volumes, the second one limited, and containers with these limits.
    fn with(size: &str, limits: &[&str]) -> Pod {
        let container =
            |(name, limit): (&str, &&str)| json!({"name": name, "resources": {"limits": {"ephemeral-storage": limit}}});
        let containers: Vec<Value> = ["a", "b"].into_iter().zip(limits).map(container).collect();
        pod(json!({
            "volumes": [
                {"name": "free", "emptyDir": {}},
                {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1"}},
                {"name": "v", "emptyDir": {"sizeLimit": size}}],
"containers": containers}))
    }

    /// What is used as `free v a b`, in KiB.
    #[track_caller]
    fn check(pod: &Pod, used: [u64; 4], want: &str) {
        let [free, v, a, b] = used.map(|kib| kib << 10);
        let own = |rows: [(&str, u64); 2]| rows.map(|(name, bytes)| (name.to_owned(), bytes)).into();
        let used = Used { volumes: own([("free", free), ("v", v)]), containers: own([("a", a), ("b", b)]), cut: false };
        assert_eq!(exceeded(pod, &used).map(|reason| reason.message).unwrap_or_default(), want);
    }

    #[test]
    fn the_first_limit_that_is_exceeded_is_told() {
        let volume = "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ";
        check(&with("1024Ki", &[]), [9999, 1024, 9999, 0], "");
        check(&with("1024Ki", &[]), [0, 1025, 0, 0], volume);
        check(&with("0", &[]), [0, 1025, 0, 0], "");
        let all = "Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. ";
        check(&with("1Mi", &["1Mi", "2Mi"]), [1024, 1024, 512, 512], "");
        check(&with("1Mi", &["1Mi", "2Mi"]), [1024, 1024, 512, 513], all);
        check(&with("1Mi", &["1Mi", "2Mi"]), [1024, 1025, 512, 512], volume);
        let one = "Container a exceeded its local ephemeral storage limit \"1Mi\". ";
        check(&with("1Mi", &["1Mi", "2Mi"]), [0, 0, 1025, 0], one);
        check(&with("1Mi", &["1Mi", "0"]), [0, 0, 0, 1025], &all.replace('3', "1"));
    }

    #[test]
    fn only_a_pod_with_a_limit_that_may_be_evicted_is_looked_at() {
        for (spec, want) in [
            (json!({"containers": [], "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b"}]}), false),
            (json!({"containers": [], "volumes": [{"name": "a", "emptyDir": {"sizeLimit": "1Gi"}}]}), true),
            (
                json!({"containers": [], "volumes": [{"name": "a", "emptyDir": {"sizeLimit": "1", "medium": "Memory"}}]}),
                false,
            ),
            (json!({"containers": [{"name": "a", "resources": {"limits": {"ephemeral-storage": "1"}}}]}), true),
            (json!({"containers": [{"name": "a", "resources": {"requests": {"ephemeral-storage": "1"}}}]}), false),
            (
                json!({"containers": [], "priority": 2_000_000_000, "volumes": [{"name": "a", "emptyDir": {"sizeLimit": "1"}}]}),
                false,
            ),
        ] {
            assert_eq!(is_limited(&pod(spec.clone())), want, "{spec}");
        }
    }

    #[test]
    fn what_a_limit_speaks_of_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let dirs = Dirs { state: folder.path().to_owned() };
        let id = PodId { namespace: "n".into(), name: "p".into(), uid: "u".into() };
        let own = |path: &str, bytes: usize| {
            let path = dirs.pod(&id).join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![1; bytes]).unwrap();
        };
        own(".pod/volumes/free/x", 1 << 20);
        own(".pod/volumes/v/x", 2 << 20);
        own("a/0.log", 4 << 20);
        own("upper/x", 8 << 20);
        let writable = BTreeMap::from([("a".to_owned(), dirs.pod(&id).join("upper"))]);
        // Folders take something themselves, but less than half of it.
        let mib = |bytes: &u64| (bytes + (1 << 19)) >> 20;
        let check = |pod: &Pod, volumes: &[(&str, u64)], containers: &[(&str, u64)]| {
            let used = measure(&dirs, &id, pod, &writable);
            let told = |all: &BTreeMap<String, u64>| -> Vec<(String, u64)> {
                all.iter().map(|(name, bytes)| (name.clone(), mib(bytes))).collect()
            };
            let want = |all: &[(&str, u64)]| -> Vec<(String, u64)> {
                all.iter().map(|(name, mib)| ((*name).to_owned(), *mib)).collect()
            };
            assert_eq!((told(&used.volumes), told(&used.containers)), (want(volumes), want(containers)));
        };
        check(&with("1Gi", &[]), &[("v", 2)], &[]);
        check(&with("1Gi", &["1Gi", "0"]), &[("free", 1), ("v", 2)], &[("a", 12), ("b", 0)]);
    }
}
