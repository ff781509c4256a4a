//! What flags do to requests, for tests.
//!
//! In: command lines. Out: what a server is asked. Never looks at what is printed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{act, args, fake};

/// A workload, pod and node; what is written comes back.
fn object() -> Value {
    let container = json!({"name": "c", "image": "a", "ports": [{"containerPort": 80}]});
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container, {"name": "d"}]}});
    json!({"apiVersion": "v1", "kind": "Any", "metadata": {"name": "o", "namespace": "default", "resourceVersion": "1",
            "labels": {"old": "1"}},
        "data": {"a.b": "x", "c": "y"}, "subjects": [],
        "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": template, "containers": [container],
            "jobTemplate": {"spec": {"template": template}}},
        "status": {"replicas": 2}})
}

/// Every request as a line: method, address, body.
async fn asked(line: &str) -> Vec<String> {
    let (session, log) = fake::session(|asked| {
        let (method, rest) = asked.line.split_once(' ').unwrap();
        let path = rest.split('?').next().unwrap_or("");
        match method {
            "GET" if path.ends_with("/log") => (200, json!("")),
            "GET" if path.ends_with("/m") => fake::refusal(404, "NotFound"),
            "GET" if !path.ends_with("s") => (200, object()),
            "GET" => (200, json!({"metadata": {"resourceVersion": "1"}, "items": [object()]})),
            "POST" if path.ends_with("/uploads") => (200, json!({"id": "x"})),
            "POST" if path.ends_with("accessreviews") => (201, json!({"status": {"allowed": true}})),
            "POST" | "PUT" => (200, asked.body.clone()),
            _ => (200, object()),
        }
    });
    let verb = args::read(&format!("edgectl {line}")).unwrap_or_else(|e| panic!("{line}: {e}")).verb;
    let done = tokio::time::timeout(Duration::from_secs(20), act(std::future::ready(Ok(session)), verb)).await;
    let done = done.unwrap_or_else(|_| panic!("{line} never ends")).unwrap_or_else(|e| panic!("{line}: {e}"));
    assert_eq!(done, ExitCode::SUCCESS, "{line}");
    let text = |body: &Value| if body.is_null() { String::new() } else { format!(" {body}") };
    log.all().iter().map(|asked| format!("{}{}", asked.line, text(&asked.body))).collect()
}

/// One request must have all of the words, which stand between bars.
async fn check(rows: &[(&str, &str)]) {
    for (line, words) in rows {
        let asked = asked(line).await;
        let has = |request: &String| words.split(" | ").all(|word| request.contains(word));
        assert!(asked.iter().any(has), "{line}: no {words} in {asked:#?}");
    }
}

/// A folder with files, which goes in the end.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Files {
        let folder = std::env::temp_dir().join(format!("edgectl-requests-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: b}\n";
        for (name, text) in
            [("m.yaml", map), ("kustomization.yaml", "resources: [m.yaml]\nnamePrefix: pre-\n"), ("x.env", "X=1\n")]
        {
            std::fs::write(folder.join(name), text).unwrap();
        }
        Files(folder)
    }

    fn line(&self, line: &str) -> String {
        line.replace("DIR", &self.0.display().to_string())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn what_is_read_is_chosen_by_the_server() {
    check(&[
        (
            "get pods -l a=b --field-selector=c=d --chunk-size=7",
            "GET /api/v1/namespaces/default/pods? | labelSelector=a%3Db | fieldSelector=c%3Dd | limit=7",
        ),
        ("get pods -A", "GET /api/v1/pods?limit=500"),
        ("get pod o --subresource=status -o json", "GET /api/v1/namespaces/default/pods/o/status"),
        ("get --raw /readyz", "GET /readyz"),
        ("describe pods -l a=b", "labelSelector=a%3Db"),
        ("events --for=pod/o", "fieldSelector=involvedObject.kind%3DPod%2CinvolvedObject.name%3Do"),
        ("events -A --types=Warning --no-headers", "GET /api/v1/events"),
        (
            "logs o -c c --previous --tail=5 --timestamps --limit-bytes=9",
            "/pods/o/log? | container=c | previous=true | tailLines=5 | timestamps=true | limitBytes=9",
        ),
        ("logs o -c c --since=2m", "sinceSeconds=120"),
        ("logs o -c c --since-time=2026-01-01T00:00:00Z", "sinceTime=2026-01-01T00%3A00%3A00Z"),
        ("logs -l a=b --prefix", "GET /api/v1/namespaces/default/pods?labelSelector=a%3Db"),
        ("rollout history deploy o", "GET /apis/apps/v1/namespaces/default/replicasets?labelSelector=a%3Db"),
        ("auth can-i get pods --subresource=log -q", "\"subresource\":\"log\""),
        ("auth can-i get pods -A", "\"resource\":\"pods\""),
        ("image list --node=n", "GET /api/v1/nodes/n/proxy/"),
        ("plugin list --node=n", "GET /api/v1/nodes/n/proxy/"),
    ])
    .await;
}

#[tokio::test]
async fn what_is_changed_is_changed_as_it_was_said() {
    check(&[
        ("delete pod o --now --wait=false", "DELETE /api/v1/namespaces/default/pods/o | \"gracePeriodSeconds\":1"),
        ("delete pod o --force --wait=false", "DELETE | \"gracePeriodSeconds\":0"),
        ("delete pod o --grace-period=5 --wait=false", "DELETE | \"gracePeriodSeconds\":5"),
        ("delete pod o --cascade=orphan --wait=false", "DELETE | \"propagationPolicy\":\"Orphan\""),
        ("delete pod o --cascade=foreground --wait=false", "DELETE | \"propagationPolicy\":\"Foreground\""),
        ("delete pod o --dry-run=server", "DELETE | All"),
        ("delete pods -l a=b --wait=false", "GET | pods?labelSelector=a%3Db"),
        ("delete pods --field-selector=a=b --wait=false", "GET | pods?fieldSelector=a%3Db"),
        ("delete cm m --ignore-not-found", "DELETE /api/v1/namespaces/default/configmaps/m"),
        (
            "patch pod o -p {\"a\":\"b\"} --type=merge --field-manager=me --subresource=status",
            "PATCH /api/v1/namespaces/default/pods/o/status? | fieldManager=me | {\"a\":\"b\"}",
        ),
        ("patch pod o -p {\"a\":\"b\"} --dry-run=server", "PATCH | dryRun=All"),
        ("set env deploy o -e A=b -c c", "PATCH | \"env\":[{\"name\":\"A\",\"value\":\"b\"}]"),
        (
            "set env deploy o --from=configmap/o --prefix=X_ --keys=a.b",
            "PATCH | {\"name\":\"X_A_B\",\"valueFrom\":{\"configMapKeyRef\":{\"key\":\"a.b\",\"name\":\"o\"}}}",
        ),
        ("set image deploy o d=x", "PATCH | {\"image\":\"x\",\"name\":\"d\"}"),
        ("set resources deploy o --requests=cpu=1 --limits=cpu=2 -c d", "PATCH | \"requests\":{\"cpu\":\"1\"}"),
        ("set sa deploy o bot --dry-run=server", "PATCH | dryRun=All | \"serviceAccountName\":\"bot\""),
        ("set selector service o x=y --resource-version=7", "PATCH | \"resourceVersion\":\"7\""),
        ("scale deploy o --replicas=3 --resource-version=1", "PATCH | /scale | \"replicas\":3"),
        (
            "label pods o x=y --resource-version=5 --field-manager=me",
            "PATCH | fieldManager=me | \"resourceVersion\":\"5\"",
        ),
        ("label pods o old=2 --overwrite", "PATCH | {\"labels\":{\"old\":\"2\"}}"),
        ("annotate pods --all x=y -A", "GET /api/v1/pods"),
        ("taint nodes o a=b:NoSchedule --overwrite", "PATCH /api/v1/nodes/o | \"value\":\"b\""),
        ("cordon -l a=b", "GET /api/v1/nodes?labelSelector=a%3Db"),
        (
            "drain o --pod-selector=x=y --dry-run --force --ignore-daemonsets",
            "GET /api/v1/pods? | labelSelector=x%3Dy | fieldSelector=spec.nodeName%3Do",
        ),
        ("rollout restart deploy o", "PATCH | restartedAt"),
        ("certificate deny o", "PUT | /certificatesigningrequests/o/approval | \"type\":\"Denied\""),
    ])
    .await;
}

#[tokio::test]
async fn what_is_made_is_made_as_it_was_said() {
    check(&[
        ("create deployment w --image=a --replicas=3 --port=80 -- sh", "\"replicas\":3 | \"containerPort\":80 | [\"sh\"]"),
        ("create ns n --validate=ignore", "POST /api/v1/namespaces? | fieldValidation=Ignore"),
        ("create cm n --from-literal=a=b --dry-run=server --validate=warn", "dryRun=All | fieldValidation=Warn"),
        ("create secret generic s --type=x/y --from-literal=a=b", "\"type\":\"x/y\" | \"a\":\"Yg==\""),
        (
            "create secret docker-registry r --docker-server=s.lan --docker-username=u --docker-password=p",
            "kubernetes.io/dockerconfigjson | .dockerconfigjson",
        ),
        (
            "create token bot --duration=10m --audience=a --bound-object-kind=Pod --bound-object-name=p --bound-object-uid=u",
            "/serviceaccounts/bot/token | \"audiences\":[\"a\"] | \"expirationSeconds\":600 | \"uid\":\"u\"",
        ),
        ("create quota q --hard=pods=1 --scopes=BestEffort", "\"hard\":{\"pods\":\"1\"} | \"scopes\":[\"BestEffort\"]"),
        (
            "create ingress i --rule=a.lan/b=s:80 --class=c --default-backend=d:81 --annotation=x=y",
            "\"ingressClassName\":\"c\" | \"number\":81 | \"annotations\":{\"x\":\"y\"} | \"host\":\"a.lan\"",
        ),
        ("create pdb p --selector=a=b --min-available=1", "\"minAvailable\":1"),
        ("create pdb p --selector=a=b --max-unavailable=50%", "\"maxUnavailable\":\"50%\""),
        (
            "create pc p --value=5 --global-default --description=d --preemption-policy=Never",
            "\"value\":5 | \"globalDefault\":true | \"description\":\"d\" | \"preemptionPolicy\":\"Never\"",
        ),
        ("create svc clusterip s --tcp=80:8080 --clusterip=None", "\"clusterIP\":\"None\" | \"targetPort\":8080"),
        ("create svc nodeport s --tcp=80 --node-port=30000", "\"nodePort\":30000"),
        ("create svc externalname s --external-name=a.lan", "\"externalName\":\"a.lan\""),
        ("create cronjob c --image=i --schedule=@daily --restart=Never", "@daily | \"restartPolicy\":\"Never\""),
        ("create job j --from=cronjob/o", "POST /apis/batch/v1/namespaces/default/jobs"),
        (
            "create role r --verb=get --resource=pods --resource-name=a",
            "\"resourceNames\":[\"a\"] | \"resources\":[\"pods\"] | \"verbs\":[\"get\"]",
        ),
        ("create clusterrole r --verb=get --non-resource-url=/healthz", "\"nonResourceURLs\":[\"/healthz\"]"),
        ("create rolebinding b --role=r --group=dev", "\"kind\":\"Role\" | \"kind\":\"Group\""),
        ("create rolebinding b --clusterrole=r --serviceaccount=n:s", "\"kind\":\"ClusterRole\" | \"namespace\":\"n\""),
        (
            "expose deploy o --port=80 --protocol=UDP --external-ip=1.2.3.4 --load-balancer-ip=5.6.7.8 --type=LoadBalancer",
            "\"protocol\":\"UDP\" | \"externalIPs\":[\"1.2.3.4\"] | \"loadBalancerIP\":\"5.6.7.8\" | LoadBalancer",
        ),
        (
            "expose deploy o --port=80 --target-port=x --session-affinity=ClientIP --cluster-ip=None --name=n -l c=d --selector=e=f",
            "\"sessionAffinity\":\"ClientIP\" | \"clusterIP\":\"None\" | \"name\":\"n\" | \"labels\":{\"c\":\"d\"} | \"selector\":{\"e\":\"f\"}",
        ),
        ("autoscale deploy o --min=1 --max=2 --cpu-percent=50", "\"minReplicas\":1 | \"maxReplicas\":2 | 50"),
        (
            "run p --image=i --image-pull-policy=Never --env=A=b --annotations=a=b --labels=c=d --port=80 --privileged --restart=Never --command -- sh",
            "\"imagePullPolicy\":\"Never\" | \"value\":\"b\" | \"annotations\":{\"a\":\"b\"} | \"labels\":{\"c\":\"d\"} | \"privileged\":true | \"command\":[\"sh\"]",
        ),
        ("run p --image=i -i -t --leave-stdin-open --attach=false", "\"stdin\":true | \"stdinOnce\":false | \"tty\":true"),
    ])
    .await;
}

#[tokio::test]
async fn manifests_are_sent_as_it_was_said() {
    let files = Files::new("sent");
    for (line, words) in [
        ("apply -f DIR/m.yaml", "POST /api/v1/namespaces/default/configmaps? | kubectl-client-side-apply"),
        ("apply -k DIR", "PATCH /api/v1/namespaces/default/configmaps/pre-m"),
        (
            "apply -f DIR/m.yaml --server-side --force-conflicts --field-manager=me --validate=warn",
            "PATCH /api/v1/namespaces/default/configmaps/m? | fieldManager=me | force=true | fieldValidation=Warn",
        ),
        ("apply -f DIR/m.yaml --dry-run=server --validate=ignore", "POST | dryRun=All | fieldValidation=Ignore"),
        ("create -f DIR/m.yaml --validate=false", "POST | fieldValidation=Ignore"),
        ("delete -k DIR --wait=false", "DELETE /api/v1/namespaces/default/configmaps/pre-m"),
        ("label -k DIR x=y", "PATCH /api/v1/namespaces/default/configmaps/pre-m"),
        ("get -k DIR -o name", "GET /api/v1/namespaces/default/configmaps/pre-m"),
        (
            "replace -k DIR --field-manager=me --validate=warn --save-config",
            "PUT | fieldManager=me | fieldValidation=Warn | last-applied-configuration",
        ),
        ("replace -k DIR --subresource=status", "PUT /api/v1/namespaces/default/configmaps/pre-m/status"),
        ("create cm n --from-env-file=DIR/x.env", "\"data\":{\"X\":\"1\"}"),
        ("image load DIR/x.env --node=n", "POST /api/v1/nodes/n/proxy/kedge/v1/images?upload=x&pin=false"),
        ("image load DIR/x.env --node=n --pin", "POST /api/v1/nodes/n/proxy/kedge/v1/images?upload=x&pin=true"),
        ("create cm n --from-file=k=DIR/x.env", "\"data\":{\"k\":\"X=1\\n\"}"),
        ("create secret tls s --cert=DIR/x.env --key=DIR/x.env", "\"tls.crt\":\"WD0xCg==\""),
    ] {
        check(&[(&files.line(line), words)]).await;
    }
}

#[tokio::test]
async fn a_folder_and_a_file_do_not_go_together() {
    let files = Files::new("both");
    for (line, why) in [
        ("apply -k DIR -f DIR/m.yaml", "only one of -f or -k can be specified"),
        ("apply -k DIR -R", "the -k flag can't be used with -f or -R"),
        ("apply", "must specify one of -f and -k"),
        ("replace", "must specify one of -f and -k"),
        ("create", "must specify one of -f and -k"),
    ] {
        let (session, log) = fake::session(|_| (200, json!({})));
        let verb = args::read(&files.line(&format!("edgectl {line}"))).unwrap().verb;
        let said = act(std::future::ready(Ok(session)), verb).await.unwrap_err().to_string();
        assert_eq!(said, why, "{line}");
        assert!(log.lines().is_empty(), "{line}");
    }
}
