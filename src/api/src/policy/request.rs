//! The types of `request` and `namespaceObject`.
//!
//! In: nothing. Out: declarations, made once. Fields that they do not name cannot be asked for.

use std::sync::LazyLock;

use kedge_cel::declare::{Decl, Keep, Objects, TextFormat};

/// The type of `request`.
pub(super) const REQUEST: &str = "kubernetes.AdmissionRequest";
/// The type of `namespaceObject`.
pub(super) const NAMESPACE: &str = "kubernetes.Namespace";

static OBJECTS: LazyLock<Objects> = LazyLock::new(|| {
    let mut objects = Objects::of(&request());
    objects.add(&NAMESPACE_DECL);
    objects
});

static NAMESPACE_DECL: LazyLock<Decl> = LazyLock::new(namespace_decl);

pub(super) fn objects() -> &'static Objects {
    &OBJECTS
}

/// What a namespace is to expressions.
pub fn namespace() -> &'static Decl {
    &NAMESPACE_DECL
}

fn text() -> Decl {
    Decl::text(TextFormat::Plain, None, None)
}

fn texts() -> Decl {
    Decl::list(text(), Keep::Atomic, None)
}

fn object(name: &str, fields: &[(&str, Decl)]) -> Decl {
    Decl::object(name, fields.iter().map(|(name, decl)| ((*name).to_owned(), decl.clone(), false)))
}

fn request() -> Decl {
    let gvk = || object("kubernetes.GroupVersionKind", &[("group", text()), ("version", text()), ("kind", text())]);
    let gvr =
        || object("kubernetes.GroupVersionResource", &[("group", text()), ("version", text()), ("resource", text())]);
    let user = object(
        "kubernetes.UserInfo",
        &[("username", text()), ("uid", text()), ("groups", texts()), ("extra", Decl::map(texts(), None))],
    );
    object(
        REQUEST,
        &[
            ("kind", gvk()),
            ("resource", gvr()),
            ("subResource", text()),
            ("requestKind", gvk()),
            ("requestResource", gvr()),
            ("requestSubResource", text()),
            ("name", text()),
            ("namespace", text()),
            ("operation", text()),
            ("userInfo", user),
            ("dryRun", Decl::BOOL),
            ("options", Decl::int_or_text(None)),
        ],
    )
}

fn namespace_decl() -> Decl {
    let time = || Decl::text(TextFormat::DateTime, None, None);
    let labels = || Decl::map(text(), None);
    let metadata = object(
        "kubernetes.NamespaceMetadata",
        &[
            ("name", text()),
            ("generateName", text()),
            ("namespace", text()),
            ("labels", labels()),
            ("annotations", labels()),
            ("UID", text()),
            ("creationTimestamp", time()),
            ("deletionGracePeriodSeconds", Decl::INT),
            ("deletionTimestamp", time()),
            ("generation", Decl::INT),
            ("resourceVersion", text()),
            ("finalizers", texts()),
        ],
    );
    let condition = object(
        "kubernetes.NamespaceCondition",
        &[
            ("status", text()),
            ("type", text()),
            ("lastTransitionTime", time()),
            ("message", text()),
            ("reason", text()),
        ],
    );
    let status = object(
        "kubernetes.NamespaceStatus",
        &[("conditions", Decl::list(condition, Keep::Atomic, None)), ("phase", text())],
    );
    let spec = object("kubernetes.NamespaceSpec", &[("finalizers", texts())]);
    object(NAMESPACE, &[("metadata", metadata), ("spec", spec), ("status", status)])
}
