//! Rows of object, patch and result.

use super::*;
use crate::kinds::Gvk;
use crate::schema;
use serde_json::json;

#[track_caller]
fn merged(target: Value, patch: Value, expected: Value) {
    let mut target = target;
    merge(&mut target, patch).expect("applies");
    assert_eq!(target, expected);
}

#[track_caller]
fn patched(target: Value, operations: Value, expected: Value) {
    let mut target = target;
    json(&mut target, operations).expect("applies");
    assert_eq!(target, expected);
}

#[track_caller]
fn fails(target: Value, operations: Value, expected: &str) {
    let mut target = target;
    let error = json(&mut target, operations).expect_err("fails");
    assert!(error.to_string().starts_with(expected), "{error}");
}

fn pod(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "spec": spec})
}

fn run(spec: Value, patch: Value) -> Result<Value, PatchError> {
    let mut target = pod(spec);
    let schema = schema::of(&Gvk::fixed("", "v1", "Pod")).expect("is built in");
    strategic(schema, &mut target, json!({"spec": patch}))?;
    Ok(target["spec"].take())
}

#[track_caller]
fn strategically(spec: Value, patch: Value, expected: Value) {
    assert_eq!(run(spec, patch).expect("applies"), expected);
}

#[test]
fn a_merge_patch_follows_rfc_7386() {
    merged(json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"}));
    merged(json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"}));
    merged(json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"}));
    merged(json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"}));
    merged(json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]}));
    merged(json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}}));
    merged(json!({"a": "foo"}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}}));
    merged(json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1}));
    assert!(merge(&mut json!({}), json!([1])).is_err());
}

/// What was looked for in a list for each item of another took minutes.
#[test]
fn long_lists_are_merged_in_time() {
    let schema = schema::of(&Gvk::fixed("", "v1", "Pod")).expect("is built in");
    let names = |from: usize| (from..from + 100_000).map(|n| format!("a/{n}")).collect::<Vec<_>>();
    let items = |from: usize| names(from).iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
    let begun = std::time::Instant::now();
    let mut target = json!({"metadata": {"finalizers": names(0)}, "spec": {"volumes": items(0)}});
    let order = names(50_000);
    let patch = json!({"metadata": {"finalizers": order, "$setElementOrder/finalizers": order},
        "spec": {"volumes": items(50_000), "$setElementOrder/volumes": items(50_000)}});
    strategic(schema, &mut target, patch).expect("applies");
    assert_eq!(target["metadata"]["finalizers"].as_array().map(Vec::len), Some(150_000));
    assert_eq!(target["spec"]["volumes"].as_array().map(Vec::len), Some(150_000));
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
}

/// Each copy makes twice as much of a list, or an object a level deeper.
#[test]
fn a_json_patch_of_few_words_makes_no_large_object() {
    let doubling = json!({"op": "copy", "from": "/a", "path": "/a/-"});
    fails(
        json!({"a": ["x".repeat(1000)]}),
        json!(vec![doubling; 30]),
        "Unable to complete the copy, the accumulated size",
    );
    let deepening = json!({"op": "copy", "from": "", "path": "/a"});
    fails(
        json!({"a": {}}),
        json!(vec![deepening; 120]),
        "copy operation does not apply: nested deeper than 100 levels",
    );
    let wrapping = [
        json!({"op": "add", "path": "/b", "value": {}}),
        json!({"op": "move", "from": "/a", "path": "/b/a"}),
        json!({"op": "move", "from": "/b", "path": "/a"}),
    ];
    fails(
        json!({"a": {}}),
        json!(wrapping.iter().cycle().take(600).collect::<Vec<_>>()),
        "move operation does not apply: nested deeper than 100 levels",
    );
    let carrying = json!({"op": "move", "from": "/a", "path": "/a"});
    let many = json!({"a": vec![1; 1 << 20]});
    fails(many, json!(vec![carrying; 10]), "move operation does not apply: the patch moves");
}

#[test]
fn a_json_patch_follows_rfc_6902() {
    patched(
        json!({"foo": "bar"}),
        json!([{"op": "add", "path": "/baz", "value": "qux"}]),
        json!({"foo": "bar", "baz": "qux"}),
    );
    patched(json!({"foo": [1, 3]}), json!([{"op": "add", "path": "/foo/1", "value": 2}]), json!({"foo": [1, 2, 3]}));
    patched(json!({"foo": [1]}), json!([{"op": "add", "path": "/foo/-", "value": 2}]), json!({"foo": [1, 2]}));
    patched(
        json!({"a": 1, "b": [1, 2]}),
        json!([{"op": "remove", "path": "/a"}, {"op": "remove", "path": "/b/-1"}]),
        json!({"b": [1]}),
    );
    patched(
        json!({"a/b": 1, "m~n": 2}),
        json!([{"op": "replace", "path": "/a~1b", "value": 3}, {"op": "test", "path": "/m~0n", "value": 2}]),
        json!({"a/b": 3, "m~n": 2}),
    );
    patched(
        json!({"a": {"x": 1}, "b": {}}),
        json!([{"op": "move", "from": "/a/x", "path": "/b/y"}]),
        json!({"a": {}, "b": {"y": 1}}),
    );
    patched(json!({"a": [1]}), json!([{"op": "copy", "from": "/a", "path": "/b"}]), json!({"a": [1], "b": [1]}));
    fails(json!({"a": 1}), json!([{"op": "test", "path": "/a", "value": 2}]), "testing value /a failed");
    fails(
        json!({"a": 1}),
        json!([{"op": "remove", "path": "/b"}]),
        "remove operation does not apply: doc is missing path: /b",
    );
    fails(json!({"a": 1}), json!([{"op": "replace", "path": "/b/c", "value": 1}]), "replace operation does not apply");
    fails(json!({"a": [1]}), json!([{"op": "add", "path": "/a/3", "value": 1}]), "add operation does not apply");
    fails(json!({}), json!([{"op": "dance", "path": "/a"}]), "Unexpected kind: dance");
    fails(json!({"a": {}}), json!([{"op": "move", "from": "/a", "path": "/a/b"}]), "move operation");
    fails(
        json!({}),
        json!(vec![json!({"op": "test", "path": "/a"}); 10_001]),
        "The allowed maximum operations in a JSON patch is 10000, got 10001",
    );
    fails(json!({}), json!({}), "json: cannot unmarshal");
}

#[test]
fn lists_with_a_merge_key_merge() {
    strategically(
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}),
        json!({"containers": [{"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}),
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}),
    );
    strategically(
        json!({"containers": [{"name": "a", "args": ["x", "y"]}]}),
        json!({"containers": [{"name": "a", "args": ["z"]}]}),
        json!({"containers": [{"name": "a", "args": ["z"]}]}),
    );
    strategically(
        json!({"nodeSelector": {"a": "1", "b": "2"}}),
        json!({"nodeSelector": {"a": null, "c": "3"}}),
        json!({"nodeSelector": {"b": "2", "c": "3"}}),
    );
    assert!(run(json!({"containers": [{"name": "a"}]}), json!({"containers": [{"image": "x"}]})).is_err());
}

#[test]
fn directives_are_obeyed() {
    let two = json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]});
    strategically(
        two.clone(),
        json!({"containers": [{"name": "a", "$patch": "delete"}]}),
        json!({"containers": [{"name": "b", "image": "1"}]}),
    );
    strategically(
        two.clone(),
        json!({"containers": [{"name": "c", "image": "3"}, {"$patch": "replace"}]}),
        json!({"containers": [{"name": "c", "image": "3"}]}),
    );
    strategically(
        two.clone(),
        json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
        json!({"containers": [{"name": "b", "image": "1"}, {"name": "a", "image": "1"}]}),
    );
    strategically(
        two.clone(),
        json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}], "containers": [{"name": "c", "image": "3"}]}),
        json!({"containers": [{"name": "c", "image": "3"}, {"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}),
    );
    strategically(
        json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
        json!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "emptyDir": null, "hostPath": {"path": "/x"}}]}),
        json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}),
    );
    strategically(
        json!({"securityContext": {"runAsUser": 1}}),
        json!({"securityContext": {"$patch": "replace", "runAsGroup": 2}}),
        json!({"securityContext": {"runAsGroup": 2}}),
    );
    strategically(
        json!({"securityContext": {"runAsUser": 1}}),
        json!({"securityContext": {"$patch": "delete"}}),
        json!({"securityContext": {}}),
    );
    strategically(
        json!({}),
        json!({"securityContext": {"$patch": "replace", "runAsGroup": 2, "runAsUser": null}}),
        json!({"securityContext": {"runAsGroup": 2}}),
    );
    assert!(run(two, json!({"containers": [{"name": "a", "$patch": "dance"}]})).is_err());
}

#[test]
fn primitive_lists_merge_by_value() {
    let schema = schema::of(&Gvk::fixed("", "v1", "Pod")).expect("is built in");
    let mut target = json!({"metadata": {"finalizers": ["a", "b", "c"]}});
    strategic(
        schema,
        &mut target,
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"], "$setElementOrder/finalizers": ["d", "a", "c"], "finalizers": ["d"]}}),
    )
    .expect("applies");
    assert_eq!(target, json!({"metadata": {"finalizers": ["d", "a", "c"]}}));
    strategic(schema, &mut target, json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}))
        .expect("applies");
    assert_eq!(target, json!({"metadata": {"finalizers": ["d", "c"]}}));
}
