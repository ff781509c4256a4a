//! The API server as a whole: opened on a store, then served on sockets or called from within.
//!
//! In: settings, a store, parts. Out: a handle. Everything that goes on beside requests is started
//! here, told to stop by one token, and joined by [`ApiServer::close`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use kedge_api::kinds::Kinds;
use kedge_api::meta;
use kedge_api::status::Status;
use kedge_store::{Body, Revision, Store, Tier, WriteError};
use rustls::crypto::CryptoProvider;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::presence::Presence;
use crate::admission::webhook::Family;
use crate::aggregation::{Aggregator, FrontProxy};
use crate::audit::{Audit, AuditError};
use crate::authn::Authenticators;
use crate::authn::settings::{self, SettingsFault};
use crate::authn::token::{self, Bound, TokenKey, TokenOrder};
use crate::authn::webhook::TokenWebhook;
use crate::authz::Authorizer;
use crate::authz::webhook::AccessWebhook;
use crate::chain::{self, Origin};
use crate::clock::LastSeen;
use crate::config::{Config, Parts};
use crate::core::Core;
use crate::flow::FlowControl;
use crate::gate::Gate;
use crate::health::{Check, Health, Probe};
use crate::identity::Identity;
use crate::loopback::Loopback;
use crate::metrics::MetricsSource;
use crate::outbound::{EndpointError, Outbound};
use crate::registry::services::Services;
use crate::tls::client::ClientCertificates;
use crate::tls::{Authority, AuthorityError, ServingCertificate};
use crate::vault::Vault;
use crate::vault::settings::{self as encryption, EncryptionFault};
use crate::{admission, aggregation, audit, bootstrap, conversion, kubeconfig, listen, tls, upkeep};

/// Why the API server could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Certificates or keys.
    #[error("certificates of the API server")]
    Authority(#[from] AuthorityError),
    /// TLS refused its configuration.
    #[error("TLS of the API server")]
    Tls(#[from] rustls::Error),
    /// What was set for encryption at rest cannot be used.
    #[error(transparent)]
    Encryption(#[from] EncryptionFault),
    /// What was set for authentication cannot be used.
    #[error(transparent)]
    Authentication(#[from] SettingsFault),
    /// Where a webhook is.
    #[error("a webhook of authentication or authorization")]
    Webhook(#[from] EndpointError),
    /// The audit log.
    #[error("the audit log")]
    Audit(#[from] AuditError),
    /// The objects of the start could not be made.
    #[error("objects that must be there from the start: {0}")]
    Bootstrap(Status),
    /// The store could not be read.
    #[error("roles could not be read")]
    Store(#[from] kedge_store::ReadError),
    /// The configuration of admission cannot work.
    #[error("the configuration of admission")]
    Admission(#[from] admission::ConfigFault),
    /// The store could not be written.
    #[error("the start could not be marked")]
    Mark(#[from] kedge_store::WriteError),
}

/// Why the API server could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The admin's kubeconfig could not be written.
    #[error("the admin's kubeconfig")]
    Kubeconfig(#[from] AuthorityError),
    /// The listener does not work.
    #[error("the listener of the API server")]
    Listen(#[from] std::io::Error),
    /// TLS refused its configuration.
    #[error("TLS of the API server")]
    Tls(#[from] rustls::Error),
}

/// A key in memory that is written at every start, so that no revision of an earlier start is as
/// new as this one's first.
const START: &str = "/kedge.dev/start";

async fn mark_start(store: &Store) -> Result<Revision, WriteError> {
    let body = || Body::plain(Bytes::new());
    let entry = match store.create(Tier::Volatile, START, body(), Bytes::new()).await {
        Err(WriteError::Exists(there)) => store.update(START, there.revision, body(), Bytes::new()).await?,
        made => made?,
    };
    Ok(entry.revision)
}

/// The API server. Cheap to clone.
#[derive(Clone)]
pub struct ApiServer {
    core: Arc<Core>,
    provider: Arc<CryptoProvider>,
    certificates: ClientCertificates,
    last_seen: LastSeen,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiServer")
    }
}

impl ApiServer {
    /// Makes keys and certificates under `data_dir/pki`, the objects that must be there from the
    /// start, and starts what goes on beside requests. The clock never runs below the last time
    /// seen by an earlier start.
    pub async fn open(config: Config, store: Store, parts: Parts) -> Result<ApiServer, OpenError> {
        let pki = config.data_dir.join("pki");
        let last_seen = LastSeen::in_dir(&config.data_dir);
        let clock = parts.clock.never_below(last_seen.read());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let settings = settings::read(&config.authentication)?;
        let authority = Arc::new(Authority::open(&pki, clock.now())?);
        let mut certificates = ClientCertificates::trusting(authority.certificate(), &provider)?;
        if let Some(pem) = &settings.front_proxy {
            certificates.trust_proxies(pem, config.authentication.front_proxy_names.clone(), &provider)?;
        }
        if let Err(error) = last_seen.write(clock.now()) {
            tracing::warn!(%error, "cannot remember the time");
        }
        // What a backup or restore left behind that did not end; there is none most of the time.
        let _ = std::fs::remove_dir_all(crate::backup::folder(&config.data_dir));
        let started_at = mark_start(&store).await?;
        let store = Vault::new(store, encryption::read(&config.encryption, &pki)?);
        let mut more = parts.admission;
        more.push(Arc::new(admission::plugins::Plugins(parts.plugins)));
        let plugins = admission::chain(&config.admission, more)?;
        let presence = Presence::of(&store).await?;
        let kinds = Kinds::chosen(&config.versions);
        let kinds = if config.removed_versions { kinds.with_removed() } else { kinds };
        let kinds = if parts.usage.is_some() { kinds.with_measured() } else { kinds };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let outbound = Outbound::new(store.clone(), clock.clone(), parts.random.clone(), stop.clone(), tasks.clone());
        let outbound = Arc::new(outbound);
        let conversion = conversion::Webhook::new(outbound.clone(), parts.random.clone());
        let conversions = conversion.figures.clone();
        let converter = parts.converter.unwrap_or_else(|| Arc::new(conversion));
        let token_webhook = config.token_webhook.as_ref().map(|s| TokenWebhook::open(s, &outbound)).transpose()?;
        let access_webhook = config.access_webhook.as_ref().map(|s| AccessWebhook::open(s, &outbound)).transpose()?;
        let (audit, log, receiver) = match &config.audit {
            None => (None, None, None),
            Some(settings) => {
                let (audit, log, receiver) = Audit::open(settings, &outbound)?.parts();
                (Some(Arc::new(audit)), log, receiver)
            }
        };
        let front = FrontProxy::open(&pki, clock.clone())?;
        let core = Arc::new(Core {
            gate: Gate::new(&config.limits),
            flow: Arc::new(FlowControl::new(config.limits.seats)),
            services: Services::new(config.service_network, config.node_ports),
            addresses: tokio::sync::watch::Sender::new(config.addresses.clone()),
            config,
            started_at,
            store,
            kinds: RwLock::new(Arc::new(kinds)),
            kinds_changed: tokio::sync::watch::Sender::new(0),
            authorizer: Authorizer::default(),
            admission: plugins,
            webhooks: Arc::default(),
            presence,
            policies: Arc::default(),
            audit,
            aggregator: Arc::new(Aggregator::new(front)),
            clock,
            random: parts.random,
            metrics: Arc::default(),
            outbound,
            token_webhook,
            access_webhook,
            health: Health::default(),
            authority,
            authn: Authenticators::new(TokenKey::open(&pki)?, settings),
            streams: parts.streams,
            usage: parts.usage,
            transfers: Arc::new(tokio::sync::Semaphore::new(1)),
            converter,
            encoded: Default::default(),
            batches: Default::default(),
            paces: Default::default(),
            progress: tokio::sync::watch::Sender::new(0),
            stop,
            tasks,
        });
        if let Some(audit) = &core.audit {
            core.metrics.add(audit.clone());
            audit::Opened::start(log, receiver, &core);
        }
        bootstrap::run(&core).await.map_err(OpenError::Bootstrap)?;
        let revision = upkeep::roles::fill(&core).await?;
        core.tasks.spawn(upkeep::roles::follow(core.clone(), revision));
        core.metrics.add(core.webhooks.clone());
        core.metrics.add(conversions);
        core.metrics.add(core.aggregator.clone());
        let revision_of_services = aggregation::follow::fill(&core).await?;
        core.tasks.spawn(aggregation::follow::run(core.clone(), revision_of_services));
        core.tasks.spawn(aggregation::custom::run(core.clone(), revision));
        for family in Family::ALL {
            let revision = upkeep::webhooks::fill(&core, family).await?;
            core.tasks.spawn(upkeep::webhooks::follow(core.clone(), family, revision));
        }
        let flow_revision = upkeep::flow::fill(&core).await?;
        core.tasks.spawn(upkeep::flow::follow(core.clone(), flow_revision));
        let flow = core.flow.clone();
        core.metrics.add(Arc::new(move |out: &mut String| flow.render(out)));
        let (definitions, known) = upkeep::definitions::fill(&core).await?;
        core.tasks.spawn(upkeep::definitions::follow(core.clone(), definitions, known));
        let bound = upkeep::nodes::fill(&core).await?;
        core.tasks.spawn(upkeep::nodes::follow(core.clone(), bound));
        core.metrics.add(core.policies.clone());
        let policies = upkeep::policies::fill(&core).await?;
        core.tasks.spawn(upkeep::policies::follow(core.clone(), policies));
        core.tasks.spawn(upkeep::events::expire(core.clone(), revision));
        core.tasks.spawn(upkeep::progress(core.clone()));
        core.tasks.spawn(upkeep::requests::run(core.clone()));
        core.tasks.spawn(upkeep::reseal(core.clone()));
        core.tasks.spawn(upkeep::secrets::run(core.clone()));
        upkeep::ranges::fill(&core).await?;
        core.tasks.spawn(upkeep::ranges::run(core.clone()));
        core.tasks.spawn(upkeep::addresses::run(core.clone()));
        for key in upkeep::KUBERNETES {
            core.tasks.spawn(upkeep::kubernetes(core.clone(), key, revision));
        }
        core.health.started.store(true, Ordering::Release);
        Ok(ApiServer { core, provider, certificates, last_seen })
    }

    /// The API as an axum router, for requests that were authenticated by nobody: anonymous.
    pub fn router(&self) -> axum::Router {
        let core = self.core.clone();
        axum::Router::new().fallback(move |request: http::Request<axum::body::Body>| {
            let core = core.clone();
            async move {
                let origin = Origin::Connection(crate::authn::Shown::Nothing);
                chain::handle(core, origin, request).await
            }
        })
    }

    /// The API as a service that acts as `who`, without a socket.
    pub fn loopback(&self, who: Identity) -> Loopback {
        Loopback { core: self.core.clone(), who: Arc::new(who) }
    }

    /// Serves TLS connections on the listener until `shutdown`; returns once they have ended.
    /// The admin's kubeconfig is written before the first connection is accepted.
    pub async fn serve(&self, listener: std::net::TcpListener, shutdown: CancellationToken) -> Result<(), ServeError> {
        let address = listener.local_addr()?;
        let core = &self.core;
        let serving = ServingCertificate::issue(
            core.authority.clone(),
            self.provider.clone(),
            self.names(),
            self.addresses(address.ip()),
            core.clock.clone(),
        )?;
        let tls =
            tls::server_config(serving.clone(), self.certificates.hints(), self.provider.clone(), core.clock.clone())?;
        self.write_admin_kubeconfig(address)?;
        let this = self.clone();
        let renew_admin = move || {
            if let Err(error) = this.write_admin_kubeconfig(address) {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot renew the admin's kubeconfig");
            }
        };
        let this = self.clone();
        let addresses = move || this.addresses(address.ip());
        core.tasks.spawn(upkeep::certificates(core.clone(), serving, self.last_seen.clone(), addresses, renew_admin));
        tracing::info!(%address, "the API is served");
        let ended = listen::serve(
            core.clone(),
            listener,
            TlsAcceptor::from(Arc::new(tls)),
            self.certificates.clone(),
            shutdown,
        )
        .await;
        core.health.stopping.store(true, Ordering::Release);
        Ok(ended?)
    }

    /// The device has these addresses from now on: its certificate and the endpoints of `kubernetes` follow.
    pub fn set_addresses(&self, addresses: Vec<IpAddr>) {
        self.core.addresses.send_if_modified(|old| {
            let moved = *old != addresses;
            *old = addresses;
            moved
        });
    }

    /// Writes `admin.kubeconfig` for a server listening there; out: its path.
    pub fn write_admin_kubeconfig(&self, listening: SocketAddr) -> Result<PathBuf, AuthorityError> {
        let host = match (self.core.config.advertise, listening.ip()) {
            (advertise, _) if !advertise.is_unspecified() => advertise,
            (_, IpAddr::V4(ip)) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            (_, IpAddr::V6(ip)) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            (_, ip) => ip,
        };
        let server = format!("https://{}", SocketAddr::new(host, listening.port()));
        let path = kubeconfig::path(&self.core.config.data_dir);
        kubeconfig::write(&path, &self.core.authority, &self.certificates, &server, self.core.clock.now())?;
        Ok(path)
    }

    /// A token of a service account, as `serviceaccounts/NAME/token` gives it; out: the token and
    /// when it ends.
    pub async fn issue_service_account_token(
        &self,
        namespace: &str,
        name: &str,
        order: TokenOrder,
    ) -> Result<(String, SystemTime), Status> {
        let account = self.core.reader().get("", "serviceaccounts", namespace, name).await?;
        let account = account.ok_or_else(|| Status::not_found("", "serviceaccounts", name))?;
        let bound = Bound { name: name.to_owned(), uid: meta::uid(&account).to_owned() };
        let now = self.core.clock.now();
        let ends = now + order.lifetime;
        let claims = token::claims(namespace, bound, order, self.core.random.uid(), now);
        Ok((self.core.authn.key.sign(&claims), ends))
    }

    /// A client certificate and its key as PEM, for `user` in `group`.
    pub fn issue_client_certificate(
        &self,
        user: &str,
        group: Option<&str>,
        lifetime: Duration,
    ) -> Result<(String, String), AuthorityError> {
        let issued = self.core.authority.issue_client(user, group, self.core.clock.now(), lifetime)?;
        Ok((issued.certificate_pem, issued.key_pem))
    }

    /// The certificate that clients of this server trust, as PEM.
    pub fn ca_certificate(&self) -> &str {
        self.core.authority.certificate_pem()
    }

    /// Lets a bearer token name somebody.
    pub fn add_static_token(&self, token: impl Into<String>, who: Identity) {
        self.core.authn.known.add(token.into(), who);
    }

    /// Adds lines to `/metrics`.
    pub fn add_metrics(&self, source: Arc<dyn MetricsSource>) {
        self.core.metrics.add(source);
    }

    /// Adds a check to the health endpoints.
    pub fn add_check(&self, name: &str, probe: Probe, check: Check) {
        self.core.health.add(name, probe, check);
    }

    /// The kinds that are served now.
    pub fn kinds(&self) -> Arc<Kinds> {
        self.core.kinds()
    }

    /// The clock of the server, which never runs below the last time seen.
    pub fn clock(&self) -> crate::clock::Clock {
        self.core.clock.clone()
    }

    /// Ends what goes on beside requests, watches and streams, and waits for it. The store stays open.
    pub async fn close(&self) {
        self.core.health.stopping.store(true, Ordering::Release);
        self.core.stop.cancel();
        self.core.tasks.close();
        self.core.tasks.wait().await;
        if let Err(error) = self.last_seen.write(self.core.clock.now()) {
            tracing::warn!(%error, "cannot remember the time");
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ]
        .map(str::to_owned)
        .to_vec();
        names.push(self.core.config.node_name.clone());
        names.extend(self.core.config.names.iter().cloned());
        names.sort();
        names.dedup();
        names
    }

    fn addresses(&self, listening: IpAddr) -> Vec<IpAddr> {
        let mut addresses =
            vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST), self.core.services.first()];
        addresses.extend(self.core.addresses.borrow().iter().copied());
        addresses.extend([listening, self.core.config.advertise].into_iter().filter(|a| !a.is_unspecified()));
        addresses.sort();
        addresses.dedup();
        addresses
    }
}
