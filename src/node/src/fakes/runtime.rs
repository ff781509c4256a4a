//! A container runtime in memory: what starts runs until it is signalled, or ends as its script says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use kedge_api::machine::{
    ContainerSpec, ContainerState, ContainerStatus, ExecSpec, Exit, RuntimeEvent, Sandbox, SandboxSpec, Started, Stats,
};
use tokio::sync::watch;

use crate::port::{Clock as _, ExecSession, Runtime, RuntimeFault};

use super::FakeClock;

/// What containers of one image name or first argument do.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Script {
    /// Ends by itself after so long with this code.
    pub exits: Option<(Duration, i32)>,
    /// Pays no heed to SIGTERM.
    pub stubborn: bool,
    /// Cannot be made.
    pub create_fault: Option<String>,
    /// Cannot be started.
    pub start_fault: Option<String>,
    /// Exit codes of the commands that are run in it; others end with 0.
    pub exec_codes: BTreeMap<String, i32>,
    /// No command can be run in it.
    pub exec_fault: Option<String>,
    /// How long it takes to be forgotten.
    pub removal: Duration,
}

/// The runtime.
pub struct FakeRuntime {
    clock: FakeClock,
    state: std::sync::Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    sandboxes: BTreeMap<String, (SandboxSpec, Sandbox)>,
    containers: BTreeMap<String, (ContainerSpec, ContainerState)>,
    scripts: BTreeMap<String, Script>,
    calls: Vec<String>,
    listeners: Vec<tokio::sync::mpsc::UnboundedSender<RuntimeEvent>>,
    sandbox_fault: Option<String>,
    down: Option<String>,
    pids: i32,
}

impl FakeRuntime {
    /// A runtime on that clock.
    pub fn new(clock: FakeClock) -> Self {
        Self { clock, state: std::sync::Arc::new(Shared { state: Mutex::default(), changed: watch::channel(0).0 }) }
    }

    /// Containers whose first argument is `program` follow this script from now on.
    pub fn script(&self, program: &str, script: Script) {
        self.lock().scripts.insert(program.into(), script);
    }

    /// The next sandbox cannot be made.
    pub fn fail_sandbox(&self, message: &str) {
        self.lock().sandbox_fault = Some(message.into());
    }

    /// No container can be made, or again can.
    pub fn break_down(&self, why: Option<&str>) {
        self.lock().down = why.map(str::to_owned);
    }

    /// What was asked, in order: `create ID`, `start ID`, `signal ID 15`, `exec ID cmd`, `remove ID` and so on.
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    /// Every container with its words and state.
    pub fn all(&self) -> Vec<(ContainerSpec, ContainerState)> {
        self.lock().containers.values().cloned().collect()
    }

    /// Ends a container from outside.
    pub fn end(&self, id: &str, code: i32, oom_killed: bool) {
        self.state.end(id, code, None, oom_killed, self.clock.wall());
    }

    /// The power is cut: every process and namespace is gone.
    pub fn power_cut(&self) {
        let mut state = self.lock();
        state.sandboxes.clear();
        for (_, container) in state.containers.values_mut() {
            if matches!(container, ContainerState::Running { .. }) {
                *container = ContainerState::Lost;
            }
        }
        state.listeners.clear();
    }

    /// Ends a container without a word, and then tells that the zygote was lost.
    pub fn end_in_silence(&self, id: &str, code: i32) {
        let listeners = std::mem::take(&mut self.lock().listeners);
        self.end(id, code, false);
        for listener in &listeners {
            // A listener that is gone hears nothing.
            let _ = listener.send(RuntimeEvent::ZygoteRestarted);
        }
        self.lock().listeners = listeners;
    }

    /// Ends a container while nobody listens, as when the daemon is down.
    pub fn end_unheard(&self, id: &str, code: i32) {
        self.lock().listeners.clear();
        self.end(id, code, false);
    }

    /// Waits until a look at the runtime is as wanted.
    pub async fn until(&self, look: impl Fn(&Self) -> bool) {
        let mut changed = self.state.changed.subscribe();
        while !look(self) {
            // The sender lives as long as `self`.
            let _ = changed.changed().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock()
    }

    fn call(&self, text: String) {
        self.lock().calls.push(text);
        self.state.changed.send_modify(|count| *count += 1);
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, id: &str, code: i32, signal: Option<i32>, oom_killed: bool, wall: SystemTime) {
        let mut state = self.lock();
        let Some((spec, container)) = state.containers.get_mut(id) else {
            return;
        };
        let ContainerState::Running { started, .. } = *container else {
            return;
        };
        let exit = Exit { code, signal, oom_killed, started, finished: wall };
        *container = ContainerState::Exited(exit.clone());
        let event = RuntimeEvent::Exited { id: id.into(), pod_uid: spec.pod_uid.clone(), exit };
        state.listeners.retain(|listener| listener.send(event.clone()).is_ok());
        drop(state);
        self.changed.send_modify(|count| *count += 1);
    }
}

fn script_of(state: &State, spec: &ContainerSpec) -> Script {
    let program = spec.args.first().map_or("", String::as_str);
    state.scripts.get(program).cloned().unwrap_or_default()
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn create_sandbox(&self, spec: SandboxSpec) -> Result<Sandbox, RuntimeFault> {
        self.call(format!("sandbox {}", spec.pod_uid));
        let mut state = self.lock();
        if let Some(message) = state.sandbox_fault.take() {
            return Err(RuntimeFault::Other(message));
        }
        let uid = spec.pod_uid.clone();
        let path = |kind: &str| Some(format!("/ns/{uid}/{kind}").into());
        let sandbox = Sandbox {
            pod_uid: uid.clone(),
            network: if spec.host_network { None } else { path("net") },
            ipc: path("ipc"),
            uts: path("uts"),
        };
        state.sandboxes.insert(uid, (spec, sandbox.clone()));
        Ok(sandbox)
    }

    async fn remove_sandbox(&self, pod_uid: &str) -> Result<(), RuntimeFault> {
        self.call(format!("unsandbox {pod_uid}"));
        self.lock().sandboxes.remove(pod_uid);
        Ok(())
    }

    async fn sandboxes(&self) -> Result<Vec<Sandbox>, RuntimeFault> {
        let state = self.lock();
        Ok(state.sandboxes.values().map(|(_, s)| s.clone()).collect())
    }

    async fn create(&self, spec: ContainerSpec) -> Result<(), RuntimeFault> {
        self.call(format!("create {}", spec.id));
        let mut state = self.lock();
        if let Some(message) = script_of(&state, &spec).create_fault {
            return Err(RuntimeFault::Create(message));
        }
        let id = spec.id.clone();
        state.containers.insert(id, (spec, ContainerState::Created));
        Ok(())
    }

    async fn start(&self, id: &str) -> Result<Started, RuntimeFault> {
        self.call(format!("start {id}"));
        let mut state = self.lock();
        state.pids += 1;
        let pid = state.pids;
        let Some((spec, _)) = state.containers.get(id).cloned() else {
            return Err(RuntimeFault::NotFound(id.into()));
        };
        let script = script_of(&state, &spec);
        if let Some(message) = script.start_fault {
            return Err(RuntimeFault::Start(message));
        }
        let at = self.clock.wall();
        let running = ContainerState::Running { pid, started: at };
        state.containers.insert(id.into(), (spec, running));
        drop(state);
        if let Some((after, code)) = script.exits {
            let (shared, clock, id) = (self.state.clone(), self.clock, id.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                shared.end(&id, code, None, false, clock.wall());
            });
        }
        Ok(Started { pid, at })
    }

    async fn signal(&self, id: &str, signal: i32) -> Result<(), RuntimeFault> {
        self.call(format!("signal {id} {signal}"));
        let script = {
            let state = self.lock();
            let spec = state.containers.get(id).map(|(spec, _)| spec.clone());
            spec.map(|spec| script_of(&state, &spec)).unwrap_or_default()
        };
        if signal == 9 || !script.stubborn {
            self.state.end(id, 128 + signal, Some(signal), false, self.clock.wall());
        }
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<(), RuntimeFault> {
        self.call(format!("remove {id}"));
        let takes = {
            let state = self.lock();
            state.containers.get(id).map(|(spec, _)| script_of(&state, spec).removal).unwrap_or_default()
        };
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        self.lock().containers.remove(id);
        self.state.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    async fn containers(&self) -> Result<Vec<ContainerStatus>, RuntimeFault> {
        let state = self.lock();
        let status = |(id, (spec, state)): (&String, &(ContainerSpec, ContainerState))| ContainerStatus {
            id: id.clone(),
            pod_uid: spec.pod_uid.clone(),
            state: state.clone(),
        };
        Ok(state.containers.iter().map(status).collect())
    }

    async fn exec(&self, id: &str, request: ExecSpec) -> Result<ExecSession, RuntimeFault> {
        let command = request.args.join(" ");
        self.call(format!("exec {id} {command}"));
        let state = self.lock();
        let Some((spec, ContainerState::Running { .. })) = state.containers.get(id) else {
            return Err(RuntimeFault::NotFound(id.into()));
        };
        let script = script_of(&state, spec);
        if let Some(fault) = script.exec_fault {
            return Err(RuntimeFault::Other(fault));
        }
        let code = script.exec_codes.get(&command).copied();
        let said = format!("{command}\n").into_bytes();
        Ok(ExecSession {
            stdin: None,
            stdout: Some(Box::new(std::io::Cursor::new(said))),
            stderr: None,
            exit: async move { Ok(code.unwrap_or(0)) }.boxed(),
            resize: None,
        })
    }

    async fn attach(&self, id: &str, _: bool) -> Result<ExecSession, RuntimeFault> {
        self.call(format!("attach {id}"));
        match self.lock().containers.get(id) {
            Some((_, ContainerState::Running { .. })) => Ok(ExecSession {
                stdin: None,
                stdout: Some(Box::new(std::io::Cursor::new(b"attached\n".to_vec()))),
                stderr: None,
                exit: async { Ok(0) }.boxed(),
                resize: None,
            }),
            _ => Err(RuntimeFault::NotFound(id.into())),
        }
    }

    fn events(&self) -> BoxStream<'static, RuntimeEvent> {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        self.lock().listeners.push(sender);
        futures::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
            .boxed()
    }

    fn writable(&self, _: &str, _: &str) -> Option<PathBuf> {
        None
    }

    fn fault(&self) -> Option<String> {
        self.lock().down.clone()
    }

    async fn stats(&self, id: &str) -> Result<Stats, RuntimeFault> {
        match self.lock().containers.contains_key(id) {
            true => {
                Ok(Stats { cpu_nanos: 1_000_000, working_set: 1 << 20, rss: 1 << 19, usage: 1 << 21, processes: 1 })
            }
            false => Err(RuntimeFault::NotFound(id.into())),
        }
    }
}
