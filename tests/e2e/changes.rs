//! The verbs of `edgectl` that change what is there, wait for it, or explain it.
//!
//! In: a device. Out: what a user sees, and what a program reads: exit codes.

use kedge::{Device, Output};
use serde_json::Value;

use crate::words::deployment;

/// A ConfigMap of one key.
fn map(value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{a: '{value}'}}\n")
}

fn held(device: &Device) -> Value {
    device.get(&["configmap", "m"])["data"]["a"].clone()
}

/// `edgectl edit` with an editor that does not ask.
#[track_caller]
fn edit(device: &Device, editor: &str) -> Output {
    let mut command = device.edgectl_command();
    Output::of(command.env("KUBE_EDITOR", editor).env("TMPDIR", device.setup.folder()).args(["edit", "configmap", "m"]))
}

#[test]
fn objects_are_patched_replaced_edited_and_compared() {
    let Some(device) = Device::new("changes") else { return };
    let file = |value: &str| device.file("map.yaml", map(value).as_bytes()).to_string_lossy().into_owned();
    let patch = |words: &[&str]| device.edgectl(&[&["patch", "configmap", "m"], words].concat());
    device.edgectl(&["replace", "-f", &file("1")]).fails(&["NotFound"]);
    device.edgectl(&["apply", "-f", &file("1")]).ok();

    assert_eq!(patch(&["-p", "{\"data\":{\"a\":\"2\"}}"]).ok(), "configmap/m patched\n");
    assert_eq!(patch(&["-p", "data: {a: '2'}", "--type=merge"]).ok(), "configmap/m patched (no change)\n");
    let add = "[{\"op\": \"replace\", \"path\": \"/data/a\", \"value\": \"3\"}]";
    let said = patch(&["-p", add, "--type=json", "--dry-run=server"]).ok();
    assert_eq!(said, "configmap/m patched (server dry run)\n");
    assert_eq!(held(&device), "2");
    patch(&["-p", add, "--type=json"]).ok();
    assert_eq!(held(&device), "3");
    patch(&[]).fails(&["must specify --patch or --patch-file"]);

    assert_eq!(device.edgectl(&["replace", "-f", &file("4")]).ok(), "configmap/m replaced\n");
    assert_eq!(held(&device), "4");
    let said = device.edgectl(&["replace", "--force", "-f", &file("5")]).ok();
    assert!(said.ends_with("configmap/m replaced\n"), "{said}");
    assert_eq!(held(&device), "5");

    let apply = |words: &[&str]| device.edgectl(&[&["apply", "-f", &file("5")], words].concat());
    apply(&["--force-conflicts"]).fails(&["--force-conflicts only works with --server-side"]);
    apply(&["--server-side", "--force"]).fails(&["--force cannot be used with --server-side"]);
    apply(&["--force", "--dry-run=server"]).fails(&["--dry-run=server cannot be used with --force"]);
    apply(&[]).ok();
    let same = device.edgectl(&["diff", "-f", &file("5")]);
    assert_eq!((same.code, same.stdout.as_str()), (0, ""), "{same}");
    let other = device.edgectl(&["diff", "-f", &file("6")]);
    assert!(other.code == 1 && other.stdout.contains("-  a: \"5\"\n+  a: \"6\"\n"), "{other}");
    assert_eq!(held(&device), "5");
    assert!(device.edgectl(&["diff", "-f", "/nowhere"]).code > 1);
    assert!(device.edgectl(&["diff", "--nonsense"]).code > 1);

    assert_eq!(edit(&device, "sed -i 's/a: \"5\"/a: \"7\"/'").ok(), "configmap/m edited\n");
    assert_eq!(held(&device), "7");
    let unchanged = edit(&device, "true");
    assert!(unchanged.code == 0 && unchanged.stderr.contains("Edit cancelled, no changes made."), "{unchanged}");
    edit(&device, "false").fails(&["there was a problem with the editor \"false\""]);
    // What is refused comes back, and what is left as it was then is not saved.
    let refused = edit(&device, "sed -i 's/name: m$/name: other/'");
    refused.fails(&["Edit cancelled, no valid changes were saved.", "A copy of your changes"]);
}

#[test]
fn what_was_applied_once_is_pruned() {
    let Some(device) = Device::new("pruned") else { return };
    let of = |name: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, labels: {{of: set}}}}\ndata: {{a: b}}\n")
    };
    let both = device.file("set.yaml", format!("{}---\n{}", of("one"), of("two")).as_bytes());
    let both = both.to_string_lossy().into_owned();
    device.edgectl(&["apply", "-f", both.as_str()]).ok();
    device.edgectl(&["create", "configmap", "foreign", "--from-literal=a=b"]).ok();
    device.edgectl(&["label", "configmap", "foreign", "of=set"]).ok();
    let one = device.file("set.yaml", of("one").as_bytes()).to_string_lossy().into_owned();
    let words = ["apply", "-f", one.as_str(), "--prune", "-l", "of=set"];
    let said = device.edgectl(&[&words[..], &["--dry-run=server"]].concat()).ok();
    assert!(said.contains("configmap/two pruned (server dry run)\n"), "{said}");
    let said = device.edgectl(&words).ok();
    assert!(said.contains("configmap/two pruned\n") && !said.contains("foreign"), "{said}");
    device.edgectl(&["get", "configmap", "two"]).fails(&["NotFound"]);
    device.edgectl(&["get", "configmap", "one", "foreign"]).ok();
    device.edgectl(&["apply", "-f", one.as_str(), "--prune"]).fails(&["without explicitly passing --all"]);
}

#[test]
fn conditions_are_waited_for() {
    let Some(device) = Device::with_images("conditions") else { return };
    device.apply(&map("1")).ok();
    let wait = |words: &[&str]| device.edgectl(&[&["wait"], words].concat());
    assert_eq!(wait(&["--for=jsonpath={.data.a}=1", "configmap/m"]).ok(), "configmap/m condition met\n");
    wait(&["--for=jsonpath={.data.a}=2", "configmap/m", "--timeout=1s"])
        .fails(&["timed out waiting for the condition on configmaps/m"]);
    wait(&["--for=jsonpath={.data.a}=1", "configmap/nobody"]).fails(&["NotFound"]);
    wait(&["--for=sunshine", "configmap/m"]).fails(&["unrecognized condition: \"sunshine\""]);

    device.apply(&deployment("web", 1, 1)).ok();
    let said = wait(&["--for=condition=Available", "deployment/web", "--timeout=60s"]).ok();
    assert_eq!(said, "deployment.apps/web condition met\n");
    let said = device.edgectl(&["events", "--for=deployment/web"]).ok();
    assert!(said.starts_with("LAST SEEN") && said.contains("Deployment/web"), "{said}");
    wait(&["--for=condition=Ready", "pods", "-l", "app=web", "--timeout=60s"]).ok();
    let mut waiting = device.edgectl_command();
    let mut waiting = waiting.args(["wait", "--for=delete", "deployment/web", "--timeout=60s"]).spawn().unwrap();
    device.edgectl(&["delete", "deployment", "web"]).ok();
    assert!(waiting.wait().unwrap().success());
    wait(&["--for=delete", "pods", "-l", "app=web", "--timeout=60s"]).ok();
}

#[test]
fn parts_of_workloads_are_set() {
    let Some(device) = Device::new("parts") else { return };
    device.apply(&deployment("web", 1, 0)).ok();
    let set = |words: &[&str]| device.edgectl(&[&["set"], words].concat());
    let container = || device.get(&["deployment", "web"])["spec"]["template"]["spec"]["containers"][0].clone();
    let said = set(&["image", "deployment/web", "web=kedge.dev/demo/web:2"]).ok();
    assert_eq!(said, "deployment.apps/web image updated\n");
    assert_eq!(container()["image"], "kedge.dev/demo/web:2");
    set(&["image", "deployment/web", "nobody=a"]).fails(&["unable to find container named \"nobody\""]);
    assert_eq!(set(&["env", "deployment/web", "A=b", "C=d"]).ok(), "deployment.apps/web env updated\n");
    set(&["env", "deployment/web", "C-"]).ok();
    let listed = set(&["env", "deployment/web", "--list"]).ok();
    assert_eq!(listed, "# Deployment web, container web\nA=b\n");
    set(&["resources", "deployment", "web", "--limits=memory=32Mi"]).ok();
    assert_eq!(container()["resources"]["limits"]["memory"], "32Mi");
    set(&["serviceaccount", "deployment", "web", "default"]).ok();
    assert_eq!(device.get(&["deployment", "web"])["spec"]["template"]["spec"]["serviceAccountName"], "default");

    let said = device.edgectl(&["expose", "deployment", "web", "--port=80", "--target-port=8080"]).ok();
    assert_eq!(said, "service/web exposed\n");
    let service = device.get(&["service", "web"]);
    assert_eq!(
        (&service["spec"]["selector"]["app"], &service["spec"]["ports"][0]["targetPort"]),
        (&"web".into(), &8080.into())
    );
    let said = device.edgectl(&["autoscale", "deployment", "web", "--min=1", "--max=3", "--cpu-percent=50"]).ok();
    assert_eq!(said, "horizontalpodautoscaler.autoscaling/web autoscaled\n");
    device.edgectl(&["create", "quota", "few", "--hard=pods=20"]).ok();
    for (what, words) in [
        ("hpa/web", "resource cpu on pods"),
        ("quota/few", "Resource    Used  Hard"),
        ("service/web", "Endpoints:"),
        ("clusterrole/view", "PolicyRule:"),
        ("priorityclass/system-node-critical", "GlobalDefault:"),
    ] {
        let page = device.edgectl(&["describe", what]).ok();
        assert!(page.contains(words), "no {words:?} in {page}");
    }
}

#[test]
fn a_node_is_closed_emptied_and_opened() {
    let Some(device) = Device::with_images("drained") else { return };
    device.apply(&deployment("web", 1, 1)).ok();
    device.rolled_out("web");
    let nodes = device.get(&["nodes"]);
    let node = nodes["items"][0]["metadata"]["name"].as_str().unwrap();
    let page = device.edgectl(&["describe", "node", node]).ok();
    assert!(page.contains("Roles:") && page.contains("HolderIdentity:"), "{page}");

    let said = device.edgectl(&["taint", "node", node, "busy=yes:PreferNoSchedule"]).ok();
    assert_eq!(said, format!("node/{node} tainted\n"));
    device.edgectl(&["taint", "node", node, "busy=no:PreferNoSchedule"]).fails(&["--overwrite is false"]);
    assert_eq!(device.edgectl(&["taint", "node", node, "busy-"]).ok(), format!("node/{node} untainted\n"));

    let before = device.get(&["pods", "-l", "app=web"])["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    let words = ["drain", node, "--ignore-daemonsets", "--force", "--delete-emptydir-data", "--timeout=60s"];
    let said = device.edgectl(&words).ok();
    assert!(said.starts_with(&format!("node/{node} cordoned\n")), "{said}");
    assert!(said.contains(&format!("evicting pod default/{before}\n")), "{said}");
    assert!(said.ends_with(&format!("node/{node} drained\n")), "{said}");
    assert_eq!(device.get(&["node", node])["spec"]["unschedulable"], true);
    device.edgectl(&["get", "pod", &before]).fails(&["NotFound"]);
    assert_eq!(device.edgectl(&["uncordon", node]).ok(), format!("node/{node} uncordoned\n"));
    device.rolled_out("web");
}

#[test]
fn what_there_is_is_told() {
    let Some(device) = Device::new("told") else { return };
    let says = |words: &[&str], expected: &[&str]| {
        let said = device.edgectl(words).ok();
        expected.iter().for_each(|line| assert!(said.lines().any(|l| l.starts_with(line)), "no {line:?} in {said}"));
    };
    says(&["api-resources", "-o", "name", "--api-group=apps"], &["deployments.apps", "statefulsets.apps"]);
    says(&["api-resources", "--namespaced=false", "--verbs=list"], &["NAME", "nodes"]);
    says(&["api-versions"], &["apps/v1", "v1"]);
    says(&["cluster-info"], &["Kubernetes control plane is running at https://"]);
    says(&["explain", "deployment.spec.replicas"], &["GROUP:      apps", "FIELD: replicas <integer>"]);
    says(&["explain", "pod", "--recursive"], &["KIND:       Pod", "  spec\t<PodSpec>"]);
    device.edgectl(&["explain", "pod.nothing"]).fails(&["field \"nothing\" does not exist"]);
    says(&["config", "view"], &["apiVersion: v1", "clusters:"]);
    says(&["config", "get-contexts"], &["CURRENT   NAME"]);
    says(&["options"], &["The following options can be passed to any command:"]);
    for words in
        [&["get", "pods", "--nonsense"][..], &["nonsense"], &["get", "pods", "-A=maybe"], &["scale", "deploy", "a"]]
    {
        let said = device.edgectl(words);
        assert_eq!(said.code, 1, "{said}");
    }
    says(&["get", "pods", "-A=true", "--no-headers=false", "--ignore-not-found"], &[]);
}
