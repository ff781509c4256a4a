//! Bodies: JSON, YAML, protobuf, and objects on their way through check, defaults and validation.
//!
//! In: bytes. Out: a panic where a limit does not hold, or where what was written is read as something else.

use std::sync::{Arc, OnceLock};

use kedge_api::check::{self, FieldValidation};
use kedge_api::decode::{self, Limits};
use kedge_api::kinds::{Kind, Kinds};
use kedge_api::strategy::{self, Part};
use kedge_api::{convert, defaults, print, protobuf, schema, validate, warn, yaml};
use serde_json::Value;

use crate::lines;

/// Small, so that mutations reach them.
const SMALL: Limits = Limits { bytes: 1 << 16, depth: 12, values: 600, documents: 4 };

/// JSON.
pub fn json(bytes: &[u8]) {
    let plain = serde_json::from_slice::<Value>(bytes);
    match decode::json(bytes, &SMALL) {
        Ok(decoded) => {
            fits(&decoded.value);
            assert_eq!(plain.expect("plain readers take it too"), decoded.value);
            let told = decode::in_order(bytes, &[], &decoded.duplicates);
            assert_eq!(told.len(), decoded.duplicates.len(), "{told:?}");
            let text = decoded.value.to_string();
            let again = decode::json(text.as_bytes(), &Limits::REQUEST).expect("is what was written");
            assert_eq!(again.value, decoded.value, "numbers and all are what was written");
            assert_eq!(again.duplicates, Vec::<String>::new());
            assert!(
                decoded.duplicates.iter().all(|path| decoded.duplicates.iter().filter(|p| *p == path).count() == 1)
            );
        }
        // Only limits may refuse what is JSON.
        Err(why) => {
            if let Ok(value) = plain {
                let large = lines::depth(&value) > SMALL.depth
                    || bytes.len() > SMALL.bytes
                    || why.to_string().contains("too many");
                assert!(large, "{why}: {value}");
            }
        }
    }
    let _ = decode::any(bytes, &SMALL);
}

/// YAML.
pub fn yaml(bytes: &[u8]) {
    let Ok(documents) = decode::yaml_documents(bytes, &SMALL) else { return };
    assert!(documents.len() <= SMALL.documents);
    let text = String::from_utf8_lossy(bytes);
    let last = text.matches('\n').count() + 1;
    // Lines are those of people; what else ends one in YAML 1.1 makes the places of documents less exact.
    let exact = !text.replace("\r\n", "\n").contains(['\r', '\u{85}', '\u{2028}', '\u{2029}']);
    let mut before = 0;
    for document in documents {
        assert!(!exact || (before + 1..=last).contains(&document.line), "line {} of {last}", document.line);
        before = document.line;
        let value = document.decoded.value;
        fits(&value);
        let text = yaml::text(&value);
        let again = decode::yaml(text.as_bytes(), &Limits::REQUEST);
        assert_eq!(again.map(|decoded| decoded.value), Ok(value), "{text}");
    }
}

fn fits(value: &Value) {
    assert!(lines::depth(value) <= SMALL.depth && lines::count(value) <= SMALL.values, "{value}");
}

/// An object in its envelope.
pub fn protobuf(bytes: &[u8]) {
    let _ = protobuf::open(bytes);
    if let Ok(object) = protobuf::decode(bytes, None) {
        written(&object);
    }
}

/// The message of a kind that the first byte chooses.
pub fn protobuf_message(bytes: &[u8]) {
    let Some((first, message)) = bytes.split_first() else { return };
    let kind = chosen(*first);
    let own = schema::of(&kind.gvk()).expect("is built in");
    if let Ok(mut object) = protobuf::message(own, message) {
        object["apiVersion"] = kind.gvk().api_version().into();
        object["kind"] = Value::from(&*kind.kind);
        written(&object);
    }
}

fn written(object: &Value) {
    let bytes = protobuf::encode(object).expect("is built in");
    let again = protobuf::decode(&bytes, None).expect("is what was written");
    assert_eq!(&again, object);
}

/// The built-in kinds.
pub fn kinds() -> &'static Kinds {
    static KINDS: OnceLock<Kinds> = OnceLock::new();
    KINDS.get_or_init(Kinds::builtin)
}

/// The kind of that number.
fn chosen(number: u8) -> &'static Kind {
    let count = kinds().iter().count();
    kinds().iter().nth(usize::from(number) % count).expect("is below the count")
}

/// Kinds are named by their plural, as in `["deployments"]`.
pub fn named(word: &Value) -> Option<&'static Kind> {
    kinds().by_word(word.as_str()?).map(Arc::as_ref)
}

/// Every kind in every version, also those that are served only where they are asked for, and those that were once.
fn every() -> &'static Kinds {
    static KINDS: OnceLock<Kinds> = OnceLock::new();
    KINDS.get_or_init(|| Kinds::everything().with_removed())
}

/// An object of a version that was once served as one of today's, which can be told in the old form again.
fn today(kind: &Kind, modern: &Kind, object: Value) -> Value {
    let mut now = convert::to(&kind.gvk(), &modern.gvk(), object).expect("old versions convert");
    defaults::apply(&modern.gvk(), &mut now);
    convert::to(&modern.gvk(), &kind.gvk(), now.clone()).expect("it came from there");
    now
}

/// A body of a kind: `"pods"` or `"deployments.v1beta1.extensions"`, then the object, then one it replaces.
pub fn request_body(bytes: &[u8]) {
    let Some([word, body, old]) = lines::values(bytes) else { return };
    let Some(kind) = word.as_str().and_then(|word| every().by_word(word)) else { return };
    let Some(own) = kind.schema() else { return };
    let gvk = kind.gvk();
    let Some(mut object) = accepted(kind, body) else { return };
    let mut again = object.clone();
    assert_eq!(check::prune(own, &mut again).expect("was accepted"), Vec::<String>::new());
    assert_eq!(again, object);
    defaults::apply(&gvk, &mut object);
    let once = object.clone();
    defaults::apply(&gvk, &mut object);
    assert_eq!(object, once, "defaults of defaults");
    check::prune(own, &mut object).expect("defaults fit");
    let old = accepted(kind, old).map(|mut old| {
        defaults::apply(&gvk, &mut old);
        old
    });
    let (kind, gvk, object, old) = match every().modern(kind) {
        Some(modern) => {
            let today = |object| today(kind, modern, object);
            (modern, modern.gvk(), today(object), old.map(today))
        }
        None => (kind, gvk, object, old),
    };
    let mut new = object.clone();
    strategy::prepare_create(kind, &mut new);
    let _ = validate::create(kind, &new);
    let _ = warn::object(kind, &new);
    let _ = print::row(&gvk, false, &new, std::time::UNIX_EPOCH);
    if let Ok(stored) = convert::to(&gvk, &kind.stored_gvk(), new.clone()) {
        convert::to(&kind.stored_gvk(), &gvk, stored).expect("came from there");
    }
    let Some(old) = old else { return };
    for part in [Part::Main, Part::Status] {
        let mut new = object.clone();
        strategy::prepare_update(kind, part, &mut new, &old);
        let _ = validate::update(kind, part, &new, &old);
        // What changes nothing needs no more than what was there.
        let mut same = new.clone();
        strategy::prepare_update(kind, part, &mut same, &new);
        let _ = validate::update(kind, part, &same, &new);
    }
}

/// The object, where the schema takes it.
pub fn accepted(kind: &Kind, body: Value) -> Option<Value> {
    let checked = check::object(&kind.gvk(), kind.schema()?, body.into(), FieldValidation::Warn).ok()?;
    checked.object.is_object().then_some(checked.object)
}
