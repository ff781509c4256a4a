//! The one place where internal errors become `Status` objects.
//!
//! In: errors of the store, of query parsing, of decoding kept bytes. Out: what the client is told.
//! The cause of a 500 goes to the log; the client learns which act failed on what.

use kedge_api::kinds::Kind;
use kedge_api::status::{Reason, Status};
use kedge_store::{ReadError, WatchError, WriteError};

use crate::query::OptionFault;

/// Which object an error is about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// Its kind.
    pub kind: &'a Kind,
    /// Its name; empty for a collection.
    pub name: &'a str,
}

impl<'a> About<'a> {
    /// That object.
    pub fn new(kind: &'a Kind, name: &'a str) -> Self {
        About { kind, name }
    }

    /// 404.
    pub fn not_found(&self) -> Status {
        Status::not_found(&self.kind.group, &self.kind.plural, self.name)
    }

    /// 409 by the optimistic lock.
    pub fn conflict(&self) -> Status {
        Status::conflict(&self.kind.group, &self.kind.plural, self.name)
    }

    /// 409: the name is taken.
    pub fn exists(&self) -> Status {
        Status::already_exists(&self.kind.group, &self.kind.plural, self.name)
    }

    /// 403 with a reason.
    pub fn forbidden(&self, why: impl std::fmt::Display) -> Status {
        Status::forbidden(&self.kind.group, &self.kind.plural, self.name, why)
    }

    /// 422.
    pub fn invalid(&self, faults: &[kedge_api::field::FieldError]) -> Status {
        Status::invalid(&self.kind.group, &self.kind.kind, self.name, faults)
    }
}

/// A write that was not made.
pub fn write(error: WriteError, about: About<'_>) -> Status {
    match error {
        WriteError::Exists(_) => about.exists(),
        WriteError::NotFound => about.not_found(),
        WriteError::Conflict(_) => about.conflict(),
        WriteError::TooLarge { limit, .. } => Status::too_large(limit),
        WriteError::VolatileFull { .. } => {
            Status::too_many_requests("the volatile store is full, please try again later", 5)
        }
        WriteError::DiskFull => {
            tracing::error!(kind = %about.kind.kind, name = about.name, "no space left for the database");
            Status::new(
                507,
                Reason::Other("InsufficientStorage".to_owned()),
                "no space left on the device for the database",
            )
        }
        WriteError::Closed => Status::unavailable("the server is shutting down"),
        error => internal("write", about, &error),
    }
}

/// A read that gave nothing.
pub fn read(error: ReadError, about: About<'_>) -> Status {
    match error {
        ReadError::Compacted { .. } => Status::list_expired(),
        ReadError::Future { current } => Status::too_large_version(current.saturating_add(1), current),
        ReadError::Closed => Status::unavailable("the server is shutting down"),
        error => internal("read", about, &error),
    }
}

/// A watch that ended or did not start.
pub fn watch(error: WatchError, wanted: u64) -> Status {
    match error {
        WatchError::Compacted { oldest } => Status::too_old_version(wanted, oldest),
        WatchError::Future { current } => Status::too_large_version(wanted, current),
        WatchError::Closed => Status::unavailable("the server is shutting down"),
        error => {
            tracing::error!(error = &error as &dyn std::error::Error, "a watch cannot read the database");
            Status::internal("the database could not be read")
        }
    }
}

/// A parameter that cannot be understood.
pub fn option(fault: &OptionFault) -> Status {
    Status::bad_request(fault.to_string())
}

/// Kept bytes that are no object: damage, or a bug of ours.
pub fn kept(error: &serde_json::Error, key: &str) -> Status {
    tracing::error!(key, %error, "a kept object cannot be read");
    Status::internal(format!("the object kept under {key} cannot be read"))
}

fn internal(act: &str, about: About<'_>, error: &(dyn std::error::Error + 'static)) -> Status {
    tracing::error!(error, kind = %about.kind.kind, name = about.name, "cannot {act} an object");
    Status::internal(format!("cannot {act} {} {:?}: {error}", about.kind.plural, about.name))
}

/// A panic in a handler.
pub fn panicked() -> Status {
    Status::new(500, Reason::InternalError, "This request caused apiserver to panic. Look in the logs for details.")
}
