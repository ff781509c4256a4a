//! The cluster as a controller plugin reaches it: every call goes to the engine that runs the reconcile, and the time
//! that it takes is not the plugin's.

use kedge_plugin_api::controllers as api;

use super::words;
use crate::bindings::controller::kedge::plugin::cluster::{Change, EventType, Host, Order, ServedKind, Written};
use crate::bindings::controller::kedge::plugin::objects::{self, Failure, Key, Kind, Query, Table, Tally};
use crate::state::State;

/// Answered outside of a reconcile, e.g. while the plugin declares itself.
fn closed() -> Failure {
    Failure { code: 0, reason: "Closed".into(), message: "the cluster can be reached while reconciling only".into() }
}

impl objects::Host for State {}

impl Host for State {
    fn rows(&mut self, watch: u32, query: Query) -> Table {
        let query = words::query(query);
        self.wait(|cluster| words::to_table(cluster.map(|c| c.rows(watch, &query)).unwrap_or_default()))
    }

    fn count(&mut self, watch: u32, query: Query, fields: Vec<u32>) -> Tally {
        let query = words::query(query);
        self.wait(|cluster| words::to_tally(cluster.map(|c| c.count(watch, &query, &fields)).unwrap_or_default()))
    }

    fn get(&mut self, kind: Kind, key: Key) -> Result<String, Failure> {
        let (kind, key) = (words::kind(kind), words::key(key));
        self.wait(|cluster| cluster.ok_or_else(closed)?.get(&kind, &key).map_err(words::to_failure))
    }

    fn list(&mut self, kind: Kind, namespace: String, labels: String, fields: String) -> Result<String, Failure> {
        let kind = words::kind(kind);
        self.wait(|cluster| {
            cluster.ok_or_else(closed)?.list(&kind, &namespace, &labels, &fields).map_err(words::to_failure)
        })
    }

    fn kinds(&mut self) -> Vec<ServedKind> {
        self.wait(|cluster| cluster.map(|c| c.kinds()).unwrap_or_default().into_iter().map(words::to_served).collect())
    }

    fn write(&mut self, changes: Vec<Change>, order: Order) -> Vec<Result<Written, Failure>> {
        let count = changes.len();
        let changes = changes.into_iter().map(words::change).collect();
        self.wait(|cluster| match cluster {
            Some(cluster) => {
                let answers = cluster.write(changes, words::order(order)).into_iter();
                answers.map(|answer| answer.map(words::to_written).map_err(words::to_failure)).collect()
            }
            None => (0..count).map(|_| Err(closed())).collect(),
        })
    }

    fn event(&mut self, kind: Kind, key: Key, uid: String, event_type: EventType, reason: String, message: String) {
        let warning = matches!(event_type, EventType::Warning);
        let event = api::Event { kind: words::kind(kind), key: words::key(key), uid, warning, reason, message };
        self.wait(|cluster| {
            if let Some(cluster) = cluster {
                cluster.event(event);
            }
        });
    }
}
