//! Bodies, patches, applied configurations and protobuf messages.

use kedge_api::check::{self, FieldValidation};
use kedge_api::decode::{self, Limits};
use kedge_api::kinds::Gvk;
use kedge_api::{apply, convert, defaults, patch, protobuf, schema};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::values;

const WORDS: [&str; 34] = [
    "metadata",
    "name",
    "labels",
    "annotations",
    "finalizers",
    "managedFields",
    "ownerReferences",
    "creationTimestamp",
    "spec",
    "status",
    "template",
    "containers",
    "ports",
    "containerPort",
    "protocol",
    "env",
    "value",
    "image",
    "args",
    "resources",
    "limits",
    "requests",
    "cpu",
    "volumes",
    "emptyDir",
    "hostPath",
    "$patch",
    "$retainKeys",
    "$setElementOrder/containers",
    "$deleteFromPrimitiveList/finalizers",
    "replicas",
    "metrics",
    "op",
    "path",
];
const TEXTS: [&str; 14] = [
    "",
    "a",
    "delete",
    "replace",
    "merge",
    "TCP",
    "500m",
    "1e3",
    "2026-01-01T00:00:00Z",
    "nginx:1",
    "add",
    "/spec/containers/0",
    "%%",
    "\u{0}",
];

fn value() -> impl Strategy<Value = Value> {
    values::of(&WORDS, &TEXTS)
}

fn kind() -> impl Strategy<Value = Gvk> {
    prop::sample::select(vec![
        Gvk::fixed("", "v1", "Pod"),
        Gvk::fixed("apps", "v1", "Deployment"),
        Gvk::fixed("apps", "v1", "StatefulSet"),
        Gvk::fixed("batch", "v1", "Job"),
        Gvk::fixed("", "v1", "Service"),
        Gvk::fixed("autoscaling", "v1", "HorizontalPodAutoscaler"),
        Gvk::fixed("autoscaling", "v2", "HorizontalPodAutoscaler"),
        Gvk::fixed("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn bytes_decode_or_do_not(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode::json(&bytes, &Limits::REQUEST);
        let _ = decode::yaml_documents(&bytes, &Limits::REQUEST);
        let _ = protobuf::decode(&bytes, None);
        let mut enveloped = protobuf::MAGIC.to_vec();
        enveloped.extend(&bytes);
        let _ = protobuf::decode(&enveloped, None);
    }

    #[test]
    fn yaml_like_text_decodes_or_does_not(text in "[a-z:&*\\-\\[\\]{}'\"|>!#\n ,0-9]{0,200}") {
        let _ = decode::yaml_documents(text.as_bytes(), &Limits::REQUEST);
    }

    #[test]
    fn any_message_of_a_kind_is_read_or_refused(gvk in kind(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let own = schema::of(&gvk).expect("is built in");
        let _ = protobuf::message(own, &bytes);
    }

    #[test]
    fn what_is_accepted_stays_accepted(gvk in kind(), body in value()) {
        let own = schema::of(&gvk).expect("is built in");
        if let Ok(checked) = check::object(&gvk, own, body.into(), FieldValidation::Warn) {
            let mut object = checked.object;
            let mut again = object.clone();
            prop_assert_eq!(check::prune(own, &mut again).expect("fits"), Vec::<String>::new());
            prop_assert_eq!(&again, &object);
            defaults::apply(&gvk, &mut object);
            let once = object.clone();
            defaults::apply(&gvk, &mut object);
            prop_assert_eq!(&object, &once);
            check::prune(own, &mut object).expect("defaults fit");
            if gvk.kind == "HorizontalPodAutoscaler" {
                for version in ["v1", "v2"] {
                    let other = Gvk::new("autoscaling", version, "HorizontalPodAutoscaler");
                    convert::to(&gvk, &other, object.clone()).expect("is of one kind");
                }
            }
            object["apiVersion"] = json!(gvk.api_version());
            object["kind"] = json!(gvk.kind);
            let bytes = protobuf::encode(&object).expect("is built in");
            let mut decoded = protobuf::decode(&bytes, None).expect("is what was encoded");
            check::prune(own, &mut decoded).expect("fits");
        }
    }

    #[test]
    fn patches_apply_or_do_not(gvk in kind(), target in value(), change in value()) {
        let own = schema::of(&gvk).expect("is built in");
        let _ = patch::merge(&mut target.clone(), change.clone());
        let _ = patch::strategic(own, &mut target.clone(), change.clone());
        let _ = patch::json(&mut target.clone(), json!([change.clone()]));
        let _ = patch::json(&mut target.clone(), change);
    }

    #[test]
    fn configurations_apply_or_do_not(gvk in kind(), live in value(), config in value(), force in any::<bool>()) {
        let own = schema::of(&gvk).expect("is built in");
        let writer = apply::Writer { manager: "m", gvk: &gvk, subresource: "", now: "2026-01-01T00:00:00Z", reset: apply::Reset::Status };
        if let Ok(applied) = apply::apply(own, &writer, Some(&live), &config, force) {
            let again = apply::apply(own, &writer, Some(&applied.object), &config, force).expect("applied before");
            prop_assert!(!again.is_changed);
        }
        let mut new = config;
        apply::update(own, &writer, Some(&live), &mut new);
        apply::update(own, &writer, None, &mut new);
    }
}
