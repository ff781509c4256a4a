//! Objects as the bytes that are kept, which are the bytes that are served.
//!
//! In: an object. Out: JSON with the place where the store inserts the revision, so that what is
//! stored is what GET returns. Keys are sorted, so equal objects have equal bytes.

use bytes::Bytes;
use kedge_api::{Object, meta};
use kedge_store::Body;

/// The bytes of an object, with an empty `resourceVersion` that the store fills.
pub fn encode(object: &Object) -> Body {
    const EMPTY: &str = "\"resourceVersion\":\"";
    let mut out = Vec::with_capacity(1024);
    let mut stamp = None;
    out.push(b'{');
    for (at, (key, value)) in object.as_object().into_iter().flatten().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(&mut out, key);
        out.push(b':');
        if key != "metadata" {
            write(&mut out, value);
            continue;
        }
        out.push(b'{');
        let mut first = true;
        for (key, value) in value.as_object().into_iter().flatten() {
            if key == "resourceVersion" {
                continue;
            }
            if stamp.is_none() && key.as_str() > "resourceVersion" {
                stamp = Some(stamped(&mut out, &mut first, EMPTY));
            }
            if !std::mem::replace(&mut first, false) {
                out.push(b',');
            }
            write(&mut out, key);
            out.push(b':');
            write(&mut out, value);
        }
        if stamp.is_none() {
            stamp = Some(stamped(&mut out, &mut first, EMPTY));
        }
        out.push(b'}');
    }
    out.push(b'}');
    Body { bytes: Bytes::from(out), stamp }
}

fn stamped(out: &mut Vec<u8>, first: &mut bool, text: &str) -> usize {
    if !std::mem::replace(first, false) {
        out.push(b',');
    }
    out.extend(text.as_bytes());
    let at = out.len();
    out.push(b'"');
    at
}

fn write<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // A value with string keys always serializes, and a Vec never refuses bytes.
    let _ = serde_json::to_writer(out, value);
}

/// Reads kept bytes.
pub fn decode(bytes: &[u8]) -> Result<Object, serde_json::Error> {
    serde_json::from_slice(bytes)
}

/// Whether two objects are the same but for their resource versions.
pub fn same(a: &Object, b: &Object) -> bool {
    let (Some(x), Some(y)) = (a.as_object(), b.as_object()) else { return a == b };
    let metadata = |object| {
        let fields = meta::metadata(object).into_iter().flatten();
        fields.filter(|(field, _)| *field != "resourceVersion")
    };
    x.len() == y.len()
        && x.iter().all(|(key, value)| key == "metadata" || y.get(key) == Some(value))
        && metadata(a).eq(metadata(b))
}

/// The bytes of an object with another resource version: for events that tell of a revision the
/// object itself was not written at.
pub fn at_revision(bytes: &[u8], revision: u64) -> Bytes {
    match decode(bytes) {
        Ok(mut object) => {
            meta::set_resource_version(&mut object, &revision.to_string());
            Bytes::from(object.to_string())
        }
        Err(_) => Bytes::copy_from_slice(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(object: Value) {
        let body = encode(&object);
        let at = body.stamp.expect("a place for the revision");
        let mut bytes = body.bytes.to_vec();
        bytes.splice(at..at, b"42".iter().copied());
        let mut expected = object.clone();
        expected["metadata"]["resourceVersion"] = json!("42");
        assert_eq!(String::from_utf8(bytes).unwrap(), expected.to_string());
    }

    #[test]
    fn the_revision_has_its_place_wherever_it_sorts() {
        check(
            json!({"apiVersion": "v1", "kind": "A", "metadata": {"name": "a", "uid": "u"}, "spec": {"x": "\"resourceVersion\":\""}}),
        );
        check(json!({"apiVersion": "v1", "metadata": {"name": "a"}}));
        check(json!({"apiVersion": "v1", "metadata": {"uid": "a"}}));
        check(json!({"metadata": {}}));
        check(json!({"metadata": {"resourceVersion": "7", "selfLink": "x"}}));
    }

    #[test]
    fn the_resource_version_is_no_difference() {
        let a = json!({"metadata": {"name": "a", "resourceVersion": "1"}, "data": {"k": "v"}});
        let mut b = a.clone();
        b["metadata"]["resourceVersion"] = json!("2");
        assert!(same(&a, &b));
        b["data"]["k"] = json!("w");
        assert!(!same(&a, &b));
    }
}
