//! `Impersonate-*` headers: acting as somebody else, if the rules let you.
//!
//! In: who asks, what they ask for and the headers. Out: who they act as. The narrow ways are tried
//! first: those that grant a certain request (`impersonate-on:MODE:VERB`) as a certain kind of user
//! (`impersonate:MODE`); then the old one, where `impersonate` grants everything that user may do.

use std::collections::BTreeMap;

use http::HeaderMap;
use kedge_api::name;
use kedge_api::status::{Access, Status};

use crate::authz::{Detail, Wanted};
use crate::core::Core;
use crate::identity::{ANONYMOUS, AUTHENTICATED, Identity, MASTERS, SERVICE_ACCOUNTS, UNAUTHENTICATED};
use crate::request::percent_decode;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";
/// Where a service account's node is noted when its token is bound to one.
const NODE: &str = "authentication.kubernetes.io/node-name";

/// Whom somebody wants to be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// A way of being somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A service account as the node its pod runs on.
    AssociatedNode,
    /// Any node.
    ArbitraryNode,
    /// A service account.
    ServiceAccount,
    /// Anybody else, with groups, uid and extras.
    UserInfo,
    /// Anybody, for everything.
    Legacy,
}

const MODES: [Mode; 5] =
    [Mode::AssociatedNode, Mode::ArbitraryNode, Mode::ServiceAccount, Mode::UserInfo, Mode::Legacy];

/// Who the request acts as.
pub async fn apply(core: &Core, who: Identity, headers: &HeaderMap, request: Wanted<'_>) -> Result<Identity, Status> {
    let Some(asked) = read(headers)? else { return Ok(who) };
    let mut first = None;
    for mode in MODES.into_iter().filter(|mode| mode.fits(&asked, &who)) {
        match mode.check(core, &who, &asked, request).await {
            Ok(()) => return Ok(mode.become_them(asked)),
            Err(status) => first = first.or(Some(status)),
        }
    }
    // The last mode fits everybody, so there was a refusal.
    Err(first.unwrap_or_else(|| Status::internal("all impersonation modes failed")))
}

fn read(headers: &HeaderMap) -> Result<Option<Asked>, Status> {
    // Hardly anybody does, and every request comes by here.
    if !headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
        return Ok(None);
    }
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    let mut asked = Asked { user: text(USER), uid: text(UID), ..Asked::default() };
    asked.groups = headers.get_all(GROUP).iter().filter_map(|v| v.to_str().ok().map(str::to_owned)).collect();
    for (name, value) in headers {
        let (Some(key), Ok(value)) = (name.as_str().strip_prefix(EXTRA), value.to_str()) else { continue };
        asked.extra.entry(percent_decode(key)).or_default().push(value.to_owned());
    }
    if !asked.user.is_empty() {
        return Ok(Some(asked));
    }
    if asked == Asked::default() {
        return Ok(None);
    }
    let Asked { uid, groups, extra, .. } = asked;
    Err(Status::bad_request(format!(
        "requested uid {uid:?}, groups {groups:?}, extra {extra:?} without impersonating a user name"
    )))
}

impl Asked {
    fn only_name(&self) -> bool {
        self.uid.is_empty() && self.groups.is_empty() && self.extra.is_empty()
    }

    fn node(&self) -> Option<&str> {
        self.user.strip_prefix("system:node:").filter(|n| name::check_subdomain(n).is_ok())
    }

    fn account(&self) -> Option<(&str, &str)> {
        let (namespace, name) = self.user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        (name::check_label(namespace).is_ok() && name::check_subdomain(name).is_ok()).then_some((namespace, name))
    }
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::AssociatedNode => "associated-node",
            Mode::ArbitraryNode => "arbitrary-node",
            Mode::ServiceAccount => "serviceaccount",
            Mode::UserInfo => "user-info",
            Mode::Legacy => "",
        }
    }

    /// Whether this way is meant for such a user.
    fn fits(self, asked: &Asked, who: &Identity) -> bool {
        match self {
            Mode::AssociatedNode => {
                let own = who.extra.get(NODE).and_then(|names| names.first()).map(String::as_str);
                asked.only_name() && asked.node().is_some() && asked.node() == own && who.as_service_account().is_some()
            }
            Mode::ArbitraryNode => asked.only_name() && asked.node().is_some(),
            Mode::ServiceAccount => asked.only_name() && asked.account().is_some(),
            Mode::UserInfo => asked.node().is_none() && asked.account().is_none(),
            Mode::Legacy => true,
        }
    }

    async fn check(self, core: &Core, who: &Identity, asked: &Asked, request: Wanted<'_>) -> Result<(), Status> {
        let narrow = self != Mode::Legacy;
        let verb = if narrow { format!("impersonate:{}", self.name()) } else { "impersonate".to_owned() };
        let group = if narrow { AUTHENTICATION } else { "" };
        if narrow {
            self.check_request(core, who, request).await?;
        }
        let may = async |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
            allow(core, who, &Wanted::Resource { verb: &verb, group, resource, subresource, namespace, name }).await
        };
        match (self, asked.node(), asked.account()) {
            (Mode::AssociatedNode, _, _) => may(group, "nodes", "", "", "*").await?,
            (Mode::ArbitraryNode, Some(node), _) => may(group, "nodes", "", "", node).await?,
            (_, _, Some((namespace, name))) => may(group, "serviceaccounts", "", namespace, name).await?,
            _ => may(group, "users", "", "", &asked.user).await?,
        }
        if !asked.uid.is_empty() {
            may(AUTHENTICATION, "uids", "", "", &asked.uid).await?;
        }
        let refuse = |resource: &str, name: &str, why: &str| {
            let access = Access { user: &who.name, verb: &verb, group, resource, subresource: "", namespace: "", name };
            Status::access_denied(access, why)
        };
        for one in &asked.groups {
            if narrow && one.is_empty() {
                return Err(refuse("groups", "", "impersonating the empty string group is not allowed"));
            }
            if narrow && one == MASTERS {
                return Err(refuse("groups", one, "impersonating the system:masters group is not allowed"));
            }
            may(group, "groups", "", "", one).await?;
        }
        for (key, values) in &asked.extra {
            if narrow && values.iter().any(String::is_empty) {
                let why = "impersonating the empty string value in extra is not allowed";
                return Err(refuse("userextras", "", why));
            }
            for value in values {
                may(AUTHENTICATION, "userextras", key, "", value).await?;
            }
        }
        Ok(())
    }

    /// Whether the request itself may be made in this way.
    async fn check_request(self, core: &Core, who: &Identity, request: Wanted<'_>) -> Result<(), Status> {
        let on = |verb: &str| format!("impersonate-on:{}:{verb}", self.name());
        match request {
            Wanted::Resource { verb, group, resource, subresource, namespace, name } => {
                let verb = &on(verb);
                allow(core, who, &Wanted::Resource { verb, group, resource, subresource, namespace, name }).await
            }
            Wanted::Path { verb, path } => allow(core, who, &Wanted::Path { verb: &on(verb), path }).await,
        }
    }

    fn become_them(self, asked: Asked) -> Identity {
        let mut groups = asked.groups.clone();
        match (self, asked.account()) {
            (Mode::AssociatedNode | Mode::ArbitraryNode, _) => groups = vec!["system:nodes".to_owned()],
            (_, Some((namespace, _))) if groups.is_empty() => {
                groups = vec![SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")];
            }
            _ => {}
        }
        let stranger = asked.user == ANONYMOUS;
        let has = |group: &str| groups.iter().any(|g| g == group);
        if stranger && !has(UNAUTHENTICATED) {
            groups.push(UNAUTHENTICATED.to_owned());
        } else if !stranger && !has(UNAUTHENTICATED) && !has(AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Identity { name: asked.user, groups, uid: asked.uid, extra: asked.extra }
    }
}

async fn allow(core: &Core, who: &Identity, wanted: &Wanted<'_>) -> Result<(), Status> {
    let decision = core.decide(who, wanted, Detail::default()).await;
    if decision.allowed {
        return Ok(());
    }
    Err(match *wanted {
        Wanted::Path { verb, path } => Status::path_denied(&who.name, verb, path),
        Wanted::Resource { verb, group, resource, subresource, namespace, name } => {
            let access = Access { user: &who.name, verb, group, resource, subresource, namespace, name };
            Status::access_denied(access, &decision.reason)
        }
    })
}
