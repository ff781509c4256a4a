//! A write, and everything that policies look at to judge it.
//!
//! In: bound policies, a write. Out: which of them are to be asked, with which parameters, in which version of the object;
//! what is wrong with how they are set up. Everything that waits for the store is done here, before anything is evaluated.

use std::sync::Arc;

use kedge_api::kinds::{Gvk, Kind};
use kedge_api::status::Status;
use kedge_api::{Object, meta};
use serde_json::Value;

use super::cache::Hook;
use super::read::{Binding, ParamRef, Policy};
use crate::admission::expression::{self, Judge};
use crate::admission::webhook::matching::is_namespaces;
use crate::admission::webhook::review;
use crate::admission::{Attributes, Reader, scope};
use crate::registry::{body, decode_kept, keys, rules};

/// A policy that is to be asked, through a binding, with parameters.
pub struct Invocation<'h> {
    /// The policy.
    pub policy: &'h Policy,
    /// The binding.
    pub binding: &'h Binding,
    /// The version of the object; `None`: the request's own.
    pub kind: Option<Arc<Kind>>,
    /// The parameters.
    pub param: Option<Value>,
}

/// A policy or binding that is set up wrongly.
pub struct Misfit<'h> {
    /// The policy.
    pub policy: &'h Policy,
    /// The binding, if it is that.
    pub binding: Option<&'h Binding>,
    /// What is wrong.
    pub message: String,
}

/// See the module.
pub struct Case<'a> {
    /// For reading.
    pub reader: Reader<'a>,
    /// The write.
    pub attributes: &'a Attributes<'a>,
    /// Who decides what somebody may do.
    pub judge: Judge<'a>,
}

/// The object in a version, with what is asked.
pub struct Shown {
    /// The object.
    pub object: Option<Value>,
    /// The object as it was.
    pub old: Option<Value>,
    /// What is asked.
    pub request: Value,
}

impl<'a> Case<'a> {
    /// A write.
    pub fn new(reader: Reader<'a>, attributes: &'a Attributes<'a>) -> Case<'a> {
        Case { reader, attributes, judge: Judge::new(reader.core(), attributes) }
    }

    /// The policies that are to be asked, and those that are set up wrongly.
    pub async fn invocations<'h>(
        &self,
        hooks: &'h [Hook],
        object: Option<&Object>,
        old: Option<&Object>,
    ) -> (Vec<Invocation<'h>>, Vec<Misfit<'h>>) {
        let (core, attributes) = (self.reader.core(), self.attributes);
        let (mut invocations, mut misfits) = (Vec::new(), Vec::new());
        for hook in hooks {
            let policy = &*hook.policy;
            let mut misfit = |binding, message: String| misfits.push(Misfit { policy, binding, message });
            let kind = match policy.matching.wants(core, attributes, object, old).await {
                Ok(Some(kind)) => kind,
                Ok(None) => continue,
                Err(status) => {
                    misfit(None, format!("failed to configure policy: {}", status.message));
                    continue;
                }
            };
            for binding in &hook.bindings {
                let params = match binding.matching.wants(core, attributes, object, old).await {
                    Ok(None) => continue,
                    Ok(Some(_)) => self.params(policy, binding).await,
                    Err(status) => Err(Unusable::Binding(status.message)),
                };
                match params {
                    Ok(params) => invocations.extend(params.into_iter().map(|param| Invocation {
                        policy,
                        binding,
                        kind: kind.clone(),
                        param,
                    })),
                    Err(Unusable::Policy(why)) => misfit(None, format!("failed to configure policy: {why}")),
                    Err(Unusable::Binding(why)) => {
                        misfit(Some(&**binding), format!("failed to configure binding: {why}"));
                    }
                }
            }
        }
        (invocations, misfits)
    }

    /// The parameters of a binding: one that is none where the policy has none.
    async fn params(&self, policy: &Policy, binding: &Binding) -> Result<Vec<Option<Value>>, Unusable> {
        let (Some(gvk), Some(wanted)) = (&policy.param, &binding.param) else { return Ok(vec![None]) };
        let kinds = self.reader.core().kinds();
        let Some(kind) = kinds.by_gvk(gvk) else {
            let shown = shown_gvk(gvk);
            return Err(Unusable::Policy(format!("failed to find resource referenced by paramKind: '{shown}'")));
        };
        let namespace = match (kind.namespaced, &*wanted.namespace, self.attributes.namespace) {
            (false, "", _) => "",
            (false, ..) => {
                let why = "paramRef.namespace must not be provided for a cluster-scoped `paramKind`";
                return Err(Unusable::Binding(why.to_owned()));
            }
            (true, "", "") => {
                let why = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
                return Err(Unusable::Binding(why.to_owned()));
            }
            (true, "", own) => own,
            (true, given, _) => given,
        };
        let found = self.find(kind, namespace, wanted).await.map_err(|status| Unusable::Binding(status.message))?;
        if found.is_empty() && wanted.denies_none {
            let why = "no params found for policy binding with `Deny` parameterNotFoundAction";
            return Err(Unusable::Binding(why.to_owned()));
        }
        Ok(found.into_iter().map(Some).collect())
    }

    async fn find(&self, kind: &Kind, namespace: &str, wanted: &ParamRef) -> Result<Vec<Value>, Status> {
        let store = &self.reader.core().store;
        let unreadable = |fault: kedge_store::ReadError| Status::internal(fault);
        let mut found = Vec::new();
        if !wanted.name.is_empty() {
            let entry = store.get(&keys::object(kind, namespace, &wanted.name)).await.map_err(unreadable)?;
            if let Some(entry) = entry {
                found.push(decode_kept(&entry)?);
            }
        } else if let Some(selector) = &wanted.selector {
            let page = store.list(&keys::collection(kind, namespace), None, None, 0).await.map_err(unreadable)?;
            for entry in &page.entries {
                let object = body::decode(&entry.bytes).map_err(|fault| crate::error::kept(&fault, &entry.key))?;
                if selector.matches(object["metadata"].get("labels").unwrap_or(&Value::Null)) {
                    found.push(object);
                }
            }
        }
        for object in &mut found {
            rules::to_served(kind, object);
        }
        Ok(found)
    }

    /// The namespace of the object; of a namespace itself none.
    pub async fn namespace(&self) -> Result<Option<Value>, Status> {
        let namespace = self.attributes.namespace;
        if namespace.is_empty() || is_namespaces(self.attributes.kind) {
            return Ok(None);
        }
        let found = self.reader.get("", "namespaces", "", namespace).await?;
        let found = found.ok_or_else(|| Status::not_found("", "namespaces", namespace))?;
        Ok(Some(expression::namespace_object(&found)))
    }

    /// The kind in which an invocation wants the object.
    pub fn kind<'k>(&'k self, invocation: &'k Invocation<'_>) -> &'k Kind {
        invocation.kind.as_deref().unwrap_or(self.attributes.kind)
    }

    /// The object as that kind.
    pub fn shown(&self, kind: &Kind, object: Option<&Object>, old: Option<&Object>) -> Shown {
        let in_kind = |object: &Object| scope::shown(self.attributes, object, kind);
        Shown { object: object.map(in_kind), old: old.map(in_kind), request: review::request(self.attributes, kind) }
    }
}

enum Unusable {
    Policy(String),
    Binding(String),
}

fn shown_gvk(gvk: &Gvk) -> String {
    format!("{}/{}, Kind={}", gvk.group, gvk.version, gvk.kind)
}

impl Misfit<'_> {
    /// Names policy and binding: `ValidatingAdmissionPolicy 'a' with binding 'b'`.
    pub fn who(&self, word: &str) -> String {
        who(word, self.policy, self.binding)
    }
}

/// Names policy and binding.
pub fn who(word: &str, policy: &Policy, binding: Option<&Binding>) -> String {
    match binding {
        Some(binding) => format!("{word} '{}' with binding '{}'", policy.name, binding.name),
        None => format!("{word} '{}'", policy.name),
    }
}

impl Invocation<'_> {
    /// Tells it from all others.
    pub fn key(&self) -> String {
        let param =
            self.param.as_ref().map(|p| format!("{}/{}", meta::namespace(p), meta::name(p))).unwrap_or_default();
        format!("{}/{}/{param}", self.policy.name, self.binding.name)
    }
}
