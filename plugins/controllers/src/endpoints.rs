//! The Endpoints controller: the addresses behind each Service that chooses pods.
//!
//! In: a Service and its pods. Out: its Endpoints made, put right, removed with it. Decides in `plan`.

mod plan;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Controller, Wakes};
use kedge_plugin_sdk::controller::kedge::plugin::objects::{Key, Kind};
use serde_json::Value;

use crate::service;
use crate::world::{self, EventType, Outcome};

const PODS: u32 = 1;
/// Endpoints that are a lock, not addresses.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

fn endpoints() -> Kind {
    world::kind("", "v1", "Endpoints")
}

/// What it watches. Endpoints that go wake the Services of their namespace; those that come are nobody's business.
pub fn declare() -> Controller {
    let mut watches = service::watches();
    watches.push(world::watch(endpoints(), &[], &[Wakes::Siblings]));
    Controller { name: "endpoint-controller".into(), watches, workers: 2 }
}

/// The Endpoints of one Service.
pub fn reconcile(key: &Key) -> Outcome {
    let found = world::row_of(0, key);
    let Some(row) = found.first() else { return remove(key) };
    let service = service::read(row);
    let Some(selector) = service.selector() else { return Ok(None) };
    let pods = service::backends(PODS, &service, selector);
    let current = world::get(&endpoints(), &key.namespace, &key.name)?;
    let Some(wanted) = plan::plan(&service, &pods, current.as_ref()) else { return Ok(None) };
    let (change, reason, act) = if current.is_none() {
        (
            world::creation(&endpoints(), &key.namespace, &wanted),
            "FailedToCreateEndpoint",
            "create endpoint for service",
        )
    } else {
        let change = world::update(&endpoints(), &key.namespace, &key.name, "", &wanted);
        (change, "FailedToUpdateEndpoint", "update endpoint")
    };
    match world::one(change) {
        Ok(_) => Ok(None),
        Err(e) if current.is_none() && world::ends(&e) => Ok(None),
        Err(e) if e.code == 409 || e.code == 404 => Ok(Some(world::RACED)),
        Err(e) => {
            let text = format!("Failed to {act} {}/{}: {}", key.namespace, key.name, e.message);
            let uid = current.as_ref().and_then(|object| object["metadata"]["uid"].as_str()).unwrap_or_default();
            world::event(&endpoints(), &key.namespace, &key.name, uid, EventType::Warning, reason, &text);
            Err(world::said("write", "Endpoints", &key.name, &e))
        }
    }
}

/// The Service is gone, and its Endpoints go too.
fn remove(key: &Key) -> Outcome {
    let Some(current) = world::get(&endpoints(), &key.namespace, &key.name)? else { return Ok(None) };
    let meta: &Value = &current["metadata"];
    if !meta["annotations"][LEADER].is_null() {
        return Ok(None);
    }
    let uid = meta["uid"].as_str().unwrap_or_default();
    match world::one(world::delete(&endpoints(), &key.namespace, &key.name, uid, None)) {
        Ok(_) => Ok(None),
        Err(e) if e.code == 404 || e.code == 409 => Ok(None),
        Err(e) => Err(world::said("delete", "Endpoints", &key.name, &e)),
    }
}
