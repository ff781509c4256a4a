//! Between the words of `wit/` and those of `plugin-api`; what a plugin says is held against bounds here.

use kedge_plugin_api::admission as api;

use crate::bindings::admission::exports::kedge::plugin::admission as wire;

/// Hooks of one plugin: each costs a comparison for every write.
const HOOKS: usize = 64;
/// Rules of one hook, entries of one list.
const ENTRIES: usize = 128;
/// Warnings of one answer; a client is told 4 KiB of them at most anyway.
const WARNINGS: usize = 32;
/// Bytes of a patch: as large as the largest body that the API takes.
const PATCH: usize = 3 << 20;
/// Bytes of a refusal's message: what fits on a screen.
const MESSAGE: usize = 8 << 10;

pub(super) fn hooks(declared: Vec<wire::Hook>) -> Result<Vec<api::Hook>, String> {
    if declared.len() > HOOKS {
        return Err(format!("{} hooks where {HOOKS} are the most", declared.len()));
    }
    declared.into_iter().map(hook).collect()
}

fn hook(hook: wire::Hook) -> Result<api::Hook, String> {
    if hook.name.is_empty() || hook.name.len() > 63 {
        return Err(format!("a hook's name is 1 to 63 bytes, not {}", hook.name.len()));
    }
    let longest = [hook.rules.len(), hook.fields.len()]
        .into_iter()
        .chain(hook.rules.iter().flat_map(|rule| [rule.groups.len(), rule.resources.len(), rule.operations.len()]))
        .max()
        .unwrap_or(0);
    if longest > ENTRIES {
        return Err(format!("hook {} has a list of {longest} entries where {ENTRIES} are the most", hook.name));
    }
    let has = |part| hook.parts.contains(part);
    let parts = api::Parts {
        object: has(wire::Parts::OBJECT),
        old_object: has(wire::Parts::OLD_OBJECT),
        groups: has(wire::Parts::GROUPS),
        namespace_labels: has(wire::Parts::NAMESPACE_LABELS),
    };
    let rule = |rule: wire::Rule| api::Rule {
        groups: rule.groups,
        resources: rule.resources,
        operations: rule.operations.into_iter().map(operation).collect(),
    };
    let rules = hook.rules.into_iter().map(rule).collect();
    Ok(api::Hook { name: hook.name, mutates: hook.mutates, rules, parts, fields: hook.fields })
}

fn operation(operation: wire::Operation) -> api::Operation {
    match operation {
        wire::Operation::Create => api::Operation::Create,
        wire::Operation::Update => api::Operation::Update,
        wire::Operation::Delete => api::Operation::Delete,
        wire::Operation::Connect => api::Operation::Connect,
    }
}

pub(super) fn request(request: api::Request) -> wire::Request {
    wire::Request {
        hook: request.hook,
        operation: match request.operation {
            api::Operation::Create => wire::Operation::Create,
            api::Operation::Update => wire::Operation::Update,
            api::Operation::Delete => wire::Operation::Delete,
            api::Operation::Connect => wire::Operation::Connect,
        },
        group: request.group,
        version: request.version,
        kind: request.kind,
        resource: request.resource,
        subresource: request.subresource,
        namespace: request.namespace,
        name: request.name,
        user: request.user,
        groups: request.groups,
        dry_run: request.dry_run,
        object: request.object,
        old_object: request.old_object,
        namespace_labels: request.namespace_labels,
    }
}

pub(super) fn verdict(verdict: wire::Verdict, mutates: bool) -> Result<api::Verdict, String> {
    if verdict.warnings.len() > WARNINGS {
        return Err(format!("{} warnings where {WARNINGS} are the most", verdict.warnings.len()));
    }
    let patch = |patch: String| match patch.len() {
        _ if !mutates => Err("a patch by a hook that does not mutate".to_owned()),
        length if length > PATCH => Err(format!("a patch of {length} bytes where {PATCH} are the most")),
        _ => Ok(patch),
    };
    let answer = match verdict.answer {
        wire::Answer::Allowed => api::Answer::Allowed,
        wire::Answer::Denied(refusal) => api::Answer::Denied(self::refusal(refusal)?),
        wire::Answer::JsonPatch(text) => api::Answer::JsonPatch(patch(text)?),
        wire::Answer::MergePatch(text) => api::Answer::MergePatch(patch(text)?),
    };
    Ok(api::Verdict { answer, warnings: verdict.warnings })
}

fn refusal(refusal: wire::Refusal) -> Result<api::Refusal, String> {
    let code = if refusal.code == 0 { 403 } else { refusal.code };
    if !(400..600).contains(&code) {
        return Err(format!("a refusal with code {code}"));
    }
    if refusal.message.len() > MESSAGE {
        return Err(format!("a message of {} bytes where {MESSAGE} are the most", refusal.message.len()));
    }
    let reason = match refusal.reason.as_str() {
        "" if code == 403 => "Forbidden".to_owned(),
        _ => refusal.reason,
    };
    Ok(api::Refusal { code, reason, message: refusal.message })
}
