//! Rules in CEL: judged with the definition, and with each object.

use serde_json::json;

use super::{DEFINITIONS, WIDGETS, definition, established, widget, with_spec};
use crate::support::server;

fn schema(rule: &str) -> serde_json::Value {
    with_spec(json!({"type": "object", "properties": {"least": {"type": "integer"}, "most": {"type": "integer"},
        "free": {"type": "string"}},
        "x-kubernetes-validations": [{"rule": rule, "message": "least is above most"},
            {"rule": "!has(oldSelf.most) || self.most >= oldSelf.most", "messageExpression": "'most may not ' + 'shrink'"}]}))
}

#[tokio::test]
async fn rules_are_judged_with_the_definition_and_with_each_object() {
    let server = server().await;
    let admin = &server.admin;
    let at = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: ";
    for (rule, message) in [
        ("self.least >", "compilation failed: ERROR: <input>:1:13: Syntax error: mismatched input '<EOF>'"),
        ("self.nothing", "undefined field 'nothing'"),
        ("self.least", "cel expression must evaluate to a bool"),
        ("self.free.contains(self.free)", "Forbidden: estimated rule cost exceeds budget by factor of more than 100x"),
    ] {
        let refused = admin.post(DEFINITIONS, definition(schema(rule))).await;
        assert!(refused.text.contains(at), "{}", refused.text);
        refused.fails(422, message);
    }
    established(admin, definition(schema("self.least <= self.most"))).await;
    let made = admin.post(WIDGETS, widget("a", json!({"least": 1, "most": 2}))).await.ok();
    admin
        .post(WIDGETS, widget("b", json!({"least": 3, "most": 2})))
        .await
        .fails(422, "spec: Invalid value: least is above most");
    admin
        .post(WIDGETS, widget("b", json!({"least": 3})))
        .await
        .fails(422, "no such key: most evaluating rule: least is above most");
    let mut less = made.clone();
    less["spec"]["most"] = json!(1);
    admin.put(&format!("{WIDGETS}/a"), less).await.fails(422, "spec: Invalid value: most may not shrink");
    let mut more = made;
    more["spec"]["most"] = json!(5);
    admin.put(&format!("{WIDGETS}/a"), more).await.ok();
}
