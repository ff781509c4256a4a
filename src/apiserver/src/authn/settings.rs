//! How clients may prove who they are: what the administrator set, read and checked at start.
//!
//! In: paths and values of the configuration, an `AuthenticationConfiguration` of
//! `apiserver.config.k8s.io`. Out: [`Settings`], or a sentence with file and field. Never fetches
//! anything.

use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::oidc::expressions::Expression;
use super::structured;
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

/// Where something of a user is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a claim.
    Claim(Claim),
    /// It is what an expression over the claims comes to.
    Expression(Expression),
}

impl Default for Source {
    fn default() -> Self {
        Source::Claim(Claim::default())
    }
}

/// What must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// It must be true.
    pub expression: Expression,
    /// What is said if it is not; may be empty.
    pub message: String,
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
    pub username: Source,
    /// Where the groups are.
    pub groups: Option<Source>,
    /// Where the uid is.
    pub uid: Option<Source>,
    /// Further things that are noted of a user, by key.
    pub extra: Vec<(String, Expression)>,
    /// Claims that must have this value.
    pub required: Vec<(String, String)>,
    /// What must hold for the claims.
    pub rules: Vec<Rule>,
    /// What must hold for the user that they name.
    pub user_rules: Vec<Rule>,
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
        let (issuers, anonymous) = structured::read(path, &text(path)?)?;
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
pub fn certificates(pem: &str) -> Result<(), String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_without_identity_are_exact() {
        let on = Anonymous::of(&["/livez".to_owned()]);
        assert!(on.allows("/livez") && on.allows("/livez/") && !on.allows("/livez/ping") && !on.allows("/api"));
        assert!(Anonymous::of(&["*".to_owned()]).allows("/api") && !Anonymous::of(&[]).allows("/livez"));
    }
}
