//! What an earlier apply made and the manifests no longer have.
//!
//! In: flags, what was applied. Out: deletions, a line each. Never deletes what no apply made,
//! nor a kind that is not on the list.

use kedge_client::ListOptions;
use serde_json::Value;

use super::{LAST_APPLIED, deletion};
use crate::args::{Apply, DryRun};
use crate::delete::{gone, within};
use crate::error::Failure;
use crate::resource::{Catalogue, Resource};
use crate::session::Session;
use crate::written::Written;

/// The kinds that kubectl prunes where none are named: API version, kind.
const USUAL: [(&str, &str); 16] = [
    ("v1", "ConfigMap"),
    ("v1", "Endpoints"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Pod"),
    ("v1", "ReplicationController"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "Ingress"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("v1", "Namespace"),
    ("v1", "PersistentVolume"),
];

/// What was applied now.
pub struct Kept {
    /// Its namespace; empty where it has none.
    pub namespace: String,
    /// Its UID; empty in a dry run without the server.
    pub uid: String,
    /// Its kind and name.
    pub named: String,
}

/// What is to be looked through.
pub struct Plan<'a> {
    args: &'a Apply,
    kinds: Vec<Resource>,
    /// The kinds were named.
    named: bool,
}

impl<'a> Plan<'a> {
    /// The kinds that the flags name, all of which must be there, or the usual ones that are.
    pub fn new(args: &'a Apply, catalogue: &Catalogue) -> Result<Plan<'a>, Failure> {
        let named = !args.prune_allowlist.is_empty();
        let mut kinds = Vec::new();
        for (version, kind) in USUAL.iter().filter(|_| !named) {
            kinds.extend(catalogue.of(version, kind).cloned());
        }
        for word in &args.prune_allowlist {
            let parts: Vec<&str> = word.split('/').collect();
            let [group, version, kind] = parts.as_slice() else {
                return Err(Failure::said(format!(
                    "invalid GroupVersionKind format: {word}, please follow <group/version/kind>"
                )));
            };
            let api_version =
                if matches!(*group, "core" | "") { (*version).to_owned() } else { format!("{group}/{version}") };
            let known = catalogue.of(&api_version, kind).cloned();
            kinds.push(
                known.ok_or_else(|| Failure::said(format!("the server does not know {word} of --prune-allowlist")))?,
            );
        }
        Ok(Plan { args, kinds, named })
    }

    /// Deletes what is to go; `applied` is what stays.
    pub async fn run(&self, session: &Session, applied: &[Kept], written: &mut Written) -> Result<(), Failure> {
        let mut namespaces: Vec<&str> = applied.iter().map(|kept| &*kept.namespace).filter(|n| !n.is_empty()).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        let mut going = Vec::new();
        for resource in &self.kinds {
            // Who names a namespace means what is in it.
            if !resource.namespaced && session.namespace_given && !self.named {
                continue;
            }
            let places = if resource.namespaced { &namespaces[..] } else { &[""] };
            for place in places {
                let options = ListOptions { labels: self.args.selector.clone(), ..ListOptions::default() };
                let list = session.client.list(&resource.path(Some(place)), &options).await?;
                for object in
                    list["items"].as_array().into_iter().flatten().filter(|object| goes(resource, object, applied))
                {
                    going.extend(self.delete(session, resource, place, object, written).await);
                }
            }
        }
        if !self.args.wait || self.args.dry_run != DryRun::None {
            return Ok(());
        }
        within(&self.args.timeout, async {
            for (path, uid) in &going {
                gone(session, path, Some(&**uid)).await?;
            }
            Ok(())
        })
        .await
    }

    async fn delete(
        &self,
        session: &Session,
        resource: &Resource,
        place: &str,
        object: &Value,
        written: &mut Written,
    ) -> Option<(kedge_client::ResourcePath, String)> {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or("").to_owned();
        let path = resource.path(Some(place)).name(text("name"));
        let done = async {
            if self.args.dry_run != DryRun::Client {
                let mut options = deletion(self.args)?;
                // Whatever has come in its place meanwhile is another object.
                options.uid = Some(text("uid"));
                session.client.delete(&path, &options).await?;
            }
            Ok::<_, Failure>(())
        };
        match done.await {
            Ok(()) => written.done(resource, object.clone(), "pruned"),
            Err(failure) => written.failed(&failure.words()),
        }
        Some((path, text("uid")))
    }
}

/// Whether an object was made by an apply, and is not one of those that were applied now.
fn goes(resource: &Resource, object: &Value, applied: &[Kept]) -> bool {
    let meta = &object["metadata"];
    let text = |field: &str| meta[field].as_str().unwrap_or("");
    let named = resource.named(text("name"));
    meta["annotations"][LAST_APPLIED].is_string()
        && meta["deletionTimestamp"].is_null()
        && !text("uid").is_empty()
        && !applied
            .iter()
            .any(|kept| kept.uid == text("uid") || (kept.named == named && kept.namespace == text("namespace")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::args::{Verb, read};
    use crate::fake;

    fn parsed(flags: &str) -> Apply {
        match read(&format!("edgectl apply -f x --prune {flags}")).unwrap().verb {
            Verb::Apply(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn only_what_an_apply_made_and_no_longer_has_goes() {
        let (session, log) = fake::session(|asked| {
            let object = |name: &str, of_apply: bool| {
                let mut made = json!({"metadata": {"name": name, "uid": name, "namespace": "a"}});
                if of_apply {
                    made["metadata"]["annotations"] = json!({LAST_APPLIED: "{}"});
                }
                made
            };
            match asked.line.contains("configmaps?") {
                true => (
                    200,
                    json!({"items": [object("kept", true), object("named", true), object("old", true), object("foreign", false)]}),
                ),
                false => (200, json!({"items": []})),
            }
        });
        let args = parsed("-l app=web");
        let plan = Plan::new(&args, &session.catalogue().await.unwrap()).unwrap();
        let mut written = Written::new(None, DryRun::None).unwrap();
        let kept =
            |uid: &str, named: &str| Kept { namespace: "a".to_owned(), uid: uid.to_owned(), named: named.to_owned() };
        let applied = [kept("kept", "configmap/other"), kept("", "configmap/named")];
        plan.run(&session, &applied, &mut written).await.unwrap();
        let deleted: Vec<_> = log.all().into_iter().filter(|asked| asked.line.starts_with("DELETE")).collect();
        assert_eq!(deleted.len(), 1);
        assert!(deleted[0].line.ends_with("/namespaces/a/configmaps/old"), "{deleted:?}");
        assert_eq!(deleted[0].body["preconditions"]["uid"], "old");
        assert!(
            log.lines()
                .iter()
                .filter(|line| line.starts_with("GET"))
                .all(|line| line.contains("labelSelector=app%3Dweb"))
        );
        assert!(!log.lines().iter().any(|line| line.contains("/nodes")), "{:?}", log.lines());
    }

    #[tokio::test]
    async fn kinds_are_the_named_ones() {
        let (session, _) = fake::session(|_| (200, json!({})));
        let catalogue = session.catalogue().await.unwrap();
        let kinds = |flags: &str| -> Result<Vec<String>, String> {
            let args = parsed(flags);
            let plan = Plan::new(&args, &catalogue).map_err(|fault| fault.to_string())?;
            Ok(plan.kinds.iter().map(|kind| kind.named("")).collect())
        };
        let named = "--all --prune-allowlist=core/v1/Secret --prune-allowlist=apps/v1/Deployment";
        assert_eq!(kinds(named).unwrap(), ["secret/", "deployment.apps/"]);
        assert!(kinds("--all").unwrap().contains(&"namespace/".to_owned()));
        assert!(kinds("--all --prune-allowlist=Secret").unwrap_err().contains("invalid GroupVersionKind format"));
        assert!(kinds("--all --prune-allowlist=a/v1/B").unwrap_err().contains("does not know a/v1/B"));
    }
}
