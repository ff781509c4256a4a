//! DeviceAdminAccess: only namespaces that are marked for it get devices that others use, as if they were their own.
//!
//! In: ResourceClaims and their templates. Out: 422, or nothing. In Kubernetes these kinds check it themselves.

use async_trait::async_trait;
use kedge_api::Object;
use kedge_api::field::{FieldError, Path};
use kedge_api::kinds::Sub;
use kedge_api::meta::{bool_at, list_at, text};
use kedge_api::status::Status;

use super::{Admission, Attributes, Operation, Reader};

/// See the module.
#[derive(Debug)]
pub struct DeviceAdminAccess;

const GROUP: &str = "resource.k8s.io";
const LABEL: &str = "resource.kubernetes.io/admin-access";

/// The first of these that asks for it.
fn asking(list: &[serde_json::Value], place: &[&str]) -> Option<usize> {
    list.iter().position(|one| bool_at(one, place))
}

/// Devices that were given.
fn given(claim: &Object) -> &[serde_json::Value] {
    list_at(claim, &["status", "allocation", "devices", "results"])
}

#[async_trait]
impl Admission for DeviceAdminAccess {
    fn name(&self) -> &'static str {
        "DeviceAdminAccess"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns(GROUP, "resourceclaims") || attributes.concerns(GROUP, "resourceclaimtemplates")
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        object: Option<&Object>,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let Some(object) = object else { return Ok(()) };
        // What is asked for never changes afterwards.
        let found = match (attributes.operation, attributes.subresource) {
            (Operation::Create, None) => {
                let template = ["spec", "spec", "devices", "requests"];
                let place = if attributes.kind.plural == "resourceclaims" { &template[1..] } else { &template[..] };
                asking(list_at(object, place), &["exactly", "adminAccess"])
            }
            (Operation::Update, Some(Sub::Status)) => {
                match old.is_some_and(|old| asking(given(old), &["adminAccess"]).is_some()) {
                    true => None,
                    false => asking(given(object), &["adminAccess"]),
                }
            }
            _ => None,
        };
        let Some(index) = found else { return Ok(()) };
        let labels = reader.labels("", "namespaces", "", attributes.namespace, LABEL).await?;
        if labels.iter().flatten().any(|(key, value)| key == LABEL && value == "true") {
            return Ok(());
        }
        let (spec, status) = (Path::root("spec"), Path::root("status"));
        let (devices, allocation) = (spec.child("devices"), status.child("allocation"));
        let (requests, given) = (devices.child("requests"), allocation.child("devices"));
        let results = given.child("results");
        let list = if attributes.subresource.is_some() { results } else { requests };
        let rule = format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace");
        let fault = FieldError::forbidden(&list.index(index).child("adminAccess"), rule);
        Err(Status::invalid(GROUP, &attributes.kind.kind, text(&object["metadata"], "name"), &[fault]))
    }
}
