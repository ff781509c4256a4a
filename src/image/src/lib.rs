//! OCI distribution, archives, content store, unpacking, garbage collection
