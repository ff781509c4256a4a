//! Roles, bindings, signing requests and leases in tables.

use std::time::SystemTime;

use serde_json::Value;

use super::Printer;
use super::column::{Column, age, name};
use super::text::{self, NONE};
use crate::Object;
use crate::clock;
use crate::meta::{self, int_at, list_at, text_at};

const BINDING: &[Column] = &[
    name(),
    Column::text("Role", "The role that is bound."),
    age(),
    Column::text("Users", "Users in the binding").wide(),
    Column::text("Groups", "Groups in the binding").wide(),
    Column::text("ServiceAccounts", "ServiceAccounts in the binding").wide(),
];
const REQUEST: &[Column] = &[
    name(),
    age(),
    Column::text("SignerName", "Who is to sign."),
    Column::text("Requestor", "Who asked."),
    Column::text("RequestedDuration", "How long the certificate is to hold."),
    Column::text("Condition", "Whether it was approved, denied, issued."),
];
const LEASE: &[Column] = &[name(), Column::text("Holder", "Who holds the lease."), age()];

pub(super) fn printer(kind: &str) -> Option<Printer> {
    let printer = match kind {
        "RoleBinding" | "ClusterRoleBinding" => Printer { columns: BINDING, cells: binding },
        "CertificateSigningRequest" => Printer { columns: REQUEST, cells: request },
        "Lease" => Printer {
            columns: LEASE,
            cells: |object, now| {
                let holder = text_at(object, &["spec", "holderIdentity"]);
                vec![meta::name(object).into(), holder.into(), text::age(object, now)]
            },
        },
        _ => return None,
    };
    Some(printer)
}

fn binding(object: &Object, now: SystemTime) -> Vec<Value> {
    let role = format!("{}/{}", text_at(object, &["roleRef", "kind"]), text_at(object, &["roleRef", "name"]));
    let subjects = |kind: &str| {
        let list = list_at(object, &["subjects"]).iter().filter(|s| meta::text(s, "kind") == kind);
        let names: Vec<String> = list
            .map(|s| match kind {
                "ServiceAccount" => format!("{}/{}", meta::text(s, "namespace"), meta::text(s, "name")),
                _ => meta::text(s, "name").to_string(),
            })
            .collect();
        Value::from(names.join(", "))
    };
    vec![
        meta::name(object).into(),
        role.into(),
        text::age(object, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

fn request(object: &Object, now: SystemTime) -> Vec<Value> {
    let conditions = list_at(object, &["status", "conditions"]);
    let has = |kind: &str| conditions.iter().any(|c| meta::text(c, "type") == kind);
    let mut status = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_string();
    if has("Failed") {
        status.push_str(",Failed");
    }
    if !text_at(object, &["status", "certificate"]).is_empty() {
        status.push_str(",Issued");
    }
    let duration = int_at(object, &["spec", "expirationSeconds"]).map_or_else(|| NONE.to_string(), clock::human);
    vec![
        meta::name(object).into(),
        text::age(object, now),
        text_at(object, &["spec", "signerName"]).into(),
        text_at(object, &["spec", "username"]).into(),
        duration.into(),
        status.into(),
    ]
}
