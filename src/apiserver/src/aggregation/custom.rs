//! APIServices of custom group versions: made and removed with the definitions that serve them.
//!
//! In: events of CustomResourceDefinitions. Out: APIServices with the label `automanaged: true`.
//! What somebody made by hand is left alone. Without definitions nothing happens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kedge_api::{Object, meta};
use kedge_store::Revision;

use super::{AUTOMANAGED, table};
use crate::bootstrap;
use crate::core::Core;
use crate::registry::body;

const DEFINITIONS: &str = "/apiextensions.k8s.io/customresourcedefinitions/";
/// After the store failed it gets this much time.
const BREATH: Duration = Duration::from_secs(1);

/// Follows definitions from a revision on.
pub async fn run(core: Arc<Core>, mut from: Revision) {
    loop {
        if let Err(why) = settle(&core).await {
            tracing::warn!(why, "APIServices of custom groups cannot be brought up to date");
        } else if let Ok(mut watch) = core.store.watch(DEFINITIONS, from) {
            loop {
                let events = tokio::select! {
                    events = watch.next() => events,
                    () = core.stop.cancelled() => return,
                };
                let Ok(events) = events else { break };
                from = events.last().map_or(from, |event| event.revision);
                if let Err(why) = settle(&core).await {
                    tracing::warn!(why, "APIServices of custom groups cannot be brought up to date");
                    break;
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

/// Makes what is missing and removes what nobody serves any more.
async fn settle(core: &Core) -> Result<(), String> {
    let definitions = read(core, DEFINITIONS).await?;
    let wanted = wanted(&definitions);
    let services = read(core, "/apiregistration.k8s.io/apiservices/").await?;
    for service in &services {
        let spec = |key: &str| meta::text_at(service, &["spec", key]).to_owned();
        let serves = wanted.contains(&(spec("group"), spec("version")));
        if meta::label(service, AUTOMANAGED) == Some("true") && !serves {
            bootstrap::remove(core, service).await.map_err(|status| status.message)?;
        }
    }
    let there = |name: &str| services.iter().any(|service| meta::name(service) == name);
    for (group, version) in &wanted {
        if !there(&format!("{version}.{group}")) {
            let object = table::object(group, version, table::CUSTOM, "true");
            bootstrap::make(core, object).await.map_err(|status| status.message)?;
        }
    }
    Ok(())
}

async fn read(core: &Core, prefix: &str) -> Result<Vec<Object>, String> {
    let page = core.store.list(prefix, None, None, 0).await.map_err(|e| e.to_string())?;
    Ok(page.entries.iter().filter_map(|entry| body::decode(&entry.bytes).ok()).collect())
}

/// The group versions that the definitions serve.
fn wanted(definitions: &[Object]) -> BTreeSet<(String, String)> {
    definitions
        .iter()
        .flat_map(|definition| {
            let group = meta::text_at(definition, &["spec", "group"]).to_owned();
            let versions = meta::list_at(definition, &["spec", "versions"]).iter();
            versions
                .filter(|version| meta::bool_at(version, &["served"]))
                .map(move |version| (group.clone(), meta::text(version, "name").to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_served_version_of_a_definition_is_wanted_once() {
        let definition = |plural: &str, served: bool| {
            json!({"spec": {"group": "x.y", "names": {"plural": plural},
                "versions": [{"name": "v1", "served": true}, {"name": "v2", "served": served}]}})
        };
        let all = |definitions: &[Object]| {
            wanted(definitions).into_iter().map(|(g, v)| format!("{v}.{g}")).collect::<Vec<_>>()
        };
        assert_eq!(all(&[definition("a", false), definition("b", false)]), ["v1.x.y"]);
        assert_eq!(all(&[definition("a", false), definition("b", true)]), ["v1.x.y", "v2.x.y"]);
        assert!(all(&[]).is_empty());
    }
}
