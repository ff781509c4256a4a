//! Every built-in type with all fields filled, in both forms.

use super::*;
use crate::check;
use crate::testdata;
use serde_json::json;

fn difference(a: &Value, b: &Value, path: &str) -> Option<String> {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => x.keys().chain(y.keys()).find_map(|key| {
            difference(x.get(key).unwrap_or(&Value::Null), y.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"))
        }),
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            x.iter().zip(y).enumerate().find_map(|(at, (x, y))| difference(x, y, &format!("{path}[{at}]")))
        }
        _ if a == b => None,
        _ => Some(format!("{path}: {a} is {b}")),
    }
}

#[test]
fn every_published_object_is_the_same_in_both_forms() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for folder in ["roundtrip", "apiextensions"] {
        let Some(folder) = testdata::folder(folder) else { return };
        for (name, text) in testdata::files(&folder, ".json") {
            let json: Value = serde_json::from_str(&text).expect(&name);
            let gvk = Gvk::from_api_version(
                json["apiVersion"].as_str().unwrap_or_default(),
                json["kind"].as_str().unwrap_or_default(),
            );
            let Some(own) = schema::of(&gvk) else { continue };
            seen += 1;
            let bytes = std::fs::read(folder.join(name.replace(".json", ".pb"))).expect(&name);
            let mut decoded = match decode(&bytes, None) {
                Ok(decoded) => decoded,
                Err(error) => {
                    faults.push(format!("{name}: {error}"));
                    continue;
                }
            };
            check::prune(own, &mut decoded).expect(&name);
            let mut canonical = json.clone();
            check::prune(own, &mut canonical).expect(&name);
            if let Some(found) = difference(&decoded, &canonical, "") {
                faults.push(format!("{name}: decoded {found}"));
            }
            let encoded = encode(&json).expect(&name);
            let again = decode(&encoded, None).expect(&name);
            if let Some(found) = difference(&again, &json, "") {
                faults.push(format!("{name}: encoded {found}"));
            } else if encoded != bytes && !name.starts_with("apiextensions") {
                // Go also writes what is zero; all but this one have nothing that is.
                let at = encoded.iter().zip(&bytes).position(|(a, b)| a != b).unwrap_or(encoded.len().min(bytes.len()));
                faults.push(format!("{name}: byte {at} of {}, {} are ours", bytes.len(), encoded.len()));
            }
        }
    }
    eprintln!("{seen} objects");
    assert!(faults.is_empty(), "{} of {seen}:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn what_is_no_object_is_refused() {
    let pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}]}});
    let bytes = encode(&pod).expect("is built in");
    assert_eq!(decode(&bytes, None), Ok(pod));
    assert_eq!(decode(b"{}", None), Err(ProtobufError::NoMagic));
    for length in 4..bytes.len() {
        // No prefix may do worse than be refused or lack something.
        let _ = decode(&bytes[..length], None);
    }
    let wrong = writer::envelope("v1", "Pod", &[0x08, 0x01]);
    assert_eq!(decode(&wrong, None), Err(ProtobufError::WrongWire { wire: 0, field: "metadata".into() }));
    let stranger = writer::envelope("example.com/v1", "Thing", &[]);
    assert!(matches!(decode(&stranger, None), Err(ProtobufError::UnknownKind { .. })));
    // A schema that nests in itself for ever.
    let mut schema = vec![];
    for _ in 0..1000 {
        // Field 28, `not`.
        let mut outer = vec![0xe2, 0x01];
        let mut length = schema.len();
        while length >= 0x80 {
            outer.push(length as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend_from_slice(&schema);
        schema = outer;
    }
    let own = props_struct();
    assert!(matches!(message(own, &schema), Err(ProtobufError::Malformed { .. })));
}

fn props_struct() -> Struct<'static> {
    let name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
    schema::named(name).and_then(crate::schema::Node::as_struct).expect("is built in")
}

#[test]
fn options_are_known_in_every_version() {
    let options = json!({"apiVersion": "policy/v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
    assert_eq!(decode(&encode(&options).expect("known"), None), Ok(options));
    let bare = writer::envelope("", "", &[0x08, 0x05]);
    let expected = Gvk::fixed("", "v1", "DeleteOptions");
    assert_eq!(
        decode(&bare, Some(&expected)),
        Ok(json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 5}))
    );
}
