//! The receiver that is asked, and what it and its disk have to do meanwhile.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use wirehaul::transfer::ticket::Ticket;

use super::ping::{Pings, ping};
use crate::data::write_random_file;
use crate::netns::Side;
use crate::process::{Process, ProcessError, Program};
use crate::scratch::Scratch;
use crate::testbed::Testbed;

/// How long a program may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// The file that is sent goes no faster, so that processors are not what everything waits for.
const RATE: &str = "400mbit";
const RATE_BYTES_PER_SEC: u64 = 50_000_000;
/// What keeps the disk busy: large writes, which need little of a processor, and get it behind everybody else.
const BUSY: [&str; 7] =
    ["--name=busy", "--rw=randwrite", "--direct=1", "--ioengine=io_uring", "--bs=1m", "--iodepth=32", "--size=1g"];
/// Time for the load to settle before questions are asked.
const SETTLE: Duration = Duration::from_millis(1500);

/// What the receiver has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Nothing but to answer.
    Answers,
    /// It also receives a file.
    File,
}

/// What the disk has to do beside that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Nothing.
    Idle,
    /// As much as it can.
    Saturated,
}

/// Why there is no figure.
#[derive(Debug, Error)]
pub enum RigError {
    /// A file could not be made.
    #[error("cannot prepare files: {0}")]
    Files(#[from] io::Error),
    /// A program failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The receiver printed no ticket.
    #[error("the receiver printed no ticket but: {0}")]
    Ticket(String),
    /// Asking failed.
    #[error("cannot {what}: {error}")]
    Ping {
        /// What was tried.
        what: &'static str,
        /// What was said.
        error: String,
    },
}

/// Programs and files.
pub struct Rig {
    bed: Testbed,
    scratch: Scratch,
    wirehaul: PathBuf,
    file: PathBuf,
    seconds: u64,
    runs: u32,
}

impl Rig {
    /// Files below `directory`, whose disk is the one that is meant; each run takes so many seconds.
    ///
    /// # Errors
    /// [`RigError::Files`].
    pub fn new(wirehaul: &Path, directory: &Path, seconds: u64) -> Result<Self, RigError> {
        let scratch = Scratch::create(directory, "bench-latency")?;
        let file = scratch.path().join("file");
        // Half as long again as the run, since it begins before and ends behind it.
        write_random_file(&file, RATE_BYTES_PER_SEC * (seconds * 3 / 2 + 6), "latency")?;
        let wirehaul = wirehaul.canonicalize()?;
        Ok(Self { bed: Testbed::best_available(true), scratch, wirehaul, file, seconds, runs: 0 })
    }

    /// One run: the answers of a receiver with `io` for its files.
    ///
    /// # Errors
    /// [`RigError`].
    pub fn run(&mut self, io: &str, load: Load, disk: Disk) -> Result<Pings, RigError> {
        self.runs += 1;
        let target = self.scratch.fresh_dir(&format!("target-{}", self.runs))?;
        let mut receiver = self.start(
            Program::new(&self.wirehaul)
                .args(["recv", "--json", "--listen", "127.0.0.1:0", "--transport", "udp", "--io", io, "--dir"])
                .arg(&target)
                .env("XDG_CONFIG_HOME", self.scratch.path().join("receiver")),
            Side::Destination,
        )?;
        let ticket = ticket_of(&receiver.next_line(PATIENCE)?)?;
        let busy = (disk == Disk::Saturated).then(|| self.saturate()).transpose()?;
        let sender = (load == Load::File).then(|| self.send(io, &ticket)).transpose()?;
        std::thread::sleep(SETTLE);
        let pings = ping(&ticket, wirehaul_core::time::Duration::from_secs(self.seconds));
        for mut process in [sender, busy].into_iter().flatten() {
            process.stop(PATIENCE)?;
        }
        receiver.stop(PATIENCE)?;
        std::fs::remove_dir_all(&target)?;
        pings
    }

    fn send(&self, io: &str, ticket: &Ticket) -> Result<Process, RigError> {
        self.start(
            Program::new(&self.wirehaul)
                .args(["send", "--json", "--transport", "udp", "--io", io, "--rate", RATE])
                .arg(&self.file)
                .arg(ticket.to_string())
                .env("XDG_CONFIG_HOME", self.scratch.path().join("sender")),
            Side::Source,
        )
    }

    fn saturate(&self) -> Result<Process, RigError> {
        let time = format!("--runtime={}", self.seconds + 60);
        self.start(
            Program::new("nice").args(["-n", "19", "fio"]).args(BUSY).args([
                format!("--filename={}", self.scratch.path().join("busy").display()),
                "--time_based".to_owned(),
                time,
            ]),
            Side::Source,
        )
    }

    fn start(&self, program: Program, side: Side) -> Result<Process, RigError> {
        Ok(program.start(&self.bed, side, None, self.scratch.path())?)
    }
}

fn ticket_of(line: &str) -> Result<Ticket, RigError> {
    let value: Option<Value> = serde_json::from_str(line).ok();
    let text = value.as_ref().and_then(|value| value["ticket"].as_str());
    text.and_then(|text| text.parse().ok()).ok_or_else(|| RigError::Ticket(line.to_owned()))
}
