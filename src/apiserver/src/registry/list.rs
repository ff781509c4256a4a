//! Lists: what there is, at which revision, page by page.
//!
//! In: options of a list. Out: entries with the list's metadata; or a 410 when a page's revision
//! is no longer kept. [`at`] decides which revision is meant and is pure.

use std::sync::Arc;

use kedge_api::field::{FieldError, Path};
use kedge_api::status::Status;
use kedge_store::{Entry, ReadError, Revision};

use super::cursor::Cursor;
use super::selection::Selection;
use super::{Act, keys, rules};
use crate::error;
use crate::flow::width::Size;
use crate::query::ListOptions;

/// A list, or a page of one.
#[derive(Debug)]
pub struct Listing {
    /// What was found, in the order of the keys.
    pub entries: Vec<Arc<Entry>>,
    /// At which revision.
    pub revision: Revision,
    /// The token of the next page.
    pub next: Option<String>,
    /// How many are left, where that is known.
    pub remaining: Option<u64>,
}

/// Which revision is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// What there is now.
    Now,
    /// What there is now, once that is at least this.
    NotBefore(Revision),
    /// What there was then.
    Exactly(Revision),
    /// The next page.
    Next(Cursor),
}

/// Entries are read from the store this many at a time when most may not match.
const SCAN: usize = 500;
/// So many objects that cannot be read are named, as in Kubernetes.
const LOCKED: usize = 100;
/// A revision that is not there yet is waited for this long, as in Kubernetes.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);

/// Which revision the options mean.
pub fn at(options: &ListOptions) -> Result<At, Status> {
    let number = |text: &str| {
        text.parse::<Revision>().map_err(|_| {
            let fault = FieldError::invalid(&Path::root("resourceVersion"), text, "must be a number");
            refused(&[fault])
        })
    };
    let version = options.resource_version.as_deref().map(number).transpose()?;
    let matching = Path::root("resourceVersionMatch");
    let mut faults = Vec::new();
    let exact = match options.resource_version_match.as_deref() {
        None => None,
        Some(_) if options.resource_version.is_none() => {
            faults.push(FieldError::forbidden(
                &matching,
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
            None
        }
        Some(_) if options.continue_token.is_some() => {
            faults
                .push(FieldError::forbidden(&matching, "resourceVersionMatch is forbidden when continue is provided"));
            None
        }
        Some("Exact") if version == Some(0) => {
            faults.push(FieldError::forbidden(
                &matching,
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ));
            None
        }
        Some("Exact") => Some(true),
        Some("NotOlderThan") => Some(false),
        Some(other) => {
            faults.push(FieldError::not_supported(&matching, other, &["Exact", "NotOlderThan", ""]));
            None
        }
    };
    if options.send_initial_events.is_some() {
        faults.push(FieldError::forbidden(&Path::root("sendInitialEvents"), "sendInitialEvents is forbidden for list"));
    }
    if !faults.is_empty() {
        return Err(refused(&faults));
    }
    if let Some(token) = &options.continue_token {
        if version.is_some_and(|v| v != 0) {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        return Cursor::decode(token)
            .map(At::Next)
            .map_err(|why| Status::bad_request(format!("continue key is not valid: {why}")));
    }
    Ok(match (version, exact) {
        (None | Some(0), _) => At::Now,
        (Some(revision), Some(true)) => At::Exactly(revision),
        (Some(revision), None) if options.limit > 0 => At::Exactly(revision),
        (Some(revision), _) => At::NotBefore(revision),
    })
}

/// 422 about the options.
pub(super) fn refused(faults: &[FieldError]) -> Status {
    Status::invalid("meta.k8s.io", "ListOptions", "", faults)
}

/// Lists a collection.
pub async fn list(act: &Act<'_>, options: &ListOptions, selection: &Selection) -> Result<Listing, Status> {
    let now = act.core.clock.unix();
    let mut revision = None;
    // What this page goes on from.
    let mut from = None;
    match at(options)? {
        At::Now => {}
        At::NotBefore(wanted) => reach(act, wanted).await?,
        At::Exactly(wanted) => {
            reach(act, wanted).await?;
            if rules::is_forgotten(act.core, act.kind, wanted) {
                return Err(Status::list_expired());
            }
            revision = Some(wanted);
        }
        At::Next(cursor) => {
            let forgotten = cursor.revision.is_some_and(|r| rules::is_forgotten(act.core, act.kind, r));
            if forgotten || cursor.is_old(now) {
                return Err(Status::continue_expired(Some(&cursor.anew())));
            }
            from = Some(cursor);
        }
    }
    let prefix = keys::collection(act.kind, act.namespace);
    // One name is one key: no need to walk the collection.
    if let Some(name) = selection.name().filter(|_| revision.is_none() && from.is_none())
        && (!act.kind.namespaced || !act.namespace.is_empty())
    {
        return single(act, name, selection).await;
    }
    let start = match &from {
        None => Start { revision, began: now, after: None, left: None },
        Some(cursor) => Start {
            revision: cursor.revision,
            // Whoever goes on with what there is now begins a list of its own.
            began: cursor.revision.map_or(now, |_| cursor.began),
            after: Some(format!("{prefix}{}", cursor.after)),
            left: cursor.left,
        },
    };
    match read(act, &prefix, start, options.limit, selection).await {
        Ok(listing) => Ok(listing),
        Err(ReadError::Compacted { .. }) if let Some(cursor) = from => {
            Err(Status::continue_expired(Some(&cursor.anew())))
        }
        Err(ReadError::Unreadable { .. }) => Err(locked(act, &prefix).await),
        Err(fault) => Err(error::read(fault, act.about())),
    }
}

/// 500 with every object that cannot be read, up to [`LOCKED`].
async fn locked(act: &Act<'_>, prefix: &str) -> Status {
    match act.core.store.unreadable(prefix, LOCKED).await {
        Ok(found) => Status::store_read(&act.kind.group, &act.kind.plural, prefix, &found),
        Err(fault) => error::read(fault, act.about()),
    }
}

async fn single(act: &Act<'_>, name: &str, selection: &Selection) -> Result<Listing, Status> {
    let revision = act.core.store.revision();
    let key = keys::object(act.kind, act.namespace, name);
    let entry = act.core.store.get(&key).await.map_err(|fault| error::read(fault, act.about()))?;
    let entries: Vec<_> = entry.into_iter().filter(|e| selection.has(e)).collect();
    let revision = entries.iter().map(|e| e.revision).fold(revision, Revision::max);
    Ok(Listing { entries, revision, next: None, remaining: None })
}

/// Where reading begins.
struct Start {
    /// At which revision, if not now.
    revision: Option<Revision>,
    /// When the first page was read.
    began: u64,
    /// The last key of the page before.
    after: Option<String>,
    /// How many objects follow that, if the page before knew it.
    left: Option<u64>,
}

async fn read(
    act: &Act<'_>,
    prefix: &str,
    start: Start,
    limit: u64,
    selection: &Selection,
) -> Result<Listing, ReadError> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let all = selection.is_everything();
    let Start { revision: mut at, began, mut after, left } = start;
    let mut entries: Vec<Arc<Entry>> = Vec::new();
    // The size of what is there now, if all of it is read.
    let (whole, mut size) = (at.is_none() && after.is_none(), Size::default());
    loop {
        // 0 is everything, for the store as for clients.
        let batch = if all || wanted == 0 { wanted } else { SCAN.max(wanted) };
        let page = act.core.store.list(prefix, at, after.as_deref(), batch).await?;
        at = Some(page.revision);
        let count = page.entries.len();
        after = page.entries.last().map(|e| e.key.to_string());
        for (place, entry) in page.entries.into_iter().enumerate() {
            size = size.and(&entry);
            if !selection.has(&entry) {
                continue;
            }
            let last = entries.len() + 1 == wanted && (page.more || place + 1 < count);
            let key = entry.key.clone();
            entries.push(entry);
            if last {
                // With selectors it is not told, as in Kubernetes. Otherwise this is all of the page.
                let left = match (page.remaining, left.and_then(|left| left.checked_sub(entries.len() as u64))) {
                    _ if !all => None,
                    (Some(left), _) | (None, Some(left)) => Some(left),
                    (None, None) => Some(act.core.store.rest(prefix, at, Some(&key)).await?),
                };
                let after = key[prefix.len()..].to_owned();
                let cursor = Cursor { revision: Some(page.revision), began, after, left };
                if let Some(left) = left.filter(|_| whole) {
                    let objects = size.objects + left;
                    let bytes = size.bytes / size.objects.max(1) * objects;
                    act.core.flow.sizes.note(prefix, Size { objects, bytes });
                }
                return Ok(Listing { entries, revision: page.revision, next: Some(cursor.encode()), remaining: left });
            }
        }
        if !page.more || count == 0 {
            if whole {
                act.core.flow.sizes.note(prefix, size);
            }
            return Ok(Listing { entries, revision: page.revision, next: None, remaining: None });
        }
    }
}

/// Waits until the store has reached a revision.
pub(super) async fn reach(act: &Act<'_>, wanted: Revision) -> Result<(), Status> {
    let store = &act.core.store;
    if store.revision() >= wanted {
        return Ok(());
    }
    let _ = tokio::time::timeout(PATIENCE, store.wait_for(wanted)).await;
    if store.revision() >= wanted { Ok(()) } else { Err(Status::too_large_version(wanted, store.revision())) }
}

/// Waits until a GET's revision is there.
pub async fn reach_for_get(act: &Act<'_>, version: Option<&str>) -> Result<(), Status> {
    match version.unwrap_or("") {
        "" | "0" => Ok(()),
        text => match text.parse() {
            Ok(wanted) => reach(act, wanted).await,
            Err(_) => Err(Status::bad_request(format!("invalid resource version {text:?}"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    #[track_caller]
    fn check(query: &str, expected: Result<At, u16>) {
        let options = ListOptions::parse(&Query::parse(query)).unwrap();
        assert_eq!(at(&options).map_err(|s| s.code), expected, "{query}");
    }

    #[test]
    fn version_and_match_say_which_revision() {
        let token = Cursor { revision: Some(9), began: 1, after: "a".into(), left: None }.encode();
        check("", Ok(At::Now));
        check("resourceVersion=0", Ok(At::Now));
        check("resourceVersion=0&limit=5", Ok(At::Now));
        check("resourceVersion=7", Ok(At::NotBefore(7)));
        check("resourceVersion=7&limit=5", Ok(At::Exactly(7)));
        check("resourceVersion=7&resourceVersionMatch=NotOlderThan&limit=5", Ok(At::NotBefore(7)));
        check("resourceVersion=7&resourceVersionMatch=Exact", Ok(At::Exactly(7)));
        check("resourceVersion=0&resourceVersionMatch=NotOlderThan", Ok(At::Now));
        check("resourceVersion=0&resourceVersionMatch=Exact", Err(422));
        check("resourceVersionMatch=Exact", Err(422));
        check("resourceVersion=7&resourceVersionMatch=Newest", Err(422));
        check("resourceVersion=seven", Err(422));
        check("sendInitialEvents=true", Err(422));
        check(
            &format!("continue={token}"),
            Ok(At::Next(Cursor { revision: Some(9), began: 1, after: "a".into(), left: None })),
        );
        check(
            &format!("continue={token}&resourceVersion=0"),
            Ok(At::Next(Cursor { revision: Some(9), began: 1, after: "a".into(), left: None })),
        );
        check(&format!("continue={token}&resourceVersion=7"), Err(400));
        check(&format!("continue={token}&resourceVersion=7&resourceVersionMatch=Exact"), Err(422));
        check("continue=nonsense", Err(400));
    }
}
