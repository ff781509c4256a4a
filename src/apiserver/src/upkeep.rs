//! What goes on beside requests: roles follow the store, Events end, watches hear of progress,
//! certificates are renewed, the time is remembered, definitions are served.
//!
//! In: the store's events and a few timers. Every task waits for an event or one coalesced timer,
//! and ends by the server's token.

pub mod addresses;
mod bootstrap_tokens;
pub mod definitions;
pub mod events;
pub mod flow;
pub mod nodes;
pub mod policies;
pub mod ranges;
pub mod requests;
pub mod roles;
pub mod secrets;
pub mod webhooks;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kedge_store::{Change, Revision};

use crate::bootstrap;
use crate::clock::LastSeen;
use crate::core::Core;
use crate::tls::ServingCertificate;

/// After the store failed it gets this much time.
const BREATH: Duration = Duration::from_secs(1);
/// The longest sleep of the certificate task: the clock may jump while it sleeps.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Tells watches of progress, if there was any, while there are watches that want to know.
pub async fn progress(core: Arc<Core>) {
    let every = core.config.limits.bookmarks;
    let mut told = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = core.stop.cancelled() => return,
        }
        let revision = core.store.revision();
        if revision > told && core.progress.receiver_count() > 0 {
            told = revision;
            core.progress.send_replace(revision);
        }
    }
}

/// Seals, once after the start, what is not sealed as the settings want it now, and takes what it was off the disk.
pub async fn reseal(core: Arc<Core>) {
    let outcome = tokio::select! {
        outcome = core.store.rewrite() => outcome,
        () = core.stop.cancelled() => return,
    };
    match outcome {
        Ok((0, 0)) => {}
        Ok((written, 0)) => tracing::info!(written, "values were sealed anew after the settings or keys changed"),
        Ok((written, locked)) => tracing::error!(
            written,
            locked,
            "values are kept that no configured key opens: give the key back in the encryption configuration"
        ),
        Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "values cannot be sealed anew"),
    }
    match core.store.scrub().await {
        Ok(false) => {}
        Ok(true) => tracing::info!("what was sealed anew is off the disk as it was before"),
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "what was sealed anew may still be on the disk as it was before; the next start tries again"
        ),
    }
}

/// Makes the Service `kubernetes` and its endpoints again when somebody deletes them after `from`.
pub async fn kubernetes(core: Arc<Core>, key: &'static str, mut from: Revision) {
    loop {
        if let Ok(mut watch) = core.store.watch(key, from) {
            loop {
                let events = tokio::select! {
                    events = watch.next() => events,
                    () = core.stop.cancelled() => return,
                };
                let Ok(events) = events else { break };
                let gone = events.iter().any(|e| e.change == Change::Deleted && *e.entry.key == *key);
                while gone && let Err(status) = bootstrap::kubernetes(&core).await {
                    // Also while whoever deletes it has not given its address back yet.
                    tracing::info!(%status, "cannot make the Service kubernetes again yet");
                    tokio::select! {
                        () = tokio::time::sleep(BREATH) => {}
                        () = core.stop.cancelled() => return,
                    }
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(BREATH) => {}
            () = core.stop.cancelled() => return,
        }
        from = core.store.revision();
    }
}

/// What [`kubernetes`] looks after.
pub const KUBERNETES: [&str; 3] = [
    "/core/services/default/kubernetes",
    "/core/endpoints/default/kubernetes",
    "/discovery.k8s.io/endpointslices/default/kubernetes",
];

/// Renews the server's certificate and the admin's kubeconfig in time, and remembers the time. A device that got other
/// addresses gets a certificate with them at once.
pub async fn certificates(
    core: Arc<Core>,
    serving: Arc<ServingCertificate>,
    last_seen: LastSeen,
    addresses: impl Fn() -> Vec<IpAddr> + Send,
    renew_admin: impl Fn() + Send,
) {
    let mut moved = core.addresses.subscribe();
    loop {
        let wait = match serving.renew(addresses()) {
            Ok(wait) => wait.min(DAY).max(Duration::from_secs(60)),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot renew the server's certificate");
                Duration::from_secs(3600)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            Ok(()) = moved.changed() => {
                if let Err(status) = bootstrap::kubernetes(&core).await {
                    tracing::warn!(%status, "the Service kubernetes does not have the device's new address");
                }
                continue;
            }
            () = core.stop.cancelled() => return,
        }
        renew_admin();
        if let Err(error) = last_seen.write(core.clock.now()) {
            tracing::warn!(%error, "cannot remember the time");
        }
    }
}
