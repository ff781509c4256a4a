//! The agent: makes bound Pods true on one machine
