//! What is special about networks: Ingresses get the default class, and Services may be denied external addresses.
//!
//! In: Ingresses, Services. Out: a class name, or 403.

use async_trait::async_trait;
use kedge_api::Object;
use kedge_api::meta::{self, at, list_at};
use kedge_api::status::Status;
use serde_json::json;

use super::storage::default_of;
use super::{Admission, Attributes, Operation, Reader};

/// DefaultIngressClass: an Ingress that names no class gets the one that is marked as default.
#[derive(Debug)]
pub struct DefaultIngressClass;

/// DenyServiceExternalIPs: no Service gets new external addresses.
#[derive(Debug)]
pub struct DenyServiceExternalIPs;

const GROUP: &str = "networking.k8s.io";

#[async_trait]
impl Admission for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns(GROUP, "ingresses")
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        ingress: &mut Object,
        _old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let says = |ingress: &Object| {
            at(ingress, &["spec", "ingressClassName"]).is_some()
                || meta::annotation(ingress, "kubernetes.io/ingress.class").is_some()
        };
        if !attributes.creates(GROUP, "ingresses") || says(ingress) {
            return Ok(());
        }
        let classes = reader.list(GROUP, "ingressclasses", "").await?;
        if let Some(class) = default_of(&classes, &["ingressclass.kubernetes.io/is-default-class"]) {
            meta::child_mut(ingress, "spec").insert("ingressClassName".to_owned(), json!(meta::name(class)));
        }
        Ok(())
    }
}

#[async_trait]
impl Admission for DenyServiceExternalIPs {
    fn name(&self) -> &'static str {
        "DenyServiceExternalIPs"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns("", "services")
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        service: Option<&Object>,
        old: Option<&Object>,
        _reader: Reader<'_>,
    ) -> Result<(), Status> {
        let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
        let Some(service) = service.filter(|_| writes && attributes.is("", "services")) else { return Ok(()) };
        let addresses = |service| list_at(service, &["spec", "externalIPs"]);
        let before = old.map(addresses).unwrap_or_default();
        if addresses(service).iter().all(|address| before.contains(address)) {
            return Ok(());
        }
        Err(attributes.forbidden("Use of external IPs is denied by admission control"))
    }
}
