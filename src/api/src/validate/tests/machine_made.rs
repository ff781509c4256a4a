//! Objects made by machines: published pods that must pass, and nonsense that must not panic.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testdata;

#[test]
fn published_pods_have_no_fault() {
    let Some(root) = testdata::folder("pod-security") else { return };
    let pod = kind("v1", "Pod");
    for level in ["baseline", "restricted"] {
        for (file, text) in testdata::files(&root.join(level).join("pass"), ".yaml") {
            let mut object: Value = serde_yaml::from_str(&text).unwrap();
            meta::set_name(&mut object, "x");
            let object = complete(&pod, object);
            assert_eq!(texts(&create(&pod, &object)), [""; 0], "{level}/{file}");
        }
    }
}

#[test]
fn published_objects_of_every_kind_are_judged_without_panic() {
    let Some(root) = testdata::folder("roundtrip") else { return };
    let mut judged = 0;
    for (_, text) in testdata::files(&root, ".json") {
        let object: Value = serde_json::from_str(&text).unwrap();
        let gvk = Gvk::from_api_version(meta::api_version(&object), meta::kind(&object));
        let Some(kind) = Kinds::everything().by_gvk(&gvk).cloned() else { continue };
        let _ = create(&kind, &object);
        for part in [Part::Main, Part::Status, Part::EphemeralContainers, Part::Resize] {
            let _ = update(&kind, part, &object, &json!({}));
            assert!(!update(&kind, part, &object, &object).iter().any(|e| e.detail == at::IMMUTABLE), "{gvk}");
        }
        judged += 1;
    }
    assert!(judged > 60, "only {judged} kinds were judged");
}

/// Any JSON, with names that rules look at.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-5i64..70_000).prop_map(Value::from),
        "[a-zA-Z0-9./%*$-]{0,8}".prop_map(Value::from),
        Just(json!("RollingUpdate")),
        Just(json!("10.0.0.0/8")),
    ];
    let key = prop_oneof![
        Just("metadata"),
        Just("spec"),
        Just("template"),
        Just("containers"),
        Just("name"),
        Just("ports"),
        Just("selector"),
        Just("matchLabels"),
        Just("matchExpressions"),
        Just("operator"),
        Just("values"),
        Just("rules"),
        Just("volumes"),
        Just("status"),
        Just("type"),
        Just("data"),
        Just("resources"),
        Just("limits"),
        Just("cpu"),
        Just("affinity"),
        Just("limits"),
        Just("tolerations"),
        Just("schedule"),
        Just("env"),
        Just("valueFrom"),
        Just("clusterIPs"),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(key.clone(), inner, 0..6).prop_map(|map| map
                .into_iter()
                .map(|(k, v)| (k.to_string(), v))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nonsense_is_judged_without_panic(new in anything(), old in anything()) {
        for kind in Kinds::everything().iter() {
            let _ = create(kind, &new);
            let _ = update(kind, Part::Main, &new, &old);
            let _ = update(kind, Part::Status, &new, &old);
            let (mut a, b) = (new.clone(), old.clone());
            crate::strategy::prepare_create(kind, &mut a);
            for part in [Part::Main, Part::Status, Part::Finalize, Part::Approval, Part::EphemeralContainers, Part::Resize] {
                let mut a = new.clone();
                crate::strategy::prepare_update(kind, part, &mut a, &b);
            }
            let _ = crate::print::row(&kind.gvk(), false, &new, std::time::UNIX_EPOCH);
            let _ = crate::fields::Index::of(&kind.gvk(), &new, &["spec.x"]);
        }
    }
}
