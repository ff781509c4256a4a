//! `metrics.k8s.io`: what nodes and pods use, measured when somebody asks.
//!
//! In: a read of a measured kind. Out: what the node agent measures, narrowed to what is meant, in the form that was
//! asked for. Nothing of it is kept, so it has no resourceVersion and a list is never cut into pages.

use std::sync::Arc;

use http::StatusCode;
use kedge_api::fields::Index;
use kedge_api::kinds::Kind;
use kedge_api::meta;
use kedge_api::status::Status;

use crate::chain::Call;
use crate::error;
use crate::query::ListOptions;
use crate::registry::selection::Selection;
use crate::registry::{Act, render};
use crate::respond::{self, Answer};

/// Answers a read.
pub async fn answer(call: &mut Call, act: &Act<'_>, kind: &Arc<Kind>) -> Result<Answer, Status> {
    let view = super::view(call, kind)?;
    let Some(usage) = call.core.usage.clone() else { return Err(Status::no_such_resource()) };
    let options = ListOptions::parse(&call.query).map_err(|fault| error::option(&fault))?;
    let selection = Selection::parse(kind, &options.label_selector, &options.field_selector)?;
    let mut found = if kind.namespaced { usage.pods().await? } else { usage.nodes().await? };
    found.retain(|object| act.namespace.is_empty() || meta::namespace(object) == act.namespace);
    if !act.name.is_empty() {
        let one = found.into_iter().find(|object| meta::name(object) == act.name);
        let one = one.ok_or_else(|| act.about().not_found())?;
        return Ok(respond::kept(StatusCode::OK, render::object(&view, one)?, view.accepted));
    }
    found.retain(|object| selection.means(&Index::of(&kind.gvk(), object, &[])));
    Ok(respond::kept(StatusCode::OK, render::objects(&view, &found), view.accepted))
}
