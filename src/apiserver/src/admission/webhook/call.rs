//! One webhook is asked about one write.
//!
//! In: a write, a hook. Out: whether it wants to see it and in which version, what it says, and
//! the object as its patch leaves it. Failing to ask it is a refusal or nothing, as it is configured.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use kedge_api::kinds::Kind;
use kedge_api::status::Status;
use kedge_api::{Object, patch};
use serde_json::Value;

use super::cache::Family;
use super::figures::Refusal;
use super::hook::Hook;
use super::matching::{self, Asked};
use super::or_null;
use super::review::{self, Question, Said};
use crate::admission::expression::{Judge, Scene};
use crate::admission::{Attributes, scope};
use crate::core::Core;

/// A write, as webhooks are asked about it.
pub struct Case<'a> {
    core: &'a Core,
    attributes: &'a Attributes<'a>,
    object: Option<&'a Object>,
    old: Option<&'a Object>,
    namespace: &'a str,
}

/// The version in which a hook wants the object.
pub struct Shown {
    /// Absent: the request's own.
    other: Option<Arc<Kind>>,
}

/// What came of asking.
pub enum Outcome {
    /// It may be done, perhaps with a patch.
    Allowed(Said),
    /// It could not be asked, and that does not matter.
    PassedOver,
    /// No.
    Refused(Box<Status>),
}

/// An object with a patch applied.
pub struct Patched {
    /// The object, in the storage version.
    pub object: Object,
    /// The patch.
    pub operations: Value,
}

enum Failed {
    /// It could not be asked.
    Call { why: String, code: u16 },
    /// It may not be asked.
    Own(Box<Status>),
}

impl<'a> Case<'a> {
    /// A write.
    pub fn new(
        core: &'a Core,
        attributes: &'a Attributes<'a>,
        object: Option<&'a Object>,
        old: Option<&'a Object>,
    ) -> Self {
        Case { core, attributes, object, old, namespace: scope::namespace(attributes) }
    }

    /// Whether the hook wants to see it, and in which version.
    pub async fn wanted(&self, hook: &Hook) -> Result<Option<Shown>, Status> {
        let attributes = self.attributes;
        let asked = Asked {
            operation: attributes.operation,
            kind: attributes.kind,
            sub: attributes.subresource,
            namespace: self.namespace,
        };
        let kinds = self.core.kinds();
        let Some(other) = matching::wanted(&hook.rules, hook.equivalent, &asked, &kinds) else { return Ok(None) };
        let selected = scope::selects_object(&hook.objects, attributes, self.object, self.old)
            && scope::selects_namespace(&hook.namespaces, self.core, attributes, self.object).await?;
        if !selected {
            return Ok(None);
        }
        let shown = Shown { other };
        if hook.conditions.is_empty() {
            return Ok(Some(shown));
        }
        match self.conditions_hold(hook, shown.kind(attributes)) {
            Ok(true) => Ok(Some(shown)),
            Ok(false) => Ok(None),
            Err(_) if hook.ignores_failure => Ok(None),
            Err(why) => Err(attributes.forbidden(why)),
        }
    }

    fn conditions_hold(&self, hook: &Hook, kind: &Kind) -> Result<bool, String> {
        let attributes = self.attributes;
        let (object, old) = (self.object, self.old);
        let object = object.map(|object| scope::shown(attributes, object, kind));
        let old = old.map(|object| scope::shown(attributes, object, kind));
        let request = review::request(attributes, kind);
        let judge = Judge::new(self.core, attributes);
        let scene = Scene {
            object: object.as_ref(),
            old: old.as_ref(),
            request: &request,
            params: None,
            namespace: None,
            judge: &judge,
        };
        hook.conditions.hold(&scene)
    }

    /// Asks the hook.
    pub async fn ask(&self, family: Family, hook: &Hook, shown: &Shown) -> Outcome {
        let started = Instant::now();
        let said = self.call(family, hook, shown).await;
        let figures = &self.core.webhooks.figures;
        let count = |code: u16, refusal: Option<Refusal>| {
            figures.called(family, &hook.name, self.attributes.operation, started.elapsed(), code, refusal);
        };
        match said {
            Ok(said) => {
                for (key, value) in &said.annotations {
                    self.attributes.annotate(format!("{}/{key}", hook.name), value);
                }
                for warning in &said.warnings {
                    self.attributes.warn(warning.clone());
                }
                if said.allowed {
                    count(200, None);
                    return Outcome::Allowed(said);
                }
                let status = review::denied(&hook.name, &said.result);
                count(status.code, Some(Refusal::Said));
                Outcome::Refused(Box::new(status))
            }
            Err(Failed::Own(status)) => {
                count(0, Some(Refusal::Own));
                Outcome::Refused(status)
            }
            Err(Failed::Call { why, code }) => {
                let message = format!("failed calling webhook {:?}: {why}", hook.name);
                if hook.ignores_failure {
                    tracing::warn!(%message, "a webhook is passed over");
                    count(code, None);
                    figures.failed_open(family, &hook.name);
                    return Outcome::PassedOver;
                }
                tracing::warn!(%message, "a request is refused");
                count(code, Some(Refusal::Call));
                Outcome::Refused(Box::new(Status::internal(message)))
            }
        }
    }

    async fn call(&self, family: Family, hook: &Hook, shown: &Shown) -> Result<Said, Failed> {
        let attributes = self.attributes;
        if attributes.dry_run && !hook.knows_dry_run {
            let message = format!("admission webhook {:?} does not support dry run", hook.name);
            return Err(Failed::Own(Box::new(Status::bad_request(message))));
        }
        let failed = |why: String, code: u16| Failed::Call { why, code };
        let Some(version) = hook.version else {
            let why = "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)";
            return Err(failed(why.to_owned(), 400));
        };
        let endpoint = hook
            .endpoint(&self.core.outbound)
            .map_err(|fault| failed(format!("could not get REST client: {fault}"), 500))?;
        let uid = self.core.random.uid();
        let kind = shown.kind(attributes);
        let question = Question {
            version,
            uid: &uid,
            attributes,
            kind,
            namespace: self.namespace,
            name: attributes.name,
            object: &or_null(self.object.map(|o| scope::shown(attributes, o, kind))),
            old: &or_null(self.old.map(|o| scope::shown(attributes, o, kind))),
        };
        let body = Bytes::from(question.review().to_string());
        let query = format!("timeout={}s", hook.timeout.as_secs());
        let answer = self.core.outbound.post(endpoint, &query, body, hook.timeout).await;
        let answer = answer.map_err(|fault| failed(format!("failed to call webhook: {fault}"), fault.code()))?;
        let answer: Value = serde_json::from_slice(&answer.body).map_err(|fault| {
            let why = format!("failed to call webhook: couldn't get version/kind; json parse error: {fault}");
            failed(why, 503)
        })?;
        review::read(&answer, version, &uid, family == Family::Mutating)
            .map_err(|fault| failed(format!("received invalid webhook response: {fault}"), 503))
    }

    /// The object with the hook's patch applied; `None` if the patch says nothing.
    pub fn patched(&self, hook: &Hook, shown: &Shown, said: &Said) -> Result<Option<Patched>, Status> {
        let called = |why: String| Status::internal(format!("failed calling webhook {:?}: {why}", hook.name));
        let operations: Value = match serde_json::from_slice(&said.patch) {
            Ok(operations) => operations,
            Err(_) if hook.ignores_failure => return Ok(None),
            Err(fault) => return Err(called(format!("received undecodable patch in webhook response: {fault}"))),
        };
        if operations.as_array().is_none_or(Vec::is_empty) {
            return Ok(None);
        }
        if said.patch_type != "JSONPatch" {
            if hook.ignores_failure {
                return Ok(None);
            }
            return Err(called(format!("unsupported patch type {:?}", said.patch_type)));
        }
        let Some(object) = self.object else { return Ok(None) };
        let kind = shown.kind(self.attributes);
        let mut patched = scope::shown(self.attributes, object, kind);
        patch::json(&mut patched, operations.clone()).map_err(Status::internal)?;
        let object = scope::restored(self.attributes, object, kind, patched)?;
        Ok(Some(Patched { object, operations }))
    }
}

/// Whether a patch says nothing.
pub fn is_empty_patch(patch: &[u8]) -> bool {
    patch.is_empty() || serde_json::from_slice::<Vec<Value>>(patch).is_ok_and(|list| list.is_empty())
}

impl Shown {
    fn kind<'k>(&'k self, attributes: &'k Attributes<'_>) -> &'k Kind {
        self.other.as_deref().unwrap_or(attributes.kind)
    }
}
