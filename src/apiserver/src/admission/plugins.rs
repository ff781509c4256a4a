//! Admission by plugins: those of the configuration's list that have admission hooks.
//!
//! In: a write that a hook wants to see, reduced to what it asked for. Out: the object as the plugin's patch leaves it,
//! or its refusal. What a plugin that cannot answer means is its configuration's to say. A write that no hook wants to
//! see costs a comparison for each hook, and nothing at all where there is none.

use std::sync::Arc;

use async_trait::async_trait;
use kedge_api::Object;
use kedge_api::check::FieldValidation;
use kedge_api::kinds::{Kinds, Sub};
use kedge_api::meta;
use kedge_api::status::{Reason, Status};
use kedge_plugin_api::admission::{self as api, AdmissionPlugin, AdmissionPlugins, Answer, Hook, Request};
use serde_json::{Map, Value, json};

use super::{Admission, Attributes, Operation, Reader};
use crate::media::PatchKind;
use crate::registry::{patching, rules};

/// See the module.
pub struct Plugins(pub Arc<dyn AdmissionPlugins>);

#[async_trait]
impl Admission for Plugins {
    fn name(&self) -> &'static str {
        "Plugins"
    }

    fn concerns(&self, _attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        self.0.any()
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        object: &mut Object,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        for plugin in self.0.all() {
            for place in wanted(&*plugin, attributes, true) {
                let Some(answer) = ask(&plugin, place, attributes, Some(object), old, reader).await? else { continue };
                let (kind, text) = match answer {
                    Answer::JsonPatch(text) => (PatchKind::Json, text),
                    Answer::MergePatch(text) => (PatchKind::Merge, text),
                    Answer::Allowed | Answer::Denied(_) => continue,
                };
                match patched(attributes, &reader.kinds(), object, kind, &text) {
                    Ok(patched) => {
                        attributes.rounds.ask_again();
                        *object = patched;
                    }
                    Err(why) if plugin.fails_open() => {
                        tracing::warn!(
                            plugin = plugin.name(),
                            why,
                            "a plugin's patch cannot be applied and is left out"
                        );
                    }
                    Err(why) => return Err(failed(plugin.name(), &format!("its patch cannot be applied: {why}"))),
                }
            }
        }
        Ok(())
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        object: Option<&Object>,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        for plugin in self.0.all() {
            for place in wanted(&*plugin, attributes, false) {
                ask(&plugin, place, attributes, object, old, reader).await?;
            }
        }
        Ok(())
    }
}

/// The hooks that want to see the write, of those that mutate or of the others.
fn wanted(plugin: &dyn AdmissionPlugin, attributes: &Attributes<'_>, mutates: bool) -> Vec<usize> {
    let kind = attributes.kind;
    let sub = attributes.subresource.map_or("", Sub::name);
    let operation = operation(attributes.operation);
    let sees = |hook: &Hook| hook.rules.iter().any(|rule| rule.matches(operation, &kind.stored.0, &kind.plural, sub));
    let hooks = plugin.hooks().iter().enumerate();
    hooks.filter(|(_, hook)| hook.mutates == mutates && sees(hook)).map(|(place, _)| place).collect()
}

/// Asks one hook. Out: its answer, unless it is a refusal; nothing when it cannot answer and need not.
async fn ask(
    plugin: &Arc<dyn AdmissionPlugin>,
    place: usize,
    attributes: &Attributes<'_>,
    object: Option<&Object>,
    old: Option<&Object>,
    reader: Reader<'_>,
) -> Result<Option<Answer>, Status> {
    let Some(hook) = plugin.hooks().get(place) else { return Ok(None) };
    let request = request(place, hook, attributes, object, old, reader).await?;
    let asked = plugin.clone();
    // A plugin may use its whole deadline; threads that serve requests do not wait for it.
    let answered = tokio::task::spawn_blocking(move || asked.review(request)).await;
    let verdict = match answered {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(fault)) if plugin.fails_open() => {
            tracing::warn!(plugin = plugin.name(), %fault, "an admission plugin cannot answer and is left out");
            return Ok(None);
        }
        Ok(Err(fault)) => return Err(failed(plugin.name(), &fault.fault.to_string())),
        Err(fault) => return Err(failed(plugin.name(), &fault.to_string())),
    };
    for warning in verdict.warnings {
        attributes.warn(warning);
    }
    match verdict.answer {
        Answer::Denied(refusal) => {
            let name = format!("{}/{}", plugin.name(), hook.name);
            let message = match refusal.message.as_str() {
                "" => format!("admission plugin {name:?} denied the request without explanation"),
                said => format!("admission plugin {name:?} denied the request: {said}"),
            };
            Err(Status::new(refusal.code, Reason::parse(&refusal.reason), message))
        }
        answer => Ok(Some(answer)),
    }
}

fn failed(plugin: &str, why: &str) -> Status {
    Status::internal(format!("failed calling admission plugin {plugin:?}: {why}"))
}

fn operation(operation: Operation) -> api::Operation {
    match operation {
        Operation::Create => api::Operation::Create,
        Operation::Update => api::Operation::Update,
        Operation::Delete => api::Operation::Delete,
        Operation::Connect => api::Operation::Connect,
    }
}

/// What the hook asked for, and no more.
async fn request(
    place: usize,
    hook: &Hook,
    attributes: &Attributes<'_>,
    object: Option<&Object>,
    old: Option<&Object>,
    reader: Reader<'_>,
) -> Result<Request, Status> {
    let (kind, parts) = (attributes.kind, hook.parts);
    let text = |wanted: bool, object: Option<&Object>| match object.filter(|_| wanted) {
        Some(object) if hook.fields.is_empty() => object.to_string(),
        Some(object) => reduced(object, &hook.fields).to_string(),
        None => String::new(),
    };
    let labels = match attributes.namespace {
        namespace if parts.namespace_labels && !namespace.is_empty() => {
            reader.labels("", "namespaces", "", namespace, "").await?.unwrap_or_default()
        }
        _ => Vec::new(),
    };
    Ok(Request {
        hook: u32::try_from(place).unwrap_or(u32::MAX),
        operation: operation(attributes.operation),
        group: kind.stored.0.to_string(),
        version: kind.stored.1.to_string(),
        kind: kind.kind.to_string(),
        resource: kind.plural.to_string(),
        subresource: attributes.subresource.map_or("", Sub::name).to_owned(),
        namespace: attributes.namespace.to_owned(),
        name: attributes.name.to_owned(),
        user: attributes.who.name.clone(),
        groups: if parts.groups { attributes.who.groups.clone() } else { Vec::new() },
        dry_run: attributes.dry_run,
        object: text(parts.object, object),
        old_object: text(parts.old_object, old),
        namespace_labels: labels,
    })
}

/// The fields of an object at those paths, and what says which object it is.
fn reduced(object: &Object, fields: &[String]) -> Object {
    const ALWAYS: [&str; 5] = ["apiVersion", "kind", "metadata.name", "metadata.namespace", "metadata.uid"];
    let mut out = json!({});
    for path in ALWAYS.into_iter().chain(fields.iter().map(String::as_str)) {
        let names: Vec<&str> = path.split('.').collect();
        if let Some(value) = meta::at(object, &names) {
            put(&mut out, &names, value);
        }
    }
    out
}

/// Puts a value at a path; what stands in the way and is no object stays.
fn put(out: &mut Value, names: &[&str], value: &Value) {
    match (names, out) {
        ([], out) => *out = value.clone(),
        ([first, rest @ ..], Value::Object(map)) => {
            put(map.entry(*first).or_insert_with(|| Value::Object(Map::new())), rest, value);
        }
        _ => {}
    }
}

/// The object with a plugin's patch applied: of its kind still, with defaults, and the same object.
fn patched(
    attributes: &Attributes<'_>,
    kinds: &Kinds,
    object: &Object,
    kind: PatchKind,
    text: &str,
) -> Result<Object, String> {
    let patch: Value = serde_json::from_str(text).map_err(|fault| format!("it is no JSON: {fault}"))?;
    let stored = attributes.kind.stored_gvk();
    // Custom kinds are kept in the version that their definition says, which is served.
    let whole = kinds.by_gvk(&stored).map_or(attributes.kind, |kind| kind);
    let asked = match attributes.subresource {
        Some(sub @ (Sub::Binding | Sub::Eviction | Sub::Token)) => Some(sub.gvk(attributes.kind)),
        _ => None,
    };
    let (gvk, schema) = match &asked {
        Some(gvk) => (gvk, kedge_api::schema::of(gvk)),
        None => (&stored, whole.schema()),
    };
    let same = |object: &Object| {
        ["name", "generateName", "namespace", "uid"].map(|field| meta::text_at(object, &["metadata", field]).to_owned())
    };
    let before = same(object);
    let fitted =
        patching::apply(gvk, schema, object, kind, &patch.into(), FieldValidation::Strict).map_err(|s| s.message)?;
    let mut patched = fitted.object;
    if same(&patched) != before {
        return Err("it changes which object this is".to_owned());
    }
    if asked.is_none() {
        rules::default(whole, &mut patched);
    }
    Ok(patched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(object: Value, fields: &[&str], expected: Value) {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        assert_eq!(reduced(&object, &fields), expected);
    }

    #[test]
    fn only_what_was_asked_for_is_handed_over() {
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"x": "y"}},
            "spec": {"containers": [{"image": "i"}], "nodeName": "n"}, "status": {"phase": "Running"}});
        let own = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
        check(object.clone(), &[], own.clone());
        let mut with = own.clone();
        with["spec"] = json!({"containers": [{"image": "i"}]});
        check(object.clone(), &["spec.containers", "spec.absent"], with);
        let mut whole = own;
        whole["metadata"]["labels"] = json!({"x": "y"});
        check(object, &["metadata"], whole);
    }
}
