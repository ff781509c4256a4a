//! The pod network against the real kernel, each test in network namespaces of its own. Needs root.

// A test that cannot prepare its namespaces has failed.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::future::Future;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kedge_api::machine::{PodAddresses, PortMapping, Protocol};
use kedge_network::{NetworkError, Options, PodNetwork, Range};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// Generous: only what fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test in a new network namespace that plays the host.
fn on_a_host<F: Future<Output = ()>>(test: impl FnOnce(PathBuf) -> F + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: network namespaces need root");
        return;
    }
    let thread = std::thread::spawn(move || {
        leave();
        ip("link set lo up");
        let folder = tempfile::tempdir().unwrap();
        // Threads for blocking work are started by this thread, and so are in its namespace.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test(folder.path().to_owned()));
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn leave() {
    // SAFETY: only the network namespace of this thread changes; file descriptors stay shared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

fn output(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split(' ')).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A network namespace: a pod's, or the world's.
struct Space(File);

impl Space {
    fn new() -> Self {
        let inside = || {
            leave();
            File::open("/proc/thread-self/ns/net").unwrap()
        };
        Self(std::thread::spawn(inside).join().unwrap())
    }

    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }

    /// Answers each connection with the caller's address, for as long as the namespace lives.
    fn serve(&self, port: u16) {
        let listener = self.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap());
        answer(listener);
    }
}

fn answer(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let caller = stream.peer_addr().unwrap().ip();
            let _ = write!(stream, "{caller}");
        }
    });
}

/// Connects and returns what the other side saw as the caller.
fn call(address: impl Into<IpAddr>, port: u16) -> Result<String, String> {
    let target = SocketAddr::new(address.into(), port);
    let mut stream = TcpStream::connect_timeout(&target, PATIENCE).map_err(|e| format!("{target}: {e}"))?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut seen = String::new();
    stream.read_to_string(&mut seen).map_err(|e| format!("{target}: {e}"))?;
    Ok(seen)
}

fn options(folder: &Path) -> Options {
    Options {
        instance: "test".into(),
        bridge: "kedge0".into(),
        range: Range::parse("10.42.0.0/24").unwrap(),
        mtu: None,
        folder: folder.join("leases"),
        nft: "nft".into(),
    }
}

fn port(host_port: u16) -> PortMapping {
    PortMapping { host_ip: None, host_port, container_port: 80, protocol: Protocol::Tcp }
}

fn first(addresses: &PodAddresses) -> IpAddr {
    addresses.ips[0]
}

/// A namespace behind a cable: 192.0.2.1 is the host, 192.0.2.2 the world, which knows no way to pods.
fn world() -> Space {
    let world = Space::new();
    ip("link add up0 type veth peer name down0");
    let path = world.path();
    ip(&format!("link set down0 netns {}", path.display())
        .replace("/proc/self", &format!("/proc/{}", std::process::id())));
    ip("addr add 192.0.2.1/24 dev up0");
    ip("link set up0 up");
    world.run(|| {
        ip("link set lo up");
        ip("addr add 192.0.2.2/24 dev down0");
        ip("link set down0 up");
    });
    ip("route add default via 192.0.2.2");
    world
}

#[test]
fn pods_reach_each_other_the_host_and_the_world() {
    on_a_host(|folder| async move {
        let world = world();
        let network = PodNetwork::open(options(&folder)).await.unwrap();
        let (a, b) = (Space::new(), Space::new());
        let at_a = first(&network.attach("pod-a", &a.path(), "a", &[]).await.unwrap());
        let at_b = first(&network.attach("pod-b", &b.path(), "b", &[]).await.unwrap());
        a.serve(80);
        world.serve(90);
        answer(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 70)).unwrap());
        assert_eq!(b.run(|| call(at_a, 80)), Ok(at_b.to_string()), "pod to pod");
        assert_eq!(a.run(|| call(Ipv4Addr::LOCALHOST, 80)), Ok("127.0.0.1".into()), "the pod's own loopback is up");
        assert_eq!(call(at_a, 80), Ok("10.42.0.1".into()), "host to pod");
        assert_eq!(b.run(|| call(network.gateway(), 70)), Ok(at_b.to_string()), "pod to host");
        assert_eq!(
            b.run(|| call(Ipv4Addr::new(192, 0, 2, 2), 90)),
            Ok("192.0.2.1".into()),
            "pod to world, masqueraded"
        );
        assert_eq!(network.node_ip().await, IpAddr::from([192, 0, 2, 1]));
        assert_eq!(network.attached().await.unwrap().len(), 2);
    });
}

#[test]
fn the_machines_address_is_followed() {
    on_a_host(|folder| async move {
        let _world = world();
        let network = PodNetwork::open(options(&folder)).await.unwrap();
        let first = IpAddr::from([192, 0, 2, 1]);
        let follow = |known| tokio::time::timeout(PATIENCE, network.moved_from(known));
        assert_eq!(follow(network.gateway()).await.unwrap().unwrap(), first, "one that was decided too early");
        // As with another lease of DHCP: for a while there is none, and that is no address.
        let change = async {
            ip("addr del 192.0.2.1/24 dev up0");
            tokio::task::yield_now().await;
            ip("addr add 192.0.2.7/24 dev up0");
            ip("route add default via 192.0.2.2");
        };
        let (moved, ()) = tokio::join!(follow(first), change);
        assert_eq!(moved.unwrap().unwrap(), IpAddr::from([192, 0, 2, 7]));
    });
}

#[test]
fn mapped_ports_lead_to_the_pod_from_everywhere() {
    on_a_host(|folder| async move {
        let world = world();
        let network = PodNetwork::open(options(&folder)).await.unwrap();
        let (a, b) = (Space::new(), Space::new());
        let local = PortMapping { host_ip: Some(IpAddr::from([127, 0, 0, 1])), ..port(8081) };
        let udp = PortMapping { protocol: Protocol::Udp, ..port(5353) };
        network.attach("pod-a", &a.path(), "a", &[port(8080), local, udp]).await.unwrap();
        network.attach("pod-b", &b.path(), "b", &[]).await.unwrap();
        a.serve(80);
        let host = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(world.run(|| call(host, 8080)), Ok("192.0.2.2".into()), "the pod sees who calls");
        assert!(call(host, 8080).is_ok(), "host by its address: {:?}", call(host, 8080));
        assert!(call(Ipv4Addr::LOCALHOST, 8080).is_ok(), "host by localhost: {:?}", call(Ipv4Addr::LOCALHOST, 8080));
        assert!(call(Ipv4Addr::LOCALHOST, 8081).is_ok(), "a port of localhost alone");
        assert!(world.run(|| call(host, 8081)).is_err(), "a port of localhost alone is not the world's");
        assert!(b.run(|| call(host, 8080)).is_ok(), "another pod: {:?}", b.run(|| call(host, 8080)));
        assert!(b.run(|| call(network.gateway(), 8080)).is_ok(), "another pod by the gateway");
        assert!(a.run(|| call(host, 8080)).is_ok(), "the pod itself: {:?}", a.run(|| call(host, 8080)));
        let socket = a.run(|| UdpSocket::bind("0.0.0.0:80").unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        world.run(|| UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"x", (host, 5353)).unwrap());
        assert_eq!(socket.recv_from(&mut [0; 9]).unwrap().1.ip(), IpAddr::from([192, 0, 2, 2]));
        let taken = network.attach("pod-c", &b.path(), "c", &[port(8080)]).await.unwrap_err().to_string();
        assert_eq!(taken, "host port 8080/tcp is already in use by pod pod-a");
        network.detach("pod-a").await.unwrap();
        assert!(call(host, 8080).is_err());
        assert!(!output("nft", "list ruleset").contains("dnat ip to"));
    });
}

#[test]
fn a_udp_flow_follows_its_port_to_the_next_pod() {
    on_a_host(|folder| async move {
        let world = world();
        let network = PodNetwork::open(options(&folder)).await.unwrap();
        let udp = PortMapping { protocol: Protocol::Udp, ..port(5353) };
        let sensor = world.run(|| UdpSocket::bind("0.0.0.0:4000").unwrap());
        for name in ["pod-a", "pod-b"] {
            // Before the pod is there the packets go to the host, as one flow that never idles.
            sensor.send_to(b"x", "192.0.2.1:5353").unwrap();
            let pod = Space::new();
            network.attach(name, &pod.path(), name, std::slice::from_ref(&udp)).await.unwrap();
            let socket = pod.run(|| UdpSocket::bind("0.0.0.0:80").unwrap());
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            sensor.send_to(b"x", "192.0.2.1:5353").unwrap();
            assert_eq!(socket.recv_from(&mut [0; 9]).unwrap().1.port(), 4000, "{name}");
            network.detach(name).await.unwrap();
        }
    });
}

#[test]
fn rules_that_somebody_flushes_come_back() {
    on_a_host(|folder| async move {
        let network = PodNetwork::open(options(&folder)).await.unwrap();
        let a = Space::new();
        let guarded = network.clone();
        let steps = async {
            // Changes of our own wake nobody up.
            network.attach("pod-a", &a.path(), "a", &[port(8080)]).await.unwrap();
            a.serve(80);
            let nft = async |arguments: &[&str]| {
                let output = tokio::process::Command::new("nft").args(arguments).output().await.unwrap();
                String::from_utf8(output.stdout).unwrap()
            };
            for _ in 0..3 {
                nft(&["flush", "ruleset"]).await;
                let back = async { while !nft(&["list", "ruleset"]).await.contains("dport 8080 dnat") {} };
                tokio::time::timeout(PATIENCE, back).await.unwrap();
            }
        };
        tokio::select! {
            ended = guarded.guard() => panic!("{ended:?}"),
            () = steps => {}
        }
        assert!(call(Ipv4Addr::LOCALHOST, 8080).is_ok());
    });
}

#[test]
fn a_restart_changes_nothing_and_a_sweep_takes_what_is_dead() {
    on_a_host(|folder| async move {
        let (a, b) = (Space::new(), Space::new());
        let network = PodNetwork::open(options(&folder)).await.unwrap();
        let before = network.attach("pod-a", &a.path(), "a", &[port(8080)]).await.unwrap();
        network.attach("pod-b", &b.path(), "b", &[]).await.unwrap();
        let links = output("ip", "-o link");
        drop(network);
        let network = PodNetwork::open(options(&folder)).await.unwrap();
        assert_eq!(network.attach("pod-a", &a.path(), "a", &[port(8080)]).await.unwrap(), before);
        assert_eq!(output("ip", "-o link"), links, "links are those of before");
        a.serve(80);
        assert!(call(Ipv4Addr::LOCALHOST, 8080).is_ok());
        // After a power cut the pod has its address again in a new namespace.
        let anew = Space::new();
        assert_eq!(network.attach("pod-a", &anew.path(), "a", &[port(8080)]).await.unwrap(), before);
        assert!(
            a.run(|| call(network.gateway(), 1)).unwrap_err().contains("unreachable"),
            "the old namespace is cut off"
        );
        // A link of ours that no lease knows.
        ip("link add stray type veth peer name stray2");
        ip("link set stray master kedge0");
        assert_eq!(network.sweep(&["pod-a".into()]).await.unwrap(), 2);
        assert_eq!(network.attached().await.unwrap(), [("pod-a".to_owned(), before)]);
        assert_eq!(fs::read_dir(folder.join("leases")).unwrap().count(), 1);
        network.detach("pod-a").await.unwrap();
        network.detach("pod-a").await.unwrap();
        assert!(!output("ip", "-o link").contains("kv"));
    });
}

#[test]
fn cleanup_leaves_nothing_also_without_a_running_daemon() {
    on_a_host(|folder| async move {
        let a = Space::new();
        let network = PodNetwork::open(options(&folder)).await.unwrap();
        network.attach("pod-a", &a.path(), "a", &[port(8080)]).await.unwrap();
        drop(network);
        PodNetwork::cleanup(&options(&folder)).await.unwrap();
        assert_eq!(output("ip", "-o link").lines().count(), 1, "loopback alone: {}", output("ip", "-o link"));
        assert_eq!(output("nft", "list tables"), "");
        assert!(!folder.join("leases").exists());
        PodNetwork::cleanup(&options(&folder)).await.unwrap();
    });
}

#[test]
fn two_instances_live_side_by_side() {
    on_a_host(|folder| async move {
        let one = PodNetwork::open(options(&folder)).await.unwrap();
        let other = Options {
            instance: "other".into(),
            bridge: "kedge1".into(),
            range: Range::parse("10.43.0.0/24").unwrap(),
            folder: folder.join("other"),
            ..options(&folder)
        };
        let two = PodNetwork::open(other).await.unwrap();
        let (a, b) = (Space::new(), Space::new());
        let at_a = first(&one.attach("pod", &a.path(), "a", &[port(8080)]).await.unwrap());
        two.attach("pod", &b.path(), "b", &[port(8081)]).await.unwrap();
        a.serve(80);
        b.serve(80);
        assert!(call(Ipv4Addr::LOCALHOST, 8080).is_ok() && call(Ipv4Addr::LOCALHOST, 8081).is_ok());
        assert!(b.run(|| call(at_a, 80)).is_ok(), "pods of two instances reach each other through the host");
        two.cleanup_all().await.unwrap();
        assert!(call(Ipv4Addr::LOCALHOST, 8080).is_ok(), "the other instance is untouched");
    });
}

#[test]
fn what_is_in_the_way_is_named() {
    on_a_host(|folder| async move {
        let fails = |options: Options| async {
            PodNetwork::open(options).await.err().map(|e: NetworkError| e.to_string()).unwrap_or_default()
        };
        let with = |change: &dyn Fn(&mut Options)| {
            let mut options = options(&folder);
            change(&mut options);
            options
        };
        ip("link add lan0 type bridge");
        ip("addr add 10.42.0.77/16 dev lan0");
        ip("link set lan0 up");
        assert_eq!(
            fails(options(&folder)).await,
            "the pod range 10.42.0.0/24 overlaps with 10.42.0.0/16 of the link lan0; set another range in the configuration"
        );
        ip("link del lan0");
        ip("link add kedge0 type bridge");
        ip("link set kedge0 up");
        assert!(fails(options(&folder)).await.contains("the link kedge0 exists already"));
        ip("link del kedge0");
        let missing = fails(with(&|o| o.nft = "/nonexistent/nft".into())).await;
        assert_eq!(missing, "the program /nonexistent/nft is missing; install the package nftables");
        assert!(fails(with(&|o| o.bridge = "a/b".into())).await.contains("bridge name"));
        assert!(fails(with(&|o| o.instance = "A b".into())).await.contains("instance name"));
        assert!(fails(with(&|o| o.mtu = Some(9))).await.contains("MTU 9"));
        assert!(fails(with(&|o| o.range = Range::parse("10.42.0.0/30").unwrap())).await.contains("/8 to /29"));
        let network = PodNetwork::open(with(&|o| o.range = Range::parse("10.42.0.0/29").unwrap())).await.unwrap();
        let gone = network.attach("pod", Path::new("/nonexistent"), "", &[]).await.unwrap_err().to_string();
        assert!(gone.starts_with("entering the network namespace /nonexistent"), "{gone}");
        assert!(network.attached().await.unwrap().is_empty());
        let spaces: Vec<Space> = (0..6).map(|_| Space::new()).collect();
        for (i, space) in spaces.iter().take(5).enumerate() {
            network.attach(&format!("pod-{i}"), &space.path(), "", &[]).await.unwrap();
        }
        let full = network.attach("pod-5", &spaces[5].path(), "", &[]).await.unwrap_err().to_string();
        assert_eq!(full, "no pod address is left in 10.42.0.0/29: all 5 are in use");
        network.detach("pod-3").await.unwrap();
        network.attach("pod-5", &spaces[5].path(), "", &[]).await.unwrap();
        drop(network);
        // Another range in the configuration: the bridge follows.
        let network = PodNetwork::open(with(&|o| o.range = Range::parse("10.44.0.0/24").unwrap())).await.unwrap();
        let moved = first(&network.attach("pod-0", &spaces[0].path(), "", &[]).await.unwrap());
        spaces[0].serve(80);
        assert_eq!((moved.to_string(), call(moved, 80)), ("10.44.0.2".into(), Ok("10.44.0.1".into())));
    });
}
