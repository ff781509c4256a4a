//! Informers and work queues that drive controller plugins
