//! A container's environment.
//!
//! In: the image's and the container's words, the objects that they name (fetched before), services. Out: variables in
//! order, or why the container cannot be configured. Pure.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Container, EnvVar, ObjectFieldSelector, Pod, ResourceFieldSelector};
use serde_json::Value;

use super::expand::expand;
use crate::amount::{millis, units};
use crate::pod::observed::Reason;
use crate::pod::{member, spec};
use crate::port::Kind;

/// A ConfigMap or Secret that a container's environment names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceRef {
    /// ConfigMap or Secret.
    pub kind: Kind,
    /// Its name, in the pod's namespace.
    pub name: String,
}

/// Objects that were fetched; `None` does not exist.
pub type Sources = BTreeMap<SourceRef, Option<Value>>;

/// What the environment depends on beside the words.
pub struct Context<'a> {
    /// The pod, with the node's name and addresses in its status.
    pub pod: &'a Pod,
    /// Fetched objects.
    pub sources: &'a Sources,
    /// Variables that name the services.
    pub services: Vec<(String, String)>,
    /// What stands in for a limit that is not set.
    pub allocatable: Allocatable,
}

/// The node's allocatable resources.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Allocatable {
    /// Thousandths of a CPU.
    pub cpu_millis: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes.
    pub ephemeral_storage: i64,
}

/// The objects to be fetched.
pub fn references(container: &Container) -> Vec<SourceRef> {
    let mut all = Vec::new();
    let mut add = |kind, name: &str| {
        all.push(SourceRef { kind, name: name.to_owned() });
    };
    for from in container.env_from.iter().flatten() {
        if let Some(source) = &from.config_map_ref {
            add(Kind::ConfigMap, &source.name);
        }
        if let Some(source) = &from.secret_ref {
            add(Kind::Secret, &source.name);
        }
    }
    for from in container.env.iter().flatten().filter_map(|env| env.value_from.as_ref()) {
        if let Some(source) = &from.config_map_key_ref {
            add(Kind::ConfigMap, &source.name);
        }
        if let Some(source) = &from.secret_key_ref {
            add(Kind::Secret, &source.name);
        }
    }
    all.sort();
    all.dedup();
    all
}

/// The environment, whole.
pub fn environment(
    container: &Container,
    image_env: &[String],
    context: &Context<'_>,
) -> Result<Vec<(String, String)>, Reason> {
    let mut env = Variables::default();
    for pair in image_env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        env.set(name, value.to_owned());
    }
    // Variables of the image are not seen by $(...): Kubernetes does not know them.
    let mut own = Variables::default();
    for (name, value) in &context.services {
        own.set(name, value.clone());
    }
    own.set("HOSTNAME", host(context.pod));
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let (reference, optional) = match (&from.config_map_ref, &from.secret_ref) {
            (Some(source), _) => (SourceRef { kind: Kind::ConfigMap, name: source.name.clone() }, source.optional),
            (None, Some(source)) => (SourceRef { kind: Kind::Secret, name: source.name.clone() }, source.optional),
            (None, None) => continue,
        };
        match lookup(context, &reference) {
            Some(object) => {
                for (key, value) in entries(reference.kind, object) {
                    let text = String::from_utf8_lossy(&value).into_owned();
                    own.set(&format!("{prefix}{key}"), text);
                }
            }
            None if optional == Some(true) => {}
            None => return Err(missing(&reference)),
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(variable, container, &own.list, context)? {
            own.set(&variable.name, value);
        }
    }
    for (name, value) in own.list {
        env.set(&name, value);
    }
    Ok(env.list)
}

fn host(pod: &Pod) -> String {
    let node = spec(pod).node_name.as_deref().unwrap_or_default();
    super::etc::hostname(pod, node, "").0
}

#[derive(Default)]
struct Variables {
    list: Vec<(String, String)>,
}

impl Variables {
    fn set(&mut self, name: &str, value: String) {
        if name.is_empty() || name.contains(['=', '\0']) {
            return;
        }
        match self.list.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.list.push((name.to_owned(), value)),
        }
    }
}

fn lookup<'a>(context: &Context<'a>, reference: &SourceRef) -> Option<&'a Value> {
    context.sources.get(reference).and_then(Option::as_ref)
}

fn config_error(message: String) -> Reason {
    Reason::new("CreateContainerConfigError", message)
}

fn missing(reference: &SourceRef) -> Reason {
    let kind = match reference.kind {
        Kind::Secret => "secret",
        _ => "configmap",
    };
    config_error(format!("{kind} \"{}\" not found", reference.name))
}

/// A ConfigMap's or Secret's entries as bytes.
pub fn entries(kind: Kind, object: &Value) -> BTreeMap<String, Vec<u8>> {
    let texts = |field: &str| {
        object[field]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect::<Vec<_>>()
    };
    let decoded = |field: &str| {
        texts(field).into_iter().map(|(key, text)| (key, STANDARD.decode(text).unwrap_or_default())).collect::<Vec<_>>()
    };
    let mut all = BTreeMap::new();
    match kind {
        Kind::Secret => all.extend(decoded("data")),
        _ => {
            all.extend(decoded("binaryData"));
            all.extend(texts("data").into_iter().map(|(k, v)| (k, v.into_bytes())));
        }
    }
    all
}

fn value(
    variable: &EnvVar,
    container: &Container,
    known: &[(String, String)],
    context: &Context<'_>,
) -> Result<Option<String>, Reason> {
    let Some(from) = &variable.value_from else {
        let text = variable.value.as_deref().unwrap_or_default();
        return Ok(Some(expand(text, known)));
    };
    if let Some(field) = &from.field_ref {
        return field_value(context.pod, field).map(Some);
    }
    if let Some(field) = &from.resource_field_ref {
        return resource_value(context.pod, container, field, context.allocatable).map(Some);
    }
    let (kind, name, key, optional) = if let Some(source) = &from.config_map_key_ref {
        (Kind::ConfigMap, &source.name, &source.key, source.optional)
    } else if let Some(source) = &from.secret_key_ref {
        (Kind::Secret, &source.name, &source.key, source.optional)
    } else {
        return Ok(None);
    };
    let optional = optional == Some(true);
    let reference = SourceRef { kind, name: name.clone() };
    let Some(object) = lookup(context, &reference) else {
        return match optional {
            true => Ok(None),
            false => Err(missing(&reference)),
        };
    };
    match entries(reference.kind, object).remove(key) {
        Some(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        None if optional => Ok(None),
        None => {
            let namespace = context.pod.metadata.namespace.as_deref().unwrap_or_default();
            Err(config_error(format!(
                "couldn't find key {key} in {} {namespace}/{}",
                reference.kind.name(),
                reference.name
            )))
        }
    }
}

/// A field of the pod as text, for environments and downward API files.
pub fn field_value(pod: &Pod, field: &ObjectFieldSelector) -> Result<String, Reason> {
    let path = field.field_path.as_str();
    let meta = &pod.metadata;
    let status = pod.status.as_ref();
    let keyed = |list: Option<&BTreeMap<String, String>>, key: &str| {
        list.and_then(|list| list.get(key)).cloned().unwrap_or_default()
    };
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        match map {
            "metadata.labels" => return Ok(keyed(meta.labels.as_ref(), key)),
            "metadata.annotations" => return Ok(keyed(meta.annotations.as_ref(), key)),
            _ => {}
        }
    }
    let joined = |ips: Vec<String>| ips.join(",");
    let text = match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "metadata.labels" => Some(lines(meta.labels.as_ref())),
        "metadata.annotations" => Some(lines(meta.annotations.as_ref())),
        "spec.nodeName" => spec(pod).node_name.clone(),
        "spec.serviceAccountName" => spec(pod).service_account_name.clone(),
        "status.hostIP" => status.and_then(|status| status.host_ip.clone()),
        "status.podIP" => status.and_then(|status| status.pod_ip.clone()),
        "status.hostIPs" => status
            .and_then(|status| status.host_ips.as_ref())
            .map(|ips| joined(ips.iter().map(|ip| ip.ip.clone()).collect())),
        "status.podIPs" => status
            .and_then(|status| status.pod_ips.as_ref())
            .map(|ips| joined(ips.iter().map(|ip| ip.ip.clone()).collect())),
        _ => {
            return Err(config_error(format!("unsupported fieldPath: {path}")));
        }
    };
    Ok(text.unwrap_or_default())
}

/// `key="value"` lines, the value with escapes.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join("\n")
}

/// A request or limit as a whole number of its divisor, rounded up.
pub fn resource_value(
    pod: &Pod,
    container: &Container,
    field: &ResourceFieldSelector,
    allocatable: Allocatable,
) -> Result<String, Reason> {
    let named;
    let container = match &field.container_name {
        Some(name) => {
            let found = member(pod, name).ok_or_else(|| config_error(format!("container {name} not found")))?;
            named = found.container;
            &*named
        }
        None => container,
    };
    let resources = container.resources.as_ref();
    let limits = resources.and_then(|r| r.limits.as_ref());
    let requests = resources.and_then(|r| r.requests.as_ref());
    let (side, name) = field.resource.split_once('.').unwrap_or_default();
    let (limited, quantity) = match side {
        "limits" => (true, limits.and_then(|list| list.get(name))),
        "requests" => {
            (false, requests.and_then(|list| list.get(name)).or_else(|| limits.and_then(|list| list.get(name))))
        }
        _ => {
            return Err(config_error(format!("unsupported container resource : {}", field.resource)));
        }
    };
    let divisor = field.divisor.as_ref().filter(|divisor| millis(divisor) > 0);
    let (value, by) = match name {
        "cpu" => {
            let fallback = if limited { allocatable.cpu_millis } else { 0 };
            (quantity.map_or(fallback, millis), divisor.map_or(1000, millis))
        }
        _ => {
            let fallback = match (limited, name) {
                (true, "memory") => allocatable.memory,
                (true, "ephemeral-storage") => allocatable.ephemeral_storage,
                _ => 0,
            };
            (quantity.map_or(fallback, units), divisor.map_or(1, units))
        }
    };
    Ok(((i128::from(value) + i128::from(by) - 1) / i128::from(by.max(1))).to_string())
}

/// The variables that tell a container about the services of its namespace, in the form that links had.
pub fn service_variables(services: &[Value]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for service in services {
        let ip = service["spec"]["clusterIP"].as_str().unwrap_or_default();
        let Some(name) = service["metadata"]["name"].as_str() else {
            continue;
        };
        let ports = service["spec"]["ports"].as_array().map_or(&[][..], |p| p);
        let Some(first) = ports.first().filter(|_| !ip.is_empty() && ip != "None") else {
            continue;
        };
        let upper = |text: &str| text.to_ascii_uppercase().replace('-', "_");
        let (base, host) = (upper(name), if ip.contains(':') { format!("[{ip}]") } else { ip.into() });
        let number = |port: &Value| port["port"].as_u64().unwrap_or(0);
        all.push((format!("{base}_SERVICE_HOST"), ip.to_owned()));
        all.push((format!("{base}_SERVICE_PORT"), number(first).to_string()));
        for port in ports {
            if let Some(name) = port["name"].as_str().filter(|name| !name.is_empty()) {
                let value = number(port).to_string();
                all.push((format!("{base}_SERVICE_PORT_{}", upper(name)), value));
            }
        }
        for (index, port) in ports.iter().enumerate() {
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            let number = number(port);
            let url = format!("{}://{host}:{number}", protocol.to_ascii_lowercase());
            if index == 0 {
                all.push((format!("{base}_PORT"), url.clone()));
            }
            let prefix = format!("{base}_PORT_{number}_{}", protocol.to_ascii_uppercase());
            all.push((prefix.clone(), url));
            all.push((format!("{prefix}_PROTO"), protocol.to_ascii_lowercase()));
            all.push((format!("{prefix}_PORT"), number.to_string()));
            all.push((format!("{prefix}_ADDR"), ip.to_owned()));
        }
    }
    all
}

#[cfg(test)]
mod tests;
