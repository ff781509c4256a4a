//! Runs a further process in a running container and stays with it until it ends.
//!
//! In: the node's words and the process's standard streams. Out: `Running`, with a terminal its other end, then
//! `Ended`. When the daemon closes the stream the process is hung up on, then killed.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::rc::Rc;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;

use super::create::OCI_NAME;
use super::{During, ExecWanted, OperationError, Outcome, Reply, Request, rootfs, saved_spec};
use crate::cgroup::Cgroups;
use crate::executor::Confined;
use crate::spec::{self, Host};
use crate::{capabilities, seccomp, sys, wire};

/// Milliseconds that a process has between hang-up and kill.
const TIDYING: i32 = 2000;

pub fn run(stream: &mut UnixStream, streams: Vec<OwnedFd>) -> Outcome<()> {
    // SAFETY: no memory is involved.
    unsafe { libc::setsid() };
    let request: Request<ExecWanted> = wire::read(stream).during("read the request")?;
    let ExecWanted { id, exec } = &request.want;
    let paths = request.layout.container(id);
    let container = saved_spec(&request.layout, id)?;
    let status = fs::read_to_string("/proc/self/status").during("read /proc/self/status")?;
    let cgroups = &request.cgroups;
    let host =
        Host { capabilities: capabilities::bounding(&status), unified: *cgroups == Cgroups::V2, ..Host::default() };
    let keep = spec::capabilities(&container, &host);
    let filter = seccomp::program(spec::seccomp(&container), keep, seccomp::Machine::HERE)?;
    let executor = Confined {
        filter: filter.map(Rc::new),
        capabilities: keep,
        no_new_privileges: container.security.no_new_privileges,
        start: None,
        home: Rc::default(),
    };
    // Others may run in the same container at the same time: names carry our process ID.
    let own = |name: &str| paths.folder.join(format!("{name}-{}", std::process::id()));
    let process = Removed(own("process"));
    let text = serde_json::to_vec(&spec::further_process(&container, exec, &host)).map_err(io::Error::other);
    text.and_then(|text| fs::write(process.path(), text)).during("write the process")?;

    let mut builder = ContainerBuilder::new(OCI_NAME.to_owned(), SyscallType::default())
        .with_root_path(&paths.folder)?
        .with_executor(executor);
    let console = if exec.tty {
        std::env::set_current_dir(&paths.folder).during(format!("go to {}", paths.folder.display()))?;
        let socket = Removed(own("console"));
        let name = socket.path().file_name().unwrap_or_default().to_owned();
        let listener = UnixListener::bind(&name).during("make the console socket")?;
        builder = builder.with_console_socket(Some(socket.path()));
        Some((listener, socket))
    } else {
        let user = exec.user.as_ref().unwrap_or(&container.user);
        let [stdin, stdout, stderr]: [OwnedFd; 3] =
            streams.try_into().map_err(|_| OperationError::Refused("the standard streams did not come".to_owned()))?;
        for end in [&stdin, &stdout, &stderr] {
            std::os::unix::fs::fchown(end, Some(user.uid), Some(user.gid)).during("hand over a stream")?;
        }
        builder = builder.with_stdin(stdin).with_stdout(stdout).with_stderr(stderr);
        None
    };
    let cgroup = request.layout.cgroup(&container.cgroup);
    let visit = if host.unified {
        None
    } else {
        rootfs::enter_own_mounts(&container, &request.layout)?;
        cgroups.visit(&cgroup).during(format!("enter cgroup {}", cgroup.display()))?
    };
    let made = builder.as_tenant().with_detach(exec.tty).with_process(Some(process.path())).build();
    if let Some(visit) = visit {
        visit.end().during("leave the container's cgroup")?;
    }
    let pid = made?.as_raw();
    drop(process);
    let stays = stay(stream, pid, console.map(|(listener, _)| listener));
    if stays.is_err() {
        kill(pid);
    }
    stays
}

/// Answers that it runs, waits for its end or the daemon's, and answers that.
fn stay(stream: &mut UnixStream, pid: i32, console: Option<UnixListener>) -> Outcome<()> {
    let pidfd = sys::pidfd_open(pid).during("watch the process")?;
    wire::write(stream, &Reply::Running { pid }).during("answer")?;
    if let Some(console) = console {
        let (sender, _) = console.accept().during("wait for the terminal")?;
        let terminal = wire::take(&sender).during("take the terminal")?;
        wire::give(stream, terminal.as_raw_fd()).during("hand over the terminal")?;
    }
    let mut polls =
        [pidfd.as_fd().as_raw_fd(), stream.as_raw_fd()].map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    loop {
        // SAFETY: two pollfds.
        let count = unsafe { libc::poll(polls.as_mut_ptr(), 2, -1) };
        if count < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return Err(io::Error::last_os_error()).during("wait for the process");
        }
        if polls[0].revents != 0 {
            break;
        }
        if polls[1].revents != 0 {
            hang_up(pid, pidfd.as_fd());
            break;
        }
    }
    let code = wait(pid).during("wait for the process")?;
    // The daemon may be gone; nobody else asks.
    let _ = wire::write(stream, &Reply::Ended { code });
    Ok(())
}

/// Whoever ran it is gone: as when a terminal is closed, it may still tidy up, but not for long.
fn hang_up(pid: i32, pidfd: BorrowedFd<'_>) {
    signal(pid, libc::SIGHUP);
    if !sys::pidfd_wait(pidfd, TIDYING) {
        kill(pid);
    }
}

fn kill(pid: i32) {
    signal(pid, libc::SIGKILL);
}

/// It leads a session of its own: what it started in it is told too.
fn signal(pid: i32, signal: i32) {
    // SAFETY: no memory is involved.
    unsafe {
        libc::kill(-pid, signal);
        libc::kill(pid, signal);
    }
}

fn wait(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: the kernel writes one i32.
    sys::check(i64::from(unsafe { libc::waitpid(pid, &raw mut status, 0) }))?;
    Ok(if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) })
}

/// A file that is removed at the end.
struct Removed(std::path::PathBuf);

impl Removed {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
