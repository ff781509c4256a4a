//! Pages of what limits others: quotas, limit ranges, disruption budgets, priority classes.
//!
//! In: an object. Out: lines. Never counts anything itself: used amounts are the server's.

use serde_json::Value;

use super::page::{Page, items, joined, selector, words};

/// What the scopes of a quota mean.
const SCOPES: [(&str, &str); 5] = [
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
    ("CrossNamespacePodAffinity", "Matches all pods that have cross-namespace pod (anti)affinity terms defined."),
];

/// A ResourceQuota.
pub fn quota(object: &Value, page: &mut Page) {
    let scopes = &object["spec"]["scopes"];
    if items(scopes).next().is_some() {
        page.line(0, "Scopes", joined(scopes, ", "));
        for scope in items(scopes) {
            let meaning = SCOPES.iter().find(|(name, _)| scope == name).map_or("", |(_, meaning)| *meaning);
            page.raw(0, format!(" * {meaning}"));
        }
    }
    let status = &object["status"];
    let hard = status["hard"].as_object().into_iter().flatten();
    let rows: Vec<Vec<String>> = hard
        .map(|(resource, hard)| {
            let used = &status["used"][resource];
            vec![resource.clone(), if used.is_null() { "0".to_owned() } else { words(used) }, words(hard)]
        })
        .collect();
    page.table(0, &["Resource", "Used", "Hard"], &rows);
}

/// A LimitRange.
pub fn limits(object: &Value, page: &mut Page) {
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
                value => words(value),
            };
            let mut row = vec![words(&limit["type"]), resource.clone()];
            row.extend(FIELDS.iter().map(cell));
            rows.push(row);
        }
    }
    let head = ["Type", "Resource", "Min", "Max", "Default Request", "Default Limit", "Max Limit/Request Ratio"];
    page.table(0, &head, &rows);
}

/// A PodDisruptionBudget.
pub fn budget(object: &Value, page: &mut Page) {
    let (spec, status) = (&object["spec"], &object["status"]);
    if !spec["minAvailable"].is_null() {
        page.line(0, "Min available", words(&spec["minAvailable"]));
    } else if !spec["maxUnavailable"].is_null() {
        page.line(0, "Max unavailable", words(&spec["maxUnavailable"]));
    }
    page.line(
        0,
        "Selector",
        if spec["selector"].is_null() { "<unset>".to_owned() } else { selector(&spec["selector"]) },
    );
    page.head(0, "Status");
    for (name, field) in [
        ("Allowed disruptions", "disruptionsAllowed"),
        ("Current", "currentHealthy"),
        ("Desired", "desiredHealthy"),
        ("Total", "expectedPods"),
    ] {
        page.line(2, name, status[field].as_i64().unwrap_or(0).to_string());
    }
}

/// A PriorityClass.
pub fn priority(object: &Value, page: &mut Page) {
    page.line(0, "Value", object["value"].as_i64().unwrap_or(0).to_string());
    page.line(0, "GlobalDefault", (object["globalDefault"] == true).to_string());
    page.line(0, "PreemptionPolicy", object["preemptionPolicy"].as_str().unwrap_or("PreemptLowerPriority"));
    page.line(0, "Description", words(&object["description"]));
    page.pairs(0, "Annotations", &super::kinds::annotations(object), "=");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page;

    #[test]
    fn a_quota_is_told_resource_by_resource() {
        let object = json!({"spec": {"scopes": ["BestEffort"]},
            "status": {"hard": {"pods": "4", "cpu": "2"}, "used": {"pods": "1"}}});
        page::check(
            |page| quota(&object, page),
            "Scopes:  BestEffort\n * Matches all pods that do not have resource requirements set. These pods have a best effort quality of service.\nResource  Used  Hard\n--------  ----  ----\ncpu       0     2\npods      1     4\n",
        );
    }

    #[test]
    fn a_limit_range_has_a_row_for_each_resource() {
        let object =
            json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}, "default": {"memory": "1Gi"}}]}});
        page::check(
            |page| limits(&object, page),
            "Type       Resource  Min  Max  Default Request  Default Limit  Max Limit/Request Ratio\n----       --------  ---  ---  ---------------  -------------  -----------------------\nContainer  cpu       -    1    -                -              -\nContainer  memory    -    -    -                1Gi            -\n",
        );
    }

    #[test]
    fn a_budget_says_what_it_allows() {
        let object = json!({"spec": {"maxUnavailable": "30%", "selector": {"matchLabels": {"app": "web"}}},
            "status": {"disruptionsAllowed": 1, "currentHealthy": 3, "desiredHealthy": 2, "expectedPods": 3}});
        page::check(
            |page| budget(&object, page),
            "Max unavailable:  30%\nSelector:         app=web\nStatus:\n    Allowed disruptions:  1\n    Current:              3\n    Desired:              2\n    Total:                3\n",
        );
    }

    #[test]
    fn a_priority_class_is_short() {
        let object = json!({"value": 1000, "description": "first", "metadata": {}});
        page::check(
            |page| priority(&object, page),
            "Value:             1000\nGlobalDefault:     false\nPreemptionPolicy:  PreemptLowerPriority\nDescription:       first\nAnnotations:       <none>\n",
        );
    }
}
