//! How everyone else reaches the API: loopback or HTTPS, on kube-rs
