//! Selectors found inside objects.
//!
//! In: the JSON at a path that `wakes` or a query names. Out: whether labels match. Never matches on a broken selector.

use kedge_api::field::Path;
use kedge_api::selector::{LabelSelector, Lookup};
use serde_json::Value;

/// Whether the selector in `json` chooses `labels`.
///
/// A selector with `matchLabels` or `matchExpressions` follows `metav1.LabelSelector`, where an empty one chooses all;
/// any other object is a plain map as in a Service, where an empty one chooses nothing.
pub fn chooses(json: &str, labels: &(impl Lookup + ?Sized), plain: bool) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(json) else { return false };
    if plain {
        let Some(pairs) = value.as_object().filter(|pairs| !pairs.is_empty()) else { return false };
        return pairs.iter().all(|(key, wanted)| labels.value(key) == wanted.as_str() && wanted.is_string());
    }
    LabelSelector::from_object(Some(&value), &Path::root("selector")).is_ok_and(|selector| selector.matches(labels))
}

/// Whether selectors of this kind are plain maps.
pub fn is_plain(group: &str, kind: &str) -> bool {
    group.is_empty() && matches!(kind, "Service" | "ReplicationController")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_understood() {
        let labels = vec![("app", "web"), ("tier", "a")];
        for (json, plain, expected) in [
            (r#"{"matchLabels":{"app":"web"}}"#, false, true),
            (r#"{"matchExpressions":[{"key":"tier","operator":"In","values":["b"]}]}"#, false, false),
            ("{}", false, true),
            (r#"{"app":"web"}"#, true, true),
            (r#"{"app":"api"}"#, true, false),
            ("{}", true, false),
            ("nonsense", false, false),
        ] {
            assert_eq!(chooses(json, &labels, plain), expected, "{json}");
        }
    }
}
