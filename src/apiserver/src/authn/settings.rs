//! How clients may prove who they are: what the administrator set, read and checked at start.
//!
//! In: paths and values of the configuration, an `AuthenticationConfiguration` of
//! `apiserver.config.k8s.io`. Out: [`Settings`], or a sentence with file and field. Never fetches
//! anything. Expressions (CEL) are refused, not ignored.

use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;

use super::token_file::{self, TokenFileFault};
use crate::identity::Identity;

/// Paths on which nobody in particular is let in, as the shipped configuration has it.
pub const ANONYMOUS_PATHS: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// What the API server is told about authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// Paths on which clients need not say who they are; `*` for all, where roles then decide.
    pub anonymous_paths: Vec<String>,
    /// The static token file.
    pub token_file: Option<PathBuf>,
    /// The `AuthenticationConfiguration` file.
    pub config: Option<PathBuf>,
    /// The authority of front proxies (PEM file).
    pub front_proxy_ca: Option<PathBuf>,
    /// Common names that front proxies may have; empty for all.
    pub front_proxy_names: Vec<String>,
}

impl Default for Authentication {
    fn default() -> Self {
        Authentication {
            anonymous_paths: ANONYMOUS_PATHS.map(str::to_owned).to_vec(),
            token_file: None,
            config: None,
            front_proxy_ca: None,
            front_proxy_names: Vec::new(),
        }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsFault {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file with secrets that others can read.
    #[error("{path} can be read by others (mode {mode:o}); chmod 600 it")]
    Public {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The token file is not one.
    #[error("the token file {path}")]
    Tokens {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: TokenFileFault,
    },
    /// The file is no such YAML.
    #[error("{path} was not accepted")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Why; names line and field.
        source: serde_yaml::Error,
    },
    /// A value of the file cannot work.
    #[error("{path} was not accepted: {field}: {why}")]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which field.
        field: String,
        /// What is wrong and what would do.
        why: String,
    },
}

/// A claim and what is put before its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// The claim.
    pub claim: String,
    /// The prefix.
    pub prefix: String,
}

/// A trusted issuer of tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Issuer {
    /// Its URL, as tokens say it.
    pub url: String,
    /// Where its discovery document is, if not below the URL.
    pub discovery: Option<String>,
    /// Its certificate authority as PEM; the system's if none.
    pub authority: Option<String>,
    /// Whom its tokens must be for, one of these.
    pub audiences: Vec<String>,
    /// Where the user's name is.
    pub username: Claim,
    /// Where the groups are.
    pub groups: Option<Claim>,
    /// Where the uid is.
    pub uid: Option<String>,
    /// Claims that must have this value.
    pub required: Vec<(String, String)>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Settings {
    /// Tokens that name somebody.
    pub tokens: Vec<(String, Identity)>,
    /// Trusted issuers.
    pub issuers: Vec<Issuer>,
    /// Where nobody in particular is let in.
    pub anonymous: Anonymous,
    /// The front proxies' authority as PEM.
    pub front_proxy: Option<String>,
}

/// Where clients need not say who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Nowhere.
    #[default]
    Never,
    /// Everywhere; roles decide.
    Everywhere,
    /// On these paths.
    On(Vec<String>),
}

impl Anonymous {
    /// Whether a request for this path needs no identity.
    pub fn allows(&self, path: &str) -> bool {
        match self {
            Anonymous::Never => false,
            Anonymous::Everywhere => true,
            Anonymous::On(paths) => paths.iter().any(|p| p == path.strip_suffix('/').unwrap_or(path)),
        }
    }

    fn of(paths: &[String]) -> Self {
        match paths {
            [] => Anonymous::Never,
            all if all.iter().any(|p| p == "*") => Anonymous::Everywhere,
            some => Anonymous::On(some.to_vec()),
        }
    }
}

/// Reads the files that the settings name.
pub fn read(authentication: &Authentication) -> Result<Settings, SettingsFault> {
    let mut settings = Settings { anonymous: Anonymous::of(&authentication.anonymous_paths), ..Settings::default() };
    if let Some(path) = &authentication.token_file {
        private(path)?;
        settings.tokens =
            token_file::parse(&text(path)?).map_err(|source| SettingsFault::Tokens { path: path.clone(), source })?;
    }
    if let Some(path) = &authentication.config {
        let (issuers, anonymous) = structured(path, &text(path)?)?;
        settings.issuers = issuers;
        if let Some(anonymous) = anonymous {
            settings.anonymous = anonymous;
        }
    }
    if let Some(path) = &authentication.front_proxy_ca {
        let pem = text(path)?;
        certificates(&pem).map_err(|why| SettingsFault::Value {
            path: path.clone(),
            field: "authentication.frontProxyCa".to_owned(),
            why,
        })?;
        settings.front_proxy = Some(pem);
    }
    Ok(settings)
}

/// Refuses what is no PEM text with certificates.
fn certificates(pem: &str) -> Result<(), String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read.as_deref() {
        Err(fault) => Err(format!("is no PEM with certificates: {fault}")),
        Ok([]) => Err("holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned()),
        Ok(found) => match found.iter().find_map(|der| x509_parser::parse_x509_certificate(der).err()) {
            Some(fault) => Err(format!("holds something that is no certificate: {fault}")),
            None => Ok(()),
        },
    }
}

fn text(path: &Path) -> Result<String, SettingsFault> {
    std::fs::read_to_string(path).map_err(|source| SettingsFault::Read { path: path.to_owned(), source })
}

/// Refuses a file with secrets that others can read.
pub fn private(path: &Path) -> Result<(), SettingsFault> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = std::fs::metadata(path).map_err(|source| SettingsFault::Read { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(SettingsFault::Public { path: path.to_owned(), mode }) }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    jwt: Vec<Jwt>,
    anonymous: Option<AnonymousFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AnonymousFile {
    enabled: bool,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    path: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Jwt {
    issuer: IssuerFile,
    #[serde(default)]
    claim_validation_rules: Vec<Rule>,
    claim_mappings: Mappings,
    #[serde(default)]
    user_validation_rules: Vec<serde_yaml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct IssuerFile {
    url: String,
    #[serde(rename = "discoveryURL")]
    discovery_url: Option<String>,
    certificate_authority: Option<String>,
    audiences: Vec<String>,
    audience_match_policy: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    claim: String,
    #[serde(default)]
    required_value: String,
    expression: Option<String>,
    #[serde(rename = "message")]
    _message: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Mappings {
    username: Mapping,
    groups: Option<Mapping>,
    uid: Option<Mapping>,
    #[serde(default)]
    extra: Vec<serde_yaml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Mapping {
    #[serde(default)]
    claim: String,
    prefix: Option<String>,
    expression: Option<String>,
}

const EXPRESSION: &str = "expressions are not evaluated here; use claim, prefix and requiredValue";

/// Reads an `AuthenticationConfiguration`.
fn structured(path: &Path, text: &str) -> Result<(Vec<Issuer>, Option<Anonymous>), SettingsFault> {
    let file: File =
        serde_yaml::from_str(text).map_err(|source| SettingsFault::Parse { path: path.to_owned(), source })?;
    let fault = |field: String, why: &str| SettingsFault::Value { path: path.to_owned(), field, why: why.to_owned() };
    let known = ["v1", "v1beta1"].iter().any(|v| file.api_version == format!("apiserver.config.k8s.io/{v}"));
    if !known || file.kind != "AuthenticationConfiguration" {
        return Err(fault("kind".into(), "must be AuthenticationConfiguration of apiserver.config.k8s.io/v1"));
    }
    let mut issuers: Vec<Issuer> = Vec::new();
    for (at, jwt) in file.jwt.into_iter().enumerate() {
        let at = |field: &str| format!("jwt[{at}].{field}");
        let issuer = jwt.issuer;
        for (field, url) in [("url", Some(&issuer.url)), ("discoveryURL", issuer.discovery_url.as_ref())] {
            if url.is_some_and(|u| !u.starts_with("https://")) {
                return Err(fault(at(&format!("issuer.{field}")), "must be an https URL"));
            }
        }
        if issuers.iter().any(|known| known.url == issuer.url) {
            return Err(fault(at("issuer.url"), "was given before"));
        }
        if issuer.url == super::token::ISSUER {
            return Err(fault(at("issuer.url"), "is the issuer of service account tokens"));
        }
        if issuer.audiences.is_empty() || issuer.audiences.iter().any(String::is_empty) {
            return Err(fault(at("issuer.audiences"), "at least one is required, and none may be empty"));
        }
        match issuer.audience_match_policy.as_deref() {
            None | Some("") if issuer.audiences.len() > 1 => {
                return Err(fault(at("issuer.audienceMatchPolicy"), "must be MatchAny for multiple audiences"));
            }
            None | Some("" | "MatchAny") => {}
            Some(_) => return Err(fault(at("issuer.audienceMatchPolicy"), "must be MatchAny")),
        }
        if !jwt.user_validation_rules.is_empty() {
            return Err(fault(at("userValidationRules"), EXPRESSION));
        }
        if !jwt.claim_mappings.extra.is_empty() {
            return Err(fault(at("claimMappings.extra"), EXPRESSION));
        }
        let mut required = Vec::new();
        for (place, rule) in jwt.claim_validation_rules.into_iter().enumerate() {
            let field = at(&format!("claimValidationRules[{place}]"));
            if rule.expression.is_some() {
                return Err(fault(field, EXPRESSION));
            }
            if rule.claim.is_empty() {
                return Err(fault(field, "claim is required"));
            }
            required.push((rule.claim, rule.required_value));
        }
        let mappings = jwt.claim_mappings;
        let read = |mapping: Mapping, field: &str| {
            if mapping.expression.is_some() {
                return Err(fault(at(field), EXPRESSION));
            }
            if mapping.claim.is_empty() {
                return Err(fault(at(field), "claim is required"));
            }
            match mapping.prefix {
                Some(prefix) => Ok(Claim { claim: mapping.claim, prefix }),
                None => Err(fault(at(field), "prefix is required; \"\" for none")),
            }
        };
        let username = read(mappings.username, "claimMappings.username")?;
        let groups = match mappings.groups {
            Some(mapping) if !mapping.claim.is_empty() || mapping.expression.is_some() => {
                Some(read(mapping, "claimMappings.groups")?)
            }
            _ => None,
        };
        let uid = match mappings.uid {
            Some(mapping) if mapping.expression.is_some() => return Err(fault(at("claimMappings.uid"), EXPRESSION)),
            Some(mapping) => Some(mapping.claim).filter(|c| !c.is_empty()),
            None => None,
        };
        if let Some(pem) = &issuer.certificate_authority {
            certificates(pem).map_err(|why| fault(at("issuer.certificateAuthority"), &why))?;
        }
        issuers.push(Issuer {
            url: issuer.url,
            discovery: issuer.discovery_url,
            authority: issuer.certificate_authority,
            audiences: issuer.audiences,
            username,
            groups,
            uid,
            required,
        });
    }
    let anonymous = file.anonymous.map(|a| match (a.enabled, a.conditions) {
        (false, _) => Anonymous::Never,
        (true, conditions) if conditions.is_empty() => Anonymous::Everywhere,
        (true, conditions) => Anonymous::On(conditions.into_iter().map(|c| c.path).collect()),
    });
    Ok((issuers, anonymous))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n";

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let seen = match structured(Path::new("a.yaml"), &format!("{HEAD}{text}")) {
            Ok((issuers, anonymous)) => {
                let named: Vec<&str> = issuers.iter().map(|i| i.url.as_str()).collect();
                format!("{} {anonymous:?}", named.join("+"))
            }
            Err(SettingsFault::Parse { source, .. }) => source.to_string(),
            Err(fault) => fault.to_string(),
        };
        assert!(seen.contains(expected), "{seen:?} does not say {expected:?}");
    }

    fn jwt(issuer: &str, rest: &str) -> String {
        format!(
            "jwt:\n- issuer: {{url: \"https://a\", audiences: [x]{issuer}}}\n  claimMappings: {{username: {{claim: sub, prefix: \"\"}}}}\n{rest}"
        )
    }

    #[test]
    fn issuers_are_read_or_refused_by_field() {
        check(&jwt("", ""), "https://a None");
        check("", " None");
        check("anonymous: {enabled: true, conditions: [{path: /livez}]}", "On([\"/livez\"])");
        check("anonymous: {enabled: false}", "Never");
        check(&jwt(", audience: y", ""), "unknown field");
        let garbage = "jwt[0].issuer.certificateAuthority: holds no certificate";
        check(&jwt(", certificateAuthority: garbage", ""), garbage);
        check(&jwt(", discoveryURL: \"http://b\"", ""), "jwt[0].issuer.discoveryURL: must be an https URL");
        check(&jwt("", "  userValidationRules: [{expression: \"true\"}]"), "jwt[0].userValidationRules: expressions");
        check(&jwt("", "  claimValidationRules: [{expression: \"true\"}]"), "claimValidationRules[0]: expressions");
        check(&jwt("", "  claimValidationRules: [{claim: hd, requiredValue: x}]"), "https://a");
        check(
            "jwt: [{issuer: {url: \"https://a\", audiences: []}, claimMappings: {username: {claim: a, prefix: b}}}]",
            "audiences",
        );
        check(
            "jwt: [{issuer: {url: \"https://a\", audiences: [a]}, claimMappings: {username: {claim: a}}}]",
            "prefix is required",
        );
    }

    #[test]
    fn paths_without_identity_are_exact() {
        let on = Anonymous::of(&["/livez".to_owned()]);
        assert!(on.allows("/livez") && on.allows("/livez/") && !on.allows("/livez/ping") && !on.allows("/api"));
        assert!(Anonymous::of(&["*".to_owned()]).allows("/api") && !Anonymous::of(&[]).allows("/livez"));
    }
}
