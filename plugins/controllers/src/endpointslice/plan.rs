//! How the endpoints of a Service are laid into slices.
//!
//! In: wanted endpoints by address family and ports, and the slices that are there. Out: slices to make, to change and
//! to remove, as few as possible: endpoints stay where they are, changed slices are filled up first, and what is to be
//! removed is used again. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::order;

/// What all slices of one owner have in common.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// The owner's name: the beginning of the slices' names.
    pub name: String,
    pub namespace: String,
    /// The owner's reference.
    pub owner: Value,
    pub labels: Map<String, Value>,
    /// Labels that are not compared: they tell who cares.
    pub reserved: &'static [&'static str],
    /// Annotations that every slice gets when it is written; compared when `compared`.
    pub annotations: Map<String, Value>,
    pub compares_annotations: bool,
    /// A Service without endpoints has one empty slice; mirrored Endpoints have none.
    pub placeholder: bool,
    /// No slice is made any more.
    pub ends: bool,
    /// Endpoints in one slice.
    pub most: usize,
}

/// Endpoints that serve the same ports.
#[derive(Clone, Debug, Default)]
pub struct Group {
    pub ports: Vec<Value>,
    pub endpoints: Vec<Value>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create(Value),
    Update(Value),
    /// Name and UID.
    Delete(String, String),
}

/// Lays out the endpoints of one address family into the slices of that family.
pub fn plan(frame: &Frame, family: &str, groups: Vec<Group>, existing: &[Value]) -> Vec<Step> {
    let mut lay = Lay { frame, family, create: Vec::new(), update: Vec::new(), delete: Vec::new() };
    let mut by_ports: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for slice in existing {
        if owned(slice, &frame.owner) {
            by_ports.entry(ports_key(list(&slice["ports"]))).or_default().push(slice);
        } else {
            lay.delete.push(slice.clone());
        }
    }
    let mut wanted: BTreeMap<String, Group> = BTreeMap::new();
    for group in groups {
        let held = wanted.entry(ports_key(&group.ports)).or_default();
        held.ports = group.ports;
        held.endpoints.extend(group.endpoints);
    }
    for (key, group) in wanted {
        lay.fill(by_ports.remove(&key).unwrap_or_default(), group);
    }
    lay.delete.extend(by_ports.into_values().flatten().cloned());
    if frame.placeholder && existing.len() == lay.delete.len() && lay.create.is_empty() {
        let empty = lay.slice(Vec::new(), Vec::new());
        match lay.delete.as_slice() {
            [only] if is_placeholder(only, &empty) && lay.is_labelled(only) => lay.delete.clear(),
            _ => lay.create.push(empty),
        }
    }
    lay.steps()
}

struct Lay<'a> {
    frame: &'a Frame,
    family: &'a str,
    create: Vec<Value>,
    update: Vec<Value>,
    delete: Vec<Value>,
}

impl Lay<'_> {
    /// The slices of one set of ports.
    fn fill(&mut self, existing: Vec<&Value>, group: Group) {
        let mut missing = order::map(group.endpoints.into_iter().map(|endpoint| (endpoint_key(&endpoint), endpoint)));
        let (mut changed, mut unchanged): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
        for slice in existing {
            let held = list(&slice["endpoints"]);
            let mut kept = Vec::new();
            let mut differs = false;
            for endpoint in held {
                if let Some(wanted) = missing.remove(&endpoint_key(endpoint)) {
                    differs |= !same_endpoint(&wanted, endpoint);
                    kept.push(wanted);
                }
            }
            if kept.is_empty() && !held.is_empty() {
                self.delete.push(slice.clone());
                continue;
            }
            let relabelled = !self.is_labelled(slice);
            let touched = differs || kept.len() != held.len();
            let mut slice = slice.clone();
            if touched {
                slice["endpoints"] = Value::Array(kept);
            }
            if touched || relabelled { changed.push(slice) } else { unchanged.push(slice) }
        }
        order::sort_by_key(&mut changed, |slice| std::cmp::Reverse(list(&slice["endpoints"]).len()));
        for slice in &mut changed {
            pour(&mut missing, slice, self.frame.most);
        }
        while !missing.is_empty() {
            let most = self.frame.most;
            let fits = |slice: &&mut Value| list(&slice["endpoints"]).len() + missing.len() <= most;
            // The one that will be fullest.
            let place = unchanged.iter_mut().filter(fits).max_by_key(|slice| list(&slice["endpoints"]).len());
            let name = place.map(|slice| slice["metadata"]["name"].clone());
            match name.filter(|_| missing.len() < most) {
                Some(name) => {
                    let at = unchanged.iter().position(|s| s["metadata"]["name"] == name).unwrap_or(0);
                    let mut slice = unchanged.remove(at);
                    pour(&mut missing, &mut slice, self.frame.most);
                    changed.push(slice);
                }
                None => {
                    let mut slice = self.slice(group.ports.clone(), Vec::new());
                    pour(&mut missing, &mut slice, self.frame.most);
                    self.create.push(slice);
                }
            }
        }
        self.update.extend(changed);
    }

    fn slice(&self, ports: Vec<Value>, endpoints: Vec<Value>) -> Value {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "generateName": format!("{}-", self.frame.name), "namespace": self.frame.namespace,
                "ownerReferences": [self.frame.owner],
            },
            "addressType": self.family, "ports": ports, "endpoints": endpoints,
        })
    }

    fn is_labelled(&self, slice: &Value) -> bool {
        let own = |labels: &Map<String, Value>| -> Map<String, Value> {
            let all = labels.iter().filter(|(name, _)| !self.frame.reserved.contains(&name.as_str()));
            all.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        let held = slice["metadata"]["labels"].as_object().cloned().unwrap_or_default();
        let annotations = slice["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        own(&held) == own(&self.frame.labels)
            && (!self.frame.compares_annotations || annotations == self.frame.annotations)
    }

    /// A slice that is to be made takes the place of one that is to go.
    fn steps(mut self) -> Vec<Step> {
        let mut kept = Vec::new();
        for old in std::mem::take(&mut self.delete) {
            match self.create.pop() {
                Some(mut new) if owned(&old, &self.frame.owner) => {
                    new["metadata"] = old["metadata"].clone();
                    self.update.push(new);
                }
                new => {
                    self.create.extend(new);
                    kept.push(old);
                }
            }
        }
        let mut steps = Vec::new();
        let create = if self.frame.ends { Vec::new() } else { self.create };
        for (slices, step) in [(create, Step::Create as fn(Value) -> Step), (self.update, Step::Update)] {
            for mut slice in slices {
                slice["metadata"]["labels"] = Value::Object(self.frame.labels.clone());
                slice["metadata"]["annotations"] = Value::Object(self.frame.annotations.clone());
                steps.push(step(slice));
            }
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        steps.extend(kept.iter().map(|s| Step::Delete(text(&s["metadata"]["name"]), text(&s["metadata"]["uid"]))));
        steps
    }
}

/// Moves as many endpoints as fit.
fn pour(missing: &mut BTreeMap<String, Value>, slice: &mut Value, most: usize) {
    if let Some(held) = slice["endpoints"].as_array_mut() {
        while held.len() < most.max(1)
            && let Some((_, endpoint)) = missing.pop_first()
        {
            held.push(endpoint);
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn owned(slice: &Value, owner: &Value) -> bool {
    let same = |one: &Value| ["uid", "kind", "apiVersion"].iter().all(|field| one[*field] == owner[*field]);
    list(&slice["metadata"]["ownerReferences"]).iter().any(same)
}

/// Equal for the same ports in any order.
fn ports_key(ports: &[Value]) -> String {
    let one = |port: &Value| {
        let text = |field: &str| port[field].as_str().unwrap_or_default().to_string();
        (text("name"), port["port"].as_i64(), text("protocol"), text("appProtocol"))
    };
    format!("{:?}", order::set(ports.iter().map(one)))
}

/// Equal for what is the same endpoint, in whatever condition.
fn endpoint_key(endpoint: &Value) -> String {
    let addresses = order::set(list(&endpoint["addresses"]).iter().filter_map(Value::as_str));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let target = &endpoint["targetRef"];
    format!(
        "{addresses:?} {} {} {}/{}/{}",
        text(&endpoint["hostname"]),
        text(&target["uid"]),
        text(&target["namespace"]),
        text(&target["name"]),
        text(&target["kind"])
    )
}

fn same_endpoint(a: &Value, b: &Value) -> bool {
    ["nodeName", "zone"].iter().all(|field| a[*field] == b[*field])
        && ["ready", "serving", "terminating"].iter().all(|field| a["conditions"][*field] == b["conditions"][*field])
}

fn is_placeholder(slice: &Value, empty: &Value) -> bool {
    list(&slice["ports"]).is_empty()
        && list(&slice["endpoints"]).is_empty()
        && slice["addressType"] == empty["addressType"]
        && slice["metadata"]["ownerReferences"] == empty["metadata"]["ownerReferences"]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame {
            name: "web".into(),
            owner: json!({"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "s"}),
            placeholder: true,
            most: 100,
            ..Frame::default()
        }
    }

    fn endpoints(range: std::ops::Range<usize>) -> Vec<Value> {
        range.map(|i| json!({"addresses": [format!("10.1.0.{i}")], "conditions": {"ready": true}})).collect()
    }

    fn group(range: std::ops::Range<usize>) -> Group {
        Group { ports: vec![json!({"name": "", "port": 80, "protocol": "TCP"})], endpoints: endpoints(range) }
    }

    /// As it would be kept.
    fn kept(name: &str, range: std::ops::Range<usize>) -> Value {
        let frame = frame();
        json!({"metadata": {"name": name, "uid": name, "ownerReferences": [frame.owner], "labels": {}},
            "addressType": "IPv4", "ports": group(0..0).ports, "endpoints": endpoints(range)})
    }

    #[track_caller]
    fn check(groups: Vec<Group>, existing: &[Value], expected: &[&str]) {
        let steps = plan(&frame(), "IPv4", groups, existing);
        let words = steps.iter().map(|step| match step {
            Step::Create(slice) => format!("+{}", list(&slice["endpoints"]).len()),
            Step::Update(slice) => {
                format!("{}={}", slice["metadata"]["name"].as_str().unwrap(), list(&slice["endpoints"]).len())
            }
            Step::Delete(name, _) => format!("-{name}"),
        });
        assert_eq!(words.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn new_endpoints_fill_slices_of_a_hundred() {
        check(vec![group(0..3)], &[], &["+3"]);
        check(vec![group(0..250)], &[], &["+100", "+100", "+50"]);
    }

    #[test]
    fn what_is_settled_is_left_alone() {
        check(vec![group(0..3)], &[kept("a", 0..3)], &[]);
        let mut changed = group(0..3);
        changed.endpoints[1]["conditions"]["ready"] = json!(false);
        check(vec![changed], &[kept("a", 0..3)], &["a=3"]);
    }

    #[test]
    fn additions_go_where_they_fit() {
        check(vec![group(0..5)], &[kept("a", 0..3)], &["a=5"]);
        check(vec![group(0..105)], &[kept("a", 0..100)], &["+5"]);
        check(vec![group(0..60)], &[kept("a", 0..10), kept("b", 10..40)], &["b=50"]);
        check(vec![group(1..5)], &[kept("a", 0..3)], &["a=4"]);
    }

    #[test]
    fn without_endpoints_one_empty_slice_stays() {
        check(vec![], &[], &["+0"]);
        let mut empty = kept("a", 0..0);
        empty["ports"] = json!([]);
        check(vec![], &[empty.clone()], &[]);
        check(vec![group(0..2)], &[empty], &["a=2"]);
        check(vec![], &[kept("a", 0..3)], &["a=0"]);
        check(vec![], &[kept("a", 0..3), kept("b", 3..6)], &["a=0", "-b"]);
    }

    #[test]
    fn a_slice_of_an_earlier_service_goes() {
        let mut foreign = kept("a", 0..3);
        foreign["metadata"]["ownerReferences"][0]["uid"] = json!("older");
        check(vec![group(0..3)], &[foreign], &["+3", "-a"]);
    }

    #[test]
    fn labels_are_put_right() {
        let mut labelled = kept("a", 0..3);
        labelled["metadata"]["labels"] = json!({"old": "x"});
        check(vec![group(0..3)], &[labelled], &["a=3"]);
    }
}
