//! What whole-stack tests share.
