//! Namespaces, prefixes and suffixes.
//!
//! In: objects. Out: objects that are called otherwise, and know what they were called. References to them are mended
//! elsewhere (`references.rs`).

use kedge_api::kinds::Kinds;
use serde_json::{Value, json};

use super::paths::{each, put, split};
use super::tree::is_same;
use super::{Piece, is_of_cluster};
use crate::error::Failure;

/// Puts objects into a namespace; the namespace itself is called so.
pub fn namespace(kinds: &Kinds, namespace: &str, pieces: &mut [Piece]) -> Result<(), Failure> {
    if namespace.is_empty() {
        return Ok(());
    }
    for piece in pieces.iter_mut() {
        let gvk = piece.gvk();
        match (&*gvk.group, &*gvk.kind) {
            ("", "Namespace") => piece.call("name", namespace),
            _ if !is_of_cluster(kinds, &gvk) => piece.call("namespace", namespace),
            ("apiregistration.k8s.io", "APIService") if piece.object["spec"]["service"].is_object() => {
                put(&mut piece.object, &["spec", "service", "namespace"], namespace);
            }
            ("apiextensions.k8s.io", "CustomResourceDefinition") => {
                let path = split("spec/conversion/webhook/clientConfig/service/namespace");
                each(&mut piece.object, &path, false, &mut |value| *value = json!(namespace));
            }
            _ => {}
        }
        if matches!(&*gvk.kind, "RoleBinding" | "ClusterRoleBinding") {
            // Every namespace has a service account of that name; others are known by the object itself.
            let is_default = |subject: &Value| subject["kind"] == "ServiceAccount" && subject["name"] == "default";
            let subjects = piece.object.get_mut("subjects").and_then(Value::as_array_mut);
            for subject in subjects.into_iter().flatten().filter(|subject| is_default(subject)) {
                put(subject, &["namespace"], namespace);
            }
        }
    }
    for (at, piece) in pieces.iter().enumerate() {
        if pieces[..at].iter().any(|other| is_same(other, piece)) {
            return Err(Failure::said(format!("namespace transformation produces ID conflict: {}", piece.id())));
        }
    }
    Ok(())
}

/// Puts a prefix and a suffix around names. Some names mean something to the server, and stay.
pub fn around(prefix: &str, suffix: &str, pieces: &mut [Piece]) {
    if prefix.is_empty() && suffix.is_empty() {
        return;
    }
    for piece in pieces {
        let gvk = piece.gvk();
        if matches!(
            (&*gvk.group, &*gvk.kind),
            ("", "Namespace") | (_, "CustomResourceDefinition") | ("apiregistration.k8s.io", "APIService")
        ) {
            continue;
        }
        let name = format!("{prefix}{}{suffix}", piece.name());
        piece.call("name", &name);
    }
}
