//! The constructors of refusals, one for each reason, with Kubernetes' texts.
//!
//! In: group, resource and name of the object, and the particulars. Out: [`Status`]. Never looks at objects.

use super::{Cause, Details, Reason, Status};
use crate::field::{FieldError, quote};

/// What the optimistic lock says.
const MODIFIED: &str = "the object has been modified; please apply your changes to the latest version and try again";
const CONTINUE_EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. \
    You can start a new list without the continue parameter";

/// Who asked for what: the particulars of a refusal by the authorizer.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// User name.
    pub user: &'a str,
    /// `get`, `list`, `create` ...
    pub verb: &'a str,
    /// API group; empty is the core group.
    pub group: &'a str,
    /// Resource, e.g. `pods`.
    pub resource: &'a str,
    /// Subresource; may be empty.
    pub subresource: &'a str,
    /// Namespace; empty is the cluster scope.
    pub namespace: &'a str,
    /// Object name; may be empty.
    pub name: &'a str,
}

impl Status {
    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::new(400, Reason::BadRequest, message)
    }

    /// 401.
    pub fn unauthorized() -> Status {
        Status::new(401, Reason::Unauthorized, "Unauthorized")
    }

    /// 403 with any cause; `resource` or `name` may be empty.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: impl std::fmt::Display) -> Status {
        let what = qualified(group, resource);
        let message = match (resource.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{what} is forbidden: {why}"),
            (false, false) => format!("{what} {} is forbidden: {why}", quote(name)),
        };
        Status::new(403, Reason::Forbidden, message).with_details(about(group, resource, name))
    }

    /// 403 by the authorizer, for a resource. `why` is the authorizer's own reason, often empty.
    pub fn access_denied(access: Access<'_>, why: &str) -> Status {
        let mut resource = access.resource.to_string();
        if !access.subresource.is_empty() {
            resource = format!("{resource}/{}", access.subresource);
        }
        let mut text = format!(
            "User {} cannot {} resource {} in API group {} ",
            quote(access.user),
            access.verb,
            quote(&resource),
            quote(access.group)
        );
        match access.namespace {
            "" => text.push_str("at the cluster scope"),
            namespace => text.push_str(&format!("in the namespace {}", quote(namespace))),
        }
        if !why.is_empty() {
            text = format!("{text}: {why}");
        }
        Status::forbidden(access.group, access.resource, access.name, text)
    }

    /// 403 by the authorizer, for a path that is no resource.
    pub fn path_denied(user: &str, verb: &str, path: &str) -> Status {
        let why = format!("User {} cannot {verb} path {}", quote(user), quote(path));
        Status::new(403, Reason::Forbidden, format!("forbidden: {why}")).with_details(Details::default())
    }

    /// 404: no such object.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Status {
        let message = format!("{} {} not found", qualified(group, resource), quote(name));
        Status::new(404, Reason::NotFound, message).with_details(about(group, resource, name))
    }

    /// 404: no such kind of thing here.
    pub fn no_such_resource() -> Status {
        Status::new(404, Reason::NotFound, "the server could not find the requested resource")
            .with_details(Details::default())
    }

    /// 405: the resource has no such verb.
    pub fn method_not_supported(group: &str, resource: &str, verb: &str) -> Status {
        let message = format!("{verb} is not supported on resources of kind {}", quote(&qualified(group, resource)));
        Status::new(405, Reason::MethodNotAllowed, message).with_details(about(group, resource, ""))
    }

    /// 405: the path has no such HTTP method.
    pub fn method_not_allowed() -> Status {
        Status::new(405, Reason::MethodNotAllowed, "the server does not allow this method on the requested resource")
            .with_details(Details::default())
    }

    /// 406: none of the media types that the client accepts.
    pub fn not_acceptable(accepted: &[&str]) -> Status {
        let message = format!("only the following media types are accepted: {}", accepted.join(", "));
        Status::new(406, Reason::NotAcceptable, message)
    }

    /// 409: the name is taken.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Status {
        let message = format!("{} {} already exists", qualified(group, resource), quote(name));
        Status::new(409, Reason::AlreadyExists, message).with_details(about(group, resource, name))
    }

    /// 409: all names made from `generateName` were taken.
    pub fn generate_name_conflict(group: &str, resource: &str, name: &str) -> Status {
        let message = format!(
            "{} {} already exists, the server was not able to generate a unique name for the object",
            qualified(group, resource),
            quote(name)
        );
        Status::new(409, Reason::AlreadyExists, message).with_details(about(group, resource, name)).with_retry_after(1)
    }

    /// 409: the object was changed meanwhile (optimistic lock).
    pub fn conflict(group: &str, resource: &str, name: &str) -> Status {
        Status::conflict_because(group, resource, name, MODIFIED)
    }

    /// 409 with any cause.
    pub fn conflict_because(group: &str, resource: &str, name: &str, why: impl std::fmt::Display) -> Status {
        let what = qualified(group, resource);
        let message = format!("Operation cannot be fulfilled on {what} {}: {why}", quote(name));
        Status::new(409, Reason::Conflict, message).with_details(about(group, resource, name))
    }

    /// 409: a precondition names another UID.
    pub fn uid_precondition(group: &str, resource: &str, name: &str, wanted: &str, found: &str) -> Status {
        let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}");
        Status::conflict_because(group, resource, name, why)
    }

    /// 409: a precondition names another resource version.
    pub fn version_precondition(group: &str, resource: &str, name: &str, wanted: &str, found: &str) -> Status {
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {found}"
        );
        Status::conflict_because(group, resource, name, why)
    }

    /// 409: fields of an apply belong to other managers. Each conflict is (`conflict with ...`, field).
    pub fn apply_conflict(conflicts: &[(String, String)]) -> Status {
        let message = match conflicts {
            [(who, field)] => format!("Apply failed with 1 conflict: {who}: {field}"),
            many => {
                let mut sorted: Vec<&(String, String)> = many.iter().collect();
                sorted.sort_by(|a, b| a.0.cmp(&b.0));
                let mut lines: Vec<String> = Vec::new();
                let mut last = "";
                for (who, field) in sorted {
                    if who != last {
                        lines.push(format!("{}:", who.replacen("conflict with", "conflicts with", 1)));
                        last = who;
                    }
                    lines.push(format!("- {field}"));
                }
                format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
            }
        };
        let mut status = Status::new(409, Reason::Conflict, message).with_details(Details::default());
        for (message, field) in conflicts {
            status = status.with_cause("FieldManagerConflict", message, field);
        }
        status
    }

    /// 410 with the given text.
    pub fn expired(message: impl Into<String>) -> Status {
        Status::new(410, Reason::Expired, message)
    }

    /// 410: a watch from a revision that was compacted.
    pub fn too_old_version(wanted: u64, oldest: u64) -> Status {
        Status::expired(format!("too old resource version: {wanted} ({oldest})"))
    }

    /// 410: a list at a revision that was compacted.
    pub fn list_expired() -> Status {
        Status::expired("The resourceVersion for the provided list is too old.")
    }

    /// 410: a continue token that was compacted. `token` lets the client go on inconsistently.
    pub fn continue_expired(token: Option<&str>) -> Status {
        let Some(token) = token else { return Status::expired(format!("{CONTINUE_EXPIRED}.")) };
        let mut status = Status::expired(format!(
            "{CONTINUE_EXPIRED}, or use the continue token in this response to retrieve the remainder of the results. \
             Continuing with the provided token results in an inconsistent list - objects that were created, modified, \
             or deleted between the time the first chunk was returned and now may show up in the list."
        ));
        status.continue_token = Some(token.into());
        status
    }

    /// 413.
    pub fn too_large(limit: usize) -> Status {
        let message = format!("Request entity too large: limit is {limit}");
        Status::new(413, Reason::RequestEntityTooLarge, message)
    }

    /// 415.
    pub fn unsupported_media_type(accepted: &[&str]) -> Status {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Status::new(415, Reason::UnsupportedMediaType, message)
    }

    /// 422: the object breaks rules; every fault is a cause.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Status {
        let what = if group.is_empty() { kind.to_string() } else { format!("{kind}.{group}") };
        let mut texts: Vec<String> = Vec::with_capacity(errors.len());
        for error in errors {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let mut message = format!("{what} {} is invalid", quote(name));
        match texts.as_slice() {
            [] => {}
            [one] => message = format!("{message}: {one}"),
            many => message = format!("{message}: [{}]", many.join(", ")),
        }
        let mut details = about(group, kind, name);
        details.causes = errors.iter().map(Cause::of).collect();
        Status::new(422, Reason::Invalid, message).with_details(details)
    }

    /// 429 with the server's usual words.
    pub fn too_many_requests(message: &str, seconds: u32) -> Status {
        Status::new(429, Reason::TooManyRequests, message).with_details(Details::default()).with_retry_after(seconds)
    }

    /// 500.
    pub fn internal(why: impl std::fmt::Display) -> Status {
        let why = why.to_string();
        Status::new(500, Reason::InternalError, format!("Internal error occurred: {why}")).with_cause("", why, "")
    }

    /// 500: values of a kind, kept under these keys, cannot be read, and why.
    pub fn store_read(
        group: &str,
        resource: &str,
        prefix: &str,
        found: &[(impl AsRef<str>, impl std::fmt::Display)],
    ) -> Status {
        let mut message = format!("failed to read one or more {} from the storage", qualified(group, resource));
        if let [(key, why), rest @ ..] = found {
            message.push_str(&format!(": {}: {why}", key.as_ref()));
            if !rest.is_empty() {
                message.push_str(&format!(", and {} more", rest.len()));
            }
        }
        let mut status = Status::new(500, Reason::Other("StorageReadError".to_owned()), message)
            .with_details(about(group, resource, prefix));
        for (key, why) in found {
            status = status.with_cause("UnexpectedServerResponse", why.to_string(), key.as_ref());
        }
        status
    }

    /// 500: an operation should be tried again.
    pub fn server_timeout(group: &str, resource: &str, operation: &str, seconds: u32) -> Status {
        let message = format!(
            "The {operation} operation against {} could not be completed at this time, please try again.",
            qualified(group, resource)
        );
        Status::new(500, Reason::ServerTimeout, message)
            .with_details(Details { name: operation.into(), ..about(group, resource, "") })
            .with_retry_after(seconds)
    }

    /// 503.
    pub fn unavailable(message: impl Into<String>) -> Status {
        Status::new(503, Reason::ServiceUnavailable, message)
    }

    /// 504.
    pub fn timeout(message: &str, seconds: u32) -> Status {
        Status::new(504, Reason::Timeout, format!("Timeout: {message}"))
            .with_details(Details { retry_after_seconds: seconds, ..Details::default() })
    }

    /// 504: a revision that this server has not reached.
    pub fn too_large_version(wanted: u64, current: u64) -> Status {
        Status::timeout(&format!("Too large resource version: {wanted}, current: {current}"), 1).with_cause(
            "ResourceVersionTooLarge",
            "Too large resource version",
            "",
        )
    }
}

fn about(group: &str, kind: &str, name: &str) -> Details {
    Details { name: name.into(), group: group.into(), kind: kind.into(), ..Details::default() }
}

/// `deployments.apps`, or `pods` in the core group.
fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_string() } else { format!("{resource}.{group}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Path;
    use serde_json::json;

    #[track_caller]
    fn check(status: Status, code: u16, reason: &str, message: &str) {
        let json = status.to_json();
        assert_eq!((json["code"].as_u64(), json["reason"].as_str()), (Some(code.into()), Some(reason)));
        assert_eq!(json["message"], message);
        assert_eq!(Status::from_json(&json, 0), Some(status));
    }

    #[test]
    fn refusals_read_as_kubernetes_writes_them() {
        check(Status::not_found("", "pods", "x"), 404, "NotFound", "pods \"x\" not found");
        check(
            Status::already_exists("apps", "deployments", "x"),
            409,
            "AlreadyExists",
            "deployments.apps \"x\" already exists",
        );
        check(
            Status::conflict("", "pods", "x"),
            409,
            "Conflict",
            "Operation cannot be fulfilled on pods \"x\": the object has been modified; \
             please apply your changes to the latest version and try again",
        );
        let access = Access {
            user: "u",
            verb: "list",
            group: "",
            resource: "pods",
            subresource: "",
            namespace: "default",
            name: "",
        };
        check(
            Status::access_denied(access, ""),
            403,
            "Forbidden",
            "pods is forbidden: User \"u\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"",
        );
        check(Status::path_denied("u", "get", "/x"), 403, "Forbidden", "forbidden: User \"u\" cannot get path \"/x\"");
        check(Status::too_old_version(1, 5), 410, "Expired", "too old resource version: 1 (5)");
        check(Status::timeout("slow", 2), 504, "Timeout", "Timeout: slow");
        check(Status::internal("boom"), 500, "InternalError", "Internal error occurred: boom");
        check(
            Status::method_not_supported("", "pods", "patch"),
            405,
            "MethodNotAllowed",
            "patch is not supported on resources of kind \"pods\"",
        );
        check(Status::too_large(3), 413, "RequestEntityTooLarge", "Request entity too large: limit is 3");
    }

    #[test]
    fn conflicts_are_grouped_by_manager() {
        let row = |who: &str, field: &str| (format!("conflict with {who:?}"), field.to_string());
        let one = Status::apply_conflict(&[row("kubectl", ".spec.a")]);
        assert_eq!(one.message, "Apply failed with 1 conflict: conflict with \"kubectl\": .spec.a");
        let many = Status::apply_conflict(&[row("b", ".x"), row("a", ".y"), row("b", ".z")]);
        assert_eq!(
            many.message,
            "Apply failed with 3 conflicts: conflicts with \"a\":\n- .y\nconflicts with \"b\":\n- .x\n- .z"
        );
        assert_eq!(many.details.map(|d| d.causes.len()), Some(3));
    }

    #[test]
    fn every_field_fault_is_a_cause() {
        let spec = Path::root("spec");
        let error = FieldError::invalid(&spec.child("replicas"), -1, "must be greater than or equal to 0");
        let one = Status::invalid("apps", "Deployment", "web", std::slice::from_ref(&error));
        assert_eq!(
            one.to_json(),
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "Deployment.apps \"web\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "reason": "Invalid", "code": 422,
                "details": {"name": "web", "group": "apps", "kind": "Deployment", "causes": [
                    {"reason": "FieldValueInvalid", "field": "spec.replicas",
                     "message": "Invalid value: -1: must be greater than or equal to 0"}]}})
        );
        let two = Status::invalid("", "Pod", "p", &[error, FieldError::required(&spec, "")]);
        assert_eq!(
            two.message,
            "Pod \"p\" is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0, spec: Required value]"
        );
    }

    #[test]
    fn success_has_no_code_and_other_objects_are_no_status() {
        let done = Status::success("", "pods", "p", "u1").to_json();
        assert_eq!(done["status"], "Success");
        assert_eq!(done["details"], json!({"name": "p", "kind": "pods", "uid": "u1"}));
        assert_eq!(Status::from_json(&json!({"kind": "Pod"}), 200), None);
        let webhook = json!({"kind": "Status", "reason": "Policy", "message": "no", "code": 0});
        assert_eq!(Status::from_json(&webhook, 403), Some(Status::new(403, Reason::Other("Policy".into()), "no")));
    }
}
