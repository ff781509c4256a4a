//! OwnerReferencesPermissionEnforcement: whoever hangs an object on an owner may delete the object, and whoever makes
//! the owner's deletion wait may change the owner's finalizers.
//!
//! In: objects with owners. Out: 403, or nothing.

use async_trait::async_trait;
use kedge_api::Object;
use kedge_api::kinds::{Gvk, Sub};
use kedge_api::meta::{self, Owner};
use kedge_api::status::Status;

use super::{Admission, Attributes, Operation, Reader};
use crate::authz::Wanted;

/// See the module.
#[derive(Debug)]
pub struct OwnerReferencesPermissionEnforcement;

#[async_trait]
impl Admission for OwnerReferencesPermissionEnforcement {
    fn name(&self) -> &'static str {
        "OwnerReferencesPermissionEnforcement"
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        object: Option<&Object>,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
        let Some(object) = object.filter(|_| writes && !attributes.is_pod(Sub::Status)) else { return Ok(()) };
        let owners: Vec<Owner<'_>> = meta::owners(object).collect();
        let before: Vec<Owner<'_>> = old.into_iter().flat_map(meta::owners).collect();
        if owners == before {
            return Ok(());
        }
        let may = async |verb, group, resource, subresource, namespace, name| {
            let wanted = Wanted::Resource { verb, group, resource, subresource, namespace, name };
            reader.may(attributes.who, &wanted).await
        };
        let sub = attributes.subresource.map_or("", Sub::name);
        let kind = attributes.kind;
        if attributes.operation != Operation::Create
            && !may("delete", &kind.group, &kind.plural, sub, attributes.namespace, attributes.name).await
        {
            return Err(attributes.forbidden("cannot set an ownerRef on a resource you can't delete: , <nil>"));
        }
        let blocked = |uid: &str| before.iter().any(|owner| owner.uid == uid && owner.block_owner_deletion);
        let blocking: Vec<&Owner<'_>> =
            owners.iter().filter(|owner| owner.block_owner_deletion && !blocked(owner.uid)).collect();
        if blocking.is_empty() || may("update", "*", "*", "finalizers", "", "*").await {
            return Ok(());
        }
        let kinds = reader.kinds();
        for owner in blocking {
            let gvk = Gvk::from_api_version(owner.api_version, owner.kind);
            let Some(kind) = kinds.by_gvk(&gvk) else {
                return Err(attributes.forbidden(format!(
                    "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {} Kind {}: no matches for kind \"{}\" in version \"{}\"",
                    owner.api_version, owner.kind, owner.kind, owner.api_version
                )));
            };
            let namespace = if kind.namespaced { attributes.namespace } else { "" };
            if !may("update", &kind.group, &kind.plural, "finalizers", namespace, owner.name).await {
                return Err(attributes.forbidden(
                    "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>",
                ));
            }
        }
        Ok(())
    }
}
