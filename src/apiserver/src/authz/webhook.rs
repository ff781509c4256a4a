//! Rights that somebody else grants: a SubjectAccessReview is sent where no role grants it, and
//! the answer is believed for a while.
//!
//! In: an identity and what it wants. Out: yes, no, or no opinion. Whoever cannot be asked grants
//! nothing.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kedge_api::meta;
use kedge_api::selector::{FieldSelector, LabelSelector, Op};
use serde_json::{Value, json};

use super::{Decision, Detail, Wanted};
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
    answers: Timed<Decision>,
}

impl AccessWebhook {
    /// Asks whom the settings name.
    pub fn open(settings: &AccessWebhookSettings, outbound: &Outbound) -> Result<Self, EndpointError> {
        let endpoint = Endpoint::of_kubeconfig(&settings.kubeconfig, outbound)?;
        let (authorized, unauthorized) = (settings.authorized, settings.unauthorized);
        Ok(AccessWebhook { endpoint, authorized, unauthorized, answers: Timed::new(MOST) })
    }

    /// Whether it may be done.
    pub async fn decide(
        &self,
        outbound: &Outbound,
        who: &Identity,
        wanted: &Wanted<'_>,
        detail: Detail<'_>,
    ) -> Decision {
        let spec = spec(who, wanted, detail);
        let text = spec.to_string();
        let mark = mark(&[text.as_bytes()]);
        if let Some(known) = self.answers.get(&mark, Instant::now()) {
            return known;
        }
        let review = json!({"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
            "metadata": {}, "spec": spec});
        match ask(outbound, &self.endpoint, &review).await {
            Ok(answer) => {
                let decision = read(&answer);
                if text.len() <= LONGEST {
                    let good = if decision.allowed { self.authorized } else { self.unauthorized };
                    self.answers.put(mark, decision.clone(), good, Instant::now());
                }
                decision
            }
            Err(why) => {
                tracing::error!(why, "the authorization webhook could not be asked");
                Decision::no("")
            }
        }
    }
}

/// The question.
fn spec(who: &Identity, wanted: &Wanted<'_>, detail: Detail<'_>) -> Value {
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
            for (key, text) in [
                ("group", *group),
                ("version", detail.version),
                ("subresource", subresource),
                ("namespace", namespace),
                ("name", name),
            ] {
                if !text.is_empty() {
                    attributes[key] = json!(text);
                }
            }
            for (key, requirements) in
                [("fieldSelector", by_fields(detail.fields)), ("labelSelector", by_labels(detail.labels))]
            {
                if !requirements.is_empty() {
                    attributes[key] = json!({"requirements": requirements});
                }
            }
            spec["resourceAttributes"] = attributes;
        }
    }
    spec
}

/// A field selector's terms; none of one that cannot be read, which only widens what is asked about.
fn by_fields(text: &str) -> Vec<Value> {
    let selector = FieldSelector::parse(text).unwrap_or_default();
    let term =
        |field: &str, operator: &str, value: &str| json!({"key": field, "operator": operator, "values": [value]});
    let terms = selector.terms().iter();
    terms.map(|t| term(&t.field, if t.equal { "In" } else { "NotIn" }, &t.value)).collect()
}

/// A label selector's requirements, but for those that compare numbers: a review has no words for them.
fn by_labels(text: &str) -> Vec<Value> {
    let selector = LabelSelector::parse(text).unwrap_or_default();
    let requirements = selector.requirements().iter().filter_map(|requirement| {
        let operator = match requirement.op() {
            Op::In | Op::Equals | Op::DoubleEquals => "In",
            Op::NotIn | Op::NotEquals => "NotIn",
            Op::Exists => "Exists",
            Op::DoesNotExist => "DoesNotExist",
            Op::GreaterThan | Op::LessThan => return None,
        };
        let mut said = json!({"key": requirement.key(), "operator": operator});
        if !requirement.values().is_empty() {
            said["values"] = json!(requirement.values());
        }
        Some(said)
    });
    requirements.collect()
}

/// The answer: a yes only if there is no `denied` beside it.
fn read(answer: &Value) -> Decision {
    let status = answer.get("status").unwrap_or(&Value::Null);
    let denied = meta::bool_at(status, &["denied"]);
    let allowed = meta::bool_at(status, &["allowed"]) && !denied;
    Decision { allowed, reason: meta::text(status, "reason").to_owned(), denied }
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
            spec(&who, &wanted, Detail::default()),
            json!({"user": "jane", "groups": ["ops", "system:authenticated"],
                "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "a"}})
        );
        let detail = Detail { version: "v1", fields: "a=b,c!=d", labels: "e in (f,g),!h,i,j!=k,l>1" };
        assert_eq!(
            spec(&who, &wanted, detail)["resourceAttributes"],
            json!({"verb": "get", "resource": "pods", "namespace": "a", "version": "v1",
                "fieldSelector": {"requirements": [{"key": "a", "operator": "In", "values": ["b"]},
                    {"key": "c", "operator": "NotIn", "values": ["d"]}]},
                "labelSelector": {"requirements": [{"key": "e", "operator": "In", "values": ["f", "g"]},
                    {"key": "h", "operator": "DoesNotExist"}, {"key": "i", "operator": "Exists"},
                    {"key": "j", "operator": "NotIn", "values": ["k"]}]}})
        );
        let wanted = Wanted::Path { verb: "get", path: "/x" };
        assert_eq!(
            spec(&who, &wanted, Detail::default())["nonResourceAttributes"],
            json!({"path": "/x", "verb": "get"})
        );
    }

    #[track_caller]
    fn check(status: Value, expected: (bool, bool)) {
        let read = read(&json!({"status": status}));
        assert_eq!((read.allowed, read.denied), expected);
    }

    #[test]
    fn only_a_clear_yes_is_one() {
        check(json!({"allowed": true}), (true, false));
        check(json!({"allowed": true, "denied": true}), (false, true));
        check(json!({"allowed": "true"}), (false, false));
        check(json!({}), (false, false));
        check(Value::Null, (false, false));
    }
}
