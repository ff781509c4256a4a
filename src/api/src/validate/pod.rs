//! Pods and pod templates: what they may say.
//!
//! In: a pod specification with defaults. Out: faults. Which part judges what: `container` and what it holds
//! (`env`, `probe`, `resources`, `security`), `volume`, `placement`; `update` says what may change.

mod annotations;
mod container;
mod env;
mod os;
mod placement;
mod probe;
mod projected;
pub(super) mod remote;
mod resize;
mod resources;
mod security;
mod source;
mod update;
mod volume;

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, Out};
use super::metadata;
use crate::field::{FieldError, Path};
use crate::meta;
use crate::name;
use crate::strategy::Part;

pub(super) use placement::{node_selector, tolerations};
pub(super) use remote::driver as csi_driver;
pub(super) use resources::{
    container_name as container_resource, extended, of_class as overhead_of_class, standard_container_resource,
    standard_resource,
};
pub(super) use volume::{host_path, needs};

/// Most search domains of a pod's resolver.
const SEARCHES_MOST: usize = 32;
/// Most bytes of them all, with blanks between.
const SEARCHES_BYTES: usize = 2048;
/// Longest host name of Linux.
const HOSTNAME_MOST: usize = 64;
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
    /// Seconds that the pod has to end.
    fn grace(&self) -> i64 {
        self.spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(30)
    }
}

/// A new pod.
pub(super) fn create(pod: &Value, out: &mut Out) {
    let at = At::root(pod, "spec");
    whole(pod, &at, out);
    if at.get("ephemeralContainers").len() > 0 {
        out.forbidden(&at.get("ephemeralContainers"), "cannot be set on create");
    }
    if !at.text_of("nodeName").is_empty() && at.get("schedulingGates").len() > 0 {
        out.forbidden(&at.get("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
    let metadata = At::root(pod, "metadata");
    annotations::agree(&metadata.get("annotations"), &at, out);
}

/// What holds for pods, and not for templates.
fn whole(pod: &Value, at: &At<'_, '_>, out: &mut Out) {
    let metadata = At::root(pod, "metadata");
    let notes = metadata.get("annotations");
    annotations::all(&notes, at, out);
    spec_of(at, false, meta::name(pod), out);
    if annotations::is_mirror(pod) && at.get("resourceClaims").len() > 0 {
        let nowhere = At { value: &Value::Null, path: Path::root("") };
        out.forbidden(&nowhere, "static pods do not support resource claims");
    }
    if at.text_of("serviceAccountName").is_empty() {
        for volume in at.get("volumes").items() {
            let projected = volume.get("projected");
            for source in projected.get("sources").items().filter(|s| s.get("serviceAccountToken").is_set()) {
                let text = "must not be specified when serviceAccountName is not set";
                out.forbidden(&source.get("serviceAccountToken"), text);
            }
        }
    }
}

/// A changed pod.
pub(super) fn update(part: Part, new: &Value, old: &Value, out: &mut Out) {
    match part {
        Part::Status => update::status(new, old, out),
        Part::EphemeralContainers => update::ephemeral(new, old, out),
        Part::Resize => resize::all(new, old, out),
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
            annotations::all(&shown, &at.get("spec"), out);
        }
    }
    let spec_at = at.get("spec");
    spec_of(&spec_at, true, "", out);
    let notes = at.get("metadata");
    annotations::agree(&notes.get("annotations"), &spec_at, out);
    let ephemeral = spec_at.get("ephemeralContainers");
    if ephemeral.len() > 0 {
        out.forbidden(&ephemeral, "ephemeral containers not allowed in pod template");
    }
}

/// A pod specification; `pod` is the name of the pod, where there is one.
fn spec_of(at: &At<'_, '_>, template: bool, pod: &str, out: &mut Out) {
    let scope = Scope { spec: at.value, template };
    let grace = at.get("terminationGracePeriodSeconds");
    if !grace.is_set() {
        out.required(&grace, "");
    }
    let volumes = volume::all(&at.get("volumes"), scope, pod, out);
    claims(&at.get("resourceClaims"), out);
    container::all(at, &volumes, scope, out);
    resources::pod(at, out);
    container::host_ports(at, template, out);
    out.one_of(&at.get("restartPolicy"), &["Always", "OnFailure", "Never"]);
    out.one_of(&at.get("dnsPolicy"), &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    out.labels(&at.get("nodeSelector"));
    security::pod(at, out);
    placement::affinity(at, out);
    dns(at, out);
    gates(at, out);
    placement::spread(&at.get("topologySpreadConstraints"), out);
    os::host_process(at, out);
    security::host_users(at, out);
    hostname_override(at, out);
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
    os::all(at, out);
    container::file_keys(at, out);
}

fn hostname_override(at: &At<'_, '_>, out: &mut Out) {
    let name_at = at.get("hostnameOverride");
    if !name_at.is_set() {
        return;
    }
    if at.get("setHostnameAsFQDN").yes() {
        out.forbidden(&name_at, "may not be specified when setHostnameAsFQDN is true");
    }
    if at.get("hostNetwork").yes() {
        out.forbidden(&name_at, "may not be specified when hostNetwork is true");
    }
    if name_at.text().len() > HOSTNAME_MOST {
        out.push(FieldError::too_long(&name_at.path, HOSTNAME_MOST));
    }
    out.form(&name_at, name::check_subdomain);
}

/// The regular containers, the init containers and the ephemeral ones, each with its place.
fn each_container(spec: &At<'_, '_>, mut visit: impl FnMut(&At<'_, '_>)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        spec.get(list).items().for_each(|container| visit(&container));
    }
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
