//! The few words through which the controllers reach the API.
//!
//! In: rows and whole objects. Out: writes and Events. Decides nothing.

use std::time::Duration;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers as wire;
use kedge_plugin_sdk::controller::kedge::plugin::objects::{Failure, Field, FieldType, Key, Kind, Query};
use kedge_plugin_sdk::controller::kedge::plugin::{cluster, host};
use kedge_plugin_sdk::table::Rows;
use serde_json::Value;

pub use kedge_plugin_sdk::controller::kedge::plugin::cluster::{Change, EventType, Order, PatchType, Propagation};

/// How a reconcile ends: settled, or to be looked at again.
pub type Outcome = Result<Option<Duration>, String>;

/// Somebody else wrote meanwhile: look again at once.
pub const RACED: Duration = Duration::from_millis(20);

/// A kind.
pub fn kind(group: &str, version: &str, kind: &str) -> Kind {
    Kind { group: group.into(), version: version.into(), kind: kind.into() }
}

/// A watch of a kind.
pub fn watch(of: Kind, fields: &[(&str, FieldType)], wakes: &[wire::Wakes]) -> wire::Watch {
    wire::Watch { target: wire::Target::Kind(of), fields: self::fields(fields), wakes: wakes.to_vec() }
}

/// Declared fields.
pub fn fields(fields: &[(&str, FieldType)]) -> Vec<Field> {
    fields.iter().map(|(path, as_type)| Field { path: (*path).into(), type_: *as_type }).collect()
}

/// The rows of a watch.
pub fn rows(watch: u32, query: Query) -> Rows {
    Rows::new(cluster::rows(watch, &query))
}

/// The rows of a watch counted by some of its fields: each combination once, and how many rows have it.
pub fn count(watch: u32, query: Query, fields: &[u32]) -> (Rows, Vec<u32>) {
    let tally = cluster::count(watch, &query, fields);
    (Rows::new(tally.table), tally.counts)
}

/// The row of a key, if it is there.
pub fn row_of(watch: u32, key: &Key) -> Rows {
    rows(watch, Query::One(key.clone()))
}

/// A whole object; `None` when it is gone.
pub fn get(of: &Kind, namespace: &str, name: &str) -> Result<Option<Value>, String> {
    let key = Key { namespace: namespace.into(), name: name.into() };
    match cluster::get(of, &key) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|e| format!("{} {name} is no JSON: {e}", of.kind)),
        Err(failure) if failure.code == 404 => Ok(None),
        Err(failure) => Err(said("get", &of.kind, name, &failure)),
    }
}

/// Shows every object of a kind in a namespace (empty: everywhere) that a label selector chooses, one after the other:
/// a large list never stands in memory as a tree.
pub fn each(of: &Kind, namespace: &str, labels: &str, mut show: impl FnMut(Value)) -> Result<(), String> {
    let text = cluster::list(of, namespace, labels, "").map_err(|e| said("list", &of.kind, namespace, &e))?;
    let mut reader = serde_json::Deserializer::from_str(&text);
    serde::Deserializer::deserialize_seq(&mut reader, Each(&mut show)).map_err(|e| format!("{} list: {e}", of.kind))
}

/// All objects of a kind in a namespace that a label selector chooses.
pub fn list(of: &Kind, namespace: &str, labels: &str) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    each(of, namespace, labels, |object| all.push(object))?;
    Ok(all)
}

/// Shows the entries of a JSON array.
struct Each<'a, F>(&'a mut F);

impl<'de, F: FnMut(Value)> serde::de::Visitor<'de> for Each<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(entry) = entries.next_element()? {
            (self.0)(entry);
        }
        Ok(())
    }
}

/// Creates an object; gives its name.
pub fn create(of: &Kind, namespace: &str, object: &Value) -> Result<String, Failure> {
    one(creation(of, namespace, object))
}

/// A patch.
pub fn patch(of: &Kind, namespace: &str, name: &str, subresource: &str, as_type: PatchType, patch: &Value) -> Change {
    Change::Patch(cluster::PatchRequest {
        kind: of.clone(),
        key: Key { namespace: namespace.into(), name: name.into() },
        subresource: subresource.into(),
        type_: as_type,
        patch: patch.to_string(),
    })
}

/// A merge patch.
pub fn merge(of: &Kind, namespace: &str, name: &str, subresource: &str, patch: &Value) -> Change {
    self::patch(of, namespace, name, subresource, PatchType::Merge, patch)
}

/// Puts an object in place of the version that it carries.
pub fn update(of: &Kind, namespace: &str, name: &str, subresource: &str, object: &Value) -> Change {
    Change::Update(cluster::UpdateRequest {
        kind: of.clone(),
        key: Key { namespace: namespace.into(), name: name.into() },
        subresource: subresource.into(),
        object: object.to_string(),
    })
}

/// A creation.
pub fn creation(of: &Kind, namespace: &str, object: &Value) -> Change {
    Change::Create(cluster::CreateRequest { kind: of.clone(), namespace: namespace.into(), object: object.to_string() })
}

/// A deletion of this very object.
pub fn delete(of: &Kind, namespace: &str, name: &str, uid: &str, propagation: Option<Propagation>) -> Change {
    Change::Delete(cluster::DeleteRequest {
        kind: of.clone(),
        key: Key { namespace: namespace.into(), name: name.into() },
        uid: uid.into(),
        resource_version: String::new(),
        propagation,
        grace_seconds: None,
    })
}

/// One write; gives the object's name.
pub fn one(change: Change) -> Result<String, Failure> {
    answer(change).map(|written| written.name)
}

/// One write; gives the object's new version.
pub fn written(change: Change) -> Result<String, Failure> {
    answer(change).map(|written| written.resource_version)
}

fn answer(change: Change) -> Result<cluster::Written, Failure> {
    let unanswered = || Failure { code: 0, reason: "NoAnswer".into(), message: "the write was not answered".into() };
    cluster::write(&[change], Order::InTurn).into_iter().next().unwrap_or_else(|| Err(unanswered()))
}

/// Whether a namespace that is going away refused a creation: nothing is left to do.
pub fn ends(failure: &Failure) -> bool {
    failure.code == 404 || (failure.code == 403 && failure.message.contains("being terminated"))
}

/// Many writes, side by side.
pub fn together(changes: &[Change]) -> Vec<Result<(), Failure>> {
    cluster::write(changes, Order::Together).into_iter().map(|answer| answer.map(|_| ())).collect()
}

/// An Event.
pub fn event(of: &Kind, namespace: &str, name: &str, uid: &str, as_type: EventType, reason: &str, message: &str) {
    let key = Key { namespace: namespace.into(), name: name.into() };
    cluster::event(of, &key, uid, as_type, reason, message);
}

/// Microseconds since 1970.
pub fn now() -> i64 {
    let now = host::now();
    now.seconds * 1_000_000 + i64::from(now.nanoseconds / 1000)
}

/// A failure as a sentence.
pub fn said(act: &str, kind: &str, name: &str, failure: &Failure) -> String {
    format!("cannot {act} {kind} {name}: {}", failure.message)
}

/// RFC 3339 with seconds, of microseconds since 1970.
pub fn rfc3339(microseconds: i64) -> String {
    let seconds = microseconds.div_euclid(1_000_000);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // March-based years put the leap day last.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Microseconds since 1970 of an RFC 3339 text with seconds in UTC.
pub fn microseconds(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second) * 1_000_000)
}

/// JSON of a cell; null when it is absent or broken.
pub fn json(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
}

/// The text form of a selector that holds `matchLabels` and `matchExpressions`, or is a plain map.
pub fn selector_text(selector: &Value) -> String {
    let mut parts = Vec::new();
    let structured = selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some();
    let labels = if structured { selector.get("matchLabels") } else { Some(selector) };
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        parts.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for wanted in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        let key = wanted.get("key").and_then(Value::as_str).unwrap_or_default();
        let values: Vec<&str> =
            wanted.get("values").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        parts.push(match wanted.get("operator").and_then(Value::as_str) {
            Some("In") => format!("{key} in ({})", values.join(",")),
            Some("NotIn") => format!("{key} notin ({})", values.join(",")),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_string(),
        });
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_go_there_and_back() {
        for text in ["1970-01-01T00:00:00Z", "2000-02-29T12:34:56Z", "2026-11-21T07:00:00Z"] {
            assert_eq!(rfc3339(microseconds(text).unwrap()), text);
        }
    }

    #[test]
    fn selectors_have_a_text_form() {
        for (selector, text) in [
            (json!({"app": "web"}), "app=web"),
            (
                json!({"matchLabels": {"a": "b"}, "matchExpressions": [
                {"key": "c", "operator": "In", "values": ["d", "e"]}, {"key": "f", "operator": "Exists"},
                {"key": "g", "operator": "DoesNotExist"}]}),
                "a=b,c in (d,e),f,!g",
            ),
        ] {
            assert_eq!(selector_text(&selector), text);
        }
    }
}
