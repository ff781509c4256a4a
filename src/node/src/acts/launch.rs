//! Makes and starts one container.
//!
//! In: the pod, the container, its image, the run that was decided. Out: running, not made (with a waiting reason), or
//! made but not started.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::SystemTime;

use k8s_openapi::api::core::v1::{Container, Pod};
use kedge_api::machine::{ContainerSpec, ImageInfo, LogFile, Mount, MountSource, Propagation};

use crate::admit;
use crate::container::{Parts, compose, env, security};
use crate::events::{About, Level};
use crate::pod::observed::{Reason, Run, SandboxFacts};
use crate::pod::{PodId, Role, spec};
use crate::port::{ImageFault, Kind, RuntimeFault};
use crate::shared::Shared;
use crate::volume::effects::container_mounts;

/// A container to be started.
pub(crate) struct Launch {
    pub id: PodId,
    /// The pod, with its addresses in its status.
    pub pod: Arc<Pod>,
    pub container: Container,
    pub role: Role,
    pub image: ImageInfo,
    pub sandbox: SandboxFacts,
    pub run: Run,
    /// Whose processes it sees beside its own.
    pub target: Option<Target>,
}

/// The container that an ephemeral one is to look at.
pub(crate) struct Target {
    /// Its name.
    pub name: String,
    /// Its run, if it runs.
    pub run: Option<String>,
}

/// What came of it.
pub(crate) enum Launched {
    /// Its process runs.
    Running(SystemTime),
    /// Nothing was made.
    Refused(Reason),
    /// It was made and is removed again; its program could not be started.
    NotStarted(String),
}

/// Makes and starts a container.
pub(crate) async fn launch(shared: Arc<Shared>, launch: Launch) -> Launched {
    let about = About::Container(launch.id.clone(), launch.container.name.clone(), launch.role);
    let fail = |reason: &str, message: &str| {
        let text = format!("Error: {message}");
        shared.events.tell(about.clone(), Level::Warning, reason, text);
    };
    let began = shared.clock.mono();
    let spec = match prepare(&shared, &launch).await {
        Ok(spec) => spec,
        Err(reason) => {
            fail("Failed", &reason.message);
            return Launched::Refused(reason);
        }
    };
    // The semaphore is never closed.
    let _turn = shared.starts.acquire().await;
    if let Err(fault) = shared.runtime.create(spec).await {
        let message = fault.to_string();
        fail("Failed", &message);
        // What was half made must not stay.
        let _ = shared.runtime.remove(&launch.run.id).await;
        if let RuntimeFault::Start(message) = fault {
            return Launched::NotStarted(message);
        }
        return Launched::Refused(Reason::new("CreateContainerError", message));
    }
    let normal = |reason: &str, text: &str| {
        shared.events.tell(about.clone(), Level::Normal, reason, text);
    };
    normal("Created", "Container created");
    match shared.runtime.start(&launch.run.id).await {
        Ok(started) => {
            normal("Started", "Container started");
            shared.metrics.container_started(shared.clock.mono() - began);
            Launched::Running(started.at)
        }
        Err(fault) => {
            let message = match fault {
                RuntimeFault::Start(message) => message,
                other => other.to_string(),
            };
            fail("Failed", &message);
            let _ = shared.runtime.remove(&launch.run.id).await;
            Launched::NotStarted(message)
        }
    }
}

fn config_error(message: impl ToString) -> Reason {
    Reason::new("CreateContainerConfigError", message.to_string())
}

async fn prepare(shared: &Arc<Shared>, launch: &Launch) -> Result<ContainerSpec, Reason> {
    let Launch { id, pod, container, .. } = launch;
    if launch.role == Role::Ephemeral && admit::wants_app_armor(container) {
        return Err(config_error("Cannot enforce AppArmor: AppArmor is not supported by this node"));
    }
    let pid_of = match &launch.target {
        None => None,
        Some(Target { run: Some(run), .. }) => Some(run.clone()),
        Some(Target { name, run: None }) => {
            return Err(config_error(format!("unable to find target container \"{name}\"")));
        }
    };
    let sources = shared.sources.fetch(&id.namespace, env::references(container)).await.map_err(config_error)?;
    let context =
        env::Context { pod, sources: &sources, services: services(shared, pod).await, allocatable: shared.allocatable };
    let env = env::environment(container, &launch.image.config.env, &context)?;
    let image_user = &launch.image.config.user;
    let text = security::user_text(pod, container, image_user);
    let user = match shared.puller.images().resolve_user(&launch.image, &text).await {
        Ok(user) => security::with_groups(pod, user),
        Err(ImageFault::User(message)) => {
            return Err(Reason::new("CreateContainerError", message));
        }
        Err(fault) => return Err(config_error(fault)),
    };
    security::check_non_root(id, pod, container, image_user, &user)?;
    let mounts = {
        let (shared, id, pod) = (shared.clone(), id.clone(), pod.clone());
        let (container, env, attempt) = (container.clone(), env.clone(), launch.run.attempt);
        let work = move || mounts(&shared, &id, &pod, &container, &env, attempt);
        match tokio::task::spawn_blocking(work).await {
            Ok(mounts) => mounts?,
            Err(error) => return Err(config_error(error)),
        }
    };
    compose(Parts {
        pod,
        container,
        image: &launch.image,
        id: launch.run.id.clone(),
        sandbox: launch.sandbox.sandbox.clone(),
        pid_of,
        env,
        user,
        mounts,
        log: LogFile {
            path: shared.dirs.log(id, &container.name, launch.run.attempt),
            max_bytes: shared.config.log_max_bytes,
            max_files: shared.config.log_max_files,
        },
        machine_memory: i64::try_from(shared.facts.memory_bytes).unwrap_or(i64::MAX),
        seccomp_dir: shared.config.seccomp_dir.clone(),
    })
}

/// Variables for the services of the pod's namespace and for the API's own.
async fn services(shared: &Shared, pod: &Pod) -> Vec<(String, String)> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut all = Vec::new();
    if spec(pod).enable_service_links != Some(false) {
        // Without the list a container still runs; links are a courtesy.
        all = shared.api.list(Kind::Service, Some(namespace)).await.unwrap_or_default();
    }
    let own = |service: &serde_json::Value| {
        service["metadata"]["name"] == "kubernetes" && service["metadata"]["namespace"] == "default"
    };
    if !all.iter().any(own)
        && let Ok(service) = shared.api.get(Kind::Service, Some("default"), "kubernetes").await
    {
        all.push(service);
    }
    env::service_variables(&all)
}

/// All mounts of a container: volumes, then the files of the pod that no volume takes the place of.
fn mounts(
    shared: &Shared,
    id: &PodId,
    pod: &Pod,
    container: &Container,
    env: &[(String, String)],
    attempt: u32,
) -> Result<Vec<Mount>, Reason> {
    let dirs = &shared.dirs;
    let mut all = container_mounts(dirs, id, pod, container, env, shared.mounts.as_ref())?;
    let taken = |all: &[Mount], target: &str| {
        let trimmed = |text: &str| text.trim_end_matches('/').to_owned();
        all.iter().any(|mount| trimmed(&mount.target) == trimmed(target))
    };
    let file = |target: &str, path| Mount {
        target: target.into(),
        source: MountSource::Bind(path),
        read_only: false,
        propagation: Propagation::Private,
    };
    for name in ["hosts", "hostname", "resolv.conf"] {
        let target = format!("/etc/{name}");
        let path = dirs.etc(id, name);
        if !taken(&all, &target) && path.exists() {
            all.push(file(&target, path));
        }
    }
    let words = container.termination_message_path.as_deref();
    let words = words.filter(|path| !path.is_empty()).unwrap_or("/dev/termination-log");
    let path = dirs.last_words(id, &container.name, attempt);
    let log = dirs.log(id, &container.name, attempt);
    let make = || -> io::Result<()> {
        for file in [&path, &log] {
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
        }
        fs::write(&path, "")?;
        // Whoever the container runs as may leave its last words.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))
    };
    make().map_err(config_error)?;
    forget_old_runs(shared, id, &container.name, attempt);
    if !taken(&all, words) {
        all.push(file(words, path));
    }
    Ok(all)
}

/// Only this run's and the previous run's log and words are kept.
fn forget_old_runs(shared: &Shared, id: &PodId, container: &str, attempt: u32) {
    let Some(old) = attempt.checked_sub(2) else {
        return;
    };
    let _ = fs::remove_file(shared.dirs.last_words(id, container, old));
    let log = shared.dirs.log(id, container, old);
    let (Some(folder), Some(name)) = (log.parent(), log.file_name()) else {
        return;
    };
    let prefix = name.to_string_lossy().into_owned();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
