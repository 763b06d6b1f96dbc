//! `./x demo`: a directory of real files and a 1 GiB file cross from one host to another; half-way the receiver is
//! killed, started again, and the transfer goes on where it stopped. Every file is then compared by its hash, which
//! `sha256sum` computes and not Wirehaul.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use nix::sys::signal::Signal;
use serde_json::{Map, Value};
use wirehaul_benches::clock::Stopwatch;
use wirehaul_benches::contestants::{ContestantError, Lab, recv_once, summary_of, with_home};
use wirehaul_benches::data;
use wirehaul_benches::interrupt;
use wirehaul_benches::netns::Side;
use wirehaul_benches::process::{Finished, Process, ProcessError, Program};
use wirehaul_benches::scratch::Scratch;
use wirehaul_benches::testbed::Testbed;

/// The seed of the generated file.
const SEED: &str = "demo";
/// How long a whole transfer may take.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a sender whose receiver was killed may take to say so; after that it is asked to end.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(15);
/// The disk needs room for what is received and for the generated file, and a little more.
const SPARE_BYTES: u64 = 256 << 20;

#[derive(Parser)]
#[command(about = "Shows a transfer between two hosts, with the receiver killed half-way and resumed")]
struct Arguments {
    /// The binary to be shown
    #[arg(long, default_value = "target/release/wirehaul")]
    wirehaul: PathBuf,
    /// The directory to be sent; without it the library directory of the Rust toolchain
    #[arg(long)]
    directory: Option<PathBuf>,
    /// The size of the generated file, in MiB
    #[arg(long, default_value_t = 1024)]
    file_mib: u64,
    /// Use the loopback device even where namespaces can be made
    #[arg(long)]
    loopback: bool,
}

/// Why the demo did not show what it is to show.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Transfer(#[from] ContestantError),
    #[error("cannot {what} {}: {error}", path.display())]
    Files { what: &'static str, path: PathBuf, error: std::io::Error },
    #[error("the Rust toolchain's directory is not known (`rustc --print sysroot` failed): name one with --directory")]
    NoToolchain,
    #[error("{} has {free_mib} MiB free and the demo needs {needed_mib}; set TMPDIR to a directory with more", path.display())]
    DiskTooSmall { path: PathBuf, free_mib: u64, needed_mib: u64 },
    #[error("the transfer was over before the receiver could be killed half-way")]
    TooFast,
    #[error("the second run resumed nothing (resumed_bytes is {0}): everything was sent again")]
    NothingResumed(f64),
    #[error("{wrong} of {all} files did not arrive as they were sent, the first of them {first}")]
    Different { wrong: usize, all: usize, first: String },
    #[error("`sha256sum` failed; it is part of the package coreutils")]
    NoChecksum,
    #[error("signals cannot be caught: {0}")]
    Signals(std::io::Error),
}

impl From<ProcessError> for DemoError {
    fn from(error: ProcessError) -> Self {
        Self::Transfer(error.into())
    }
}

fn main() -> ExitCode {
    match demonstrate(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demonstrate(arguments: &Arguments) -> Result<(), DemoError> {
    interrupt::install().map_err(DemoError::Signals)?;
    let clock = Stopwatch::start();
    let directory = arguments.directory.clone().or_else(toolchain_library).ok_or(DemoError::NoToolchain)?;
    let parent = std::env::temp_dir();
    let scratch = Scratch::create(&parent, "demo").map_err(files("work in", &parent))?;
    let cargo = prepare_cargo(arguments, directory, &scratch)?;
    let lab = set_up(arguments, &scratch)?;
    let files_and_size = format!("{} files, {}", cargo.files, mib(cargo.bytes));
    println!("between {}", lab.bed.describe());
    println!("sending {} and a generated file: {files_and_size}", cargo.directory.display());

    let mut table = Table::default();
    let killed = interrupted_run(&lab, &cargo, &mut table)?;
    let resumed = resumed_run(&lab, &cargo, &mut table)?;
    let verified = verify(&cargo, &mut table)?;
    table.print();
    println!(
        "{verified} of {verified} hashes verified by sha256sum; killed with {} on the receiver's disk, {} not sent again; {:.0} s in all",
        mib(killed),
        mib(resumed),
        clock.seconds()
    );
    Ok(())
}

fn files(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> DemoError {
    let path = path.to_owned();
    move |error| DemoError::Files { what, path, error }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// The library directory of the Rust toolchain: real files, hundreds of MiB, on every machine that can build this.
fn toolchain_library() -> Option<PathBuf> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let library = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()).join("lib");
    library.is_dir().then_some(library)
}

/// What is sent and where it goes.
struct Cargo {
    directory: PathBuf,
    generated: PathBuf,
    into: PathBuf,
    files: usize,
    bytes: u64,
}

fn prepare_cargo(arguments: &Arguments, directory: PathBuf, scratch: &Scratch) -> Result<Cargo, DemoError> {
    let found = data::regular_files(&directory).map_err(files("read", &directory))?;
    let sizes = found.iter().map(|path| path.metadata().map(|metadata| metadata.len()));
    let in_directory = sizes.sum::<std::io::Result<u64>>().map_err(files("read", &directory))?;
    let generated_bytes = arguments.file_mib << 20;
    require_free_space(scratch.path(), in_directory + 2 * generated_bytes + SPARE_BYTES)?;
    let generated = scratch.path().join("generated.bin");
    data::write_random_file(&generated, generated_bytes, SEED).map_err(files("write", &generated))?;
    let into = scratch.fresh_dir("received").map_err(files("make", scratch.path()))?;
    Ok(Cargo { directory, generated, into, files: found.len() + 1, bytes: in_directory + generated_bytes })
}

fn require_free_space(path: &Path, needed_bytes: u64) -> Result<(), DemoError> {
    let info = nix::sys::statvfs::statvfs(path).map_err(|errno| files("look at the space of", path)(errno.into()))?;
    let free_bytes = info.blocks_available() * info.fragment_size();
    if free_bytes >= needed_bytes {
        return Ok(());
    }
    let (free_mib, needed_mib) = (free_bytes >> 20, needed_bytes >> 20);
    Err(DemoError::DiskTooSmall { path: path.to_owned(), free_mib, needed_mib })
}

fn set_up(arguments: &Arguments, scratch: &Scratch) -> Result<Lab, DemoError> {
    let wirehaul = &arguments.wirehaul;
    Ok(Lab {
        bed: Testbed::best_available(arguments.loopback),
        config_dir: scratch.fresh_dir("config").map_err(files("make", scratch.path()))?,
        own_programs: PathBuf::new(),
        wirehaul: wirehaul.canonicalize().map_err(files("find the binary", wirehaul))?,
    })
}

fn start_pair(lab: &Lab, cargo: &Cargo) -> Result<(Process, Process), DemoError> {
    let start = |side, program: &Program| program.start(&lab.bed, side, None, &lab.config_dir);
    let (receiver, ticket) =
        recv_once(lab, &["--dir".as_ref(), cargo.into.as_path()], |program| start(Side::Destination, program))?;
    let sender = with_home(lab, Side::Source, Program::new(&lab.wirehaul)).arg("send").arg(&cargo.directory);
    let sender = start(Side::Source, &sender.arg(&cargo.generated).args([ticket.as_str(), "--json"]))?;
    Ok((receiver, sender))
}

/// The first run: kills the receiver once half of the bytes are on its disk. Gives how many were.
fn interrupted_run(lab: &Lab, cargo: &Cargo, table: &mut Table) -> Result<u64, DemoError> {
    let clock = Stopwatch::start();
    let (mut receiver, mut sender) = start_pair(lab, cargo)?;
    let on_disk = wait_for_half(cargo, &clock)?;
    receiver.signal(Signal::SIGKILL);
    let killed = receiver.wait(NOTICE_TIMEOUT)?;
    table.row("1 receive", clock.seconds(), format!("killed (-9) with {} on disk: {}", mib(on_disk), killed.status));
    if killed.status.success() {
        return Err(DemoError::TooFast);
    }
    let sent = match sender.wait(NOTICE_TIMEOUT) {
        Err(ProcessError::TooSlow { .. }) => sender.stop(NOTICE_TIMEOUT)?,
        other => other?,
    };
    table.row("1 send", clock.seconds(), format!("its receiver is gone: {}", sent.status));
    Ok(on_disk)
}

fn wait_for_half(cargo: &Cargo, clock: &Stopwatch) -> Result<u64, DemoError> {
    loop {
        let on_disk = data::allocated_bytes(&cargo.into);
        if on_disk >= cargo.bytes / 2 {
            return Ok(on_disk);
        }
        if interrupt::raised() {
            return Err(ProcessError::Interrupted.into());
        }
        if clock.elapsed() > TRANSFER_TIMEOUT {
            let (program, what) = ("wirehaul".to_owned(), "move half of the bytes");
            let (seconds, stderr) = (TRANSFER_TIMEOUT.as_secs(), format!("{} arrived", mib(on_disk)));
            return Err(ProcessError::TooSlow { program, what, seconds, stderr }.into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The second run: the same commands again, to their end. Gives how many bytes did not have to be sent again.
fn resumed_run(lab: &Lab, cargo: &Cargo, table: &mut Table) -> Result<u64, DemoError> {
    let clock = Stopwatch::start();
    let (mut receiver, mut sender) = start_pair(lab, cargo)?;
    let sent = sender.wait_for_success(TRANSFER_TIMEOUT)?;
    let seconds = clock.seconds();
    let received = receiver.wait_for_success(TRANSFER_TIMEOUT)?;
    let summary = summary_of("wirehaul send", &sent.stdout)?;
    table.row("2 receive", clock.seconds(), format!("started again: {}", describe_exit(&received)));
    table.row("2 send", seconds, describe_summary(&summary));
    let resumed = summary.get("resumed_bytes").and_then(Value::as_f64).unwrap_or(0.0);
    if resumed > 0.0 { Ok(resumed as u64) } else { Err(DemoError::NothingResumed(resumed)) }
}

fn describe_exit(finished: &Finished) -> String {
    format!("{}, peak memory {}", finished.status, mib(finished.peak_rss_bytes))
}

fn describe_summary(summary: &Map<String, Value>) -> String {
    let fields = ["bytes", "resumed_bytes", "gbit_per_s", "retransmitted_pct", "srtt_us", "verified"];
    let known = fields.iter().filter_map(|name| summary.get(*name).map(|value| format!("{name} {value}")));
    known.collect::<Vec<_>>().join(", ")
}

/// Compares every file by its SHA-256; gives how many there are.
fn verify(cargo: &Cargo, table: &mut Table) -> Result<usize, DemoError> {
    let clock = Stopwatch::start();
    let mut wrong = Vec::new();
    let mut all = 0;
    for source in [&cargo.directory, &cargo.generated] {
        let arrived = cargo.into.join(source.file_name().unwrap_or_default());
        let (expected, found) = std::thread::scope(|scope| {
            let found = scope.spawn(|| checksums(&arrived));
            (checksums(source), found.join().unwrap_or(Err(DemoError::NoChecksum)))
        });
        let (expected, found) = (expected?, found?);
        all += expected.len();
        let differs = |(name, sum): &(&PathBuf, &String)| found.get(*name) != Some(*sum);
        wrong.extend(expected.iter().filter(differs).map(|(name, _)| source.join(name)));
        wrong.extend(found.keys().filter(|name| !expected.contains_key(*name)).map(|name| arrived.join(name)));
    }
    if let Some(first) = wrong.first() {
        return Err(DemoError::Different { wrong: wrong.len(), all, first: first.display().to_string() });
    }
    table.row("3 verify", clock.seconds(), format!("sha256sum of {all} files at both ends: all the same"));
    Ok(all)
}

/// The SHA-256 of every regular file at or below a path, by its name below it.
fn checksums(path: &Path) -> Result<BTreeMap<PathBuf, String>, DemoError> {
    /// Files for one call of `sha256sum`.
    const BATCH: usize = 200;
    let found = data::regular_files(path).map_err(files("read what arrived at", path))?;
    let mut sums = BTreeMap::new();
    for batch in found.chunks(BATCH) {
        let output = Command::new("sha256sum").args(["--binary", "--zero", "--"]).args(batch).output();
        let output = output.map_err(|_| DemoError::NoChecksum)?;
        let lines = output.stdout.split(|byte| *byte == 0).filter(|line| !line.is_empty());
        // One line each, in the order of the arguments: the hash comes first.
        for (file, line) in batch.iter().zip(lines) {
            let hash = String::from_utf8_lossy(line.get(..64).unwrap_or_default()).into_owned();
            sums.insert(file.strip_prefix(path).unwrap_or(file).to_owned(), hash);
        }
        if !output.status.success() || sums.is_empty() {
            return Err(DemoError::NoChecksum);
        }
    }
    if sums.len() == found.len() { Ok(sums) } else { Err(DemoError::NoChecksum) }
}

/// What happened, in order.
#[derive(Default)]
struct Table(Vec<(&'static str, f64, String)>);

impl Table {
    fn row(&mut self, step: &'static str, seconds: f64, what: String) {
        self.0.push((step, seconds, what));
    }

    fn print(&self) {
        println!("\n{:<11} {:>8}  what happened", "step", "seconds");
        for (step, seconds, what) in &self.0 {
            println!("{step:<11} {seconds:>8.2}  {what}");
        }
        println!();
    }
}

#[cfg(test)]
mod tests {
    use super::checksums;
    use std::fs;
    use wirehaul_benches::scratch::Scratch;

    #[test]
    fn checksums_are_those_of_sha256_by_name_below_the_path() {
        let scratch = Scratch::create(&std::env::temp_dir(), "checksum-test").expect("a directory");
        fs::write(scratch.path().join("a b"), "abc").expect("written");
        let sums = checksums(scratch.path()).expect("hashed");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sums.get("a b".as_ref() as &std::path::Path).map(String::as_str), Some(abc));
        assert!(checksums(&scratch.path().join("not there")).is_err());
    }
}
