//! Admission hooks for devices whose images must be the ones that were tested: a pod's images are named by digest, and
//! a pod bears the label `team` of its namespace. `arguments` of the configuration may list registries whose images
//! need no digest: `{"trusted": ["registry.lan:5000"]}`.

use kedge_plugin_sdk::review::{Hook, Operation, Parts, Request, Reviewer, Verdict, allowed, denied, merged, rule};
use serde_json::{Value, json};

struct ImagePolicy {
    trusted: Vec<String>,
}

/// The places of our hooks in the declaration.
const DIGEST: u32 = 0;
const TEAM: u32 = 1;

impl Reviewer for ImagePolicy {
    fn new(arguments: &str) -> Result<Self, String> {
        let arguments: Value = serde_json::from_str(arguments).map_err(|fault| fault.to_string())?;
        let trusted = match &arguments["trusted"] {
            Value::Null => Vec::new(),
            Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            other => return Err(format!("trusted: {other} is no list of registries")),
        };
        Ok(Self { trusted })
    }

    /// Only the fields that we read are handed over.
    fn hooks(&self) -> Vec<Hook> {
        let writes = [Operation::Create, Operation::Update];
        vec![
            Hook {
                name: "digest".into(),
                mutates: false,
                rules: vec![rule(&[""], &["pods", "pods/ephemeralcontainers"], &writes)],
                parts: Parts::OBJECT,
                fields: ["spec.containers", "spec.initContainers", "spec.ephemeralContainers"]
                    .map(str::to_owned)
                    .into(),
            },
            Hook {
                name: "team".into(),
                mutates: true,
                rules: vec![rule(&[""], &["pods"], &[Operation::Create])],
                parts: Parts::OBJECT | Parts::NAMESPACE_LABELS,
                fields: vec!["metadata.labels".into()],
            },
        ]
    }

    fn review(&mut self, request: &Request) -> Verdict {
        let object: Value = serde_json::from_str(&request.object).unwrap_or_default();
        match request.hook {
            DIGEST => match without_digest(&object, &self.trusted) {
                None => allowed(),
                Some(image) => denied(format!("image {image:?} is not named by digest (name@sha256:…)")),
            },
            TEAM => match team(&object, &request.namespace_labels) {
                None => allowed(),
                Some(team) => merged(json!({"metadata": {"labels": {"team": team}}}).to_string()),
            },
            _ => allowed(),
        }
    }
}

/// The first image that is neither named by digest nor of a trusted registry.
fn without_digest<'a>(pod: &'a Value, trusted: &[String]) -> Option<&'a str> {
    ["initContainers", "containers", "ephemeralContainers"]
        .iter()
        .filter_map(|list| pod["spec"][list].as_array())
        .flatten()
        .filter_map(|container| container["image"].as_str())
        .find(|image| !image.contains("@sha256:") && !trusted.iter().any(|host| image.split('/').next() == Some(host)))
}

/// The team that the pod does not name and its namespace does.
fn team<'a>(pod: &Value, namespace: &'a [(String, String)]) -> Option<&'a str> {
    let named = &pod["metadata"]["labels"]["team"];
    let of_namespace = namespace.iter().find(|(key, _)| key == "team").map(|(_, value)| value.as_str());
    of_namespace.filter(|_| named.is_null())
}

kedge_plugin_sdk::export_reviewer!(ImagePolicy);

#[test]
fn images_are_named_by_digest() {
    let pod = |image: &str| json!({"spec": {"containers": [{"image": image}]}});
    let trusted = ["registry.lan:5000".to_owned()];
    assert_eq!(without_digest(&pod("web@sha256:0"), &trusted), None);
    assert_eq!(without_digest(&pod("registry.lan:5000/web:1"), &trusted), None);
    assert_eq!(without_digest(&pod("web:1"), &trusted), Some("web:1"));
}

#[test]
fn the_team_is_the_namespace_s() {
    let labels = [("team".to_owned(), "red".to_owned())];
    assert_eq!(team(&json!({}), &labels), Some("red"));
    assert_eq!(team(&json!({"metadata": {"labels": {"team": "blue"}}}), &labels), None);
    assert_eq!(team(&json!({}), &[]), None);
}
