//! Admission policies: expressions that may change or refuse a write, kept as objects.
//!
//! In: a write. Out: the object as the policies left it, or the first refusal. Policies are compiled when they are kept,
//! not when they are asked. Where no policy is bound, a write looks at one number. Policies and their bindings are never
//! judged by policies.

mod cache;
mod case;
mod figures;
mod matching;
mod mutating;
mod read;
mod validating;

use async_trait::async_trait;
use kedge_api::Object;
use kedge_api::status::Status;

use super::{Admission, Attributes, Operation, Reader};

pub use cache::{Family, Part, Policies};

/// `MutatingAdmissionPolicy`.
#[derive(Debug)]
pub struct Mutating;

/// `ValidatingAdmissionPolicy`.
#[derive(Debug)]
pub struct Validating;

#[async_trait]
impl Admission for Mutating {
    fn name(&self) -> &'static str {
        "MutatingAdmissionPolicy"
    }

    fn concerns(&self, _attributes: &Attributes<'_>, reader: Reader<'_>) -> bool {
        reader.core().policies.any(Family::Mutating)
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        object: &mut Object,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let Some(hooks) = reader.core().policies.all(Family::Mutating) else { return Ok(()) };
        if is_exempt(attributes) {
            return Ok(());
        }
        mutating::mutate(reader, attributes, &hooks, object, old).await
    }
}

#[async_trait]
impl Admission for Validating {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionPolicy"
    }

    fn concerns(&self, _attributes: &Attributes<'_>, reader: Reader<'_>) -> bool {
        reader.core().policies.any(Family::Validating)
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        object: Option<&Object>,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let Some(hooks) = reader.core().policies.all(Family::Validating) else { return Ok(()) };
        if is_exempt(attributes) {
            return Ok(());
        }
        // A stream has no old object; what it is opened to is for the built-in plugins alone.
        let old = old.filter(|_| attributes.operation != Operation::Connect);
        validating::validate(reader, attributes, &hooks, object, old).await
    }
}

/// Who configures policies must not be locked out by them.
fn is_exempt(attributes: &Attributes<'_>) -> bool {
    attributes.kind.group == "admissionregistration.k8s.io"
        && matches!(
            &*attributes.kind.plural,
            "validatingadmissionpolicies"
                | "validatingadmissionpolicybindings"
                | "mutatingadmissionpolicies"
                | "mutatingadmissionpolicybindings"
        )
}
