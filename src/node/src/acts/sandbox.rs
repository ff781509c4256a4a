//! Makes and removes a pod's sandbox, with its addresses and the files that tell of them.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kedge_api::machine::{PortMapping, Protocol, Resources, SandboxSpec};

use crate::container::{etc, limits, pod_cgroup};
use crate::pod::observed::SandboxFacts;
use crate::pod::{PodId, spec};
use crate::shared::Shared;

/// Makes the namespaces, joins the network and writes hosts, hostname and resolv.conf.
pub(crate) async fn make_sandbox(shared: Arc<Shared>, id: PodId, pod: Arc<Pod>) -> Result<SandboxFacts, String> {
    let config = &shared.config;
    let words = spec(&pod);
    let (host, domain) = etc::hostname(&pod, &config.node_name, &config.cluster_domain);
    let host_network = words.host_network == Some(true);
    if words.host_users == Some(false) {
        // Running it without would give it less protection than it asks for.
        return Err(
            "Failed to create pod sandbox: user namespaces (hostUsers: false) are not supported by this node".into()
        );
    }
    let sysctls = words.security_context.as_ref().and_then(|context| context.sysctls.as_ref());
    let sandbox = shared
        .runtime
        .create_sandbox(SandboxSpec {
            pod_uid: id.uid.clone(),
            hostname: host.clone(),
            host_network,
            host_ipc: words.host_ipc == Some(true),
            shared_pid: words.share_process_namespace == Some(true),
            host_pid: words.host_pid == Some(true),
            cgroup: pod_cgroup(&id.uid),
            resources: Resources { pids_limit: config.pod_pids_limit, ..limits::pod(&pod) },
            sysctls: sysctls.into_iter().flatten().map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())).collect(),
        })
        .await
        .map_err(|fault| format!("Failed to create pod sandbox: {fault}"))?;
    let ips = match (&sandbox.network, host_network) {
        (Some(netns), false) => {
            let attach = shared.network.attach(&id.uid, netns, &host, &host_ports(&pod)).await;
            let addresses = attach.map_err(|fault| {
                format!("Failed to create pod sandbox: failed to setup network for sandbox: {fault}")
            })?;
            addresses.ips
        }
        _ => shared.ips(),
    };
    let dns = shared.network.host_dns().await.unwrap_or_default();
    let files = [
        ("hosts", hosts(&pod, &ips, &host, domain.as_deref())),
        ("hostname", format!("{host}\n")),
        ("resolv.conf", etc::resolv_conf(&etc::resolver(&pod, &dns, &config.cluster_dns, &config.cluster_domain))),
    ];
    let write = || -> io::Result<()> {
        for (name, text) in files {
            let file = shared.dirs.etc(&id, name);
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(file, text)?;
        }
        Ok(())
    };
    write().map_err(|error| format!("Failed to create pod sandbox: {error}"))?;
    Ok(SandboxFacts { sandbox, ips })
}

fn hosts(pod: &Pod, ips: &[IpAddr], host: &str, domain: Option<&str>) -> String {
    if spec(pod).host_network == Some(true) {
        let own = fs::read_to_string("/etc/hosts").unwrap_or_default();
        return etc::hosts_of_node(pod, &own);
    }
    etc::hosts(pod, ips, host, domain)
}

/// The host ports that a pod's containers ask for.
pub(crate) fn host_ports(pod: &Pod) -> Vec<PortMapping> {
    crate::pod::members(pod)
        .iter()
        .flat_map(|member| member.container.ports.iter().flatten())
        .filter_map(|port| {
            Some(PortMapping {
                host_ip: port.host_ip.as_deref().and_then(|ip| ip.parse().ok()),
                host_port: u16::try_from(port.host_port?).ok().filter(|port| *port > 0)?,
                container_port: u16::try_from(port.container_port).ok()?,
                protocol: match port.protocol.as_deref() {
                    Some("UDP") => Protocol::Udp,
                    Some("SCTP") => Protocol::Sctp,
                    _ => Protocol::Tcp,
                },
            })
        })
        .collect()
}

/// Leaves the network and removes the namespaces.
pub(crate) async fn remove_sandbox(shared: Arc<Shared>, uid: String) -> Result<(), String> {
    let detached = shared.network.detach(&uid).await;
    detached.map_err(|fault| format!("cannot take pod {uid} off the network: {fault}"))?;
    let removed = shared.runtime.remove_sandbox(&uid).await;
    removed.map_err(|fault| format!("cannot remove the sandbox of pod {uid}: {fault}"))
}
