//! Which values are sealed, and by which keys: an `EncryptionConfiguration` of
//! `apiserver.config.k8s.io`, or the device's own key.
//!
//! In: files. Out: [`Rules`], or a sentence with file and field. The first provider of a resource
//! seals, all open. Files that others can read are refused.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;

use super::cipher::Algorithm;
use super::envelope::{NAME, Sealed, Secret};
use crate::authn::settings::{SettingsFault, private};
use crate::tls::authority::{AuthorityError, write_private};

/// The device's own file in `pki/`.
pub const OWN: &str = "encryption.yaml";

/// What the API server is told about sealing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encryption {
    /// Seal Secrets with a key of the device's own, made at the first start.
    pub secrets: bool,
    /// An `EncryptionConfiguration` file instead.
    pub config: Option<PathBuf>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EncryptionFault {
    /// A file cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsFault),
    /// The device's own key cannot be made.
    #[error("the device's own encryption key")]
    Own(#[from] AuthorityError),
    /// Both ways at once.
    #[error("store.encryptSecrets and store.encryptionConfig are both set: choose one")]
    Both,
}

/// One way to keep a value.
#[derive(Debug)]
pub enum Provider {
    /// As it is.
    Identity,
    /// Sealed with this key.
    Key(Box<Secret>),
}

/// The providers of some resources, the one that seals first.
#[derive(Debug)]
struct Rule {
    /// Prefixes of the store's keys.
    prefixes: Vec<String>,
    providers: Vec<Provider>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// The providers of a key of the store; `None` if it is kept as it is.
    pub fn of(&self, key: &str) -> Option<&[Provider]> {
        let rule = self.0.iter().find(|rule| rule.prefixes.iter().any(|p| key.starts_with(p.as_str())))?;
        Some(&rule.providers)
    }

    /// The key that sealed a value. Keys of other rules count too: a resource may have been moved.
    pub fn key(&self, key: &str, sealed: &Sealed<'_>) -> Option<&Secret> {
        let own = self.of(key).into_iter().flatten();
        let all = self.0.iter().flat_map(|rule| &rule.providers);
        own.chain(all).find_map(|provider| match provider {
            Provider::Key(secret) if sealed.is_by(secret) => Some(&**secret),
            _ => None,
        })
    }

    /// The prefixes of everything that has a rule.
    pub fn prefixes(&self) -> Vec<String> {
        self.0.iter().flat_map(|rule| rule.prefixes.iter().cloned()).collect()
    }
}

/// Reads the settings; makes the device's own key if it is wanted and not there.
pub fn read(encryption: &Encryption, pki: &Path) -> Result<Rules, EncryptionFault> {
    let own = pki.join(OWN);
    match (&encryption.config, encryption.secrets) {
        (Some(_), true) => Err(EncryptionFault::Both),
        (Some(path), false) => {
            let mut rules = load(path)?;
            // What the device's own key sealed before opens still.
            if own.exists() {
                rules.0.extend(load(&own)?.0);
            }
            Ok(rules)
        }
        (None, true) => {
            if !own.exists() {
                make(&own)?;
            }
            Ok(load(&own)?)
        }
        // Turned off again: nothing new is sealed, and what is opens.
        (None, false) if own.exists() => {
            let mut rules = load(&own)?;
            rules.0.iter_mut().for_each(|rule| rule.providers.insert(0, Provider::Identity));
            Ok(rules)
        }
        (None, false) => Ok(Rules::default()),
    }
}

fn make(path: &Path) -> Result<(), AuthorityError> {
    let mut key = [0u8; 32];
    SystemRandom::new().fill(&mut key).map_err(|_| rcgen::Error::RingUnspecified)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| AuthorityError::File {
            act: "create",
            path: folder.to_owned(),
            source,
        })?;
    }
    write_private(
        path,
        &format!(
            "# Made by edged. Without this file the Secrets in the store cannot be read.\n\
             apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
             - resources: [secrets]\n  providers:\n  - aesgcm:\n      keys:\n      - name: own\n        secret: {}\n  - identity: {{}}\n",
            STANDARD.encode(key)
        ),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    api_version: String,
    kind: String,
    resources: Vec<ResourceRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceRule {
    resources: Vec<String>,
    providers: Vec<ProviderFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderFile {
    aesgcm: Option<KeyList>,
    aescbc: Option<KeyList>,
    secretbox: Option<KeyList>,
    identity: Option<serde_yaml::Value>,
    kms: Option<serde_yaml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyList {
    keys: Vec<KeyFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    name: String,
    secret: String,
}

fn load(path: &Path) -> Result<Rules, SettingsFault> {
    private(path)?;
    let text = std::fs::read_to_string(path).map_err(|source| SettingsFault::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Rules, SettingsFault> {
    let file: File =
        serde_yaml::from_str(text).map_err(|source| SettingsFault::Parse { path: path.to_owned(), source })?;
    let fault = |field: String, why: &str| SettingsFault::Value { path: path.to_owned(), field, why: why.to_owned() };
    if file.api_version != "apiserver.config.k8s.io/v1" || file.kind != "EncryptionConfiguration" {
        return Err(fault("kind".into(), "must be EncryptionConfiguration of apiserver.config.k8s.io/v1"));
    }
    let mut rules = Vec::new();
    for (at, rule) in file.resources.into_iter().enumerate() {
        let at = |field: &str| format!("resources[{at}].{field}");
        if rule.resources.is_empty() {
            return Err(fault(at("resources"), "at least one is required"));
        }
        if rule.providers.is_empty() {
            return Err(fault(at("providers"), "at least one is required"));
        }
        let mut prefixes = Vec::new();
        for resource in &rule.resources {
            prefixes.push(
                prefix(resource).ok_or_else(|| {
                    fault(at("resources"), "must be like secrets, deployments.apps, *.apps, *. or *.*")
                })?,
            );
        }
        let mut providers = Vec::new();
        for (place, provider) in rule.providers.into_iter().enumerate() {
            let at = |field: &str| at(&format!("providers[{place}]{field}"));
            let ProviderFile { aesgcm, aescbc, secretbox, identity, kms } = provider;
            if kms.is_some() {
                return Err(fault(
                    at(".kms"),
                    "a key service is not called: it would have to run before the API does; use secretbox or aesgcm",
                ));
            }
            let keyed = Algorithm::ALL.into_iter().zip([aesgcm, aescbc, secretbox]);
            let mut keyed: Vec<_> = keyed.filter_map(|(algorithm, list)| Some((algorithm, list?))).collect();
            match (keyed.pop(), identity) {
                (Some((algorithm, list)), None) if keyed.is_empty() => {
                    let at = at(&format!(".{}.keys", algorithm.name()));
                    providers.extend(keys(algorithm, list).map_err(|why| fault(at, &why))?);
                }
                (None, Some(_)) => providers.push(Provider::Identity),
                (None, None) => return Err(fault(at(""), "one of aesgcm, aescbc, secretbox or identity is required")),
                _ => return Err(fault(at(""), "more than one provider in one entry")),
            }
        }
        rules.push(Rule { prefixes, providers });
    }
    Ok(Rules(rules))
}

/// The keys of a provider, or what is wrong with them.
fn keys(algorithm: Algorithm, list: KeyList) -> Result<Vec<Provider>, String> {
    if list.keys.is_empty() {
        return Err("at least one is required".to_owned());
    }
    let simple = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let key = |key: KeyFile| {
        if key.name.is_empty() || key.name.len() > NAME || !key.name.bytes().all(simple) {
            return Err("a name is 1 to 64 letters, digits, '-', '_' or '.'".to_owned());
        }
        let secret = STANDARD.decode(&key.secret).ok().and_then(|bytes| Secret::new(algorithm, &key.name, &bytes));
        let lengths = algorithm.lengths();
        let why = || format!("a secret is {lengths} bytes as base64: head -c 32 /dev/urandom | base64");
        secret.map(|secret| Provider::Key(Box::new(secret))).ok_or_else(why)
    };
    list.keys.into_iter().map(key).collect()
}

/// The prefix of the store's keys of `resource`, `resource.group`, `*.group`, `*.` or `*.*`.
fn prefix(resource: &str) -> Option<String> {
    let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
    let simple =
        |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'));
    let group = if group.is_empty() { "core" } else { group };
    match (plural, group) {
        ("*", "*") => Some("/".to_owned()),
        ("*", group) if simple(group) && resource.contains('.') => Some(format!("/{group}/")),
        (plural, group) if !plural.is_empty() && simple(plural) && simple(group) => Some(format!("/{group}/{plural}/")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n";

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let seen = match parse(Path::new("e.yaml"), &format!("{HEAD}{text}")) {
            Ok(rules) => {
                format!("{} {:?}", rules.prefixes().join(" "), rules.0.iter().map(|r| &r.providers).collect::<Vec<_>>())
            }
            Err(SettingsFault::Parse { source, .. }) => source.to_string(),
            Err(fault) => fault.to_string(),
        };
        assert!(seen.contains(expected), "{seen:?} does not say {expected:?}");
    }

    #[test]
    fn rules_are_read_or_refused_by_field() {
        let key = STANDARD.encode([7u8; 32]);
        let with = |resources: &str| {
            format!(
                "- resources: [{resources}]\n  providers:\n  - aesgcm: {{keys: [{{name: a, secret: {key}}}]}}\n  - identity: {{}}\n"
            )
        };
        check(&with("secrets"), "/core/secrets/ [[Key(Secret(a)), Identity]]");
        check(
            &with("secrets, deployments.apps, \"*.batch\", \"*.\", \"*.*\""),
            "/core/secrets/ /apps/deployments/ /batch/ /core/ / ",
        );
        check(&with("Secrets"), "resources[0].resources: must be like");
        check(&with("\"*\""), "resources[0].resources: must be like");
        check("- {resources: [secrets], providers: [{aescbc: {keys: []}}]}", "aescbc.keys: at least one");
        check(
            "- {resources: [secrets], providers: [{kms: {name: x}}]}",
            "providers[0].kms: a key service is not called",
        );
        check("- {resources: [secrets], providers: [{}]}", "providers[0]: one of aesgcm");
        check(
            "- {resources: [secrets], providers: [{secretbox: {keys: [{name: a, secret: AAAA}]}}]}",
            "secretbox.keys: a secret is 32 bytes",
        );
        let all = format!("{{keys: [{{name: a, secret: {key}}}]}}");
        check(
            &format!("- {{resources: [secrets], providers: [{{aescbc: {all}}}, {{secretbox: {all}}}]}}"),
            "[[Key(Secret(a)), Key(Secret(a))]]",
        );
        check(
            &format!("- {{resources: [secrets], providers: [{{aescbc: {all}, secretbox: {all}}}]}}"),
            "more than one provider",
        );
        check("- {resources: [secrets], providers: []}", "providers: at least one");
        check("- {resources: [secrets], providers: [{aesgcm: {keys: [{name: a, secret: AAAA}]}}]}", "16 or 32 bytes");
        check(
            &format!(
                "- {{resources: [secrets], providers: [{{aesgcm: {{keys: [{{name: \"a:b\", secret: {key}}}]}}}}]}}"
            ),
            "a name is 1 to 64",
        );
        check("- {resources: [secrets], provider: []}", "unknown field");
    }

    #[test]
    fn the_own_key_is_made_once_and_stays_when_sealing_ends() {
        let dir = tempfile::tempdir().unwrap();
        let on = Encryption { secrets: true, config: None };
        let first = |encryption: &Encryption| {
            let rules = read(encryption, dir.path()).unwrap();
            rules.of("/core/secrets/a/b").map(|p| format!("{p:?}"))
        };
        assert_eq!(first(&Encryption::default()), None);
        assert_eq!(first(&on).as_deref(), Some("[Key(Secret(own)), Identity]"));
        let text = std::fs::read_to_string(dir.path().join(OWN)).unwrap();
        first(&on);
        assert_eq!(std::fs::read_to_string(dir.path().join(OWN)).unwrap(), text);
        assert_eq!(first(&Encryption::default()).as_deref(), Some("[Identity, Key(Secret(own)), Identity]"));
        let both = Encryption { secrets: true, config: Some("x".into()) };
        assert!(matches!(read(&both, dir.path()), Err(EncryptionFault::Both)));
    }
}
