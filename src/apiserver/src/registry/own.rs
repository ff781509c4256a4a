//! What the server itself does, through the registry like anybody's requests.
//!
//! In: in whose name it acts and what it is accounted for under. Out: acts on objects. Nobody waits for its
//! warnings, nothing of it is audited, and no option was given. Never decides what is done.

use std::sync::Mutex;

use kedge_api::kinds::Kind;

use super::Act;
use crate::admission::Given;
use crate::audit::Notes;
use crate::core::Core;
use crate::identity::Identity;

/// One of the server's own hands, for any number of acts.
pub struct Own<'a> {
    core: &'a Core,
    who: Identity,
    manager: &'a str,
    warnings: Mutex<Vec<String>>,
    audit: Notes,
}

impl<'a> Own<'a> {
    /// Acts as the server, to whom nothing is forbidden.
    pub fn server(core: &'a Core) -> Self {
        Own::new(core, Identity::master("system:apiserver"), "kube-apiserver")
    }

    /// Acts as somebody; changes of fields are accounted for under the manager's name.
    pub fn new(core: &'a Core, who: Identity, manager: &'a str) -> Self {
        Own { core, who, manager, warnings: Mutex::default(), audit: Notes::default() }
    }

    /// An act on an object; without a name, on a collection. The subresource is the caller's to add.
    pub fn act<'b>(&'b self, kind: &'b Kind, namespace: &'b str, name: &'b str) -> Act<'b> {
        Act {
            core: self.core,
            who: &self.who,
            kind,
            spoken: kind,
            sub: None,
            namespace,
            name,
            dry_run: false,
            manager: self.manager,
            given: Given::default(),
            warnings: &self.warnings,
            audit: &self.audit,
        }
    }
}
