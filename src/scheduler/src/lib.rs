//! Queue, snapshot, cycle and binding; every predicate and priority is a plugin
