//! Holds the documents against those that Kubernetes publishes.

use super::*;
use crate::testdata;

/// What differs between two JSON values, by path.
fn differences(own: &Value, published: &Value, path: &str, out: &mut Vec<String>) {
    match (own, published) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let (a, b) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                differences(a, b, &format!("{path}/{key}"), out);
            }
        }
        _ if own == published => {}
        _ => {
            let short = |value: &Value| value.to_string().chars().take(90).collect::<String>();
            out.push(format!("{path}: {} published {}", short(own), short(published)));
        }
    }
}

fn level(name: &str, definition: &mut Value) {
    if let Some(required) = definition["required"].as_array_mut() {
        // A set, whose order is that of the Go struct.
        required.sort_by_key(Value::to_string);
    }
    if UBIQUITOUS.iter().any(|known| name.ends_with(known)) {
        // Published for every version that Kubernetes ever had.
        definition["x-kubernetes-group-version-kind"] = Value::Null;
    }
    if name.ends_with(".WatchEvent") {
        // Its documentation is on the variants of an enum in Rust.
        definition["description"] = Value::Null;
        definition["properties"]["object"] = Value::Null;
    }
    if name.ends_with("List") && definition["properties"]["items"].is_object() {
        // Lists say "X is a list of Y" in many ways.
        definition["description"] = Value::Null;
        for field in ["items", "metadata"] {
            definition["properties"][field]["description"] = Value::Null;
        }
    }
}

const UBIQUITOUS: [&str; 2] = [".DeleteOptions", ".WatchEvent"];

fn compare(own: &Value, published: &Value, faults: &mut Vec<String>, needed: bool) {
    for (name, definition) in own.as_object().expect("definitions") {
        let (mut own, mut published) = (definition.clone(), published[name].clone());
        level(name, &mut own);
        level(name, &mut published);
        differences(&own, &published, name, faults);
    }
    for name in published.as_object().expect("definitions").keys() {
        if needed && own.get(name).is_none() {
            faults.push(format!("{name}: missing"));
        }
    }
}

fn compare_paths(own: &Value, published: &Value, faults: &mut Vec<String>) {
    const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];
    for (path, item) in published.as_object().expect("paths") {
        if path.contains("/watch/") || path.starts_with("/logs") || path.contains("openid") {
            continue;
        }
        for method in METHODS {
            let (own, published) = (&own[path][method], &item[method]);
            for key in ["operationId", "x-kubernetes-action", "x-kubernetes-group-version-kind", "tags"] {
                if own[key] != published[key] {
                    faults.push(format!("{path} {method} {key}: {} published {}", own[key], published[key]));
                }
            }
        }
        let (own, published) = (is_pretty(&own[path]), is_pretty(item));
        if own != published {
            faults.push(format!("{path} pretty: {own} published {published}"));
        }
    }
    for path in own.as_object().expect("paths").keys() {
        if published.get(path).is_none() {
            faults.push(format!("{path}: not published"));
        }
    }
}

/// Whether a path says that its answers can be indented.
fn is_pretty(item: &Value) -> bool {
    let mut all = item["parameters"].as_array().into_iter().flatten();
    all.any(|one| {
        one["name"] == "pretty" || one["$ref"].as_str().is_some_and(|name| name.starts_with("#/parameters/pretty-"))
    })
}

#[test]
fn what_kubernetes_answers_itself_can_be_indented() {
    let paths = paths::of_version(&Kinds::everything(), "", "v1");
    let pod = "/api/v1/namespaces/{namespace}/pods/{name}";
    for (path, expected) in [
        ("/api/v1/".to_owned(), false),
        ("/api/v1/pods".to_owned(), true),
        (pod.to_owned(), true),
        (format!("{pod}/log"), true),
        (format!("{pod}/exec"), false),
    ] {
        let (_, item) = paths.iter().find(|(own, _)| *own == path).expect("is served");
        assert_eq!(is_pretty(item), expected, "{path}");
    }
}

#[track_caller]
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn version_2_is_what_kubernetes_publishes() {
    let Some(folder) = testdata::folder("openapi") else { return };
    let text = std::fs::read_to_string(folder.join("swagger.json")).expect("swagger.json");
    let published: Value = serde_json::from_str(&text).expect("JSON");
    let own: Value = serde_json::from_slice(&v2(&Kinds::everything(), &NoSchemas, &[])).expect("JSON");
    let mut faults = Vec::new();
    compare(&own["definitions"], &published["definitions"], &mut faults, true);
    compare_paths(&own["paths"], &published["paths"], &mut faults);
    none(&faults);
}

#[test]
fn version_3_is_what_kubernetes_publishes() {
    let Some(folder) = testdata::folder("openapi/v3") else { return };
    let kinds = Kinds::everything();
    let mut faults = Vec::new();
    let mut seen = 0;
    for (name, text) in testdata::files(&folder, "_openapi.json") {
        let parts: Vec<&str> = name.trim_end_matches("_openapi.json").split("__").collect();
        let (group, version) = match parts[..] {
            ["api", version] => ("", version),
            ["apis", group, version] => (group, version),
            _ => continue,
        };
        seen += 1;
        let published: Value = serde_json::from_str(&text).expect(&name);
        let own = v3(&kinds, group, version, &NoSchemas).expect(&name);
        let own: Value = serde_json::from_slice(&own).expect("JSON");
        // Ours has a few more definitions than a version strictly needs, never fewer.
        let mut own_definitions = own["components"]["schemas"].clone();
        if let Some(map) = own_definitions.as_object_mut() {
            map.retain(|name, _| published["components"]["schemas"].get(name).is_some());
        }
        compare(&own_definitions, &published["components"]["schemas"], &mut faults, true);
        compare_paths(&own["paths"], &published["paths"], &mut faults);
        assert!(v3_index(&kinds)["paths"][v3_path(group, version)]["serverRelativeURL"].is_string());
    }
    assert_eq!(seen, group_versions(&kinds).len());
    none(&faults);
}

#[test]
fn every_reference_is_answered() {
    let kinds = Kinds::builtin();
    let text = String::from_utf8(v2(&kinds, &NoSchemas, &[])).expect("text");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    for part in text.split("\"$ref\":\"#/definitions/").skip(1) {
        let name = part.split('"').next().unwrap_or_default();
        assert!(document["definitions"].get(name).is_some(), "{name}");
    }
    for (group, version) in group_versions(&kinds) {
        let text = String::from_utf8(v3(&kinds, &group, &version, &NoSchemas).expect("served")).expect("text");
        let document: Value = serde_json::from_str(&text).expect("JSON");
        for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap_or_default();
            assert!(document["components"]["schemas"].get(name).is_some(), "{group} {name}");
        }
    }
    assert_eq!(v3(&kinds, "apps", "v1beta1", &NoSchemas), None);
}

/// Reads a protobuf message: field number and bytes of every length-delimited field.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        if key & 7 == 0 {
            varint(&mut bytes);
            continue;
        }
        assert_eq!(key & 7, 2, "only lengths and varints are written");
        let length = varint(&mut bytes) as usize;
        out.push((key >> 3, &bytes[..length]));
        bytes = &bytes[length..];
    }
    out
}

fn field(message: &[u8], number: u64) -> &[u8] {
    fields(message).into_iter().find(|(field, _)| *field == number).map(|(_, bytes)| bytes).unwrap_or_default()
}

#[test]
fn the_protobuf_form_holds_what_the_json_form_does() {
    let kinds = Kinds::builtin();
    let document = v2_protobuf(&kinds, &NoSchemas, &[]);
    let json: Value = serde_json::from_slice(&v2(&kinds, &NoSchemas, &[])).expect("JSON");
    assert_eq!(field(&document, 1), b"2.0");
    let definitions = fields(field(&document, 9));
    assert_eq!(definitions.len(), json["definitions"].as_object().expect("definitions").len());
    for (_, definition) in definitions {
        let name = std::str::from_utf8(field(definition, 1)).expect("text");
        let own = &json["definitions"][name];
        let schema = field(definition, 2);
        assert_eq!(field(schema, 4), own["description"].as_str().unwrap_or_default().as_bytes(), "{name}");
        let properties = fields(field(schema, 25));
        assert_eq!(properties.len(), own["properties"].as_object().map_or(0, serde_json::Map::len), "{name}");
        let kind = own.get("x-kubernetes-group-version-kind");
        let extension = fields(schema)
            .into_iter()
            .find(|(number, bytes)| *number == 31 && field(bytes, 1) == b"x-kubernetes-group-version-kind");
        let yaml = extension.map(|(_, bytes)| field(field(bytes, 2), 2).to_vec()).unwrap_or_default();
        assert_eq!(String::from_utf8(yaml).expect("text"), kind.map(Value::to_string).unwrap_or_default(), "{name}");
    }
    assert_eq!(fields(field(&document, 8)).len(), json["paths"].as_object().expect("paths").len());
}
