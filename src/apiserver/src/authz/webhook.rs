//! Rights that somebody else grants: a SubjectAccessReview is sent where no role grants it, and
//! the answer is believed for a while.
//!
//! In: an identity and what it wants. Out: yes, no, or no opinion. Whoever cannot be asked grants
//! nothing.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kedge_api::meta;
use serde_json::{Value, json};

use super::{Decision, Wanted};
use crate::authn::webhook::ask;
use crate::identity::Identity;
use crate::outbound::{Endpoint, EndpointError, Outbound};
use crate::timed::{Timed, mark};

/// Answers that are remembered. 200 KB.
const MOST: usize = 1024;
/// A longer question is asked each time, as upstream.
const LONGEST: usize = 10_000;

/// Who is asked about rights.
#[derive(Debug, Clone)]
pub struct AccessWebhookSettings {
    /// A kubeconfig that names it.
    pub kubeconfig: PathBuf,
    /// How long a yes is believed.
    pub authorized: Duration,
    /// How long a no is believed.
    pub unauthorized: Duration,
}

/// See the module.
pub(crate) struct AccessWebhook {
    endpoint: Endpoint,
    authorized: Duration,
    unauthorized: Duration,
    answers: Timed<(bool, String)>,
}

impl AccessWebhook {
    /// Asks whom the settings name.
    pub fn open(settings: &AccessWebhookSettings, outbound: &Outbound) -> Result<Self, EndpointError> {
        let endpoint = Endpoint::of_kubeconfig(&settings.kubeconfig, outbound)?;
        let (authorized, unauthorized) = (settings.authorized, settings.unauthorized);
        Ok(AccessWebhook { endpoint, authorized, unauthorized, answers: Timed::new(MOST) })
    }

    /// Whether it may be done.
    pub async fn decide(&self, outbound: &Outbound, who: &Identity, wanted: &Wanted<'_>) -> Decision {
        let spec = spec(who, wanted);
        let text = spec.to_string();
        let mark = mark(&[text.as_bytes()]);
        if let Some((allowed, reason)) = self.answers.get(&mark, Instant::now()) {
            return Decision { allowed, reason };
        }
        let review = json!({"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
            "metadata": {}, "spec": spec});
        match ask(outbound, &self.endpoint, &review).await {
            Ok(answer) => {
                let (allowed, reason) = read(&answer);
                if text.len() <= LONGEST {
                    let good = if allowed { self.authorized } else { self.unauthorized };
                    self.answers.put(mark, (allowed, reason.clone()), good, Instant::now());
                }
                Decision { allowed, reason }
            }
            Err(why) => {
                tracing::error!(why, "the authorization webhook could not be asked");
                Decision { allowed: false, reason: String::new() }
            }
        }
    }
}

/// The question.
fn spec(who: &Identity, wanted: &Wanted<'_>) -> Value {
    let mut spec = json!({"user": who.name, "groups": who.groups});
    if !who.uid.is_empty() {
        spec["uid"] = json!(who.uid);
    }
    if !who.extra.is_empty() {
        spec["extra"] = json!(who.extra);
    }
    match wanted {
        Wanted::Path { verb, path } => spec["nonResourceAttributes"] = json!({"path": path, "verb": verb}),
        Wanted::Resource { verb, group, resource, subresource, namespace, name } => {
            let mut attributes = json!({"verb": verb, "resource": resource});
            for (key, text) in
                [("group", group), ("subresource", subresource), ("namespace", namespace), ("name", name)]
            {
                if !text.is_empty() {
                    attributes[key] = json!(text);
                }
            }
            spec["resourceAttributes"] = attributes;
        }
    }
    spec
}

/// The answer: a yes only if there is no `denied` beside it.
fn read(answer: &Value) -> (bool, String) {
    let status = answer.get("status").unwrap_or(&Value::Null);
    let allowed = meta::bool_at(status, &["allowed"]) && !meta::bool_at(status, &["denied"]);
    (allowed, meta::text(status, "reason").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_says_who_wants_what() {
        let who = Identity::user("jane", ["ops"]);
        let wanted =
            Wanted::Resource { verb: "get", group: "", resource: "pods", subresource: "", namespace: "a", name: "" };
        assert_eq!(
            spec(&who, &wanted),
            json!({"user": "jane", "groups": ["ops", "system:authenticated"],
                "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "a"}})
        );
        let wanted = Wanted::Path { verb: "get", path: "/x" };
        assert_eq!(spec(&who, &wanted)["nonResourceAttributes"], json!({"path": "/x", "verb": "get"}));
    }

    #[track_caller]
    fn check(status: Value, expected: bool) {
        assert_eq!(read(&json!({"status": status})).0, expected);
    }

    #[test]
    fn only_a_clear_yes_is_one() {
        check(json!({"allowed": true}), true);
        check(json!({"allowed": true, "denied": true}), false);
        check(json!({"allowed": "true"}), false);
        check(json!({}), false);
        check(Value::Null, false);
    }
}
