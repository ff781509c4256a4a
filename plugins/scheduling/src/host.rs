//! PodFitsHost: a pod that names its node goes there or nowhere.

use kedge_plugin_sdk::scheduling::Pod;
use kedge_plugin_sdk::{Nodes, Refusal, Verdict};

/// Refuses every other node.
pub fn fits_host(nodes: &Nodes, pod: &Pod, verdict: &mut Verdict) {
    if pod.node_name == 0 {
        return;
    }
    verdict.each(|row| {
        if nodes.names[row] == pod.node_name {
            return Ok(());
        }
        Err(Refusal::for_good("node(s) didn't match the requested node name"))
    });
}
