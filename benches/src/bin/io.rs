//! `./x bench io`: file operations per second through our queue, next to fio and to blocking calls on threads.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use wirehaul_benches::io::fio::Fio;
use wirehaul_benches::io::names::{NamesRun, by_ring, by_threads};
use wirehaul_benches::io::ours::Ours;
use wirehaul_benches::io::subject::Subject;
use wirehaul_benches::io::{IoError, Load, Run, Scenario, threads};
use wirehaul_benches::machine::Machine;
use wirehaul_benches::scratch::Scratch;
use wirehaul_benches::stats::{median, range};

/// What ours has to reach of fio's rate: on a disk, and where the CPU is the limit.
const TARGETS: [f64; 2] = [0.95, 1.0];

#[derive(Parser)]
#[command(about = "File operations per second through our queue, next to fio and to blocking calls on threads")]
struct Arguments {
    /// Times that each rate is taken
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds for each
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Only these; `names` is one too
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
    /// Only these depths
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32, 128])]
    depth: Vec<u32>,
    /// MiB of the file
    #[arg(long, default_value_t = 1024)]
    size: u64,
    /// Where files are made; can be given several times. By default the disk that this program is on, and /dev/shm
    #[arg(long)]
    dir: Vec<PathBuf>,
    /// Small files for `names`
    #[arg(long, default_value_t = 100_000)]
    files: u32,
    /// Poll the device, ours and fio's (IOPOLL)
    #[arg(long)]
    iopoll: bool,
    /// Only ours, for a profiler
    #[arg(long)]
    only_ours: bool,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// The contestants, ours first.
const NAMES: [&str; 3] = ["wirehaul", "fio", "threads"];

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if arguments.dir.is_empty() {
        let here = std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
        arguments.dir = [here, Some(PathBuf::from("/dev/shm"))].into_iter().flatten().collect();
    }
    match compare(&arguments) {
        Ok(found) if arguments.json => {
            println!("{}", json!({ "type": "summary", "bench": "io", "places": found }));
            ExitCode::SUCCESS
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("io: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Arguments) -> Result<Vec<Value>, IoError> {
    let ours = Ours::new(arguments.depth.iter().copied().max().unwrap_or(1))?;
    let mut found = Vec::new();
    for dir in &arguments.dir {
        let made = Scratch::create(dir, "io").map_err(|source| IoError::File { what: "scratch".to_owned(), source })?;
        let machine = Machine::look(made.path());
        if !arguments.json {
            println!("{}", machine.describe());
        }
        let rates = rates(arguments, &ours, made.path(), machine.file_system == "tmpfs")?;
        let names = if wants(arguments, "names") { Some(names(arguments, &made)?) } else { None };
        found.push(json!({ "machine": machine, "rates": rates, "names": names }));
    }
    Ok(found)
}

fn wants(arguments: &Arguments, name: &str) -> bool {
    arguments.scenario.is_empty() || arguments.scenario.iter().any(|wanted| wanted == name)
}

fn name_of(scenario: Scenario) -> String {
    serde_json::to_value(scenario).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

fn rates(arguments: &Arguments, ours: &Ours, dir: &Path, in_memory: bool) -> Result<Vec<Value>, IoError> {
    let scenarios: Vec<_> =
        Scenario::ALL.into_iter().filter(|scenario| wants(arguments, &name_of(*scenario))).collect();
    if scenarios.is_empty() {
        return Ok(Vec::new());
    }
    let subject = Subject::create(dir, arguments.size << 20)?;
    let mut found = Vec::new();
    for scenario in scenarios {
        for depth in &arguments.depth {
            let load = Load { scenario, depth: *depth };
            let runs = take_turns(arguments, ours, &subject, load)?;
            let line = Line::new(load, &runs, TARGETS[usize::from(in_memory)]);
            if !arguments.json {
                line.print();
            }
            found.push(json!({ "load": load, "runs": runs, "of_fio": line.of_fio() }));
        }
    }
    Ok(found)
}

/// Every contestant in turn, another first in each round; all runs of each. A contestant that fails is left out.
fn take_turns(arguments: &Arguments, ours: &Ours, subject: &Subject, load: Load) -> Result<[Vec<Run>; 3], IoError> {
    let time = Duration::from_secs_f64(arguments.seconds.max(0.1));
    let mut runs = [const { Vec::new() }; 3];
    let others = !arguments.only_ours;
    let fio = others.then(|| said("fio", Fio::prepare(subject, load, arguments.iopoll))).flatten();
    for round in 0..arguments.rounds.max(1) {
        for turn in 0..NAMES.len() {
            let who = (round + turn) % NAMES.len();
            let run = match who {
                0 => Some(ours.run(subject, load, time, arguments.iopoll)?),
                1 => fio.as_ref().and_then(|fio| said("fio", fio.run(time))),
                _ if others => said("threads", threads::run(subject, load, time)),
                _ => None,
            };
            runs[who].extend(run);
        }
    }
    Ok(runs)
}

fn said<T>(who: &str, result: Result<T, IoError>) -> Option<T> {
    result.map_err(|error| eprintln!("io: {who}: {error}")).ok()
}

/// Medians of one load.
struct Line<'a> {
    load: Load,
    runs: &'a [Vec<Run>; 3],
    target: f64,
}

impl<'a> Line<'a> {
    fn new(load: Load, runs: &'a [Vec<Run>; 3], target: f64) -> Self {
        Self { load, runs, target }
    }

    fn of(&self, who: usize, value: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        median(&self.runs[who].iter().filter_map(value).collect::<Vec<_>>())
    }

    /// Our rate as a share of fio's, and our CPU time: of each round, since the machine may be faster in one than in another;
    /// and of these the median.
    fn of_fio(&self) -> Option<(f64, f64)> {
        let share = |value: fn(&Run) -> f64| {
            let rounds = self.runs[0].iter().zip(&self.runs[1]);
            median(&rounds.map(|(ours, fio)| value(ours) / value(fio)).collect::<Vec<_>>())
        };
        Some((share(|run| run.iops)?, share(|run| run.cpu_us)?))
    }

    fn print(&self) {
        println!("{}, depth {}", self.load.scenario.describe(), self.load.depth);
        for (who, name) in NAMES.iter().enumerate() {
            let rates: Vec<_> = self.runs[who].iter().map(|run| run.iops).collect();
            let (Some(iops), Some((low, high))) = (median(&rates), range(&rates)) else { continue };
            let mib = iops * f64::from(self.load.scenario.block_bytes()) / f64::from(1 << 20);
            let cpu = self.of(who, |run| Some(run.cpu_us)).unwrap_or(f64::NAN);
            print!("  {name:<9}{iops:>9.0}/s ({low:.0} to {high:.0}){mib:>8.0} MiB/s{cpu:>8.2} us of CPU each");
            if let Some(per_call) = self.of(who, |run| run.per_call) {
                print!(", {per_call:.1} for each call");
            }
            if let (Some(p50), Some(p99)) =
                (self.of(who, |run| run.latency_us.map(|l| l.0)), self.of(who, |run| run.latency_us.map(|l| l.1)))
            {
                print!(", {p50:.1} us (p99 {p99:.1})");
            }
            println!();
        }
        if let Some((rate, cpu)) = self.of_fio() {
            let word = if rate >= self.target { "reached" } else { "NOT reached" };
            println!("  {rate:.3} of fio's rate, wanted {:.2}: {word}; {cpu:.2} of its CPU time", self.target);
        }
    }
}

fn names(arguments: &Arguments, made: &Scratch) -> Result<Value, IoError> {
    let mut runs: [Vec<NamesRun>; 2] = [const { Vec::new() }; 2];
    for round in 0..arguments.rounds.max(1) {
        for turn in 0..2 {
            let who = (round + turn) % 2;
            let fresh = |source| IoError::File { what: "cannot make a directory".to_owned(), source };
            let dir = made.fresh_dir("names").map_err(fresh)?;
            let run = if who == 0 { by_ring(&dir, arguments.files) } else { by_threads(&dir, arguments.files) }?;
            runs[who].push(run);
        }
    }
    if !arguments.json {
        println!("{} small files", arguments.files);
        for (name, runs) in ["ring", "threads"].iter().zip(&runs) {
            let of = |value: fn(&NamesRun) -> f64| median(&runs.iter().map(value).collect::<Vec<_>>());
            println!(
                "  {name:<9}made and written {:>8.0}/s, {:.1} us of CPU each; linked and unlinked {:>8.0}/s, {:.1} us",
                of(|run| run.created_per_s).unwrap_or(f64::NAN),
                of(|run| run.create_cpu_us).unwrap_or(f64::NAN),
                of(|run| run.renamed_per_s).unwrap_or(f64::NAN),
                of(|run| run.rename_cpu_us).unwrap_or(f64::NAN),
            );
        }
    }
    Ok(json!({ "files": arguments.files, "ring": runs[0], "threads": runs[1] }))
}
