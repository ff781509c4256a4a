//! PodSecurity: pods keep to the level that their namespace's labels, or the configuration, ask for.
//!
//! In: pods, whatever holds a pod template, namespaces. Out: 403 for a pod that violates what is enforced, warnings
//! for what violates what is warned of, and for what is in a namespace whose level gets stricter. The judgement
//! itself is `kedge_api::pod_security`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use kedge_api::field::quote;
use kedge_api::kinds::Sub;
use kedge_api::meta::{self, at, list_at, text, text_at};
use kedge_api::pod_security::{self, LABELS, Level, LevelVersion, Policy};
use kedge_api::selector::Lookup;
use kedge_api::status::Status;
use kedge_api::{Object, pod_security::Violation};
use serde_json::Value;

use super::config::PodSecurityConfig;
use super::{Admission, Attributes, Operation, Reader};

/// See the module.
#[derive(Debug)]
pub struct PodSecurity {
    config: PodSecurityConfig,
}

/// So many pods of a namespace are looked at when its level changes: ten times what a device runs.
const PODS: usize = 3000;

impl PodSecurity {
    /// With these defaults and exemptions.
    pub fn new(config: PodSecurityConfig) -> Self {
        PodSecurity { config }
    }
}

#[async_trait]
impl Admission for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        template(attributes).is_some() || attributes.concerns("", "namespaces")
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        object: Option<&Object>,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let Some(object) = object else { return Ok(()) };
        if !matches!(attributes.operation, Operation::Create | Operation::Update) {
            return Ok(());
        }
        if attributes.is("", "namespaces") {
            return self.namespace(attributes, object, old, reader).await;
        }
        let is_pod = attributes.concerns("", "pods")
            && matches!(attributes.subresource, None | Some(Sub::EphemeralContainers | Sub::Resize));
        let Some(place) = template(attributes).filter(|_| is_pod || attributes.subresource.is_none()) else {
            return Ok(());
        };
        self.judge(attributes, object, old.filter(|_| is_pod), place, reader).await
    }
}

/// Where the pod is in an object of the kind, if it holds one: the path of its metadata and spec.
fn template(attributes: &Attributes<'_>) -> Option<&'static [&'static str]> {
    Some(match (&*attributes.kind.stored.0, &*attributes.kind.plural) {
        ("", "pods") => &[],
        ("", "podtemplates") => &["template"],
        ("", "replicationcontrollers")
        | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => &["spec", "template"],
        ("batch", "cronjobs") => &["spec", "jobTemplate", "spec", "template"],
        _ => return None,
    })
}

impl PodSecurity {
    /// A pod, or what holds the template of one.
    async fn judge(
        &self,
        attributes: &Attributes<'_>,
        object: &Object,
        old: Option<&Object>,
        place: &[&str],
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let note = |key: &str, value: String| attributes.annotate(format!("{LABELS}{key}"), value);
        let exempt = |list: &[String], name: &str| !name.is_empty() && list.iter().any(|one| one == name);
        if exempt(&self.config.exempt_namespaces, attributes.namespace) {
            note("exempt", "namespace".to_owned());
            return Ok(());
        }
        if exempt(&self.config.exempt_users, &attributes.who.name) {
            note("exempt", "user".to_owned());
            return Ok(());
        }
        let is_pod = place.is_empty();
        let labels = reader.labels("", "namespaces", "", attributes.namespace, LABELS).await?;
        if labels.is_none() && is_pod {
            return Err(Status::internal(format!("failed to lookup namespace {}", quote(attributes.namespace))));
        }
        let (policy, faults) = Policy::of_labels(&labels.unwrap_or_default(), self.config.defaults);
        let only_privileged = policy.audit.level == Level::Privileged && policy.warn.level == Level::Privileged;
        if faults.is_empty() && only_privileged && (!is_pod || policy.enforce.level == Level::Privileged) {
            if is_pod {
                note("enforce-policy", LevelVersion::default().to_string());
            }
            return Ok(());
        }
        let Some(pod) = at(object, place) else { return Ok(()) };
        if attributes.operation == Operation::Update && old.is_some_and(|old| !is_significant(pod, old)) {
            return Ok(());
        }
        let (metadata, spec) = (pod.get("metadata").unwrap_or(&Value::Null), pod.get("spec").unwrap_or(&Value::Null));
        if exempt(&self.config.exempt_runtime_classes, text(spec, "runtimeClassName")) {
            note("exempt", "runtimeClass".to_owned());
            return Ok(());
        }
        if !faults.is_empty() {
            let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
            note("error", format!("Failed to parse policy: {}", all.join(", ")));
        }
        if attributes.audit.is_wanted() && policy.audit.level != Level::Privileged {
            let found = pod_security::evaluate(policy.audit, metadata, spec);
            if !found.is_empty() {
                note("audit-violations", sentence("would violate", policy.audit, &found));
            }
        }
        if is_pod {
            note("enforce-policy", policy.enforce.to_string());
            let found = pod_security::evaluate(policy.enforce, metadata, spec);
            if !found.is_empty() {
                return Err(attributes.forbidden(sentence("violates", policy.enforce, &found)));
            }
        }
        let found = pod_security::evaluate(policy.warn, metadata, spec);
        if !found.is_empty() {
            attributes.warn(sentence("would violate", policy.warn, &found));
        }
        Ok(())
    }

    /// Labels of a namespace must mean something; whoever makes them stricter hears which pods violate them.
    async fn namespace(
        &self,
        attributes: &Attributes<'_>,
        new: &Object,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let name = meta::name(new);
        let labels_of = |object: &Object| Policy::of_labels(&object["metadata"]["labels"], self.config.defaults);
        let (policy, faults) = labels_of(new);
        let (before, faults_before) = match old {
            Some(old) => labels_of(old),
            None => (self.config.defaults, Vec::new()),
        };
        if !faults.is_empty() && faults != faults_before {
            return Err(Status::invalid(&attributes.kind.group, &attributes.kind.kind, name, &faults));
        }
        let (now, then) = (policy.enforce, before.enforce);
        if old.is_some()
            && (now == then || now.level == Level::Privileged || now.version == then.version && now.level <= then.level)
        {
            return Ok(());
        }
        if self.config.exempt_namespaces.iter().any(|one| one == name) {
            if let Some(warning) = self.in_vain(name, policy, new) {
                attributes.warn(warning);
            }
            return Ok(());
        }
        if old.is_some() {
            let pods = reader.list("", "pods", name).await?;
            for warning in self.existing(name, now, &pods) {
                attributes.warn(warning);
            }
        }
        Ok(())
    }

    /// What is said to whoever labels a namespace that is exempt.
    fn in_vain(&self, name: &str, policy: Policy, namespace: &Object) -> Option<String> {
        if policy.is_privileged() || policy.is_equivalent(&self.config.defaults) {
            return None;
        }
        let labels = &namespace["metadata"]["labels"];
        let said =
            |mode: &str| ["", "-version"].iter().any(|end| labels.value(&format!("{LABELS}{mode}{end}")).is_some());
        let modes: Vec<String> = [("enforce", policy.enforce), ("audit", policy.audit), ("warn", policy.warn)]
            .into_iter()
            .filter(|(mode, wanted)| wanted.level != Level::Privileged && said(mode))
            .map(|(mode, wanted)| format!("{mode}={wanted}"))
            .collect();
        Some(format!(
            "namespace {} is exempt from Pod Security, and the policy ({}) will be ignored",
            quote(name),
            modes.join(", ")
        ))
    }

    /// What is said of the pods of a namespace whose enforced level changes: one of each controller first.
    fn existing(&self, namespace: &str, enforce: LevelVersion, pods: &[Object]) -> Vec<String> {
        let exempt = |pod: &Object| {
            let class = text_at(pod, &["spec", "runtimeClassName"]);
            self.config.exempt_runtime_classes.iter().any(|one| one == class)
        };
        let mut seen: Vec<&str> = Vec::new();
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        for pod in pods.iter().filter(|pod| !exempt(pod)) {
            match meta::controller(pod).map(|owner| owner.uid) {
                Some(uid) if seen.contains(&uid) => rest.push(pod),
                owner => {
                    seen.extend(owner);
                    first.push(pod);
                }
            }
        }
        first.append(&mut rest);
        let all = first.len();
        first.truncate(PODS);
        let mut found: BTreeMap<String, (&str, usize)> = BTreeMap::new();
        for pod in &first {
            let violations = pod_security::evaluate(enforce, &pod["metadata"], &pod["spec"]);
            if !violations.is_empty() {
                let entry = found.entry(pod_security::reasons(&violations)).or_insert((meta::name(pod), 0));
                *entry = (entry.0.min(meta::name(pod)), entry.1 + 1);
            }
        }
        let mut warnings = Vec::new();
        if all > first.len() {
            warnings.push(format!(
                "new PodSecurity enforce level only checked against the first {} of {all} existing pods",
                first.len()
            ));
        }
        if !found.is_empty() {
            warnings.push(format!(
                "existing pods in namespace {} violate the new PodSecurity enforce level \"{enforce}\"",
                quote(namespace)
            ));
        }
        let mut each: Vec<String> = found
            .into_iter()
            .map(|(reasons, (name, count))| match count {
                1 => format!("{name}: {reasons}"),
                2 => format!("{name} (and 1 other pod): {reasons}"),
                more => format!("{name} (and {} other pods): {reasons}", more - 1),
            })
            .collect();
        each.sort();
        warnings.extend(each);
        warnings
    }
}

fn sentence(verb: &str, wanted: LevelVersion, found: &[Violation]) -> String {
    format!("{verb} PodSecurity \"{wanted}\": {}", pod_security::details(found))
}

/// Whether an update of a pod changes what is judged: containers or their images.
fn is_significant(new: &Object, old: &Object) -> bool {
    let lists = |pod| ["containers", "initContainers"].map(|list| list_at(pod, &["spec", list]));
    let changed = lists(new).into_iter().zip(lists(old)).any(|(new, old)| {
        new.len() != old.len() || new.iter().zip(old).any(|(new, old)| text(new, "image") != text(old, "image"))
    });
    let ephemeral = |pod| list_at(pod, &["spec", "ephemeralContainers"]);
    changed
        || ephemeral(new).iter().any(|container| {
            let before = ephemeral(old).iter().find(|old| text(old, "name") == text(container, "name"));
            before.is_none_or(|before| text(before, "image") != text(container, "image"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn existing_pods_are_grouped_by_what_they_violate() {
        let plugin = PodSecurity::new(PodSecurityConfig::default());
        let pod = |name: &str, owner: &str, network: bool| {
            let mut pod = json!({"metadata": {"name": name}, "spec": {"hostNetwork": network}});
            if !owner.is_empty() {
                pod["metadata"]["ownerReferences"] = json!([{"uid": owner, "controller": true}]);
            }
            pod
        };
        let pods = [pod("b", "x", true), pod("c", "x", true), pod("a", "", true), pod("d", "", false)];
        let baseline = LevelVersion { level: Level::Baseline, ..LevelVersion::default() };
        assert_eq!(
            plugin.existing("ns", baseline, &pods),
            [
                "existing pods in namespace \"ns\" violate the new PodSecurity enforce level \"baseline:latest\"",
                "a (and 2 other pods): host namespaces",
            ]
        );
        assert!(plugin.existing("ns", LevelVersion::default(), &pods).is_empty());
    }

    #[test]
    fn only_images_and_containers_matter_in_an_update() {
        let pod = |image: &str, debug: Value| json!({"spec": {"containers": [{"name": "a", "image": image}], "ephemeralContainers": debug}});
        let plain = pod("x", json!([]));
        assert!(!is_significant(&plain, &plain));
        assert!(is_significant(&pod("y", json!([])), &plain));
        assert!(is_significant(&pod("x", json!([{"name": "d", "image": "z"}])), &plain));
        assert!(!is_significant(&plain, &pod("x", json!([{"name": "d", "image": "z"}]))));
    }
}
