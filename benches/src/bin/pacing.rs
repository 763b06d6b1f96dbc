//! `./x bench pacing`: how exactly senders keep a rate, by the kernel's receive timestamps at a relay in between.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::{Map, Value};
use wirehaul_benches::contestants::{ContestantError, Lab, with_home};
use wirehaul_benches::machine::Machine;
use wirehaul_benches::netns::Side;
use wirehaul_benches::pacing::arrivals::{Asked, figures};
use wirehaul_benches::pacing::relay;
use wirehaul_benches::pacing::report::{Cell, Report, Run};
use wirehaul_benches::process::{Finished, Process, ProcessError, Program};
use wirehaul_benches::scratch::Scratch;
use wirehaul_benches::testbed::Testbed;
use wirehaul_benches::{clock, interrupt};

/// Everything else is left out of what a packet of 1472 bytes carries.
const PAYLOAD_OF_1472: u64 = 1428;
/// How long a program may take to be ready or to end.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Parser)]
#[command(about = "Measures how exactly senders keep a rate: alternating runs, medians")]
struct Arguments {
    #[command(subcommand)]
    helper: Option<Helper>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Helper {
    /// The path with a delay, which this program starts for itself
    #[command(hide = true)]
    Relay { listen: SocketAddr, forward: SocketAddr, delay_us: u64, record: PathBuf },
}

#[derive(Args)]
struct Options {
    /// Rates, in Mbit/s of UDP payload
    #[arg(long, value_delimiter = ',', default_values_t = [10, 40, 200, 1000])]
    rates: Vec<u64>,
    /// Round-trip times to add, in ms
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 10, 100])]
    rtts: Vec<u64>,
    /// Senders: wirehaul; sleep (wirehaul with WIREHAUL_NO_SPIN=1); quinn
    #[arg(long, value_delimiter = ',', default_values_t = ["wirehaul", "sleep", "quinn"].map(str::to_owned))]
    only: Vec<String>,
    /// How much of each run counts, in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// For trying: 3 seconds, one round, 40 and 200 Mbit/s, 1 ms
    #[arg(long)]
    quick: bool,
    /// The binary to be measured
    #[arg(long, default_value = "target/release/wirehaul")]
    wirehaul: PathBuf,
    /// Where the JSON goes
    #[arg(long, default_value = "bench-results")]
    results: PathBuf,
    /// Use the loopback device even where namespaces can be made
    #[arg(long)]
    loopback: bool,
    /// Print JSON and not a table
    #[arg(long)]
    json: bool,
}

/// What ends the whole measurement.
#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error("interrupted; nothing is left behind and no result was written")]
    Interrupted,
    #[error("cannot {what} {}: {error}", path.display())]
    Files { what: &'static str, path: PathBuf, error: std::io::Error },
    #[error("no sender is called {0:?}; there are wirehaul, sleep and quinn")]
    UnknownSender(String),
    #[error("a rate of zero, or no seconds, measure nothing")]
    Nothing,
    #[error("the relay failed: {0}")]
    Relay(std::io::Error),
    #[error("the result cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("signals cannot be caught: {0}")]
    Signals(std::io::Error),
}

/// Why a run has no figures.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Contestant(#[from] ContestantError),
    #[error("no port or file: {0}")]
    Os(#[from] std::io::Error),
    #[error("the receiver printed no ticket: {0}")]
    NoTicket(String),
    #[error("too little arrived to say anything")]
    TooLittle,
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Wirehaul,
    /// The control: the same without looking at the clock before a departure.
    Sleep,
    Quinn,
}

impl Sender {
    fn by_name(name: &str) -> Option<Self> {
        [Self::Wirehaul, Self::Sleep, Self::Quinn].into_iter().find(|sender| sender.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Wirehaul => "wirehaul",
            Self::Sleep => "sleep",
            Self::Quinn => "quinn",
        }
    }
}

fn main() -> ExitCode {
    let Arguments { helper, options } = Arguments::parse();
    let done = match helper {
        Some(Helper::Relay { listen, forward, delay_us, record }) => run_relay(listen, forward, delay_us, &record),
        None => measure(options.settled()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pacing: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Options {
    /// With `--quick` put into figures.
    fn settled(self) -> Self {
        if !self.quick {
            return self;
        }
        Self { rates: vec![40, 200], rtts: vec![1], seconds: 3, rounds: 1, ..self }
    }

    fn senders(&self) -> Result<Vec<Sender>, BenchError> {
        let find = |name: &String| Sender::by_name(name).ok_or_else(|| BenchError::UnknownSender(name.clone()));
        self.only.iter().map(find).collect()
    }
}

fn run_relay(listen: SocketAddr, forward: SocketAddr, delay_us: u64, record: &Path) -> Result<(), BenchError> {
    interrupt::install().map_err(BenchError::Signals)?;
    let delay = Duration::from_micros(delay_us);
    relay::run(listen, forward, delay, record, || println!("ready")).map_err(BenchError::Relay)
}

fn measure(options: Options) -> Result<(), BenchError> {
    interrupt::install().map_err(BenchError::Signals)?;
    let senders = options.senders()?;
    if options.rates.contains(&0) || options.seconds == 0 {
        return Err(BenchError::Nothing);
    }
    let scratch = Scratch::create(&options.results, "pacing").map_err(files("work in", &options.results))?;
    let lab = set_up(&options, &scratch)?;
    let started = clock::utc_stamp();
    eprintln!("{}", lab.bed.describe());
    let mut cells = Vec::new();
    for (rate, rtt) in options.rates.iter().flat_map(|rate| options.rtts.iter().map(move |rtt| (*rate, *rtt))) {
        let cell = |sender: &Sender| Cell {
            sender: sender.name(),
            bits_per_s: rate * 1_000_000,
            round_trip_ms: rtt,
            runs: Vec::new(),
            failures: Vec::new(),
        };
        let mut group: Vec<_> = senders.iter().map(cell).collect();
        for round in 1..=options.rounds {
            for (sender, cell) in senders.iter().zip(&mut group) {
                match run_once(*sender, &lab, &options, cell) {
                    Ok(run) => {
                        let (error, variation) = (run.figures.mean_error_pct, run.figures.rate_cv_pct);
                        let name = sender.name();
                        eprintln!(
                            "{rate} Mbit/s, {rtt} ms, round {round}: {name:<8} {error:.2} %, CV {variation:.2} %"
                        );
                        cell.runs.push(run);
                    }
                    Err(RunError::Process(ProcessError::Interrupted)) => return Err(BenchError::Interrupted),
                    Err(error) => {
                        eprintln!("{rate} Mbit/s, {rtt} ms, round {round}: {}: {error}", sender.name());
                        cell.failures.push(error.to_string());
                    }
                }
            }
        }
        cells.extend(group);
    }
    let machine = Machine::look(scratch.path());
    let testbed = format!("{}; a relay beside the receiver", lab.bed.describe());
    publish(&Report { kind: "summary", started, machine, testbed, seconds: options.seconds, cells }, &options)
}

fn files(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BenchError {
    let path = path.to_owned();
    move |error| BenchError::Files { what, path, error }
}

fn set_up(options: &Options, scratch: &Scratch) -> Result<Lab, BenchError> {
    let own = std::env::current_exe().map_err(files("find", Path::new("this program")))?;
    Ok(Lab {
        bed: Testbed::best_available(options.loopback),
        config_dir: scratch.fresh_dir("config").map_err(files("make", scratch.path()))?,
        own_programs: own.parent().unwrap_or(Path::new(".")).to_owned(),
        wirehaul: options.wirehaul.canonicalize().unwrap_or_else(|_| options.wirehaul.clone()),
    })
}

fn publish(report: &Report, options: &Options) -> Result<(), BenchError> {
    let path = options.results.join(format!("pacing-{}.json", report.started));
    fs::write(&path, serde_json::to_string_pretty(report)?).map_err(files("write", &path))?;
    if options.json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        println!("{}\nevery run: {}", report.table(), path.display());
    }
    Ok(())
}

/// One transfer through the relay, and what the relay saw of it.
fn run_once(sender: Sender, lab: &Lab, options: &Options, cell: &Cell) -> Result<Run, RunError> {
    let round_trip = Duration::from_millis(cell.round_trip_ms);
    let warm_up = Duration::from_secs(1).max(round_trip * 30);
    let asked = Asked { bits_per_s: cell.bits_per_s, round_trip, warm_up, span: Duration::from_secs(options.seconds) };
    let seconds = (warm_up + asked.span).as_secs_f64() + 0.5;
    let bytes = (cell.bits_per_s as f64 / 8.0 * seconds) as u64 / 1472 * PAYLOAD_OF_1472;
    let front = lab.bed.free_endpoint(Side::Destination)?;
    let behind = lab.bed.free_endpoint(Side::Destination)?;
    let record = lab.config_dir.join("arrivals");
    let mut relay = start_relay(lab, front, behind, round_trip / 2, &record)?;
    let patience = Duration::from_secs_f64(seconds * 3.0) + PATIENCE;
    let stopwatch = clock::Stopwatch::start();
    let (finished, says_error_pct) = match sender {
        Sender::Quinn => (quinn(lab, front, behind, bytes, cell.bits_per_s, patience)?, None),
        Sender::Wirehaul | Sender::Sleep => {
            let finished = wirehaul(lab, front, behind, bytes, cell.bits_per_s, sender == Sender::Sleep, patience)?;
            let summary = finished.stdout.last().and_then(|line| serde_json::from_str::<Map<String, Value>>(line).ok());
            (finished, summary.and_then(|summary| summary.get("pacing_error_pct")?.as_f64()))
        }
    };
    let took = stopwatch.seconds();
    relay.stop(PATIENCE)?;
    let figures = figures(&relay::read_record(&record)?, &asked).ok_or(RunError::TooLittle)?;
    Ok(Run { figures, cpu_pct: finished.cpu_seconds / took * 100.0, says_error_pct })
}

fn start_relay(
    lab: &Lab,
    front: SocketAddr,
    behind: SocketAddr,
    delay: Duration,
    record: &Path,
) -> Result<Process, RunError> {
    let program = Program::new(lab.own_program("pacing")).args(["relay", &front.to_string(), &behind.to_string()]);
    let program = program.arg(delay.as_micros().to_string()).arg(record);
    let mut relay = program.start(&lab.bed, Side::Destination, None, &lab.config_dir)?;
    relay.next_line(PATIENCE)?;
    Ok(relay)
}

fn wirehaul(
    lab: &Lab,
    front: SocketAddr,
    behind: SocketAddr,
    bytes: u64,
    bits_per_s: u64,
    no_spin: bool,
    patience: Duration,
) -> Result<Finished, RunError> {
    let (front, behind) = (front.to_string(), behind.to_string());
    let receiver = with_home(lab, Side::Destination, Program::new(&lab.wirehaul));
    let receiver = receiver.args(["recv", "--discard", "--once", "--json", "--listen", &behind, "--advertise", &front]);
    let mut receiver = receiver.start(&lab.bed, Side::Destination, None, &lab.config_dir)?;
    let line = receiver.next_line(PATIENCE)?;
    let object: Option<Map<String, Value>> = serde_json::from_str(&line).ok();
    let ticket = object.as_ref().and_then(|object| object.get("ticket")).and_then(Value::as_str);
    let ticket = ticket.ok_or_else(|| RunError::NoTicket(line.clone()))?;
    let mut sender = with_home(lab, Side::Source, Program::new(&lab.wirehaul));
    if no_spin {
        sender = sender.env("WIREHAUL_NO_SPIN", "1");
    }
    let rate = format!("{bits_per_s}bit");
    let sender = sender.args(["send", "--json", "--rate", &rate, "--generate", &bytes.to_string(), ticket]);
    let mut sender = sender.start(&lab.bed, Side::Source, None, &lab.config_dir)?;
    let finished = sender.wait_for_success(patience)?;
    receiver.wait_for_success(PATIENCE)?;
    Ok(finished)
}

fn quinn(
    lab: &Lab,
    front: SocketAddr,
    behind: SocketAddr,
    bytes: u64,
    bits_per_s: u64,
    patience: Duration,
) -> Result<Finished, RunError> {
    let program = lab.own_program("quinn_transfer");
    let receiver = Program::new(&program).args(["recv", &behind.to_string()]);
    let mut receiver = receiver.start(&lab.bed, Side::Destination, None, &lab.config_dir)?;
    receiver.next_line(PATIENCE)?;
    let sender = Program::new(&program).args(["send", &front.to_string(), "--bytes", &bytes.to_string()]);
    let sender = sender.args(["--fixed-rate", &bits_per_s.to_string()]);
    let mut sender = sender.start(&lab.bed, Side::Source, None, &lab.config_dir)?;
    let finished = sender.wait_for_success(patience)?;
    receiver.wait_for_success(PATIENCE)?;
    Ok(finished)
}
