//! The place and the instruments that all contestants share, and the measuring of one run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ContestantError, Measurement};
use crate::cgroup::CpuGroup;
use crate::clock::Stopwatch;
use crate::netns::Side;
use crate::process::{Process, ProcessError, Program};
use crate::testbed::Testbed;

/// Time for a session process of a daemon to end after its client, before CPU time is read.
const SETTLE_TIME: Duration = Duration::from_millis(100);
/// How long a daemon may take to listen or to end.
pub const DAEMON_TIMEOUT: Duration = Duration::from_secs(20);
/// How long one transfer may take.
pub const TRANSFER_TIMEOUT: Duration = Duration::from_secs(900);

/// What every run needs to know.
#[derive(Debug)]
pub struct Lab {
    /// Where programs run.
    pub bed: Testbed,
    /// For configurations, keys and logs.
    pub config_dir: PathBuf,
    /// Where `ceiling`, `durable_copy` and `quinn_transfer` are: beside the program that drives them.
    pub own_programs: PathBuf,
    /// The wirehaul binary.
    pub wirehaul: PathBuf,
}

impl Lab {
    /// Begins one run: a control group for its processes, where that is possible.
    pub fn begin(&self) -> Run<'_> {
        Run { lab: self, group: CpuGroup::create().ok(), at_start: None, waited_cpu_seconds: 0.0 }
    }

    /// True when CPU time is counted by control group; else it is what wait4 tells of the processes.
    pub fn counts_by_control_group() -> bool {
        CpuGroup::create().is_ok()
    }

    /// A program of this package.
    pub fn own_program(&self, name: &str) -> PathBuf {
        self.own_programs.join(name)
    }
}

/// One run being measured: start the daemons, then the clock, then the client.
#[derive(Debug)]
pub struct Run<'a> {
    lab: &'a Lab,
    group: Option<CpuGroup>,
    at_start: Option<(Stopwatch, f64)>,
    waited_cpu_seconds: f64,
}

impl Run<'_> {
    /// Starts a program on one side, counted in this run.
    ///
    /// # Errors
    /// [`ProcessError`].
    pub fn start(&self, side: Side, program: &Program) -> Result<Process, ProcessError> {
        program.start(&self.lab.bed, side, self.group.as_ref(), &self.lab.config_dir)
    }

    /// Starts the clock: daemons are up, the client is next.
    ///
    /// # Errors
    /// When the control group cannot be read.
    pub fn start_clock(&mut self) -> Result<(), ContestantError> {
        let used = self.group_cpu_seconds()?.unwrap_or(0.0);
        self.at_start = Some((Stopwatch::start(), used));
        Ok(())
    }

    /// Seconds since the clock was started.
    pub fn seconds(&self) -> f64 {
        self.at_start.map_or(0.0, |(stopwatch, _)| stopwatch.seconds())
    }

    /// Waits for a program to end with success and keeps account of it.
    ///
    /// # Errors
    /// [`ProcessError`].
    pub fn finish(&mut self, process: &mut Process) -> Result<crate::process::Finished, ProcessError> {
        let finished = process.wait_for_success(TRANSFER_TIMEOUT)?;
        self.waited_cpu_seconds += finished.cpu_seconds;
        Ok(finished)
    }

    /// Ends the account: CPU time is read, then the daemons are stopped.
    ///
    /// # Errors
    /// When the control group cannot be read or a daemon does not end.
    pub fn end(mut self, bytes: u64, seconds: f64, daemons: Vec<Process>) -> Result<Measurement, ContestantError> {
        std::thread::sleep(SETTLE_TIME);
        let used = self.group_cpu_seconds()?;
        for mut daemon in daemons {
            self.waited_cpu_seconds += daemon.stop(DAEMON_TIMEOUT)?.cpu_seconds;
        }
        let before = self.at_start.map_or(0.0, |(_, used)| used);
        Ok(Measurement {
            bytes,
            seconds,
            cpu_seconds: used.map_or(self.waited_cpu_seconds, |used| used - before),
            sender_peak_rss_bytes: None,
            receiver_peak_rss_bytes: None,
            details: serde_json::Map::new(),
        })
    }

    fn group_cpu_seconds(&self) -> Result<Option<f64>, ContestantError> {
        let read = self.group.as_ref().map(CpuGroup::cpu_seconds).transpose();
        read.map_err(ContestantError::files("read cpu.stat in", Path::new("the run's control group")))
    }
}
