//! Paths that are no resources: discovery, OpenAPI, version, health, metrics, keys.
//!
//! In: a call that was let in. Out: its answer. Documents are made when they are asked for and
//! carry an ETag, so that clients need not fetch them twice.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use kedge_api::kinds::{Kinds, measured};
use kedge_api::openapi::{NoSchemas, Schemas};
use kedge_api::status::Status;
use kedge_api::{Object, discovery, meta, openapi};
use kedge_store::Entry;
use serde_json::json;

use crate::aggregation;
use crate::backup;
use crate::chain::Call;
use crate::flow;
use crate::media::{self, Accepted, Format};
use crate::registry::{body, keys};
use crate::request::Verb;
use crate::respond::{self, Answer};

/// The release of Kubernetes whose API this is.
pub const KUBERNETES: (&str, &str) = ("1", "36");

/// Answers a call to a path.
pub async fn answer(call: &mut Call) -> Result<Answer, Status> {
    let path = call.info.path.clone();
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { &path };
    if path.starts_with(backup::ROOT) {
        return backup::answer(call).await;
    }
    if !matches!(call.info.verb, Verb::Get | Verb::Head) {
        return Err(Status::method_not_allowed());
    }
    if let Some(answer) = call.core.health.answer(path, &call.query) {
        return Ok(answer);
    }
    let kinds = call.core.kinds();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        [""] => document(call, &json!({ "paths": all_paths(&kinds) })),
        ["version"] => document(call, &version()),
        ["metrics"] => {
            Ok(respond::bytes(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics(call).await))
        }
        ["api"] => discover(call, &kinds, true),
        ["apis"] => discover(call, &kinds, false),
        ["api", version] => found(call, discovery::resources(&kinds, "", version)),
        ["apis", group] => found(
            call,
            aggregation::discovery::group(discovery::group(&kinds, group), group, &call.core.aggregator.all()),
        ),
        ["apis", group, version] => found(call, discovery::resources(&kinds, group, version)),
        ["openapi", "v2"] => {
            aggregation::discovery::refresh(&call.core);
            swagger(call, &kinds, &schemas_of(call, &kinds, None).await)
        }
        ["openapi", "v3"] => {
            let mut index = openapi::v3_index(&kinds);
            aggregation::discovery::add_to_index(&mut index, &call.core.aggregator.all());
            document(call, &index)
        }
        ["openapi", "v3", "api", version] => schemas(call, &kinds, "", version, &NoSchemas),
        ["openapi", "v3", "apis", group, version] => {
            let kept = schemas_of(call, &kinds, Some((group, version))).await;
            schemas(call, &kinds, group, version, &kept)
        }
        ["openid", "v1", "jwks"] => {
            let keys = call.core.authn.key.key_set();
            Ok(respond::bytes(StatusCode::OK, "application/jwk-set+json", keys.to_string()))
        }
        ["debug", "api_priority_and_fairness", name] => {
            let details = call.query.get("includeRequestDetails").is_some_and(|said| !said.is_empty());
            let text = flow::dump::text(&call.core.flow, name, details, call.core.clock.now());
            text.map(|text| respond::text(StatusCode::OK, text)).ok_or_else(Status::no_such_resource)
        }
        [".well-known", "openid-configuration"] => document(call, &openid(call)),
        _ => Err(Status::no_such_resource()),
    }
}

fn discover(call: &Call, kinds: &Kinds, core: bool) -> Result<Answer, Status> {
    for choice in media::choices(&media::accept(&call.head.headers)) {
        if choice.param("as") == "APIGroupDiscoveryList" && choice.param("g") == "apidiscovery.k8s.io" {
            if choice.param("v") != "v2" || choice.kind != "application/json" {
                continue;
            }
            let mut body = discovery::aggregated(kinds, core);
            if !core && call.core.aggregator.is_used() {
                aggregation::discovery::add_to_aggregated(&mut body, kinds, &call.core.aggregator.all());
                aggregation::discovery::refresh(&call.core);
            }
            let body = body.to_string();
            return Ok(tagged(
                call,
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                body.into(),
            ));
        }
        if matches!(choice.kind.as_str(), "application/json" | "*/*" | "application/*" | "application/yaml") {
            break;
        }
    }
    if core {
        let address = format!("{}:{}", call.core.advertised(), call.core.config.port);
        document(call, &discovery::core_versions(&address))
    } else {
        let mut groups = discovery::groups(kinds);
        aggregation::discovery::add_to_groups(&mut groups, kinds, &call.core.aggregator.all());
        document(call, &groups)
    }
}

/// OpenAPI v2, as JSON or in the protobuf form that older kubectl insists on.
fn swagger(call: &Call, kinds: &Kinds, kept: &dyn Schemas) -> Result<Answer, Status> {
    let parts = aggregation::discovery::swaggers(&call.core.aggregator.all());
    let others: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
    const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    for choice in media::choices(&media::accept(&call.head.headers)) {
        match choice.kind.as_str() {
            PROTOBUF => {
                // The answer is named with a dot where the request has an at sign, which is no token character.
                const ANSWER: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
                return Ok(tagged(call, ANSWER, openapi::v2_protobuf(kinds, kept, &others).into()));
            }
            "application/json" | "*/*" | "application/*" => break,
            _ => {}
        }
    }
    Ok(tagged(call, "application/json", openapi::v2(kinds, kept, &others).into()))
}

/// The definitions of custom kinds as they are kept: their schemas are read from there when they are published.
struct Kept(HashMap<String, Arc<Entry>>);

impl Schemas for Kept {
    fn schema(&self, definition: &str, version: &str) -> Option<Object> {
        if let Some(schema) = measured::schema(definition) {
            return Some(schema);
        }
        let object = body::decode(&self.0.get(definition)?.bytes).ok()?;
        let versions = meta::list_at(&object, &["spec", "versions"]);
        let found = versions.iter().find(|one| meta::text(one, "name") == version)?;
        meta::at(found, &["schema", "openAPIV3Schema"]).cloned()
    }
}

/// Of the custom kinds of one group and version, or of all.
async fn schemas_of(call: &Call, kinds: &Kinds, wanted: Option<(&str, &str)>) -> Kept {
    let mut kept = HashMap::new();
    for kind in kinds.iter().filter(|kind| wanted.is_none_or(|of| of == (&*kind.group, &*kind.version))) {
        let Some(definition) = kind.definition.as_ref().filter(|_| kind.is_kept()) else { continue };
        let key = keys::fixed("apiextensions.k8s.io", "customresourcedefinitions", "", &definition.name);
        if !kept.contains_key(&*definition.name)
            && let Ok(Some(entry)) = call.core.store.get(&key).await
        {
            kept.insert(definition.name.to_string(), entry);
        }
    }
    Kept(kept)
}

fn schemas(call: &Call, kinds: &Kinds, group: &str, version: &str, kept: &dyn Schemas) -> Result<Answer, Status> {
    let asked = call.query.get("hash").filter(|mark| !mark.is_empty());
    if let Some(mark) = asked {
        let link = openapi::v3_link(kinds, group, version);
        if !link.ends_with(&format!("?hash={mark}")) && !kinds.of_version(group, version).is_empty() {
            let mut answer = respond::text(StatusCode::MOVED_PERMANENTLY, String::new());
            let place = HeaderValue::from_str(&link).map_err(|error| Status::internal(error.to_string()))?;
            answer.headers_mut().insert(header::LOCATION, place);
            return Ok(answer);
        }
    }
    let body = openapi::v3(kinds, group, version, kept).ok_or_else(Status::no_such_resource)?;
    let mut answer = tagged(call, "application/json", body.into());
    // The index names each document with a mark of its content: what has the mark never changes.
    if asked.is_some() {
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    }
    Ok(answer)
}

fn found(call: &Call, document_found: Option<Object>) -> Result<Answer, Status> {
    document(call, &document_found.ok_or_else(Status::no_such_resource)?)
}

fn document(call: &Call, body: &Object) -> Result<Answer, Status> {
    let accepted = media::negotiate(&call.head.headers, media::Offer::ITSELF).unwrap_or(Accepted::JSON);
    match accepted.format {
        Format::Json => Ok(tagged(call, "application/json", body.to_string().into())),
        Format::Yaml | Format::Protobuf => Ok(respond::object(StatusCode::OK, body, accepted)),
    }
}

/// A document with its ETag; 304 if the client has it.
fn tagged(call: &Call, content_type: &'static str, body: bytes::Bytes) -> Answer {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    digest.update(content_type.as_bytes());
    digest.update(&body);
    let digest = digest.finish();
    let tag: String = digest.as_ref()[..16].iter().map(|b| format!("{b:02X}")).collect();
    let tag = format!("\"{tag}\"");
    let known = call.head.headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    let mut answer = if known.is_some_and(|k| k.split(',').any(|one| one.trim() == tag)) {
        let mut answer = respond::bytes(StatusCode::NOT_MODIFIED, content_type, "");
        answer.headers_mut().remove(header::CONTENT_TYPE);
        answer
    } else {
        respond::bytes(StatusCode::OK, content_type, body)
    };
    if let Ok(value) = HeaderValue::from_str(&tag) {
        answer.headers_mut().insert(header::ETAG, value);
    }
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    answer
}

fn version() -> Object {
    let (major, minor) = KUBERNETES;
    json!({
        "major": major,
        "minor": minor,
        "gitVersion": format!("v{major}.{minor}.2+kedge-{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("linux/{}", match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }),
    })
}

fn openid(call: &Call) -> Object {
    let address = format!("https://{}:{}", call.core.advertised(), call.core.config.port);
    json!({
        "issuer": crate::authn::token::ISSUER,
        "jwks_uri": format!("{address}/openid/v1/jwks"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

fn all_paths(kinds: &Arc<Kinds>) -> Vec<String> {
    let mut paths: Vec<String> = [
        "/.well-known/openid-configuration",
        "/api",
        "/api/v1",
        "/apis",
        "/healthz",
        "/kedge/v1/backup",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ]
    .map(str::to_owned)
    .to_vec();
    for group in discovery::group_names(kinds) {
        paths.push(format!("/apis/{group}"));
        paths.extend(kinds.versions(&group).iter().map(|version| format!("/apis/{group}/{version}")));
    }
    paths.sort();
    paths
}

/// The figures, with the number of kept objects of each kind.
async fn metrics(call: &Call) -> String {
    use std::fmt::Write as _;
    let mut out = call.core.metrics.render();
    crate::metrics::family(
        &mut out,
        "serviceaccount_stale_tokens_total",
        "counter",
        "Tokens that were used after they should have been replaced.",
    );
    let stale = call.core.authn.stale.load(std::sync::atomic::Ordering::Relaxed);
    let _ = writeln!(out, "serviceaccount_stale_tokens_total {stale}");
    let size = "apiserver_storage_size_bytes";
    crate::metrics::family(&mut out, size, "gauge", "Bytes of the store's files.");
    let _ = writeln!(out, "{size}{{storage_cluster_id=\"local\"}} {}", call.core.store.size());
    crate::metrics::family(&mut out, "apiserver_storage_objects", "gauge", "Kept objects by kind.");
    crate::metrics::family(&mut out, "apiserver_resource_objects", "gauge", "Kept objects by kind.");
    for kind in call.core.kinds().iter().filter(|k| k.is_kept() && crate::registry::rules::served_as_kept(k)) {
        let Ok(count) = call.core.store.count(&crate::registry::keys::collection(kind, "")).await else { continue };
        if count > 0 {
            let _ = writeln!(out, "apiserver_storage_objects{{resource=\"{}\"}} {count}", kind.group_resource());
            let _ = writeln!(
                out,
                "apiserver_resource_objects{{group=\"{}\",resource=\"{}\"}} {count}",
                kind.group, kind.plural
            );
        }
    }
    out
}
