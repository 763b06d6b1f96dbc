//! Running one program of a contestant: where, in which control group, until when, and what it used.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use wait4::Wait4;

use crate::cgroup::CpuGroup;
use crate::clock::Stopwatch;
use crate::interrupt;
use crate::netns::Side;
use crate::testbed::Testbed;

/// How often a wait looks whether the process is done; also the resolution of a measured run.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// How many of the last lines of a failed program's standard error a message quotes.
const QUOTED_LINES: usize = 4;

/// Why a program did not do what it was started for.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program is not on this machine.
    #[error("`{0}` is not installed")]
    NotInstalled(String),
    /// It could not be started or waited for.
    #[error("`{program}`: {error}")]
    Os {
        /// The program.
        program: String,
        /// What the operating system said.
        error: io::Error,
    },
    /// It ended with an error.
    #[error("`{program}` ended with {status}: {stderr}")]
    Failed {
        /// The program.
        program: String,
        /// Its exit status.
        status: ExitStatus,
        /// The end of what it wrote to its standard error.
        stderr: String,
    },
    /// It did not do it in time and was killed.
    #[error("`{program}` did not {what} within {seconds} s: {stderr}")]
    TooSlow {
        /// The program.
        program: String,
        /// What was waited for.
        what: &'static str,
        /// How long, in seconds.
        seconds: u64,
        /// The end of what it wrote to its standard error.
        stderr: String,
    },
    /// Its output is not what its contract says.
    #[error("`{program}` printed no {what}: {output}")]
    Output {
        /// The program.
        program: String,
        /// What was looked for.
        what: &'static str,
        /// The end of what it printed.
        output: String,
    },
    /// Ctrl-C or `kill`.
    #[error("interrupted")]
    Interrupted,
}

/// A program to be started.
#[derive(Debug)]
pub struct Program {
    name: String,
    path: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Program {
    /// A program by its name on `PATH`, or by its path.
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        let path = path.as_ref().to_owned();
        let name = PathBuf::from(&path).file_name().unwrap_or(&path).to_string_lossy().into_owned();
        Self { name, path, arguments: Vec::new(), environment: Vec::new() }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets one variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Starts it on one side of the testbed and in a control group, its standard error going to a file in `log_dir`.
    ///
    /// # Errors
    /// [`ProcessError::NotInstalled`] or [`ProcessError::Os`].
    pub fn start(
        &self,
        bed: &Testbed,
        side: Side,
        group: Option<&CpuGroup>,
        log_dir: &std::path::Path,
    ) -> Result<Process, ProcessError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let os = |error| ProcessError::Os { program: self.name.clone(), error };
        if !is_installed(&self.path) {
            return Err(ProcessError::NotInstalled(self.path.to_string_lossy().into_owned()));
        }
        let stderr_path = log_dir.join(format!("{}-{}.err", self.name, COUNT.fetch_add(1, Ordering::Relaxed)));
        let stderr = File::create(&stderr_path).map_err(os)?;
        let mut command = in_group(bed.command(side, &self.path), &self.arguments, group);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        // A group of its own: Ctrl-C reaches this program first, which then ends the others in order.
        command.process_group(0);
        let mut child = command.spawn().map_err(os)?;
        let lines = read_lines(&mut child);
        Ok(Process { name: self.name.clone(), child, lines, seen: Vec::new(), stderr_path, finished: false })
    }
}

/// Wraps a command so that it joins the group before it becomes the program; its process id stays.
fn in_group(command: Command, arguments: &[OsString], group: Option<&CpuGroup>) -> Command {
    let Some(group) = group else {
        let mut command = command;
        command.args(arguments);
        return command;
    };
    let mut wrapped = Command::new("sh");
    wrapped.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(group.procs_file());
    wrapped.arg(command.get_program()).args(command.get_args()).args(arguments);
    wrapped
}

/// True when a program can be found as the shell would find it.
pub fn is_installed(program: &OsStr) -> bool {
    let path = PathBuf::from(program);
    if path.components().count() > 1 {
        return path.is_file();
    }
    std::env::var_os("PATH").is_some_and(|all| std::env::split_paths(&all).any(|dir| dir.join(&path).is_file()))
}

/// Reads the child's standard output to its end, so that it never blocks on a full pipe.
fn read_lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// What a program that has ended used and printed.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output, line by line.
    pub stdout: Vec<String>,
    /// Peak resident memory of the process (not of its children), in bytes.
    pub peak_rss_bytes: u64,
    /// CPU time of the process and of those descendants it waited for, in seconds.
    pub cpu_seconds: f64,
}

/// A running program; killed, with its process group, on drop.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    stderr_path: PathBuf,
    finished: bool,
}

impl Process {
    /// Waits for the next line of standard output.
    ///
    /// # Errors
    /// [`ProcessError::TooSlow`] when the time is over, [`ProcessError::Output`] when the program closed its output.
    pub fn next_line(&mut self, timeout: Duration) -> Result<String, ProcessError> {
        let stopwatch = Stopwatch::start();
        loop {
            match self.lines.recv_timeout(Duration::from_millis(20)) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    return Ok(line);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let output = self.stderr_tail();
                    return Err(ProcessError::Output { program: self.name.clone(), what: "further line", output });
                }
                Err(RecvTimeoutError::Timeout) if interrupt::raised() => return Err(ProcessError::Interrupted),
                Err(RecvTimeoutError::Timeout) if stopwatch.elapsed() > timeout => {
                    return Err(self.too_slow("print a line", timeout));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Waits until the program listens on a TCP port, without connecting to it.
    ///
    /// # Errors
    /// [`ProcessError::Failed`] when it ended instead, [`ProcessError::TooSlow`] when the time is over.
    pub fn wait_until_listening(&mut self, port: u16, timeout: Duration) -> Result<(), ProcessError> {
        let stopwatch = Stopwatch::start();
        let table = format!("/proc/{}/net/tcp", self.child.id());
        loop {
            if fs::read_to_string(&table).is_ok_and(|text| listens_on(&text, port)) {
                return Ok(());
            }
            if let Some(finished) = self.poll()? {
                return Err(self.failed(finished.status));
            }
            if interrupt::raised() {
                return Err(ProcessError::Interrupted);
            }
            if stopwatch.elapsed() > timeout {
                return Err(self.too_slow("listen", timeout));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end, whatever the exit status.
    ///
    /// # Errors
    /// [`ProcessError::TooSlow`] when the time is over; the program is killed then.
    pub fn wait(&mut self, timeout: Duration) -> Result<Finished, ProcessError> {
        let stopwatch = Stopwatch::start();
        loop {
            if let Some(finished) = self.poll()? {
                return Ok(finished);
            }
            if interrupt::raised() {
                return Err(ProcessError::Interrupted);
            }
            if stopwatch.elapsed() > timeout {
                self.signal(Signal::SIGKILL);
                return Err(self.too_slow("end", timeout));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Waits for the end and requires success.
    ///
    /// # Errors
    /// As [`Process::wait`], and [`ProcessError::Failed`] for any exit status but 0.
    pub fn wait_for_success(&mut self, timeout: Duration) -> Result<Finished, ProcessError> {
        let finished = self.wait(timeout)?;
        if finished.status.success() { Ok(finished) } else { Err(self.failed(finished.status)) }
    }

    /// Asks a daemon to end (SIGTERM) and waits for it, whatever it answers.
    ///
    /// # Errors
    /// As [`Process::wait`].
    pub fn stop(&mut self, timeout: Duration) -> Result<Finished, ProcessError> {
        self.signal(Signal::SIGTERM);
        self.wait(timeout)
    }

    /// Sends a signal to the program and its process group; nothing happens once it has ended.
    pub fn signal(&self, signal: Signal) {
        if !self.finished {
            // The only failure is that it has ended in the meantime, which is what was wanted.
            let _ = killpg(self.pid(), signal);
        }
    }

    /// What it has printed on its standard output since this was asked last.
    pub fn new_lines(&mut self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Looks whether it has ended, and if so collects what it used; to be asked no more after that.
    ///
    /// # Errors
    /// [`ProcessError::Os`].
    pub fn poll(&mut self) -> Result<Option<Finished>, ProcessError> {
        let os = |error| ProcessError::Os { program: self.name.clone(), error };
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(self.pid()), flags) {
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(os(errno.into())),
        }
        let used = self.child.wait4().map_err(os)?;
        self.finished = true;
        // The reader ends with the pipe; a descendant that keeps the pipe open is not waited for.
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(200)) {
            self.seen.push(line);
        }
        Ok(Some(Finished {
            status: used.status,
            stdout: std::mem::take(&mut self.seen),
            peak_rss_bytes: used.rusage.maxrss,
            cpu_seconds: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        }))
    }

    fn pid(&self) -> Pid {
        // Process ids fit in 31 bits on Linux (PID_MAX_LIMIT is 2^22).
        Pid::from_raw(self.child.id() as i32)
    }

    fn failed(&self, status: ExitStatus) -> ProcessError {
        ProcessError::Failed { program: self.name.clone(), status, stderr: self.stderr_tail() }
    }

    fn too_slow(&self, what: &'static str, timeout: Duration) -> ProcessError {
        let (program, stderr) = (self.name.clone(), self.stderr_tail());
        ProcessError::TooSlow { program, what, seconds: timeout.as_secs(), stderr }
    }

    /// The end of what it wrote to its standard error.
    pub fn stderr_tail(&self) -> String {
        let text = fs::read_to_string(&self.stderr_path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        match lines.get(lines.len().saturating_sub(QUOTED_LINES)..) {
            Some(tail) if !tail.is_empty() => tail.join(" / "),
            _ => "it wrote nothing to its standard error".to_owned(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.finished {
            self.signal(Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// True when the text of a `/proc/net/tcp` has a listening socket (state 0A) on the port.
fn listens_on(table: &str, port: u16) -> bool {
    let wanted = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next(), fields.nth(1));
        local.is_some_and(|local| local.ends_with(&wanted)) && state == Some("0A")
    })
}

#[cfg(test)]
mod tests {
    use super::{Program, listens_on};
    use crate::netns::Side;
    use crate::testbed::Testbed;
    use std::time::Duration;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue\n\
        \x20  0: 0100007F:9C40 00000000:0000 0A 00000000:00000000\n\
        \x20  1: 0100007F:9C41 0100007F:1234 01 00000000:00000000\n";

    #[test]
    fn only_a_listening_socket_counts() {
        assert!(listens_on(TABLE, 0x9C40));
        assert!(!listens_on(TABLE, 0x9C41));
        assert!(!listens_on(TABLE, 0x1234));
    }

    #[test]
    fn output_status_and_memory_of_a_program_are_collected() {
        let bed = Testbed::best_available(true);
        let program = Program::new("sh").args(["-c", "echo one; echo two; echo oh dear >&2; exit 3"]);
        let mut process = program.start(&bed, Side::Source, None, &std::env::temp_dir()).expect("sh starts");
        assert_eq!(process.next_line(Duration::from_secs(10)).expect("a line"), "one");
        let message = process.wait_for_success(Duration::from_secs(10)).expect_err("3 is no success").to_string();
        assert!(message.contains("oh dear"), "{message}");
    }

    #[test]
    fn a_program_that_is_not_there_is_said_to_be_missing() {
        let bed = Testbed::best_available(true);
        let error = Program::new("no-such-program").start(&bed, Side::Source, None, &std::env::temp_dir());
        assert_eq!(error.expect_err("it is not there").to_string(), "`no-such-program` is not installed");
    }
}
