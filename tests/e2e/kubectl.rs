//! Debian's own kubectl, and the machine's if there is one, do their everyday work against a device.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kedge::{Device, Output, http, programs, until};

use crate::words::deployment;

const SOON: Duration = Duration::from_secs(30);

struct Kubectl<'a> {
    program: &'a Path,
    device: &'a Device,
    home: std::path::PathBuf,
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

#[test]
fn stock_kubectl_does_its_everyday_work() {
    let found = programs::kubectls();
    if found.is_empty() {
        return programs::skip("there is no kubectl: cargo xtask test unpacks Debian's");
    }
    let Some(device) = Device::with_images("kubectl") else { return };
    for (number, program) in found.iter().enumerate() {
        let home = device.setup.folder().join(format!("home-{number}"));
        std::fs::create_dir_all(&home).unwrap();
        eprintln!("with {}", program.display());
        everyday(&Kubectl { program, device: &device, home });
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
