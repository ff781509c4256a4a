//! What the node and its pods use, for `metrics.k8s.io`.
//!
//! In: the API server's questions. Out: what was measured between two looks, of which the last two are kept; many
//! who ask at once share one measurement. Nothing is looked at while nobody asks.

use std::time::{Instant, SystemTime};

use async_trait::async_trait;
use kedge_api::Object;
use kedge_api::status::Status;
use kedge_apiserver::Usage;
use kedge_client::ResourcePath;
use tokio::sync::Mutex;

use crate::device::Device;
use crate::kubelet::usage::{Look, Next, SHORTEST, Window, next};
use crate::streams::NodeSide;

/// The last two looks.
#[derive(Default)]
pub struct Looks(Mutex<Option<(Look, Look)>>);

#[async_trait]
impl Usage for NodeSide {
    async fn nodes(&self) -> Result<Vec<Object>, Status> {
        let device = self.device()?;
        let node = device.api.get(&ResourcePath::core("nodes").name(&*device.name)).await;
        let node = node.map_err(|e| Status::internal(format!("cannot read the Node: {}", crate::chain(&e))))?;
        Ok(vec![device.measured(|window| window.node(&node)).await])
    }

    async fn pods(&self) -> Result<Vec<Object>, Status> {
        let device = self.device()?;
        let pods = device.pods().await?;
        Ok(device.measured(|window| window.pods(&device.name, &pods)).await)
    }
}

impl Device {
    /// Measures, or takes what was measured a moment ago.
    async fn measured<T>(&self, show: impl FnOnce(&Window<'_>) -> T) -> T {
        let mut kept = self.looks.0.lock().await;
        let age = kept.as_ref().map(|(_, last)| last.moment.elapsed());
        let (first, last) = match (next(age), kept.take()) {
            (Next::Nothing, Some(both)) => both,
            (Next::Once, Some((_, last))) => (last, self.look().await),
            _ => {
                let first = self.look().await;
                tokio::time::sleep(SHORTEST).await;
                (first, self.look().await)
            }
        };
        let shown = show(&Window { first: &first, last: &last });
        *kept = Some((first, last));
        shown
    }

    async fn look(&self) -> Look {
        let containers = self.node.usage().await;
        Look { at: SystemTime::now(), moment: Instant::now(), containers, machine: self.machine.usage() }
    }
}
