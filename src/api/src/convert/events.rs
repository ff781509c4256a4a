//! Events of the core group and of `events.k8s.io`: the same facts under other names.

use serde_json::Value;

/// Name in the core group, name in `events.k8s.io`.
const NAMES: [(&str, &str); 7] = [
    ("message", "note"),
    ("involvedObject", "regarding"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// Renames the fields, in either direction.
pub(super) fn convert(event: &mut Value, to_core: bool) {
    let Some(map) = event.as_object_mut() else { return };
    for (core, other) in NAMES {
        let (from, to) = if to_core { (other, core) } else { (core, other) };
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
}
