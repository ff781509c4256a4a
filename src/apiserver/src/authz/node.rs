//! What a node may do: what the pods bound to it need, and what it says about itself.
//!
//! In: pods, volumes and their like as they come and go; what a node asks for. Out: yes, or why not
//! in Kubernetes' words. Pure; `upkeep/nodes.rs` keeps the graph equal to the store. That a node
//! writes only its own objects is admission's part (NodeRestriction).

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use kedge_api::{Object, meta};
use serde_json::Value;

use super::rules::Wanted;
use crate::identity::Identity;

/// The group of the node agents.
pub const NODES: &str = "system:nodes";
/// The role of a node, for what is not told apart here.
pub const ROLE: &str = "system:node";

/// The node that somebody is; empty if the name has none.
pub fn name_of(who: &Identity) -> Option<&str> {
    let name = who.name.strip_prefix("system:node:")?;
    who.is_in(NODES).then_some(name)
}

/// Terms of a field selector, as `a=b,c==d`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fields<'a>(pub &'a str);

impl Fields<'_> {
    /// Whether only objects with this value are selected.
    fn require(self, field: &str, value: &str) -> bool {
        self.0.split(',').any(|term| {
            let term = term.trim().strip_prefix(field).and_then(|rest| rest.strip_prefix('='));
            term.is_some_and(|rest| rest.strip_prefix('=').unwrap_or(rest) == value)
        })
    }
}

/// What is decided about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// Its role decides.
    ByRole,
    /// It may not, for this reason (may be empty).
    Denied(String),
}

/// What a pod ties to its node.
#[derive(Debug)]
struct PodTies {
    node: Box<str>,
    /// Digests of what it names in its namespace: with 64 bits at random two of a million clash
    /// less than once in ten million.
    names: Box<[u64]>,
}

/// Who is tied to which node.
#[derive(Debug, Default)]
pub struct NodeGraph {
    hasher: RandomState,
    /// By namespace, then name. A pod of ten names takes about 250 bytes.
    pods: HashMap<Box<str>, HashMap<Box<str>, PodTies>>,
    /// Claims by their volume: namespace and name.
    volumes: HashMap<Box<str>, (Box<str>, Box<str>)>,
    /// Nodes by their volume attachment or resource slice.
    attachments: HashMap<Box<str>, Box<str>>,
    slices: HashMap<Box<str>, Box<str>>,
}

/// Kinds of things that pods name.
const SECRET: &str = "secrets";
const CONFIG_MAP: &str = "configmaps";
const CLAIM: &str = "persistentvolumeclaims";
const RESOURCE_CLAIM: &str = "resourceclaims";
const ACCOUNT: &str = "serviceaccounts";

impl NodeGraph {
    /// Adds or replaces a pod.
    pub fn put_pod(&mut self, pod: &Object) {
        let (namespace, name) = (meta::namespace(pod).to_owned(), meta::name(pod).to_owned());
        let node = meta::text_at(pod, &["spec", "nodeName"]);
        if node.is_empty() {
            self.drop_pod(&namespace, &name);
            return;
        }
        let mut names = Vec::new();
        named_by(pod, |kind, name| names.push(self.hasher.hash_one((kind, name))));
        names.sort_unstable();
        names.dedup();
        let ties = PodTies { node: node.into(), names: names.into() };
        self.pods.entry(namespace.into()).or_default().insert(name.into(), ties);
    }

    /// Removes a pod.
    pub fn drop_pod(&mut self, namespace: &str, name: &str) {
        if let Some(pods) = self.pods.get_mut(namespace) {
            pods.remove(name);
            if pods.is_empty() {
                self.pods.remove(namespace);
            }
        }
    }

    /// Adds or replaces a volume.
    pub fn put_volume(&mut self, volume: &Object) {
        let claim = |field: &str| meta::text_at(volume, &["spec", "claimRef", field]);
        let tie = (claim("namespace").into(), claim("name").into());
        self.volumes.insert(meta::name(volume).into(), tie);
    }

    /// Removes a volume.
    pub fn drop_volume(&mut self, name: &str) {
        self.volumes.remove(name);
    }

    /// Adds or replaces a volume attachment.
    pub fn put_attachment(&mut self, object: &Object) {
        let node = meta::text_at(object, &["spec", "nodeName"]);
        self.attachments.insert(meta::name(object).into(), node.into());
    }

    /// Removes a volume attachment.
    pub fn drop_attachment(&mut self, name: &str) {
        self.attachments.remove(name);
    }

    /// Adds or replaces a resource slice.
    pub fn put_slice(&mut self, object: &Object) {
        let node = meta::text_at(object, &["spec", "nodeName"]);
        self.slices.insert(meta::name(object).into(), node.into());
    }

    /// Removes a resource slice.
    pub fn drop_slice(&mut self, name: &str) {
        self.slices.remove(name);
    }

    /// Whether a pod of that namespace on that node names the thing.
    fn names(&self, node: &str, namespace: &str, kind: &str, name: &str) -> bool {
        let wanted = self.hasher.hash_one((kind, name));
        let pods = self.pods.get(namespace).into_iter().flat_map(HashMap::values);
        pods.filter(|p| *p.node == *node).any(|p| p.names.binary_search(&wanted).is_ok())
    }

    fn runs(&self, node: &str, namespace: &str, pod: &str) -> bool {
        self.pods.get(namespace).and_then(|pods| pods.get(pod)).is_some_and(|p| *p.node == *node)
    }

    fn mounts(&self, node: &str, volume: &str) -> bool {
        self.volumes.get(volume).is_some_and(|(namespace, claim)| self.names(node, namespace, CLAIM, claim))
    }

    /// Decides what a node asks for.
    pub fn decide(&self, node: &str, wanted: &Wanted<'_>, fields: Fields<'_>) -> Verdict {
        let Wanted::Resource { verb, group, resource, subresource, namespace, name } = *wanted else {
            return Verdict::ByRole;
        };
        let denied = |why: &str| Verdict::Denied(why.to_owned());
        let related = |is: bool| {
            if name.is_empty() {
                return denied("No Object name found");
            }
            if is {
                return Verdict::Allowed;
            }
            Verdict::Denied(format!("no relationship found between node '{node}' and this object"))
        };
        let get = |is: bool| match (verb, subresource) {
            ("get", "") => related(is),
            ("get", _) => denied("cannot get subresource"),
            _ => denied("can only get individual resources of this type"),
        };
        let read = |kind: &str| match (verb, subresource, namespace) {
            ("get" | "list" | "watch", "", "") => denied("can only read namespaced object of this type"),
            ("get" | "list" | "watch", "", _) => related(self.names(node, namespace, kind, name)),
            ("get" | "list" | "watch", _, _) => denied("cannot read subresource"),
            _ => denied("can only read resources of this type"),
        };
        let own = |what: &str| match verb {
            "create" => Verdict::Allowed,
            "get" | "update" | "patch" | "delete" if name == node => Verdict::Allowed,
            "get" | "update" | "patch" | "delete" => {
                Verdict::Denied(format!("can only access {what} with the same name as the requesting node"))
            }
            _ => Verdict::Denied(format!("can only get, create, update, patch, or delete a {what}")),
        };
        match (group, resource) {
            ("", SECRET | CONFIG_MAP) => read(resource),
            ("", CLAIM) if subresource == "status" => match verb {
                "update" | "patch" => related(self.names(node, namespace, CLAIM, name)),
                _ => denied("can only get/update/patch this type"),
            },
            ("", CLAIM) => get(self.names(node, namespace, CLAIM, name)),
            ("", "persistentvolumes") => get(self.mounts(node, name)),
            ("resource.k8s.io", RESOURCE_CLAIM) => get(self.names(node, namespace, RESOURCE_CLAIM, name)),
            ("storage.k8s.io", "volumeattachments") => get(self.attachments.get(name).is_some_and(|n| **n == *node)),
            ("", ACCOUNT) if verb == "get" && subresource.is_empty() => read(ACCOUNT),
            ("", ACCOUNT) if verb != "create" || name.is_empty() => {
                denied("can only create tokens for individual service accounts")
            }
            ("", ACCOUNT) if subresource != "token" => denied("can only create token subresource of serviceaccount"),
            ("", ACCOUNT) => related(self.names(node, namespace, ACCOUNT, name)),
            ("coordination.k8s.io", "leases") if namespace != "kube-node-lease" => match verb {
                "get" | "create" | "update" | "patch" | "delete" => {
                    denied("can only access leases in the \"kube-node-lease\" system namespace")
                }
                _ => own("node lease"),
            },
            ("coordination.k8s.io", "leases") => own("node lease"),
            ("storage.k8s.io", "csinodes") if !subresource.is_empty() => {
                denied("cannot authorize CSINode subresources")
            }
            ("storage.k8s.io", "csinodes") => own("CSINode"),
            ("resource.k8s.io", "resourceslices") => self.slice(node, verb, subresource, name, fields),
            ("", "nodes") => node_object(node, verb, subresource, name),
            ("", "pods") => match (subresource, verb) {
                ("", "get") => related(self.runs(node, namespace, name)),
                ("", "list" | "watch") if fields.require("spec.nodeName", node) => Verdict::Allowed,
                ("", "list" | "watch") if !name.is_empty() => related(self.runs(node, namespace, name)),
                ("", "list" | "watch") => denied("can only list/watch pods with spec.nodeName field selector"),
                ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Verdict::Allowed,
                _ => denied(""),
            },
            _ => Verdict::ByRole,
        }
    }

    fn slice(&self, node: &str, verb: &str, subresource: &str, name: &str, fields: Fields<'_>) -> Verdict {
        let denied = |why: &str| Verdict::Denied(why.to_owned());
        match (subresource, verb) {
            ("", "create") => Verdict::Allowed,
            ("", "get" | "update" | "patch" | "delete") if self.slices.get(name).is_some_and(|n| **n == *node) => {
                Verdict::Allowed
            }
            ("", "get" | "update" | "patch" | "delete") => {
                Verdict::Denied(format!("no relationship found between node '{node}' and this object"))
            }
            ("", "watch" | "list" | "deletecollection") if fields.require("spec.nodeName", node) => Verdict::Allowed,
            ("", "watch" | "list" | "deletecollection") => {
                denied("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            ("", _) => denied(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
            ),
            _ => denied("cannot authorize ResourceSlice subresources"),
        }
    }
}

fn node_object(node: &str, verb: &str, subresource: &str, name: &str) -> Verdict {
    match (subresource, verb) {
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Verdict::Allowed,
        ("", "get" | "list" | "watch") if name == node => Verdict::Allowed,
        ("", "get" | "list" | "watch") if name.is_empty() => {
            Verdict::Denied(format!("node '{node}' cannot read all nodes, only its own Node object"))
        }
        ("", "get" | "list" | "watch") => {
            Verdict::Denied(format!("node '{node}' cannot read '{name}', only its own Node object"))
        }
        _ => Verdict::Denied(String::new()),
    }
}

/// Tells everything of its namespace that a pod names, by kind. A mirror pod names nothing: a node
/// must not give itself rights by making one.
fn named_by(pod: &Object, mut tell: impl FnMut(&str, &str)) {
    if meta::annotation(pod, "kubernetes.io/config.mirror").is_some() {
        return;
    }
    let spec = &pod["spec"];
    let mut told = |kind: &str, name: Option<&Value>| {
        if let Some(name) = name.and_then(Value::as_str).filter(|n| !n.is_empty()) {
            tell(kind, name);
        }
    };
    told(ACCOUNT, spec.get("serviceAccountName"));
    for secret in list(spec, "imagePullSecrets") {
        told(SECRET, secret.get("name"));
    }
    for containers in ["containers", "initContainers", "ephemeralContainers"] {
        for container in list(spec, containers) {
            for source in list(container, "envFrom") {
                told(SECRET, source.pointer("/secretRef/name"));
                told(CONFIG_MAP, source.pointer("/configMapRef/name"));
            }
            for variable in list(container, "env") {
                told(SECRET, variable.pointer("/valueFrom/secretKeyRef/name"));
                told(CONFIG_MAP, variable.pointer("/valueFrom/configMapKeyRef/name"));
            }
        }
    }
    for volume in list(spec, "volumes") {
        told(SECRET, volume.pointer("/secret/secretName"));
        told(CONFIG_MAP, volume.pointer("/configMap/name"));
        told(CLAIM, volume.pointer("/persistentVolumeClaim/claimName"));
        for driver in ["cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"] {
            told(SECRET, volume.pointer(&format!("/{driver}/secretRef/name")));
        }
        told(SECRET, volume.pointer("/csi/nodePublishSecretRef/name"));
        told(SECRET, volume.pointer("/azureFile/secretName"));
        if volume.get("ephemeral").is_some_and(|e| !e.is_null()) {
            let claim = format!("{}-{}", meta::name(pod), meta::text(volume, "name"));
            told(CLAIM, Some(&Value::String(claim)));
        }
        for source in volume.get("projected").into_iter().flat_map(|p| list(p, "sources")) {
            told(SECRET, source.pointer("/secret/name"));
            told(CONFIG_MAP, source.pointer("/configMap/name"));
        }
    }
    for claim in list(spec, "resourceClaims") {
        told(RESOURCE_CLAIM, claim.get("resourceClaimName"));
    }
    for claim in list(&pod["status"], "resourceClaimStatuses") {
        told(RESOURCE_CLAIM, claim.get("resourceClaimName"));
    }
}

fn list<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn graph() -> NodeGraph {
        let mut graph = NodeGraph::default();
        let pod = |name: &str, node: &str| {
            json!({"metadata": {"name": name, "namespace": "a"}, "spec": {
                "nodeName": node, "serviceAccountName": format!("sa-{node}"),
                "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": format!("env-{node}")}}}]}],
                "volumes": [{"name": "v", "configMap": {"name": format!("cm-{node}")}},
                    {"name": "w", "persistentVolumeClaim": {"claimName": format!("claim-{node}")}},
                    {"name": "x", "projected": {"sources": [{"secret": {"name": format!("projected-{node}")}}]}},
                    {"name": "y", "ephemeral": {}}]}})
        };
        graph.put_pod(&pod("p1", "n1"));
        graph.put_pod(&pod("p2", "n2"));
        let mut mirror = pod("m", "n3");
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        graph.put_pod(&mirror);
        graph.put_volume(
            &json!({"metadata": {"name": "pv"}, "spec": {"claimRef": {"namespace": "a", "name": "claim-n1"}}}),
        );
        graph
    }

    /// `wanted` is "verb group resource[/sub] namespace name"; `-` for empty.
    #[track_caller]
    fn check_with(graph: &NodeGraph, node: &str, wanted: &str, fields: &str, expected: &str) {
        let words: Vec<&str> = wanted.split(' ').map(|w| if w == "-" { "" } else { w }).collect();
        let [verb, group, resource, namespace, name] = words.as_slice() else { panic!("{wanted}") };
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let asked = Wanted::Resource { verb, group, resource, subresource, namespace, name };
        let seen = match graph.decide(node, &asked, Fields(fields)) {
            Verdict::Allowed => "allowed".to_owned(),
            Verdict::ByRole => "by role".to_owned(),
            Verdict::Denied(why) => why,
        };
        assert_eq!(seen, expected, "{node} {wanted} {fields}");
    }

    #[track_caller]
    fn check(node: &str, wanted: &str, expected: &str) {
        check_with(&graph(), node, wanted, "", expected);
    }

    #[test]
    fn a_node_reads_what_its_pods_name() {
        let strange = "no relationship found between node 'n1' and this object";
        check("n1", "get - secrets a env-n1", "allowed");
        check("n1", "watch - secrets a projected-n1", "allowed");
        check("n1", "get - secrets a env-n2", strange);
        check("n1", "get - secrets b env-n1", strange);
        check("n1", "get - configmaps a cm-n1", "allowed");
        check("n1", "get - configmaps a env-n1", strange);
        check("n1", "list - secrets a -", "No Object name found");
        check("n1", "list - secrets - -", "can only read namespaced object of this type");
        check("n1", "delete - secrets a env-n1", "can only read resources of this type");
        check("n1", "get - persistentvolumeclaims a claim-n1", "allowed");
        check("n1", "get - persistentvolumeclaims a p1-y", "allowed");
        check("n1", "update - persistentvolumeclaims/status a claim-n1", "allowed");
        check("n1", "list - persistentvolumeclaims a -", "can only get individual resources of this type");
        check("n1", "get - persistentvolumes - pv", "allowed");
        check("n2", "get - persistentvolumes - pv", "no relationship found between node 'n2' and this object");
        check("n1", "create - serviceaccounts/token a sa-n1", "allowed");
        check("n1", "create - serviceaccounts/token a sa-n2", strange);
        check("n1", "create - serviceaccounts a -", "can only create tokens for individual service accounts");
        check("n3", "get - secrets a env-n3", "no relationship found between node 'n3' and this object");
    }

    #[test]
    fn a_node_speaks_for_itself_only() {
        check("n1", "get - nodes - n1", "allowed");
        check("n1", "get - nodes - n2", "node 'n1' cannot read 'n2', only its own Node object");
        check("n1", "list - nodes - -", "node 'n1' cannot read all nodes, only its own Node object");
        check("n1", "patch - nodes/status - n1", "allowed");
        check("n1", "delete - nodes - n1", "");
        check("n1", "patch coordination.k8s.io leases kube-node-lease n1", "allowed");
        check(
            "n1",
            "patch coordination.k8s.io leases kube-node-lease n2",
            "can only access node lease with the same name as the requesting node",
        );
        check(
            "n1",
            "get coordination.k8s.io leases default n1",
            "can only access leases in the \"kube-node-lease\" system namespace",
        );
        check(
            "n1",
            "list coordination.k8s.io leases kube-node-lease -",
            "can only get, create, update, patch, or delete a node lease",
        );
        check("n1", "update storage.k8s.io csinodes - n1", "allowed");
        check("n1", "get - services a x", "by role");
    }

    #[test]
    fn a_node_lists_its_own_pods() {
        let graph = graph();
        let whole = "can only list/watch pods with spec.nodeName field selector";
        check_with(&graph, "n1", "list - pods - -", "", whole);
        check_with(&graph, "n1", "list - pods - -", "spec.nodeName=n2", whole);
        check_with(&graph, "n1", "list - pods - -", "spec.nodeName!=n1", whole);
        check_with(&graph, "n1", "watch - pods - -", "spec.nodeName=n1", "allowed");
        check_with(&graph, "n1", "watch - pods - -", "status.phase=Running,spec.nodeName==n1", "allowed");
        check("n1", "get - pods a p1", "allowed");
        check("n1", "get - pods a p2", "no relationship found between node 'n1' and this object");
        check("n1", "create - pods/eviction a p1", "allowed");
        check("n1", "create - pods/exec a p1", "");
    }

    #[test]
    fn ties_end_with_the_pod() {
        let mut graph = graph();
        graph.drop_pod("a", "p1");
        check_with(
            &graph,
            "n1",
            "get - secrets a env-n1",
            "",
            "no relationship found between node 'n1' and this object",
        );
        check_with(
            &graph,
            "n1",
            "get - persistentvolumes - pv",
            "",
            "no relationship found between node 'n1' and this object",
        );
    }

    #[test]
    fn only_members_of_the_group_are_nodes() {
        assert_eq!(name_of(&Identity::node("n1")), Some("n1"));
        assert_eq!(name_of(&Identity::user("system:node:n1", [""; 0])), None);
        assert_eq!(name_of(&Identity::user("jane", [NODES])), None);
    }
}
