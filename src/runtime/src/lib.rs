//! Zygote, OCI spec, libcontainer, waiter, exec
