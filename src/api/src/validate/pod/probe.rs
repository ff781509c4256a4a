//! Probes and lifecycle hooks.
//!
//! In: the parts of a container. Out: faults.

use super::super::at::{At, NEGATIVE, Out};
use super::Scope;
use crate::field::FieldError;
use crate::name;

pub(super) fn lifecycle(at: &At<'_, '_>, scope: Scope<'_>, out: &mut Out) {
    for hook in ["postStart", "preStop"] {
        let hook = at.get(hook);
        if hook.is_set() {
            handler(&hook, &["exec", "httpGet", "tcpSocket", "sleep"], out);
            let sleep = hook.get("sleep");
            let seconds = sleep.get("seconds");
            if sleep.is_set() {
                let value = seconds.int().unwrap_or(0);
                let grace = scope.grace();
                if value < 0 || value > grace {
                    let text = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                    out.push(FieldError::invalid(&sleep.path, value, text));
                }
            }
        }
    }
    let signal = at.get("stopSignal");
    if !signal.text().is_empty() && !signal.text().starts_with("SIG") {
        out.invalid(&signal, "must be the name of a signal");
    }
}

pub(super) fn liveness(at: &At<'_, '_>, out: &mut Out) {
    probe(at, out);
    once(at, out);
}

pub(super) fn startup(at: &At<'_, '_>, out: &mut Out) {
    probe(at, out);
    once(at, out);
}

pub(super) fn readiness(at: &At<'_, '_>, out: &mut Out) {
    probe(at, out);
    let grace = at.get("terminationGracePeriodSeconds");
    if grace.is_set() {
        out.invalid(&grace, "must not be set for readinessProbes");
    }
}

/// One success is enough where a success means only that the container lives.
fn once(at: &At<'_, '_>, out: &mut Out) {
    let threshold = at.get("successThreshold");
    if at.is_set() && threshold.int().is_some_and(|n| n != 1) {
        out.invalid(&threshold, "must be 1");
    }
}

fn probe(at: &At<'_, '_>, out: &mut Out) {
    if !at.is_set() {
        return;
    }
    handler(at, &["exec", "httpGet", "tcpSocket", "grpc"], out);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        if at.get(field).int().is_some_and(|n| n < 0) {
            out.invalid(&at.get(field), NEGATIVE);
        }
    }
    let grace = at.get("terminationGracePeriodSeconds");
    if grace.int().is_some_and(|n| n <= 0) {
        out.invalid(&grace, "must be greater than 0");
    }
}

fn handler(at: &At<'_, '_>, kinds: &[&str], out: &mut Out) {
    let mut found = 0;
    for kind in kinds {
        let one = at.get(kind);
        if !one.is_set() {
            continue;
        }
        found += 1;
        if found > 1 {
            out.forbidden(&one, "may not specify more than 1 handler type");
            continue;
        }
        match *kind {
            "exec" if one.get("command").len() == 0 => out.required(&one.get("command"), ""),
            "httpGet" => http(&one, out),
            "tcpSocket" => out.port_or_name(&one.get("port")),
            "grpc" => out.port_or_name(&one.get("port")),
            _ => {}
        }
    }
    if found == 0 {
        out.required(at, "must specify a handler type");
    }
}

fn http(at: &At<'_, '_>, out: &mut Out) {
    if at.text_of("path").is_empty() {
        out.required(&at.get("path"), "");
    }
    out.port_or_name(&at.get("port"));
    out.one_of(&at.get("scheme"), &["HTTP", "HTTPS"]);
    let headers = at.get("httpHeaders");
    for header in headers.items() {
        out.form_of(&headers, header.text_of("name"), name::check_header_name);
    }
}
