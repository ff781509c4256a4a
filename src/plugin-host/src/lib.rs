//! Implements plugin-api with Wasm components: grants, limits, cache, reload, metrics
