//! What the scheduler reads of a Node.
//!
//! In: the API's JSON. Out: the facts of its row. Heartbeats and conditions change no fact.
#![allow(missing_docs)]

use std::collections::BTreeMap;

use kedge_plugin_api::NodeTable;
use kedge_plugin_api::nodes::{NodeFacts, Taint};
use serde::Deserialize;
use serde_json::Value;

use crate::pod::{self, full_image_name};
use crate::wire::{Metadata, nullable};

/// A Node, as far as scheduling is concerned.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    pub metadata: Metadata,
    #[serde(deserialize_with = "nullable")]
    pub spec: NodeSpec,
    #[serde(deserialize_with = "nullable")]
    pub status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    #[serde(deserialize_with = "nullable")]
    pub unschedulable: bool,
    #[serde(deserialize_with = "nullable")]
    pub taints: Vec<NodeTaint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeTaint {
    pub key: String,
    #[serde(deserialize_with = "nullable")]
    pub value: String,
    pub effect: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    #[serde(deserialize_with = "nullable")]
    pub allocatable: BTreeMap<String, Value>,
    #[serde(deserialize_with = "nullable")]
    pub images: Vec<Image>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Image {
    #[serde(deserialize_with = "nullable")]
    pub names: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub size_bytes: u64,
}

impl Node {
    /// Its row.
    pub fn facts(&self, table: &mut NodeTable) -> NodeFacts {
        let mut allocatable = Vec::new();
        for (name, amount) in pod::parse_amounts(&self.status.allocatable) {
            let column = table.column(&name);
            if allocatable.len() <= column {
                allocatable.resize(column + 1, 0);
            }
            allocatable[column] = amount;
        }
        let symbols = &mut table.symbols;
        let labels = pod::pairs(&self.metadata.labels, symbols);
        let annotations = pod::pairs(&self.metadata.annotations, symbols);
        let taint = |taint: &NodeTaint| {
            Some(Taint {
                effect: pod::effect(&taint.effect)?,
                key: symbols.intern(&taint.key),
                value: symbols.intern(&taint.value),
            })
        };
        let taints = self.spec.taints.iter().filter_map(taint).collect();
        let names = self.status.images.iter().flat_map(|image| image.names.iter().map(|name| (name, image.size_bytes)));
        let images = names.map(|(name, size)| (symbols.intern(&full_image_name(name)), size)).collect();
        NodeFacts { unschedulable: self.spec.unschedulable, allocatable, labels, annotations, taints, images }
    }
}
