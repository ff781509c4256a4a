//! What is taken of others' documents, and what is refused.

use serde_json::json;

use super::*;

const PATH: &str = "/apis/x.y/v1/things";

fn document(thing: Value, more: Value) -> Value {
    let answer =
        json!({"get": {"responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/Thing"}}}}});
    let mut definitions = json!({"Thing": thing, "Unused": {"type": "object"}});
    kept(&mut definitions, more);
    json!({"swagger": "2.0", "paths": {PATH: answer, "/apis/apps/v1/theirs": {}}, "definitions": definitions})
}

fn kept(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}

fn read(document: &Value) -> Result<Vec<u8>, String> {
    part(document.to_string().as_bytes(), "x.y", "v1").map_err(|fault| match fault {
        PartFault::Shape(inner) => inner.to_string(),
        fault => fault.to_string(),
    })
}

#[test]
fn only_the_paths_of_the_group_version_and_what_they_need_are_kept() {
    let thing = json!({"type": "object", "properties": {"next": {"$ref": "#/definitions/Thing"}, "spec": {"$ref": "#/definitions/Spec"}},
        KINDS: [{"group": "x.y", "version": "v1", "kind": "Thing"}, {"group": "apps", "version": "v1", "kind": "Deployment"}]});
    let part: Part =
        serde_json::from_slice(&read(&document(thing, json!({"Spec": {"type": "object"}}))).unwrap()).unwrap();
    assert_eq!(part.paths.keys().collect::<Vec<_>>(), [PATH]);
    assert_eq!(part.definitions.keys().collect::<Vec<_>>(), ["Spec", "Thing"]);
    assert_eq!(part.definitions["Thing"][KINDS].as_array().unwrap().len(), 1, "nobody speaks for others");
}

#[test]
fn shared_parameters_stand_where_they_are_used() {
    let mut all = document(json!({}), json!({}));
    all["parameters"] = json!({"pretty-1": {"name": "pretty", "in": "query", "type": "string"}});
    all["paths"][PATH]["parameters"] = json!([{"$ref": "#/parameters/pretty-1"}]);
    let part: Part = serde_json::from_slice(&read(&all).unwrap()).unwrap();
    assert_eq!(part.paths[PATH]["parameters"][0]["name"], "pretty");
    all["parameters"] = json!({"pretty-1": {"items": {"$ref": "#/parameters/pretty-1"}}});
    assert!(read(&all).is_err(), "round and round");
    all["parameters"] = json!({"pretty-1": {"name": "x".repeat(10_000), "in": "query"}});
    all["paths"][PATH]["parameters"] = vec![json!({"$ref": "#/parameters/pretty-1"}); 1000].into();
    refused(&all, "more than");
}

#[track_caller]
fn refused(document: &Value, expected: &str) {
    let why = read(document).unwrap_err();
    assert!(why.contains(expected), "{why}");
}

#[test]
fn what_clients_cannot_read_is_refused() {
    refused(&json!([]), "not of OpenAPI version 2");
    refused(&json!({"swagger": "2.0", "paths": {PATH: []}}), "must be an object");
    refused(&document(json!(1), json!({})), "Thing: must be an object");
    refused(&document(json!({"type": "array"}), json!({})), "an array must say of what");
    refused(&document(json!({"type": ["string", "null"]}), json!({})), "known types");
    refused(&document(json!({"properties": {"a": {"type": "file"}}}), json!({})), "Thing.a: type");
    refused(&document(json!({"properties": {"a": {"$ref": "#/definitions/None"}}}), json!({})), "not there");
    refused(&document(json!({"items": {"$ref": "http://x/y"}}), json!({})), "must name a definition");
    refused(&document(json!({"description": "x".repeat(MOST_PART)}), json!({})), "more than");
    assert!(part(b"{", "x.y", "v1").is_err());
    assert!(part("[".repeat(10_000).as_bytes(), "x.y", "v1").is_err());
    // What names no path of the group version says nothing.
    assert!(part(br#"{"swagger": "2.0"}"#, "x.y", "v1").is_ok());
}

#[test]
fn a_taken_name_is_kept_by_whoever_had_it() {
    let kinds = |version: &str| json!([{"group": "x.y", "version": version, "kind": "Thing"}]);
    let thing = |text: &str| json!({"type": "object", "description": text, KINDS: kinds("v1"), "properties": {"meta": {"$ref": "#/definitions/Meta"}}});
    let one = read(&document(thing("a"), json!({"Meta": {"type": "object"}}))).unwrap();
    let two = read(&document(thing("b"), json!({"Meta": {"type": "object", "description": "other"}}))).unwrap();
    let own = |name: &str| (name == "Meta").then(|| json!({"type": "object"}));
    let merged = Merged::of(&[&one], |_| false, own);
    assert_eq!(merged.definitions.keys().collect::<Vec<_>>(), ["Thing"], "what says the same is ours");
    let merged = Merged::of(&[&two], |_| false, own);
    assert_eq!(merged.definitions.keys().collect::<Vec<_>>(), ["Meta_v2", "Thing"]);
    assert_eq!(merged.definitions["Thing"]["properties"]["meta"]["$ref"], "#/definitions/Meta_v2");
    // The second finds its path taken, and with it everything.
    let merged = Merged::of(&[&one, &two], |_| false, own);
    assert_eq!(merged.definitions["Thing"]["description"], "a");
    assert!(Merged::of(&[&one], |path| path == PATH, own).definitions.is_empty());
}

#[test]
fn our_definition_is_also_of_the_kinds_that_others_name() {
    let thing = json!({"type": "object", KINDS: [{"group": "x.y", "version": "v1", "kind": "DeleteOptions"}]});
    let part = read(&document(thing, json!({}))).unwrap();
    let ours = json!({"type": "object", KINDS: [{"group": "", "version": "v1", "kind": "DeleteOptions"}]});
    let merged = Merged::of(&[&part, &part], |_| false, |name| (name == "Thing").then(|| ours.clone()));
    let mut written = ours.clone();
    merged.note_kinds("Thing", &mut written);
    assert_eq!(written[KINDS].as_array().unwrap().len(), 2);
    assert!(merged.definitions.is_empty());
}
