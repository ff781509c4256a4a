//! What pods are given: volumes, pull secrets, tokens.

use super::*;
use crate::fakes::Script;

#[tokio::test(start_paused = true)]
async fn volumes_show_config_maps_and_follow_them() {
    let device = Device::on().await;
    let mut spec = with(json!({"volumeMounts": [{"name": "cfg", "mountPath": "/cfg"}]}));
    spec["volumes"] = json!([{"name": "cfg", "configMap": {"name": "cm"}}]);
    device.pod("web", spec);
    device.event("web", "FailedMount: MountVolume.SetUp failed for volume \"cfg\" : configmap \"cm\" not found").await;
    device.until("web", &format!("{STATE}/waiting/reason"), "ContainerCreating").await;
    let put = |text: &str| {
        let object = json!({"metadata": {"name": "cm", "namespace": "default"}, "data": {"k": text}});
        device.api.put(Kind::ConfigMap, object);
    };
    put("one");
    device.until("web", PHASE, "Running").await;
    let own = device.state.path().join("memory/uid-web");
    let file = own.join("cfg/k");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "one");
    assert!(device.mounts_left().contains(&own), "no pod takes the memory of another's small files");
    put("two");
    // The file system says nothing to tokio; its clock goes on only while nothing else can.
    tokio::time::timeout(Duration::from_secs(3600), async {
        while std::fs::read_to_string(&file).unwrap() != "two" {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn pull_secrets_of_pod_and_account_are_used() {
    use base64::Engine as _;
    let device = Device::on().await;
    let secret = |name: &str, registry: &str| {
        let config = json!({"auths": {registry: {"username": name, "password": "p"}}}).to_string();
        let data = base64::engine::general_purpose::STANDARD.encode(config);
        device.api.put(
            Kind::Secret,
            json!({"metadata": {"name": name, "namespace": "default"}, "data": {".dockerconfigjson": data}}),
        );
    };
    secret("own", "a.example");
    secret("accounts", "b.example");
    let account =
        json!({"metadata": {"name": "sa", "namespace": "default"}, "imagePullSecrets": [{"name": "accounts"}]});
    device.api.put(Kind::ServiceAccount, account);
    device.images.publish(crate::fakes::image("a.example/x:1"));
    let mut spec = with(json!({"image": "a.example/x:1"}));
    spec["imagePullSecrets"] = json!([{"name": "own"}, {"name": "missing"}]);
    spec["serviceAccountName"] = json!("sa");
    device.pod("web", spec);
    device.until("web", PHASE, "Running").await;
    let (_, logins) = device.images.pulls().remove(0);
    let users: Vec<&str> = logins.iter().map(|login| login.username.as_str()).collect();
    assert_eq!(users, ["own", "accounts"]);
    let text = "FailedToRetrieveImagePullSecret: Unable to retrieve some image pull secrets (missing); \
                attempting to pull the image may not succeed.";
    device.event("web", text).await;
}

#[tokio::test(start_paused = true)]
async fn an_image_of_a_secret_is_not_given_to_pods_without_it() {
    use base64::Engine as _;
    let mut device = Device::on().await;
    device.images.make_private("r.example");
    device.images.publish(crate::fakes::image("r.example/x:1"));
    let secret = |device: &Device, name: &str, password: &str| {
        let config = json!({"auths": {"r.example": {"username": "u", "password": password}}}).to_string();
        let data = base64::engine::general_purpose::STANDARD.encode(config);
        let meta = json!({"name": name, "namespace": "default"});
        device.api.put(Kind::Secret, json!({"metadata": meta, "data": {".dockerconfigjson": data}}));
    };
    let pod = |device: &Device, name: &str, policy: &str, secrets: Value| {
        let mut spec = with(json!({"image": "r.example/x:1", "imagePullPolicy": policy}));
        spec["imagePullSecrets"] = secrets;
        device.pod(name, spec);
    };
    secret(&device, "right", "good");
    secret(&device, "wrong", "bad");
    secret(&device, "copy", "good");
    pod(&device, "owner", "IfNotPresent", json!([{"name": "right"}]));
    device.until("owner", PHASE, "Running").await;
    let reason = format!("{STATE}/waiting/reason");
    for life in ["first", "second"] {
        let named = |name: &str| format!("{name}-{life}");
        pod(&device, &named("none"), "IfNotPresent", json!([]));
        device.until(&named("none"), &reason, "ErrImagePull").await;
        pod(&device, &named("wrong"), "IfNotPresent", json!([{"name": "wrong"}]));
        device.until(&named("wrong"), &reason, "ErrImagePull").await;
        pod(&device, &named("never"), "Never", json!([]));
        device.until(&named("never"), &reason, "ErrImageNeverPull").await;
        let pulls = device.images.pulls().len();
        for (name, secret) in [("same", "right"), ("copy", "copy")] {
            pod(&device, &named(name), "IfNotPresent", json!([{"name": secret}]));
            device.until(&named(name), PHASE, "Running").await;
            let text =
                "Pulled: Container image \"r.example/x:1\" already present on machine and can be accessed by the pod";
            device.event(&named(name), text).await;
        }
        assert!(device.images.pulls()[pulls..].iter().all(|(_, logins)| !logins.iter().any(|l| l.password == "good")));
        device.stop().await;
        device.start().await;
    }
    // Without a network, too, nobody gets what he could not have pulled.
    device.images.go_offline();
    pod(&device, "offline", "Always", json!([]));
    device.until("offline", &reason, "RegistryUnavailable").await;
    pod(&device, "offline-owner", "Always", json!([{"name": "right"}]));
    device.until("offline-owner", PHASE, "Running").await;
}

#[tokio::test(start_paused = true)]
async fn tokens_are_fetched_and_renewed() {
    let device = Device::on().await;
    let mut spec = with(json!({"volumeMounts": [{"name": "token", "mountPath": "/token"}]}));
    spec["volumes"] = json!([{"name": "token", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 1000}}]}}]);
    device.pod("web", spec);
    device.until("web", PHASE, "Running").await;
    let file = device.state.path().join("memory/uid-web/token/token");
    let first = std::fs::read_to_string(&file).unwrap();
    let requests = |api: &FakeApi| {
        let writes = api.writes();
        writes.iter().filter(|write| *write == "create ServiceAccount/token default/default").count()
    };
    assert_eq!(requests(&device.api), 1);
    tokio::time::sleep(Duration::from_secs(799)).await;
    assert_eq!(requests(&device.api), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(requests(&device.api), 2);
    tokio::time::timeout(Duration::from_secs(60), async {
        while std::fs::read_to_string(&file).unwrap() == first {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_keeps_more_on_disk_than_it_may_is_evicted() {
    let device = Device::on().await;
    device.runtime.script("/bin/app", Script { stubborn: true, ..Script::default() });
    let mut spec = with(json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}));
    spec["volumes"] = json!([{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]);
    device.pod("web", spec.clone());
    device.until("web", PHASE, "Running").await;
    let volume = device.state.path().join("pods").join(&device.folders()[0]).join(".pod/volumes/v");
    spec["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    device.pod("free", spec);
    device.until("free", PHASE, "Running").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = device.clock.mono();
    std::fs::write(volume.join("x"), vec![1; 2 << 20]).unwrap();
    let message = "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ";
    device.event("web", &format!("Evicted: {message}")).await;
    let told = device.clock.mono();
    assert!((told - before).as_secs() <= 10, "{:?}", told - before);
    let pod = device.until("web", "/status/conditions/3/reason", "PodFailed").await;
    assert_eq!((&pod["status"]["phase"], &pod["status"]["reason"]), (&json!("Running"), &json!(null)));
    let pod = device.until("web", PHASE, "Failed").await;
    assert_eq!((&pod["status"]["reason"], &pod["status"]["message"]), (&json!("Evicted"), &json!(message)));
    assert_eq!((device.clock.mono() - told).as_secs(), 2, "it has a moment, not its grace");
    assert_eq!(device.running().len(), 1, "the other one stays");
}
