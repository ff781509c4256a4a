//! Turns compiled forms into components that can be run.
//!
//! In: the bundle inside the daemon, or a checked file. Out: components. The built-in ones run from the pages of the
//! daemon's own binary: they cost no anonymous memory and nothing is unpacked.

use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wasmtime::component::Component;
use wasmtime::{CustomCodeMemory, Engine};

use crate::bundle::{self, BundleError};
use crate::cache::{Cache, CacheError, Compiled};
use crate::config::Source;
use crate::engine;

/// Starts where a page starts, whatever the page size.
#[repr(C, align(65536))]
struct Aligned<T: ?Sized>(T);

include!(concat!(env!("OUT_DIR"), "/bundle.rs"));

/// The names of the built-in plugins, and the SHA-256 of their Wasm.
pub fn builtin() -> Result<Vec<(String, String)>, BundleError> {
    Ok(bundle::read(&EMBEDDED.0)?.plugins.into_iter().map(|member| (member.name, member.wasm)).collect())
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
    /// It exports neither world.
    #[error("it exports neither kedge:plugin/scheduling nor kedge:plugin/controllers: not a Kedge plugin")]
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
}

/// What runs in place is registered with the operating system by its address: once in a process, whatever hosts there
/// are, and for ever.
static IN_PLACE: OnceLock<Engine> = OnceLock::new();
static LOADED: Mutex<Option<HashMap<String, Component>>> = Mutex::new(None);

/// The engines: one for code in the daemon's binary, one for code in files.
pub(crate) struct Engines {
    embedded: Engine,
    files: Engine,
}

impl Engines {
    pub(crate) fn new() -> Result<Self, LoadError> {
        let engine = |config| Engine::new(&config).map_err(|error| LoadError::Engine(format!("{error:#}")));
        let mut embedded = engine::config();
        embedded.with_custom_code_memory(Some(Arc::new(InPlace { page: page_size() })));
        let embedded = match IN_PLACE.get() {
            Some(engine) => engine.clone(),
            None => {
                let made = engine(embedded)?;
                IN_PLACE.get_or_init(|| made).clone()
            }
        };
        Ok(Self { embedded, files: engine(engine::config())? })
    }

    pub(crate) fn all(&self) -> Vec<Engine> {
        vec![self.embedded.clone(), self.files.clone()]
    }

    /// Loads a plugin's code. Blocks while it is compiled.
    pub(crate) fn load(&self, source: &Source, cache: &Cache) -> Result<Code, LoadError> {
        match source {
            Source::Builtin(name) => self.embedded(name),
            Source::File(path) => {
                let compiled = cache.get(path)?;
                self.file(&compiled).or_else(|_| {
                    cache.forget(&compiled);
                    self.file(&cache.get(path)?)
                })
            }
        }
    }

    fn embedded(&self, name: &str) -> Result<Code, LoadError> {
        let manifest = bundle::read(&EMBEDDED.0)?;
        let Some(member) = manifest.plugins.iter().find(|member| member.name == name) else {
            let known = manifest.plugins.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(LoadError::Unknown { name: name.to_string(), known });
        };
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = loaded.get_or_insert_default();
        if let Some(component) = loaded.get(name) {
            return code(Ok(component.clone()), member.wasm.clone(), None);
        }
        let bytes: &'static [u8] = &EMBEDDED.0[member.offset..member.offset + member.length];
        let in_place = (bytes.as_ptr() as usize).is_multiple_of(page_size());
        let component = if in_place {
            // SAFETY: the bytes are the compiler's output for this engine's version (`bundle::read` checked), part of
            // this very binary and as trustworthy as its other code; they are never written to and live for ever.
            unsafe { Component::deserialize_raw(&self.embedded, NonNull::from(bytes)) }
        } else {
            // SAFETY: as above; this copies them.
            unsafe { Component::deserialize(&self.files, bytes) }
        };
        if let Ok(component) = &component {
            loaded.insert(name.to_string(), component.clone());
        }
        code(component, member.wasm.clone(), None)
    }

    fn file(&self, compiled: &Compiled) -> Result<Code, LoadError> {
        // SAFETY: the cache's folder belongs to the daemon, the compiler wrote the file, and its digest was checked
        // just now.
        let component = unsafe { Component::deserialize_file(&self.files, &compiled.path) };
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
    } else {
        return Err(LoadError::NoPlugin);
    };
    Ok(Code { component, offers, digest, file })
}

/// Makes code executable where it is mapped.
struct InPlace {
    page: usize,
}

impl CustomCodeMemory for InPlace {
    fn required_alignment(&self) -> usize {
        self.page
    }

    fn publish_executable(&self, start: *const u8, length: usize) -> wasmtime::Result<()> {
        self.protect(start, length, libc::PROT_READ | libc::PROT_EXEC)
    }

    fn unpublish_executable(&self, start: *const u8, length: usize) -> wasmtime::Result<()> {
        self.protect(start, length, libc::PROT_READ)
    }
}

impl InPlace {
    fn protect(&self, start: *const u8, length: usize, how: libc::c_int) -> wasmtime::Result<()> {
        let length = length.next_multiple_of(self.page);
        // SAFETY: the range is code inside the bundle, which starts at a page and is padded to one; the pages are
        // mapped read-only from the binary and stay readable.
        let done = unsafe { libc::mprotect(start.cast_mut().cast(), length, how) };
        if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
    }
}

fn page_size() -> usize {
    // SAFETY: asks for a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}
