//! Which kinds the API serves, and where.
//!
//! In: the aggregated discovery documents. Out: a table from kinds to paths. Never keeps a kind that cannot be read.

use std::collections::HashMap;

use kedge_client::discovery::{self, Served};
use kedge_client::{Client, ClientError, ResourcePath};
use kedge_plugin_api::controllers::{Kind, ServedKind};

/// The kinds that the API serves, in a fixed order: numbers stay valid as long as the table.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    served: Vec<ServedKind>,
    /// All versions, also those that are not preferred.
    plurals: HashMap<Kind, (String, bool)>,
}

impl Kinds {
    /// Asks the API.
    pub async fn discover(client: &Client) -> Result<Kinds, ClientError> {
        let mut kinds = Kinds::default();
        kinds.add(discovery::discover(client).await?);
        Ok(kinds)
    }

    /// The kinds that are served now. Every kind keeps its number; one that is not served any more keeps its place
    /// without verbs, for as long as the plugin runs. `None` if nothing changed.
    pub fn adopting(&self, all: Vec<Served>) -> Option<Kinds> {
        let mut fresh = Kinds::default();
        fresh.add(all);
        let same = |a: &ServedKind, b: &ServedKind| a.kind.group == b.kind.group && a.kind.kind == b.kind.kind;
        let mut served: Vec<ServedKind> = self.served.clone();
        for place in &mut served {
            match fresh.served.iter().find(|one| same(one, place)) {
                Some(found) => *place = found.clone(),
                None => place.verbs.clear(),
            }
        }
        let known = served.len();
        served.extend(fresh.served.into_iter().filter(|one| !self.served.iter().any(|place| same(one, place))));
        let is_new = served.len() != known || served != self.served || fresh.plurals != self.plurals;
        is_new.then_some(Kinds { served, plurals: fresh.plurals })
    }

    fn add(&mut self, all: Vec<Served>) {
        for Served { group, version, kind, plural, namespaced, verbs, preferred, .. } in all {
            if kind.is_empty() {
                continue;
            }
            let kind = Kind { group, version, kind };
            self.plurals.insert(kind.clone(), (plural.clone(), namespaced));
            // Groups of old versions show what is served elsewhere: it would be seen twice.
            if preferred && kind.group != "extensions" {
                self.served.push(ServedKind { kind, plural, namespaced, verbs });
            }
        }
    }

    /// Every kind in its preferred version; a kind's place here is its number.
    pub fn served(&self) -> &[ServedKind] {
        &self.served
    }

    /// The collection of a kind; `None` when it is not served. A namespace is passed over for kinds without.
    pub fn path(&self, kind: &Kind, namespace: &str) -> Option<ResourcePath> {
        let (plural, namespaced) = self.plurals.get(kind)?;
        let path = ResourcePath::new(&*kind.group, &*kind.version, &**plural);
        Some(if *namespaced && !namespace.is_empty() { path.namespace(namespace) } else { path })
    }

    /// The numbers of the kinds that a watch of `every` stands for.
    pub fn collectable(&self) -> impl Iterator<Item = (u32, &ServedKind)> {
        let has = |kind: &ServedKind| {
            ["list", "watch", "delete"].iter().all(|verb| kind.verbs.iter().any(|v| v == verb))
                // The same Events under their old and their new group: once is enough.
                && !(kind.kind.group == "events.k8s.io" && kind.kind.kind == "Event")
        };
        (0u32..).zip(&self.served).filter(move |(_, kind)| has(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_keep_their_numbers() {
        let all = |names: &[&str]| -> Vec<Served> {
            let one = |name: &&str| Served {
                version: "v1".into(),
                kind: (*name).to_owned(),
                plural: name.to_lowercase(),
                verbs: vec!["list".into(), "watch".into(), "delete".into()],
                preferred: true,
                ..Served::default()
            };
            names.iter().map(one).collect()
        };
        let mut kinds = Kinds::default();
        kinds.add(all(&["A", "B"]));
        assert!(kinds.adopting(all(&["A", "B"])).is_none());
        let kinds = kinds.adopting(all(&["C", "B"])).unwrap();
        let numbers: Vec<_> = kinds.collectable().map(|(n, k)| (n, k.kind.kind.as_str())).collect();
        assert_eq!(numbers, [(1, "B"), (2, "C")]);
        let kinds = kinds.adopting(all(&["A", "B", "C"])).unwrap();
        assert_eq!(kinds.collectable().map(|(n, _)| n).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn the_preferred_version_stands_for_a_kind() {
        let text = r#"{"items":[
          {"versions":[{"version":"v1","resources":[
            {"resource":"pods","scope":"Namespaced","responseKind":{"kind":"Pod"},"verbs":["list","watch","delete"]},
            {"resource":"bindings","scope":"Namespaced","responseKind":{"kind":"Binding"},"verbs":["create"]}]}]},
          {"metadata":{"name":"autoscaling"},"versions":[
            {"version":"v2","resources":[{"resource":"hpas","scope":"Namespaced","responseKind":{"kind":"HPA"},"verbs":["list","watch","delete"]}]},
            {"version":"v1","resources":[{"resource":"hpas","scope":"Namespaced","responseKind":{"kind":"HPA"},"verbs":["list"]}]}]}]}"#;
        let mut kinds = Kinds::default();
        kinds.add(discovery::read(text.as_bytes()).unwrap());
        let numbers: Vec<_> = kinds.collectable().map(|(n, k)| (n, k.kind.version.as_str())).collect();
        assert_eq!(numbers, [(0, "v1"), (2, "v2")]);
        let old = Kind { group: "autoscaling".into(), version: "v1".into(), kind: "HPA".into() };
        assert_eq!(kinds.path(&old, "a").unwrap().to_string(), "/apis/autoscaling/v1/namespaces/a/hpas");
        let none = Kind { group: "x".into(), version: "v1".into(), kind: "HPA".into() };
        assert!(kinds.path(&none, "").is_none());
    }
}
