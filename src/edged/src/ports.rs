//! The node agent's ports, by newtype around the crates that fill them.
//!
//! In: the agent's words. Out: calls of `runtime`, `image` and `network`. Decides nothing; only names of errors change.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};
use kedge_api::machine::{
    ContainerSpec, ContainerStatus, DnsConfig, ExecSpec, ImageInfo, PodAddresses, PortMapping, RuntimeEvent, Sandbox,
    SandboxSpec, Started, Stats, User,
};
use kedge_image::{Credential, Keys, PullError};
use kedge_network::{LeaseError, NetworkError};
use kedge_node::port::{
    Connection, ExecSession, ImageFault, Images, NetworkFault, PodNetwork, RegistryLogin, Runtime, RuntimeFault,
};
use kedge_runtime::RuntimeError;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};

/// Sizes of a terminal that wait to be set.
const RESIZES: usize = 4;

/// The runtime.
pub struct RuntimePort(pub kedge_runtime::Runtime);

fn runtime_fault(error: RuntimeError) -> RuntimeFault {
    match error {
        RuntimeError::NotFound { id, .. } => RuntimeFault::NotFound(id),
        // A program that cannot be run is found while the container is made; to Kubernetes it is a failed start.
        RuntimeError::Create { cause, .. } => match cause.find("exec: ") {
            Some(at) => RuntimeFault::Start(cause[at..].to_owned()),
            None => RuntimeFault::Create(cause),
        },
        RuntimeError::Start { cause, .. } => RuntimeFault::Start(cause),
        other => RuntimeFault::Other(other.to_string()),
    }
}

#[async_trait]
impl Runtime for RuntimePort {
    async fn create_sandbox(&self, spec: SandboxSpec) -> Result<Sandbox, RuntimeFault> {
        self.0.create_sandbox(spec).await.map_err(runtime_fault)
    }

    async fn remove_sandbox(&self, pod_uid: &str) -> Result<(), RuntimeFault> {
        self.0.remove_sandbox(pod_uid).await.map_err(runtime_fault)
    }

    async fn sandboxes(&self) -> Result<Vec<Sandbox>, RuntimeFault> {
        Ok(self.0.sandboxes().await)
    }

    async fn create(&self, spec: ContainerSpec) -> Result<(), RuntimeFault> {
        self.0.create(spec).await.map_err(runtime_fault)
    }

    async fn start(&self, id: &str) -> Result<Started, RuntimeFault> {
        self.0.start(id).await.map_err(runtime_fault)
    }

    async fn signal(&self, id: &str, signal: i32) -> Result<(), RuntimeFault> {
        self.0.signal(id, signal).await.map_err(runtime_fault)
    }

    async fn remove(&self, id: &str) -> Result<(), RuntimeFault> {
        self.0.remove(id).await.map_err(runtime_fault)
    }

    async fn containers(&self) -> Result<Vec<ContainerStatus>, RuntimeFault> {
        Ok(self.0.containers().await)
    }

    async fn exec(&self, id: &str, request: ExecSpec) -> Result<ExecSession, RuntimeFault> {
        let session = self.0.exec(id, request).await.map_err(runtime_fault)?;
        let resize = session.resize.map(|terminal| {
            let (sender, mut sizes) = mpsc::channel::<(u16, u16)>(RESIZES);
            tokio::spawn(async move {
                while let Some((columns, rows)) = sizes.recv().await {
                    // A terminal that is gone ends with its session.
                    let _ = terminal.set(columns, rows);
                }
            });
            sender
        });
        let exit = session.exit;
        Ok(ExecSession {
            stdin: session.stdin,
            stdout: session.stdout,
            stderr: session.stderr,
            exit: Box::pin(async move { exit.wait().await.map_err(runtime_fault) }),
            resize,
        })
    }

    async fn attach(&self, id: &str, stdin: bool) -> Result<ExecSession, RuntimeFault> {
        let session = self.0.attach(id, stdin).await.map_err(runtime_fault)?;
        let resize = session.resize.map(|terminal| {
            let (sender, mut sizes) = mpsc::channel::<(u16, u16)>(RESIZES);
            tokio::spawn(async move {
                while let Some((columns, rows)) = sizes.recv().await {
                    // A container that is gone ends the session.
                    let _ = terminal.set(columns, rows);
                }
            });
            sender
        });
        let end = session.end;
        Ok(ExecSession {
            stdin: session.stdin,
            stdout: Some(session.stdout),
            stderr: session.stderr,
            exit: Box::pin(async move {
                match end.await {
                    Ok(outcome) => outcome.map(|()| 0).map_err(runtime_fault),
                    Err(_) => Err(RuntimeFault::Other("the session was lost".to_owned())),
                }
            }),
            resize,
        })
    }

    fn events(&self) -> BoxStream<'static, RuntimeEvent> {
        let runtime = self.0.clone();
        let receiver = runtime.events();
        futures::stream::unfold((runtime, receiver), |(runtime, mut receiver)| async move {
            match receiver.recv().await {
                Ok(event) => Some((event, (runtime, receiver))),
                // Some were missed: the agent looks at everything, as after a new zygote.
                Err(RecvError::Lagged(_)) => Some((RuntimeEvent::ZygoteRestarted, (runtime, receiver))),
                Err(RecvError::Closed) => None,
            }
        })
        .boxed()
    }

    async fn stats(&self, id: &str) -> Result<Stats, RuntimeFault> {
        self.0.stats(id).await.map_err(runtime_fault)
    }

    fn writable(&self, pod_uid: &str, id: &str) -> Option<PathBuf> {
        Some(self.0.writable(pod_uid, id))
    }

    fn fault(&self) -> Option<String> {
        self.0.fault()
    }
}

/// The image store.
pub struct ImagesPort(pub kedge_image::Images);

#[async_trait]
impl Images for ImagesPort {
    async fn present(&self, reference: &str) -> Result<Option<ImageInfo>, ImageFault> {
        let found = self.0.present(reference).await;
        match (&found, kedge_image::Reference::parse(reference)) {
            (None, Err(fault)) => Err(invalid(reference, &fault)),
            _ => Ok(found),
        }
    }

    async fn pull(&self, reference: &str, logins: &[RegistryLogin]) -> Result<(ImageInfo, Option<usize>), ImageFault> {
        let mut keys = Keys::default();
        let credentials: Vec<Credential> = logins
            .iter()
            .map(|login| match &login.identity_token {
                Some(token) => Credential::Identity(token.clone()),
                None => Credential::Basic { user: login.username.clone(), password: login.password.clone() },
            })
            .collect();
        for (login, credential) in logins.iter().zip(&credentials) {
            keys.add_login(&login.registry, credential.clone());
        }
        let pulled = self.0.pull_and_tell(reference, &keys, |_| {}).await.map_err(|error| match error {
            PullError::Reference(fault) => invalid(reference, &fault),
            other if other.is_unavailable() => ImageFault::RegistryUnavailable(crate::chain(&other)),
            other => ImageFault::Pull(crate::chain(&other)),
        })?;
        let login = pulled.proof.and_then(|proof| credentials.iter().position(|credential| *credential == proof));
        Ok((pulled.image, login))
    }

    async fn list(&self) -> Result<Vec<ImageInfo>, ImageFault> {
        Ok(self.0.list().await)
    }

    async fn collect_garbage(&self, in_use: &[String], free: u64) -> Result<u64, ImageFault> {
        let collected = self.0.collect_garbage(in_use, free).await;
        collected.map(|collected| collected.bytes).map_err(|error| ImageFault::Store(crate::chain(&error)))
    }

    async fn resolve_user(&self, image: &ImageInfo, user: &str) -> Result<User, ImageFault> {
        self.0.resolve_user(image, user).await.map_err(|error| ImageFault::User(crate::chain(&error)))
    }
}

fn invalid(name: &str, fault: &kedge_image::ReferenceFault) -> ImageFault {
    ImageFault::InvalidName { name: name.to_owned(), cause: fault.reason().to_owned() }
}

/// The pod network, and the machine's address, which may change.
pub struct NetworkPort {
    /// The network.
    pub network: kedge_network::PodNetwork,
    /// The configured one, or what `run` follows.
    pub addresses: watch::Receiver<Vec<IpAddr>>,
}

#[async_trait]
impl PodNetwork for NetworkPort {
    async fn attach(
        &self,
        pod_uid: &str,
        netns: &Path,
        hostname: &str,
        ports: &[PortMapping],
    ) -> Result<PodAddresses, NetworkFault> {
        self.network.attach(pod_uid, netns, hostname, ports).await.map_err(network_fault)
    }

    async fn detach(&self, pod_uid: &str) -> Result<(), NetworkFault> {
        self.network.detach(pod_uid).await.map_err(network_fault)
    }

    async fn sweep(&self, live: &[String]) -> Result<(), NetworkFault> {
        self.network.sweep(live).await.map(drop).map_err(network_fault)
    }

    async fn connect(&self, netns: Option<&Path>, port: u16) -> Result<Connection, NetworkFault> {
        kedge_network::dial(netns, port).await.map_err(|error| NetworkFault::Other(crate::chain(&error)))
    }

    async fn host_dns(&self) -> Result<DnsConfig, NetworkFault> {
        Ok(self.network.host_dns())
    }

    fn node_ips(&self) -> watch::Receiver<Vec<IpAddr>> {
        self.addresses.clone()
    }

    fn fault(&self) -> Option<String> {
        self.network.fault()
    }
}

fn network_fault(error: NetworkError) -> NetworkFault {
    match error {
        NetworkError::Lease(LeaseError::Port { port, .. }) => NetworkFault::PortInUse(port),
        NetworkError::Lease(full @ LeaseError::Full { .. }) => NetworkFault::Exhausted(full.to_string()),
        other => NetworkFault::Other(crate::chain(&other)),
    }
}
