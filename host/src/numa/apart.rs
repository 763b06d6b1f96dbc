//! Runs a function in a process of its own: for a library in C that may print, run on for long, or end the process.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe2, write};

/// Processor time that it may take: the time of the largest machines is a tenth of that.
const CPU_SECONDS: u64 = 3;
/// How long it may take by the clock: others may need the processor as well.
const PATIENCE_MS: u16 = 10_000;
/// Address space that it may take beside what the process has already.
const MEMORY_BYTES: u64 = 1 << 31;
/// Stands behind an answer that is whole.
const END: &str = "end\n";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApartError {
    /// The system gives no process.
    #[error("the system starts no process: {0}")]
    Fork(#[from] io::Error),
    /// It ended early, or was ended for taking too long.
    #[error("it was not done within {CPU_SECONDS} seconds and {} GiB", MEMORY_BYTES >> 30)]
    Unfinished,
}

/// Variables of the environment for the other process alone: a value, or `None` for one that is taken away.
#[derive(Debug, Default)]
pub(super) struct Variables(Vec<(CString, Option<CString>)>);

impl Variables {
    /// Those that begin with `prefix` are taken away, apart from those that are given.
    pub(super) fn instead_of(prefix: &str, given: &[(&str, &str)]) -> Self {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let taken = names.filter(|name| name.starts_with(prefix)).map(|name| (name, None));
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
        let of = |(name, value): (String, Option<String>)| {
            Some((CString::new(name).ok()?, value.and_then(|value| CString::new(value).ok())))
        };
        Self(taken.chain(given).filter_map(of).collect())
    }

    /// To be called where there is one thread.
    fn set(&self) {
        for (name, value) in &self.0 {
            // SAFETY: both are C strings, which the functions copy. Nobody reads the environment meanwhile: a process that was
            // forked has one thread.
            unsafe {
                match value {
                    Some(value) => libc::setenv(name.as_ptr(), value.as_ptr(), 1),
                    None => libc::unsetenv(name.as_ptr()),
                };
            }
        }
    }
}

/// What `run` returns, from another process that is a copy of this one with the calling thread alone. Whatever it prints is
/// lost, and nothing that it does is seen here.
///
/// # Errors
/// [`ApartError`].
pub(super) fn run_apart(variables: &Variables, run: impl FnOnce() -> String) -> Result<String, ApartError> {
    let (answer, writer) = pipe2(OFlag::O_CLOEXEC).map_err(io::Error::from)?;
    // SAFETY: the child has this thread and no other. What it runs takes no lock of ours that another thread may have held:
    // memory comes from the C library, which keeps that usable behind fork(2), and the environment is written by nobody. Should
    // it hang all the same, it is ended below. It leaves by _exit(2), so that no destructor runs twice.
    match unsafe { fork() }.map_err(io::Error::from)? {
        ForkResult::Child => in_child(&writer, variables, run),
        ForkResult::Parent { child } => {
            drop(writer);
            let text = read_all(answer);
            end(child);
            text
        }
    }
}

fn in_child(writer: &OwnedFd, variables: &Variables, run: impl FnOnce() -> String) -> ! {
    silence();
    limit();
    variables.set();
    let text = catch_unwind(AssertUnwindSafe(run)).map(|text| text + END).unwrap_or_default();
    let mut rest = text.as_bytes();
    while let Ok(written) = write(writer, rest) {
        rest = rest.get(written..).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
    }
    // SAFETY: ends this process and does nothing else.
    unsafe { libc::_exit(0) }
}

/// What is printed goes nowhere.
fn silence() {
    for stream in [libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: a constant path; a descriptor that is not there is refused by dup2(2), and then the stream is closed instead.
        // Nobody else in this process uses it.
        unsafe {
            let nowhere = libc::open(c"/dev/null".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            if libc::dup2(nowhere, stream) < 0 {
                libc::close(stream);
            }
        }
    }
}

/// What it may use; a crash leaves no core file.
fn limit() {
    // What cannot be limited is bounded by our patience.
    let pages = std::fs::read_to_string("/proc/self/statm").ok().and_then(|text| {
        let first = text.split_whitespace().next()?;
        first.parse::<u64>().ok()
    });
    let bytes = pages.unwrap_or(0).saturating_mul(4096).saturating_add(MEMORY_BYTES);
    for (resource, most) in
        [(Resource::RLIMIT_AS, bytes), (Resource::RLIMIT_CPU, CPU_SECONDS), (Resource::RLIMIT_CORE, 0)]
    {
        let _ = setrlimit(resource, most, most);
    }
    // SAFETY: sets a flag of this process: its memory is not dumped, to a program that collects such either.
    let _ = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
}

/// The answer is written at once when it is there, so that the patience is for all of it. Its end is looked for, since the other
/// end of the pipe may be open in another process that was forked meanwhile.
fn read_all(answer: OwnedFd) -> Result<String, ApartError> {
    let mut pipe = std::fs::File::from(answer);
    let mut text = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    while !text.ends_with(END.as_bytes()) {
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], PollTimeout::from(PATIENCE_MS)) {
            Ok(0) => return Err(ApartError::Unfinished),
            Err(Errno::EINTR) => continue,
            Ok(_) | Err(_) => {}
        }
        match pipe.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => text.extend_from_slice(chunk.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let text = String::from_utf8(text).map_err(|_| ApartError::Unfinished)?;
    text.strip_suffix(END).map(str::to_owned).ok_or(ApartError::Unfinished)
}

/// It is done, or takes too long. Only ours is waited for.
fn end(child: Pid) {
    let _ = kill(child, Signal::SIGKILL);
    while waitpid(child, None) == Err(Errno::EINTR) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_whole_however_long_they_are() {
        let long = "0123456789".repeat(50_000);
        for expected in ["", "one\n", &long] {
            assert_eq!(run_apart(&Variables::default(), || expected.to_owned()).unwrap(), expected);
        }
    }

    #[test]
    fn whatever_happens_there_is_no_answer_and_nothing_more() {
        let no_answer =
            |run: fn() -> String| matches!(run_apart(&Variables::default(), run), Err(ApartError::Unfinished));
        assert!(no_answer(|| panic!("nobody hears this")));
        assert!(no_answer(|| std::process::abort()));
        // SAFETY: ends the copy only.
        assert!(no_answer(|| unsafe { libc::_exit(0) }));
        assert!(no_answer(|| {
            let _ = kill(Pid::this(), Signal::SIGKILL);
            String::new()
        }));
        // More memory than it may have.
        assert!(no_answer(|| {
            let mut all: Vec<Vec<u8>> = Vec::new();
            loop {
                all.push(std::hint::black_box(vec![0; 1 << 26]));
            }
        }));
    }

    #[test]
    fn what_runs_on_is_ended() {
        let forever = || loop {
            std::hint::spin_loop();
        };
        assert!(matches!(run_apart(&Variables::default(), forever), Err(ApartError::Unfinished)));
    }

    #[test]
    fn the_environment_is_that_of_the_other_process_alone() {
        let variables = Variables::instead_of("PATH", &[("WIREHAUL_APART", "here")]);
        let seen = run_apart(&variables, || {
            format!("{:?} {:?}", std::env::var("WIREHAUL_APART").ok(), std::env::var_os("PATH"))
        });
        assert_eq!(seen.unwrap(), "Some(\"here\") None");
        assert!(std::env::var_os("WIREHAUL_APART").is_none() && std::env::var_os("PATH").is_some());
    }
}
