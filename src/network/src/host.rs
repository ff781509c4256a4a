//! What the host's own network says: resolvers, the node's address, kernel switches.
//!
//! In: files under /etc, /run and /proc. Out: resolver settings for pods, an address, switches turned on.
//! Never sends a packet.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

use kedge_api::machine::DnsConfig;

/// What the C library reads at most; Kubernetes allows the same.
const MAX_SERVERS: usize = 3;
/// Kubernetes' limits for search domains.
const MAX_SEARCHES: usize = 32;
/// All search domains together, in bytes.
const MAX_SEARCH_BYTES: usize = 2048;
/// Longer files are no resolver settings.
const MAX_FILE: usize = 64 * 1024;

/// A kernel switch cannot be set.
#[derive(Debug, thiserror::Error)]
#[error("setting {} to {value}", path.display())]
pub struct SwitchError {
    path: PathBuf,
    value: &'static str,
    source: std::io::Error,
}

/// Sets a kernel switch under /proc/sys/net of this namespace, unless it is set already.
pub fn switch(name: &str, value: &'static str) -> Result<(), SwitchError> {
    let path = Path::new("/proc/sys/net").join(name);
    if fs::read_to_string(&path).is_ok_and(|now| now.trim() == value) {
        return Ok(());
    }
    fs::write(&path, value).map_err(|source| SwitchError { path, value, source })
}

/// Resolver settings that work in a pod, and a warning if they do not.
pub fn dns() -> (DnsConfig, Option<String>) {
    let read = |path: &str| {
        fs::read(path).ok().filter(|b| b.len() <= MAX_FILE).map(|b| String::from_utf8_lossy(&b).into_owned())
    };
    choose(read("/etc/resolv.conf").as_deref(), || read("/run/systemd/resolve/resolv.conf"))
}

/// The host's own settings, or those behind a resolver that listens on the host's loopback alone.
fn choose(own: Option<&str>, behind: impl FnOnce() -> Option<String>) -> (DnsConfig, Option<String>) {
    let Some(own) = own else {
        return (
            DnsConfig::default(),
            Some("there is no /etc/resolv.conf on this machine: pods have no name server".into()),
        );
    };
    let mut config = parse(own);
    let loopback = |server: &String| server.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let none_reachable = !config.nameservers.is_empty() && config.nameservers.iter().all(loopback);
    if none_reachable
        && let Some(real) = behind().map(|text| parse(&text)).filter(|real| !real.nameservers.iter().all(loopback))
    {
        config = real;
    }
    config.nameservers.retain(|s| !loopback(s));
    let warning = config
        .nameservers
        .is_empty()
        .then(|| "this machine's name servers are none, or on its loopback address, which pods cannot reach: pods have no name server".into());
    (config, warning)
}

/// Reads resolv.conf(5).
pub fn parse(text: &str) -> DnsConfig {
    let mut config = DnsConfig::default();
    for line in text.lines().map(str::trim) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                let server = words.next().filter(|s| s.split('%').next().is_some_and(|s| s.parse::<IpAddr>().is_ok()));
                if config.nameservers.len() < MAX_SERVERS {
                    config.nameservers.extend(server.map(str::to_owned));
                }
            }
            // The last of both wins.
            Some("search" | "domain") => config.searches = words.filter(|w| *w != ".").map(str::to_owned).collect(),
            Some("options") => config.options.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    config.searches.truncate(MAX_SEARCHES);
    while config.searches.iter().map(|s| s.len() + 1).sum::<usize>() > MAX_SEARCH_BYTES {
        config.searches.pop();
    }
    config
}

/// The address from which this machine would reach the world. Nothing is sent: connecting UDP only looks a route up.
pub fn outward_address() -> Option<IpAddr> {
    // 192.0.2.0/24 is for documentation and is routed like the rest of the world.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(own: Option<&str>, behind: Option<&str>, servers: &[&str], warns: bool) {
        let (config, warning) = choose(own, || behind.map(str::to_owned));
        assert_eq!(
            (config.nameservers.as_slice(), warning.is_some()),
            (servers.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>().as_slice(), warns)
        );
    }

    #[test]
    fn pods_get_servers_that_they_can_reach() {
        check(Some("nameserver 10.0.0.1\nnameserver fe80::1%eth0\n"), None, &["10.0.0.1", "fe80::1%eth0"], false);
        check(Some("nameserver 127.0.0.53"), Some("nameserver 192.168.1.1"), &["192.168.1.1"], false);
        check(Some("nameserver 127.0.0.1\nnameserver 9.9.9.9"), Some("nameserver 1.1.1.1"), &["9.9.9.9"], false);
        check(Some("nameserver 127.0.0.53"), None, &[], true);
        check(Some("nameserver 127.0.0.53"), Some("nameserver ::1"), &[], true);
        check(Some("# empty"), None, &[], true);
        check(None, Some("nameserver 1.1.1.1"), &[], true);
    }

    #[test]
    fn resolver_settings_are_read_within_limits() {
        let text = "search a.example b.example\ndomain c.example .\noptions ndots:2 rotate\noptions edns0\nnameserver x\nnameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4\n";
        let config = parse(text);
        assert_eq!(
            (config.searches, config.options),
            (vec!["c.example".to_owned()], vec!["ndots:2".into(), "rotate".into(), "edns0".into()])
        );
        assert_eq!(config.nameservers, ["1.1.1.1", "2.2.2.2", "3.3.3.3"]);
        let many = format!("search {}", "x.example ".repeat(100));
        assert_eq!(parse(&many).searches.len(), MAX_SEARCHES);
    }
}
