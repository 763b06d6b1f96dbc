//! Who takes part: each contestant does a job once and says what it took.

mod ceiling;
mod copy;
mod iperf3;
mod lab;
mod nginx;
mod quinn;
mod ssh;
mod wirehaul;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::process::ProcessError;

pub use ceiling::Ceiling;
pub use copy::DurableCopy;
pub use iperf3::Iperf3;
pub use lab::{Lab, Run};
pub use nginx::Nginx;
pub use quinn::Quinn;
pub use ssh::{Copier, Ssh};
pub use wirehaul::{Wirehaul, recv_once, with_home};

/// What a contestant is to move.
#[derive(Debug, Clone)]
pub enum Job {
    /// So many bytes that it makes up itself and throws away at the other end.
    Memory {
        /// How many. A contestant that runs for a time takes some seconds instead.
        bytes: u64,
    },
    /// A file, or a directory with everything in it, into a directory.
    Files {
        /// The file or directory.
        source: PathBuf,
        /// All its bytes.
        bytes: u64,
        /// The directory at the other end; the source's own name appears in it.
        into: PathBuf,
    },
}

/// What one run took.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// Payload bytes moved.
    pub bytes: u64,
    /// For them, in seconds.
    pub seconds: f64,
    /// CPU time of all processes of both ends, in seconds.
    pub cpu_seconds: f64,
    /// Peak resident memory of the sending process, in bytes, where it is a process of its own.
    pub sender_peak_rss_bytes: Option<u64>,
    /// The same for the receiving process.
    pub receiver_peak_rss_bytes: Option<u64>,
    /// What the contestant itself says of the run.
    pub details: Map<String, Value>,
}

impl Measurement {
    /// The payload rate.
    pub fn gbit_per_s(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.seconds / 1e9
    }

    /// CPU time of both ends for each GiB of payload, in seconds.
    pub fn cpu_seconds_per_gib(&self) -> f64 {
        self.cpu_seconds / (self.bytes as f64 / f64::from(1 << 30))
    }
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum ContestantError {
    /// A program of it did not do its part.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The files of the run could not be handled.
    #[error("cannot {what} {}: {error}", path.display())]
    Files {
        /// What was to be done.
        what: &'static str,
        /// To which path.
        path: PathBuf,
        /// What the operating system said.
        error: std::io::Error,
    },
    /// What arrived is not what was sent.
    #[error("what arrived is not what was sent: {0}")]
    Corrupted(String),
    /// The contestant does not do this kind of job.
    #[error("{contestant} does not take part in this scenario")]
    NotItsJob {
        /// Its name.
        contestant: String,
    },
    /// Its certificate could not be made.
    #[error("no certificate could be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

impl ContestantError {
    /// True when the run was ended from outside.
    pub fn is_interrupt(&self) -> bool {
        matches!(self, Self::Process(ProcessError::Interrupted))
    }

    /// True when a program is not installed.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Process(ProcessError::NotInstalled(_)))
    }

    /// For `map_err` on file operations.
    pub fn files(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Files { what, path, error }
    }
}

/// One side of the comparison.
pub trait Contestant {
    /// Its name in tables, in JSON and for `--only`.
    fn name(&self) -> &'static str;

    /// How it is set up, for the report.
    fn settings(&self) -> String;

    /// What has to be done once: keys, configuration, trying out settings. Nothing of it is measured.
    ///
    /// # Errors
    /// Why it cannot take part.
    fn prepare(&mut self, lab: &Lab) -> Result<(), ContestantError>;

    /// Does the job once and measures it.
    ///
    /// # Errors
    /// Why there is no measurement.
    fn run(&mut self, lab: &Lab, job: &Job) -> Result<Measurement, ContestantError>;
}

/// The last JSON object of type `summary` in a program's output.
///
/// # Errors
/// [`ProcessError::Output`] when there is none.
pub fn summary_of(program: &str, lines: &[String]) -> Result<Map<String, Value>, ProcessError> {
    let objects = lines.iter().rev().filter_map(|line| serde_json::from_str::<Map<String, Value>>(line).ok());
    let is_summary = |object: &Map<String, Value>| object.get("type").and_then(Value::as_str) == Some("summary");
    objects.into_iter().find(is_summary).ok_or_else(|| missing(program, "summary", lines))
}

/// A number of a JSON object that a contract promises.
fn number(program: &str, object: &Map<String, Value>, name: &'static str) -> Result<f64, ProcessError> {
    let found = object.get(name).and_then(Value::as_f64);
    found.ok_or_else(|| missing(program, name, &[Value::Object(object.clone()).to_string()]))
}

fn missing(program: &str, what: &'static str, lines: &[String]) -> ProcessError {
    let output = lines.last().cloned().unwrap_or_else(|| "no output at all".to_owned());
    ProcessError::Output { program: program.to_owned(), what, output }
}
