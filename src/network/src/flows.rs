//! Makes the kernel forget UDP flows that lead to where a pod no longer is, or past one that came.
//!
//! In: mapped UDP ports that changed. Out: flows removed from connection tracking.
//! Never touches a flow of another port, and never fails a pod: a kernel without this keeps a flow until it is idle.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use rustix::io::Errno;

use crate::netlink::Netlink;
use crate::netlink::message::{Answer, DUMP, Request, attributes};

/// Connection tracking's messages: subsystem 1, get and delete.
const GET: u16 = 0x101;
const DELETE: u16 = 0x102;
const NEW: u16 = 0x100;
/// Family, version, resource.
const FIXED: [u8; 4] = [2, 0, 0, 0];

const ORIGINAL: u16 = 1;
const NESTED: u16 = 0x8000;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const SOURCE: u16 = 1;
const REPLY: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const DESTINATION_PORT: u16 = 3;
const UDP: u8 = 17;

/// Forgets UDP flows to these ports of the host, and those that these addresses answer.
pub fn forget(ports: &BTreeSet<u16>, pods: &BTreeSet<Ipv4Addr>) -> Result<usize, Errno> {
    let mut socket = Netlink::open_tracking()?;
    let mut doomed = Vec::new();
    socket.ask_each(Request::new(GET, DUMP, &FIXED), |answer| doomed.extend(stale(&answer, ports, pods)))?;
    let count = doomed.len();
    for tuple in doomed {
        match socket.act(Request::new(DELETE, 0, &FIXED).attribute(ORIGINAL | NESTED, &tuple)) {
            // It ended by itself.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// The flow's name, if it is one to forget.
fn stale(answer: &Answer, ports: &BTreeSet<u16>, pods: &BTreeSet<Ipv4Addr>) -> Option<Vec<u8>> {
    if answer.kind != NEW {
        return None;
    }
    let of = |wanted| attributes(&answer.body, FIXED.len()).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let inside = |tuple, part, wanted| {
        let part = attributes(tuple, 0).find(|(kind, _)| *kind == part).map(|(_, value)| value)?;
        attributes(part, 0).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
    };
    let (original, reply) = (of(ORIGINAL)?, of(REPLY)?);
    if inside(original, TUPLE_PROTOCOL, PROTOCOL_NUMBER)? != [UDP] {
        return None;
    }
    let port =
        inside(original, TUPLE_PROTOCOL, DESTINATION_PORT).and_then(|p| Some(u16::from_be_bytes(p.try_into().ok()?)));
    let answers = inside(reply, TUPLE_IP, SOURCE).and_then(|a| Some(Ipv4Addr::from(<[u8; 4]>::try_from(a).ok()?)));
    let hit = port.is_some_and(|p| ports.contains(&p)) || answers.is_some_and(|a| pods.contains(&a));
    hit.then(|| original.to_vec())
}
