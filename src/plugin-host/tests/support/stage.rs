//! A host for tests, with its guests, its folder and its log.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use kedge_plugin_api::nodes::NodeFacts;
use kedge_plugin_api::{NodeTable, PodRow};
use kedge_plugin_host::{Environment, Level, Options, PluginHost};

/// A host and what is around it.
pub struct Stage {
    pub host: PluginHost,
    folder: tempfile::TempDir,
    lines: Arc<Mutex<Vec<(Level, String)>>>,
    guests: PathBuf,
}

impl Stage {
    /// `None`, with a sentence, when the guests were not built.
    pub fn open() -> Option<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
        let guests = target.join("plugins/cargo/wasm32-unknown-unknown/release");
        let compiler = target.join("debug/kedge-plugin-compiler");
        let built = ["misbehaving", "misruling"].iter().all(|name| guests.join(format!("{name}.wasm")).is_file());
        if !built || !compiler.is_file() {
            eprintln!("SKIPPED: there are no guests; run `cargo xtask guests` first");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let lines: Arc<Mutex<Vec<(Level, String)>>> = Arc::default();
        let sink = lines.clone();
        let environment = Environment {
            now: Arc::new(|| UNIX_EPOCH + Duration::from_secs(1_000_000)),
            random: Arc::new(|| 4),
            log: Arc::new(move |_, level, text| sink.lock().unwrap().push((level, text.to_string()))),
        };
        let options = Options { cache: folder.path().join("cache"), compiler, environment };
        Some(Self { host: PluginHost::open(options).unwrap(), folder, lines, guests })
    }

    pub fn guest(&self, name: &str) -> PathBuf {
        self.guests.join(format!("{name}.wasm"))
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    pub fn lines(&self) -> Vec<(Level, String)> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for a state of the host, which only time brings about.
    #[track_caller]
    pub fn until(&self, mut reached: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !reached() {
            assert!(begun.elapsed() < Duration::from_secs(20), "not reached in 20 s");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

/// A table of empty nodes `n0`, `n1`, ….
pub fn table(nodes: usize) -> NodeTable {
    let mut table = NodeTable::new(1);
    for number in 0..nodes {
        table.put(&format!("n{number}"), NodeFacts::default());
    }
    table
}

/// A pod of that namespace.
pub fn pod(table: &mut NodeTable, namespace: &str) -> PodRow {
    PodRow { namespace: table.symbols.intern(namespace), name: "p".into(), uid: namespace.into(), ..PodRow::default() }
}
