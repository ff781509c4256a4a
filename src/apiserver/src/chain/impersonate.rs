//! `Impersonate-*` headers: acting as somebody else, if the rules let you.
//!
//! In: who asks and the headers. Out: who they act as. Each name, group and extra value that is
//! taken on must be granted by the verb `impersonate`.

use http::HeaderMap;
use kedge_api::status::{Access, Status};

use crate::authz::Wanted;
use crate::core::Core;
use crate::identity::{AUTHENTICATED, Identity, SERVICE_ACCOUNTS, UNAUTHENTICATED};
use crate::request::percent_decode;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";

/// Who the request acts as.
pub fn apply(core: &Core, who: Identity, headers: &HeaderMap) -> Result<Identity, Status> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
    let user = text(USER);
    let groups: Vec<&str> = headers.get_all(GROUP).iter().filter_map(|v| v.to_str().ok()).collect();
    let extras: Vec<(String, &str)> = headers
        .iter()
        .filter_map(|(name, value)| Some((percent_decode(name.as_str().strip_prefix(EXTRA)?), value.to_str().ok()?)))
        .collect();
    let uid = text(UID);
    if user.is_empty() {
        if groups.is_empty() && extras.is_empty() && uid.is_empty() {
            return Ok(who);
        }
        return Err(Status::bad_request("requested impersonation without impersonating a user"));
    }

    let mut acted = match user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((namespace, name)) => {
            allow(core, &who, "", "serviceaccounts", "", namespace, name)?;
            let mut acted = Identity::service_account(namespace, name);
            if !groups.is_empty() {
                acted.groups = vec![AUTHENTICATED.to_owned()];
            }
            acted
        }
        None => {
            allow(core, &who, "", "users", "", "", user)?;
            if user == crate::identity::ANONYMOUS { Identity::anonymous() } else { Identity::user(user, [""; 0]) }
        }
    };
    for group in groups {
        allow(core, &who, "", "groups", "", "", group)?;
        if group == UNAUTHENTICATED {
            acted.groups.retain(|g| g != AUTHENTICATED);
        }
        if !acted.is_in(group) {
            acted.groups.push(group.to_owned());
        }
    }
    if user.starts_with("system:serviceaccount:") && acted.groups == [AUTHENTICATED] {
        acted.groups.push(SERVICE_ACCOUNTS.to_owned());
    }
    if !uid.is_empty() {
        allow(core, &who, "authentication.k8s.io", "uids", "", "", uid)?;
        acted.uid = uid.to_owned();
    }
    for (key, value) in extras {
        allow(core, &who, "authentication.k8s.io", "userextras", &key, "", value)?;
        acted.extra.entry(key).or_default().push(value.to_owned());
    }
    Ok(acted)
}

fn allow(
    core: &Core,
    who: &Identity,
    group: &str,
    resource: &str,
    subresource: &str,
    namespace: &str,
    name: &str,
) -> Result<(), Status> {
    let verb = "impersonate";
    if core.authorizer.decide(who, &Wanted::Resource { verb, group, resource, subresource, namespace, name }).allowed {
        return Ok(());
    }
    let access = Access { user: &who.name, verb, group, resource, subresource, namespace, name };
    Err(Status::access_denied(access, ""))
}
