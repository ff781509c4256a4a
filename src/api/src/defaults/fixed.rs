//! Defaults that depend on nothing: type, field, value.
//!
//! In: a type by the last three parts of its name. Out: its fixed defaults.

use super::{Fields, put, unsaid};
use serde_json::{Map, Value};

/// A default value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fixed {
    /// Text; put where there is none or it is empty.
    Text(&'static str),
    /// Text behind a pointer in Go: put only where there is none.
    Pointer(&'static str),
    /// A number behind a pointer in Go: put only where there is none.
    Number(i64),
    /// A number that is not behind a pointer: 0 means that nothing was said.
    NonZero(i64),
    /// True or false.
    Bool(bool),
    /// An empty object.
    Empty,
    /// A list of one text; put where there is none or it is empty.
    List(&'static str),
}

use Fixed::{Bool, Empty, List, NonZero, Number, Pointer, Text};

impl Fixed {
    pub(super) fn put(self, map: &mut Fields, field: &str) {
        let value = match self {
            Text(text) => return put(map, field, text),
            NonZero(number) if map.get(field).and_then(Value::as_i64) == Some(0) => {
                map.insert(field.to_owned(), Value::from(number));
                return;
            }
            List(text) => {
                if map.get(field).and_then(Value::as_array).is_none_or(Vec::is_empty) {
                    map.insert(field.to_owned(), Value::from(vec![text]));
                }
                return;
            }
            Pointer(text) => Value::from(text),
            Number(number) | NonZero(number) => Value::from(number),
            Bool(value) => Value::from(value),
            Empty => Value::Object(Map::new()),
        };
        if !map.contains_key(field) || (!matches!(self, Pointer(_)) && unsaid(map, field)) {
            map.insert(field.to_owned(), value);
        }
    }
}

/// The fixed defaults of a type.
pub(super) fn of(name: &str) -> &'static [(&'static str, Fixed)] {
    TABLE.binary_search_by(|(known, _)| (*known).cmp(name)).map_or(&[], |at| TABLE[at].1)
}

/// Sorted by type.
#[rustfmt::skip]
static TABLE: &[(&str, &[(&str, Fixed)])] = &[
    ("admissionregistration.v1.MatchResources", &[("matchPolicy", Text("Equivalent")), ("namespaceSelector", Empty), ("objectSelector", Empty)]),
    ("admissionregistration.v1.MutatingAdmissionPolicySpec", &[("failurePolicy", Text("Fail"))]),
    ("admissionregistration.v1.MutatingWebhook", &[("failurePolicy", Text("Fail")), ("matchPolicy", Text("Equivalent")), ("namespaceSelector", Empty), ("objectSelector", Empty), ("reinvocationPolicy", Text("Never")), ("timeoutSeconds", Number(10))]),
    ("admissionregistration.v1.NamedRuleWithOperations", &[("scope", Text("*"))]),
    ("admissionregistration.v1.RuleWithOperations", &[("scope", Text("*"))]),
    ("admissionregistration.v1.ServiceReference", &[("port", Number(443))]),
    ("admissionregistration.v1.ValidatingAdmissionPolicySpec", &[("failurePolicy", Text("Fail"))]),
    ("admissionregistration.v1.ValidatingWebhook", &[("failurePolicy", Text("Fail")), ("matchPolicy", Text("Equivalent")), ("namespaceSelector", Empty), ("objectSelector", Empty), ("timeoutSeconds", Number(10))]),
    ("apiextensions.v1.CustomResourceConversion", &[("strategy", Text("None"))]),
    ("apiextensions.v1.CustomResourceDefinitionSpec", &[("conversion", Empty)]),
    ("apiextensions.v1.ServiceReference", &[("port", Number(443))]),
    ("apiregistration.v1.ServiceReference", &[("port", Number(443))]),
    ("apps.v1.DaemonSetSpec", &[("revisionHistoryLimit", Number(10))]),
    ("apps.v1.DeploymentSpec", &[("progressDeadlineSeconds", Number(600)), ("replicas", Number(1)), ("revisionHistoryLimit", Number(10))]),
    ("apps.v1.ReplicaSetSpec", &[("replicas", Number(1))]),
    ("apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", &[("whenDeleted", Text("Retain")), ("whenScaled", Text("Retain"))]),
    ("apps.v1.StatefulSetSpec", &[("persistentVolumeClaimRetentionPolicy", Empty), ("podManagementPolicy", Text("OrderedReady")), ("replicas", Number(1)), ("revisionHistoryLimit", Number(10))]),
    ("authentication.v1.TokenRequestSpec", &[("expirationSeconds", Number(3600))]),
    ("autoscaling.v1.HorizontalPodAutoscalerSpec", &[("minReplicas", Number(1))]),
    ("autoscaling.v2.HorizontalPodAutoscalerSpec", &[("minReplicas", Number(1))]),
    ("batch.v1.CronJobSpec", &[("concurrencyPolicy", Text("Allow")), ("failedJobsHistoryLimit", Number(1)), ("successfulJobsHistoryLimit", Number(3)), ("suspend", Bool(false))]),
    ("batch.v1.PodFailurePolicyOnPodConditionsPattern", &[("status", Text("True"))]),
    ("core.v1.AzureDiskVolumeSource", &[("readOnly", Bool(false))]),
    ("core.v1.ConfigMapVolumeSource", &[("defaultMode", Number(0o644))]),
    ("core.v1.Container", &[("terminationMessagePath", Text("/dev/termination-log")), ("terminationMessagePolicy", Text("File"))]),
    ("core.v1.DownwardAPIVolumeSource", &[("defaultMode", Number(0o644))]),
    ("core.v1.EndpointPort", &[("protocol", Text("TCP"))]),
    ("core.v1.EphemeralContainer", &[("terminationMessagePath", Text("/dev/termination-log")), ("terminationMessagePolicy", Text("File"))]),
    ("core.v1.Event", &[("reportingComponent", Pointer("")), ("reportingInstance", Pointer(""))]),
    ("core.v1.FileKeySelector", &[("optional", Bool(false))]),
    ("core.v1.GRPCAction", &[("service", Pointer(""))]),
    ("core.v1.HTTPGetAction", &[("path", Text("/")), ("scheme", Text("HTTP"))]),
    ("core.v1.HostPathVolumeSource", &[("type", Pointer(""))]),
    ("core.v1.NamespaceStatus", &[("phase", Text("Active"))]),
    ("core.v1.ObjectFieldSelector", &[("apiVersion", Text("v1"))]),
    ("core.v1.PersistentVolumeClaimSpec", &[("volumeMode", Text("Filesystem"))]),
    ("core.v1.PersistentVolumeClaimStatus", &[("phase", Text("Pending"))]),
    ("core.v1.PersistentVolumeSpec", &[("persistentVolumeReclaimPolicy", Text("Retain")), ("volumeMode", Text("Filesystem"))]),
    ("core.v1.PersistentVolumeStatus", &[("phase", Text("Pending"))]),
    ("core.v1.PodCertificateProjection", &[("maxExpirationSeconds", Number(86400))]),
    ("core.v1.PodSpec", &[("dnsPolicy", Text("ClusterFirst")), ("restartPolicy", Text("Always")), ("schedulerName", Text("default-scheduler")), ("securityContext", Empty), ("terminationGracePeriodSeconds", Number(30))]),
    ("core.v1.Probe", &[("failureThreshold", NonZero(3)), ("periodSeconds", NonZero(10)), ("successThreshold", NonZero(1)), ("timeoutSeconds", NonZero(1))]),
    ("core.v1.ProjectedVolumeSource", &[("defaultMode", Number(0o644))]),
    ("core.v1.Secret", &[("type", Text("Opaque"))]),
    ("core.v1.SecretVolumeSource", &[("defaultMode", Number(0o644))]),
    ("core.v1.ServiceAccountTokenProjection", &[("expirationSeconds", Number(3600))]),
    ("discovery.v1.EndpointPort", &[("name", Pointer("")), ("protocol", Text("TCP"))]),
    ("flowcontrol.v1.ExemptPriorityLevelConfiguration", &[("lendablePercent", Number(0)), ("nominalConcurrencyShares", Number(0))]),
    ("flowcontrol.v1.FlowSchemaSpec", &[("matchingPrecedence", NonZero(1000))]),
    ("flowcontrol.v1.LimitedPriorityLevelConfiguration", &[("lendablePercent", Number(0)), ("nominalConcurrencyShares", Number(30))]),
    ("flowcontrol.v1.QueuingConfiguration", &[("handSize", NonZero(8)), ("queueLengthLimit", NonZero(50)), ("queues", NonZero(64))]),
    ("networking.v1.IngressClassParametersReference", &[("scope", Text("Cluster"))]),
    ("networking.v1.NetworkPolicyPort", &[("protocol", Text("TCP"))]),
    ("rbac.v1.RoleRef", &[("apiGroup", Text("rbac.authorization.k8s.io"))]),
    ("scheduling.v1.PriorityClass", &[("preemptionPolicy", Text("PreemptLowerPriority"))]),
    ("storage.v1.CSIDriverSpec", &[("attachRequired", Bool(true)), ("fsGroupPolicy", Text("ReadWriteOnceWithFSType")), ("podInfoOnMount", Bool(false)), ("requiresRepublish", Bool(false)), ("seLinuxMount", Bool(false)), ("storageCapacity", Bool(false)), ("volumeLifecycleModes", List("Persistent"))]),
    ("storage.v1.StorageClass", &[("reclaimPolicy", Text("Delete")), ("volumeBindingMode", Text("Immediate"))]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn every_row_names_a_type_and_its_fields() {
        assert!(TABLE.is_sorted_by_key(|(name, _)| *name), "rows are found by binary search");
        for (name, fields) in TABLE {
            let own = schema::all()
                .find(|node| node.name().is_some_and(|full| full.ends_with(&format!(".{name}"))))
                .and_then(|node| node.as_struct())
                .unwrap_or_else(|| panic!("no type {name}"));
            for (field, _) in *fields {
                assert!(own.field(field).is_some(), "no field {field} in {name}");
            }
        }
    }
}
