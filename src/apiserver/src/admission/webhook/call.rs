//! One webhook is asked about one write.
//!
//! In: a write, a hook. Out: whether it wants to see it and in which version, what it says, and
//! the object as its patch leaves it. Failing to ask it is a refusal or nothing, as it is configured.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use kedge_api::check::FieldValidation;
use kedge_api::decode::Decoded;
use kedge_api::fields::Index;
use kedge_api::kinds::{Gvk, Kind, Sub};
use kedge_api::schema::{self, Struct};
use kedge_api::status::{Reason, Status};
use kedge_api::{Object, defaults, meta, patch};
use serde_json::{Value, json};

use super::cache::Family;
use super::figures::Refusal;
use super::hook::Hook;
use super::matching::{self, Asked, is_namespaces};
use super::or_null;
use super::review::{self, Question, Said};
use crate::admission::{Attributes, Operation};
use crate::core::Core;
use crate::registry::{decode, keys, rules};
use crate::resource::scale;

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
        let namespace = if is_namespaces(attributes.kind) { attributes.name } else { attributes.namespace };
        Case { core, attributes, object, old, namespace }
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
        if !self.selects_object(hook) || !self.selects_namespace(hook).await? {
            return Ok(None);
        }
        if !hook.conditions.as_array().is_none_or(Vec::is_empty) {
            return Err(attributes.forbidden("match conditions of webhooks cannot be evaluated by this server yet"));
        }
        Ok(Some(Shown { other }))
    }

    fn selects_object(&self, hook: &Hook) -> bool {
        let none = json!({});
        // What is read from a scale has no labels.
        let labels = |o: &'a Object| match self.attributes.subresource {
            Some(Sub::Scale) => None,
            _ => o["metadata"].get("labels"),
        };
        hook.objects.is_everything()
            || [self.object, self.old]
                .into_iter()
                .flatten()
                .any(|object| hook.objects.matches(labels(object).unwrap_or(&none)))
    }

    async fn selects_namespace(&self, hook: &Hook) -> Result<bool, Status> {
        let attributes = self.attributes;
        if hook.namespaces.is_everything() || self.namespace.is_empty() && !is_namespaces(attributes.kind) {
            return Ok(true);
        }
        let itself = is_namespaces(attributes.kind)
            && attributes.subresource.is_none()
            && matches!(attributes.operation, Operation::Create | Operation::Update);
        if itself {
            let none = json!({});
            let labels = self.object.and_then(|o| o["metadata"].get("labels")).unwrap_or(&none);
            return Ok(hook.namespaces.matches(labels));
        }
        let key = keys::fixed("", "namespaces", "", self.namespace);
        match self.core.store.get(&key).await {
            Ok(Some(entry)) => Ok(hook.namespaces.matches(&Index::read(&entry.index).labels())),
            Ok(None) => Err(Status::not_found("", "namespaces", self.namespace)),
            Err(fault) => Err(Status::internal(fault)),
        }
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
            object: &or_null(self.object.map(|o| self.as_shown(o, kind))),
            old: &or_null(self.old.map(|o| self.as_shown(o, kind))),
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

    /// The object in the kind that the hook wants.
    fn as_shown(&self, object: &Object, kind: &Kind) -> Object {
        match (self.attributes.operation, self.attributes.subresource) {
            (Operation::Connect, _) => object.clone(),
            (_, Some(Sub::Scale)) => scale::scale_of(kind, object),
            (_, Some(Sub::Binding | Sub::Eviction | Sub::Token)) => object.clone(),
            _ => {
                let mut shown = object.clone();
                rules::to_served(kind, &mut shown);
                shown
            }
        }
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
        let mut patched = self.as_shown(object, kind);
        patch::json(&mut patched, operations.clone()).map_err(Status::internal)?;
        let object = match self.attributes.subresource {
            Some(Sub::Scale) => {
                let mut whole = object.clone();
                let replicas = meta::int_at(&patched, &["spec", "replicas"]).unwrap_or(0);
                if !whole["spec"].is_object() {
                    whole["spec"] = json!({});
                }
                whole["spec"]["replicas"] = json!(replicas);
                whole
            }
            sub => {
                let gvk = sub.map_or_else(|| kind.gvk(), |sub| sub.gvk(kind));
                let is_itself = gvk == kind.gvk();
                let schema = if is_itself { kind.schema() } else { schema::of(&gvk) };
                let mut fitted = fitted(patched, &gvk, schema)?;
                if is_itself {
                    rules::default(kind, &mut fitted);
                    rules::to_kept(kind, &mut fitted);
                } else {
                    defaults::apply(&gvk, &mut fitted);
                }
                fitted
            }
        };
        Ok(Some(Patched { object, operations }))
    }
}

/// A patched object held against its schema: what the kind does not know is dropped.
fn fitted(object: Object, gvk: &Gvk, schema: Option<Struct<'_>>) -> Result<Object, Status> {
    let sent = decode::fit(Decoded::from(object), gvk, schema, FieldValidation::Ignore);
    sent.map(|sent| sent.object).map_err(|status| Status::new(500, Reason::InternalError, status.message))
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
