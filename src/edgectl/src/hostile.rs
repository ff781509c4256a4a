//! Servers and files that hold anything, for tests.
//!
//! In: every verb that reads objects, objects of which one part is something else. Out: failures at most. Never asks
//! whether an answer makes sense: only that nothing ends the program, and that no object without a name is written to.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use serde_json::{Value, json};

use crate::session::Session;
use crate::{act, args, fake};

/// What stands in the place of a part.
fn strangers() -> [Value; 3] {
    [json!("x"), json!([[], "x", 7, {}]), json!({"": [null]})]
}

/// Each verb meets one of so many, another one than its neighbours do.
const EVERY: usize = 19;

/// An object that is a workload, a pod, a node, a service and a binding at once.
fn everything() -> Value {
    let container = json!({"name": "c", "image": "a", "env": [{"name": "A", "value": "b"}],
        "resources": {"limits": {"cpu": "1"}}, "ports": [{"containerPort": 80, "protocol": "TCP"}]});
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}});
    json!({"apiVersion": "v1", "kind": "Pod", "type": "ADDED", "revision": 1, "rules": [{"verbs": ["get"]}],
        "metadata": {"name": "o", "namespace": "default", "uid": "u", "resourceVersion": "1", "generation": 2,
            "labels": {"a": "b"}, "annotations": {"a": "b"}, "creationTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{"uid": "u", "controller": true, "kind": "DaemonSet"}]},
        "subjects": [{"kind": "User", "name": "jane"}], "data": {"a": "Yg=="},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": template, "containers": [container],
            "taints": [{"key": "a", "effect": "NoSchedule"}], "ports": [{"port": 80}],
            "volumes": [{"name": "v", "emptyDir": {}}]},
        "status": {"replicas": 2, "observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True"}],
            "capacity": {"cpu": "2"}, "allocatable": {"cpu": "2"},
            "containerStatuses": [{"name": "c", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}})
}

/// The same with each of its parts replaced in turn.
pub fn mangled(whole: &Value) -> Vec<Value> {
    let mut paths = vec![String::new()];
    places(whole, "", &mut paths);
    let made = paths.iter().flat_map(|path| {
        strangers().into_iter().filter_map(move |stranger| {
            let mut object = whole.clone();
            *object.pointer_mut(path)? = stranger;
            Some(object)
        })
    });
    made.collect()
}

fn places(value: &Value, above: &str, found: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (format!("{above}/{key}"), value)).collect(),
        Value::Array(all) => all.iter().enumerate().map(|(at, value)| (format!("{above}/{at}"), value)).collect(),
        _ => Vec::new(),
    };
    for (path, value) in below {
        places(value, &path, found);
        found.push(path);
    }
}

/// What is done to an object, by name and as one of a list.
const LINES: &[&str] = &[
    "get pods",
    "get pods o -o yaml",
    "get pods -A --show-labels -L a --sort-by=.spec.replicas",
    "get pods -o custom-columns=A:.spec.containers[*].name",
    "describe pods o",
    "describe nodes o",
    "describe deployments --show-events",
    "describe services o",
    "set image deploy o c=b",
    "set image pods --all *=b --dry-run",
    "set env deploy o A=c D=e F-",
    "set env deploy o --list",
    "set env deploy o --from=configmap/o",
    "set resources deploy o --limits=cpu=1",
    "set resources deploy o --limits=cpu=1 --dry-run",
    "set sa deploy o bot",
    "set selector service o a=b",
    "label pods o x=y --overwrite",
    "label pods o x=y --dry-run",
    "label pods --all a-",
    "annotate pods o --list",
    "taint node o b=c:NoSchedule",
    "taint node o b=c:NoSchedule --dry-run",
    "cordon o",
    "drain o --dry-run --force --ignore-daemonsets",
    "scale deploy o --replicas=1 --current-replicas=2",
    "scale deploy o --replicas=1 --dry-run",
    "rollout status deploy o --watch=false",
    "rollout status ds o --watch=false",
    "rollout status sts o --watch=false",
    "rollout history deploy o",
    "rollout history deploy --revision=1",
    "rollout history sts o --revision=1",
    "rollout undo deploy o",
    "rollout undo ds o --to-revision=1",
    "rollout pause deploy o",
    "rollout restart deploy o",
    "expose deploy o --port=80",
    "expose pod o --dry-run",
    "delete pods --all --wait=false",
    "delete pods o --wait=false",
    "logs o --all-containers",
    "logs -l a=b",
    "events",
    "events --for=pod/o -o json",
    "wait pods o --for=condition=ready --timeout=0",
    "wait pods o --for=jsonpath={.spec.replicas}=2 --timeout=0",
    "patch pods o -p {}",
    "patch pods o -p {} --dry-run",
    "create job j --from=cronjob/o --dry-run",
    "certificate approve o",
    "auth can-i get pods",
    "auth can-i --list",
    "auth whoami",
    "cluster-info",
    "image list",
    "plugin list",
];

/// A server whose answer is changed from one request to the next.
struct Server {
    session: Session,
    log: fake::Log,
    answer: Arc<Mutex<Value>>,
}

impl Server {
    fn new() -> Server {
        let answer = Arc::new(Mutex::new(Value::Null));
        let given = answer.clone();
        let (session, log) = fake::session(move |asked| {
            let answer = given.lock().unwrap().clone();
            let list = !asked.line.split('?').next().unwrap_or("").ends_with("/o");
            if asked.line.contains("/log?") {
                // What containers wrote goes out as it is.
                return (200, json!(""));
            }
            match list && asked.line.starts_with("GET") {
                true => (200, json!({"metadata": {"resourceVersion": "1"}, "items": [answer]})),
                false => (200, answer),
            }
        });
        Server { session, log, answer }
    }

    /// What was asked.
    async fn run(&self, line: &str, answer: &Value) -> Vec<fake::Asked> {
        self.answer.lock().unwrap().clone_from(answer);
        let verb = args::read(&format!("edgectl {line}")).unwrap().verb;
        let session = std::future::ready(Ok(fake::again(&self.session)));
        let act = AssertUnwindSafe(act(session, verb)).catch_unwind();
        match tokio::time::timeout(Duration::from_secs(20), act).await {
            Ok(Ok(_)) => self.log.take(),
            Ok(Err(_)) => panic!("{line} ends the program on {answer}"),
            Err(_) => panic!("{line} never ends on {answer}"),
        }
    }
}

#[tokio::test]
async fn no_answer_of_a_server_ends_the_program() {
    let (server, answers) = (Server::new(), mangled(&everything()));
    for (at, line) in LINES.iter().enumerate() {
        for answer in answers.iter().skip(at % EVERY).step_by(EVERY) {
            for asked in server.run(line, answer).await {
                let path = asked.line.split([' ', '?']).nth(1).unwrap_or("");
                let writes = !asked.line.starts_with("GET") && !asked.line.starts_with("POST");
                assert!(!writes || !path.ends_with('/'), "{line} asks {} of {answer}", asked.line);
            }
        }
    }
}

#[tokio::test]
async fn no_manifest_ends_the_program() {
    let folder = std::env::temp_dir().join(format!("edgectl-hostile-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (server, path) = (Server::new(), folder.join("o.json"));
    for (at, object) in mangled(&everything()).into_iter().enumerate().step_by(EVERY) {
        std::fs::write(&path, object.to_string()).unwrap();
        for line in [
            "apply",
            "apply --force",
            "apply --dry-run",
            "create",
            "replace",
            "delete --wait=false",
            "set image *=b",
            "label a=b",
            "get",
        ] {
            // Every other time the server's own is as strange.
            let there = if at % 2 == 0 { everything() } else { object.clone() };
            server.run(&format!("{line} -f {}", path.display()), &there).await;
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
