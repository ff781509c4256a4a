//! What may be done with a resource and what hangs below its objects: closed sets.
//!
//! In: words of paths and rules. Out: verbs, sets of verbs, subresources with the kind that each speaks.

use super::{Gvk, Kind};
use std::borrow::Cow;

/// What may be done with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Make one.
    Create,
    /// Remove one.
    Delete,
    /// Remove all that match.
    DeleteCollection,
    /// Read one.
    Get,
    /// Read all that match.
    List,
    /// Change one in part.
    Patch,
    /// Replace one.
    Update,
    /// Follow changes.
    Watch,
}

impl Verb {
    /// All verbs in the order in which discovery lists them.
    pub const ALL: [Verb; 8] = [
        Verb::Create,
        Verb::Delete,
        Verb::DeleteCollection,
        Verb::Get,
        Verb::List,
        Verb::Patch,
        Verb::Update,
        Verb::Watch,
    ];

    /// The word in discovery and in RBAC rules.
    pub const fn name(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Patch => "patch",
            Verb::Update => "update",
            Verb::Watch => "watch",
        }
    }
}

/// A set of verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verbs(u8);

impl Verbs {
    /// Every verb: an ordinary resource.
    pub const ALL: Verbs = Verbs::of(&Verb::ALL);
    /// Reviews and bindings: posted, answered, not kept.
    pub const CREATE_ONLY: Verbs = Verbs::of(&[Verb::Create]);
    /// Computed on request.
    pub const READ_ONLY: Verbs = Verbs::of(&[Verb::Get, Verb::List]);
    /// Namespaces are too dear to be deleted by the dozen.
    pub const NO_COLLECTION_DELETE: Verbs =
        Verbs::of(&[Verb::Create, Verb::Delete, Verb::Get, Verb::List, Verb::Patch, Verb::Update, Verb::Watch]);

    /// The set of these verbs.
    pub const fn of(verbs: &[Verb]) -> Verbs {
        let mut bits = 0;
        let mut i = 0;
        while i < verbs.len() {
            bits |= 1 << verbs[i] as u8;
            i += 1;
        }
        Verbs(bits)
    }

    /// Whether the verb is in the set.
    pub const fn has(self, verb: Verb) -> bool {
        self.0 & (1 << verb as u8) != 0
    }

    /// The words, in the order in which discovery lists them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Verb::ALL.into_iter().filter(move |verb| self.has(*verb)).map(Verb::name)
    }
}

/// A subresource; closed, since each is served by code of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sub {
    /// `certificatesigningrequests/approval`
    Approval,
    /// `pods/attach`
    Attach,
    /// `pods/binding`
    Binding,
    /// `pods/ephemeralcontainers`
    EphemeralContainers,
    /// `pods/eviction`
    Eviction,
    /// `pods/exec`
    Exec,
    /// `namespaces/finalize`
    Finalize,
    /// `pods/log`
    Log,
    /// `pods/portforward`
    PortForward,
    /// `pods/proxy`, `services/proxy`, `nodes/proxy`
    Proxy,
    /// `pods/resize`
    Resize,
    /// `*/scale`
    Scale,
    /// `*/status`
    Status,
    /// `serviceaccounts/token`
    Token,
}

impl Sub {
    /// Every subresource there is.
    pub const ALL: [Sub; 14] = [
        Sub::Approval,
        Sub::Attach,
        Sub::Binding,
        Sub::EphemeralContainers,
        Sub::Eviction,
        Sub::Exec,
        Sub::Finalize,
        Sub::Log,
        Sub::PortForward,
        Sub::Proxy,
        Sub::Resize,
        Sub::Scale,
        Sub::Status,
        Sub::Token,
    ];

    /// The subresource of that name in a path.
    pub fn parse(name: &str) -> Option<Sub> {
        Sub::ALL.into_iter().find(|sub| sub.name() == name)
    }

    /// The name in a path.
    pub const fn name(self) -> &'static str {
        match self {
            Sub::Approval => "approval",
            Sub::Attach => "attach",
            Sub::Binding => "binding",
            Sub::EphemeralContainers => "ephemeralcontainers",
            Sub::Eviction => "eviction",
            Sub::Exec => "exec",
            Sub::Finalize => "finalize",
            Sub::Log => "log",
            Sub::PortForward => "portforward",
            Sub::Proxy => "proxy",
            Sub::Resize => "resize",
            Sub::Scale => "scale",
            Sub::Status => "status",
            Sub::Token => "token",
        }
    }

    /// What may be done with it.
    pub const fn verbs(self) -> Verbs {
        match self {
            Sub::Binding | Sub::Eviction | Sub::Token => Verbs::CREATE_ONLY,
            Sub::Attach | Sub::Exec | Sub::PortForward => Verbs::of(&[Verb::Create, Verb::Get]),
            Sub::Finalize => Verbs::of(&[Verb::Update]),
            Sub::Log => Verbs::of(&[Verb::Get]),
            Sub::Proxy => Verbs::of(&[Verb::Create, Verb::Delete, Verb::Get, Verb::Patch, Verb::Update]),
            Sub::Approval | Sub::EphemeralContainers | Sub::Resize | Sub::Scale | Sub::Status => {
                Verbs::of(&[Verb::Get, Verb::Patch, Verb::Update])
            }
        }
    }

    /// The kind that is read from and written to it, below a parent of this kind.
    pub fn gvk(self, parent: &Kind) -> Gvk {
        let own = |kind: &'static str| Gvk { kind: Cow::Borrowed(kind), ..parent.gvk() };
        match self {
            Sub::Scale => Gvk::fixed("autoscaling", "v1", "Scale"),
            Sub::Eviction => Gvk::fixed("policy", "v1", "Eviction"),
            Sub::Token => Gvk::fixed("authentication.k8s.io", "v1", "TokenRequest"),
            Sub::Binding => own("Binding"),
            Sub::Attach => own("PodAttachOptions"),
            Sub::Exec => own("PodExecOptions"),
            Sub::PortForward => own("PodPortForwardOptions"),
            Sub::Proxy => Gvk { kind: Cow::Owned(format!("{}ProxyOptions", parent.kind)), ..parent.gvk() },
            Sub::Approval | Sub::EphemeralContainers | Sub::Finalize | Sub::Log | Sub::Resize | Sub::Status => {
                parent.gvk()
            }
        }
    }
}
