//! Certificates: who may approve, sign and vouch for a signer, and which subjects nobody gets.
//!
//! In: requests for certificates and ClusterTrustBundles. Out: 403 (422 for pods' certificates), or nothing.

use async_trait::async_trait;
use base64::Engine as _;
use kedge_api::Object;
use kedge_api::field::{FieldError, Path, quote};
use kedge_api::kinds::Sub;
use kedge_api::meta::{at, text_at};
use kedge_api::status::Status;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use super::{Admission, Attributes, Operation, Reader};
use crate::authz::Wanted;
use crate::identity::MASTERS;

/// CertificateApproval: whoever approves requests for a signer may do so.
#[derive(Debug)]
pub struct CertificateApproval;

/// CertificateSigning: whoever signs for a signer may do so.
#[derive(Debug)]
pub struct CertificateSigning;

/// CertificateSubjectRestriction: no client certificate puts anybody into `system:masters`.
#[derive(Debug)]
pub struct CertificateSubjectRestriction;

/// ClusterTrustBundleAttest: whoever publishes what a signer trusts may do so.
#[derive(Debug)]
pub struct ClusterTrustBundleAttest;

const GROUP: &str = "certificates.k8s.io";
const REQUESTS: &str = "certificatesigningrequests";
const POD_REQUESTS: &str = "podcertificaterequests";
const CLIENTS: &str = "kubernetes.io/kube-apiserver-client";

/// Whether the one who asks may do that for the signer, or for all signers of its domain.
async fn may(attributes: &Attributes<'_>, reader: Reader<'_>, verb: &str, signer: &str) -> bool {
    let domain = format!("{}/*", signer.split('/').next().unwrap_or_default());
    for name in [signer, &domain] {
        let wanted = Wanted::Resource { verb, group: GROUP, resource: "signers", subresource: "", namespace: "", name };
        if reader.may(attributes.who, &wanted).await {
            return true;
        }
    }
    false
}

fn signer(object: &Object) -> &str {
    text_at(object, &["spec", "signerName"])
}

/// Common name and organizations that a request's certificate would name.
pub(super) fn subject(request: &Object) -> Result<(String, Vec<String>), String> {
    let text = text_at(request, &["spec", "request"]);
    let pem = base64::engine::general_purpose::STANDARD.decode(text).map_err(|e| e.to_string())?;
    const KIND: &str = "PEM block type must be CERTIFICATE REQUEST";
    let (_, block) = x509_parser::pem::parse_x509_pem(&pem).map_err(|_| KIND.to_owned())?;
    if block.label != "CERTIFICATE REQUEST" {
        return Err(KIND.to_owned());
    }
    let (_, parsed) = X509CertificationRequest::from_der(&block.contents).map_err(|e| e.to_string())?;
    let subject = &parsed.certification_request_info.subject;
    let words = |one: Result<&str, _>| one.ok().map(str::to_owned);
    let name = subject.iter_common_name().filter_map(|part| words(part.as_str())).last();
    let groups = subject.iter_organization().filter_map(|part| words(part.as_str())).collect();
    Ok((name.unwrap_or_default(), groups))
}

#[async_trait]
impl Admission for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns(GROUP, REQUESTS)
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        _object: Option<&Object>,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let approves = attributes.operation == Operation::Update
            && attributes.subresource == Some(Sub::Approval)
            && attributes.concerns(GROUP, REQUESTS);
        let Some(old) = old.filter(|_| approves) else { return Ok(()) };
        if may(attributes, reader, "approve", signer(old)).await {
            return Ok(());
        }
        Err(attributes
            .forbidden(format!("user not permitted to approve requests with signerName {}", quote(signer(old)))))
    }
}

#[async_trait]
impl Admission for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns(GROUP, REQUESTS) || attributes.concerns(GROUP, POD_REQUESTS)
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        object: Option<&Object>,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let signs = attributes.operation == Operation::Update && attributes.subresource == Some(Sub::Status);
        let (Some(new), Some(old)) = (object.filter(|_| signs), old) else { return Ok(()) };
        let for_pod = attributes.concerns(GROUP, POD_REQUESTS);
        let same = match for_pod {
            true => new.get("status") == old.get("status"),
            false => ["certificate", "conditions"].iter().all(|f| at(new, &["status", f]) == at(old, &["status", f])),
        };
        if same || may(attributes, reader, "sign", signer(old)).await {
            return Ok(());
        }
        if for_pod {
            let (user, of) = (quote(&attributes.who.name), quote(signer(old)));
            let rule = format!("User {user} is not permitted to \"sign\" for signer {of}");
            let fault = FieldError::forbidden(&Path::root("spec").child("signerName"), rule);
            return Err(Status::invalid(GROUP, &attributes.kind.kind, attributes.name, &[fault]));
        }
        Err(attributes.forbidden(format!("user not permitted to sign requests with signerName {}", quote(signer(old)))))
    }
}

#[async_trait]
impl Admission for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns(GROUP, REQUESTS)
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        object: Option<&Object>,
        _old: Option<&Object>,
        _reader: Reader<'_>,
    ) -> Result<(), Status> {
        let Some(request) = object.filter(|o| attributes.creates(GROUP, REQUESTS) && signer(o) == CLIENTS) else {
            return Ok(());
        };
        let (_, groups) =
            subject(request).map_err(|why| attributes.forbidden(format!("failed to parse CSR: {why}")))?;
        if groups.iter().any(|group| group == MASTERS) {
            return Err(attributes.forbidden(format!("use of {CLIENTS} signer with {MASTERS} group is not allowed")));
        }
        Ok(())
    }
}

#[async_trait]
impl Admission for ClusterTrustBundleAttest {
    fn name(&self) -> &'static str {
        "ClusterTrustBundleAttest"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        &*attributes.kind.stored.0 == GROUP
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        object: Option<&Object>,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
        let bundle =
            object.filter(|o| writes && attributes.concerns(GROUP, "clustertrustbundles") && !signer(o).is_empty());
        let Some(bundle) = bundle else { return Ok(()) };
        let unchanged = old.is_some_and(|old| old.get("spec") == bundle.get("spec"));
        if unchanged || may(attributes, reader, "attest", signer(bundle)).await {
            return Ok(());
        }
        Err(attributes.forbidden(format!("user not permitted to attest for signerName {}", quote(signer(bundle)))))
    }
}
