//! Kinds of alpha and beta versions, which are only served where they are asked for.
//!
//! In: an object, on update also the old one. Out: faults. `group` judges what is scheduled together, `trust` what
//! certificates and trust bundles say.

mod group;
mod trust;

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, IMMUTABLE, Out};
use super::condition;
use crate::field::FieldError;
use crate::name::{self, Faults};

pub(super) use group::{pod_group, pod_group_status, workload};
pub(super) use trust::{pod_certificate, pod_certificate_status, trust_bundle};

/// Pools that one request is told at most.
const POOLS_MOST: i64 = 1000;
const CONDITIONS_MOST: usize = 10;

/// Who would like to lead, and with which version.
pub(super) fn lease_candidate(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    out.filled(&spec.get("leaseName"));
    let version = |at: &At<'_, '_>, out: &mut Out| match (at.text(), kedge_cel::Semver::parse(at.text())) {
        ("", _) => None,
        (_, Ok(version)) => Some(version),
        (_, Err(_)) => {
            out.invalid(at, "must be a valid semantic version");
            None
        }
    };
    let (emulated, binary) = (spec.get("emulationVersion"), spec.get("binaryVersion"));
    let emulates = version(&emulated, out);
    out.filled(&binary);
    let is = version(&binary, out);
    if let (Some(is), Some(emulates)) = (&is, &emulates)
        && is.compare(emulates).is_lt()
    {
        out.invalid(&binary, "must be greater than or equal to `emulationVersion`");
    }
    let strategy = spec.get("strategy");
    match strategy.text() {
        "" => out.required(&strategy, ""),
        "OldestEmulationVersion" => {
            if emulates.is_none() || emulated.text() == "0.0.0" {
                out.required(&emulated, "must be specified when `strategy` is 'OldestEmulationVersion'");
            }
        }
        // Kubernetes names the field twice.
        text if text.contains('/') => out.form_of(&strategy.get("strategy"), text, name::check_qualified),
        text => {
            let path = strategy.path.child("strategy");
            out.push(FieldError::not_supported(&path, text, &["OldestEmulationVersion"]));
        }
    }
    if let Some(old) = old {
        out.immutable(&spec.get("leaseName"), &old["spec"]["leaseName"]);
    }
}

/// A resource whose objects are to be written anew.
pub(super) fn migration(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    let of = spec.get("resource");
    let one = |at: &At<'_, '_>, check: fn(&str) -> Result<(), Faults>, out: &mut Out| {
        if let Err(faults) = check(at.text()) {
            out.invalid(at, faults.join(","));
        }
    };
    let (resource, group) = (of.get("resource"), of.get("group"));
    match resource.text() {
        "" => out.required(&resource, "resource is required to be set"),
        _ => one(&resource, name::check_label_1035, out),
    }
    if !group.text().is_empty() {
        one(&group, name::check_subdomain, out);
    }
    if let Some(old) = old {
        out.immutable(&spec, &old["spec"]);
    }
}

/// How far that is.
pub(super) fn migration_status(object: &Value, old: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    let (version, conditions) = (status.get("resourceVersion"), status.get("conditions"));
    let digits = |text: &str| !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(version.text()) {
        out.invalid(&version, format!("resource version is not well formed: {}", version.text()));
    }
    condition::all(&conditions, out);
    let before = At::root(old, "status");
    if !before.text_of("resourceVersion").is_empty() && before.text_of("resourceVersion") != version.text() {
        out.push(FieldError::invalid(&version.path, version.text(), IMMUTABLE));
    }
    let holds = |at: &At<'_, '_>, kind: &str| {
        let list = at.get("conditions");
        let first = list.items().find(|one| one.text_of("type") == kind);
        first.is_some_and(|one| one.text_of("status") == "True")
    };
    if holds(&status, "Succeeded") && holds(&status, "Failed") {
        out.invalid(&conditions, "Both success and failed conditions cannot be true at the same time");
    }
    for (kind, word) in [("Succeeded", "Success"), ("Failed", "Failed")] {
        if holds(&before, kind) && !holds(&status, kind) {
            out.invalid(&conditions, format!("{word} condition cannot be set to false once it is true"));
        }
    }
}

/// The name of a StorageVersion: `apps.deployments`.
pub(super) fn check_group_and_resource(text: &str) -> Result<(), Faults> {
    let Some((group, resource)) = text.rsplit_once('.') else {
        return Err(vec!["name must be in the form of <group>.<resource>".into()]);
    };
    let told = |part: &str, check: Result<(), Faults>| -> Faults {
        check.err().unwrap_or_default().iter().map(|fault| format!("the {part} segment {fault}").into()).collect()
    };
    let mut faults = told("group", name::check_subdomain(group));
    faults.extend(told("resource", name::check_label_1035(resource)));
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// In which version each API server keeps a resource.
pub(super) fn storage_version(object: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    let servers = status.get("storageVersions");
    let mut seen = BTreeSet::new();
    for server in servers.items() {
        let id = server.get("apiServerID");
        if !seen.insert(id.text()) {
            out.push(FieldError::duplicate(&id.path, id.text()));
        }
        out.form(&id, name::check_subdomain);
        let (kept, read) = (server.get("encodingVersion"), server.get("decodableVersions"));
        api_version(&kept, out);
        read.items().for_each(|one| api_version(&one, out));
        let reads = |text: &str| read.items().any(|one| one.text() == text);
        if !reads(kept.text()) {
            out.invalid(&read, format!("decodableVersions must include encodingVersion {}", kept.text()));
        }
        for served in server.get("servedVersions").items() {
            api_version(&served, out);
            if !reads(served.text()) {
                let all: Vec<&str> = read.items().map(|one| one.text()).collect();
                let text = "must be included in decodableVersions";
                out.invalid(
                    &served,
                    format!("individual served version : {} {text} : [{}]", served.text(), all.join(" ")),
                );
            }
        }
    }
    common_version(&status, &servers, out);
    let mut kinds: Vec<&str> = Vec::new();
    let conditions = status.get("conditions");
    for (i, condition) in conditions.items().enumerate() {
        // Kubernetes leaves the name of the list out.
        let condition = At { value: condition.value, path: status.path.index(i) };
        let (kind, truth) = (condition.get("type"), condition.get("status"));
        if let Some(first) = kinds.iter().rposition(|known| *known == kind.text()) {
            let text = "the type of the condition is not unique, it also appears in conditions";
            out.invalid(&kind, format!("{text}[{first}]"));
        }
        kinds.push(kind.text());
        out.form(&kind, name::check_qualified);
        out.form(&truth, name::check_qualified);
        out.filled(&condition.get("reason"));
        out.filled(&condition.get("message"));
    }
}

/// The version that all servers keep it in, if it is the same one.
fn common_version(status: &At<'_, '_>, servers: &At<'_, '_>, out: &mut Out) {
    let mut kept = servers.items().map(|server| server.text_of("encodingVersion"));
    let common = kept.next().filter(|first| kept.all(|other| other == *first));
    let said = status.get("commonEncodingVersion");
    match (common, said.value.as_str()) {
        (None, Some(_)) => out.invalid(
            &said,
            "should be nil if servers do not agree on the same encoding version, or if there is no server reporting the \
             supported versions yet",
        ),
        (Some(common), None) => out.invalid(&said, format!("the common encoding version is {common}")),
        (Some(common), Some(said_text)) if common != said_text => {
            out.invalid(&said, format!("the actual common encoding version is {common}"));
        }
        _ => {}
    }
}

/// `v1` or `apps/v1`.
fn api_version(at: &At<'_, '_>, out: &mut Out) {
    const EMPTY: &str = "must be non-empty";
    let mut faults = Vec::new();
    let (group, version) = match at.text().split('/').collect::<Vec<_>>()[..] {
        [version] => (None, version),
        [group, version] => (Some(group), version),
        _ => {
            let rule = "an apiVersion is a DNS-1035 label, which must consist of lower case alphanumeric characters or \
                        '-', start with an alphabetic character, and end with an alphanumeric character";
            let text = name::form(rule, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]);
            out.invalid(
                at,
                format!("{text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyVersion')"),
            );
            return;
        }
    };
    let mut add = |part: &str, text: &str, check: fn(&str) -> Result<(), Faults>| match text {
        "" => faults.push(format!("{part} part: {EMPTY}")),
        text => {
            faults.extend(check(text).err().unwrap_or_default().iter().map(|fault| format!("{part} part: {fault}")))
        }
    };
    if let Some(group) = group {
        add("group", group, name::check_subdomain);
    }
    add("version", version, name::check_label_1035);
    if !faults.is_empty() {
        out.invalid(at, faults.join(","));
    }
}

/// A question about the devices of a driver.
pub(super) fn pool_request(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    if let Some(old) = old {
        if spec.value != &old["spec"] {
            out.push(FieldError::invalid(&spec.path, Value::Null, IMMUTABLE));
        }
        return;
    }
    caseless(&spec.get("driver"), out);
    let pool = spec.get("poolName");
    if pool.is_set() {
        pool_name(&pool, out);
    }
    at_least(&spec.get("limit"), 1, out);
    if spec.get("limit").int().is_some_and(|n| n > POOLS_MOST) {
        out.invalid(&spec.get("limit"), format!("must be less than or equal to {POOLS_MOST}"));
    }
}

/// The answer, which is given once.
pub(super) fn pool_request_status(object: &Value, old: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    if !old["status"].is_null() {
        out.immutable(&status, &old["status"]);
        return;
    }
    if !status.is_set() {
        return;
    }
    let conditions = status.get("conditions");
    if conditions.len() > CONDITIONS_MOST {
        out.push(FieldError::too_many(&conditions.path, conditions.len(), CONDITIONS_MOST));
    }
    condition::all(&conditions, out);
    match status.get("poolCount") {
        count if !count.is_set() => out.required(&count, ""),
        count => at_least(&count, 0, out),
    }
    let pools = status.get("pools");
    if pools.len() > POOLS_MOST as usize {
        out.push(FieldError::too_many(&pools.path, pools.len(), POOLS_MOST as usize));
        return;
    }
    for pool in pools.items() {
        const LONGEST_ERROR: usize = 256;
        caseless(&pool.get("driver"), out);
        if out.filled(&pool.get("poolName")) {
            pool_name(&pool.get("poolName"), out);
        }
        for (field, least) in [
            ("generation", 0),
            ("resourceSliceCount", 1),
            ("totalDevices", 0),
            ("allocatedDevices", 0),
            ("availableDevices", 0),
            ("unavailableDevices", 0),
        ] {
            at_least(&pool.get(field), least, out);
        }
        out.optional_form(&pool.get("nodeName"), name::check_subdomain);
        if pool.text_of("validationError").len() > LONGEST_ERROR {
            out.push(FieldError::too_long(&pool.get("validationError").path, LONGEST_ERROR));
        }
    }
}

/// A domain in any case.
fn caseless(at: &At<'_, '_>, out: &mut Out) {
    if out.filled(at)
        && let Err(faults) = name::check_subdomain(&at.text().to_ascii_lowercase())
    {
        faults.into_iter().for_each(|fault| out.invalid(at, fault));
    }
}

fn at_least(at: &At<'_, '_>, least: i64, out: &mut Out) {
    if at.int().is_some_and(|n| n < least) {
        out.invalid(at, format!("must be greater than or equal to {least}"));
    }
}

fn pool_name(at: &At<'_, '_>, out: &mut Out) {
    const MOST: usize = 253;
    if at.text().len() > MOST {
        out.push(FieldError::too_long(&at.path, MOST));
    }
    for (i, part) in at.text().split('/').enumerate() {
        match part {
            "" => out.invalid(at, format!("segment {i}: must not be empty")),
            part => {
                let faults = name::check_subdomain(part).err().unwrap_or_default();
                faults
                    .iter()
                    .for_each(|fault| out.push(FieldError::invalid(&at.path, part, format!("segment {i}: {fault}"))));
            }
        }
    }
}
