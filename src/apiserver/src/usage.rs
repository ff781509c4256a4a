//! What nodes and pods use: the port to whoever measures it, for `metrics.k8s.io`.
//!
//! In: a question. Out: objects as that API has them, of everything that can be measured. This crate measures nothing.

use async_trait::async_trait;
use kedge_api::Object;
use kedge_api::status::Status;

/// Measures when it is asked, never on a timer; an answer may take about a second.
#[async_trait]
pub trait Usage: Send + Sync {
    /// A `NodeMetrics` for each node that can be measured. A refusal says why there is none.
    async fn nodes(&self) -> Result<Vec<Object>, Status>;

    /// A `PodMetrics` for each pod of those nodes that has a running container.
    async fn pods(&self) -> Result<Vec<Object>, Status>;
}
