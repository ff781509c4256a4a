//! ResourceQuota: a write that would take more than its namespace's quotas leave is refused, one that is admitted is
//! charged before it is done.
//!
//! In: writes of whatever is counted. Out: quotas charged in one transaction, or 403. Two writes never spend the same
//! rest: a charge is made on the version of the quota that it was judged by. What is charged for a write that fails
//! afterwards, and what is freed, the quota controller counts anew.

use async_trait::async_trait;
use kedge_api::Object;
use kedge_api::kinds::Sub;
use kedge_api::quota::{self, Write};
use kedge_api::status::Status;
use tokio::sync::Mutex;

use super::presence::Bound;
use super::{Admission, Attributes, Operation, Reader};

/// See the module.
#[derive(Debug, Default)]
pub struct ResourceQuota {
    /// Writes of one namespace queue here instead of losing races against each other; several namespaces may share
    /// a place, which costs them time and nothing else.
    turns: [Mutex<()>; TURNS],
}

/// More than the namespaces that are busy at once on one device.
const TURNS: usize = 16;
/// Only the controller and people write a quota beside us; a charge that loses to them this often is given up.
const TRIES: usize = 8;

#[async_trait]
impl Admission for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn concerns(&self, attributes: &Attributes<'_>, reader: Reader<'_>) -> bool {
        !attributes.namespace.is_empty() && reader.any(Bound::Quotas)
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        object: Option<&Object>,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        if attributes.namespace.is_empty() || !reader.any(Bound::Quotas) || quota::is_ignored(attributes.kind) {
            return Ok(());
        }
        let Some(object) = object.filter(|object| matters(attributes, object, old, reader)) else { return Ok(()) };
        let turn =
            attributes.namespace.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let _turn = self.turns[turn % TURNS].lock().await;
        for _ in 0..TRIES {
            let quotas = reader.quotas(attributes.namespace).await?;
            if quotas.is_empty() {
                return Ok(());
            }
            let objects: Vec<Object> = quotas.iter().map(|kept| kept.object.clone()).collect();
            let write = write(attributes, object, old, reader);
            let charges = quota::judge(&objects, &write).map_err(|why| attributes.forbidden(why))?;
            if attributes.dry_run || charges.is_empty() || reader.charge(&quotas, &charges).await? {
                return Ok(());
            }
        }
        Err(Status::conflict("", "resourcequotas", attributes.name))
    }
}

fn write<'a>(
    attributes: &'a Attributes<'_>,
    object: &'a Object,
    old: Option<&'a Object>,
    reader: Reader<'_>,
) -> Write<'a> {
    Write {
        group: &attributes.kind.stored.0,
        plural: &attributes.kind.plural,
        object,
        old,
        status: attributes.subresource == Some(Sub::Status),
        now: reader.clock().now(),
    }
}

/// Whether the write can change what the object counts.
fn matters(attributes: &Attributes<'_>, object: &Object, old: Option<&Object>, reader: Reader<'_>) -> bool {
    match (attributes.operation, attributes.subresource) {
        (Operation::Create, None) => true,
        (Operation::Update, None) => old.is_some() && write(attributes, object, old, reader).matters(),
        (Operation::Update, Some(Sub::Resize)) => attributes.concerns("", "pods"),
        (Operation::Update, Some(Sub::Status)) => attributes.concerns("", "persistentvolumeclaims"),
        _ => false,
    }
}
