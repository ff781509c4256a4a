//! Rows: what each pod security level says of a pod.
//!
//! In: JSON. Out: asserts.

use super::*;
use crate::testdata;
use serde_json::json;

fn wanted(text: &str) -> LevelVersion {
    let (level, version) = text.split_once(':').unwrap();
    LevelVersion { level: Level::parse(level).unwrap(), version: Version::parse(version).unwrap() }
}

#[track_caller]
fn check(level: &str, pod: Value, expected: &str) {
    assert_eq!(details(&evaluate(wanted(level), &pod["metadata"], &pod["spec"])), expected);
}

fn hostile(context: Value) -> Value {
    json!({"spec": {"containers": [{"name": "a", "securityContext": context}]}})
}

#[test]
fn the_published_pods_are_judged_as_they_should_be() {
    let Some(root) = testdata::folder("pod-security") else { return };
    let mut seen = 0;
    for level in ["baseline", "restricted"] {
        for (verdict, passes) in [("pass", true), ("fail", false)] {
            for (name, text) in testdata::files(&root.join(level).join(verdict), ".yaml") {
                let mut pod: Value = serde_yaml::from_str(&text).unwrap();
                // Admission sees objects with their defaults: a volume without a source is an emptyDir by then.
                crate::defaults::apply(&crate::kinds::Gvk::fixed("", "v1", "Pod"), &mut pod);
                let found = evaluate(wanted(&format!("{level}:latest")), &pod["metadata"], &pod["spec"]);
                assert_eq!(found.is_empty(), passes, "{level}/{verdict}/{name}: {}", details(&found));
                assert_eq!(evaluate(wanted("privileged:latest"), &pod["metadata"], &pod["spec"]), []);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 148);
}

#[test]
fn sentences_are_kubernetes() {
    check(
        "restricted:latest",
        json!({"spec": {"containers": [{"name": "a"}]}}),
        "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false), \
         unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"]), \
         runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true), \
         seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
    );
    check(
        "baseline:latest",
        json!({"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/e": "unconfined"}},
            "spec": {"hostNetwork": true, "hostIPC": true, "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
              "securityContext": {"sysctls": [{"name": "a", "value": "1"}], "appArmorProfile": {"type": "Unconfined"}},
              "containers": [{"name": "a", "ports": [{"hostPort": 80}, {"hostPort": 9}]},
                {"name": "b", "ports": [{"hostPort": 80}], "securityContext": {"privileged": true,
                  "capabilities": {"add": ["FOO", "CHOWN"]}, "procMount": "Unmasked"}}]}}),
        "forbidden AppArmor profiles (pod and annotation must not set AppArmor profile type to \"Unconfined\", \
         \"container.apparmor.security.beta.kubernetes.io/e=\"unconfined\"\"), \
         non-default capabilities (container \"b\" must not include \"FOO\" in securityContext.capabilities.add), \
         host namespaces (hostNetwork=true, hostIPC=true), hostPath volumes (volume \"v\"), \
         hostPort (containers \"a\", \"b\" use hostPorts 80, 9), \
         privileged (container \"b\" must not set securityContext.privileged=true), \
         procMount (container \"b\" must not set securityContext.procMount to \"Unmasked\"), forbidden sysctls (a)",
    );
    check(
        "baseline:latest",
        hostile(json!({"seLinuxOptions": {"type": "x", "user": "u", "role": "r"}})),
        "seLinuxOptions (container \"a\" set forbidden securityContext.seLinuxOptions: type \"x\"; user may not be set; role may not be set)",
    );
    check(
        "baseline:latest",
        json!({"spec": {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h"}}}]}}),
        "probe or lifecycle host (container \"a\" uses probe or lifecycle host \"h\")",
    );
    check(
        "restricted:v1.0",
        json!({"spec": {"volumes": [{"name": "v", "nfs": {}}, {"name": "w"}],
            "containers": [{"name": "a", "securityContext": {"runAsNonRoot": false}}]}}),
        "restricted volume types (volumes \"v\", \"w\" use restricted volume types \"nfs\", \"unknown\"), \
         runAsNonRoot != true (container \"a\" must not set securityContext.runAsNonRoot=false)",
    );
}

#[test]
fn versions_differ() {
    let unconfined = hostile(json!({"seccompProfile": {"type": "Unconfined"}}));
    check("baseline:v1.18", unconfined.clone(), "");
    check(
        "baseline:v1.19",
        unconfined,
        "seccompProfile (container \"a\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
    );
    let sysctl = json!({"spec": {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}}});
    check("baseline:v1.31", sysctl.clone(), "forbidden sysctls (net.ipv4.tcp_rmem)");
    check("baseline:v1.32", sysctl, "");
    let mut mount = hostile(json!({"procMount": "Unmasked"}));
    mount["spec"]["hostUsers"] = json!(false);
    check("baseline:v1.35", mount.clone(), "");
    assert!(!evaluate(wanted("baseline:v1.34"), &mount["metadata"], &mount["spec"]).is_empty());
    assert!(!evaluate(wanted("restricted:latest"), &mount["metadata"], &mount["spec"]).is_empty());
    let windows = json!({"spec": {"os": {"name": "windows"}, "securityContext": {"runAsNonRoot": true}, "containers": [{"name": "a"}]}});
    check("restricted:latest", windows.clone(), "");
    assert_eq!(evaluate(wanted("restricted:v1.24"), &windows["metadata"], &windows["spec"]).len(), 3);
    let old =
        json!({"metadata": {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}}, "spec": {}});
    check(
        "baseline:v1.0",
        old,
        "seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")",
    );
}

#[track_caller]
fn policy(labels: Value, expected: &str, faults: &[&str]) {
    let (policy, found) = Policy::of_labels(&labels, Policy::default());
    assert_eq!(format!("{} {} {}", policy.enforce, policy.audit, policy.warn), expected);
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), faults);
}

#[test]
fn labels_make_a_policy() {
    policy(json!({}), "privileged:latest privileged:latest privileged:latest", &[]);
    policy(
        json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/enforce-version": "v1.20"}),
        "baseline:v1.20 privileged:latest baseline:v1.20",
        &[],
    );
    policy(
        json!({"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "privileged"}),
        "restricted:latest privileged:latest privileged:latest",
        &[],
    );
    policy(
        json!({"pod-security.kubernetes.io/enforce": "x", "pod-security.kubernetes.io/audit": "x",
            "pod-security.kubernetes.io/warn-version": "v2.0"}),
        "restricted:latest privileged:latest privileged:latest",
        &[
            "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"x\": must be one of privileged, baseline, restricted",
            "metadata.labels[pod-security.kubernetes.io/audit]: Invalid value: \"x\": must be one of privileged, baseline, restricted",
            "metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"v2.0\": must be \"latest\" or \"v1.x\"",
        ],
    );
    assert!(["v1.01", "v1.", "1.2", "v1.-1", "v1.99999999999"].iter().all(|text| Version::parse(text).is_err()));
}
