//! The page of an autoscaler.
//!
//! In: an object. Out: lines. Never measures anything: current values are the server's.

use serde_json::Value;

use super::kinds::both;
use super::page::Page;
use super::values::{amount, items, moment, number, or_unset, words};

/// A HorizontalPodAutoscaler (`autoscaling/v2`).
pub fn autoscaler(object: &Value, page: &mut Page) {
    let (spec, status) = (&object["spec"], &object["status"]);
    let target = &spec["scaleTargetRef"];
    both(object, page);
    page.line(0, "CreationTimestamp", moment(&object["metadata"]["creationTimestamp"]));
    page.line(0, "Reference", format!("{}/{}", words(&target["kind"]), words(&target["name"])));
    page.line(0, "Metrics", "( current / target )");
    for (i, metric) in items(&spec["metrics"]).enumerate() {
        page.raw(1, measured(metric, &status["currentMetrics"][i]));
    }
    page.line(0, "Min replicas", or_unset(&spec["minReplicas"]));
    page.line(0, "Max replicas", number(&spec["maxReplicas"]).to_string());
    if !spec["behavior"].is_null() {
        page.head(0, "Behavior");
        for (name, field) in [("Scale Up", "scaleUp"), ("Scale Down", "scaleDown")] {
            rules(name, &spec["behavior"][field], page);
        }
    }
    let [now, wanted] = ["currentReplicas", "desiredReplicas"].map(|field| number(&status[field]));
    page.line(0, &format!("{} pods", words(&target["kind"])), format!("{now} current / {wanted} desired"));
    let rows: Vec<Vec<String>> = items(&status["conditions"])
        .map(|c| ["type", "status", "reason", "message"].map(|field| words(&c[field])).to_vec())
        .collect();
    if !rows.is_empty() {
        page.head(0, "Conditions");
        page.table(1, &["Type", "Status", "Reason", "Message"], &rows);
    }
}

fn rules(name: &str, rules: &Value, page: &mut Page) {
    if rules.is_null() {
        return;
    }
    page.head(1, name);
    if let Some(seconds) = rules["stabilizationWindowSeconds"].as_i64() {
        page.raw(2, format!("Stabilization Window: {seconds} seconds"));
    }
    if items(&rules["policies"]).next().is_some() {
        page.raw(2, format!("Select Policy: {}", rules["selectPolicy"].as_str().unwrap_or("Max")));
        page.raw(2, "Policies:");
        for policy in items(&rules["policies"]) {
            let [of, value, period] = ["type", "value", "periodSeconds"].map(|field| words(&policy[field]));
            page.raw(3, format!("- Type: {of}\tValue: {value}\tPeriod: {period} seconds"));
        }
    }
}

/// The title of a metric, and what it is and shall be.
fn measured(metric: &Value, current: &Value) -> String {
    let of = metric["type"].as_str().unwrap_or("");
    let mut field = of.to_owned();
    field.get_mut(..1).map(str::make_ascii_lowercase);
    let (source, seen) = (&metric[&field], &current[&field]);
    let (target, now) = (&source["target"], &seen["current"]);
    // What is measured without a value is what Go says of nothing.
    let told = |value: &Value| if value.is_null() { "<nil>".to_owned() } else { amount(value) };
    let known = |which: &str| if seen.is_null() { "<unknown>".to_owned() } else { told(&now[which]) };
    let pair = |which: &str| format!("{} / {}", known(which), told(&target[which]));
    let share = || {
        let now = match now["averageUtilization"].as_i64() {
            Some(share) => format!("{share}% ({})", told(&now["averageValue"])),
            None => "<unknown>".to_owned(),
        };
        let wanted = target["averageUtilization"].as_i64().map_or("<auto>".to_owned(), |share| format!("{share}%"));
        format!("{now} / {wanted}")
    };
    let name = words(&source["metric"]["name"]);
    let has_average = !target["averageValue"].is_null();
    match of {
        "Resource" | "ContainerResource" => {
            let name = words(&source["name"]);
            let title = match of {
                "Resource" => format!("resource {name} on pods"),
                _ => format!("resource {name} of container \"{}\" on pods", words(&source["container"])),
            };
            if has_average {
                format!("{title}:\t{}", pair("averageValue"))
            } else {
                format!("{title}  (as a percentage of request):\t{}", share())
            }
        }
        "Pods" => format!("{name:?} on pods:\t{}", pair("averageValue")),
        "Object" => {
            let object = &source["describedObject"];
            let title = format!("\"{name}\" on {}/{}", words(&object["kind"]), words(&object["name"]));
            match target["type"] == "AverageValue" {
                true => format!("{title} (target average value):\t{}", pair("averageValue")),
                false => format!("{title} (target value):\t{}", pair("value")),
            }
        }
        "External" if has_average && now["averageValue"].is_null() => {
            format!("{name:?} (target average value):\t<unknown> / {}", told(&target["averageValue"]))
        }
        "External" if has_average => format!("{name:?} (target average value):\t{}", pair("averageValue")),
        "External" => format!("{name:?} (target value):\t{}", pair("value")),
        other => format!("<unknown metric type {other:?}>"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metrics_are_told_as_they_are_and_shall_be() {
        let resource = |target: Value| json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
        let now = json!({"type": "Resource", "resource": {"name": "cpu",
            "current": {"averageUtilization": 20, "averageValue": "10m"}}});
        let of = |field: &str, target: Value| {
            let kind = field[..1].to_uppercase() + &field[1..];
            json!({"type": kind, field: {"metric": {"name": "queue"}, "target": target}})
        };
        let share = "resource cpu on pods  (as a percentage of request):\t";
        for (metric, now, expected) in [
            (resource(json!({"averageUtilization": 50})), &Value::Null, format!("{share}<unknown> / 50%")),
            (resource(json!({"averageUtilization": 50})), &now, format!("{share}20% (10m) / 50%")),
            (resource(json!({})), &now, format!("{share}20% (10m) / <auto>")),
            (resource(json!({"averageValue": "1000m"})), &now, "resource cpu on pods:\t10m / 1".to_owned()),
            (
                of("external", json!({"averageValue": "30"})),
                &now,
                "\"queue\" (target average value):\t<unknown> / 30".to_owned(),
            ),
            (of("pods", json!({"averageValue": "30"})), &now, "\"queue\" on pods:\t<unknown> / 30".to_owned()),
            (json!({"type": "x"}), &now, "<unknown metric type \"x\">".to_owned()),
        ] {
            assert_eq!(measured(&metric, now), expected);
        }
    }
}
