//! References between objects, once names have changed.
//!
//! In: objects that know what they were called. Out: objects that name others as these are called now. What refers to no
//! object of the kustomization stays as it is.

use kedge_api::kinds::Kinds;
use serde_json::{Value, json};

use super::paths::{each, split};
use super::{Piece, effective, is_of_cluster};
use crate::error::Failure;

/// A kind that others refer to: group and kind.
type To = (&'static str, &'static str);

const CONFIG_MAP: To = ("", "ConfigMap");
const SECRET: To = ("", "Secret");
const SERVICE: To = ("", "Service");
const ACCOUNT: To = ("", "ServiceAccount");
const VOLUME: To = ("", "PersistentVolume");
const CLAIM: To = ("", "PersistentVolumeClaim");
const STORAGE: To = ("storage.k8s.io", "StorageClass");
const PRIORITY: To = ("scheduling.k8s.io", "PriorityClass");
const INGRESS_CLASS: To = ("networking.k8s.io", "IngressClass");

/// Where the pod templates of a kind are.
const TEMPLATES: &[(&str, &str)] = &[
    ("Pod", "spec"),
    ("PodTemplate", "template/spec"),
    ("Deployment", "spec/template/spec"),
    ("ReplicaSet", "spec/template/spec"),
    ("ReplicationController", "spec/template/spec"),
    ("DaemonSet", "spec/template/spec"),
    ("StatefulSet", "spec/template/spec"),
    ("Job", "spec/template/spec"),
    ("CronJob", "spec/jobTemplate/spec/template/spec"),
];

/// References of a pod template.
const OF_PODS: &[(&str, To)] = &[
    ("volumes/configMap/name", CONFIG_MAP),
    ("volumes/projected/sources/configMap/name", CONFIG_MAP),
    ("volumes/secret/secretName", SECRET),
    ("volumes/projected/sources/secret/name", SECRET),
    ("imagePullSecrets/name", SECRET),
    ("serviceAccountName", ACCOUNT),
    ("volumes/persistentVolumeClaim/claimName", CLAIM),
    ("priorityClassName", PRIORITY),
];

/// References of a container.
const OF_CONTAINERS: &[(&str, To)] = &[
    ("env/valueFrom/configMapKeyRef/name", CONFIG_MAP),
    ("envFrom/configMapRef/name", CONFIG_MAP),
    ("env/valueFrom/secretKeyRef/name", SECRET),
    ("envFrom/secretRef/name", SECRET),
];

/// References of other kinds.
const OTHERS: &[(&str, &str, To)] = &[
    ("Ingress", "spec/tls/secretName", SECRET),
    ("Ingress", "spec/rules/http/paths/backend/service/name", SERVICE),
    ("Ingress", "spec/defaultBackend/service/name", SERVICE),
    ("Ingress", "spec/rules/http/paths/backend/serviceName", SERVICE),
    ("Ingress", "spec/backend/serviceName", SERVICE),
    ("Ingress", "spec/ingressClassName", INGRESS_CLASS),
    ("HTTPRoute", "spec/rules/backendRefs/name", SERVICE),
    ("ServiceAccount", "imagePullSecrets/name", SECRET),
    ("ServiceAccount", "secrets/name", SECRET),
    ("StatefulSet", "spec/serviceName", SERVICE),
    ("StatefulSet", "spec/volumeClaimTemplates/spec/storageClassName", STORAGE),
    ("APIService", "spec/service/name", SERVICE),
    ("PersistentVolumeClaim", "spec/volumeName", VOLUME),
    ("PersistentVolumeClaim", "spec/storageClassName", STORAGE),
    ("PersistentVolume", "spec/storageClassName", STORAGE),
    ("PersistentVolume", "spec/azureFile/secretName", SECRET),
    ("StorageClass", "parameters/secretName", SECRET),
    ("StorageClass", "parameters/adminSecretName", SECRET),
    ("StorageClass", "parameters/userSecretName", SECRET),
    ("StorageClass", "parameters/secretRef", SECRET),
];

/// Kinds that a reference names beside the name.
const NAMED: &[To] = &[
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("", "ReplicationController"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
];

/// Mends the references of all objects.
pub fn mend(kinds: &Kinds, pieces: &mut [Piece]) -> Result<(), Failure> {
    if pieces.iter().all(|piece| piece.former.is_empty()) {
        return Ok(());
    }
    let register: Vec<Entry> = pieces.iter().map(|piece| Entry::of(kinds, piece)).collect();
    for piece in pieces {
        let mut own = Own {
            register: &register,
            namespace: piece.namespace().to_owned(),
            of_cluster: is_of_cluster(kinds, &piece.gvk()),
            affixes: affixes(piece),
            fault: None,
        };
        own.mend(&mut piece.object);
        if let Some(fault) = own.fault {
            return Err(Failure::said(format!("{}: {fault}", piece.origin)));
        }
    }
    Ok(())
}

/// An object as others may call it.
struct Entry {
    group: String,
    kind: String,
    of_cluster: bool,
    /// Namespaces and names, the present ones first.
    names: Vec<(String, String)>,
    /// What was put around its name.
    affixes: Vec<(String, String)>,
}

/// What was put around a name, the first first; a hash at its end is not counted.
fn affixes(piece: &Piece) -> Vec<(String, String)> {
    let former = piece.former.iter().map(|(_, name)| name.as_str());
    let mut names: Vec<&str> = former.chain((!piece.hashed).then(|| piece.name())).collect();
    names.dedup();
    let around = |(old, new): (&str, &str)| {
        let at = new.find(old)?;
        Some((new[..at].to_owned(), new[at + old.len()..].to_owned()))
    };
    names.windows(2).filter_map(|pair| around((pair[0], pair[1]))).collect()
}

impl Entry {
    fn of(kinds: &Kinds, piece: &Piece) -> Entry {
        let gvk = piece.gvk();
        let names = piece.names().map(|(namespace, name)| (namespace.to_owned(), name.to_owned())).collect();
        Entry {
            of_cluster: is_of_cluster(kinds, &gvk),
            group: gvk.group.to_string(),
            kind: gvk.kind.to_string(),
            names,
            affixes: affixes(piece),
        }
    }

    fn is(&self, (group, kind): To) -> bool {
        self.kind == kind && self.group == group
    }
}

/// The object whose references are mended.
struct Own<'a> {
    register: &'a [Entry],
    namespace: String,
    of_cluster: bool,
    affixes: Vec<(String, String)>,
    fault: Option<String>,
}

impl Own<'_> {
    fn mend(&mut self, object: &mut Value) {
        let kind = object["kind"].as_str().unwrap_or("").to_owned();
        for (_, place) in TEMPLATES.iter().filter(|(of, _)| *of == kind) {
            each(object, &split(place), false, &mut |spec| {
                OF_PODS.iter().for_each(|(path, to)| self.names(spec, path, *to));
                for list in ["containers", "initContainers", "ephemeralContainers"] {
                    let Some(list) = spec.get_mut(list) else { continue };
                    OF_CONTAINERS.iter().for_each(|(path, to)| self.names(list, path, *to));
                }
            });
        }
        for (_, path, to) in OTHERS.iter().filter(|(of, ..)| *of == kind) {
            self.names(object, path, *to);
        }
        match kind.as_str() {
            "HorizontalPodAutoscaler" => self.named(object, "spec/scaleTargetRef"),
            "RoleBinding" | "ClusterRoleBinding" => {
                self.named(object, "roleRef");
                self.with_namespace(object, "subjects", ACCOUNT);
            }
            "Role" | "ClusterRole" => {
                each(object, &split("rules"), false, &mut |rule| {
                    let of: Vec<String> = rule["resources"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(|one| one.as_str().map(str::to_owned))
                        .collect();
                    for (plural, to) in [("configmaps", CONFIG_MAP), ("secrets", SECRET), ("persistentvolumes", VOLUME)]
                    {
                        if of.iter().any(|one| one == plural) {
                            self.names(rule, "resourceNames", to);
                        }
                    }
                });
            }
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => {
                self.with_namespace(object, "webhooks/clientConfig/service", SERVICE);
            }
            _ => {}
        }
    }

    /// Names at a path.
    fn names(&mut self, value: &mut Value, path: &str, to: To) {
        each(value, &split(path), false, &mut |value| {
            if let Some(new) = value.as_str().and_then(|name| self.new_name(name, to)) {
                *value = json!(new);
            }
        });
    }

    /// References that name a kind.
    fn named(&mut self, object: &mut Value, path: &str) {
        each(object, &split(path), false, &mut |reference| {
            let Some(to) = NAMED.iter().find(|(_, kind)| reference["kind"] == **kind) else { return };
            self.names(reference, "name", *to);
        });
    }

    /// References that may name a namespace too.
    fn with_namespace(&mut self, object: &mut Value, path: &str, to: To) {
        let own = self.namespace.clone();
        each(object, &split(path), false, &mut |reference| {
            let Some(map) = reference.as_object_mut() else { return };
            if map.get("kind").is_some_and(|kind| *kind != to.1) {
                return;
            }
            let text = |field: &str| map.get(field).and_then(Value::as_str).map(str::to_owned);
            let Some(name) = text("name") else { return };
            let namespace = text("namespace");
            let is_meant = |entry: &&Entry| {
                let there = namespace.as_deref().unwrap_or(&own);
                entry.is(to)
                    && entry.names.iter().any(|(of, called)| *called == name && effective(of) == effective(there))
            };
            let Some(entry) = self.register.iter().find(is_meant) else { return };
            let Some((now_in, now)) = entry.names.first() else { return };
            map.insert("name".to_owned(), json!(now));
            if !now_in.is_empty() && (namespace.is_some() || *now_in != own) {
                map.insert("namespace".to_owned(), json!(now_in));
            }
        });
    }

    /// What is called so now; `None` where nothing is to be done.
    fn new_name(&mut self, name: &str, to: To) -> Option<String> {
        let near = |entry: &&Entry| {
            let there = entry.names.first().map_or("", |(namespace, _)| namespace);
            // What lives in no namespace may refer into any.
            let is_near = self.of_cluster || entry.of_cluster || effective(there) == effective(&self.namespace);
            entry.is(to) && is_near
        };
        let near: Vec<&Entry> = self.register.iter().filter(near).collect();
        let now = |entry: &Entry| entry.names.first().map(|(_, name)| name.clone()).unwrap_or_default();
        if near.iter().any(|entry| now(entry) == name) {
            return None;
        }
        let mut found = near;
        found.retain(|entry| entry.names.iter().any(|(_, former)| former == name));
        // Of several those that came the same way.
        if found.len() > 1 && found.iter().any(|entry| entry.affixes == self.affixes) {
            found.retain(|entry| entry.affixes == self.affixes);
        }
        let mut meant: Vec<String> = found.into_iter().map(now).collect();
        meant.dedup();
        match meant.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            many => {
                let kind = to.1;
                self.fault = Some(format!("found multiple possible referrals of {kind} {name}: {}", many.join(", ")));
                None
            }
        }
    }
}
