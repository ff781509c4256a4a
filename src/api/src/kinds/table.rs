//! Every built-in resource of Kubernetes v1.36, one row each.
//!
//! In: nothing. Out: `ROWS`. Facts only: what a row means is said in `kinds.rs`.

use super::Sub::{
    Approval, Attach, Binding, EphemeralContainers, Eviction, Exec, Finalize, Log, PortForward, Proxy, Resize, Scale,
    Status, Token,
};
use super::{Sub, Tier, Verbs};

/// A row of the static table; `Kinds::builtin` turns it into a `Kind`.
pub(super) struct Row {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub namespaced: bool,
    pub verbs: Verbs,
    pub short: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub subs: &'static [Sub],
    pub stored: (&'static str, &'static str),
    pub tier: Tier,
}

const NAMESPACED: bool = true;
const CLUSTER: bool = false;

const fn row(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
    verbs: Verbs,
) -> Row {
    Row {
        group,
        version,
        kind,
        plural,
        namespaced,
        verbs,
        short: &[],
        categories: &[],
        subs: &[],
        stored: (group, version),
        tier: Tier::Durable,
    }
}

impl Row {
    const fn short(mut self, names: &'static [&'static str]) -> Row {
        self.short = names;
        self
    }
    const fn categories(mut self, names: &'static [&'static str]) -> Row {
        self.categories = names;
        self
    }
    const fn sub(mut self, subs: &'static [Sub]) -> Row {
        self.subs = subs;
        self
    }
    const fn stored(mut self, group: &'static str, version: &'static str) -> Row {
        self.stored = (group, version);
        self
    }
    const fn volatile(mut self) -> Row {
        self.tier = Tier::Volatile;
        self
    }
}

#[rustfmt::skip] // one resource, one line
pub(super) static ROWS: &[Row] = &[
    row("", "v1", "Binding", "bindings", NAMESPACED, Verbs::CREATE_ONLY),
    row("", "v1", "ComponentStatus", "componentstatuses", CLUSTER, Verbs::READ_ONLY).short(&["cs"]),
    row("", "v1", "ConfigMap", "configmaps", NAMESPACED, Verbs::ALL).short(&["cm"]),
    row("", "v1", "Endpoints", "endpoints", NAMESPACED, Verbs::ALL).short(&["ep"]),
    row("", "v1", "Event", "events", NAMESPACED, Verbs::ALL).short(&["ev"]).volatile(),
    row("", "v1", "LimitRange", "limitranges", NAMESPACED, Verbs::ALL).short(&["limits"]),
    row("", "v1", "Namespace", "namespaces", CLUSTER, Verbs::NO_COLLECTION_DELETE).short(&["ns"]).sub(&[Finalize, Status]),
    row("", "v1", "Node", "nodes", CLUSTER, Verbs::ALL).short(&["no"]).sub(&[Proxy, Status]),
    row("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", NAMESPACED, Verbs::ALL).short(&["pvc"]).sub(&[Status]),
    row("", "v1", "PersistentVolume", "persistentvolumes", CLUSTER, Verbs::ALL).short(&["pv"]).sub(&[Status]),
    row("", "v1", "Pod", "pods", NAMESPACED, Verbs::ALL).short(&["po"]).categories(&["all"]).sub(&[Attach, Binding, EphemeralContainers, Eviction, Exec, Log, PortForward, Proxy, Resize, Status]),
    row("", "v1", "PodTemplate", "podtemplates", NAMESPACED, Verbs::ALL),
    row("", "v1", "ReplicationController", "replicationcontrollers", NAMESPACED, Verbs::ALL).short(&["rc"]).categories(&["all"]).sub(&[Scale, Status]),
    row("", "v1", "ResourceQuota", "resourcequotas", NAMESPACED, Verbs::ALL).short(&["quota"]).sub(&[Status]),
    row("", "v1", "Secret", "secrets", NAMESPACED, Verbs::ALL),
    row("", "v1", "ServiceAccount", "serviceaccounts", NAMESPACED, Verbs::ALL).short(&["sa"]).sub(&[Token]),
    row("", "v1", "Service", "services", NAMESPACED, Verbs::ALL).short(&["svc"]).categories(&["all"]).sub(&[Proxy, Status]),
    row("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", CLUSTER, Verbs::ALL).categories(&["api-extensions"]),
    row("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", CLUSTER, Verbs::ALL).categories(&["api-extensions"]),
    row("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", CLUSTER, Verbs::ALL).categories(&["api-extensions"]),
    row("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", CLUSTER, Verbs::ALL).categories(&["api-extensions"]).sub(&[Status]),
    row("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", CLUSTER, Verbs::ALL).categories(&["api-extensions"]),
    row("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", CLUSTER, Verbs::ALL).categories(&["api-extensions"]),
    row("admissionregistration.k8s.io", "v1alpha1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", CLUSTER, Verbs::ALL).categories(&["api-extensions"]).stored("admissionregistration.k8s.io", "v1"),
    row("admissionregistration.k8s.io", "v1alpha1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", CLUSTER, Verbs::ALL).categories(&["api-extensions"]).stored("admissionregistration.k8s.io", "v1"),
    row("admissionregistration.k8s.io", "v1beta1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", CLUSTER, Verbs::ALL).categories(&["api-extensions"]).stored("admissionregistration.k8s.io", "v1"),
    row("admissionregistration.k8s.io", "v1beta1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", CLUSTER, Verbs::ALL).categories(&["api-extensions"]).stored("admissionregistration.k8s.io", "v1"),
    row("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", CLUSTER, Verbs::ALL).short(&["crd", "crds"]).categories(&["api-extensions"]).sub(&[Status]),
    row("apiregistration.k8s.io", "v1", "APIService", "apiservices", CLUSTER, Verbs::ALL).categories(&["api-extensions"]).sub(&[Status]),
    row("apps", "v1", "ControllerRevision", "controllerrevisions", NAMESPACED, Verbs::ALL),
    row("apps", "v1", "DaemonSet", "daemonsets", NAMESPACED, Verbs::ALL).short(&["ds"]).categories(&["all"]).sub(&[Status]),
    row("apps", "v1", "Deployment", "deployments", NAMESPACED, Verbs::ALL).short(&["deploy"]).categories(&["all"]).sub(&[Scale, Status]),
    row("apps", "v1", "ReplicaSet", "replicasets", NAMESPACED, Verbs::ALL).short(&["rs"]).categories(&["all"]).sub(&[Scale, Status]),
    row("apps", "v1", "StatefulSet", "statefulsets", NAMESPACED, Verbs::ALL).short(&["sts"]).categories(&["all"]).sub(&[Scale, Status]),
    row("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", CLUSTER, Verbs::CREATE_ONLY),
    row("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", CLUSTER, Verbs::CREATE_ONLY),
    row("authorization.k8s.io", "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", NAMESPACED, Verbs::CREATE_ONLY),
    row("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", CLUSTER, Verbs::CREATE_ONLY),
    row("authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", CLUSTER, Verbs::CREATE_ONLY),
    row("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", CLUSTER, Verbs::CREATE_ONLY),
    row("autoscaling", "v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", NAMESPACED, Verbs::ALL).short(&["hpa"]).categories(&["all"]).sub(&[Status]).stored("autoscaling", "v2"),
    row("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", NAMESPACED, Verbs::ALL).short(&["hpa"]).categories(&["all"]).sub(&[Status]),
    row("batch", "v1", "CronJob", "cronjobs", NAMESPACED, Verbs::ALL).short(&["cj"]).categories(&["all"]).sub(&[Status]),
    row("batch", "v1", "Job", "jobs", NAMESPACED, Verbs::ALL).categories(&["all"]).sub(&[Status]),
    row("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", CLUSTER, Verbs::ALL).short(&["csr"]).sub(&[Approval, Status]),
    row("certificates.k8s.io", "v1alpha1", "ClusterTrustBundle", "clustertrustbundles", CLUSTER, Verbs::ALL).stored("certificates.k8s.io", "v1beta1"),
    row("certificates.k8s.io", "v1beta1", "ClusterTrustBundle", "clustertrustbundles", CLUSTER, Verbs::ALL),
    row("certificates.k8s.io", "v1beta1", "PodCertificateRequest", "podcertificaterequests", NAMESPACED, Verbs::ALL).sub(&[Status]),
    row("coordination.k8s.io", "v1", "Lease", "leases", NAMESPACED, Verbs::ALL).volatile(),
    row("coordination.k8s.io", "v1alpha2", "LeaseCandidate", "leasecandidates", NAMESPACED, Verbs::ALL).stored("coordination.k8s.io", "v1beta1"),
    row("coordination.k8s.io", "v1beta1", "LeaseCandidate", "leasecandidates", NAMESPACED, Verbs::ALL),
    row("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", NAMESPACED, Verbs::ALL),
    row("events.k8s.io", "v1", "Event", "events", NAMESPACED, Verbs::ALL).short(&["ev"]).stored("", "v1").volatile(),
    row("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "flowschemas", CLUSTER, Verbs::ALL).sub(&[Status]),
    row("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration", "prioritylevelconfigurations", CLUSTER, Verbs::ALL).sub(&[Status]),
    row("internal.apiserver.k8s.io", "v1alpha1", "StorageVersion", "storageversions", CLUSTER, Verbs::ALL).sub(&[Status]),
    row("networking.k8s.io", "v1", "IngressClass", "ingressclasses", CLUSTER, Verbs::ALL),
    row("networking.k8s.io", "v1", "Ingress", "ingresses", NAMESPACED, Verbs::ALL).short(&["ing"]).sub(&[Status]),
    row("networking.k8s.io", "v1", "IPAddress", "ipaddresses", CLUSTER, Verbs::ALL).short(&["ip"]),
    row("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", NAMESPACED, Verbs::ALL).short(&["netpol"]),
    row("networking.k8s.io", "v1", "ServiceCIDR", "servicecidrs", CLUSTER, Verbs::ALL).sub(&[Status]),
    row("networking.k8s.io", "v1beta1", "IPAddress", "ipaddresses", CLUSTER, Verbs::ALL).short(&["ip"]).stored("networking.k8s.io", "v1"),
    row("networking.k8s.io", "v1beta1", "ServiceCIDR", "servicecidrs", CLUSTER, Verbs::ALL).sub(&[Status]).stored("networking.k8s.io", "v1"),
    row("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", CLUSTER, Verbs::ALL),
    row("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", NAMESPACED, Verbs::ALL).short(&["pdb"]).sub(&[Status]),
    row("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", CLUSTER, Verbs::ALL),
    row("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", CLUSTER, Verbs::ALL),
    row("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", NAMESPACED, Verbs::ALL),
    row("rbac.authorization.k8s.io", "v1", "Role", "roles", NAMESPACED, Verbs::ALL),
    row("resource.k8s.io", "v1", "DeviceClass", "deviceclasses", CLUSTER, Verbs::ALL),
    row("resource.k8s.io", "v1", "ResourceClaim", "resourceclaims", NAMESPACED, Verbs::ALL).sub(&[Status]),
    row("resource.k8s.io", "v1", "ResourceClaimTemplate", "resourceclaimtemplates", NAMESPACED, Verbs::ALL),
    row("resource.k8s.io", "v1", "ResourceSlice", "resourceslices", CLUSTER, Verbs::ALL),
    row("resource.k8s.io", "v1alpha3", "DeviceTaintRule", "devicetaintrules", CLUSTER, Verbs::ALL).sub(&[Status]),
    row("resource.k8s.io", "v1alpha3", "ResourcePoolStatusRequest", "resourcepoolstatusrequests", CLUSTER, Verbs::ALL).sub(&[Status]),
    row("resource.k8s.io", "v1beta1", "DeviceClass", "deviceclasses", CLUSTER, Verbs::ALL).stored("resource.k8s.io", "v1"),
    row("resource.k8s.io", "v1beta1", "ResourceClaim", "resourceclaims", NAMESPACED, Verbs::ALL).sub(&[Status]).stored("resource.k8s.io", "v1"),
    row("resource.k8s.io", "v1beta1", "ResourceClaimTemplate", "resourceclaimtemplates", NAMESPACED, Verbs::ALL).stored("resource.k8s.io", "v1"),
    row("resource.k8s.io", "v1beta1", "ResourceSlice", "resourceslices", CLUSTER, Verbs::ALL).stored("resource.k8s.io", "v1"),
    row("resource.k8s.io", "v1beta2", "DeviceClass", "deviceclasses", CLUSTER, Verbs::ALL).stored("resource.k8s.io", "v1"),
    row("resource.k8s.io", "v1beta2", "DeviceTaintRule", "devicetaintrules", CLUSTER, Verbs::ALL).sub(&[Status]).stored("resource.k8s.io", "v1alpha3"),
    row("resource.k8s.io", "v1beta2", "ResourceClaim", "resourceclaims", NAMESPACED, Verbs::ALL).sub(&[Status]).stored("resource.k8s.io", "v1"),
    row("resource.k8s.io", "v1beta2", "ResourceClaimTemplate", "resourceclaimtemplates", NAMESPACED, Verbs::ALL).stored("resource.k8s.io", "v1"),
    row("resource.k8s.io", "v1beta2", "ResourceSlice", "resourceslices", CLUSTER, Verbs::ALL).stored("resource.k8s.io", "v1"),
    row("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", CLUSTER, Verbs::ALL).short(&["pc"]),
    row("scheduling.k8s.io", "v1alpha2", "PodGroup", "podgroups", NAMESPACED, Verbs::ALL).sub(&[Status]),
    row("scheduling.k8s.io", "v1alpha2", "Workload", "workloads", NAMESPACED, Verbs::ALL),
    row("storage.k8s.io", "v1", "CSIDriver", "csidrivers", CLUSTER, Verbs::ALL),
    row("storage.k8s.io", "v1", "CSINode", "csinodes", CLUSTER, Verbs::ALL),
    row("storage.k8s.io", "v1", "CSIStorageCapacity", "csistoragecapacities", NAMESPACED, Verbs::ALL),
    row("storage.k8s.io", "v1", "StorageClass", "storageclasses", CLUSTER, Verbs::ALL).short(&["sc"]),
    row("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", CLUSTER, Verbs::ALL).sub(&[Status]),
    row("storage.k8s.io", "v1", "VolumeAttributesClass", "volumeattributesclasses", CLUSTER, Verbs::ALL).short(&["vac"]),
    row("storage.k8s.io", "v1beta1", "VolumeAttributesClass", "volumeattributesclasses", CLUSTER, Verbs::ALL).short(&["vac"]).stored("storage.k8s.io", "v1"),
    row("storagemigration.k8s.io", "v1beta1", "StorageVersionMigration", "storageversionmigrations", CLUSTER, Verbs::ALL).sub(&[Status]),
];
