//! From the words `deploy`, `po/web`, `deployments.v1.apps` to kinds and paths.
//!
//! In: the server's discovery, the words of a command line. Out: kinds and the objects that are meant.
//! Never guesses: a word that no kind bears is an error that names it.

use kedge_client::discovery::{self, Served};
use kedge_client::{Client, ResourcePath};

use crate::error::Failure;

/// A kind that the server serves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    pub verbs: Vec<String>,
}

impl Resource {
    /// Its collection; the namespace is passed over where it has none, and an empty one stands for all.
    pub fn path(&self, namespace: Option<&str>) -> ResourcePath {
        let path = ResourcePath::new(&*self.group, &*self.version, &*self.plural);
        match namespace {
            Some(namespace) if self.namespaced && !namespace.is_empty() => path.namespace(namespace),
            _ => path,
        }
    }

    /// `deployment.apps/web`, as kubectl says it.
    pub fn named(&self, name: &str) -> String {
        let singular = self.kind.to_lowercase();
        if self.group.is_empty() { format!("{singular}/{name}") } else { format!("{singular}.{}/{name}", self.group) }
    }

    /// `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    fn is_called(&self, word: &str) -> bool {
        let (name, rest) = word.split_once('.').unwrap_or((word, ""));
        let named = self.plural == name
            || self.singular == name
            || self.kind.to_lowercase() == name
            || self.short_names.iter().any(|s| s == name);
        let qualified = rest.is_empty()
            || rest == self.group
            || rest.split_once('.').is_some_and(|(version, group)| version == self.version && group == self.group)
            || (self.group.is_empty() && rest == self.version);
        named && qualified
    }
}

/// Everything that the server serves, each kind in its preferred version first.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    resources: Vec<Resource>,
    preferred: Vec<bool>,
}

/// Objects that are meant: all of a kind, or one.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Of which kind.
    pub resource: Resource,
    /// Which one; `None` for all.
    pub name: Option<String>,
}

impl Catalogue {
    /// Asks the server.
    pub async fn ask(client: &Client) -> Result<Catalogue, Failure> {
        let mut all = Catalogue::default();
        all.add(discovery::discover(client).await?);
        Ok(all)
    }

    fn add(&mut self, served: Vec<Served>) {
        for one in served {
            self.preferred.push(one.preferred);
            self.resources.push(Resource {
                group: one.group,
                version: one.version,
                kind: one.kind,
                plural: one.plural,
                singular: one.singular,
                short_names: one.short_names,
                categories: one.categories,
                namespaced: one.namespaced,
                verbs: one.verbs,
            });
        }
    }

    /// The kind that a word means.
    pub fn find(&self, word: &str) -> Result<&Resource, Failure> {
        let lower = word.to_lowercase();
        let called = |only_preferred: bool| {
            (0..self.resources.len())
                .filter(|i| self.preferred[*i] || !only_preferred)
                .map(|i| &self.resources[i])
                .find(|r| r.is_called(&lower))
        };
        called(true)
            .or_else(|| called(false))
            .ok_or_else(|| Failure::said(format!("the server doesn't have a resource type \"{word}\"")))
    }

    /// The kind of an object in a manifest.
    pub fn of(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        self.resources.iter().find(|r| r.kind == kind && r.api_version() == api_version)
    }

    /// Every kind in every version.
    pub fn every(&self) -> impl Iterator<Item = &Resource> {
        self.resources.iter()
    }

    /// Every kind in its preferred version.
    pub fn preferred(&self) -> impl Iterator<Item = &Resource> {
        self.resources.iter().zip(&self.preferred).filter(|(_, preferred)| **preferred).map(|(resource, _)| resource)
    }

    /// A kind, by its plural, in one version.
    pub fn of_version(&self, api_version: &str, plural: &str) -> Option<&Resource> {
        self.resources.iter().find(|r| r.plural == plural && r.api_version() == api_version)
    }

    /// The objects that the words of a command line mean.
    pub fn targets(&self, words: &[String]) -> Result<Vec<Target>, Failure> {
        let Some(first) = words.first() else {
            return Err(Failure::said(
                "You must provide one or more resources by argument or filename.\nExample resource specifications include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'",
            ));
        };
        if words.iter().any(|word| word.contains('/')) {
            return words
                .iter()
                .map(|word| match word.split_once('/') {
                    Some((of, name)) if !of.is_empty() && !name.is_empty() => {
                        Ok(Target { resource: self.find(of)?.clone(), name: Some(name.to_owned()) })
                    }
                    _ => Err(Failure::said(
                        "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form",
                    )),
                })
                .collect();
        }
        let mut kinds = Vec::new();
        for word in first.split(',').filter(|word| !word.is_empty()) {
            let category: Vec<&Resource> = (0..self.resources.len())
                .filter(|i| self.preferred[*i])
                .map(|i| &self.resources[i])
                .filter(|r| r.categories.iter().any(|c| c == word))
                .collect();
            if category.is_empty() {
                kinds.push(self.find(word)?);
            } else {
                kinds.extend(category);
            }
        }
        if kinds.is_empty() {
            return Err(Failure::said(format!("\"{first}\" names no resource type")));
        }
        let names = &words[1..];
        if names.is_empty() {
            return Ok(kinds.into_iter().map(|r| Target { resource: r.clone(), name: None }).collect());
        }
        if names.iter().any(String::is_empty) {
            // As of a variable that is not set: the path of an object without a name is that of them all.
            return Err(Failure::said("resource name may not be empty"));
        }
        let pairs = kinds.into_iter().flat_map(|r| names.iter().map(move |name| (r, name)));
        Ok(pairs.map(|(r, name)| Target { resource: r.clone(), name: Some(name.clone()) }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        let text = r#"{"items":[
          {"versions":[{"version":"v1","resources":[
            {"resource":"pods","singularResource":"pod","scope":"Namespaced","responseKind":{"kind":"Pod"},"shortNames":["po"],"categories":["all"]},
            {"resource":"nodes","singularResource":"node","scope":"Cluster","responseKind":{"kind":"Node"},"shortNames":["no"]},
            {"resource":"events","singularResource":"event","scope":"Namespaced","responseKind":{"kind":"Event"}}]}]},
          {"metadata":{"name":"apps"},"versions":[{"version":"v1","resources":[
            {"resource":"deployments","singularResource":"deployment","scope":"Namespaced","responseKind":{"kind":"Deployment"},"shortNames":["deploy"],"categories":["all"]}]}]},
          {"metadata":{"name":"events.k8s.io"},"versions":[{"version":"v1","resources":[
            {"resource":"events","singularResource":"event","scope":"Namespaced","responseKind":{"kind":"Event"}}]}]}]}"#;
        let mut all = Catalogue::default();
        all.add(discovery::read(text.as_bytes()).unwrap());
        all
    }

    #[track_caller]
    fn check(words: &str, expected: &[&str]) {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let found: Vec<String> = match catalogue().targets(&words) {
            Ok(targets) => targets.iter().map(|t| t.resource.named(t.name.as_deref().unwrap_or("*"))).collect(),
            Err(e) => vec![e.to_string()],
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn an_empty_namespace_is_all_of_them() {
        let all = catalogue();
        let path = |word: &str, namespace| all.find(word).unwrap().path(namespace).to_string();
        assert_eq!(path("po", Some("a")), "/api/v1/namespaces/a/pods");
        assert_eq!(path("po", Some("")), "/api/v1/pods");
        assert_eq!(path("po", None), "/api/v1/pods");
        assert_eq!(path("no", Some("a")), "/api/v1/nodes");
    }

    #[test]
    fn words_mean_kinds_and_names() {
        check("po", &["pod/*"]);
        check("Pod a b", &["pod/a", "pod/b"]);
        check("deploy/web po/x", &["deployment.apps/web", "pod/x"]);
        check("deployments.apps,no", &["deployment.apps/*", "node/*"]);
        check("deployments.v1.apps", &["deployment.apps/*"]);
        check("events.events.k8s.io", &["event.events.k8s.io/*"]);
        check("events", &["event/*"]);
        check("all", &["pod/*", "deployment.apps/*"]);
        check("po a ", &["resource name may not be empty"]);
        check(",", &["\",\" names no resource type"]);
        check("foo", &["the server doesn't have a resource type \"foo\""]);
    }
}
