//! From a kubeconfig to a client.
//!
//! In: `--kubeconfig`, `KUBECONFIG`, `--context`, `--server` and so on, as kubectl takes them.
//! Out: a client over HTTPS. Never writes a kubeconfig.

use std::path::PathBuf;

use http::Uri;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::transport::Kube;
use crate::{Client, ClientError, Result};

/// Which server, as whom; unset fields follow the kubeconfig.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// The kubeconfig file; `None` follows `KUBECONFIG`, then `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// The context's name.
    pub context: Option<String>,
    /// The cluster's name.
    pub cluster: Option<String>,
    /// The user's name.
    pub user: Option<String>,
    /// The server's URL.
    pub server: Option<String>,
    /// The default namespace.
    pub namespace: Option<String>,
    /// A bearer token.
    pub token: Option<String>,
    /// Do not check the server's certificate.
    pub insecure_skip_tls_verify: bool,
    /// Impersonated user.
    pub impersonate: Option<String>,
    /// Impersonated groups.
    pub impersonate_groups: Vec<String>,
    /// What the server has no time for now (429, 503, 504) is an error at once, and not asked for again in silence.
    pub at_once: bool,
}

/// What a client is connected to, for messages.
#[derive(Clone)]
pub struct Server {
    /// The kube-rs client, for WebSockets.
    pub kube: kube::Client,
    /// The URL.
    pub url: String,
    /// The namespace used where none is named.
    pub namespace: String,
}

impl Client {
    /// A client by kubeconfig. Reads files; does not connect yet.
    pub async fn connect(options: &ConnectOptions) -> Result<(Client, Server)> {
        let config_error = |e: &dyn std::fmt::Display| ClientError::Config(e.to_string());
        let choice = KubeConfigOptions {
            context: options.context.clone(),
            cluster: options.cluster.clone(),
            user: options.user.clone(),
        };
        let server = match &options.server {
            Some(text) => Some(text.parse::<Uri>().map_err(|e| config_error(&format!("--server {text}: {e}")))?),
            None => None,
        };
        let file = match &options.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let mut config = match (file, &server) {
            // Who names the server needs no kubeconfig that chooses one.
            (Err(_), Some(server)) if options.kubeconfig.is_none() => Config::new(server.clone()),
            (Ok(file), Some(server)) if file.current_context.is_none() && options.context.is_none() => {
                Config::new(server.clone())
            }
            (file, _) => {
                let file = file.map_err(|e| config_error(&e))?;
                Config::from_custom_kubeconfig(file, &choice).await.map_err(|e| config_error(&e))?
            }
        };
        config.default_retry &= !options.at_once;
        if let Some(server) = server {
            config.cluster_url = server;
        }
        if let Some(namespace) = &options.namespace {
            config.default_namespace.clone_from(namespace);
        }
        if let Some(token) = &options.token {
            config.auth_info.token = Some(token.clone().into());
        }
        config.accept_invalid_certs |= options.insecure_skip_tls_verify;
        if options.impersonate.is_some() {
            config.auth_info.impersonate.clone_from(&options.impersonate);
        }
        if !options.impersonate_groups.is_empty() {
            config.auth_info.impersonate_groups = Some(options.impersonate_groups.clone());
        }
        let (url, namespace) = (config.cluster_url.to_string(), config.default_namespace.clone());
        let kube = kube::Client::try_from(config).map_err(|e| config_error(&e))?;
        Ok((Client::over(Kube(kube.clone()), &namespace), Server { kube, url, namespace }))
    }
}
