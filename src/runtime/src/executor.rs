//! The last steps inside a container before its program runs.
//!
//! In: what the operation prepared before libcontainer cloned. Out: the program, confined; or one sentence why not.
//! Never runs a program without the filter that was asked for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};

use crate::capabilities;
use crate::seccomp::Instruction;
use crate::sys::check;

/// How every error begins that says that there is no program to run.
pub const NO_PROGRAM: &str = "exec: ";

/// What the container's first process, or a further one, is to become.
#[derive(Clone)]
pub struct Confined {
    /// The filter; `None` only if none was asked for.
    pub filter: Option<Rc<Vec<Instruction>>>,
    /// The capabilities to end up with.
    pub capabilities: u64,
    /// libcontainer has set no_new_privs: the filter may be loaded last.
    pub no_new_privileges: bool,
    /// A first process waits here to be started.
    pub start: Option<Start>,
    /// Found by libcontainer in the container's user table.
    pub home: Rc<RefCell<Option<String>>>,
}

/// How a first process is started: somebody connects, sends 12 bytes of time, and reads the error or the end.
#[derive(Clone)]
pub struct Start {
    /// Where to wait.
    pub listener: Rc<UnixListener>,
    /// Tells the waiter: the time, and one byte more if the program could not be started.
    pub waiter: Rc<OwnedFd>,
    /// The operation's stream to the daemon, to be closed here: it must end when the waiter begins, not when we do.
    pub stream: RawFd,
}

impl Executor for Confined {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let failed = |cause: String| ExecutorError::Other(cause);
        let Some(start) = &self.start else {
            return Err(failed(self.become_program(spec)));
        };
        let (mut caller, time) = wait_for_start(&start.listener).map_err(|error| failed(error.to_string()))?;
        // The waiter reads the end of this pipe as success.
        let waiter = start.waiter.as_raw_fd();
        write_all(waiter, &time);
        let cause = self.become_program(spec);
        write_all(waiter, b"!");
        let _ = caller.write_all(cause.as_bytes());
        Err(failed(cause))
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        if let Some(start) = &self.start {
            // SAFETY: this process has a copy of its own, which nothing here uses.
            unsafe { libc::close(start.stream) };
        }
        find(spec).map(drop).map_err(ExecutorValidationError::ArgValidationError)
    }

    fn setup_envs(&self, envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        *self.home.borrow_mut() = envs.get("HOME").cloned();
        Ok(())
    }
}

impl Confined {
    /// Replaces the process; answers only why it could not.
    fn become_program(&self, spec: &Spec) -> String {
        let prepared = find(spec).and_then(|program| Prepared::new(&program, spec, self.home.borrow().as_deref()));
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(cause) => return cause,
        };
        // The program ends with whoever holds it: nobody else would see its end or empty its pipes.
        // SAFETY: no memory is involved.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
        if let Err(cause) = self.confine() {
            return cause;
        }
        prepared.run()
    }

    /// Filter and capabilities, in the order that each needs.
    fn confine(&self) -> Result<(), String> {
        let drop = || capabilities::confine(self.capabilities).map_err(|error| format!("drop capabilities: {error}"));
        let load = || match &self.filter {
            Some(filter) => load(filter).map_err(|error| format!("load seccomp filter: {error}")),
            None => Ok(()),
        };
        if self.no_new_privileges {
            drop()?;
            load()
        } else {
            load()?;
            drop()
        }
    }
}

/// Everything that exec needs, made before the filter is loaded.
struct Prepared {
    program: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Prepared {
    fn new(program: &Path, spec: &Spec, home: Option<&str>) -> Result<Self, String> {
        let text = |text: &str| CString::new(text).map_err(|_| format!("{text:?} holds a NUL"));
        let process = spec.process().as_ref().ok_or("no process")?;
        let mut env: Vec<String> = process.env().clone().unwrap_or_default();
        if env.iter().all(|line| !line.starts_with("HOME=")) {
            env.push(format!("HOME={}", home.unwrap_or("/")));
        }
        let args = process.args().as_deref().unwrap_or_default();
        Ok(Self {
            program: CString::new(program.as_os_str().as_bytes()).map_err(|error| error.to_string())?,
            args: args.iter().map(|arg| text(arg)).collect::<Result<_, _>>()?,
            env: env.iter().map(|line| text(line)).collect::<Result<_, _>>()?,
        })
    }

    fn run(&self) -> String {
        let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
            texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let (args, env) = (pointers(&self.args), pointers(&self.env));
        // SAFETY: NUL-terminated texts in null-terminated lists, all alive. Signals go back to their defaults, as a
        // program expects that was not started by us.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            libc::execve(self.program.as_ptr(), args.as_ptr(), env.as_ptr());
        }
        let error = io::Error::last_os_error();
        let program = self.program.to_string_lossy();
        match error.raw_os_error() {
            Some(libc::ENOEXEC) => format!("exec {program}: exec format error"),
            Some(libc::ENOENT) => format!("exec {program}: no such file or directory (is its interpreter missing?)"),
            Some(libc::EACCES) => format!("exec {program}: permission denied"),
            _ => format!("exec {program}: {error}"),
        }
    }
}

/// The program that the first argument means, inside the container.
fn find(spec: &Spec) -> Result<PathBuf, String> {
    let process = spec.process().as_ref().ok_or("no process")?;
    let name = process
        .args()
        .as_deref()
        .and_then(<[String]>::first)
        .filter(|name| !name.is_empty())
        .ok_or("no command specified")?;
    if name.contains('/') {
        let path = PathBuf::from(name);
        return match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(format!("{NO_PROGRAM}{name:?}: stat {name}: no such file or directory"))
            }
            Err(error) => Err(format!("{NO_PROGRAM}{name:?}: stat {name}: {error}")),
            Ok(about) if about.is_dir() => Err(format!("{NO_PROGRAM}{name:?}: is a directory")),
            Ok(_) if !may_run(&path) => Err(format!("{NO_PROGRAM}{name:?}: permission denied")),
            Ok(_) => Ok(path),
        };
    }
    let search = process.env().iter().flatten().find_map(|line| line.strip_prefix("PATH=")).unwrap_or_default();
    for folder in search.split(':').filter(|folder| folder.starts_with('/')) {
        let path = Path::new(folder).join(name);
        if path.is_file() && may_run(&path) {
            return Ok(path);
        }
    }
    Err(format!("{NO_PROGRAM}{name:?}: executable file not found in $PATH"))
}

fn may_run(path: &Path) -> bool {
    CString::new(path.as_os_str().as_bytes()).is_ok_and(|path| {
        // SAFETY: a NUL-terminated text.
        unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::X_OK, libc::AT_EACCESS) == 0 }
    })
}

fn wait_for_start(listener: &UnixListener) -> io::Result<(UnixStream, [u8; 12])> {
    loop {
        let (mut caller, _) = listener.accept()?;
        let mut time = [0; 12];
        // A caller that went away before it had said so has started nothing.
        if caller.read_exact(&mut time).is_ok() {
            return Ok((caller, time));
        }
    }
}

fn write_all(fd: i32, bytes: &[u8]) {
    // SAFETY: the descriptor is open and stays so; the file does not close it.
    let mut file = unsafe { std::fs::File::from_raw_fd(fd) };
    let _ = file.write_all(bytes);
    let _ = file.into_raw_fd();
}

/// Loads a filter for the calling thread, for good.
fn load(filter: &[Instruction]) -> io::Result<()> {
    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const Instruction,
    }
    let program =
        Program { length: u16::try_from(filter.len()).map_err(io::Error::other)?, instructions: filter.as_ptr() };
    // SAFETY: `length` instructions in the kernel's layout.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) }).map(drop)
}
