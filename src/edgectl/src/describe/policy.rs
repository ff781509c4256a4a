//! Pages of what limits others: quotas, limit ranges, disruption budgets, priority classes; and of namespaces, which have
//! them.
//!
//! In: an object, and a namespace's quotas and limit ranges. Out: lines. Never counts anything itself: used amounts are
//! the server's.

use kedge_api::quantity::Quantity;
use serde_json::Value;

use super::kinds::{both, conditions_since};
use super::page::Page;
use super::values::{amount, flag, in_line, items, number, or_none, selector, words};

/// What the scopes of a quota mean.
const SCOPES: [(&str, &str); 4] = [
    (
        "BestEffort",
        "Matches all pods that do not have resource requirements set. These pods have a best effort quality of service.",
    ),
    (
        "NotBestEffort",
        "Matches all pods that have at least one resource requirement set. These pods have a burstable or guaranteed quality of service.",
    ),
    (
        "NotTerminating",
        "Matches all pods that do not have an active deadline. These pods usually include long running pods whose container command is not expected to terminate.",
    ),
    (
        "Terminating",
        "Matches all pods that have an active deadline. These pods have a limited lifespan on a node before being actively terminated by the system.",
    ),
];

/// The columns of limit ranges.
const LIMITS: [&str; 7] =
    ["Type", "Resource", "Min", "Max", "Default Request", "Default Limit", "Max Limit/Request Ratio"];

/// A ResourceQuota.
pub fn quota(object: &Value, page: &mut Page) {
    scopes(0, " ", object, page);
    page.table(0, &["Resource", "Used", "Hard"], &[]);
    let status = &object["status"];
    for (resource, hard) in status["hard"].as_object().into_iter().flatten() {
        let used = &status["used"][resource];
        // Both are written in the same way, which is that of the limit.
        let shown = match (Quantity::from_json(used), Quantity::from_json(hard)) {
            (Ok(used), Ok(hard)) if used.format() != hard.format() => {
                Quantity::whole(used.value(), hard.format()).to_string()
            }
            _ => amount(used),
        };
        page.raw(0, format!("{resource}\t{shown}\t{}", amount(hard)));
    }
}

fn scopes(level: usize, indent: &str, object: &Value, page: &mut Page) {
    let mut scopes: Vec<String> = items(&object["spec"]["scopes"]).map(words).collect();
    scopes.sort();
    if !scopes.is_empty() {
        page.line(level, "Scopes", scopes.join(", "));
    }
    for (_, meaning) in scopes.iter().filter_map(|scope| SCOPES.iter().find(|(name, _)| scope == name)) {
        page.raw(level, format!("{indent}* {meaning}"));
    }
}

/// A LimitRange.
pub fn limits(object: &Value, page: &mut Page) {
    page.table(0, &LIMITS, &limited(object));
}

/// A row for each resource of each limit.
fn limited(object: &Value) -> Vec<Vec<String>> {
    const FIELDS: [&str; 5] = ["min", "max", "defaultRequest", "default", "maxLimitRequestRatio"];
    let mut rows = Vec::new();
    for limit in items(&object["spec"]["limits"]) {
        let mut resources: Vec<&String> =
            FIELDS.iter().filter_map(|field| limit[*field].as_object()).flat_map(|map| map.keys()).collect();
        resources.sort();
        resources.dedup();
        for resource in resources {
            let cell = |field: &&str| match &limit[*field][resource.as_str()] {
                Value::Null => "-".to_owned(),
                value => amount(value),
            };
            let mut row = vec![words(&limit["type"]), resource.clone()];
            row.extend(FIELDS.iter().map(cell));
            rows.push(row);
        }
    }
    rows
}

/// A Namespace; `related` has its quotas and limit ranges.
pub fn namespace(object: &Value, related: &Value, page: &mut Page) {
    both(object, page);
    page.line(0, "Status", words(&object["status"]["phase"]));
    conditions_since(&object["status"]["conditions"], page);
    page.raw(0, "");
    match related["quotas"].as_array() {
        None => page.raw(0, "<the quotas cannot be listed>"),
        Some(all) if all.is_empty() => page.raw(0, "No resource quota."),
        Some(_) => quotas(&related["quotas"], page),
    }
    page.raw(0, "");
    match related["limits"].as_array() {
        None => page.raw(0, "<the limit ranges cannot be listed>"),
        Some(all) if all.is_empty() => page.raw(0, "No LimitRange resource."),
        Some(all) => {
            page.raw(0, "Resource Limits");
            let dashes = LIMITS.map(|title| "-".repeat(title.len())).join("\t");
            page.raw(0, format!(" {}\n {dashes}", LIMITS.join("\t")));
            all.iter().flat_map(limited).for_each(|row| page.raw(0, format!(" {}", row.join("\t"))));
        }
    }
}

fn quotas(all: &Value, page: &mut Page) {
    page.raw(0, "Resource Quotas");
    let mut all: Vec<&Value> = items(all).collect();
    all.sort_by_key(|quota| words(&quota["metadata"]["name"]));
    for quota in all {
        page.line(1, "Name", words(&quota["metadata"]["name"]));
        scopes(1, "", quota, page);
        page.raw(1, "Resource\tUsed\tHard");
        page.raw(1, "--------\t---\t---");
        let status = &quota["status"];
        for (resource, hard) in status["hard"].as_object().into_iter().flatten() {
            page.raw(1, format!("{resource}\t{}\t{}", amount(&status["used"][resource]), amount(hard)));
        }
    }
}

/// A PodDisruptionBudget.
pub fn budget(object: &Value, page: &mut Page) {
    let (spec, status) = (&object["spec"], &object["status"]);
    if !spec["minAvailable"].is_null() {
        page.line(0, "Min available", words(&spec["minAvailable"]));
    } else if !spec["maxUnavailable"].is_null() {
        page.line(0, "Max unavailable", words(&spec["maxUnavailable"]));
    }
    let chosen = &spec["selector"];
    page.line(0, "Selector", if chosen.is_null() { "<unset>".to_owned() } else { or_none(selector(chosen)) });
    page.head(0, "Status");
    for (name, field) in [
        ("Allowed disruptions", "disruptionsAllowed"),
        ("Current", "currentHealthy"),
        ("Desired", "desiredHealthy"),
        ("Total", "expectedPods"),
    ] {
        page.line(2, name, number(&status[field]).to_string());
    }
}

/// A PriorityClass.
pub fn priority(object: &Value, page: &mut Page) {
    page.line(0, "Value", number(&object["value"]).to_string());
    page.line(0, "GlobalDefault", flag(&object["globalDefault"]));
    page.line(0, "PreemptionPolicy", object["preemptionPolicy"].as_str().unwrap_or("PreemptLowerPriority"));
    page.line(0, "Description", words(&object["description"]));
    page.line(0, "Annotations", in_line(&object["metadata"]["annotations"]));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page::check;

    #[test]
    fn a_quota_is_told_resource_by_resource() {
        let object = json!({"spec": {"scopes": ["BestEffort"]},
            "status": {"hard": {"pods": "4", "memory": "2Gi"}, "used": {"pods": "1"}}});
        check(
            |page| quota(&object, page),
            "Scopes:  BestEffort\n * Matches all pods that do not have resource requirements set. These pods have a best effort quality of service.\nResource  Used  Hard\n--------  ----  ----\nmemory    0     2Gi\npods      1     4\n",
        );
    }

    #[test]
    fn a_limit_range_has_a_row_for_each_resource() {
        let object =
            json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}, "default": {"memory": "1Gi"}}]}});
        check(
            |page| limits(&object, page),
            "Type       Resource  Min  Max  Default Request  Default Limit  Max Limit/Request Ratio\n----       --------  ---  ---  ---------------  -------------  -----------------------\nContainer  cpu       -    1    -                -              -\nContainer  memory    -    -    -                1Gi            -\n",
        );
    }

    #[test]
    fn a_namespace_has_its_quotas_and_limits() {
        let quota = json!({"metadata": {"name": "q"}, "status": {"hard": {"pods": "4"}, "used": {"pods": "1"}}});
        let limit = json!({"spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}}]}});
        let object = json!({"metadata": {}, "status": {"phase": "Active"}});
        check(
            |page| namespace(&object, &json!({"quotas": [quota], "limits": [limit]}), page),
            "Labels:       <none>\nAnnotations:  <none>\nStatus:       Active\n\nResource Quotas\n  Name:     q\n  Resource  Used  Hard\n  --------  ---   ---\n  pods      1     4\n\nResource Limits\n Type  Resource  Min  Max  Default Request  Default Limit  Max Limit/Request Ratio\n ----  --------  ---  ---  ---------------  -------------  -----------------------\n Pod   cpu       -    1    -                -              -\n",
        );
        check(
            |page| namespace(&object, &json!({"limits": []}), page),
            "Labels:       <none>\nAnnotations:  <none>\nStatus:       Active\n\n<the quotas cannot be listed>\n\nNo LimitRange resource.\n",
        );
    }

    #[test]
    fn a_budget_says_what_it_allows() {
        let object = json!({"spec": {"maxUnavailable": "30%", "selector": {"matchLabels": {"app": "web"}}},
            "status": {"disruptionsAllowed": 1, "currentHealthy": 3, "desiredHealthy": 2, "expectedPods": 3}});
        check(
            |page| budget(&object, page),
            "Max unavailable:  30%\nSelector:         app=web\nStatus:\n    Allowed disruptions:  1\n    Current:              3\n    Desired:              2\n    Total:                3\n",
        );
    }

    #[test]
    fn a_priority_class_is_short() {
        let object = json!({"value": 1000, "description": "first", "metadata": {}});
        check(
            |page| priority(&object, page),
            "Value:             1000\nGlobalDefault:     false\nPreemptionPolicy:  PreemptLowerPriority\nDescription:       first\nAnnotations:       <none>\n",
        );
    }
}
