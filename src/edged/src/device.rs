//! What is behind `nodes/<name>/proxy`: what a kubelet serves (`kubelet.rs`), and below `kedge/v1` what is particular to
//! a device: images and plugins.
//!
//! In: requests that the API server has authorized. Out: JSON. Never reachable but through the API server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, header};
use kedge_api::machine::ImageInfo;
use kedge_api::status::{Reason, Status};
use kedge_client::{Client, ListOptions, ResourcePath};
use kedge_image::Images;
use kedge_node::NodeHandle;
use kedge_node::machine::{LinuxMachine, Machine as _};
use kedge_plugin_host::{Offers, PluginHost};
use serde_json::{Value, json};

use crate::kubelet::{self, Reading, cadvisor};
use crate::system_logs;
use crate::uploads::{UploadError, Uploads};
use crate::usage::Looks;

/// The device's own interface. Cheap to clone.
#[derive(Clone)]
pub struct Device {
    /// The node's name.
    pub name: String,
    /// The image store.
    pub images: Images,
    /// Archives that arrive.
    pub uploads: Arc<Uploads>,
    /// The plugins.
    pub plugins: PluginHost,
    /// The agent, which tells the Node's list of images.
    pub node: NodeHandle,
    /// The API, as the node may see it.
    pub api: Client,
    /// The pod network, whose links are counted.
    pub network: kedge_network::PodNetwork,
    /// The machine, which is measured when somebody asks.
    pub machine: LinuxMachine,
    /// What was last measured of it and of the containers.
    pub looks: Arc<Looks>,
    /// The settings that the agent runs with, as a kubelet tells them.
    pub configz: Value,
    /// Where the machine's logs are; `None` if they are not served.
    pub system_logs: Option<PathBuf>,
}

impl Device {
    /// Answers a request below the proxy.
    pub async fn answer(&self, request: Request<Bytes>) -> Result<Response<Body>, Status> {
        let path = request.uri().path().to_owned();
        let query: Vec<(String, String)> = pairs(request.uri().query().unwrap_or(""));
        let value = |key: &str| query.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let answer = match (request.method(), parts.as_slice()) {
            // Under the kubelet's names, for those who look there.
            (&Method::GET, ["healthz"]) => return Ok(text("ok".to_owned())),
            (&Method::GET, ["metrics"]) => return Ok(text(self.node.metrics())),
            (&Method::GET, ["metrics", "resource"]) => {
                return Ok(text(self.read(|reading| reading.figures()).await?));
            }
            (&Method::GET, ["metrics", "cadvisor"]) => {
                let facts = self.machine.facts();
                let traffic = |uid: &str| self.network.traffic(uid);
                return Ok(text(self.read(|reading| cadvisor::text(reading, &facts, traffic)).await?));
            }
            (&Method::GET, ["configz"]) => self.configz.clone(),
            (_, ["logs", ..]) => return system_logs::answer(self.system_logs.clone(), &request).await,
            (&Method::GET, ["pods" | "runningpods"]) => kubelet::pods(self.pods().await?),
            (&Method::GET, ["stats", "summary"]) => self.read(|reading| reading.summary()).await?,
            (&Method::GET, ["kedge", "v1", "images"]) => self.images().await,
            (&Method::GET, ["kedge", "v1", "plugins"]) => self.plugins(),
            (&Method::POST, ["kedge", "v1", "uploads"]) => {
                json!({"id": self.uploads.begin().map_err(refused)?})
            }
            (&Method::PUT, ["kedge", "v1", "uploads", id]) => {
                let offset = value("offset").and_then(|text| text.parse().ok());
                let offset = offset.ok_or_else(|| Status::bad_request("offset: a number is required"))?;
                let id = (*id).to_owned();
                let piece = request.into_body();
                let uploads = self.uploads.clone();
                tokio::task::spawn_blocking(move || uploads.add(&id, offset, &piece))
                    .await
                    .map_err(|e| Status::internal(e.to_string()))?
                    .map_err(refused)?;
                json!({})
            }
            (&Method::POST, ["kedge", "v1", "images"]) => {
                let id = value("upload").ok_or_else(|| Status::bad_request("upload: a name is required"))?;
                self.load(id, value("pin") == Some("true")).await?
            }
            _ => return Err(Status::new(404, Reason::NotFound, format!("the node agent serves nothing at {path}"))),
        };
        let body = Body::from(answer.to_string());
        Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|e| Status::internal(e.to_string()))
    }

    /// The node's pods, as the API keeps them.
    pub async fn pods(&self) -> Result<Vec<Value>, Status> {
        let options = ListOptions { fields: Some(format!("spec.nodeName={}", self.name)), ..ListOptions::default() };
        let list = self.api.list(&ResourcePath::core("pods"), &options).await;
        let mut list =
            list.map_err(|e| Status::internal(format!("cannot read the node's pods: {}", crate::chain(&e))))?;
        match list["items"].take() {
            Value::Array(pods) => Ok(pods),
            _ => Ok(Vec::new()),
        }
    }

    /// Measures everything once.
    async fn read<T>(&self, show: impl FnOnce(&Reading<'_>) -> T) -> Result<T, Status> {
        let (pods, containers) = (self.pods().await?, self.node.usage().await);
        let (machine, at) = (self.machine.usage(), SystemTime::now());
        Ok(show(&Reading { node: &self.name, pods: &pods, containers: &containers, machine, at }))
    }

    async fn images(&self) -> Value {
        let all = self.images.list().await;
        json!({"images": all.iter().map(shown).collect::<Vec<_>>()})
    }

    async fn load(&self, upload: &str, pin: bool) -> Result<Value, Status> {
        let path = self.uploads.finish(upload).map_err(refused)?;
        let loaded = self.images.load_file(&path, pin).await;
        // The store has its own copy; a file that stays is swept at the next start.
        let _ = tokio::fs::remove_file(&path).await;
        let loaded = loaded.map_err(|e| Status::bad_request(crate::chain(&e)))?;
        self.node.images_changed();
        Ok(json!({"images": loaded.iter().map(shown).collect::<Vec<_>>()}))
    }

    fn plugins(&self) -> Value {
        let metrics = self.plugins.metrics();
        let one = |info: kedge_plugin_host::PluginInfo| {
            let counted = metrics.iter().find(|m| m.plugin == info.config.name);
            let priorities = info.priorities.iter().map(|(name, weight)| format!("{name}={weight}"));
            let offers: Vec<String> =
                info.predicates.iter().cloned().chain(priorities).chain(info.controllers).chain(info.hooks).collect();
            json!({
                "name": info.config.name,
                "kind": match info.offers {
                    Offers::Scheduling => "scheduling",
                    Offers::Controllers => "controllers",
                    Offers::Admission => "admission",
                },
                "digest": info.digest,
                "offers": offers,
                "calls": counted.map_or(0, |m| m.calls),
                "traps": counted.map_or(0, |m| m.traps),
                "peakMemory": counted.map_or(0, |m| m.peak_memory),
                "state": info.resting.map_or_else(|| "Running".to_owned(), |fault| fault.to_string()),
            })
        };
        json!({"plugins": self.plugins.list().into_iter().map(one).collect::<Vec<_>>()})
    }
}

/// An answer of plain text.
pub fn text(words: String) -> Response<Body> {
    let mut answer = Response::new(Body::from(words));
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

fn shown(image: &ImageInfo) -> Value {
    json!({
        "id": image.id, "tags": image.tags, "digests": image.digests, "size": image.size, "pinned": image.pinned,
    })
}

fn refused(error: UploadError) -> Status {
    match error {
        UploadError::Unknown(_) => Status::new(404, Reason::NotFound, error.to_string()),
        UploadError::Gap { .. } | UploadError::TooLong => Status::bad_request(error.to_string()),
        UploadError::Disk(_) => Status::internal(error.to_string()),
    }
}

/// Pairs of a query; names and numbers here need no decoding.
fn pairs(query: &str) -> Vec<(String, String)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap_or((part, ""))).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}
