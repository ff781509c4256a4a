//! Makes a container that is ready to be started, then becomes its waiter.
//!
//! In: the node's words. Out: a first process that waits on `start.sock`, inside its namespaces, root file system and
//! cgroup; `life` last. On any error the first process is gone; folders and cgroups are for the daemon to remove.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use kedge_api::machine::{ContainerSpec, MountSource};
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;

use super::{During, OperationError, Outcome, Reply, Request, rootfs};
use crate::cgroup::{Cgroups, Visit};
use crate::executor::{Confined, Start};
use crate::layout::{ContainerPaths, Layout};
use crate::life::{Process, Processes};
use crate::spec::{self, Host, devices_below, heat_below};
use crate::waiter::descriptors;
use crate::{capabilities, seccomp, sys, wire};

/// libcontainer's name for every container: its folder is ours.
pub const OCI_NAME: &str = "oci";

/// Where clients of a container's own streams connect to, in its folder.
pub const ATTACH: &str = "attach.sock";
/// Clients that wait to be taken; the waiter takes them at once.
const ATTACHING: i32 = 8;

pub fn run(stream: &mut UnixStream, program: &OwnedFd) -> Outcome<()> {
    // SAFETY: no memory is involved. What follows is nobody's foreground job.
    unsafe { libc::setsid() };
    let request: Request<ContainerSpec> = wire::read(stream).during("read the request")?;
    let (layout, cgroups, spec) = (request.layout, request.cgroups, request.want);
    let paths = layout.container(&spec.id);
    let host = look_at_host(&layout, &spec, &cgroups)?;
    // First what a daemon needs to take it away again.
    let text = serde_json::to_vec(&spec::configuration(&spec, &layout, &host)).map_err(io::Error::other);
    text.and_then(|text| {
        fs::create_dir(&paths.folder)?;
        fs::write(paths.configuration(), text)
    })
    .during(format!("make {}", paths.folder.display()))?;
    for mount in &spec.mounts {
        if let MountSource::Bind(source) = &mount.source {
            let about = fs::metadata(source);
            about.during(format!("mount {} at {}", source.display(), mount.target))?;
        }
    }
    let back = rootfs::enter_own_mounts(&spec, &layout)?;
    rootfs::mount(&spec, &layout)?;
    rootfs::make_working_folder(&paths.rootfs(), &spec.cwd)?;
    let cgroup = layout.cgroup(&spec.cgroup);
    let visit = enter_cgroup(&cgroups, &cgroup, &paths).during(format!("enter cgroup {}", cgroup.display()))?;
    let made = make(&spec, &paths, &host, stream.as_raw_fd());
    if let Some(visit) = visit {
        visit.end().during("leave the container's cgroup")?;
    }
    let held = made?;
    let ready = (|| {
        rootfs::leave_own_mounts(back)?;
        adjust_oom_score(held.init, spec.oom_score_adj)?;
        // Its program has not begun, and we have left: these bind nobody else.
        confine(&cgroups, &cgroup, &spec).during(format!("limit cgroup {}", cgroup.display()))?;
        let processes = note(&paths, held.init)?;
        let waiter = Waiter::open((&layout, &cgroups), &spec, &paths, held.pipes)?;
        let pair = |process: Process| (process.pid, process.born);
        let reply = Reply::Created { init: pair(processes.init), waiter: pair(processes.waiter) };
        wire::write(stream, &reply).during("answer")?;
        waiter.become_it(program, &spec, held.init)
    })();
    let Err(error) = ready;
    // SAFETY: our own child.
    unsafe {
        libc::kill(held.init, libc::SIGKILL);
        libc::waitpid(held.init, std::ptr::null_mut(), 0);
    }
    Err(error)
}

/// Makes the container's cgroup. On version 1 also a view of it, and goes there; elsewhere libcontainer does.
fn enter_cgroup(cgroups: &Cgroups, cgroup: &Path, paths: &ContainerPaths) -> io::Result<Option<Visit>> {
    cgroups.make_leaf(cgroup)?;
    cgroups.show(cgroup, &paths.cgroup_view())?;
    cgroups.visit(cgroup)
}

/// All limits: libcontainer sets none.
fn confine(cgroups: &Cgroups, cgroup: &Path, spec: &ContainerSpec) -> io::Result<()> {
    cgroups.limit(cgroup, &spec.resources)?;
    cgroups.bind_together(cgroup)?;
    if spec.security.privileged { Ok(()) } else { cgroups.confine_devices(cgroup) }
}

const CPUS: &str = "/sys/devices/system/cpu";

fn look_at_host(layout: &Layout, spec: &ContainerSpec, cgroups: &Cgroups) -> Outcome<Host> {
    let status = fs::read_to_string("/proc/self/status").during("read /proc/self/status")?;
    Ok(Host {
        capabilities: capabilities::bounding(&status),
        unified: *cgroups == Cgroups::V2,
        shared_pid: layout.pod(&spec.pod_uid).join("pid").exists(),
        pid_of: spec.pid_of.as_deref().map(|other| pid_namespace(&layout.container(other))).transpose()?,
        heat: if spec.security.mask_proc { heat_below(Path::new(CPUS)) } else { Vec::new() },
        devices: if spec.security.privileged { devices_below(Path::new("/dev")) } else { Vec::new() },
    })
}

/// The PID namespace of a running container: of its first process, if that is still the one that was noted.
fn pid_namespace(paths: &ContainerPaths) -> Outcome<PathBuf> {
    let gone = || io::Error::new(io::ErrorKind::NotFound, "it does not run");
    let find = || -> io::Result<PathBuf> {
        let processes = Processes::read(&fs::read_to_string(paths.life())?).ok_or_else(gone)?;
        let init = processes.init;
        let same = sys::process(init.pid).is_some_and(|process| process.born == init.born);
        if same { Ok(PathBuf::from(format!("/proc/{}/ns/pid", init.pid))) } else { Err(gone()) }
    };
    find().during(format!("find the processes of {}", paths.folder.display()))
}

/// The ends of the container's pipes that its waiter keeps.
struct Pipes {
    stdout: OwnedFd,
    stderr: OwnedFd,
    started: OwnedFd,
    stdin: Option<OwnedFd>,
    attach: OwnedFd,
}

/// A container that is ready to be started.
struct Held {
    init: i32,
    pipes: Pipes,
}

fn make(spec: &ContainerSpec, paths: &ContainerPaths, host: &Host, stream: RawFd) -> Outcome<Held> {
    let keep = spec::capabilities(spec, host);
    let filter = seccomp::program(spec::seccomp(spec), keep, seccomp::Machine::HERE)?;
    let (mut stdout, stdout_end) = output_pipe(spec)?;
    let (stderr, stderr_end) = output_pipe(spec)?;
    let (stdin_end, stdin) = input(spec, paths)?;
    let (started, started_end) = sys::pipe().during("make the start pipe")?;
    // The name of a socket has at most 108 bytes: it is made from inside its folder.
    std::env::set_current_dir(&paths.folder).during(format!("go to {}", paths.folder.display()))?;
    let listener = UnixListener::bind("start.sock").during("make start.sock")?;
    let attach = sys::message_listener(ATTACH, ATTACHING).during("make attach.sock")?;
    let executor = Confined {
        filter: filter.map(Rc::new),
        capabilities: keep,
        no_new_privileges: spec.security.no_new_privileges,
        start: Some(Start { listener: Rc::new(listener), waiter: Rc::new(started_end), stream }),
        home: Rc::default(),
    };
    let mut builder = ContainerBuilder::new(OCI_NAME.to_owned(), SyscallType::default())
        .with_root_path(&paths.folder)?
        .with_executor(executor);
    let console = if spec.tty {
        builder = builder.with_console_socket(Some(paths.folder.join("console.sock")));
        Some(UnixListener::bind("console.sock").during("make the console socket")?)
    } else {
        builder = builder.with_stdin(stdin_end).with_stdout(stdout_end).with_stderr(stderr_end);
        None
    };
    let mut container = builder.as_init(&paths.folder).with_systemd(false).with_detach(true).build()?;
    if let Some(console) = console {
        // The terminal's outer end is what the waiter reads; standard error is the same.
        let (sender, _) = console.accept().during("wait for the terminal")?;
        stdout = wire::take(&sender).during("take the terminal")?;
        sys::nonblocking(stdout.as_fd()).during("take the terminal")?;
    }
    // For libcontainer it runs now: our executor holds it until `start.sock` is asked.
    container.start()?;
    // Neither is asked for again; each would be a page of memory.
    for name in ["oci/youki_config.json", "oci/notify.sock", "oci/console-socket", "console.sock"] {
        let _ = fs::remove_file(paths.folder.join(name));
    }
    let init = container.pid().ok_or_else(|| OperationError::Container("it has no process".to_owned()))?;
    Ok(Held { init: init.as_raw(), pipes: Pipes { stdout, stderr, started, stdin, attach } })
}

/// Read end for the waiter, write end for the container, which its user may open again by `/dev/stdout`.
fn output_pipe(spec: &ContainerSpec) -> Outcome<(OwnedFd, OwnedFd)> {
    let (read, write) = sys::pipe().during("make an output pipe")?;
    sys::nonblocking(read.as_fd()).during("make an output pipe")?;
    std::os::unix::fs::fchown(&write, Some(spec.user.uid), Some(spec.user.gid)).during("hand over an output pipe")?;
    Ok((read, write))
}

/// Standard input for the container, and what keeps it open: `/dev/null`, or a fifo that others may write to.
fn input(spec: &ContainerSpec, paths: &ContainerPaths) -> Outcome<(OwnedFd, Option<OwnedFd>)> {
    if !spec.stdin {
        return Ok((File::open("/dev/null").during("open /dev/null")?.into(), None));
    }
    let fifo = sys::c_path(&paths.stdin()).during("name the input fifo")?;
    // SAFETY: a NUL-terminated path.
    sys::check(i64::from(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) })).during("make the input fifo")?;
    let keeper = OpenOptions::new().read(true).write(true).open(paths.stdin()).during("open the input fifo")?;
    let end = File::open(paths.stdin()).during("open the input fifo")?;
    std::os::unix::fs::fchown(&end, Some(spec.user.uid), Some(spec.user.gid)).during("hand over the input fifo")?;
    Ok((end.into(), Some(keeper.into())))
}

/// From outside, and only for the container: the waiter must not become what the kernel kills first.
fn adjust_oom_score(init: i32, wanted: i32) -> Outcome<()> {
    let file = format!("/proc/{init}/oom_score_adj");
    let wanted = wanted.clamp(-1000, 1000);
    match fs::write(&file, wanted.to_string()) {
        // Lowering needs CAP_SYS_RESOURCE: what we have ourselves is then the lowest.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other.during(format!("write {wanted} to {file}")),
    }
}

fn note(paths: &ContainerPaths, init: i32) -> Outcome<Processes> {
    let alive = |pid: i32| {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "it has ended already");
        sys::process(pid).ok_or_else(gone).during(format!("look at process {pid}"))
    };
    let processes = Processes { init: alive(init)?, waiter: alive(std::process::id().cast_signed())? };
    // Room for what the waiter will write is set aside with it.
    let new = paths.folder.join("life.new");
    fs::write(&new, processes.write()).and_then(|()| fs::rename(&new, paths.life())).during("write life")?;
    Ok(processes)
}

/// Everything that the waiter expects, in the order of its descriptors.
struct Waiter {
    wanted: Vec<(OwnedFd, RawFd)>,
    log: CString,
}

impl Waiter {
    fn open(
        (layout, cgroups): (&Layout, &Cgroups),
        spec: &ContainerSpec,
        paths: &ContainerPaths,
        pipes: Pipes,
    ) -> Outcome<Self> {
        let log = &spec.log.path;
        let folder = log.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).during(format!("make the log folder {}", folder.display()))?;
        let name = log.file_name().unwrap_or_default();
        let cgroup = layout.cgroup(&spec.cgroup);
        let oom = cgroups.oom_file(&cgroup).unwrap_or_else(|| "/dev/null".into());
        let oom = File::open(oom).during("open the cgroup's OOM count")?;
        let mut wanted: Vec<(OwnedFd, RawFd)> = vec![
            (pipes.stdout, descriptors::STDOUT),
            (pipes.stderr, descriptors::STDERR),
            (pipes.started, descriptors::STARTED),
            (OpenOptions::new().write(true).open(paths.life()).during("open life")?.into(), descriptors::LIFE),
            (File::open(folder).during("open the log folder")?.into(), descriptors::LOGS),
            (oom.into(), descriptors::OOM),
        ];
        wanted.extend(pipes.stdin.map(|keeper| (keeper, descriptors::STDIN)));
        wanted.push((pipes.attach, descriptors::ATTACH));
        let log = CString::new(name.as_encoded_bytes()).map_err(io::Error::other).during("name the log")?;
        Ok(Self { wanted, log })
    }

    /// Never comes back but with an error. The stream to the daemon closes as the waiter begins: that is its success.
    fn become_it(self, program: &OwnedFd, spec: &ContainerSpec, init: i32) -> Outcome<std::convert::Infallible> {
        let words = [
            format!("kedge-waiter {}", spec.id),
            init.to_string(),
            self.log.to_string_lossy().into_owned(),
            spec.log.max_bytes.to_string(),
            spec.log.max_files.to_string(),
            match (spec.stdin, spec.tty) {
                (true, true) => "terminal".to_owned(),
                (true, false) => "pipe".to_owned(),
                (false, _) => String::new(),
            },
        ];
        let words: Vec<CString> = words.into_iter().filter_map(|word| CString::new(word).ok()).collect();
        let arguments: Vec<_> = words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect();
        let environment = [std::ptr::null::<libc::c_char>()];
        let above = high_copies(&self.wanted, program)?;
        // SAFETY: each target is below all copies, so nothing that is still needed is overwritten; null-terminated
        // lists of texts that live until exec. Copies without close-on-exec are what the waiter inherits.
        let error = unsafe {
            for (copy, (_, target)) in above.iter().zip(&self.wanted) {
                libc::dup2(copy.as_raw_fd(), *target);
            }
            if self.wanted.iter().all(|(_, target)| *target != descriptors::STDIN) {
                libc::close(descriptors::STDIN);
            }
            // Whatever the daemon itself was started with stays with the daemon.
            let first = descriptors::ATTACH as libc::c_uint + 1;
            libc::close_range(first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as i32);
            let program = above.last().map_or(-1, AsRawFd::as_raw_fd);
            libc::chdir(c"/".as_ptr());
            // Arguments and first frames on one page of stack rather than three: the program has no secrets and runs
            // nothing that came from a container.
            libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong);
            libc::syscall(
                libc::SYS_execveat,
                program,
                c"".as_ptr(),
                arguments.as_ptr(),
                environment.as_ptr(),
                libc::AT_EMPTY_PATH,
            );
            io::Error::last_os_error()
        };
        Err(error).during("become the waiter")
    }
}

/// Copies of all descriptors above those that the waiter expects, the program's last, closed on exec.
fn high_copies(wanted: &[(OwnedFd, RawFd)], program: &OwnedFd) -> Outcome<Vec<OwnedFd>> {
    let copy = |fd: &OwnedFd| {
        // SAFETY: no memory is involved.
        let answer = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, descriptors::ATTACH + 1) };
        // SAFETY: the kernel has just made it for us.
        sys::check(i64::from(answer)).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
    };
    let all = wanted.iter().map(|(fd, _)| fd).chain([program]);
    all.map(copy).collect::<io::Result<_>>().during("arrange descriptors")
}
