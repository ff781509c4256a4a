//! Rows: what is observed, and the status that comes of it.
