//! The processes of one contestant, which are stopped while it is somebody else's turn.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::veth::VethError;
use crate::clock::Stopwatch;

/// What a process may take to end, once it was asked to.
const PATIENCE: Duration = Duration::from_secs(10);

/// One process, killed when it is dropped.
#[derive(Debug)]
struct Process {
    who: &'static str,
    child: Child,
}

/// Some processes that belong together; those that are to run first come first.
#[derive(Debug, Default)]
pub struct Player {
    processes: Vec<Process>,
}

impl Player {
    /// Starts another of its processes, and waits for its first line where it is one that says when it is ready.
    ///
    /// # Errors
    /// [`VethError`].
    pub fn start(&mut self, who: &'static str, mut command: Command, says_ready: bool) -> Result<(), VethError> {
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        // Nobody reads what it says later.
        command.stdout(if says_ready { Stdio::piped() } else { Stdio::null() });
        let mut process = Process { who, child: command.spawn()? };
        if says_ready && !process.said_something()? {
            return Err(process.failed());
        }
        self.processes.push(process);
        Ok(())
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// [`VethError`]: one has ended.
    pub fn go_on(&mut self) -> Result<(), VethError> {
        self.signal(Signal::SIGCONT)
    }

    /// Stops them where they are.
    ///
    /// # Errors
    /// [`VethError`]: one has ended.
    pub fn stop(&mut self) -> Result<(), VethError> {
        self.signal(Signal::SIGSTOP)
    }

    /// How long they were ready to run so far while somebody else had their CPU.
    ///
    /// # Errors
    /// [`VethError`].
    pub fn waited(&self) -> Result<Duration, VethError> {
        self.processes.iter().map(Process::waited).sum::<io::Result<Duration>>().map_err(VethError::Os)
    }

    /// Has all of them end.
    ///
    /// # Errors
    /// [`VethError`]: one did not end well.
    pub fn end(mut self) -> Result<(), VethError> {
        // The load first, so that none of it goes to a socket that is closed already.
        while let Some(mut process) = self.processes.pop() {
            process.end()?;
        }
        Ok(())
    }

    fn signal(&mut self, signal: Signal) -> Result<(), VethError> {
        for process in &mut self.processes {
            if process.child.try_wait()?.is_some() {
                return Err(process.failed());
            }
            process.signal(signal);
        }
        Ok(())
    }
}

impl Process {
    fn signal(&self, signal: Signal) {
        // Process ids fit in 31 bits on Linux (PID_MAX_LIMIT is 2^22). It was not waited for, so the id is still its own.
        let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
    }

    fn said_something(&mut self) -> io::Result<bool> {
        let Some(stdout) = self.child.stdout.take() else { return Ok(false) };
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        // Kept open: its summary goes there.
        self.child.stdout = Some(stdout.into_inner());
        Ok(!line.is_empty())
    }

    /// The second number of `/proc/PID/schedstat` (Documentation/scheduler/sched-stats.rst): nanoseconds on a run queue.
    fn waited(&self) -> io::Result<Duration> {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.child.id()))?;
        let waited = text.split_whitespace().nth(1).and_then(|number| number.parse().ok());
        waited.map(Duration::from_nanos).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn end(&mut self) -> Result<(), VethError> {
        self.signal(Signal::SIGCONT);
        // Ours ends with its input, and says whether every frame is where it belongs; xdpsock does not look at it.
        drop(self.child.stdin.take());
        if self.child.stdout.is_none() {
            self.signal(Signal::SIGTERM);
        }
        let watch = Stopwatch::start();
        while watch.elapsed() < PATIENCE {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(_) => return Err(self.failed()),
                None => sleep(Duration::from_millis(5)),
            }
        }
        Err(VethError::Failed { who: self.who, output: "it does not end".to_owned() })
    }

    /// What it said before it ended, which it has.
    fn failed(&mut self) -> VethError {
        let mut output = String::new();
        let _ = self.child.kill();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_string(&mut output);
        }
        VethError::Failed { who: self.who, output: output.trim().to_owned() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
