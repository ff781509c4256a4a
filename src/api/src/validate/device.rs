//! Dynamic resource allocation: device classes, claims and their templates.
//!
//! In: an object, on update also the old one. Out: faults. `selector` judges expressions, `slice`
//! slices and taint rules, `status` what is allocated.

mod selector;
mod slice;
mod status;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::at::{At, Out};
use super::pod;
use crate::field::FieldError;
use crate::meta;
use crate::name;

pub(super) use slice::{slice, taint_rule, taint_rule_status};
pub(super) use status::claim as claim_status;

const SELECTORS_MOST: usize = 32;
const REQUESTS_MOST: usize = 32;
const CONSTRAINTS_MOST: usize = 32;
const CONFIGS_MOST: usize = 32;
/// Most requests of which the first that can be met is.
const ALTERNATIVES_MOST: usize = 8;
const TOLERATIONS_MOST: usize = 16;
const EXPRESSION_MOST: usize = 10 * 1024;
const PARAMETERS_MOST: usize = 10 * 1024;
/// Longest name of an attribute.
const ID_MOST: usize = 32;
const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

pub(super) fn class(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    selectors(&spec.get("selectors"), out);
    let config = spec.get("config");
    if limit(&config, CONFIGS_MOST, out) {
        for one in config.items() {
            opaque(&one, out);
        }
    }
    let extended = spec.get("extendedResourceName");
    if extended.is_set() && !pod::extended(extended.text()) {
        out.invalid(&extended, "must be a valid extended resource name");
    }
}

pub(super) fn claim(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    match old {
        None => claim_spec(&spec, out),
        Some(old) => out.immutable(&spec, old.get("spec").unwrap_or(&Value::Null)),
    }
}

pub(super) fn claim_template(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    match old {
        None => {
            super::metadata::of_template(&spec.get("metadata"), out);
            claim_spec(&spec.get("spec"), out);
        }
        Some(old) => out.immutable(&spec, old.get("spec").unwrap_or(&Value::Null)),
    }
}

/// The names of a claim's requests, each with those of its alternatives.
#[derive(Default)]
struct Names<'v>(BTreeMap<&'v str, BTreeSet<&'v str>>);

impl<'v> Names<'v> {
    fn of(claim: &'v Value) -> Names<'v> {
        let requests = meta::list_at(claim, &["devices", "requests"]).iter().map(|request| {
            let first = meta::list_at(request, &["firstAvailable"]).iter();
            (meta::text(request, "name"), first.map(|one| meta::text(one, "name")).collect())
        });
        Names(requests.collect())
    }

    fn has(&self, text: &str) -> bool {
        match text.split_once('/') {
            None => self.0.contains_key(text),
            Some((main, sub)) => self.0.get(main).is_some_and(|subs| subs.contains(sub)),
        }
    }

    /// A reference to a request, or to one of its alternatives.
    fn refer(&self, at: &At<'_, '_>, out: &mut Out) {
        let text =
            "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
        if at.text().matches('/').count() > 1 {
            out.push(FieldError::invalid(&at.path, at.text(), text));
            return;
        }
        for part in at.text().split('/') {
            out.form_of(at, part, name::check_label);
        }
        if !self.has(at.text()) {
            out.push(FieldError::invalid(&at.path, at.text(), text));
        }
    }

    fn refer_all(&self, list: &At<'_, '_>, out: &mut Out) {
        if limit(list, REQUESTS_MOST, out) {
            list.items().for_each(|one| self.refer(&one, out));
            unique(list, |one| one.text().to_owned(), out);
        }
    }
}

fn claim_spec(at: &At<'_, '_>, out: &mut Out) {
    let names = Names::of(at.value);
    let devices = at.get("devices");
    let requests = devices.get("requests");
    if limit(&requests, REQUESTS_MOST, out) {
        requests.items().for_each(|one| request(&one, out));
        unique(&requests, |one| one.text_of("name").to_owned(), out);
    }
    let constraints = devices.get("constraints");
    if limit(&constraints, CONSTRAINTS_MOST, out) {
        for constraint in constraints.items() {
            names.refer_all(&constraint.get("requests"), out);
            let (same, distinct) = (constraint.get("matchAttribute"), constraint.get("distinctAttribute"));
            if same.is_set() {
                full_name(&same, out);
            } else if distinct.is_set() {
                full_name(&distinct, out);
            } else {
                let text = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
                out.required(&constraint, text);
            }
        }
    }
    let config = devices.get("config");
    if limit(&config, CONFIGS_MOST, out) {
        for one in config.items() {
            names.refer_all(&one.get("requests"), out);
            opaque(&one, out);
        }
    }
}

fn request(at: &At<'_, '_>, out: &mut Out) {
    out.form(&at.get("name"), name::check_label);
    let (exactly, first) = (at.get("exactly"), at.get("firstAvailable"));
    match (exactly.is_set(), first.len() > 0) {
        (false, false) => out.required(at, "exactly one of `exactly` or `firstAvailable` is required"),
        (true, true) => {
            let text = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            out.push(FieldError::invalid(&at.path, Value::Null, text));
        }
        (true, false) => devices(&exactly, out),
        (false, true) => {
            if limit(&first, ALTERNATIVES_MOST, out) {
                for one in first.items() {
                    out.form(&one.get("name"), name::check_label);
                    devices(&one, out);
                }
                unique(&first, |one| one.text_of("name").to_owned(), out);
            }
        }
    }
}

/// Which devices are asked for, and how many.
fn devices(at: &At<'_, '_>, out: &mut Out) {
    out.filled_form(&at.get("deviceClassName"), name::check_subdomain);
    selectors(&at.get("selectors"), out);
    let (mode, count) = (at.get("allocationMode"), at.get("count"));
    match (mode.text(), count.int().unwrap_or(0)) {
        ("All", n) if n != 0 => out.invalid(&count, "must not be specified when allocationMode is 'All'"),
        ("ExactCount", n) if n <= 0 => {
            out.push(FieldError::invalid(&count.path, n, "must be greater than zero"));
        }
        ("All" | "ExactCount", _) => {}
        (other, _) => out.push(FieldError::not_supported(&mode.path, other, &["All", "ExactCount"])),
    }
    let tolerations = at.get("tolerations");
    if limit(&tolerations, TOLERATIONS_MOST, out) {
        tolerations.items().for_each(|one| toleration(&one, out));
    }
}

fn toleration(at: &At<'_, '_>, out: &mut Out) {
    out.optional_form(&at.get("key"), name::check_qualified);
    let (operator, value, effect) = (at.get("operator"), at.get("value"), at.get("effect"));
    match operator.text() {
        "Exists" if !value.text().is_empty() => out.invalid(&value, "must be empty for operator `Exists`"),
        "Exists" => {}
        "Equal" => out.form(&value, name::check_label_value),
        _ => out.one_of_required(&operator, &["Equal", "Exists"]),
    }
    out.one_of(&effect, &EFFECTS);
}

fn selectors(at: &At<'_, '_>, out: &mut Out) {
    if !limit(at, SELECTORS_MOST, out) {
        return;
    }
    for selector in at.items() {
        let cel = selector.get("cel");
        let expression = cel.get("expression");
        if !cel.is_set() {
            out.required(&cel, "");
        } else if expression.text().len() > EXPRESSION_MOST {
            out.push(FieldError::too_long(&expression.path, EXPRESSION_MOST));
        } else if out.filled(&expression) {
            selector::check(&expression, out);
        }
    }
}

fn opaque(at: &At<'_, '_>, out: &mut Out) {
    let opaque = at.get("opaque");
    if !opaque.is_set() {
        out.required(&opaque, "");
        return;
    }
    pod::csi_driver(&opaque.get("driver"), out);
    let parameters = opaque.get("parameters");
    match parameters.is_set() {
        true => raw(&parameters, PARAMETERS_MOST, out),
        false => out.required(&parameters, ""),
    }
}

/// An object that Kubernetes does not look into.
fn raw(at: &At<'_, '_>, most: usize, out: &mut Out) {
    if at.value.to_string().len() > most {
        out.push(FieldError::too_long(&at.path, most));
    } else if !at.value.is_object() {
        out.push(FieldError::invalid(&at.path, "<value omitted>", "must be a valid JSON object"));
    }
}

/// False, and a fault, when there are too many.
fn limit(at: &At<'_, '_>, most: usize, out: &mut Out) -> bool {
    if at.len() > most {
        out.push(FieldError::too_many(&at.path, at.len(), most));
    }
    at.len() <= most
}

/// Each element has another key.
fn unique(list: &At<'_, '_>, key: impl Fn(&At<'_, '_>) -> String, out: &mut Out) {
    let mut seen = BTreeSet::new();
    for one in list.items() {
        let key = key(&one);
        if seen.contains(&key) {
            out.push(FieldError::duplicate(&one.path, key));
        } else {
            seen.insert(key);
        }
    }
}

/// A name with its domain.
fn full_name(at: &At<'_, '_>, out: &mut Out) {
    qualified(at, at.text(), out);
    if !at.text().contains('/') {
        out.invalid(at, "a fully qualified name must be a domain and a name separated by a slash");
    }
}

/// An identifier, perhaps behind a domain.
fn qualified(at: &At<'_, '_>, text: &str, out: &mut Out) {
    let parts: Vec<&str> = text.split('/').collect();
    match parts.as_slice() {
        [id] => identifier(at, id, out),
        [domain, id] => {
            match *domain {
                "" => out.push(FieldError::invalid(&at.path, "", "the domain must not be empty")),
                domain => pod::csi_driver(&At { value: &Value::from(domain), path: at.path }, out),
            }
            match *id {
                "" => out.push(FieldError::invalid(&at.path, "", "the name must not be empty")),
                id => identifier(at, id, out),
            }
        }
        _ => {}
    }
}

fn identifier(at: &At<'_, '_>, text: &str, out: &mut Out) {
    if text.len() > ID_MOST {
        out.push(FieldError::too_long(&at.path, ID_MOST));
    }
    let mut bytes = text.bytes();
    let fits = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !fits {
        let rule = "a valid C identifier must start with alphabetic character or '_', followed by a string of \
                    alphanumeric characters or '_'";
        let text_of = name::form(rule, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"]);
        out.push(FieldError::invalid(&at.path, text, text_of));
    }
}

/// Domains with slashes between.
fn pool_name(at: &At<'_, '_>, out: &mut Out) {
    const MOST: usize = 253;
    if !out.filled(at) {
        return;
    }
    if at.text().len() > MOST {
        out.push(FieldError::too_long(&at.path, MOST));
    }
    for part in at.text().split('/') {
        out.form_of(at, part, name::check_subdomain);
    }
}

fn uid(at: &At<'_, '_>, out: &mut Out) {
    let fits = at.text().len() == 36
        && at.text().bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        });
    if !fits {
        let text = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase \
                    hexadecimal characters";
        out.push(FieldError::invalid(&at.path, at.text(), text));
    }
}

/// Conditions that a device needs to be ready, and those that say that it never will be.
fn binding(at: &At<'_, '_>, out: &mut Out) {
    const MOST: usize = 4;
    let (ready, failed) = (at.get("bindingConditions"), at.get("bindingFailureConditions"));
    for list in [&ready, &failed] {
        if limit(list, MOST, out) {
            list.items().for_each(|one| out.form(&one, name::check_qualified));
        }
    }
    unique(&ready, |one| one.text().to_owned(), out);
    let mut seen = BTreeSet::new();
    for one in failed.items() {
        if !seen.insert(one.text()) {
            out.duplicate(&one);
        }
        if ready.items().any(|other| other.text() == one.text()) {
            out.invalid(&one, "bindingFailureConditions must not overlap with bindingConditions");
        }
    }
    if ready.len() == 0 && failed.len() > 0 {
        out.invalid(&ready, "bindingConditions are required to use bindingFailureConditions");
    }
    if failed.len() == 0 && ready.len() > 0 {
        out.invalid(&failed, "bindingFailureConditions are required to use bindingConditions");
    }
}
