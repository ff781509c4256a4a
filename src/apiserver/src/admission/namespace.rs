//! NamespaceLifecycle: nothing is made in a namespace that is not there or is going away, and the
//! namespaces the system lives in stay.

use async_trait::async_trait;
use kedge_api::Object;
use kedge_api::status::Status;

use super::{Admission, Attributes, Operation, Reader};

/// See the module.
#[derive(Debug)]
pub struct NamespaceLifecycle;

/// Namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

#[async_trait]
impl Admission for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.operation != Operation::Update
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        _object: &mut Object,
        _old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let review = attributes.kind.plural == "localsubjectaccessreviews";
        if attributes.operation != Operation::Create || !attributes.kind.namespaced || review {
            return Ok(());
        }
        let namespace = attributes.namespace;
        match reader.field("", "namespaces", "", namespace, "status.phase").await?.as_deref() {
            None => Err(Status::not_found("", "namespaces", namespace)),
            Some("Terminating") => Err(attributes
                .forbidden(format!(
                    "unable to create new content in namespace {namespace} because it is being terminated"
                ))
                .with_cause(
                    "NamespaceTerminating",
                    format!("namespace {namespace} is being terminated"),
                    "metadata.namespace",
                )),
            Some(_) => Ok(()),
        }
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        _object: Option<&Object>,
        _old: Option<&Object>,
        _reader: Reader<'_>,
    ) -> Result<(), Status> {
        let deletes = attributes.operation == Operation::Delete && attributes.is("", "namespaces");
        if deletes && IMMORTAL.contains(&attributes.name) {
            return Err(attributes.forbidden("this namespace may not be deleted"));
        }
        Ok(())
    }
}
