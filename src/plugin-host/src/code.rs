//! Turns compiled forms into components that can be run.
//!
//! In: the bundle inside the daemon, or a checked file. Out: components. All run from files of the cache, which are
//! mapped: they cost no anonymous memory. The built-in ones are unpacked there at the first start of a version.

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::bundle::{self, BundleError};
use crate::cache::{Cache, CacheError, Compiled};
use crate::config::Source;
use crate::engine;

include!(concat!(env!("OUT_DIR"), "/bundle.rs"));

/// The names of the built-in plugins, and the SHA-256 of their Wasm.
pub fn builtin() -> Result<Vec<(String, String)>, BundleError> {
    Ok(bundle::read(EMBEDDED)?.plugins.into_iter().map(|member| (member.name, member.wasm)).collect())
}

/// Why a plugin cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// No such built-in plugin.
    #[error("there is no built-in plugin {name}; there are: {known}")]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The compiled form.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The engine refused it.
    #[error("the engine refuses it: {0}")]
    Engine(String),
    /// It exports no world.
    #[error(
        "it exports none of kedge:plugin/scheduling, kedge:plugin/controllers and kedge:plugin/admission: not a Kedge plugin"
    )]
    NoPlugin,
}

/// A component that can be run.
#[derive(Clone)]
pub(crate) struct Code {
    pub(crate) component: Component,
    pub(crate) offers: Offers,
    /// SHA-256 of the Wasm.
    pub(crate) digest: String,
    /// Its compiled form, if it has a file.
    pub(crate) file: Option<std::path::PathBuf>,
}

/// Which world a component belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offers {
    /// Predicates and priorities.
    Scheduling,
    /// Controllers.
    Controllers,
    /// Admission hooks.
    Admission,
}

/// The engine that all code runs on.
pub(crate) struct Engines {
    engine: Engine,
}

impl Engines {
    pub(crate) fn new() -> Result<Self, LoadError> {
        let engine = Engine::new(&engine::config()).map_err(|error| LoadError::Engine(format!("{error:#}")))?;
        Ok(Self { engine })
    }

    pub(crate) fn all(&self) -> Vec<Engine> {
        vec![self.engine.clone()]
    }

    /// Loads a plugin's code. Blocks while it is compiled.
    pub(crate) fn load(&self, source: &Source, cache: &Cache) -> Result<Code, LoadError> {
        match source {
            Source::Builtin(name) => self.embedded(name, cache),
            Source::File(path) => {
                let compiled = cache.get(path)?;
                self.file(&compiled).or_else(|_| {
                    cache.forget(&compiled);
                    self.file(&cache.get(path)?)
                })
            }
        }
    }

    fn embedded(&self, name: &str, cache: &Cache) -> Result<Code, LoadError> {
        let manifest = bundle::read(EMBEDDED)?;
        let Some(member) = manifest.plugins.iter().find(|member| member.name == name) else {
            let known = manifest.plugins.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(LoadError::Unknown { name: name.to_string(), known });
        };
        match cache.builtin(&member.compiled, || bundle::unpack(EMBEDDED, member)) {
            Ok(path) => self.file(&Compiled { path, wasm: member.wasm.clone() }),
            Err(CacheError::Write { path, source }) => {
                // A device with a full or read-only disk still has its policy; the code is held in memory then.
                tracing::warn!(path = %path.display(), error = %source, "a built-in plugin cannot be unpacked; it is held in memory");
                let bytes = bundle::unpack(EMBEDDED, member)?;
                // SAFETY: the bytes are the compiler's output for this engine's version (`bundle::read` checked), part
                // of this very binary and as trustworthy as its other code; their digest was checked just now.
                let component = unsafe { Component::deserialize(&self.engine, bytes) };
                code(component, member.wasm.clone(), None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn file(&self, compiled: &Compiled) -> Result<Code, LoadError> {
        // SAFETY: the cache's folder belongs to the daemon, the compiler wrote the file, and its digest was checked
        // just now.
        let component = unsafe { Component::deserialize_file(&self.engine, &compiled.path) };
        code(component, compiled.wasm.clone(), Some(compiled.path.clone()))
    }
}

fn code(
    component: wasmtime::Result<Component>,
    digest: String,
    file: Option<std::path::PathBuf>,
) -> Result<Code, LoadError> {
    let component = component.map_err(|error| LoadError::Engine(format!("{error:#}")))?;
    let exported = |name: &str| {
        let (engine, exports) = (component.engine(), component.component_type());
        exports.exports(engine).any(|(export, _)| export.split('@').next() == Some(name))
    };
    let offers = if exported("kedge:plugin/scheduling") {
        Offers::Scheduling
    } else if exported("kedge:plugin/controllers") {
        Offers::Controllers
    } else if exported("kedge:plugin/admission") {
        Offers::Admission
    } else {
        return Err(LoadError::NoPlugin);
    };
    Ok(Code { component, offers, digest, file })
}
