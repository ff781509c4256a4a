//! Whole collections: lists and deletions of everything that matches.
//!
//! In: options. Out: a list, in pieces if it is long.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use kedge_api::kinds::Kind;
use kedge_api::status::Status;

use super::{delete_options, view};
use crate::chain::Call;
use crate::error;
use crate::media::Format;
use crate::query::ListOptions;
use crate::registry::list::{self, Listing};
use crate::registry::render::ListBody;
use crate::registry::selection::Selection;
use crate::registry::{Act, Outcome, convert, delete, keys};
use crate::respond::{self, Answer};

/// A list up to this many entries is sent with its length; a longer one in pieces.
const WHOLE: usize = 64;

/// Lists.
pub async fn list(call: &Call, act: &Act<'_>, kind: &Arc<Kind>) -> Result<Answer, Status> {
    let view = view(call, kind)?;
    let options = ListOptions::parse(&call.query).map_err(|f| error::option(&f))?;
    let selection = Selection::parse(act.kind, &options.label_selector, &options.field_selector)?;
    let mut listing = list::list(act, &options, &selection.of_kept()).await?;
    listing.entries = convert::entries(act.core, kind, listing.entries).await?;
    selection.narrow(&mut listing.entries);
    let accepted = view.accepted;
    let few = listing.entries.len() <= WHOLE;
    let body = ListBody::new(view, listing);
    if few || accepted.format != Format::Json {
        return Ok(respond::kept(StatusCode::OK, body.collect(), accepted));
    }
    let pieces = futures::stream::unfold(body, |mut body| async move {
        let piece = body.piece()?;
        Some((Ok::<Bytes, std::convert::Infallible>(piece), body))
    });
    Ok(respond::stream(accepted.content_type(), Body::from_stream(pieces)))
}

/// Deletes everything that matches; answers with what that was.
pub async fn delete(call: &mut Call, act: &Act<'_>, kind: &Arc<Kind>) -> Result<Answer, Status> {
    let view = view(call, kind)?;
    let options = ListOptions::parse(&call.query).map_err(|f| error::option(&f))?;
    let deletion = delete_options(call).await?;
    delete::of_many(&deletion)?;
    delete::caution(act, &deletion);
    let selection = Selection::parse(act.kind, &options.label_selector, &options.field_selector)?;
    let mut listing = list::list(act, &options, &selection.of_kept()).await?;
    listing.entries = convert::entries(act.core, kind, listing.entries).await?;
    selection.narrow(&mut listing.entries);
    let mut entries = Vec::with_capacity(listing.entries.len());
    for entry in &listing.entries {
        let Some((namespace, name)) = keys::parse(&entry.key) else { continue };
        let one = Act { namespace, name, ..*act };
        match delete::delete(&one, &deletion).await {
            Ok(deleted) => entries.push(match deleted.outcome {
                Outcome::Kept(entry) => entry,
                Outcome::Made(_) => entry.clone(),
            }),
            // Somebody else was faster.
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    let entries = convert::entries(act.core, kind, entries).await?;
    let done = Listing { entries, ..listing };
    let accepted = view.accepted;
    Ok(respond::kept(StatusCode::OK, ListBody::new(view, done).collect(), accepted))
}
