//! PodFitsHostPorts: two pods of a node cannot take the same port of the same address.

use kedge_plugin_sdk::scheduling::{HostPort, Pod};
use kedge_plugin_sdk::{Nodes, Refusal, Verdict};

/// Refuses nodes on which a wanted port is taken.
pub fn fits(nodes: &Nodes, pod: &Pod, verdict: &mut Verdict) {
    if pod.host_ports.is_empty() {
        return;
    }
    verdict.each(|row| {
        let taken = &nodes.ports[row];
        if pod.host_ports.iter().any(|wanted| taken.iter().any(|other| clash(wanted, other))) {
            return Err(Refusal::new("node(s) didn't have free ports for the requested pod ports"));
        }
        Ok(())
    });
}

/// Address 0 is every address.
fn clash(a: &HostPort, b: &HostPort) -> bool {
    a.port == b.port && a.protocol == b.protocol && (a.address == b.address || a.address == 0 || b.address == 0)
}

#[cfg(test)]
mod tests {
    use crate::sample::{filter, node, nodes, pod};

    #[track_caller]
    fn check(taken: &str, wanted: &str, free: bool) {
        let nodes = nodes(&[node("n").ports(taken)]);
        let expected: &[&str] =
            if free { &[] } else { &["n: node(s) didn't have free ports for the requested pod ports"] };
        assert_eq!(filter("PodFitsHostPorts", &nodes, &pod().ports(wanted)), expected);
    }

    #[test]
    fn ports_clash_by_number_protocol_and_address() {
        check("", "*:80/tcp", true);
        check("*:80/tcp", "", true);
        check("*:80/tcp", "*:80/tcp", false);
        check("*:80/tcp", "*:80/udp", true);
        check("*:80/tcp", "*:81/tcp", true);
        check("10.0.0.1:80/tcp", "10.0.0.2:80/tcp", true);
        check("10.0.0.1:80/tcp", "10.0.0.1:80/tcp", false);
        check("10.0.0.1:80/tcp", "*:80/tcp", false);
        check("*:80/tcp", "10.0.0.1:80/tcp", false);
        check("*:443/tcp *:80/tcp", "*:8080/tcp *:80/tcp", false);
    }
}
