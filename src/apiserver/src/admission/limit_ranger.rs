//! LimitRanger: what containers, pods and claims of a namespace ask for stays within the namespace's limit ranges.
//!
//! In: new pods and claims, changed claims, resized pods. Out: defaults for containers that say nothing, noted in an
//! annotation; 403 for what is below, above or too uneven.

use async_trait::async_trait;
use kedge_api::kinds::Sub;
use kedge_api::meta::{self, at, list_at, text};
use kedge_api::quantity::Quantity;
use kedge_api::resources::{self, Amounts, Counting, Half};
use kedge_api::status::Status;
use kedge_api::{Object, resources::of_container};
use serde_json::{Map, Value, json};

use super::presence::Bound;
use super::{Admission, Attributes, Operation, Reader};

/// See the module.
#[derive(Debug)]
pub struct LimitRanger;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// The largest number that thousandths can be counted of.
const MILLI_MOST: i64 = i64::MAX / 1000;

#[async_trait]
impl Admission for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns("", "pods") || attributes.concerns("", "persistentvolumeclaims")
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        object: &mut Object,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        if applies(attributes, old, reader) && attributes.concerns("", "pods") {
            for range in reader.list("", "limitranges", attributes.namespace).await? {
                fill(object, &range);
            }
        }
        Ok(())
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        object: Option<&Object>,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let Some(object) = object.filter(|_| applies(attributes, old, reader)) else { return Ok(()) };
        for range in reader.list("", "limitranges", attributes.namespace).await? {
            let faults = match &*attributes.kind.plural {
                "pods" => judge_pod(object, &range),
                _ => judge_claim(object, &range),
            };
            if !faults.is_empty() {
                return Err(attributes.forbidden(aggregate(faults)));
            }
        }
        Ok(())
    }
}

/// Whether the write can touch what is limited, and anything is.
fn applies(attributes: &Attributes<'_>, old: Option<&Object>, reader: Reader<'_>) -> bool {
    let touches = match attributes.operation {
        Operation::Create => attributes.is("", "pods") || attributes.is("", "persistentvolumeclaims"),
        // What containers ask for cannot change but by a resize.
        Operation::Update => attributes.is("", "persistentvolumeclaims") || attributes.is_pod(Sub::Resize),
        Operation::Delete | Operation::Connect => false,
    };
    touches && reader.any(Bound::LimitRanges) && old.is_none_or(|old| meta::deletion_timestamp(old).is_none())
}

/// As Kubernetes prints several errors.
fn aggregate(mut faults: Vec<String>) -> String {
    let mut seen: Vec<String> = Vec::with_capacity(faults.len());
    faults.retain(|fault| {
        !seen.contains(fault) && {
            seen.push(fault.clone());
            true
        }
    });
    match faults.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// Gives containers the defaults of a limit range.
fn fill(pod: &mut Object, range: &Object) {
    let (mut requests, mut limits) = (Map::new(), Map::new());
    for item in list_at(range, &["spec", "limits"]).iter().filter(|item| text(item, "type") == "Container") {
        for (into, field) in [(&mut requests, "defaultRequest"), (&mut limits, "default")] {
            let amounts = at(item, &[field]).and_then(Value::as_object).into_iter().flatten();
            into.extend(amounts.map(|(name, amount)| (name.clone(), amount.clone())));
        }
    }
    let mut notes = Vec::new();
    for (list, called) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = text(container, "name").to_owned();
            for (defaults, half, word) in [(&requests, Half::Requests, "request"), (&limits, Half::Limits, "limit")] {
                let set = missing(container, defaults, half);
                if !set.is_empty() {
                    notes.push(format!("{} {word} for {called} {name}", set.join(", ")));
                }
            }
        }
    }
    if !notes.is_empty() {
        meta::set_annotation(pod, ANNOTATION, &format!("LimitRanger plugin set: {}", notes.join("; ")));
    }
}

/// Puts defaults where nothing was said; out: the names of what was put, sorted.
fn missing(container: &mut Value, defaults: &Map<String, Value>, half: Half) -> Vec<String> {
    let said = |name: &str| at(container, &["resources", half.name(), name]).is_some();
    let set: Vec<String> = defaults.keys().filter(|name| !said(name)).cloned().collect();
    if !set.is_empty() {
        let all = meta::child_mut(container, "resources").entry(half.name()).or_insert(Value::Null);
        if !all.is_object() {
            *all = json!({});
        }
        for name in &set {
            all[name] = defaults[name].clone();
        }
    }
    set
}

fn judge_pod(pod: &Object, range: &Object) -> Vec<String> {
    let mut faults = Vec::new();
    let spec = Counting { overhead: false, status: false };
    for item in list_at(range, &["spec", "limits"]) {
        match text(item, "type") {
            "Container" => {
                let all = ["containers", "initContainers"].iter().flat_map(|list| list_at(pod, &["spec", list]));
                for container in all {
                    let (requests, limits) =
                        (of_container(container, Half::Requests), of_container(container, Half::Limits));
                    judge(item, "Container", &requests, &limits, &mut faults);
                }
            }
            "Pod" => {
                let total = |half| resources::of_pod(pod, half, spec);
                judge(item, "Pod", &total(Half::Requests), &total(Half::Limits), &mut faults);
            }
            _ => {}
        }
    }
    faults
}

/// Claims only ask; they have no limits.
fn judge_claim(claim: &Object, range: &Object) -> Vec<String> {
    const TYPE: &str = "PersistentVolumeClaim";
    let requests = resources::read(at(claim, &["spec", "resources", "requests"]));
    let mut faults = Vec::new();
    for item in list_at(range, &["spec", "limits"]).iter().filter(|item| text(item, "type") == TYPE) {
        for (name, least) in resources::read(item.get("min")) {
            faults.extend(below(TYPE, &name, least, &requests, &Amounts::new()));
        }
        for (name, most) in resources::read(item.get("max")) {
            faults.extend(match requests.get(&name) {
                None => Some(format!("maximum {name} usage per {TYPE} is {most}.  No request is specified")),
                Some(request) if above(request, &most, &[]) => {
                    Some(format!("maximum {name} usage per {TYPE} is {most}, but request is {request}"))
                }
                Some(_) => None,
            });
        }
    }
    faults
}

fn judge(item: &Value, kind: &str, requests: &Amounts, limits: &Amounts, faults: &mut Vec<String>) {
    for (name, least) in resources::read(item.get("min")) {
        faults.extend(below(kind, &name, least, requests, limits));
    }
    for (name, most) in resources::read(item.get("max")) {
        let (request, limit) = (requests.get(&name), limits.get(&name));
        faults.extend(match (request, limit) {
            (_, None) => Some(format!("maximum {name} usage per {kind} is {most}.  No limit is specified")),
            (_, Some(limit)) if above(limit, &most, request.as_slice()) => {
                Some(format!("maximum {name} usage per {kind} is {most}, but limit is {limit}"))
            }
            (Some(request), Some(limit)) if above(request, &most, &[limit]) => {
                Some(format!("maximum {name} usage per {kind} is {most}, but request is {request}"))
            }
            _ => None,
        });
    }
    for (name, most) in resources::read(item.get("maxLimitRequestRatio")) {
        faults.extend(uneven(kind, &name, most, requests.get(&name), limits.get(&name)));
    }
}

fn below(kind: &str, name: &str, least: Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let (request, limit) = (requests.get(name), limits.get(name));
    match (request, limit) {
        (None, _) => Some(format!("minimum {name} usage per {kind} is {least}.  No request is specified")),
        (Some(request), _) if above(&least, request, limit.as_slice()) => {
            Some(format!("minimum {name} usage per {kind} is {least}, but request is {request}"))
        }
        (Some(request), Some(limit)) if above(&least, limit, &[request]) => {
            Some(format!("minimum {name} usage per {kind} is {least}, but limit is {limit}"))
        }
        _ => None,
    }
}

fn uneven(
    kind: &str,
    name: &str,
    most: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let begin = format!("{name} max limit to request ratio per {kind} is {most}, but");
    let Some(request) = request.filter(|r| !r.is_zero()) else {
        return Some(format!("{begin} no request is specified or request is 0"));
    };
    let Some(limit) = limit.filter(|l| !l.is_zero()) else {
        return Some(format!("{begin} no limit is specified or limit is 0"));
    };
    let fine = [request, limit, &most].iter().all(|amount| amount.value() <= MILLI_MOST);
    let count = |amount: &Quantity| if fine { amount.milli_value() } else { amount.value() };
    let ratio = count(limit) as f64 / count(request) as f64;
    let (seen, allowed) = match most.value() <= MILLI_MOST {
        true => (ratio * 1000.0, most.milli_value() as f64),
        false => (ratio, most.value() as f64),
    };
    (seen > allowed).then(|| format!("{begin} provided ratio is {ratio:.6}"))
}

/// Compared in thousandths, or in whole units where these or `others` are too large for that, as Kubernetes does.
fn above(amount: &Quantity, bound: &Quantity, others: &[&Quantity]) -> bool {
    let fine = [amount, bound].into_iter().chain(others.iter().copied()).all(|a| a.value() <= MILLI_MOST);
    if fine { amount.milli_value() > bound.milli_value() } else { amount.value() > bound.value() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(item: Value) -> Value {
        json!({"spec": {"limits": [item]}})
    }

    fn pod(requests: Value, limits: Value) -> Value {
        json!({"spec": {"containers": [{"name": "c", "resources": {"requests": requests, "limits": limits}}]}})
    }

    #[track_caller]
    fn check(pod: Value, item: Value, expected: &str) {
        let faults = judge_pod(&pod, &range(item));
        assert_eq!(if faults.is_empty() { String::new() } else { aggregate(faults) }, expected);
    }

    #[test]
    fn defaults_are_put_and_noted() {
        let mut object = json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "resources": {"limits": {"cpu": "2"}}}],
            "initContainers": [{"name": "i"}]}});
        let limits =
            json!({"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}});
        fill(&mut object, &range(limits));
        assert_eq!(
            object["spec"]["containers"][1]["resources"],
            json!({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "100m"}})
        );
        assert_eq!(
            meta::annotation(&object, ANNOTATION),
            Some(
                "LimitRanger plugin set: cpu request for container a; cpu, memory limit for container a; \
                 cpu request for container b; memory limit for container b; cpu request for init container i; \
                 cpu, memory limit for init container i"
            )
        );
        let before = object.clone();
        fill(&mut object, &range(json!({"type": "Pod", "max": {"cpu": "1"}})));
        assert_eq!(object, before);
    }

    #[test]
    fn too_little_and_too_much_is_refused() {
        let least = json!({"type": "Container", "min": {"cpu": "50m", "memory": "100Mi"}});
        check(pod(json!({"cpu": "50m", "memory": "100Mi"}), json!({})), least.clone(), "");
        check(
            pod(json!({"cpu": "10m", "memory": "50Mi"}), json!({"memory": "50Mi"})),
            least.clone(),
            "[minimum cpu usage per Container is 50m, but request is 10m, minimum memory usage per Container is 100Mi, but request is 50Mi]",
        );
        check(
            pod(json!({"cpu": "1"}), json!({})),
            least,
            "minimum memory usage per Container is 100Mi.  No request is specified",
        );
        let most = json!({"type": "Container", "max": {"cpu": "1"}});
        check(
            pod(json!({}), json!({"cpu": "2"})),
            most.clone(),
            "maximum cpu usage per Container is 1, but limit is 2",
        );
        check(pod(json!({}), json!({})), most, "maximum cpu usage per Container is 1.  No limit is specified");
        let total = json!({"type": "Pod", "max": {"cpu": "1"}});
        let mut two = pod(json!({}), json!({"cpu": "600m"}));
        let again = two["spec"]["containers"][0].clone();
        two["spec"]["containers"] = json!([again, again]);
        check(two, total, "maximum cpu usage per Pod is 1, but limit is 1200m");
    }

    #[test]
    fn the_ratio_of_limit_to_request_is_bound() {
        let item = json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "1.5"}});
        check(pod(json!({"cpu": "1"}), json!({"cpu": "1500m"})), item.clone(), "");
        check(
            pod(json!({"cpu": "1"}), json!({"cpu": "2"})),
            item.clone(),
            "cpu max limit to request ratio per Container is 1500m, but provided ratio is 2.000000",
        );
        check(
            pod(json!({}), json!({"cpu": "2"})),
            item,
            "cpu max limit to request ratio per Container is 1500m, but no request is specified or request is 0",
        );
    }

    #[test]
    fn claims_have_a_size() {
        let item =
            range(json!({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}));
        let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
        assert!(judge_claim(&claim("1Gi"), &item).is_empty());
        assert_eq!(
            judge_claim(&claim("3Gi"), &item),
            ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"]
        );
        assert_eq!(
            judge_claim(&claim("1Mi"), &item),
            ["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"]
        );
    }
}
