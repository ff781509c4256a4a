//! The daemon's handle on everything that runs.
//!
//! In: the node agent's words. Out: sandboxes, containers, states, events. One task waits for ends of containers and of
//! the zygote; everything else runs in the caller's. Never runs libcontainer: operations do, in forks of the zygote.
//!
//! Guarantees: acts on one container or sandbox come one after the other; a failed create leaves nothing; what is
//! reported as running has been seen running. Assumptions: nobody else uses the state folder or the cgroup parent.

mod adopt;
mod ahead;
mod attach;
mod exec;
mod known;
mod sandboxes;

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kedge_api::machine::{ContainerSpec, ContainerState, ContainerStatus, Exit, RuntimeEvent, Started, Stats};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, broadcast};

use crate::cgroup::Cgroups;
use crate::clear;
use crate::error::{Result, RuntimeError};
use crate::exits::Exits;
use crate::layout::{self, Layout};
use crate::life::{self, Process, Processes};
use crate::link::Link;
use crate::operation::{Reply, Request};
use crate::sys;
use crate::wire::Kind;
use crate::zygote::Zygote;

use ahead::Ahead;
pub use attach::{AttachResize, AttachSession};
pub use exec::{ExecExit, ExecSession, Resize};
use known::{Gates, KnownContainers, State};

/// Operations at a time: each is a process with a few hundred KiB of its own, and most of its time is the kernel's.
const OPERATIONS: usize = 16;

/// Events that a slow listener may be behind; one for each of a device's containers, several times over.
const EVENTS: usize = 1024;

/// An SD card under load takes seconds; minutes mean that something is stuck.
const OPERATION_LIMIT: Duration = Duration::from_secs(120);

/// From the request to start until the program is executed.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Where a runtime keeps its things. Two runtimes on one machine differ in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// Its state folder, absolute; on a disk or in memory.
    pub state_dir: PathBuf,
    /// Parent of its cgroups, relative to the root of the hierarchy, e.g. `kedge/site-1`.
    pub cgroup_parent: String,
}

/// A handle; clones are the same runtime. The last one that is dropped stops watching, containers go on.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
    _keeper: Arc<Keeper>,
}

struct Inner {
    layout: Layout,
    cgroups: Cgroups,
    link: Link,
    exits: Exits,
    known: KnownContainers,
    gates: Gates,
    operations: Semaphore,
    events: broadcast::Sender<RuntimeEvent>,
}

/// The task that waits for ends.
struct Keeper(tokio::task::JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Removes everything of a state folder and cgroup parent; needs no zygote and no runtime. Blocks.
pub fn cleanup(options: &RuntimeOptions) -> Result<()> {
    let layout = Layout::new(&options.state_dir, &options.cgroup_parent)?;
    Cgroups::find()
        .and_then(|cgroups| clear::everything(&layout, &cgroups))
        .map_err(|error| RuntimeError::failed("clean up", options.state_dir.display().to_string(), error))
}

impl Runtime {
    /// Adopts what is in the state folder and begins to watch it.
    pub async fn connect(zygote: Zygote, options: RuntimeOptions) -> Result<Self> {
        let layout = Layout::new(&options.state_dir, &options.cgroup_parent)?;
        let failed =
            |error: io::Error| RuntimeError::failed("connect to", options.state_dir.display().to_string(), error);
        let cgroups = Cgroups::find().map_err(failed)?;
        cgroups.prepare(Path::new(&layout.cgroup_parent)).map_err(failed)?;
        let (events, _) = broadcast::channel(EVENTS);
        let inner = Arc::new(Inner {
            exits: Exits::new().map_err(failed)?,
            link: Link::new(zygote),
            known: KnownContainers::default(),
            gates: Gates::default(),
            operations: Semaphore::new(OPERATIONS),
            events,
            layout,
            cgroups,
        });
        let adopting = Arc::clone(&inner);
        let adopted = tokio::task::spawn_blocking(move || adopt::all(&adopting)).await;
        adopted.map_err(io::Error::other).and_then(|adopted| adopted).map_err(failed)?;
        let keeper = tokio::spawn(keep(Arc::clone(&inner)));
        Ok(Self { inner, _keeper: Arc::new(Keeper(keeper)) })
    }

    /// What happens from now on. A listener that is too slow misses the oldest and is told so; `containers` has the truth.
    pub fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.inner.events.subscribe()
    }

    /// Makes a container that is ready to be started. On an error nothing of it is left. A program that is not there is
    /// found here, and is an error of starting.
    pub async fn create(&self, spec: ContainerSpec) -> Result<()> {
        let inner = &self.inner;
        let id = spec.id.clone();
        check(&spec)?;
        let _gate = inner.gates.enter("container", &id).await;
        if inner.known.get(&id).is_some() {
            return Err(RuntimeError::Exists { id });
        }
        let (pod_uid, cgroup) = (spec.pod_uid.clone(), inner.layout.cgroup(&spec.cgroup));
        let ahead = Ahead::of(inner, &spec);
        let ahead = tokio::task::spawn_blocking(move || ahead.make());
        let made = self.create_process(spec).await;
        // Nothing is made any more when it may be taken away.
        let _ = ahead.await;
        match made {
            Ok(processes) => {
                inner.known.put(&id, &pod_uid, State::Created(processes));
                if let Err(error) = inner.watch(&id, processes.waiter) {
                    self.clear_container(&id).await?;
                    inner.known.forget(&id);
                    return Err(RuntimeError::failed("watch container", id, error));
                }
                Ok(())
            }
            Err(error) => {
                let cleared = self.clear_container(&id).await.map_err(|left| left.to_string());
                // An operation that failed at once has not written down which one it is.
                let removed = inner.cgroups.remove(&cgroup).map_err(|left| left.to_string());
                if let Err(left) = cleared.and(removed) {
                    tracing::error!(container = id, %left, "a failed create left something");
                }
                Err(error)
            }
        }
    }

    async fn create_process(&self, spec: ContainerSpec) -> Result<Processes> {
        let id = spec.id.clone();
        let create = |cause: String| RuntimeError::Create { id: id.clone(), cause };
        let work = async {
            let _permit = self.inner.operations.acquire().await.map_err(|error| create(error.to_string()))?;
            let request =
                Request { layout: self.inner.layout.clone(), cgroups: self.inner.cgroups.clone(), want: &spec };
            let begun = self.inner.link.begin(Kind::Create, &request, &[]).await;
            let (mut operation, mut reply) = begun.map_err(|error| create(error.to_string()))?;
            let mut made;
            // The stream ends when the waiter has begun; until then something may still fail.
            loop {
                match reply {
                    Reply::Created { init, waiter } => made = (init, waiter),
                    Reply::Failed(cause) => return Err(create(cause)),
                    Reply::NoProgram(cause) => return Err(RuntimeError::Start { id: id.clone(), cause }),
                    other => return Err(create(format!("unexpected answer {other:?}"))),
                }
                match operation.reply().await.map_err(|error| create(error.to_string()))? {
                    Some(next) => reply = next,
                    None => break,
                }
            }
            let process = |(pid, born)| Process { pid, born };
            Ok(Processes { init: process(made.0), waiter: process(made.1) })
        };
        let late = RuntimeError::Timeout { act: "create container", id: id.clone(), limit: OPERATION_LIMIT };
        tokio::time::timeout(OPERATION_LIMIT, work).await.unwrap_or(Err(late))
    }

    /// Starts a made container. An error is what kept its program from being executed.
    pub async fn start(&self, id: &str) -> Result<Started> {
        let _gate = self.inner.gates.enter("container", id).await;
        let processes = match self.inner.known.state(id)? {
            State::Created(processes) => processes,
            other => return Err(other.refuse("start", id)),
        };
        let at = SystemTime::now();
        let start = |cause: String| RuntimeError::Start { id: id.to_owned(), cause };
        let late = RuntimeError::Timeout { act: "start container", id: id.to_owned(), limit: START_LIMIT };
        let answer = tokio::time::timeout(START_LIMIT, self.ask_to_start(id, at)).await.map_err(|_| late)?;
        match answer.map_err(|error| start(error.to_string()))? {
            cause if cause.is_empty() => {
                self.inner.known.started(id, processes, at);
                Ok(Started { pid: processes.init.pid, at })
            }
            cause => Err(start(cause)),
        }
    }

    /// Tells the waiting first process; answers what it says before its program takes over: nothing, or why not.
    async fn ask_to_start(&self, id: &str, at: SystemTime) -> io::Result<String> {
        // The name of a socket has at most 108 bytes: it is reached through its folder's descriptor.
        let folder = std::fs::File::open(self.inner.layout.container(id).folder)?;
        let mut stream = UnixStream::connect(format!("/proc/self/fd/{}/start.sock", folder.as_raw_fd())).await?;
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut time = [0; 12];
        time[..8].copy_from_slice(&since.as_secs().to_le_bytes());
        time[8..].copy_from_slice(&since.subsec_nanos().to_le_bytes());
        stream.write_all(&time).await?;
        let mut cause = String::new();
        stream.read_to_string(&mut cause).await?;
        Ok(cause)
    }

    /// Sends a signal to the container's first process. One that has ended is no error.
    pub async fn signal(&self, id: &str, signal: i32) -> Result<()> {
        let init = match self.inner.known.state(id)? {
            State::Created(processes) | State::Running { processes, .. } => processes.init,
            State::Exited(_) | State::Lost => return Ok(()),
        };
        let sent = sys::open_process(init).and_then(|pidfd| match pidfd {
            Some(pidfd) => sys::pidfd_signal(std::os::fd::AsFd::as_fd(&pidfd), signal),
            None => Ok(()),
        });
        match sent {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other.map_err(|error| RuntimeError::failed("signal container", id, error)),
        }
    }

    /// Kills if needed and removes everything of it but its log. Removing none is no error.
    pub async fn remove(&self, id: &str) -> Result<()> {
        layout::name("container", id)?;
        let _gate = self.inner.gates.enter("container", id).await;
        self.clear_container(id).await?;
        self.inner.known.forget(id);
        Ok(())
    }

    async fn clear_container(&self, id: &str) -> Result<()> {
        let (inner, name) = (Arc::clone(&self.inner), id.to_owned());
        let cleared = tokio::task::spawn_blocking(move || clear::container(&inner.layout, &inner.cgroups, &name)).await;
        cleared
            .map_err(io::Error::other)
            .and_then(|cleared| cleared)
            .map_err(|error| RuntimeError::failed("remove container", id, error))
    }

    /// Every container that is known, with how it stands.
    pub async fn containers(&self) -> Vec<ContainerStatus> {
        self.inner.known.all()
    }

    /// How one container stands.
    pub async fn status(&self, id: &str) -> Result<ContainerStatus> {
        self.inner.known.status(id)
    }

    /// What a container uses.
    pub async fn stats(&self, id: &str) -> Result<Stats> {
        let known = self.inner.known.get(id).ok_or_else(|| not_found("container", id))?;
        if !matches!(known.state, State::Created(_) | State::Running { .. }) {
            return Err(known.state.refuse("measure", id));
        }
        let spec = clear::saved_spec(&self.inner.layout, id).ok_or_else(|| not_found("container", id))?;
        let stats = self.inner.cgroups.stats(&self.inner.layout.cgroup(&spec.cgroup));
        stats.map_err(|error| RuntimeError::failed("measure container", id, error))
    }

    /// The folder of what a container writes over its image; there is none if it may not.
    pub fn writable(&self, pod_uid: &str, id: &str) -> PathBuf {
        self.inner.layout.writable_of(pod_uid, id)
    }

    /// Removes every container and sandbox, and all cgroups below the parent.
    pub async fn cleanup_all(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        let cleared = tokio::task::spawn_blocking(move || clear::everything(&inner.layout, &inner.cgroups)).await;
        cleared
            .map_err(io::Error::other)
            .and_then(|cleared| cleared)
            .map_err(|error| RuntimeError::failed("clean up", self.inner.layout.state.display().to_string(), error))?;
        self.inner.known.forget_all();
        Ok(())
    }

    /// Why no container can be made now: the zygote is lost and cannot be made again yet. Containers go on.
    pub fn fault(&self) -> Option<String> {
        self.inner.link.fault()
    }

    /// The zygote's process ID.
    pub async fn zygote_pid(&self) -> i32 {
        self.inner.link.pid().await
    }
}

impl Inner {
    /// Waits for a waiter's end from now on. One that has ended already is found at once.
    fn watch(&self, id: &str, waiter: Process) -> io::Result<()> {
        match sys::open_process(waiter)? {
            Some(pidfd) => self.exits.watch(pidfd, id),
            None => {
                self.ended(id);
                Ok(())
            }
        }
    }

    /// Reads what the waiter left and tells everybody.
    fn ended(&self, id: &str) {
        let Some(known) = self.known.get(id) else {
            return;
        };
        let (State::Created(processes) | State::Running { processes, .. }) = known.state else {
            return;
        };
        let text = std::fs::read_to_string(self.layout.container(id).life()).unwrap_or_default();
        let (exit, began) = match life::ending(&text) {
            Some(ending) => {
                if ending.dropped > 0 {
                    tracing::warn!(container = id, lines = ending.dropped, "log lines were lost: no space on the disk");
                }
                (ending.exit, ending.began)
            }
            None => {
                tracing::error!(container = id, "its waiter was killed; it is ended");
                self.end_unheld(id, processes.init);
                (killed(&known.state), true)
            }
        };
        self.known.exited(id, exit.clone());
        if began {
            // Nobody listening is no fault: the state is kept.
            let _ = self.events.send(RuntimeEvent::Exited { id: id.to_owned(), pod_uid: known.pod_uid, exit });
        }
    }

    /// A container without a waiter can't be told from a healthy one by anybody: it ends.
    fn end_unheld(&self, id: &str, init: Process) {
        let cgroup = clear::saved_spec(&self.layout, id).map(|spec| self.layout.cgroup(&spec.cgroup));
        let ended = cgroup
            .map_or(Ok(()), |cgroup| clear::kill_all(&self.cgroups, &cgroup))
            .and_then(|()| clear::end(init, Duration::ZERO));
        if let Err(error) = ended {
            tracing::error!(container = id, %error, "what its waiter left can't be ended");
        }
    }
}

/// Ends of containers and of the zygote, for as long as there is a handle.
async fn keep(inner: Arc<Inner>) {
    let ends = async {
        loop {
            match inner.exits.next().await {
                Ok(ended) => ended.iter().for_each(|id| inner.ended(id)),
                Err(error) => {
                    tracing::error!(%error, "ends of containers can't be watched");
                    return;
                }
            }
        }
    };
    let zygotes = async {
        loop {
            inner.link.regain().await;
            let _ = inner.events.send(RuntimeEvent::ZygoteRestarted);
        }
    };
    tokio::join!(ends, zygotes);
}

/// What is known of a container whose waiter was killed: it was killed with it.
fn killed(state: &State) -> Exit {
    let finished = SystemTime::now();
    Exit {
        code: 128 + libc::SIGKILL,
        signal: Some(libc::SIGKILL),
        oom_killed: false,
        started: match state {
            State::Running { started, .. } => *started,
            _ => finished,
        },
        finished,
    }
}

fn not_found(what: &'static str, id: &str) -> RuntimeError {
    RuntimeError::NotFound { what, id: id.to_owned() }
}

/// Refuses what can't be a container before anything is made.
fn check(spec: &ContainerSpec) -> Result<()> {
    let refuse = |what, value: &str, rule| Err(RuntimeError::Input { what, value: value.to_owned(), rule });
    layout::name("container", &spec.id)?;
    spec.pid_of.as_deref().map_or(Ok(()), |other| layout::name("container", other))?;
    layout::name("pod", &spec.pod_uid)?;
    layout::relative("cgroup", &spec.cgroup)?;
    if spec.args.is_empty() {
        return refuse("arguments", "", "must name a program");
    }
    if !spec.log.path.is_absolute() || spec.log.path.file_name().is_none() {
        return refuse("log", &spec.log.path.display().to_string(), "must be an absolute path of a file");
    }
    if !spec.cwd.is_empty() && !spec.cwd.starts_with('/') {
        return refuse("working directory", &spec.cwd, "must be absolute");
    }
    if let Some(mount) = spec.mounts.iter().find(|mount| !mount.target.starts_with('/')) {
        return refuse("mount target", &mount.target, "must be absolute");
    }
    Ok(())
}

impl From<&State> for ContainerState {
    fn from(state: &State) -> Self {
        match state {
            State::Created(_) => Self::Created,
            State::Running { processes, started } => Self::Running { pid: processes.init.pid, started: *started },
            State::Exited(exit) => Self::Exited(exit.clone()),
            State::Lost => Self::Lost,
        }
    }
}
