//! Other images, other numbers of replicas.
//!
//! In: names of images and workloads. Out: objects with the new ones.

use serde_json::{Value, json};

use super::Piece;
use super::file::{Image, Kustomization};
use super::paths::{each, split};
use crate::error::Failure;

/// Deeper than any object that the API takes.
const DEPTH: usize = 128;

/// Changes images wherever containers are.
pub fn all(said: &Kustomization, pieces: &mut [Piece]) {
    for image in &said.images {
        for piece in pieces.iter_mut().filter(|piece| piece.kind() != "CustomResourceDefinition") {
            walk(&mut piece.object, image, DEPTH);
        }
    }
}

fn walk(value: &mut Value, image: &Image, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::Array(all) => all.iter_mut().for_each(|item| walk(item, image, depth)),
        Value::Object(map) => {
            for (key, inner) in map {
                if matches!(key.as_str(), "containers" | "initContainers" | "ephemeralContainers") {
                    for container in inner.as_array_mut().into_iter().flatten() {
                        let Some(held) = container.get_mut("image") else { continue };
                        if let Some(new) = held.as_str().and_then(|held| changed(held, image)) {
                            *held = json!(new);
                        }
                    }
                }
                walk(inner, image, depth);
            }
        }
        _ => {}
    }
}

/// The new image in the place of one; `None` where another one is meant.
fn changed(held: &str, image: &Image) -> Option<String> {
    let rest = held.strip_prefix(&image.name)?;
    let (rest, digest) = rest.split_once('@').map_or((rest, ""), |(rest, digest)| (rest, digest));
    let tag = match rest.strip_prefix(':') {
        Some(tag) if !tag.contains('/') => tag,
        None if rest.is_empty() => "",
        _ => return None,
    };
    let name = if image.new_name.is_empty() { &image.name } else { &image.new_name };
    let (mut tag, mut digest) = match (image.new_tag.as_str(), image.digest.as_str()) {
        ("", "") => (tag.to_owned(), digest),
        (new_tag, new_digest) => (new_tag.to_owned(), new_digest),
    };
    if !image.tag_suffix.is_empty() {
        tag.push_str(&image.tag_suffix);
        digest = "";
    }
    let part = |sign: &str, text: &str| if text.is_empty() { String::new() } else { format!("{sign}{text}") };
    Some(format!("{name}{}{}", part(":", &tag), part("@", digest)))
}

/// Changes numbers of replicas; each name must be that of a workload.
pub fn replicas(said: &Kustomization, pieces: &mut [Piece]) -> Result<(), Failure> {
    for wanted in &said.replicas {
        let mut found = false;
        let path = split("spec/replicas");
        for piece in pieces.iter_mut() {
            let is_scaled =
                matches!(piece.kind(), "Deployment" | "ReplicationController" | "ReplicaSet" | "StatefulSet");
            if is_scaled && piece.names().any(|(_, name)| name == wanted.name) {
                found = true;
                each(&mut piece.object, &path, true, &mut |value| *value = json!(wanted.count));
            }
        }
        if !found {
            return Err(Failure::said(format!(
                "resource with name {} does not match a config with the following kinds: Deployment, ReplicationController, ReplicaSet, StatefulSet",
                wanted.name
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_changed_by_name() {
        let image = |name: &str, new_name: &str, new_tag: &str, digest: &str, tag_suffix: &str| {
            let text = str::to_owned;
            let (name, new_name, new_tag) = (text(name), text(new_name), text(new_tag));
            Image { name, new_name, new_tag, digest: text(digest), tag_suffix: text(tag_suffix) }
        };
        for (held, image, expected) in [
            ("web", image("web", "", "2", "", ""), Some("web:2")),
            ("web:1", image("web", "", "2", "", ""), Some("web:2")),
            ("web:1@sha256:a", image("web", "", "2", "", ""), Some("web:2")),
            ("web:1", image("web", "r.lan:5/x", "", "", ""), Some("r.lan:5/x:1")),
            ("web:1", image("web", "", "", "sha256:b", ""), Some("web@sha256:b")),
            ("web:1@sha256:a", image("web", "", "2", "sha256:b", ""), Some("web:2@sha256:b")),
            ("web:1", image("web", "", "", "", "-x"), Some("web:1-x")),
            ("r.lan:5/web:1", image("r.lan:5/web", "", "2", "", ""), Some("r.lan:5/web:2")),
            ("r.lan:5/web:1", image("r.lan", "", "2", "", ""), None),
            ("webber:1", image("web", "", "2", "", ""), None),
            ("a/web", image("web", "", "2", "", ""), None),
        ] {
            assert_eq!(changed(held, &image).as_deref(), expected, "{held}");
        }
    }
}
