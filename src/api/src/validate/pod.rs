//! Pods and pod templates: what they may say.
//!
//! In: a pod specification with defaults. Out: faults. Which part judges what: `container` and what it holds
//! (`env`, `probe`, `resources`, `security`), `volume`, `placement`; `update` says what may change.

mod container;
mod env;
mod placement;
mod probe;
mod resources;
mod security;
mod source;
mod update;
mod volume;

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, Out};
use super::metadata;
use crate::field::FieldError;
use crate::name;
use crate::strategy::Part;

pub(super) use resources::{extended, standard_container_resource, standard_resource};
pub(super) use volume::source as volume_source;

/// Most search domains of a pod's resolver.
const SEARCHES_MOST: usize = 32;
/// Most bytes of them all, with blanks between.
const SEARCHES_BYTES: usize = 2048;
/// Most name servers.
const NAMESERVERS_MOST: usize = 3;

/// What the places around a pod specification know about it.
#[derive(Clone, Copy)]
pub(super) struct Scope<'v> {
    /// The whole specification.
    pub spec: &'v Value,
    /// It is a template, not a pod.
    pub template: bool,
}

impl Scope<'_> {
    fn yes(&self, field: &str) -> bool {
        self.spec.get(field).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The volume of that name.
    fn volume(&self, name: &str) -> Option<&Value> {
        let list = self.spec.get("volumes").and_then(Value::as_array);
        list?.iter().find(|v| v.get("name").and_then(Value::as_str) == Some(name))
    }

    /// Seconds that the pod has to end.
    fn grace(&self) -> i64 {
        self.spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(30)
    }
}

/// A new pod.
pub(super) fn create(pod: &Value, out: &mut Out) {
    let at = At::root(pod, "spec");
    spec(&at, false, out);
    let metadata = At::root(pod, "metadata");
    annotations(&metadata.get("annotations"), out);
    if at.get("ephemeralContainers").len() > 0 {
        out.forbidden(&at.get("ephemeralContainers"), "cannot be set on create");
    }
    if !at.text_of("nodeName").is_empty() && at.get("schedulingGates").len() > 0 {
        out.forbidden(&at.get("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
}

/// A changed pod.
pub(super) fn update(part: Part, new: &Value, old: &Value, out: &mut Out) {
    match part {
        Part::Status => update::status(new, old, out),
        Part::EphemeralContainers => update::ephemeral(new, old, out),
        Part::Resize => update::resize(new, old, out),
        _ => update::main(new, old, out),
    }
}

/// The template of a workload.
pub(super) fn template(at: &At<'_, '_>, out: &mut Out) {
    // The places leave out `metadata`, as Kubernetes' do.
    for (field, labels) in [("labels", true), ("annotations", false)] {
        let metadata = at.get("metadata");
        let shown = At { value: metadata.get(field).value, path: at.path.child(field) };
        if labels {
            out.labels(&shown);
        } else {
            metadata::annotations(&shown, out);
            annotations(&shown, out);
        }
    }
    let spec_at = at.get("spec");
    spec(&spec_at, true, out);
    let ephemeral = spec_at.get("ephemeralContainers");
    if ephemeral.len() > 0 {
        out.forbidden(&ephemeral, "ephemeral containers not allowed in pod template");
    }
}

fn annotations(at: &At<'_, '_>, out: &mut Out) {
    let cost = at.key("controller.kubernetes.io/pod-deletion-cost");
    let number = |text: &str| {
        let plain = !text.starts_with('+') && (text == "0" || !text.trim_start_matches('-').starts_with('0'));
        plain && text.parse::<i32>().is_ok()
    };
    if cost.is_set() && !number(cost.text()) {
        out.invalid(&cost, "must be a 32bit integer");
    }
}

/// A pod specification.
fn spec(at: &At<'_, '_>, template: bool, out: &mut Out) {
    let scope = Scope { spec: at.value, template };
    let volumes = volume::all(&at.get("volumes"), out);
    claims(&at.get("resourceClaims"), out);
    container::all(at, &volumes, scope, out);
    resources::pod(&at.get("resources"), out);
    out.one_of(&at.get("restartPolicy"), &["Always", "OnFailure", "Never"]);
    out.one_of(&at.get("dnsPolicy"), &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    out.labels(&at.get("nodeSelector"));
    security::pod(at, out);
    placement::affinity(at, out);
    dns(at, out);
    gates(at, out);
    placement::spread(&at.get("topologySpreadConstraints"), out);
    security::host_users(at, out);
    for field in ["serviceAccountName", "nodeName"] {
        out.optional_form(&at.get(field), name::check_subdomain);
    }
    out.within(&at.get("activeDeadlineSeconds"), 1, i64::from(i32::MAX));
    for field in ["hostname", "subdomain"] {
        out.optional_form(&at.get(field), name::check_label);
    }
    placement::tolerations(&at.get("tolerations"), out);
    host_aliases(&at.get("hostAliases"), out);
    for field in ["priorityClassName", "runtimeClassName"] {
        out.optional_form(&at.get(field), name::check_subdomain);
    }
    out.one_of(&at.get("preemptionPolicy"), &["PreemptLowerPriority", "Never"]);
    resources::overhead(&at.get("overhead"), out);
    os(at, out);
}

fn dns(at: &At<'_, '_>, out: &mut Out) {
    let policy = at.get("dnsPolicy");
    let config = at.get("dnsConfig");
    if policy.text() == "None" && !config.is_set() {
        out.required(&config, "must provide `dnsConfig` when `dnsPolicy` is None");
        return;
    }
    let servers = config.get("nameservers");
    if policy.text() == "None" && servers.len() == 0 {
        out.required(&servers, "must provide at least one DNS nameserver when `dnsPolicy` is None");
        return;
    }
    if servers.len() > NAMESERVERS_MOST {
        out.invalid(&servers, format!("must not have more than {NAMESERVERS_MOST} nameservers"));
    }
    for server in servers.items() {
        out.form(&server, name::check_ip);
    }
    let searches = config.get("searches");
    if searches.len() > SEARCHES_MOST {
        out.invalid(&searches, format!("must not have more than {SEARCHES_MOST} search paths"));
    }
    let bytes: usize = searches.items().map(|s| s.text().len() + 1).sum();
    if bytes.saturating_sub(1) > SEARCHES_BYTES {
        let text = format!("must not have more than {SEARCHES_BYTES} characters (including spaces) in the search list");
        out.invalid(&searches, text);
    }
    for search in searches.items() {
        let domain = search.text().strip_suffix('.').unwrap_or(search.text());
        if search.text() != "." {
            out.form_of(&search, domain, name::check_subdomain_with_underscore);
        }
    }
    for option in config.get("options").items() {
        if option.text_of("name").is_empty() {
            out.required(&option, "must not be empty");
        }
    }
}

fn host_aliases(at: &At<'_, '_>, out: &mut Out) {
    for alias in at.items() {
        out.form(&alias.get("ip"), name::check_ip);
        for hostname in alias.get("hostnames").items() {
            out.form(&hostname, name::check_subdomain);
        }
    }
}

fn gates(at: &At<'_, '_>, out: &mut Out) {
    for gate in at.get("readinessGates").items() {
        out.form(&gate.get("conditionType"), name::check_qualified);
    }
    let mut seen = BTreeSet::new();
    let gates = at.get("schedulingGates");
    for gate in gates.items() {
        out.form_of(&gate, gate.text_of("name"), name::check_qualified);
        if !seen.insert(gate.text_of("name")) {
            out.push(FieldError::duplicate(&gate.path, gate.text_of("name")));
        }
    }
}

fn os(at: &At<'_, '_>, out: &mut Out) {
    let os = at.get("os");
    if os.is_set() {
        out.one_of_required(&os.get("name"), &["linux", "windows"]);
    }
    let context = at.get("securityContext");
    match os.text_of("name") {
        "linux" if context.get("windowsOptions").is_set() => {
            out.forbidden(&context.get("windowsOptions"), "windows options cannot be set for a linux pod");
        }
        "windows" => {
            for field in ["hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"] {
                if at.get(field).is_set() && (field == "hostUsers" || at.get(field).yes()) {
                    out.forbidden(&at.get(field), "cannot be set for a windows pod");
                }
            }
            for field in [
                "seLinuxOptions",
                "seccompProfile",
                "appArmorProfile",
                "fsGroup",
                "fsGroupChangePolicy",
                "sysctls",
                "runAsUser",
                "runAsGroup",
                "supplementalGroups",
            ] {
                if context.get(field).is_set() {
                    out.forbidden(&context.get(field), "cannot be set for a windows pod");
                }
            }
        }
        _ => {}
    }
}

fn claims(at: &At<'_, '_>, out: &mut Out) {
    let mut seen = BTreeSet::new();
    for claim in at.items() {
        let name_at = claim.get("name");
        out.filled_form(&name_at, name::check_label);
        if !name_at.text().is_empty() && !seen.insert(name_at.text()) {
            out.push(FieldError::duplicate(&name_at.path, name_at.text()));
        }
        let (direct, template) = (claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName"));
        match (direct.is_set(), template.is_set()) {
            (true, true) => out
                .invalid(&claim, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"),
            (false, false) => {
                out.invalid(&claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")
            }
            _ => {
                out.optional_form(&direct, name::check_subdomain);
                out.optional_form(&template, name::check_subdomain);
            }
        }
    }
}
