//! Admission by plugins, with plugins that are not Wasm: what the API server makes of their answers.

use std::sync::{Arc, Mutex};

use kedge_plugin_api::admission::{
    AdmissionPlugin, AdmissionPlugins, Answer, Hook, Operation, Parts, Refusal, Request, Rule, Verdict,
};
use kedge_plugin_api::{Fault, PluginError};
use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, PODS, Server, config_map, pod, server_with};

/// Answers by the object's name.
struct Fake {
    open: bool,
    hooks: Vec<Hook>,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl AdmissionPlugin for Fake {
    fn name(&self) -> &str {
        "fake"
    }

    fn fails_open(&self) -> bool {
        self.open
    }

    fn hooks(&self) -> &[Hook] {
        &self.hooks
    }

    fn review(&self, request: Request) -> Result<Verdict, PluginError> {
        let merge = |patch: Value| Answer::MergePatch(patch.to_string());
        let answer = match (request.hook, request.name.as_str()) {
            (0, "label") => merge(json!({"metadata": {"labels": {"a": "b"}}})),
            (0, "operations") => Answer::JsonPatch(r#"[{"op": "add", "path": "/data/more", "value": "x"}]"#.into()),
            (0, "rename") => merge(json!({"metadata": {"name": "other"}})),
            (0, "unknown") => merge(json!({"nonsense": 1})),
            (0, "garbage") => Answer::MergePatch("{".into()),
            (1, "denied") => {
                Answer::Denied(Refusal { code: 422, reason: "Invalid".into(), message: "I do not like it".into() })
            }
            (1, "broken") => {
                return Err(PluginError { plugin: "fake".into(), fault: Fault::Trap("unreachable".into()) });
            }
            _ => Answer::Allowed,
        };
        let warnings = if request.name == "label" && request.hook == 1 { vec!["look out".into()] } else { Vec::new() };
        self.seen.lock().unwrap().push(request);
        Ok(Verdict { answer, warnings })
    }
}

struct One(Arc<Fake>);

impl AdmissionPlugins for One {
    fn any(&self) -> bool {
        true
    }

    fn all(&self) -> Vec<Arc<dyn AdmissionPlugin>> {
        vec![self.0.clone()]
    }
}

async fn server(open: bool) -> (Server, Arc<Mutex<Vec<Request>>>) {
    let rule = |resources: &[&str]| Rule {
        groups: vec![String::new()],
        resources: resources.iter().map(|word| (*word).to_owned()).collect(),
        operations: vec![Operation::Create, Operation::Update, Operation::Delete],
    };
    let hook = |name: &str, mutates: bool| Hook {
        name: name.into(),
        mutates,
        rules: vec![rule(&["configmaps", "pods"])],
        parts: Parts { object: true, namespace_labels: true, ..Parts::default() },
        fields: vec!["data".into(), "spec.containers".into()],
    };
    let seen = Arc::<Mutex<Vec<Request>>>::default();
    let fake = Fake { open, hooks: vec![hook("change", true), hook("judge", false)], seen: seen.clone() };
    let server = server_with(|_, parts| parts.plugins = Arc::new(One(Arc::new(fake)))).await.with_account().await;
    seen.lock().unwrap().clear();
    (server, seen)
}

#[tokio::test]
async fn a_plugin_changes_and_refuses() {
    let (server, seen) = server(false).await;
    let admin = &server.admin;
    let made = admin.post(CONFIG_MAPS, config_map("label")).await;
    assert_eq!(made.warnings(), ["299 - \"look out\""]);
    assert_eq!(made.ok()["metadata"]["labels"], json!({"a": "b"}));
    assert_eq!(admin.post(CONFIG_MAPS, config_map("operations")).await.ok()["data"], json!({"k": "v", "more": "x"}));
    let refused = admin.post(CONFIG_MAPS, config_map("denied")).await;
    let status = refused.fails(422, "admission plugin \\\"fake/judge\\\" denied the request: I do not like it");
    assert_eq!(status["reason"], "Invalid");
    admin.get(&format!("{CONFIG_MAPS}/denied")).await.fails(404, "");
    let requests = seen.lock().unwrap().clone();
    let labels = &requests[0].namespace_labels;
    assert_eq!(labels, &[("kubernetes.io/metadata.name".to_owned(), "default".to_owned())]);
    let object: Value = serde_json::from_str(&requests[0].object).unwrap();
    assert_eq!(
        object,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "label", "namespace": "default"}, "data": {"k": "v"}})
    );
    assert!(requests[0].old_object.is_empty() && requests[0].groups.is_empty());
}

#[tokio::test]
async fn nonsense_is_refused_and_changes_nothing() {
    let (server, _) = server(false).await;
    let admin = &server.admin;
    for (name, why) in [
        ("rename", "it changes which object this is"),
        ("unknown", "nonsense"),
        ("garbage", "it is no JSON"),
        ("broken", "trapped: unreachable"),
    ] {
        let refused = admin.post(CONFIG_MAPS, config_map(name)).await;
        assert!(refused.text.contains("failed calling admission plugin"), "{}", refused.text);
        refused.fails(500, why);
        admin.get(&format!("{CONFIG_MAPS}/{name}")).await.fails(404, "");
    }
    admin.post("/api/v1/namespaces/default/secrets", json!({"metadata": {"name": "broken"}})).await.ok();
}

#[tokio::test]
async fn an_open_plugin_that_fails_is_left_out() {
    let (server, seen) = server(true).await;
    let admin = &server.admin;
    for name in ["rename", "unknown", "broken"] {
        admin.post(CONFIG_MAPS, config_map(name)).await.ok();
    }
    admin.post(PODS, pod("a")).await.ok();
    let requests = seen.lock().unwrap().clone();
    let pods: Vec<&Request> = requests.iter().filter(|request| request.kind == "Pod").collect();
    assert!(!pods.is_empty() && pods.iter().all(|request| request.object.contains("nginx")));
}
