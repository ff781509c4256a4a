//! Which pod has which address and ports, kept in small files.
//!
//! In: pods that come and go. Out: leases that survive a restart; no address twice, no port twice.
//! Never touches a link.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use kedge_api::machine::PortMapping;
use serde::{Deserialize, Serialize};

use crate::range::Range;
use crate::rules::{everywhere, protocol};

/// Why there is no lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// All addresses are taken.
    #[error("no pod address is left in {range}: all {count} are in use")]
    Full {
        /// The range.
        range: Range,
        /// How many there are.
        count: usize,
    },
    /// Another pod has the port.
    #[error("host port {port}/{protocol} is already in use by pod {pod}")]
    Port {
        /// The port.
        port: u16,
        /// Its protocol.
        protocol: &'static str,
        /// Who has it.
        pod: String,
    },
    /// A host address of the other family.
    #[error("host address {0} is not an IPv4 address; pods have IPv4 addresses only")]
    Family(std::net::IpAddr),
    /// Not a UID.
    #[error("{0:?} is not a pod UID")]
    Uid(String),
    /// The files cannot be read or written.
    #[error("{act} {}", path.display())]
    Disk {
        /// What was done.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
}

/// What one pod has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// The pod's UID.
    pub pod: String,
    /// Its host name, for whoever looks at the files.
    pub hostname: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its ports of the host.
    pub ports: Vec<PortMapping>,
}

/// All leases.
pub struct Leases {
    folder: PathBuf,
    range: Range,
    by_pod: BTreeMap<String, Lease>,
    last: Ipv4Addr,
}

impl Leases {
    /// Reads the leases; what is damaged, outside of the range or there twice is dropped with a warning.
    pub fn open(folder: &Path, range: Range) -> Result<Self, LeaseError> {
        let fault = |source| LeaseError::Disk { act: "reading", path: folder.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fault)?;
        let mut leases = Self { folder: folder.to_owned(), range, by_pod: BTreeMap::new(), last: range.gateway() };
        for entry in fs::read_dir(folder).map_err(fault)? {
            let path = entry.map_err(fault)?.path();
            let lease = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Lease>(&bytes).ok());
            match lease {
                Some(lease) if path == leases.path(&lease.pod) && leases.is_free(lease.address) => {
                    leases.last = leases.last.max(lease.address);
                    leases.by_pod.insert(lease.pod.clone(), lease);
                }
                _ => {
                    tracing::warn!(path = %path.display(), "an address lease is damaged or outside of the pod range: dropped");
                    fs::remove_file(&path).map_err(fault)?;
                }
            }
        }
        Ok(leases)
    }

    /// The pod's lease: the one it has, with these ports, or a new one. True if it is new.
    pub fn lease(&mut self, pod: &str, hostname: &str, ports: &[PortMapping]) -> Result<(Lease, bool), LeaseError> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if pod.is_empty() || pod.len() > 128 || !pod.bytes().all(good) {
            return Err(LeaseError::Uid(pod.chars().take(128).collect()));
        }
        if let Some(ip) = ports.iter().filter_map(|p| p.host_ip).find(|ip| !ip.is_ipv4() && !ip.is_unspecified()) {
            return Err(LeaseError::Family(ip));
        }
        self.check_ports(pod, ports)?;
        let known = self.by_pod.get(pod);
        let new = known.is_none();
        let address = match known {
            Some(lease) => lease.address,
            None => self.next_free().ok_or(LeaseError::Full { range: self.range, count: self.by_pod.len() })?,
        };
        let lease = Lease { pod: pod.to_owned(), hostname: hostname.to_owned(), address, ports: ports.to_vec() };
        if known != Some(&lease) {
            self.write(&lease)?;
            self.last = address;
            self.by_pod.insert(pod.to_owned(), lease.clone());
        }
        Ok((lease, new))
    }

    /// Ends a lease.
    pub fn release(&mut self, pod: &str) -> Result<Option<Lease>, LeaseError> {
        let Some(lease) = self.by_pod.get(pod).cloned() else { return Ok(None) };
        let path = self.path(pod);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(LeaseError::Disk { act: "removing", path, source });
            }
            _ => {}
        }
        self.by_pod.remove(pod);
        Ok(Some(lease))
    }

    /// All leases, in the order of the UIDs.
    pub fn all(&self) -> impl Iterator<Item = &Lease> {
        self.by_pod.values()
    }

    fn check_ports(&self, pod: &str, ports: &[PortMapping]) -> Result<(), LeaseError> {
        let clash = |a: &PortMapping, b: &PortMapping| {
            a.host_port == b.host_port
                && a.protocol == b.protocol
                && (everywhere(a) || everywhere(b) || a.host_ip == b.host_ip)
        };
        for other in self.by_pod.values().filter(|l| l.pod != pod) {
            if let Some(port) = ports.iter().find(|p| other.ports.iter().any(|o| clash(p, o))) {
                return Err(LeaseError::Port {
                    port: port.host_port,
                    protocol: protocol(port.protocol),
                    pod: other.pod.clone(),
                });
            }
        }
        Ok(())
    }

    /// The first free address after the last one given: a pod that went should not be mistaken for a new one.
    fn next_free(&self) -> Option<Ipv4Addr> {
        let taken: std::collections::BTreeSet<Ipv4Addr> = self.by_pod.values().map(|l| l.address).collect();
        let after = self.range.pods().filter(|a| *a > self.last);
        let before = self.range.pods().filter(|a| *a <= self.last);
        after.chain(before).find(|a| !taken.contains(a))
    }

    fn is_free(&self, address: Ipv4Addr) -> bool {
        let for_pods = self.range.contains(address) && address > self.range.gateway() && address < self.range.last();
        for_pods && self.by_pod.values().all(|l| l.address != address)
    }

    fn path(&self, pod: &str) -> PathBuf {
        self.folder.join(format!("{pod}.json"))
    }

    /// Whole or not at all for whoever reads it after a crash of ours. Not synced: a power cut ends all links, too.
    fn write(&self, lease: &Lease) -> Result<(), LeaseError> {
        let path = self.path(&lease.pod);
        let fault = |source| LeaseError::Disk { act: "writing", path: path.clone(), source };
        let beside = self.folder.join(format!(".{}", lease.pod));
        let bytes = serde_json::to_vec(lease).map_err(|e| fault(e.into()))?;
        fs::write(&beside, bytes).map_err(fault)?;
        fs::rename(&beside, &path).map_err(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kedge_api::machine::Protocol;

    fn open(folder: &Path) -> Leases {
        Leases::open(folder, Range::parse("10.42.0.0/29").unwrap()).unwrap()
    }

    fn port(host_ip: Option<&str>, host_port: u16) -> PortMapping {
        PortMapping {
            host_ip: host_ip.map(|h| h.parse().unwrap()),
            host_port,
            container_port: 80,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn addresses_go_round_and_are_never_given_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut leases = open(folder.path());
        let give =
            |leases: &mut Leases, pod: &str| leases.lease(pod, "h", &[]).map(|(l, _)| l.address.octets()[3]).ok();
        assert_eq!(["a", "b", "a"].map(|p| give(&mut leases, p)), [Some(2), Some(3), Some(2)]);
        leases.release("a").unwrap();
        assert_eq!(give(&mut leases, "c"), Some(4), "a freed address rests");
        assert_eq!(["d", "e", "f", "g"].map(|p| give(&mut leases, p)), [Some(5), Some(6), Some(2), None]);
        let mut again = open(folder.path());
        assert_eq!(["b", "f"].map(|p| give(&mut again, p)), [Some(3), Some(2)], "leases survive a restart");
        for pod in ["b", "c", "d", "e", "f"] {
            assert!(again.release(pod).unwrap().is_some());
        }
        assert!(again.release("b").unwrap().is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_host_port_belongs_to_one_pod() {
        let folder = tempfile::tempdir().unwrap();
        let mut leases = open(folder.path());
        leases.lease("a", "", &[port(None, 80)]).unwrap();
        leases.lease("a", "", &[port(None, 80)]).unwrap();
        leases.lease("b", "", &[port(Some("192.0.2.1"), 81)]).unwrap();
        leases.lease("c", "", &[port(Some("192.0.2.2"), 81)]).unwrap();
        let clash = leases.lease("d", "", &[port(Some("192.0.2.9"), 80)]).unwrap_err().to_string();
        assert_eq!(clash, "host port 80/tcp is already in use by pod a");
        assert!(leases.lease("d", "", &[port(Some("0.0.0.0"), 81)]).is_err());
        assert!(leases.lease("d", "", &[port(Some("::1"), 82)]).is_err());
        assert!(leases.lease("../x", "", &[]).is_err());
    }

    #[test]
    fn damaged_foreign_and_double_files_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).lease("a", "", &[]).unwrap();
        let good = fs::read_to_string(folder.path().join("a.json")).unwrap();
        fs::write(folder.path().join("b.json"), good.replace("\"a\"", "\"b\"")).unwrap();
        fs::write(folder.path().join("c.json"), good.replace("\"a\"", "\"c\"").replace("10.42.0.2", "10.43.0.2"))
            .unwrap();
        fs::write(folder.path().join("d.json"), &good[..10]).unwrap();
        fs::write(folder.path().join(".e"), "").unwrap();
        assert_eq!(open(folder.path()).all().count(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
