//! The API by way of `kedge_client`.
//!
//! In: a client with the node's identity. Out: the `Api` port.

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use kedge_client::{
    Client, ClientError, Informer, ListOptions, PatchKind, PatchOptions, ResourcePath, Step, WatchOptions, WriteOptions,
};
use serde_json::Value;

use crate::port::{Api, ApiFault, Kind, PatchForm, WatchStep};

/// The API as a client reaches it.
#[derive(Clone)]
pub struct ClientApi {
    client: Client,
    remote: bool,
}

impl ClientApi {
    /// In the same process.
    pub fn loopback(client: Client) -> Self {
        Self { client, remote: false }
    }

    /// Over a network: watches are ended and begun again now and then, so that a dead link is noticed.
    pub fn remote(client: Client) -> Self {
        Self { client, remote: true }
    }
}

fn collection(kind: Kind, namespace: Option<&str>) -> ResourcePath {
    let path = ResourcePath::new(kind.group(), "v1", kind.plural());
    match namespace {
        Some(namespace) => path.namespace(namespace),
        None => path,
    }
}

fn object(kind: Kind, namespace: Option<&str>, name: &str) -> ResourcePath {
    collection(kind, namespace).name(name)
}

fn fault(error: ClientError) -> ApiFault {
    let text = error.to_string();
    match error {
        ClientError::Status { code: 404, message, .. } => ApiFault::NotFound(message),
        ClientError::Status { code: 409, reason, message, .. } if reason == "AlreadyExists" => {
            ApiFault::Exists(message)
        }
        ClientError::Status { code: 409, message, .. } => ApiFault::Conflict(message),
        ClientError::Status { code, message, .. } => ApiFault::Refused { code, message },
        ClientError::Unreachable(_)
        | ClientError::Decode { .. }
        | ClientError::Request { .. }
        | ClientError::TooLarge { .. }
        | ClientError::Config(_) => ApiFault::Unreachable(text),
    }
}

#[async_trait]
impl Api for ClientApi {
    async fn get(&self, kind: Kind, namespace: Option<&str>, name: &str) -> Result<Value, ApiFault> {
        self.client.get(&object(kind, namespace, name)).await.map_err(fault)
    }

    async fn list(&self, kind: Kind, namespace: Option<&str>) -> Result<Vec<Value>, ApiFault> {
        let path = collection(kind, namespace);
        let mut list = self.client.list(&path, &ListOptions::default()).await.map_err(fault)?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }

    async fn create(&self, kind: Kind, namespace: Option<&str>, body: &Value) -> Result<Value, ApiFault> {
        let path = collection(kind, namespace);
        self.client.create(&path, body, &WriteOptions::default()).await.map_err(fault)
    }

    async fn create_under(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
        subresource: &str,
        body: &Value,
    ) -> Result<Value, ApiFault> {
        let path = object(kind, namespace, name).subresource(subresource);
        self.client.create(&path, body, &WriteOptions::default()).await.map_err(fault)
    }

    async fn patch(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
        subresource: Option<&str>,
        form: PatchForm,
        body: &Value,
    ) -> Result<Value, ApiFault> {
        let path = object(kind, namespace, name);
        let path = match subresource {
            Some(subresource) => path.subresource(subresource),
            None => path,
        };
        let form = match form {
            PatchForm::Strategic => PatchKind::Strategic,
            PatchForm::Merge => PatchKind::Merge,
        };
        self.client.patch(&path, form, body, &PatchOptions::default()).await.map_err(fault)
    }

    async fn delete(&self, kind: Kind, namespace: Option<&str>, name: &str, options: &Value) -> Result<(), ApiFault> {
        let target = object(kind, namespace, name).to_string();
        let body = options.to_string().into_bytes();
        let answer = self.client.call(http::Method::DELETE, &target, Some("application/json"), body).await;
        answer.map(drop).map_err(fault)
    }

    fn watch(&self, kind: Kind, namespace: Option<&str>, fields: &str) -> BoxStream<'static, WatchStep> {
        let fields = Some(fields.to_owned()).filter(|fields| !fields.is_empty());
        let options = WatchOptions { fields, remote: self.remote, ..WatchOptions::default() };
        let informer: Informer<Value> = Informer::new(self.client.clone(), collection(kind, namespace), options);
        futures::stream::unfold(informer, |mut informer| async move {
            let step = match informer.next().await {
                Step::Restart => WatchStep::Restarted,
                Step::Apply(object) => WatchStep::Apply(object),
                Step::Delete(object) => WatchStep::Delete(object),
                Step::Synced => WatchStep::Synced,
            };
            Some((step, informer))
        })
        .boxed()
    }
}
