//! A revisioned, watchable map of bytes on SQLite
