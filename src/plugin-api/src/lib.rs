//! Extension points as Rust traits, mirroring wit/
