//! What other servers answer: documents of aggregated APIs, reviews of webhooks, pages of proxied pods.
//!
//! In: any bytes. Out: a panic where one of them changes more of ours than its own part.

use std::sync::Arc;

use kedge_api::kinds::Kinds;
use kedge_api::{discovery, openapi};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::admission::webhook::hook::Version;
use crate::admission::webhook::review as answers;
use crate::aggregation::Remote;
use crate::aggregation::discovery::{self as others, Found};
use crate::proxy::rewrite::{Html, Links};

/// A document of another server, in each of the forms, and the APIService that names it.
pub fn aggregated(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(serde_json::from_slice::<Value>);
    let (Some(Ok(service)), Some(Ok(document))) = (lines.next(), lines.next()) else { return };
    let Some(remote) = Remote::read(&service) else { return };
    let resources =
        others::of_aggregated(&document, &remote.group, &remote.version).unwrap_or_else(|| others::of_list(&document));
    let swagger = openapi::part(document.to_string().as_bytes(), &remote.group, &remote.version).unwrap_or_default();
    let openapi = Some("/openapi/v3/x".to_owned());
    remote.set_found(Found { resources, openapi, swagger: swagger.into(), at: Instant::now() });
    let kinds = Kinds::builtin();
    let (group, remotes) = (remote.group.clone(), [Arc::new(remote)]);
    let mut list = discovery::groups(&kinds);
    others::add_to_groups(&mut list, &kinds, &remotes);
    ours_stay(&discovery::groups(&kinds)["groups"], &list["groups"], &group, |one| one["name"].clone());
    let mut all = discovery::aggregated(&kinds, false);
    others::add_to_aggregated(&mut all, &kinds, &remotes);
    ours_stay(&discovery::aggregated(&kinds, false)["items"], &all["items"], &group, |one| {
        one["metadata"]["name"].clone()
    });
    let _ = others::group(None, &group, &remotes);
    let mut index = json!({"paths": {"api/v1": {}}});
    others::add_to_index(&mut index, &remotes);
    assert!(index["paths"]["api/v1"].is_object());
}

/// Groups of ours are there as they were, but for the one that the other server adds to.
fn ours_stay(before: &Value, after: &Value, but: &str, name: impl Fn(&Value) -> Value) {
    for one in before.as_array().into_iter().flatten().filter(|one| name(one) != but) {
        assert!(after.as_array().is_some_and(|all| all.contains(one)), "{} is gone", name(one));
    }
}

/// An answer to a review.
pub fn review(bytes: &[u8]) {
    let Ok(answer) = serde_json::from_slice::<Value>(bytes) else { return };
    for version in [Version::V1, Version::V1beta1] {
        for mutating in [true, false] {
            if let Ok(said) = answers::read(&answer, version, "u1", mutating) {
                assert!(mutating || said.patch.is_empty(), "who only validates changes nothing");
                let status = answers::denied("hook.example.com", &said.result);
                assert!((400..600).contains(&status.code), "a refusal is {}", status.code);
            }
        }
    }
}

/// The first byte says how long pieces are; the rest is a page.
pub fn html(bytes: &[u8]) {
    let Some((first, page)) = bytes.split_first() else { return };
    let whole = rewritten(page, page.len().max(1));
    let pieces = rewritten(page, usize::from(*first % 16) + 1);
    assert_eq!(String::from_utf8_lossy(&whole), String::from_utf8_lossy(&pieces));
    assert_eq!(whole, pieces);
    if let Ok(text) = std::str::from_utf8(page) {
        let _ = links().rewrite(text);
    }
}

fn rewritten(page: &[u8], piece: usize) -> Vec<u8> {
    let mut html = Html::new(links());
    let mut out = Vec::new();
    for piece in page.chunks(piece) {
        out.extend(html.feed(piece));
    }
    out.extend(html.finish());
    out
}

fn links() -> Links {
    Links {
        prefix: "/api/v1/namespaces/a/pods/b/proxy".to_owned(),
        backend: "10.0.0.1:80".to_owned(),
        asked: "host:6443".to_owned(),
    }
}
