//! Whether an aggregated API can be used.
//!
//! In: the Service and what stands behind it; an answer to a look at its discovery. Out: the
//! condition `Available` in upstream's words. Deciding is pure; `check` looks.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use kedge_api::{Object, meta};
use serde_json::{Value, json};

use super::Remote;
use super::proxy::speak_as;
use crate::core::Core;
use crate::identity::{Identity, MASTERS};
use crate::outbound::{Collected, Endpoint, Fault, MOST_ANSWER, Place, behind};
use crate::registry::{body, keys};

/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `True` or `False`.
    pub status: &'static str,
    /// Why, in a word.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
}

impl Condition {
    fn unavailable(reason: &'static str, message: String) -> Self {
        Condition { status: "False", reason, message }
    }

    fn passed() -> Self {
        Condition { status: "True", reason: "Passed", message: "all checks passed".to_owned() }
    }

    /// What this server answers itself.
    pub fn local() -> Self {
        let message = "Local APIServices are always available".to_owned();
        Condition { status: "True", reason: "Local", message }
    }

    /// The conditions of a status with this one in its place; `None` if it is there already.
    pub fn put_in(&self, object: &Object, now: &str) -> Option<Vec<Value>> {
        let mut conditions = meta::list_at(object, &["status", "conditions"]).to_vec();
        let mut own = json!({"type": "Available", "status": self.status, "reason": self.reason,
            "message": self.message, "lastTransitionTime": now});
        match conditions.iter_mut().find(|c| meta::text(c, "type") == "Available") {
            None => conditions.push(own),
            Some(there) => {
                let same = |key: &str| meta::text(there, key) == meta::text(&own, key);
                if same("status") && same("reason") && same("message") {
                    return None;
                }
                if same("status") {
                    own["lastTransitionTime"] = there["lastTransitionTime"].clone();
                }
                *there = own;
            }
        }
        Some(conditions)
    }
}

/// What stands behind the Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// Nobody said yet.
    Unknown,
    /// Nothing that is ready.
    Nothing,
    /// Something.
    Something,
}

/// What the Service says by itself; `None` if it must be looked at.
pub fn of_service(remote: &Remote, service: Option<&Object>, behind: Behind) -> Option<Condition> {
    let Place::Service { namespace, name, port } = &remote.target.place else { return None };
    let Some(service) = service else {
        let message = format!("service/{name} in {namespace:?} is not present");
        return Some(Condition::unavailable("ServiceNotFound", message));
    };
    if !matches!(meta::text_at(service, &["spec", "type"]), "" | "ClusterIP") {
        return None;
    }
    let ports = meta::list_at(service, &["spec", "ports"]);
    let Some(found) = ports.iter().find(|p| meta::int_at(p, &["port"]) == Some(i64::from(*port))) else {
        let message = format!("service/{name} in {namespace:?} is not listening on port {port}");
        return Some(Condition::unavailable("ServicePortError", message));
    };
    match behind {
        Behind::Something => None,
        Behind::Unknown => {
            let message = format!("cannot find endpointslices for service/{name} in {namespace:?}");
            Some(Condition::unavailable("EndpointsNotFound", message))
        }
        Behind::Nothing => {
            let port = meta::text(found, "name");
            let message =
                format!("endpointslices for service/{name} in {namespace:?} have no addresses with port name {port:?}");
            Some(Condition::unavailable("MissingEndpoints", message))
        }
    }
}

/// Looks whether it can be used.
pub async fn check(core: &Core, remote: &Remote) -> Condition {
    let Place::Service { namespace, name, port } = &remote.target.place else { return Condition::passed() };
    let key = keys::fixed("", "services", namespace, name);
    let service = match core.store.get(&key).await {
        Ok(entry) => entry.and_then(|e| body::decode(&e.bytes).ok()),
        Err(fault) => {
            let message = format!("service/{name} in {namespace:?} cannot be checked due to: {fault}");
            return Condition { status: "Unknown", reason: "ServiceAccessError", message };
        }
    };
    let behind = match &service {
        None => Behind::Unknown,
        Some(service) => match behind(&core.store, namespace, name, service, *port).await {
            // A port that the Service has not is told of before this is looked at.
            Ok(None) | Err(Fault::NoService(_)) => Behind::Unknown,
            Ok(Some(backends)) if backends.is_empty() => Behind::Nothing,
            Ok(Some(_)) => Behind::Something,
            Err(fault) => {
                let message = format!("service/{name} in {namespace:?} cannot be checked due to: {fault}");
                return Condition { status: "Unknown", reason: "EndpointsAccessError", message };
            }
        },
    };
    if let Some(condition) = of_service(remote, service.as_ref(), behind) {
        return condition;
    }
    let path = match remote.group.as_str() {
        "" => format!("/api/{}", remote.version),
        group => format!("/apis/{group}/{}", remote.version),
    };
    match look(core, remote, &path, "application/json").await {
        Ok(_) => Condition::passed(),
        Err(why) => {
            let url = format!("https://{}{path}", remote.target.authority());
            Condition::unavailable("FailedDiscoveryCheck", format!("failing or missing response from {url}: {why}"))
        }
    }
}

/// Reads a document of the other server, as the aggregator itself.
pub async fn look(core: &Core, remote: &Remote, path: &str, accept: &str) -> Result<Collected, String> {
    read(core, remote, path, accept, MOST_ANSWER).await.map_err(|fault| fault.to_string())
}

/// Why a document of another server could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LookFault {
    /// It answers, with something else than success.
    #[error("bad status from {url}: {code}")]
    Status {
        /// What was asked.
        url: String,
        /// What came.
        code: u16,
    },
    /// It does not answer, or too much.
    #[error("{0}")]
    Other(String),
}

/// The same of a document of at most `limit` bytes.
pub async fn read(
    core: &Core,
    remote: &Remote,
    path: &str,
    accept: &str,
    limit: usize,
) -> Result<Collected, LookFault> {
    let other = |fault: &dyn ToString| LookFault::Other(fault.to_string());
    let tls = remote.tls(&core.outbound, &core.aggregator.front).map_err(LookFault::Other)?;
    let endpoint = Endpoint { target: remote.target.clone(), tls, authorization: None };
    let request = Request::get(path).header(http::header::ACCEPT, accept).body(Body::empty());
    let mut request = request.map_err(|e| other(&e))?;
    let who =
        Identity { name: "system:kube-aggregator".to_owned(), groups: vec![MASTERS.to_owned()], ..Default::default() };
    speak_as(&who, request.headers_mut());
    core.outbound.collect(&endpoint, "", request, limit, PATIENCE).await.map_err(|fault| match fault {
        Fault::Refused(status) => {
            LookFault::Status { url: format!("https://{}{path}", remote.target.authority()), code: status.code }
        }
        fault => other(&fault),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote() -> Remote {
        Remote::read(&json!({"metadata": {"name": "v1.x.y"}, "spec": {"group": "x.y", "version": "v1",
            "service": {"namespace": "ns", "name": "api", "port": 443}}}))
        .unwrap()
    }

    #[track_caller]
    fn check(service: Option<Value>, behind: Behind, expected: Option<(&str, &str)>) {
        let seen = of_service(&remote(), service.as_ref(), behind);
        assert_eq!(seen.as_ref().map(|c| (c.reason, c.message.as_str())), expected);
    }

    #[test]
    fn the_service_says_most_by_itself() {
        let service = || Some(json!({"spec": {"type": "ClusterIP", "ports": [{"name": "https", "port": 443}]}}));
        check(None, Behind::Unknown, Some(("ServiceNotFound", "service/api in \"ns\" is not present")));
        let other = Some(json!({"spec": {"ports": [{"port": 80}]}}));
        check(
            other,
            Behind::Something,
            Some(("ServicePortError", "service/api in \"ns\" is not listening on port 443")),
        );
        check(
            service(),
            Behind::Unknown,
            Some(("EndpointsNotFound", "cannot find endpointslices for service/api in \"ns\"")),
        );
        check(
            service(),
            Behind::Nothing,
            Some((
                "MissingEndpoints",
                "endpointslices for service/api in \"ns\" have no addresses with port name \"https\"",
            )),
        );
        check(service(), Behind::Something, None);
        check(Some(json!({"spec": {"type": "ExternalName"}})), Behind::Unknown, None);
    }

    #[test]
    fn a_condition_is_written_once_and_keeps_its_time_while_its_status_stays() {
        let other = json!({"type": "Mine", "status": "True"});
        let object = json!({"status": {"conditions": [other]}});
        let first = Condition::passed().put_in(&object, "1").unwrap();
        assert_eq!((first.len(), &first[1]["lastTransitionTime"]), (2, &json!("1")));
        let object = json!({"status": {"conditions": first}});
        assert_eq!(Condition::passed().put_in(&object, "2"), None);
        let local = Condition::local().put_in(&object, "2").unwrap();
        assert_eq!(local[1]["lastTransitionTime"], "1");
        let lost = Condition::unavailable("ServiceNotFound", String::new()).put_in(&object, "3").unwrap();
        assert_eq!(lost[1]["lastTransitionTime"], "3");
    }
}
