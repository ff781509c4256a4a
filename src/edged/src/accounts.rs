//! The identities that the daemon's own parts act under, and what RBAC grants to the built-in plugins.
//!
//! In: the API as the cluster's administrator, once at start. Out: service accounts, roles and bindings. Never grants
//! anything to a plugin that is not built in: its owner does that with ordinary RBAC objects.

use kedge_client::{Client, ClientError, ResourcePath, WriteOptions};
use serde_json::{Value, json};

/// Where plugins' service accounts live.
pub const NAMESPACE: &str = "kube-system";
/// The service account of the built-in controllers.
pub const CONTROLLERS: &str = "kedge-controllers";

/// The role of those who may read what nodes and pods use.
const READERS: &str = "system:aggregated-metrics-reader";

/// Makes what is missing and puts right what was changed.
pub async fn grant_builtin(admin: &Client) -> Result<(), ClientError> {
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": CONTROLLERS, "namespace": NAMESPACE},
    });
    ensure(admin, ResourcePath::core("serviceaccounts").namespace(NAMESPACE), CONTROLLERS, account, &[]).await?;
    let roles = ResourcePath::new("rbac.authorization.k8s.io", "v1", "clusterroles");
    ensure(admin, roles.clone(), READERS, readers_of_usage(), &[]).await?;
    let name = "kedge:controllers";
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules(),
    });
    ensure(admin, roles, name, role, &["rules"]).await?;
    let bindings = ResourcePath::new("rbac.authorization.k8s.io", "v1", "clusterrolebindings");
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": CONTROLLERS, "namespace": NAMESPACE}],
    });
    ensure(admin, bindings, name, binding, &["subjects"]).await
}

/// Who may read objects may read what nodes and pods use: by the role, and under the name, that clusters have for it.
/// What somebody made of it stays.
fn readers_of_usage() -> Value {
    let to = |role: &str| format!("rbac.authorization.k8s.io/aggregate-to-{role}");
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": READERS, "labels": {to("admin"): "true", to("edit"): "true", to("view"): "true"}},
        "rules": [{"apiGroups": ["metrics.k8s.io"], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]}],
    })
}

/// What the built-in controllers need: garbage collection and namespace deletion touch every kind; the others write
/// only what they own.
fn rules() -> Value {
    let rule = |groups: &[&str], resources: &[&str], verbs: &[&str]| json!({"apiGroups": groups, "resources": resources, "verbs": verbs});
    json!([
        rule(&["*"], &["*"], &["get", "list", "watch", "patch", "delete", "deletecollection"]),
        rule(&["apps"], &["replicasets", "controllerrevisions"], &["create", "update"]),
        rule(&["batch"], &["jobs"], &["create", "update"]),
        rule(&["discovery.k8s.io"], &["endpointslices"], &["create", "update"]),
        rule(
            &[""],
            &["pods", "serviceaccounts", "configmaps", "events", "endpoints", "persistentvolumeclaims"],
            &["create", "update"]
        ),
        rule(&[""], &["namespaces/finalize"], &["update"]),
        rule(
            &["", "apps", "batch", "policy"],
            &[
                "namespaces/status",
                "replicationcontrollers/status",
                "resourcequotas/status",
                "persistentvolumes/status",
                "persistentvolumeclaims/status",
                "pods/status",
                "deployments/status",
                "replicasets/status",
                "statefulsets/status",
                "daemonsets/status",
                "jobs/status",
                "cronjobs/status",
                "poddisruptionbudgets/status"
            ],
            &["update", "patch"]
        ),
    ])
}

/// Creates an object, or puts some of its fields right.
async fn ensure(
    admin: &Client,
    collection: ResourcePath,
    name: &str,
    wanted: Value,
    fields: &[&str],
) -> Result<(), ClientError> {
    let path = collection.clone().name(name);
    let Some(mut there) = admin.get_opt(&path).await? else {
        return match admin.create(&collection, &wanted, &WriteOptions::default()).await {
            Err(e) if !e.is_already_exists() => Err(e),
            _ => Ok(()),
        };
    };
    if fields.iter().all(|field| there[*field] == wanted[*field]) {
        return Ok(());
    }
    for field in fields {
        there[*field] = wanted[*field].clone();
    }
    admin.update(&path, &there, &WriteOptions::default()).await.map(drop)
}
