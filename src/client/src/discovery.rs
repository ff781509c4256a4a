//! What a server serves.
//!
//! In: the aggregated discovery documents. Out: every resource of every version, in the server's order of preference.
//! Never caches: callers keep what they need of it.

use http::header;
use serde::Deserialize;

use crate::{Client, ClientError, Result};

/// Aggregated discovery, version 2.
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
/// The discovery of some hundred kinds takes 200 KiB; of ten thousand custom ones 20 MiB.
const LIMIT: usize = 32 << 20;

/// A resource in one of its versions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Served {
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind; empty if the server names none.
    pub kind: String,
    /// Plural, as in paths.
    pub plural: String,
    /// Singular, as on command lines.
    pub singular: String,
    /// Short names.
    pub short_names: Vec<String>,
    /// Categories, e.g. `all`.
    pub categories: Vec<String>,
    /// It lives in namespaces.
    pub namespaced: bool,
    /// What can be done with it.
    pub verbs: Vec<String>,
    /// The first version of its group that has it.
    pub preferred: bool,
}

/// Asks the server.
pub async fn discover(client: &Client) -> Result<Vec<Served>> {
    let mut all = Vec::new();
    for path in ["/api", "/apis"] {
        let request = http::Request::get(path)
            .header(header::ACCEPT, DISCOVERY)
            .body(bytes::Bytes::new())
            .map_err(|source| ClientError::Request { path: path.to_owned(), source })?;
        let document = client.fetch(request, LIMIT).await?;
        all.extend(read(&document).map_err(|source| ClientError::Decode { path: path.to_owned(), source })?);
    }
    Ok(all)
}

/// Reads one document.
pub fn read(document: &[u8]) -> std::result::Result<Vec<Served>, serde_json::Error> {
    let groups: Groups = serde_json::from_slice(document)?;
    let mut all: Vec<Served> = Vec::new();
    for group in groups.items {
        let first_of_group = all.len();
        for version in group.versions {
            for resource in version.resources {
                let preferred = !all[first_of_group..].iter().any(|earlier| earlier.plural == resource.resource);
                all.push(Served {
                    group: group.metadata.name.clone(),
                    version: version.version.clone(),
                    kind: resource.response_kind.map(|kind| kind.kind).unwrap_or_default(),
                    plural: resource.resource,
                    singular: resource.singular_resource,
                    short_names: resource.short_names,
                    categories: resource.categories,
                    namespaced: resource.scope == "Namespaced",
                    verbs: resource.verbs,
                    preferred,
                });
            }
        }
    }
    Ok(all)
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: GroupMeta,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Default, Deserialize)]
struct GroupMeta {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    resource: String,
    response_kind: Option<Kind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    singular_resource: String,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    kind: String,
}
