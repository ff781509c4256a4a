//! The verbs of `edgectl` that concern who may do what and the device as a whole: auth, certificate, create token,
//! backup, restore, proxy; and what the verbs of streams say to those who err.
//!
//! In: a device. Out: what a user sees, and what a program reads: exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use kedge::{Device, Output, Running, Setup, http, until};
use serde_json::{Value, json};

use crate::words::{deployment, identities, phase, script};

const SOON: Duration = Duration::from_secs(30);

/// `edgectl` with other credentials than the administrator's: these words come first.
fn as_other(device: &Device, credentials: &[&str]) -> Command {
    let mut edgectl = Command::new(device.setup.edgectl_program());
    let server = format!("https://127.0.0.1:{}", device.setup.port());
    edgectl.env("KUBECONFIG", "/dev/null").args(["--server", &server, "--insecure-skip-tls-verify"]).args(credentials);
    edgectl.stdin(Stdio::null());
    edgectl
}

#[test]
fn one_looks_around_in_a_pod_in_a_copy_and_on_the_node() {
    let Some(device) = Device::with_images("debug") else { return };
    device.apply(&script("quiet", "Always", "exec sleep 1000")).ok();
    device.wait_for(&["pod", "quiet"], SOON, phase("Running"));
    let image = "--image=kedge.dev/demo/web:1";
    // An ephemeral container sees the processes of its target, and has an end of its own.
    let look = "echo looking; grep -c sleep /proc/1/cmdline; exit 3";
    let words = ["debug", "quiet", image, "--target=main", "-c", "look", "-q", "--attach", "--", "sh", "-c", look];
    assert_eq!(device.edgectl(&words).ok(), "looking\n1\n");
    let code = "-o=jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}";
    until("the end of the ephemeral container", SOON, || {
        let seen = device.edgectl(&["get", "pod", "quiet", code]);
        if seen.stdout == "3" { Ok(()) } else { Err(seen.to_string()) }
    });
    device.edgectl(&["debug", "quiet"]).fails(&["must specify --image"]);
    device.edgectl(&["debug", "quiet", image, "--target=nobody", "-q"]).fails(&["targetContainerName", "nobody"]);
    device.edgectl(&["debug", "nobody", image]).fails(&["pods \"nobody\" not found"]);

    // A copy with another command; what is copied goes on.
    let words = ["debug", "quiet", "--copy-to=copy", "-c", "main", "-q", "--attach", "--", "echo", "copied"];
    assert!(device.edgectl(&words).ok().contains("copied"));
    assert_eq!(device.get(&["pod", "copy"])["metadata"]["labels"], Value::Null);
    assert_eq!(device.get(&["pod", "quiet"])["status"]["phase"], "Running");

    // The node's files and processes.
    let node = format!("node/{}", device.setup.name());
    let script = "test -d /host/etc && grep -l edged /proc/*/comm | head -n 1 | wc -l";
    let said = device.edgectl(&["debug", &node, image, "--attach", "--", "sh", "-c", script]).ok();
    assert!(said.contains("Creating debugging pod node-debugger-") && said.ends_with("\n1\n"), "{said}");
    let looked = device.get(&["pods", "-l", "app.kubernetes.io/managed-by=kubectl-debug"]);
    assert_eq!(looked["items"].as_array().map(Vec::len), Some(1));
}

/// The figures of `edgectl top`, by name: thousandths of a core, and mebibytes.
fn figures(table: &str) -> Vec<(String, u64, u64)> {
    let number = |text: &str, unit: &str| text.strip_suffix(unit)?.parse().ok();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let [name, cpu, memory] = cells[..] else { return None };
        Some((name.to_owned(), number(cpu, "m")?, number(memory, "Mi")?))
    };
    table.lines().filter_map(row).collect()
}

#[test]
fn what_pods_and_the_node_use_is_told_to_who_may_view() {
    let Some(device) = Device::with_images("usage") else { return };
    let busy = script("busy", "Never", "while :; do :; done")
        .replace("    command:", "    resources: {limits: {cpu: 200m}}\n    command:");
    let full = script("full", "Never", "x=$(head -c 20000000 /dev/zero | tr '\\0' x); sleep 1000; echo $x | head -c 1");
    device.apply(&busy).ok();
    device.apply(&full).ok();
    for pod in ["busy", "full"] {
        device.wait_for(&["pod", pod], SOON, phase("Running"));
    }
    let used = until("one that computes and one that remembers", SOON, || {
        let table = device.edgectl(&["top", "pods", "--no-headers"]).ok();
        let used = figures(&table);
        let of = |name: &str| used.iter().find(|(known, ..)| known == name).map(|(_, cpu, memory)| (*cpu, *memory));
        match (of("busy"), of("full")) {
            (Some((cpu, 0..5)), Some((0..20, memory))) if (50..250).contains(&cpu) && memory >= 15 => Ok(used),
            _ => Err(table),
        }
    });
    assert_eq!(used.len(), 2, "{used:?}");
    let sorted = figures(&device.edgectl(&["top", "pods", "--sort-by=memory"]).ok());
    assert_eq!(sorted[0].0, "full");
    let node = device.edgectl(&["top", "node", device.setup.name()]).ok();
    assert!(node.contains(device.setup.name()) && node.contains('%') && !node.contains("<unknown>"), "{node}");
    device.edgectl(&["top", "pod", "nobody"]).fails(&["\"nobody\" not found"]);
    device.edgectl(&["get", "podmetrics", "busy"]).ok();
    device.edgectl(&["explain", "podmetrics.containers"]).ok();
    // Words for what is kept still mean that.
    assert!(device.edgectl(&["get", "pods"]).ok().contains("Running"));
    assert!(device.edgectl(&["get", "nodes"]).ok().contains("Ready"));

    device.edgectl(&["create", "rolebinding", "viewer", "--clusterrole=view", "--user=jane"]).ok();
    device.edgectl(&["top", "pods", "--as=jane"]).ok();
    device.edgectl(&["top", "pods", "-A", "--as=jane"]).fails(&["forbidden", "metrics.k8s.io"]);
    device.edgectl(&["top", "pods", "--as=john"]).fails(&["forbidden", "metrics.k8s.io"]);

    // Nothing of it is an object that holds a namespace.
    device.edgectl(&["create", "namespace", "passing"]).ok();
    device.edgectl(&["delete", "namespace", "passing", "--timeout=30s"]).ok();
}

#[test]
fn a_device_goes_back_to_its_backup_and_its_containers_go_on() {
    let Some(device) = Device::with_images("backup") else { return };
    device.apply(&deployment("web", 1, 1)).ok();
    device.rolled_out("web");
    device.edgectl(&["create", "configmap", "kept", "--from-literal=a=1"]).ok();
    let before = device.get(&["pods", "-l", "app=web"]);
    let file = device.setup.folder().join("saved");
    let name = file.to_str().unwrap();

    device.edgectl(&["backup"]).fails(&["<FILE>"]);
    device.edgectl(&["backup", "/nowhere/at/all"]).fails(&["cannot write /nowhere/at/all", "No such file"]);
    let said = device.edgectl(&["backup", name]).ok();
    assert!(said.starts_with(&format!("backup written to {name} (")) && said.contains("without keys"), "{said}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    device.edgectl(&["backup", name]).fails(&["is there; --force replaces it"]);
    device.edgectl(&["backup", "/tmp", "--force"]).fails(&["/tmp is a folder; name the file to write"]);
    device.edgectl(&["backup", name, "--force"]).ok();

    // Since then: one changed, one made, one gone.
    device.apply(&script("later", "Never", "sleep 1000")).ok();
    device.wait_for(&["pod", "later"], SOON, phase("Running"));
    device.edgectl(&["delete", "configmap", "kept"]).ok();
    device.edgectl(&["label", "deployment", "web", "since=then"]).ok();

    device.edgectl(&["restore", "/nowhere"]).fails(&["/nowhere", "No such file"]);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = device.file("damaged", &bytes);
    device.edgectl(&["restore", damaged.to_str().unwrap(), "--yes"]).fails(&["incomplete or damaged"]);
    let foreign = device.file("foreign", b"a: b\n");
    device.edgectl(&["restore", foreign.to_str().unwrap(), "--yes"]).fails(&["this is no backup of Kedge"]);
    let uid = device.get(&["namespace", "kube-system"])["metadata"]["uid"].as_str().unwrap().to_owned();
    device.edgectl(&["restore", name]).fails(&["replaces every object", &uid, "--yes"]);
    device.edgectl(&["get", "pod", "later"]).ok();

    let said = device.edgectl(&["restore", name, "--yes"]).ok();
    assert!(said.starts_with("restored: the cluster is as it was at "), "{said}");
    assert_eq!(device.get(&["configmap", "kept"])["data"]["a"], "1");
    assert!(device.get(&["deployment", "web"])["metadata"]["labels"]["since"].is_null());
    device.edgectl(&["get", "pod", "later"]).fails(&["NotFound"]);
    // The node follows: what is no longer wanted ends, what is wanted as before is not touched.
    until("the end of the later pod's container", SOON, || {
        let all = device.setup.marks().container_processes();
        let left = all.into_iter().find(|pid| kedge::leftovers::command_line(*pid).contains("sleep 1000"));
        left.map_or(Ok(()), |pid| Err(format!("process {pid}")))
    });
    assert_eq!(identities(&device.get(&["pods", "-l", "app=web"])), identities(&before));
    device.edgectl(&["rollout", "restart", "deployment/web"]).ok();
    device.rolled_out("web");
}

#[test]
fn a_new_device_takes_the_place_of_the_old_one_with_its_keys() {
    let Some(old) = Device::new("old") else { return };
    old.edgectl(&["create", "serviceaccount", "robot"]).ok();
    old.edgectl(&["create", "clusterrolebinding", "robots", "--clusterrole=view", "--serviceaccount=default:robot"])
        .ok();
    let token = old.edgectl(&["create", "token", "robot"]).ok();
    let file = old.setup.folder().join("saved");
    let said = old.edgectl(&["backup", "--keys", file.to_str().unwrap()]).ok();
    assert!(said.contains("with keys: keep it like a password"), "{said}");
    let kubeconfig = std::fs::read_to_string(old.kubeconfig()).unwrap();

    let setup = Setup::new("new").unwrap();
    let mut restore = Command::new(setup.edged_program());
    let restore = Output::of(restore.args(["restore", "--keys", "--data-dir"]).arg(setup.data()).arg(&file));
    assert!(restore.clone().ok().contains("restored: the device starts as it was at "), "{restore}");
    let new = setup.start();
    // Old credentials, old tokens: as if it were the old device.
    let ports = [&old, &new].map(|device| format!("127.0.0.1:{}", device.setup.port()));
    let moved = new.file("moved", kubeconfig.replace(&ports[0], &ports[1]).as_bytes());
    let whoami = Output::of(
        Command::new(new.setup.edgectl_program()).arg("--kubeconfig").arg(moved).args(["auth", "whoami", "-o", "json"]),
    );
    assert!(whoami.clone().ok().contains("system:masters"), "{whoami}");
    Output::of(as_other(&new, &["--token", token.trim()]).args(["get", "pods"])).ok();
}

#[test]
fn certificates_are_asked_for_approved_denied_and_used() {
    let Some(device) = Device::new("certificates") else { return };
    let key = rcgen::KeyPair::generate().unwrap();
    let mut wanted = rcgen::CertificateParams::default();
    wanted.distinguished_name.push(rcgen::DnType::CommonName, "jane");
    wanted.distinguished_name.push(rcgen::DnType::OrganizationName, "tea");
    let request = wanted.serialize_request(&key).unwrap().pem().unwrap();
    let ask = |name: &str| {
        let object = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
            "spec": {
                "request": base64(request.as_bytes()),
                "signerName": "kubernetes.io/kube-apiserver-client",
                "usages": ["client auth"],
            },
        });
        device.apply(&object.to_string()).ok();
    };
    ask("jane");
    ask("john");
    let list = device.edgectl(&["get", "csr"]).ok();
    assert!(list.lines().any(|line| line.starts_with("jane") && line.ends_with("Pending")), "{list}");
    device.edgectl(&["certificate", "approve"]).fails(&["<NAMES>"]);
    device.edgectl(&["certificate", "approve", "nobody"]).fails(&["NotFound", "\"nobody\" not found"]);
    let said = device.edgectl(&["certificate", "approve", "jane"]).ok();
    assert_eq!(said, "certificatesigningrequest.certificates.k8s.io/jane approved\n");
    // As `get -o name` prints it.
    let said = device.edgectl(&["certificate", "deny", "certificatesigningrequest.certificates.k8s.io/john"]).ok();
    assert_eq!(said, "certificatesigningrequest.certificates.k8s.io/john denied\n");
    device.edgectl(&["certificate", "approve", "john"]).fails(&["Denied"]);
    let signed = device.wait_for(&["csr", "jane"], SOON, |csr| match csr["status"]["certificate"].as_str() {
        Some(_) => Ok(()),
        None => Err(csr["status"].to_string()),
    });
    assert!(device.get(&["csr", "john"])["status"]["certificate"].is_null());
    let list = device.edgectl(&["get", "csr"]).ok();
    for (name, condition) in [("jane", "Approved,Issued"), ("john", "Denied")] {
        assert!(list.lines().any(|line| line.starts_with(name) && line.ends_with(condition)), "{list}");
    }

    // The certificate lets jane in, and what she may is hers alone.
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {
            "server": format!("https://127.0.0.1:{}", device.setup.port()), "insecure-skip-tls-verify": true,
        }}],
        "users": [{"name": "jane", "user": {
            "client-certificate-data": signed["status"]["certificate"],
            "client-key-data": base64(key.serialize_pem().as_bytes()),
        }}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "jane"}}],
    });
    let config = device.file("jane.kubeconfig", config.to_string().as_bytes());
    let jane = |words: &[&str]| {
        let mut edgectl = Command::new(device.setup.edgectl_program());
        Output::of(edgectl.arg("--kubeconfig").arg(&config).args(words))
    };
    let who = jane(&["auth", "whoami"]).ok();
    let line = |title: &str| who.lines().find(|l| l.starts_with(title)).unwrap_or_default().to_owned();
    assert!(line("Username").ends_with("jane"), "{who}");
    assert!(line("Groups").ends_with("[tea system:authenticated]"), "{who}");
    jane(&["get", "pods"]).fails(&["Forbidden", "User \"jane\" cannot list resource \"pods\""]);
    device.edgectl(&["create", "rolebinding", "tea", "--clusterrole=view", "--group=tea"]).ok();
    jane(&["get", "pods"]).ok();
}

#[test]
fn rights_are_asked_for_and_reconciled() {
    let Some(device) = Device::new("rights") else { return };
    let can = |words: &[&str]| {
        let output = device.edgectl(&[&["auth", "can-i"], words].concat());
        (output.stdout.trim().to_owned(), output.code)
    };
    let yes = ("yes".to_owned(), 0);
    let no = ("no".to_owned(), 1);
    assert_eq!(can(&["create", "deployments"]), yes);
    assert_eq!(can(&["get", "pods", "--subresource=log", "--as", "jane"]), no);
    assert_eq!(can(&["list", "pods", "--as", "jane", "-q"]), (String::new(), 1));
    assert_eq!(can(&["get", "/healthz", "--as", "jane", "--as-group", "system:authenticated"]), yes);
    device.edgectl(&["auth", "can-i"]).fails(&["you must specify two arguments"]);
    device.edgectl(&["auth", "can-i", "list"]).fails(&["you must specify two arguments"]);
    let unknown = device.edgectl(&["auth", "can-i", "list", "teapots"]);
    assert!(unknown.stderr.contains("the server doesn't have a resource type 'teapots'"), "{unknown}");

    let role = |verbs: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: reader}}\n\
             rules: [{{apiGroups: [''], resources: [pods], verbs: {verbs}}}]\n"
        )
    };
    let binding = |kind: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: reader}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {kind}, name: reader}}\n\
             subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: jane}}]\n"
        )
    };
    let reconcile = |text: &str| {
        let file = device.file("rights.yaml", text.as_bytes());
        device.edgectl(&["auth", "reconcile", "-f", file.to_str().unwrap()])
    };
    device.edgectl(&["auth", "reconcile"]).fails(&["must specify -f"]);
    let other = reconcile("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n");
    assert!(other.code == 0 && other.stderr.contains("ConfigMap \"m\" is no role and no binding: skipped"), "{other}");
    let said = reconcile(&format!("{}---\n{}", role("[list]"), binding("Role"))).ok();
    assert_eq!(
        said,
        "role.rbac.authorization.k8s.io/reader reconciled\nrolebinding.rbac.authorization.k8s.io/reader reconciled\n"
    );
    assert_eq!(can(&["list", "pods", "--as", "jane"]), yes);
    // More is added, nothing is taken away.
    reconcile(&role("[watch]")).ok();
    assert_eq!(can(&["list", "pods", "--as", "jane"]), yes);
    assert_eq!(can(&["watch", "pods", "--as", "jane"]), yes);
    let rules = device.edgectl(&["auth", "can-i", "--list", "--as", "jane"]).ok();
    assert!(rules.lines().any(|l| l.starts_with("pods ") && l.contains("[list]")), "{rules}");
    // What a binding points at cannot be changed in place: it is made anew.
    reconcile(&binding("ClusterRole")).ok();
    assert_eq!(device.get(&["rolebinding", "reader"])["roleRef"]["kind"], "ClusterRole");
    assert_eq!(can(&["list", "pods", "--as", "jane"]), no);
}

#[test]
fn tokens_are_for_whom_and_as_long_as_they_say() {
    let Some(device) = Device::with_images("tokens") else { return };
    device
        .edgectl(&["create", "token", "nobody"])
        .fails(&["failed to create token: serviceaccounts \"nobody\" not found"]);
    device.edgectl(&["create", "token", "default", "--duration=1s"]).fails(&["Invalid", "10 minutes"]);
    device.edgectl(&["create", "token", "default", "--duration=soon"]).fails(&["soon"]);
    let who = |token: &str| Output::of(as_other(&device, &["--token", token.trim()]).args(["auth", "whoami"]));
    let token = device.edgectl(&["create", "token", "default", "--duration=10m"]).ok();
    assert!(who(&token).ok().contains("system:serviceaccount:default:default"));
    // Meant for others, it does not open this door.
    let foreign = device.edgectl(&["create", "token", "default", "--audience=vault"]).ok();
    who(&foreign).fails(&["Unauthorized"]);
    // It ends with what it is bound to.
    device.apply(&script("bound", "Never", "sleep 1000")).ok();
    let words = ["create", "token", "default", "--bound-object-kind=Pod", "--bound-object-name=bound"];
    let bound = device.edgectl(&words).ok();
    let said = who(&bound).ok();
    assert!(said.contains("authentication.kubernetes.io/pod-name") && said.contains("[bound]"), "{said}");
    device.edgectl(&["delete", "pod", "bound"]).ok();
    who(&bound).fails(&["Unauthorized"]);
}

#[test]
fn the_proxy_hands_the_api_to_local_programs() {
    let Some(device) = Device::new("proxy") else { return };
    let (_running, mut said) = started(&device, &["proxy", "--port=0"]);
    let line = said.next().unwrap().unwrap();
    let address = line.strip_prefix("Starting to serve on ").unwrap_or_else(|| panic!("{line}")).to_owned();
    let (status, body) = http::get(&address, "/api/v1/namespaces/default").unwrap();
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()["kind"].clone()), (200, json!("Namespace")));
    assert_eq!(http::get(&address, "/api/v1/namespaces/nobody").unwrap().0, 404);
    // A page in a browser that was led here by a foreign name is refused, and so is a way into containers.
    assert_eq!(asked(&address, "GET /api HTTP/1.0\r\nHost: evil.example.org\r\n\r\n").0, 403);
    assert_eq!(http::get(&address, "/api/v1/namespaces/default/pods/x/exec?command=id").unwrap().0, 403);
    let body = "{\"metadata\":{\"name\":\"made\"},\"data\":{\"a\":\"b\"}}";
    let head = "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let post = format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(asked(&address, &post).0, 201);
    device.edgectl(&["get", "configmap", "made"]).ok();
    // A watch comes as it happens.
    let mut watch = std::net::TcpStream::connect(&address).unwrap();
    watch.set_read_timeout(Some(SOON)).unwrap();
    let path = "/api/v1/namespaces/default/configmaps?watch=1&fieldSelector=metadata.name%3Dmade";
    write!(watch, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut lines = BufReader::new(watch).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("\"ADDED\"")), "the watch ended");
    device.edgectl(&["annotate", "configmap", "made", "seen=yes"]).ok();
    assert!(lines.any(|line| line.contains("\"MODIFIED\"")), "the watch ended");

    // A port that somebody has, and a socket.
    let port = address.rsplit_once(':').unwrap().1;
    device.edgectl(&["proxy", "--port", port]).fails(&["cannot listen on 127.0.0.1:", "in use"]);
    let socket = device.setup.folder().join("socket");
    let (_running, mut said) = started(&device, &["proxy", "--unix-socket", socket.to_str().unwrap()]);
    assert!(said.next().unwrap().unwrap().ends_with("/socket"));
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"GET /version HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"minor\": \"36\"") || answer.contains("\"minor\":\"36\""), "{answer}");
}

/// A verb that goes on, and its lines.
fn started(device: &Device, words: &[&str]) -> (Running, impl Iterator<Item = std::io::Result<String>> + use<>) {
    let mut command = device.edgectl_command();
    let mut child = command.args(words).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (Running(child), lines)
}

/// An answer to bytes: its status, all of it.
fn asked(address: &str, request: &str) -> (u16, String) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    (status.unwrap_or_else(|| panic!("{answer}")), answer)
}

#[test]
fn the_verbs_of_streams_say_what_is_wrong() {
    let Some(device) = Device::with_images("mistakes") else { return };
    device.apply(&script("up", "Never", "sleep 1000")).ok();
    device.apply(&script("over", "Never", "true")).ok();
    device.wait_for(&["pod", "up"], SOON, phase("Running"));
    device.wait_for(&["pod", "over"], SOON, phase("Succeeded"));
    let here = device.file("here", b"content");
    let here = here.to_str().unwrap();
    let fails = |words: &[&str], said: &[&str]| drop(device.edgectl(words).fails(said));

    fails(&["cp", here, "up"], &["one of src or dest must be a remote file specification"]);
    fails(&["cp", "up:/a", "up:/b"], &["one of src or dest must be a local file specification"]);
    fails(&["cp", "/nowhere", "up:/tmp/x"], &["/nowhere doesn't exist in local filesystem"]);
    fails(&["cp", here, "nobody:/tmp/x"], &["pods \"nobody\" not found"]);
    fails(&["cp", here, "up:/no/such/folder/x"], &["/no/such/folder", "exit code"]);
    fails(&["cp", "up:/nowhere", "/tmp/never-made"], &["nowhere", "exit code"]);
    fails(&["cp", here, "up:/tmp/x", "-c", "nobody"], &["container nobody", "up"]);
    fails(&["cp", here, "over:/tmp/x"], &["completed"]);
    folders(&device);

    fails(&["attach", "nobody"], &["pods \"nobody\" not found"]);
    fails(&["attach", "over"], &["completed pod", "Succeeded"]);
    fails(&["attach", "up", "-c", "nobody"], &["container nobody"]);
    fails(&["exec", "up", "ls"], &["--"]);
    fails(&["exec", "over", "--", "ls"], &["completed pod"]);

    fails(&["run", "Bad_Name", "--image=kedge.dev/demo/web:1"], &["Invalid", "metadata.name"]);
    fails(&["run", "x"], &["--image"]);
    fails(&["run", "x", "--image=kedge.dev/demo/web:1", "--rm"], &["--rm should only be used for attached"]);
    fails(&["run", "up", "--image=kedge.dev/demo/web:1"], &["AlreadyExists", "\"up\" already exists"]);
    let absent = ["run", "absent", "-i", "--rm", "--image=kedge.dev/demo/none:1", "--image-pull-policy=Never"];
    fails(&[&absent[..], &["--restart=Never", "--pod-running-timeout=2s"]].concat(), &["timed out waiting"]);
    fails(&["get", "pod", "absent"], &["NotFound"]);
    // What ends the program ends the session, and with it the pod.
    let (mut running, _) =
        started(&device, &["run", "brief", "-i", "--rm", "--restart=Never", "--image=kedge.dev/demo/web:1"]);
    device.wait_for(&["pod", "brief"], SOON, phase("Running"));
    kedge::leftovers::kill(running.0.id(), libc::SIGTERM);
    let status = until("the end of a session", SOON, || running.0.try_wait().unwrap().ok_or("it goes on"));
    assert_eq!(status.code(), Some(128 + libc::SIGTERM));
    fails(&["get", "pod", "brief"], &["NotFound"]);

    fails(&["port-forward", "up"], &["[LOCAL:]REMOTE"]);
    fails(&["port-forward", "up", "x"], &["does not have a named port 'x'"]);
    fails(&["port-forward", "up", "70000"], &["must be between 1 and 65535"]);
    fails(&["port-forward", "over", ":80"], &["pod is not running", "Succeeded"]);
    fails(&["port-forward", "nobody", ":80"], &["pods \"nobody\" not found"]);
    fails(&["port-forward", "svc/nobody", ":80"], &["services \"nobody\" not found"]);
    fails(&["port-forward", "up", ":80", "--address=here"], &["here is not a valid IP"]);
    // Nobody listens in the pod: the connection ends, the forwarding goes on.
    let (mut running, mut said) = started(&device, &["port-forward", "up", ":80", "--address=127.0.0.1"]);
    let line = said.next().unwrap().unwrap();
    let address = line.split(' ').nth(2).unwrap().to_owned();
    assert!(http::get(&address, "/").is_err() && http::get(&address, "/").is_err());
    assert!(running.0.try_wait().unwrap().is_none(), "it ended");
}

#[test]
fn manifests_come_from_kustomizations_and_addresses_and_templates_are_filled() {
    let Some(device) = Device::new("kustomize") else { return };
    let folder = device.setup.folder().join("site");
    std::fs::create_dir_all(&folder).unwrap();
    let pod = "apiVersion: v1\nkind: PodTemplate\nmetadata: {name: t}\ntemplate: {spec: {containers: [{name: c, image: 'a:1', envFrom: [{configMapRef: {name: settings}}]}]}}\n";
    std::fs::write(folder.join("pod.yaml"), pod).unwrap();
    let said = "resources: [pod.yaml]\nnamePrefix: pre-\nlabels: [{pairs: {team: edge}}]\nimages: [{name: a, newTag: '2'}]\nconfigMapGenerator: [{name: settings, literals: [a=b]}]\n";
    std::fs::write(folder.join("kustomization.yaml"), said).unwrap();
    let place = folder.to_str().unwrap();
    let printed = device.edgectl(&["kustomize", place]).ok();
    assert!(printed.contains("\n---\n") && printed.contains("image: a:2"), "{printed}");
    device.edgectl(&["apply", "-k", place]).ok();
    let template = "-o=go-template={{range .items}}{{.metadata.name}} {{index .metadata.labels \"team\"}} {{.data.a}}{{\"\\n\"}}{{end}}";
    let maps = device.edgectl(&["get", "configmaps", "-l", "team=edge", template]).ok();
    let name = maps.split(' ').next().unwrap().to_owned();
    assert!(name.starts_with("pre-settings-") && maps == format!("{name} edge b\n"), "{maps}");
    let template = device.get(&["podtemplate", "pre-t"]);
    assert_eq!(template["template"]["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"], name.as_str());
    device.edgectl(&["diff", "-k", place]).ok();
    device.edgectl(&["delete", "-k", place]).ok();
    device.edgectl(&["get", "configmap", &name]).fails(&["NotFound"]);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/m.yaml", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (mut link, _) = listener.accept().unwrap();
        let count = link.read(&mut [0; 4096]).unwrap();
        let body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: afar}\n";
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        link.write_all((head + body).as_bytes()).unwrap();
        count
    });
    assert_eq!(device.edgectl(&["apply", "-f", &address]).ok(), "configmap/afar created\n");
    assert!(served.join().unwrap() > 0);
    device.edgectl(&["apply", "-f", &address]).fails(&[address.as_str(), "refused"]);
}

#[test]
fn a_reader_that_has_read_enough_ends_the_program_in_silence() {
    let Some(device) = Device::new("readers") else { return };
    let mut command = device.edgectl_command();
    // Megabytes: more than a pipe holds.
    command.args(["get", "--raw", "/openapi/v2"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0; 16]).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()), (Some(141), ""));
}

/// Folders there and back, with what is in them.
fn folders(device: &Device) {
    let tree = device.setup.folder().join("tree");
    std::fs::create_dir_all(tree.join("sub/empty")).unwrap();
    std::fs::write(tree.join("sub/file"), "inside").unwrap();
    std::fs::write(tree.join("run"), "#!/bin/sh\necho ran\n").unwrap();
    std::fs::set_permissions(tree.join("run"), PermissionsExt::from_mode(0o755)).unwrap();
    let back = device.setup.folder().join("back");
    device.edgectl(&["cp", tree.to_str().unwrap(), "default/up:/tmp"]).ok();
    assert_eq!(device.edgectl(&["exec", "up", "--", "/tmp/tree/run"]).ok(), "ran\n");
    device.edgectl(&["cp", "up:/tmp/tree", back.to_str().unwrap()]).ok();
    let read = |path: &str| std::fs::read_to_string(Path::join(&back, path)).unwrap();
    assert_eq!((read("sub/file").as_str(), read("run").as_str()), ("inside", "#!/bin/sh\necho ran\n"));
    assert!(back.join("sub/empty").is_dir());
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
