//! Tokens that somebody else knows: a TokenReview is sent, the answer is believed for a while.
//!
//! In: a token that nobody here knows. Out: whom it names, or nobody. Asking is tried again a few
//! times where the other side failed, since a token cannot be judged otherwise.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kedge_api::meta;
use serde_json::{Value, json};

use crate::identity::Identity;
use crate::outbound::{Endpoint, EndpointError, Fault, Outbound};
use crate::timed::{Timed, mark};

/// Tokens that are remembered: as many as a fleet's operators and robots use at once. 200 KB.
const MOST: usize = 1024;
/// Longer tokens are not sent on.
const LONGEST: usize = 16 * 1024;
/// The other side is asked so often, so long after the first time, then half as long again, as upstream.
const TRIES: u32 = 5;
/// See [`TRIES`].
const PAUSE: Duration = Duration::from_millis(500);
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who is asked about tokens.
#[derive(Debug, Clone)]
pub struct TokenWebhookSettings {
    /// A kubeconfig that names it.
    pub kubeconfig: PathBuf,
    /// How long an answer is believed.
    pub believed: Duration,
}

/// See the module.
pub(crate) struct TokenWebhook {
    endpoint: Endpoint,
    believed: Duration,
    answers: Timed<Option<Identity>>,
}

impl TokenWebhook {
    /// Asks whom the settings name.
    pub fn open(settings: &TokenWebhookSettings, outbound: &Outbound) -> Result<Self, EndpointError> {
        let endpoint = Endpoint::of_kubeconfig(&settings.kubeconfig, outbound)?;
        Ok(TokenWebhook { endpoint, believed: settings.believed, answers: Timed::new(MOST) })
    }

    /// Whom a token names, for one of `audiences`.
    pub async fn identify(
        &self,
        outbound: &Outbound,
        token: &str,
        audiences: &[&str],
    ) -> Result<Option<Identity>, String> {
        if token.len() > LONGEST {
            return Ok(None);
        }
        let parts: Vec<&[u8]> = std::iter::once(token).chain(audiences.iter().copied()).map(str::as_bytes).collect();
        let mark = mark(&parts);
        if let Some(known) = self.answers.get(&mark, Instant::now()) {
            return Ok(known);
        }
        let review = json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {},
            "spec": {"token": token, "audiences": audiences}});
        let answer = ask(outbound, &self.endpoint, &review).await?;
        let answer = read(&answer, audiences)?;
        self.answers.put(mark, answer.clone(), self.believed, Instant::now());
        Ok(answer)
    }
}

/// Posts a review until the other side does not fail; out: the review with its status.
pub(crate) async fn ask(outbound: &Outbound, endpoint: &Endpoint, review: &Value) -> Result<Value, String> {
    let body = Bytes::from(review.to_string());
    let mut pause = PAUSE;
    for again in 1..=TRIES {
        match outbound.post(endpoint, "", body.clone(), PATIENCE).await {
            Ok(answer) => {
                return serde_json::from_slice(&answer.body).map_err(|fault| format!("the answer is no JSON: {fault}"));
            }
            Err(fault) if again == TRIES || !is_passing(&fault) => return Err(fault.to_string()),
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = pause * 3 / 2;
    }
    Err("the webhook could not be asked".to_owned())
}

/// Whether asking again may help.
fn is_passing(fault: &Fault) -> bool {
    match fault {
        Fault::Call { fault, .. } => is_passing(fault),
        Fault::Closed => true,
        Fault::Refused(status) => matches!(status.code, 429 | 500 | 504),
        _ => false,
    }
}

/// Whom an answer names.
fn read(answer: &Value, audiences: &[&str]) -> Result<Option<Identity>, String> {
    let status = answer.get("status").unwrap_or(&Value::Null);
    let granted = meta::list_at(status, &["audiences"]);
    // Who knows of no audiences speaks for this server's own.
    if !granted.is_empty() && !granted.iter().filter_map(Value::as_str).any(|a| audiences.contains(&a)) {
        return Ok(None);
    }
    if !meta::bool_at(status, &["authenticated"]) {
        return match meta::text(status, "error") {
            "" => Ok(None),
            error => Err(error.to_owned()),
        };
    }
    let user = status.get("user").unwrap_or(&Value::Null);
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let name = meta::text(user, "username");
    if name.is_empty() {
        return Err("the webhook named nobody".to_owned());
    }
    let mut identity = Identity::user(name, texts(user.get("groups").unwrap_or(&Value::Null)));
    identity.uid = meta::text(user, "uid").to_owned();
    let extra = user.get("extra").and_then(Value::as_object).into_iter().flatten();
    identity.extra = extra.map(|(key, values)| (key.clone(), texts(values))).collect();
    Ok(Some(identity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: Value, expected: Result<Option<&str>, &str>) {
        let seen = read(&json!({"status": status}), &["here"]);
        let seen = seen.map(|identity| identity.map(|i| format!("{} {}", i.name, i.groups.join(","))));
        assert_eq!(seen, expected.map(|e| e.map(str::to_owned)).map_err(str::to_owned));
    }

    #[test]
    fn an_answer_names_somebody_or_nobody() {
        let user = json!({"username": "jane", "groups": ["ops"]});
        check(json!({"authenticated": true, "user": user}), Ok(Some("jane ops,system:authenticated")));
        check(
            json!({"authenticated": true, "user": user, "audiences": ["here"]}),
            Ok(Some("jane ops,system:authenticated")),
        );
        check(json!({"authenticated": true, "user": user, "audiences": ["there"]}), Ok(None));
        check(json!({"authenticated": false}), Ok(None));
        check(json!({"authenticated": false, "error": "expired"}), Err("expired"));
        check(json!({"authenticated": true}), Err("the webhook named nobody"));
        check(Value::Null, Ok(None));
    }
}
