//! Which kinds of volumes there are, and what is told of each.
//!
//! In: a volume of a kind. Out: its values in words. Never tells what a secret holds: only which it is.

use serde_json::Value;

use super::super::values::{amount, bracketed, flag, joined, number, or_unset, words};

/// A kind of volume.
#[derive(Clone, Copy)]
pub struct Source {
    /// The field it is in.
    pub field: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// What it is.
    pub meaning: &'static str,
    /// What is told: the title, the field, and how it is shown.
    pub lines: &'static [(&'static str, &'static str, Shown)],
}

/// How a value is shown.
#[derive(Clone, Copy)]
pub enum Shown {
    /// As it is.
    Text,
    /// As a number; zero when it is left out.
    Number,
    /// `true` or `false`.
    Flag,
    /// As it is, or `<none>`.
    OrNone,
    /// As it is, or `<unset>`.
    OrUnset,
    /// An amount, or `<unset>`.
    Amount,
    /// `[a b]`.
    List,
    /// `a, b`.
    Commas,
    /// `map[a:b]`.
    Map,
    /// A secret of the pod's own namespace, as Go prints it.
    Secret,
    /// A secret of any namespace.
    SecretOf,
}

use Shown::{Amount, Commas, Flag, List, Map, Number, OrNone, OrUnset, Secret, SecretOf, Text};

/// A field's value in words; a point leads into an object.
pub fn shown(given: &Value, field: &str, how: Shown) -> String {
    let value = field.split('.').fold(given, |at, name| &at[name]);
    let name = || words(&value["name"]);
    match how {
        Text => words(value),
        Number => number(value).to_string(),
        Flag => flag(value).to_owned(),
        OrNone if value.is_null() => "<none>".to_owned(),
        OrNone => words(value),
        OrUnset => or_unset(value),
        Amount if matches!(amount(value).as_str(), "0" | "") => "<unset>".to_owned(),
        Amount => amount(value),
        List => bracketed(value),
        Commas => joined(value, ", "),
        Map => {
            let pairs = value.as_object().into_iter().flatten().map(|(key, value)| format!("{key}:{}", words(value)));
            format!("map[{}]", pairs.collect::<Vec<_>>().join(" "))
        }
        Secret | SecretOf if value.is_null() => "nil".to_owned(),
        Secret => format!("&LocalObjectReference{{Name:{},}}", name()),
        SecretOf => format!("&SecretReference{{Name:{},Namespace:{},}}", name(), words(&value["namespace"])),
    }
}

const fn of(
    field: &'static str,
    name: &'static str,
    meaning: &'static str,
    lines: &'static [(&'static str, &'static str, Shown)],
) -> Source {
    Source { field, name, meaning, lines }
}

const FS: (&str, &str, Shown) = ("FSType:", "fsType", Text);
const RO: (&str, &str, Shown) = ("ReadOnly:", "readOnly", Flag);

const ISCSI: &str = "an ISCSI Disk resource that is attached to a kubelet's host machine and then exposed to the pod";
const GLUSTER: &str = "a Glusterfs mount on the host that shares a pod's lifetime";
const CEPH: &str = "a CephFS mount on the host that shares a pod's lifetime";
const RBD: &str = "a Rados Block Device mount on the host that shares a pod's lifetime";
const AZURE: &str = "an Azure File Service mount on the host and bind mount to the pod";
const FLEX: &str = "a generic volume resource that is provisioned/attached using an exec based plugin";
const CSI: &str = "a Container Storage Interface (CSI) volume source";
const CINDER: &str = "a Persistent Disk resource in OpenStack";
const SCALE: &str = "a persistent volume backed by a block device in ScaleIO";

/// Kinds of which a persistent volume tells something else than a pod does, or that pods have not.
pub const PERSISTENT: &[Source] = &[
    of("iscsi", "ISCSI", ISCSI, &iscsi(SecretOf)),
    of(
        "glusterfs",
        "Glusterfs",
        GLUSTER,
        &[
            ("EndpointsName:", "endpoints", Text),
            ("EndpointsNamespace:", "endpointsNamespace", OrUnset),
            ("Path:", "path", Text),
            RO,
        ],
    ),
    of("rbd", "RBD", RBD, &rbd(SecretOf)),
    of("cinder", "Cinder", CINDER, &[("VolumeID:", "volumeID", Text), FS, RO, ("SecretRef:", "secretRef", SecretOf)]),
    of(
        "scaleIO",
        "ScaleIO",
        SCALE,
        &[
            ("Gateway:", "gateway", Text),
            ("System:", "system", Text),
            ("Protection Domain:", "protectionDomain", Text),
            ("Storage Pool:", "storagePool", Text),
            ("Storage Mode:", "storageMode", Text),
            ("VolumeName:", "volumeName", Text),
            ("SecretName:", "secretRef.name", Text),
            ("SecretNamespace:", "secretRef.namespace", Text),
            FS,
            RO,
        ],
    ),
    of("local", "LocalVolume", "a persistent volume backed by local storage on a node", &[("Path:", "path", Text)]),
    of("cephfs", "CephFS", CEPH, &cephfs(SecretOf)),
    of(
        "azureFile",
        "AzureFile",
        AZURE,
        &[
            ("SecretName:", "secretName", Text),
            ("SecretNamespace:", "secretNamespace", Text),
            ("ShareName:", "shareName", Text),
            RO,
        ],
    ),
    of("flexVolume", "FlexVolume", FLEX, &flex(SecretOf)),
    of("csi", "CSI", CSI, &[("Driver:", "driver", Text), FS, ("VolumeHandle:", "volumeHandle", Text), RO]),
];

/// Kinds of pods' volumes.
pub const OF_PODS: &[Source] = &[
    of(
        "hostPath",
        "HostPath",
        "bare host directory volume",
        &[("Path:", "path", Text), ("HostPathType:", "type", OrNone)],
    ),
    of(
        "emptyDir",
        "EmptyDir",
        "a temporary directory that shares a pod's lifetime",
        &[("Medium:", "medium", Text), ("SizeLimit:", "sizeLimit", Amount)],
    ),
    of(
        "gcePersistentDisk",
        "GCEPersistentDisk",
        "a Persistent Disk resource in Google Compute Engine",
        &[("PDName:", "pdName", Text), FS, ("Partition:", "partition", Number), RO],
    ),
    of(
        "awsElasticBlockStore",
        "AWSElasticBlockStore",
        "a Persistent Disk resource in AWS",
        &[("VolumeID:", "volumeID", Text), FS, ("Partition:", "partition", Number), RO],
    ),
    of(
        "gitRepo",
        "GitRepo",
        "a volume that is pulled from git when the pod is created",
        &[("Repository:", "repository", Text), ("Revision:", "revision", Text)],
    ),
    of(
        "secret",
        "Secret",
        "a volume populated by a Secret",
        &[("SecretName:", "secretName", Text), ("Optional:", "optional", Flag)],
    ),
    of(
        "configMap",
        "ConfigMap",
        "a volume populated by a ConfigMap",
        &[("Name:", "name", Text), ("Optional:", "optional", Flag)],
    ),
    of(
        "nfs",
        "NFS",
        "an NFS mount that lasts the lifetime of a pod",
        &[("Server:", "server", Text), ("Path:", "path", Text), RO],
    ),
    of("iscsi", "ISCSI", ISCSI, &iscsi(Secret)),
    of("glusterfs", "Glusterfs", GLUSTER, &[("EndpointsName:", "endpoints", Text), ("Path:", "path", Text), RO]),
    of(
        "persistentVolumeClaim",
        "PersistentVolumeClaim",
        "a reference to a PersistentVolumeClaim in the same namespace",
        &[("ClaimName:", "claimName", Text), RO],
    ),
    of(
        "ephemeral",
        "EphemeralVolume",
        "an inline specification for a volume that gets created and deleted with the pod",
        &[],
    ),
    of("rbd", "RBD", RBD, &rbd(Secret)),
    of(
        "quobyte",
        "Quobyte",
        "a Quobyte mount on the host that shares a pod's lifetime",
        &[("Registry:", "registry", Text), ("Volume:", "volume", Text), RO],
    ),
    of("downwardAPI", "DownwardAPI", "a volume populated by information about the pod", &[]),
    of(
        "azureDisk",
        "AzureDisk",
        "an Azure Data Disk mount on the host and bind mount to the pod",
        &[
            ("DiskName:", "diskName", Text),
            ("DiskURI:", "diskURI", Text),
            ("Kind: ", "kind", Text),
            FS,
            ("CachingMode:", "cachingMode", Text),
            RO,
        ],
    ),
    of(
        "vsphereVolume",
        "vSphereVolume",
        "a Persistent Disk resource in vSphere",
        &[("VolumePath:", "volumePath", Text), FS, ("StoragePolicyName:", "storagePolicyName", Text)],
    ),
    of("cinder", "Cinder", CINDER, &[("VolumeID:", "volumeID", Text), FS, RO, ("SecretRef:", "secretRef", Secret)]),
    of(
        "photonPersistentDisk",
        "PhotonPersistentDisk",
        "a Persistent Disk resource in photon platform",
        &[("PdID:", "pdID", Text), FS],
    ),
    of("portworxVolume", "PortworxVolume", "a Portworx Volume resource", &[("VolumeID:", "volumeID", Text)]),
    of(
        "scaleIO",
        "ScaleIO",
        SCALE,
        &[
            ("Gateway:", "gateway", Text),
            ("System:", "system", Text),
            ("Protection Domain:", "protectionDomain", Text),
            ("Storage Pool:", "storagePool", Text),
            ("Storage Mode:", "storageMode", Text),
            ("VolumeName:", "volumeName", Text),
            FS,
            RO,
        ],
    ),
    of("cephfs", "CephFS", CEPH, &cephfs(Secret)),
    of(
        "storageos",
        "StorageOS",
        "a StorageOS Persistent Disk resource",
        &[("VolumeName:", "volumeName", Text), ("VolumeNamespace:", "volumeNamespace", Text), FS, RO],
    ),
    of("fc", "FC", "a Fibre Channel disk", &[("TargetWWNs:", "targetWWNs", Commas), ("LUN:", "lun", OrNone), FS, RO]),
    of("azureFile", "AzureFile", AZURE, &[("SecretName:", "secretName", Text), ("ShareName:", "shareName", Text), RO]),
    of("flexVolume", "FlexVolume", FLEX, &flex(Secret)),
    of(
        "flocker",
        "Flocker",
        "a Flocker volume mounted by the Flocker agent",
        &[("DatasetName:", "datasetName", Text), ("DatasetUUID:", "datasetUUID", Text)],
    ),
    of("projected", "Projected", "a volume that contains injected data from multiple sources", &[]),
    of("csi", "CSI", CSI, &[("Driver:", "driver", Text), FS, RO]),
    of(
        "image",
        "Image",
        "a container image or OCI artifact",
        &[("Reference:", "reference", Text), ("PullPolicy:", "pullPolicy", Text)],
    ),
];

const fn iscsi(secret: Shown) -> [(&'static str, &'static str, Shown); 11] {
    [
        ("TargetPortal:", "targetPortal", Text),
        ("IQN:", "iqn", Text),
        ("Lun:", "lun", Number),
        // kubectl has no colon here.
        ("ISCSIInterface", "iscsiInterface", Text),
        FS,
        RO,
        ("Portals:", "portals", List),
        ("DiscoveryCHAPAuth:", "chapAuthDiscovery", Flag),
        ("SessionCHAPAuth:", "chapAuthSession", Flag),
        ("SecretRef:", "secretRef", secret),
        ("InitiatorName:", "initiatorName", OrNone),
    ]
}

const fn rbd(secret: Shown) -> [(&'static str, &'static str, Shown); 8] {
    [
        ("CephMonitors:", "monitors", List),
        ("RBDImage:", "image", Text),
        FS,
        ("RBDPool:", "pool", Text),
        ("RadosUser:", "user", Text),
        ("Keyring:", "keyring", Text),
        ("SecretRef:", "secretRef", secret),
        RO,
    ]
}

const fn cephfs(secret: Shown) -> [(&'static str, &'static str, Shown); 6] {
    [
        ("Monitors:", "monitors", List),
        ("Path:", "path", Text),
        ("User:", "user", Text),
        ("SecretFile:", "secretFile", Text),
        ("SecretRef:", "secretRef", secret),
        RO,
    ]
}

const fn flex(secret: Shown) -> [(&'static str, &'static str, Shown); 5] {
    [("Driver:", "driver", Text), FS, ("SecretRef:", "secretRef", secret), RO, ("Options:", "options", Map)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_as_go_prints_them() {
        let given = json!({"list": ["a", "b"], "map": {"a": "b", "c": "d"}, "secret": {"name": "s", "namespace": "n"}});
        for (field, how, expected) in [
            ("list", List, "[a b]"),
            ("list", Commas, "a, b"),
            ("none", List, "[]"),
            ("map", Map, "map[a:b c:d]"),
            ("none", Map, "map[]"),
            ("secret", Secret, "&LocalObjectReference{Name:s,}"),
            ("secret", SecretOf, "&SecretReference{Name:s,Namespace:n,}"),
            ("none", Secret, "nil"),
            ("secret.name", Text, "s"),
            ("none", OrNone, "<none>"),
            ("none", Amount, "<unset>"),
            ("none", Number, "0"),
        ] {
            assert_eq!(shown(&given, field, how), expected, "{field}");
        }
    }
}
