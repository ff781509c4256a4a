//! HTTP in, store out: the Kubernetes API
