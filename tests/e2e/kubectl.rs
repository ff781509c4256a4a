//! Stock kubectls, from the one of 2020 to the newest, do their everyday work against a device.
//!
//! In: the kubectls that `cargo xtask test` fetched, and the machine's if there is one. Out: what each says. What only
//! newer ones know is asked of those.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kedge::{Device, Output, http, programs, until};

use crate::words::{deployment, phase, script};

const SOON: Duration = Duration::from_secs(30);

struct Kubectl<'a> {
    program: &'a Path,
    device: &'a Device,
    home: std::path::PathBuf,
    /// Its own minor version.
    minor: u32,
}

impl Kubectl<'_> {
    #[track_caller]
    fn run(&self, words: &[&str]) -> Output {
        let mut kubectl = Command::new(self.program);
        // Its cache of the server's kinds is a test's own.
        kubectl.env("HOME", &self.home).env("KUBECONFIG", self.device.kubeconfig());
        Output::of(kubectl.args(words))
    }

    #[track_caller]
    fn says(&self, words: &[&str], expected: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!(output.code, 0, "{output}");
        for word in expected {
            assert!(output.stdout.contains(word), "no {word:?}: {output}");
        }
        output.stdout
    }
}

/// All that one of the fetched kubectls is asked to do, on a device of its own.
fn work(name: &str) {
    let Some(kubectl) = programs::kubectls().into_iter().find(|kubectl| kubectl.name == name) else {
        return programs::skip(&format!("there is no kubectl {name}: cargo xtask test fetches it"));
    };
    let Some(device) = Device::with_images("kubectl") else { return };
    let home = device.setup.folder().join("home");
    std::fs::create_dir_all(&home).unwrap();
    let kubectl = Kubectl { program: &kubectl.program, device: &device, home, minor: 0 };
    let version = kubectl.says(&["version", "-o", "json"], &["serverVersion"]);
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    assert_eq!(version["serverVersion"]["minor"], "36");
    let minor = version["clientVersion"]["minor"].as_str().and_then(|text| text.trim_end_matches('+').parse().ok());
    let kubectl = Kubectl { minor: minor.unwrap_or_else(|| panic!("{version}")), ..kubectl };
    everyday(&kubectl);
    further(&kubectl);
}

#[test]
fn kubectl_1_20_of_debian_does_its_work() {
    work("1.20");
}

#[test]
fn kubectl_1_36_of_the_servers_own_version_does_its_work() {
    work("1.36");
}

#[test]
fn kubectl_1_37_the_newest_does_its_work() {
    work("1.37");
}

#[test]
fn the_machines_kubectl_does_its_work() {
    // Not every machine has one, and no test needs one.
    for kubectl in programs::kubectls().iter().filter(|kubectl| ["given", "machine"].contains(&kubectl.name)) {
        work(kubectl.name);
    }
}

fn everyday(kubectl: &Kubectl<'_>) {
    let device = kubectl.device;
    kubectl.says(&["version"], &["36"]);
    kubectl.says(&["api-resources"], &["deployments", "configmaps", "cronjobs", "networkpolicies"]);
    kubectl.says(&["api-versions"], &["apps/v1", "rbac.authorization.k8s.io/v1"]);
    kubectl.says(&["cluster-info"], &["127.0.0.1"]);
    kubectl.says(&["explain", "deployment.spec.strategy"], &["rollingUpdate"]);
    kubectl.says(&["explain", "pod.spec.containers.livenessProbe"], &["periodSeconds"]);
    kubectl.says(&["get", "nodes"], &[" Ready", device.setup.name()]);
    kubectl.says(&["get", "namespaces"], &["default", "kube-system", "Active"]);
    kubectl.says(&["auth", "can-i", "create", "pods"], &["yes"]);

    // Apply, look, reach.
    // A client of 2020 decodes into its own types and would lose a `sleep` that it does not know when it rolls back.
    let web = deployment("web", 1, 2).replace("sleep: {seconds: 2}", "exec: {command: [sleep, '2']}");
    let manifest = device.file("kubectl.yaml", web.as_bytes());
    let file = manifest.to_str().unwrap();
    kubectl.says(&["apply", "-f", file], &["deployment.apps/web created"]);
    kubectl.says(&["rollout", "status", "deployment/web", "--timeout=90s"], &["successfully rolled out"]);
    kubectl.says(&["apply", "-f", file], &["unchanged"]);
    kubectl.says(&["diff", "-f", file], &[]);
    let changed = device.file("changed.yaml", web.replace("replicas: 2", "replicas: 3").as_bytes());
    let differs = kubectl.run(&["diff", "-f", changed.to_str().unwrap()]);
    assert!(differs.code == 1 && differs.stdout.contains("+  replicas: 3"), "{differs}");
    kubectl.says(&["get", "deployments"], &["web", "2/2"]);
    kubectl.says(&["get", "pods", "-o", "wide", "-l", "app=web"], &["1/1", "Running", device.setup.name()]);
    kubectl.says(&["get", "pods", "-o", "jsonpath={.items[*].status.phase}"], &["Running Running"]);
    kubectl.says(&["get", "deploy", "web", "-o", "yaml"], &["availableReplicas: 2"]);
    kubectl.says(&["get", "all"], &["deployment.apps/web", "replicaset.apps/web-"]);
    kubectl.says(&["describe", "deployment", "web"], &["RollingUpdate", "ScalingReplicaSet"]);
    kubectl.says(&["describe", "pods", "-l", "app=web"], &["Container ID:", "Scheduled", "Started"]);
    kubectl.says(&["describe", "node"], &["Allocatable", "MemoryPressure"]);
    for address in device.ready_addresses("app=web") {
        assert_eq!(http::get(&address, "/").unwrap().0, 200);
    }
    kubectl.says(&["logs", "deployment/web"], &["web version 1 on web-"]);
    kubectl.says(&["wait", "--for=condition=Available", "deployment/web", "--timeout=30s"], &["condition met"]);
    kubectl.says(&["get", "events"], &["Scheduled"]);

    // Change: each kind of patch, scale, labels, images, history.
    let merge = "{\"spec\":{\"replicas\":3}}";
    kubectl.says(&["patch", "deployment", "web", "--type=merge", "-p", merge], &["patched"]);
    let strategic = "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"web\",\"env\":[{\"name\":\"A\",\"value\":\"b\"}]}]}}}}";
    kubectl.says(&["patch", "deployment", "web", "-p", strategic], &["patched"]);
    let json = "[{\"op\":\"add\",\"path\":\"/metadata/annotations/x\",\"value\":\"y\"}]";
    kubectl.says(&["patch", "deployment", "web", "--type=json", "-p", json], &["patched"]);
    kubectl.says(&["rollout", "status", "deployment/web", "--timeout=90s"], &["successfully rolled out"]);
    kubectl
        .says(&["get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].env[0].value}"], &["b"]);
    kubectl.says(&["scale", "deployment/web", "--replicas=1"], &["scaled"]);
    kubectl.says(&["set", "image", "deployment/web", "web=kedge.dev/demo/web:2"], &["image updated"]);
    kubectl.says(&["rollout", "status", "deployment/web", "--timeout=90s"], &["successfully rolled out"]);
    kubectl.says(&["rollout", "history", "deployment/web"], &["REVISION"]);
    kubectl.says(&["rollout", "undo", "deployment/web"], &["rolled back"]);
    kubectl.says(&["rollout", "status", "deployment/web", "--timeout=90s"], &["successfully rolled out"]);
    kubectl.says(&["label", "deployment", "web", "tier=front"], &["labeled"]);
    kubectl.says(&["annotate", "deployment", "web", "note=n"], &["annotated"]);
    kubectl.says(&["get", "deployments", "-l", "tier=front", "-o", "name"], &["deployment.apps/web"]);

    // Create in kubectl's own ways.
    kubectl.says(&["create", "configmap", "made", "--from-literal=a=b"], &["created"]);
    kubectl.says(&["create", "secret", "generic", "made", "--from-literal=a=b"], &["created"]);
    kubectl.says(&["create", "namespace", "made"], &["created"]);
    kubectl.says(&["-n", "made", "create", "serviceaccount", "made"], &["created"]);
    until("a default service account", SOON, || {
        kubectl.run(&["-n", "made", "get", "serviceaccount", "default"]).seen()
    });
    kubectl.says(&["delete", "namespace", "made"], &["deleted"]);
    kubectl.says(&["delete", "configmap/made", "secret/made"], &["deleted"]);
    kubectl.says(&["apply", "--server-side", "-f", file, "--force-conflicts"], &["serverside-applied"]);

    kubectl.run(&["get", "pod", "nobody"]).fails(&["Error from server (NotFound): pods \"nobody\" not found"]);
    kubectl.run(&["scale", "deployment/web", "--replicas=-1"]).fails(&["replicas"]);
    kubectl.says(&["delete", "-f", file], &["deployment.apps \"web\" deleted"]);
    device.wait_for(&["pods"], SOON, |list| {
        let left = list["items"].as_array().map_or(0, Vec::len);
        if left == 0 { Ok(()) } else { Err(format!("{left} pods left")) }
    });
}

/// What goes on while it is watched, what is refused, and what newer kubectls know.
fn further(kubectl: &Kubectl<'_>) {
    let device = kubectl.device;
    // A log to the container's end, the end waited for.
    device.apply(&script("slow", "Never", "for i in 1 2 3; do echo line $i; sleep 1; done; exit 2")).ok();
    device.wait_for(&["pod", "slow"], SOON, phase("Running"));
    assert_eq!(kubectl.says(&["logs", "-f", "slow"], &[]), "line 1\nline 2\nline 3\n");
    let stamped = kubectl.says(&["logs", "slow", "--tail=1", "--timestamps"], &["line 3"]);
    assert!(stamped.lines().count() == 1 && stamped.starts_with("20"), "{stamped}");
    kubectl.says(&["delete", "pod", "slow", "--wait=false"], &["deleted"]);
    let gone = kubectl.run(&["wait", "pod/slow", "--for=delete", "--timeout=60s"]);
    // It may have gone before it was asked for.
    assert!(gone.code == 0 || gone.stderr.contains("found"), "{gone}");

    // Fields that have two owners.
    let map = |value: &str| {
        let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: owned}}\ndata: {{a: '{value}'}}\n");
        device.file(&format!("owned-{value}.yaml"), text.as_bytes()).to_string_lossy().into_owned()
    };
    let (owned, other) = (&*map("1"), &*map("2"));
    kubectl.says(&["apply", "--server-side", "-f", owned, "--field-manager=one"], &["serverside-applied"]);
    let conflict = kubectl.run(&["apply", "--server-side", "-f", other, "--field-manager=two"]);
    conflict.fails(&["1 conflict", "\"one\"", ".data.a"]);

    // What edgectl writes, kubectl reads as the same: words that YAML 1.1 takes for truths, numbers and times, and lines.
    let words =
        ["on", "No", "y", "~", "1_000", "0x1F", "012", "12:30", "1e3", "2026-01-02", "- a", "a: b", "a\n\tb\n", ""];
    let literals: Vec<String> = (0..).zip(words).map(|(n, word)| format!("--from-literal=k{n:02}={word}")).collect();
    let make = [&["create", "configmap", "words", "--dry-run=client", "-o", "yaml"][..], &refs(&literals)].concat();
    let written = device.file("words.yaml", device.edgectl(&make).ok().as_bytes());
    kubectl.says(&["create", "-f", written.to_str().unwrap()], &["created"]);
    let read = device.get(&["configmap", "words"])["data"].as_object().unwrap().clone();
    assert_eq!(read.values().map(|value| value.as_str().unwrap()).collect::<Vec<_>>(), words);

    // The verbs that make objects of many kinds, and those that change and look at them.
    let web = ["create", "deployment", "front", "--image=kedge.dev/demo/web:1"];
    kubectl.says(&web, &["created"]);
    kubectl.says(&["expose", "deployment", "front", "--port=80", "--target-port=8080"], &["exposed"]);
    kubectl.says(&["autoscale", "deployment", "front", "--min=1", "--max=3"], &["autoscaled"]);
    kubectl.says(&["create", "job", "once", "--image=kedge.dev/demo/web:1", "--", "echo", "hello"], &["created"]);
    let daily = ["create", "cronjob", "daily", "--image=kedge.dev/demo/web:1", "--schedule=0 0 * * *", "--", "true"];
    kubectl.says(&daily, &["created"]);
    kubectl.says(&["create", "quota", "quota", "--hard=pods=20"], &["created"]);
    kubectl
        .says(&["create", "poddisruptionbudget", "budget", "--selector=app=front", "--min-available=1"], &["created"]);
    kubectl.says(&["create", "ingress", "way", "--rule=host/path=front:80"], &["created"]);
    kubectl.says(&["create", "role", "reader", "--verb=get", "--resource=pods"], &["created"]);
    kubectl.says(&["create", "rolebinding", "reader", "--role=reader", "--user=jane"], &["created"]);
    kubectl.says(&["auth", "can-i", "get", "pods", "--as=jane"], &["yes"]);
    let refused = kubectl.run(&["auth", "can-i", "delete", "pods", "--as=jane"]);
    assert!(refused.code == 1 && refused.stdout.trim() == "no", "{refused}");
    kubectl.says(&["wait", "--for=condition=Complete", "job/once", "--timeout=60s"], &["condition met"]);
    kubectl.says(&["logs", "job/once"], &["hello"]);
    kubectl.says(&["rollout", "status", "deployment/front", "--timeout=90s"], &["successfully rolled out"]);
    // What was rolled out as it was made has not been changed since.
    kubectl.says(&["get", "deployment", "front", "-o", "jsonpath={.metadata.generation}"], &["1"]);
    for described in ["svc/front", "hpa/front", "job/once", "cronjob/daily", "quota/quota", "pdb/budget", "ingress/way"]
    {
        kubectl.says(&["describe", described], &["Name:"]);
    }
    let parts = kubectl.says(&["get", "componentstatuses"], &["STATUS"]);
    assert_eq!(parts.matches("Healthy").count(), 3, "{parts}");
    kubectl.says(&["set", "env", "deployment/front", "A=b"], &["env updated"]);
    kubectl.says(&["set", "resources", "deployment/front", "--limits=memory=64Mi"], &["resource requirements updated"]);
    let mut edit = Command::new(kubectl.program);
    edit.env("HOME", &kubectl.home).env("KUBECONFIG", device.kubeconfig());
    edit.env("EDITOR", "sed -i 's/minReplicas: 1/minReplicas: 2/'");
    assert!(Output::of(edit.args(["edit", "hpa", "front"])).ok().contains("edited"));
    kubectl.says(&["get", "hpa", "front", "-o", "jsonpath={.spec.minReplicas}"], &["2"]);
    kubectl.says(&["taint", "nodes", "--all", "k=v:PreferNoSchedule"], &["tainted"]);
    kubectl.says(&["taint", "nodes", "--all", "k-"], &["untainted"]);
    kubectl.says(&["cordon", device.setup.name()], &["cordoned"]);
    kubectl.says(&["uncordon", device.setup.name()], &["uncordoned"]);
    let folder = device.setup.folder().join("kustomize");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(owned, folder.join("owned.yaml")).unwrap();
    std::fs::write(folder.join("kustomization.yaml"), "namePrefix: pre-\nresources: [owned.yaml]\n").unwrap();
    kubectl.says(&["apply", "-k", folder.to_str().unwrap()], &["configmap/pre-owned created"]);
    node(kubectl);
    if kubectl.minor >= 25 {
        debug(kubectl);
    }
    if kubectl.minor >= 36 {
        newer(kubectl);
    }
    let kinds = "deployment,hpa,job,cronjob,quota,pdb,ingress";
    kubectl.says(&["delete", kinds, "--all"], &["\"front\" deleted"]);
}

/// What a kubelet serves, through the API server.
fn node(kubectl: &Kubectl<'_>) {
    let at = |path: &str| format!("/api/v1/nodes/{}/proxy/{path}", kubectl.device.setup.name());
    kubectl.says(&["get", "--raw", &at("pods")], &["\"PodList\"", "front-"]);
    kubectl.says(&["get", "--raw", &at("stats/summary")], &["usageCoreNanoSeconds", "front-"]);
    kubectl.says(&["get", "--raw", &at("configz")], &["\"kubeletconfig\"", "\"maxPods\":110"]);
    let figures = ["container_memory_working_set_bytes{container=\"web\"", "machine_memory_bytes{"];
    kubectl.says(&["get", "--raw", &at("metrics/cadvisor")], &figures);
    kubectl.says(&["get", "--raw", &at("metrics/resource")], &["pod_memory_working_set_bytes{"]);
    // What is used now.
    kubectl.says(&["top", "nodes"], &["CPU(cores)", "MEMORY(bytes)", kubectl.device.setup.name()]);
    kubectl.says(&["top", "pods", "--all-namespaces"], &["NAMESPACE", "front-"]);
    kubectl.says(&["top", "pods", "-l", "app=front", "--containers"], &["POD", "front-", "web"]);
    assert_eq!(kubectl.says(&["top", "pods", "-l", "app=nobody"], &[]), "");
    kubectl.run(&["top", "pod", "nobody"]).fails(&["not found"]);
    kubectl.says(&["get", "podmetrics"], &["MEMORY", "WINDOW", "front-"]);
    // The machine's own logs are nobody's unless the configuration says otherwise.
    let refused = kubectl.run(&["get", "--raw", &at("logs/")]);
    assert!(refused.code != 0 && !refused.stdout.contains("<pre>"), "{refused}");
}

/// A container put into a running pod, which sees the processes of another.
fn debug(kubectl: &Kubectl<'_>) {
    // What was set a moment ago is rolled out first: a pod of an older template may go at any time.
    kubectl.says(&["rollout", "status", "deployment/front", "--timeout=90s"], &["successfully rolled out"]);
    let pod = until("the one pod of the newest template", SOON, || {
        let seen = kubectl.run(&["get", "pods", "-l", "app=front", "-o", "jsonpath={.items[*].metadata.name}"]);
        let name = seen.stdout.trim();
        if name.starts_with("front-") && !name.contains(' ') { Ok(name.to_owned()) } else { Err(seen.to_string()) }
    });
    let script = "echo looking; grep -c looking /proc/1/cmdline; exit 3";
    let words = ["debug", &pod, "--image=kedge.dev/demo/web:1", "--target=web", "-c", "look", "--", "sh", "-c", script];
    kubectl.says(&words, &[]);
    let code = "-o=jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}";
    until("the end of the ephemeral container", SOON, || {
        let seen = kubectl.run(&["get", "pod", &pod, code]);
        if seen.stdout == "3" { Ok(()) } else { Err(seen.to_string()) }
    });
    // The first process that it sees is its target's, not its own shell.
    assert_eq!(kubectl.says(&["logs", &pod, "-c", "look"], &[]), "looking\n0\n");
    kubectl.says(&["get", "pod", &pod], &["1/1", "Running"]);
    let started = "-o=jsonpath={.items[?(@.reason==\"Started\")].involvedObject.fieldPath}";
    kubectl.says(&["get", "events", started], &["spec.ephemeralContainers{look}"]);
}

/// Verbs and flags that came after 2020.
fn newer(kubectl: &Kubectl<'_>) {
    kubectl.says(&["auth", "whoami"], &["kubernetes-admin", "system:masters"]);
    assert_eq!(kubectl.says(&["create", "token", "default"], &[]).matches('.').count(), 2);
    kubectl.run(&["create", "token", "default", "--duration=1s"]).fails(&["10 minutes"]);
    kubectl.says(&["create", "job", "now", "--from=cronjob/daily"], &["created"]);
    kubectl.says(&["wait", "job/now", "--for=jsonpath={.status.succeeded}=1", "--timeout=60s"], &["condition met"]);
    kubectl.says(&["wait", "configmap/owned", "--for=create", "--timeout=10s"], &["condition met"]);
    kubectl.says(&["events", "--for", "job/now"], &["SuccessfulCreate"]);
    let scale =
        ["patch", "deployment", "front", "--subresource=scale", "--type=merge", "-p", "{\"spec\":{\"replicas\":2}}"];
    kubectl.says(&scale, &["patched"]);
    let wanted = ["get", "deployment", "front", "--subresource=scale", "-o", "jsonpath={.spec.replicas}"];
    kubectl.says(&wanted, &["2"]);
    kubectl.says(&["explain", "pods.spec.containers", "--output=plaintext-openapiv2"], &["image"]);
    let drain = ["drain", kubectl.device.setup.name(), "--force", "--ignore-daemonsets", "--dry-run=server"];
    kubectl.says(&drain, &["drained (server dry run)"]);
}

fn refs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}
