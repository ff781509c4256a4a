//! Which volume a claim gets.
//!
//! In: a claim, the volumes, where the claim's pod runs. Out: the volume that fits best. Pure.

use serde_json::Value;

use crate::daemonset::fits_node;
use crate::quantity::Quantity;
use crate::world;

/// A node that a pod with the claim was placed on.
pub type Place = crate::daemonset::Node;

/// What is to be done with a claim that has no volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The volume at this place.
    Volume(usize),
    /// The volume that the claim names belongs to another claim.
    Taken,
    /// There is none, or not yet.
    Nothing,
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// The class of a claim or volume, by its field or the old annotation.
pub fn class(object: &Value) -> &str {
    let old = object["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].as_str();
    old.unwrap_or_else(|| text(object, "/spec/storageClassName"))
}

/// Whether a volume is meant for this claim and no other.
pub fn is_reserved(volume: &Value, claim: &Value) -> bool {
    let held = &volume["spec"]["claimRef"];
    let uid = held["uid"].as_str().unwrap_or_default();
    held["name"] == claim["metadata"]["name"]
        && held["namespace"] == claim["metadata"]["namespace"]
        && (uid.is_empty() || claim["metadata"]["uid"] == uid)
}

/// The volume for a claim: the one that it names, the one that names it, else the smallest that suits it.
pub fn find(claim: &Value, volumes: &[Value], place: Option<&Place>, waits: bool) -> Found {
    let named = text(claim, "/spec/volumeName");
    if !named.is_empty() {
        return match volumes.iter().position(|volume| volume["metadata"]["name"] == named) {
            Some(at) if volumes[at]["spec"]["claimRef"].is_null() || is_reserved(&volumes[at], claim) => {
                Found::Volume(at)
            }
            Some(_) => Found::Taken,
            None => Found::Nothing,
        };
    }
    if let Some(at) = volumes.iter().position(|volume| is_reserved(volume, claim) && suits(claim, volume)) {
        return Found::Volume(at);
    }
    // Where the pod decides, nothing is bound before it has a place.
    if waits && place.is_none() {
        return Found::Nothing;
    }
    let here = |volume: &Value| match (&volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"], place) {
        (Value::Array(terms), Some(place)) => terms.iter().any(|term| fits_node(term, place)),
        _ => true,
    };
    let free =
        |volume: &Value| volume["spec"]["claimRef"].is_null() && volume["metadata"]["deletionTimestamp"].is_null();
    let fitting =
        (0..volumes.len()).filter(|at| free(&volumes[*at]) && suits(claim, &volumes[*at]) && here(&volumes[*at]));
    let size = |at: usize| Quantity::of(&volumes[at]["spec"]["capacity"]["storage"]);
    let smallest = fitting.min_by(|a, b| {
        let sizes = size(*a).partial_cmp(&size(*b)).unwrap_or(std::cmp::Ordering::Equal);
        sizes.then_with(|| text(&volumes[*a], "/metadata/name").cmp(text(&volumes[*b], "/metadata/name")))
    });
    smallest.map_or(Found::Nothing, Found::Volume)
}

/// Whether a volume has what a claim asks for.
fn suits(claim: &Value, volume: &Value) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let modes = list(&volume["spec"]["accessModes"]);
    let asked = Quantity::of(&claim["spec"]["resources"]["requests"]["storage"]).unwrap_or(Quantity::whole(0));
    let mode = |object: &Value| object["spec"]["volumeMode"].as_str().unwrap_or("Filesystem").to_string();
    class(claim) == class(volume)
        && mode(claim) == mode(volume)
        && list(&claim["spec"]["accessModes"]).iter().all(|wanted| modes.contains(wanted))
        && Quantity::of(&volume["spec"]["capacity"]["storage"]).is_some_and(|size| size >= asked)
        && chooses(&claim["spec"]["selector"], &volume["metadata"]["labels"])
}

fn chooses(selector: &Value, labels: &Value) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut pairs = selector["matchLabels"].as_object().into_iter().flatten();
    pairs.all(|(name, value)| labels[name] == *value)
        && list(&selector["matchExpressions"]).iter().all(|wanted| {
            let held = &labels[text(wanted, "/key")];
            let listed = list(&wanted["values"]).contains(held);
            match text(wanted, "/operator") {
                "In" => !held.is_null() && listed,
                "NotIn" => held.is_null() || !listed,
                "Exists" => !held.is_null(),
                "DoesNotExist" => held.is_null(),
                _ => false,
            }
        })
}

/// The phase of a volume, by what has become of the claim that it names.
pub fn phase(volume: &Value, claim: Option<&Value>) -> &'static str {
    let held = &volume["spec"]["claimRef"];
    if held.is_null() || held["uid"].as_str().unwrap_or_default().is_empty() {
        return "Available";
    }
    match claim {
        Some(claim) if claim["metadata"]["uid"] == held["uid"] => "Bound",
        _ => "Released",
    }
}

/// The claim's status once it has its volume.
pub fn bound_status(volume: &Value) -> Value {
    serde_json::json!({
        "phase": "Bound", "accessModes": volume["spec"]["accessModes"], "capacity": volume["spec"]["capacity"],
    })
}

/// When a claim got its volume by our hand, that is noted on both.
pub fn notes() -> Value {
    serde_json::json!({"pv.kubernetes.io/bound-by-controller": "yes"})
}

/// A time as it is written.
pub fn written(now: i64) -> String {
    world::rfc3339(now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn volume(name: &str, size: &str) -> Value {
        json!({"metadata": {"name": name, "labels": {"disk": name}}, "spec": {
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "capacity": {"storage": size}, "storageClassName": "local"}})
    }

    fn claim(spec: Value) -> Value {
        let mut claim = json!({"metadata": {"name": "c", "namespace": "n", "uid": "u"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}, "storageClassName": "local"}});
        for (field, value) in spec.as_object().unwrap() {
            claim["spec"][field] = value.clone();
        }
        claim
    }

    #[track_caller]
    fn check(spec: Value, volumes: &[Value], expected: Found) {
        assert_eq!(find(&claim(spec), volumes, None, false), expected);
    }

    #[test]
    fn the_smallest_that_suits_is_taken() {
        let volumes = [volume("large", "20Gi"), volume("small", "1Gi"), volume("right", "6Gi")];
        check(json!({}), &volumes, Found::Volume(2));
        check(json!({"storageClassName": "other"}), &volumes, Found::Nothing);
        check(json!({"accessModes": ["ReadWriteMany"]}), &volumes, Found::Nothing);
        check(json!({"volumeMode": "Block"}), &volumes, Found::Nothing);
        check(json!({"selector": {"matchLabels": {"disk": "large"}}}), &volumes, Found::Volume(0));
        check(json!({"volumeName": "small"}), &volumes, Found::Volume(1));
        check(json!({"volumeName": "none"}), &volumes, Found::Nothing);
    }

    #[test]
    fn reserved_volumes_are_for_their_claim() {
        let mut reserved = volume("r", "50Gi");
        reserved["spec"]["claimRef"] = json!({"namespace": "n", "name": "c"});
        check(json!({}), &[volume("v", "6Gi"), reserved.clone()], Found::Volume(1));
        reserved["spec"]["claimRef"]["name"] = json!("other");
        check(json!({}), &[reserved.clone()], Found::Nothing);
        check(json!({"volumeName": "r"}), &[reserved], Found::Taken);
    }

    #[test]
    fn a_pod_decides_where_the_class_waits_for_it() {
        let mut local = volume("l", "6Gi");
        let term = json!({"matchExpressions": [{"key": "host", "operator": "In", "values": ["a"]}]});
        local["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [term]}});
        let place = |host: &str| Place { name: host.into(), labels: json!({"host": host}), ..Place::default() };
        let found = |place: Option<&Place>| find(&claim(json!({})), &[local.clone()], place, true);
        assert_eq!(found(None), Found::Nothing);
        assert_eq!(found(Some(&place("a"))), Found::Volume(0));
        assert_eq!(found(Some(&place("b"))), Found::Nothing);
    }

    #[test]
    fn volumes_follow_their_claim() {
        let mut held = volume("v", "1Gi");
        assert_eq!(phase(&held, None), "Available");
        held["spec"]["claimRef"] = json!({"name": "c", "namespace": "n", "uid": "u"});
        assert_eq!(phase(&held, Some(&claim(json!({})))), "Bound");
        assert_eq!(phase(&held, None), "Released");
    }
}
