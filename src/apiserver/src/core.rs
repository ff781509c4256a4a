//! What every request works with, in one place.
//!
//! Made once by `ApiServer::open`; shared by all connections and the loopback. Holds no object.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError, RwLock};

use kedge_api::kinds::Kinds;
use kedge_store::Revision;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::policy::Policies;
use crate::admission::presence::Presence;
use crate::admission::webhook::Webhooks;
use crate::admission::{Admission, Reader};
use crate::aggregation::Aggregator;
use crate::audit::Audit;
use crate::authn::Authenticators;
use crate::authn::webhook::TokenWebhook;
use crate::authz::webhook::AccessWebhook;
use crate::authz::{Authorizer, Decision, Detail, Fields, Wanted};
use crate::clock::Clock;
use crate::config::Config;
use crate::flow::FlowControl;
use crate::gate::Gate;
use crate::health::Health;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::random::Random;
use crate::registry::convert::Converter;
use crate::registry::encoded::{Batches, EncodedOnce};
use crate::registry::pace::Paces;
use crate::registry::services::Services;
use crate::streams::NodeStreams;
use crate::tls::Authority;
use crate::usage::Usage;
use crate::vault::Vault;

/// See the module.
pub(crate) struct Core {
    pub config: Config,
    /// The device's addresses: the configured ones until somebody says that it moved.
    pub addresses: tokio::sync::watch::Sender<Vec<IpAddr>>,
    pub store: Vault,
    /// The store's revision at the start: what lived in memory only before it is unknown.
    pub started_at: Revision,
    pub kinds: RwLock<Arc<Kinds>>,
    /// Goes up when other kinds are served.
    pub kinds_changed: tokio::sync::watch::Sender<u64>,
    pub authorizer: Authorizer,
    pub admission: Vec<Arc<dyn Admission>>,
    /// What other servers answer.
    pub aggregator: Arc<Aggregator>,
    /// The webhooks that are asked.
    pub webhooks: Arc<Webhooks>,
    /// Which kinds that bind others there are objects of.
    pub presence: Presence,
    /// The admission policies that are asked.
    pub policies: Arc<Policies>,
    /// The audit log, if there is one.
    pub audit: Option<Arc<Audit>>,
    pub clock: Clock,
    pub random: Random,
    pub metrics: Arc<Metrics>,
    /// Makes calls to others.
    pub outbound: Arc<Outbound>,
    /// Who is asked about tokens.
    pub token_webhook: Option<TokenWebhook>,
    /// Who is asked about rights.
    pub access_webhook: Option<AccessWebhook>,
    pub health: Health,
    pub authority: Arc<Authority>,
    pub authn: Authenticators,
    pub streams: Arc<dyn NodeStreams>,
    /// Measures what nodes and pods use.
    pub usage: Option<Arc<dyn Usage>>,
    pub converter: Arc<dyn Converter>,
    pub services: Services,
    /// One backup or restore at a time.
    pub transfers: Arc<tokio::sync::Semaphore>,
    pub gate: Gate,
    pub flow: Arc<FlowControl>,
    pub encoded: EncodedOnce,
    pub batches: Batches,
    /// How often watches over the network are written to.
    pub paces: Paces,
    /// Goes up when watches shall tell of progress.
    pub progress: tokio::sync::watch::Sender<u64>,
    /// Told when the server ends; every task listens to it.
    pub stop: CancellationToken,
    /// Every task, so that the end can wait for them.
    pub tasks: TaskTracker,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Core")
    }
}

impl Core {
    /// The kinds that are served now.
    pub fn kinds(&self) -> Arc<Kinds> {
        self.kinds.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the table of kinds, if `change` says that it did; whoever listens is told.
    pub fn change_kinds(&self, change: impl FnOnce(&mut Kinds) -> bool) {
        let mut held = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        let mut kinds = Kinds::clone(&held);
        if change(&mut kinds) {
            *held = Arc::new(kinds);
            drop(held);
            self.kinds_changed.send_modify(|count| *count += 1);
        }
    }

    /// Decides; what no role grants may be granted by whom the configuration names.
    pub async fn decide(&self, who: &Identity, wanted: &Wanted<'_>, detail: Detail<'_>) -> Decision {
        let decision = self.authorizer.decide_selected(who, wanted, Fields(detail.fields));
        self.or_elsewhere(decision, who, wanted, detail).await
    }

    /// Whether they may, for those to whom the reason and the selectors are nothing.
    pub async fn may(&self, who: &Identity, wanted: &Wanted<'_>) -> bool {
        self.decide(who, wanted, Detail::default()).await.allowed
    }

    /// The decision, or that of whom the configuration names where it is a refusal.
    pub async fn or_elsewhere(
        &self,
        decision: Decision,
        who: &Identity,
        wanted: &Wanted<'_>,
        detail: Detail<'_>,
    ) -> Decision {
        match &self.access_webhook {
            Some(webhook) if !decision.allowed => {
                // Rare and deep: in a box it does not make every write's future larger.
                let other = Box::pin(webhook.decide(&self.outbound, who, wanted, detail)).await;
                if other.allowed || other.denied || !other.reason.is_empty() { other } else { decision }
            }
            _ => decision,
        }
    }

    /// What admission may look at.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(self)
    }

    /// The address under which others reach this server.
    pub fn advertised(&self) -> IpAddr {
        let given = self.config.advertise;
        if !given.is_unspecified() {
            return given;
        }
        let reachable = |a: &&IpAddr| !a.is_loopback() && !a.is_unspecified() && a.is_ipv4();
        self.addresses.borrow().iter().find(reachable).copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// The time as objects carry it.
    pub fn timestamp(&self) -> String {
        kedge_api::clock::rfc3339(self.clock.now())
    }
}
