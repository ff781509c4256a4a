//! The ruleset of one instance, computed from what is known.
//!
//! In: a snapshot of the bridge, its range and the mapped ports. Out: the text of one table, whole.
//! Never touches the kernel: `nft` applies the text in one transaction. Whatever else needs rules
//! (Services, policies) becomes a field of the snapshot, so that one function sees all of it.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use kedge_api::machine::{PortMapping, Protocol};

use crate::range::Range;

/// All that the rules follow from.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The table's name.
    pub table: String,
    /// The bridge's name.
    pub bridge: String,
    /// The pods' range.
    pub range: Range,
    /// Ports of the host that lead to pods, in any order.
    pub ports: Vec<(Ipv4Addr, PortMapping)>,
}

/// The text that replaces the table by one that follows from the snapshot.
pub fn ruleset(snapshot: &Snapshot) -> String {
    let Snapshot { table, bridge, range, .. } = snapshot;
    let mut text = removal(table);
    // A string never refuses to be written to.
    let _ = write!(
        text,
        r#"table inet {table} {{
	chain hostports {{
{ports}	}}
	chain guard {{
		type filter hook prerouting priority raw; policy accept;
		iifname "{bridge}" ip daddr 127.0.0.0/8 drop comment "route_localnet is for the host alone"
	}}
	chain prerouting {{
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local jump hostports
	}}
	chain output {{
		type nat hook output priority -100; policy accept;
		fib daddr type local jump hostports
	}}
	chain postrouting {{
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr {range} oifname != "{bridge}" masquerade comment "pods to the world"
		oifname "{bridge}" ct status dnat ip saddr {range} masquerade comment "pods to pods through a mapped port"
		oifname "{bridge}" ct status dnat ip saddr 127.0.0.0/8 masquerade comment "the host to pods through localhost"
	}}
}}
"#,
        ports = hostports(snapshot),
    );
    text
}

/// The text that removes the table, whether it is there or not.
pub fn removal(table: &str) -> String {
    format!("add table inet {table}\ndelete table inet {table}\n")
}

fn hostports(snapshot: &Snapshot) -> String {
    let mut ports: Vec<_> = snapshot.ports.iter().collect();
    // Mappings of one host address come before those of all, which would hide them.
    ports.sort_by_key(|(pod, m)| (everywhere(m), m.host_port, protocol(m.protocol), m.host_ip, *pod));
    let mut text = String::new();
    for (pod, mapping) in ports {
        let address = match mapping.host_ip {
            Some(IpAddr::V4(v4)) if !everywhere(mapping) => format!("ip daddr {v4} "),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "\t\tmeta nfproto ipv4 {address}{} dport {} dnat ip to {pod}:{}",
            protocol(mapping.protocol),
            mapping.host_port,
            mapping.container_port
        );
    }
    text
}

/// True if the mapping is for every address of the host.
pub fn everywhere(mapping: &PortMapping) -> bool {
    mapping.host_ip.is_none_or(|ip| ip.is_unspecified())
}

/// The protocol as nftables writes it.
pub fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ports: &[(&str, Option<&str>, u16, u16, Protocol)], expected: &[&str]) {
        let ports = ports
            .iter()
            .map(|(pod, host_ip, host_port, container_port, protocol)| {
                let mapping = PortMapping {
                    host_ip: host_ip.map(|h| h.parse().unwrap()),
                    host_port: *host_port,
                    container_port: *container_port,
                    protocol: *protocol,
                };
                (pod.parse().unwrap(), mapping)
            })
            .collect();
        let snapshot = Snapshot {
            table: "kedge-a".into(),
            bridge: "kedge0".into(),
            range: Range::parse("10.42.0.0/24").unwrap(),
            ports,
        };
        let text = ruleset(&snapshot);
        let lines: Vec<&str> = text.lines().filter(|l| l.contains("dnat ip to")).map(str::trim).collect();
        assert_eq!(lines, expected);
        assert!(text.starts_with("add table inet kedge-a\ndelete table inet kedge-a\ntable inet kedge-a {\n"));
        assert!(text.contains("ip saddr 10.42.0.0/24 oifname != \"kedge0\" masquerade"));
    }

    #[test]
    fn each_mapped_port_is_one_line_and_narrow_ones_come_first() {
        check(&[], &[]);
        check(
            &[
                ("10.42.0.3", None, 8080, 80, Protocol::Tcp),
                ("10.42.0.4", Some("0.0.0.0"), 53, 53, Protocol::Udp),
                ("10.42.0.5", Some("192.0.2.7"), 8080, 81, Protocol::Tcp),
            ],
            &[
                "meta nfproto ipv4 ip daddr 192.0.2.7 tcp dport 8080 dnat ip to 10.42.0.5:81",
                "meta nfproto ipv4 udp dport 53 dnat ip to 10.42.0.4:53",
                "meta nfproto ipv4 tcp dport 8080 dnat ip to 10.42.0.3:80",
            ],
        );
    }
}
