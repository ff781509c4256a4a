//! Sandboxes, from the daemon's side.
//!
//! In: the node's words. Out: pinned namespaces, made by an operation; removed here. The folder is the only record.

use std::fs;
use std::io;
use std::sync::Arc;

use kedge_api::machine::{Sandbox, SandboxSpec, Stats};

use super::{OPERATION_LIMIT, Runtime, not_found};
use crate::clear;
use crate::error::{Result, RuntimeError};
use crate::layout::{self, Layout};
use crate::operation::{Reply, Request};
use crate::sys;
use crate::wire::Kind;

/// The kernel's name of the file system that pinned namespaces are.
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// Longest host name the kernel takes.
const LONGEST_HOSTNAME: usize = 64;

impl Runtime {
    /// Makes a pod's sandbox. One that is there and whole is returned. On an error nothing of it is left.
    pub async fn create_sandbox(&self, spec: SandboxSpec) -> Result<Sandbox> {
        check(&spec)?;
        let uid = spec.pod_uid.clone();
        let _gate = self.inner.gates.enter("sandbox", &uid).await;
        if let Some(sandbox) = whole(&self.inner.layout, &uid) {
            return Ok(sandbox);
        }
        self.clear_sandbox(&uid).await?;
        let made = self.make_sandbox(spec).await;
        if made.is_err()
            && let Err(left) = self.clear_sandbox(&uid).await
        {
            tracing::error!(pod = uid, %left, "a failed sandbox left something");
        }
        made
    }

    async fn make_sandbox(&self, spec: SandboxSpec) -> Result<Sandbox> {
        let id = spec.pod_uid.clone();
        let failed = |cause: String| RuntimeError::Sandbox { id: id.clone(), cause };
        let work = async {
            // What the daemon needs to take it away again comes before what it would have to take away.
            let folder = self.inner.layout.pod(&id);
            fs::create_dir_all(&folder)
                .and_then(|()| fs::write(folder.join("cgroup"), &spec.cgroup))
                .map_err(|error| failed(format!("make {}: {error}", folder.display())))?;
            let _permit = self.inner.operations.acquire().await.map_err(|error| failed(error.to_string()))?;
            let request =
                Request { layout: self.inner.layout.clone(), cgroups: self.inner.cgroups.clone(), want: &spec };
            let begun = self.inner.link.begin(Kind::Sandbox, &request, &[]).await;
            match begun.map_err(|error| failed(error.to_string()))?.1 {
                Reply::Sandbox(sandbox) => Ok(sandbox),
                Reply::Failed(cause) => Err(failed(cause)),
                other => Err(failed(format!("unexpected answer {other:?}"))),
            }
        };
        let late = RuntimeError::Timeout { act: "create sandbox", id: id.clone(), limit: OPERATION_LIMIT };
        tokio::time::timeout(OPERATION_LIMIT, work).await.unwrap_or(Err(late))
    }

    /// Removes a pod's namespaces, cgroup and what still runs in it. Removing none is no error.
    pub async fn remove_sandbox(&self, pod_uid: &str) -> Result<()> {
        layout::name("pod", pod_uid)?;
        let _gate = self.inner.gates.enter("sandbox", pod_uid).await;
        self.clear_sandbox(pod_uid).await
    }

    /// Every sandbox that is whole.
    pub async fn sandboxes(&self) -> Vec<Sandbox> {
        let layout = &self.inner.layout;
        let names = clear::names(&layout.pods());
        names.iter().filter_map(|uid| whole(layout, uid)).collect()
    }

    /// What a pod uses, all its containers together.
    pub async fn sandbox_stats(&self, pod_uid: &str) -> Result<Stats> {
        let layout = &self.inner.layout;
        let cgroup = clear::sandbox_cgroup(layout, pod_uid).ok_or_else(|| not_found("sandbox", pod_uid))?;
        let stats = self.inner.cgroups.stats(&layout.cgroup(&cgroup));
        stats.map_err(|error| RuntimeError::failed("measure sandbox", pod_uid, error))
    }

    async fn clear_sandbox(&self, uid: &str) -> Result<()> {
        let (inner, name) = (Arc::clone(&self.inner), uid.to_owned());
        let cleared = tokio::task::spawn_blocking(move || clear::sandbox(&inner.layout, &inner.cgroups, &name)).await;
        cleared
            .map_err(io::Error::other)
            .and_then(|cleared| cleared)
            .map_err(|error| RuntimeError::failed("remove sandbox", uid, error))
    }
}

/// The sandbox in a folder, if it was finished and its namespaces are still pinned.
pub fn whole(layout: &Layout, uid: &str) -> Option<Sandbox> {
    let bytes = fs::read(layout.pod(uid).join("sandbox.json")).ok()?;
    let sandbox: Sandbox = serde_json::from_slice(&bytes).ok()?;
    let pinned = |path: &std::path::PathBuf| sys::filesystem(path).is_ok_and(|magic| magic == NSFS_MAGIC);
    let all = [&sandbox.network, &sandbox.ipc, &sandbox.uts];
    let whole = all.into_iter().flatten().all(pinned);
    whole.then_some(sandbox)
}

fn check(spec: &SandboxSpec) -> Result<()> {
    layout::name("pod", &spec.pod_uid)?;
    layout::relative("cgroup", &spec.cgroup)?;
    if spec.hostname.len() > LONGEST_HOSTNAME {
        return Err(RuntimeError::Input {
            what: "host name",
            value: spec.hostname.clone(),
            rule: "must have at most 64 bytes",
        });
    }
    Ok(())
}
