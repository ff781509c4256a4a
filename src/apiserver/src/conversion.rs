//! Conversion webhooks: custom objects in another version, by those who defined them.
//!
//! In: objects, the version that is wanted, where the webhook listens. Out: as many objects in
//! that version, or the whole message for the client. What a webhook may not change is taken from
//! the object that it was given.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use kedge_api::custom::Definition;
use kedge_api::field::{FieldError, Path};
use kedge_api::kinds::split_api_version;
use kedge_api::{Object, meta, name};
use serde_json::{Map, Value, json};

use crate::metrics::{MetricsSource, family};
use crate::outbound::{Endpoint, Outbound};
use crate::random::Random;
use crate::registry::convert::Converter;

/// How long a webhook may take: a list waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks the webhook of a definition.
pub struct Webhook {
    outbound: std::sync::Arc<Outbound>,
    random: Random,
    /// What is counted.
    pub figures: std::sync::Arc<Figures>,
}

/// How conversions ended.
#[derive(Debug, Default)]
pub struct Figures(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    done: u64,
    failed: std::collections::BTreeMap<&'static str, u64>,
    took: Duration,
}

/// Why a conversion failed: a word for figures, and the message.
type Failed = (&'static str, String);

impl Webhook {
    /// Asks by these means.
    pub fn new(outbound: std::sync::Arc<Outbound>, random: Random) -> Self {
        Webhook { outbound, random, figures: Default::default() }
    }

    async fn ask(&self, webhook: &Value, objects: &[Object], version: &str) -> Result<Vec<Object>, Failed> {
        let kind = objects.first().map(words).unwrap_or_default();
        let failed = |why: &'static str, text: String| (why, format!("conversion webhook for {kind} failed: {text}"));
        let versions = meta::list_at(webhook, &["conversionReviewVersions"]);
        let spoken = versions.iter().find_map(|v| v.as_str().filter(|v| matches!(*v, "v1" | "v1beta1")));
        let Some(spoken) = spoken else {
            return Err(("conversion_webhook_call_failure", "no supported conversion review versions".to_owned()));
        };
        let uid = self.random.uid();
        let review = json!({"kind": "ConversionReview", "apiVersion": format!("apiextensions.k8s.io/{spoken}"),
            "request": {"uid": uid, "desiredAPIVersion": version, "objects": objects}});
        let config = webhook.get("clientConfig").unwrap_or(&Value::Null);
        let endpoint = Endpoint::of_client_config(config, &self.outbound)
            .map_err(|fault| failed("conversion_webhook_call_failure", fault))?;
        let body = Bytes::from(review.to_string());
        let query = format!("timeout={}s", PATIENCE.as_secs());
        let answer = self.outbound.post(&endpoint, &query, body, PATIENCE).await;
        let answer = answer.map_err(|fault| failed("conversion_webhook_call_failure", fault.to_string()))?;
        let answer: Value = serde_json::from_slice(&answer.body).map_err(|fault| {
            failed("conversion_webhook_malformed_response_failure", format!("the answer is no JSON: {fault}"))
        })?;
        let converted = read(answer, spoken, &uid)
            .map_err(|fault| failed("conversion_webhook_malformed_response_failure", fault))?;
        if converted.len() != objects.len() {
            let text = format!(
                "conversion webhook for {kind} returned {} objects, expected {}",
                converted.len(),
                objects.len()
            );
            return Err(("conversion_webhook_partial_response_failure", text));
        }
        converted
            .into_iter()
            .zip(objects)
            .enumerate()
            .map(|(at, (converted, original))| {
                accept(converted, original, version).map_err(|fault| {
                    let text = format!(
                        "conversion webhook for {kind} returned invalid converted object at index {at}: {fault}"
                    );
                    ("conversion_webhook_invalid_converted_object_failure", text)
                })
            })
            .collect()
    }
}

#[async_trait]
impl Converter for Webhook {
    async fn convert(
        &self,
        definition: &Definition,
        objects: Vec<Object>,
        version: &str,
    ) -> Result<Vec<Object>, String> {
        let started = Instant::now();
        let webhook = definition.webhook.as_ref().unwrap_or(&Value::Null);
        let outcome = self.ask(webhook, &objects, version).await;
        let mut counted = self.figures.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.took += started.elapsed();
        match outcome {
            Ok(converted) => {
                counted.done += 1;
                Ok(converted)
            }
            Err((why, text)) => {
                *counted.failed.entry(why).or_default() += 1;
                tracing::warn!(definition = %definition.name, %text, "objects could not be converted");
                Err(text)
            }
        }
    }
}

/// `example.com/v1, Kind=Thing`.
fn words(object: &Object) -> String {
    format!("{}, Kind={}", meta::api_version(object), meta::kind(object))
}

/// The objects of an answer.
fn read(mut answer: Value, version: &str, uid: &str) -> Result<Vec<Object>, String> {
    let (said, kind) = (meta::api_version(&answer), meta::kind(&answer));
    if version == "v1" && (said, kind) != ("apiextensions.k8s.io/v1", "ConversionReview") {
        let (group, version) = split_api_version(said);
        return Err(format!(
            "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got {group}/{version}, Kind={kind}"
        ));
    }
    let Some(response) = answer.get_mut("response").filter(|r| r.is_object()) else {
        return Err("no response provided".to_owned());
    };
    let said = meta::text(response, "uid");
    // The older version never checked it.
    if version == "v1" && said != uid {
        return Err(format!("expected response.uid={uid:?}, got {said:?}"));
    }
    let status = meta::text_at(response, &["result", "status"]);
    if status != "Success" {
        let message = meta::text_at(response, &["result", "message"]);
        return Err(match message {
            "" => format!("response.result.status was '{status}', not 'Success'"),
            message => message.to_owned(),
        });
    }
    match response.get_mut("convertedObjects").map(Value::take) {
        Some(Value::Array(objects)) => Ok(objects),
        _ => Ok(Vec::new()),
    }
}

/// A converted object, if it still is the one that was sent. Its metadata is the original's but
/// for labels and annotations.
fn accept(mut converted: Object, original: &Object, version: &str) -> Result<Object, String> {
    if !converted.is_object() {
        return Err("it is no object".to_owned());
    }
    let said = meta::api_version(&converted);
    if said != version {
        return Err(format!("invalid groupVersion (expected {version}, received {said})"));
    }
    if meta::kind(&converted) != meta::kind(original) {
        return Err(format!("invalid kind (expected {}, received {})", meta::kind(original), meta::kind(&converted)));
    }
    for (what, get) in [("name", meta::name as fn(&Object) -> &str), ("namespace", meta::namespace), ("UID", meta::uid)]
    {
        if get(&converted) != get(original) {
            return Err(format!("must have the same {what}: {} != {}", get(original), get(&converted)));
        }
    }
    let Some(given) = converted.get_mut("metadata").map(Value::take) else {
        return Err("missing metadata in converted object".to_owned());
    };
    let Value::Object(mut given) = given else { return Err("invalid metadata in converted object".to_owned()) };
    let mut kept = meta::metadata(original).cloned().unwrap_or_default();
    for field in ["labels", "annotations"] {
        match given.remove(field) {
            None | Some(Value::Null) => {
                kept.remove(field);
            }
            Some(Value::Object(map)) => {
                if kept.get(field).and_then(Value::as_object) != Some(&map) {
                    check(field, &map)?;
                }
                kept.insert(field.to_owned(), Value::Object(map));
            }
            Some(_) => return Err(format!("invalid metadata.{field} in converted object")),
        }
    }
    converted["metadata"] = Value::Object(kept);
    Ok(converted)
}

/// Labels and annotations that a webhook made up must be ones that a user could have made up.
fn check(field: &'static str, map: &Map<String, Value>) -> Result<(), String> {
    let metadata = Path::root("metadata");
    let path = metadata.child(field);
    for (key, value) in map {
        let Some(value) = value.as_str() else {
            return Err(format!("metadata.{field}[{key}] must be a string in converted object"));
        };
        let qualified = if field == "labels" { key.clone() } else { key.to_lowercase() };
        let faults = name::check_qualified(&qualified).err().into_iter().flatten();
        if let Some(fault) = faults.into_iter().next() {
            return Err(FieldError::invalid(&path, key.as_str(), fault).to_string());
        }
        if field == "labels"
            && let Err(faults) = name::check_label_value(value)
            && let Some(fault) = faults.into_iter().next()
        {
            return Err(FieldError::invalid(&path, value, fault).to_string());
        }
    }
    Ok(())
}

impl MetricsSource for Figures {
    fn render(&self, out: &mut String) {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.done == 0 && counted.failed.is_empty() {
            return;
        }
        const TOTAL: &str = "apiserver_crd_conversion_webhook_request_total";
        family(out, TOTAL, "counter", "Calls of conversion webhooks.");
        let _ = writeln!(out, "{TOTAL}{{failure_type=\"\",result=\"success\"}} {}", counted.done);
        for (why, count) in &counted.failed {
            let _ = writeln!(out, "{TOTAL}{{failure_type=\"{why}\",result=\"failure\"}} {count}");
        }
        const TOOK: &str = "apiserver_crd_conversion_webhook_duration_seconds";
        family(out, TOOK, "summary", "Time that conversion webhooks took.");
        let all = counted.done + counted.failed.values().sum::<u64>();
        let _ = writeln!(out, "{TOOK}_sum {}\n{TOOK}_count {all}", counted.took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(version: &str) -> Value {
        json!({"apiVersion": format!("x.y/{version}"), "kind": "Thing",
            "metadata": {"name": "a", "namespace": "ns", "uid": "u", "labels": {"l": "1"}, "generation": 3}})
    }

    #[track_caller]
    fn check_accept(change: impl FnOnce(&mut Value), expected: Result<&Value, &str>) {
        let mut converted = object("v2");
        change(&mut converted);
        let seen = accept(converted, &object("v1"), "x.y/v2");
        match (seen, expected) {
            (Ok(seen), Ok(metadata)) => assert_eq!(&seen["metadata"], metadata),
            (Err(fault), Err(text)) => assert!(fault.contains(text), "{fault}"),
            (seen, expected) => panic!("{seen:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn a_converted_object_is_the_one_that_was_sent() {
        let own = object("v1")["metadata"].clone();
        check_accept(|_| (), Ok(&own));
        check_accept(|o| o["metadata"]["generation"] = json!(9), Ok(&own));
        let mut other = own.clone();
        other["labels"] = json!({"m": "2"});
        other["annotations"] = json!({"A.b/c": "x"});
        let meta = other.clone();
        check_accept(move |o| o["metadata"] = meta, Ok(&other));
        check_accept(
            |o| o["apiVersion"] = json!("x.y/v3"),
            Err("invalid groupVersion (expected x.y/v2, received x.y/v3)"),
        );
        check_accept(|o| o["kind"] = json!("B"), Err("invalid kind (expected Thing, received B)"));
        check_accept(|o| o["metadata"]["name"] = json!("b"), Err("must have the same name: a != b"));
        check_accept(|o| o["metadata"]["uid"] = json!("v"), Err("must have the same UID: u != v"));
        check_accept(|o| o["metadata"]["labels"] = json!({"l": 1}), Err("metadata.labels[l] must be a string"));
        check_accept(|o| o["metadata"]["labels"] = json!({"l": "no spaces"}), Err("metadata.labels: Invalid value"));
        check_accept(|o| *o = json!([]), Err("it is no object"));
    }

    #[track_caller]
    fn check_read(version: &str, answer: Value, expected: Result<usize, &str>) {
        let seen = read(answer, version, "u").map(|objects| objects.len());
        assert_eq!(seen, expected.map_err(str::to_owned));
    }

    #[test]
    fn an_answer_must_be_one_to_the_question() {
        let v1 = |response: Value| json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response});
        check_read("v1", v1(json!({"uid": "u", "result": {"status": "Success"}, "convertedObjects": [1, 2]})), Ok(2));
        check_read(
            "v1",
            v1(json!({"uid": "w", "result": {"status": "Success"}})),
            Err("expected response.uid=\"u\", got \"w\""),
        );
        check_read("v1", v1(json!({"uid": "u", "result": {"status": "Failed", "message": "no"}})), Err("no"));
        check_read("v1", v1(json!({"uid": "u"})), Err("response.result.status was '', not 'Success'"));
        check_read("v1", v1(Value::Null), Err("no response provided"));
        check_read(
            "v1",
            json!({}),
            Err("expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got /, Kind="),
        );
        check_read("v1beta1", json!({"response": {"result": {"status": "Success"}, "convertedObjects": []}}), Ok(0));
    }
}
