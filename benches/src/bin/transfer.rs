//! `./x bench transfer`: Wirehaul and its peers move the same things over the same path, taking turns.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use wirehaul_benches::contestants::{
    Ceiling, Contestant, ContestantError, Copier, DurableCopy, Iperf3, Job, Lab, Measurement, Nginx, Quinn, Ssh,
    Wirehaul,
};
use wirehaul_benches::data::{self, Contents};
use wirehaul_benches::machine::Machine;
use wirehaul_benches::report::{ContestantReport, Report, RunReport, ScenarioReport, Status};
use wirehaul_benches::scratch::Scratch;
use wirehaul_benches::targets::Scenario;
use wirehaul_benches::testbed::Testbed;
use wirehaul_benches::{clock, interrupt};

/// The seed of all data: another run sends the same.
const SEED: &str = "transfer";

#[derive(Parser)]
#[command(about = "Compares wirehaul with its peers: alternating runs, medians, ratios of medians")]
struct Arguments {
    /// Rounds of each scenario
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Rounds in which `scp -r` takes part with the small files: it is slow
    #[arg(long, default_value_t = 2)]
    slow_rounds: u32,
    /// Only these contestants: wirehaul, sync, ceiling, iperf3, quinn, copy, nginx, scp, rsync
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these scenarios
    #[arg(long, value_enum, value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// What goes from memory to memory, in GiB
    #[arg(long, default_value_t = 8)]
    memory_gib: u64,
    /// The size of the one file, in MiB
    #[arg(long, default_value_t = 1024)]
    file_mib: u64,
    /// How many small files
    #[arg(long, default_value_t = 100_000)]
    files: u32,
    /// The binary to be measured
    #[arg(long, default_value = "target/release/wirehaul")]
    wirehaul: PathBuf,
    /// Where the JSON goes, and the files while it runs: on the disk that is to be measured
    #[arg(long, default_value = "bench-results")]
    results: PathBuf,
    /// Use the loopback device even where namespaces can be made
    #[arg(long)]
    loopback: bool,
    /// Print JSON and not a table
    #[arg(long)]
    json: bool,
}

/// What ends the whole comparison.
#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error("interrupted; nothing is left behind and no result was written")]
    Interrupted,
    #[error("cannot {what} {}: {error}", path.display())]
    Files { what: &'static str, path: PathBuf, error: std::io::Error },
    #[error("no contestant is called {0:?}")]
    UnknownContestant(String),
    #[error("the result cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("signals cannot be caught: {0}")]
    Signals(std::io::Error),
}

fn main() -> ExitCode {
    match compare(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("transfer: wirehaul itself was not measured in every scenario; the table says why");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("transfer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything that was asked for; false when a run of Wirehaul failed.
fn compare(arguments: &Arguments) -> Result<bool, BenchError> {
    interrupt::install().map_err(BenchError::Signals)?;
    let known = Scenario::ALL.iter().flat_map(|scenario| scenario.contestants()).collect::<Vec<_>>();
    if let Some(name) = arguments.only.iter().find(|name| !known.contains(&&name.as_str())) {
        return Err(BenchError::UnknownContestant(name.clone()));
    }
    let scratch = Scratch::create(&arguments.results, "bench").map_err(files("work in", &arguments.results))?;
    let lab = set_up(arguments, &scratch)?;
    let started = clock::utc_stamp();
    eprintln!("{}", lab.bed.describe());
    let mut scenarios = Vec::new();
    for scenario in Scenario::ALL {
        if arguments.scenario.is_empty() || arguments.scenario.contains(&scenario) {
            scenarios.push(run_scenario(scenario, arguments, &lab, &scratch)?);
        }
    }
    let by_group = if Lab::counts_by_control_group() { "a control group per run" } else { "wait4 of each process" };
    let report = Report {
        kind: "summary",
        started,
        machine: Machine::look(scratch.path()),
        testbed: lab.bed.describe(),
        cpu_time_from: by_group,
        scenarios,
    };
    publish(&report, arguments)?;
    Ok(report.scenarios.iter().all(ScenarioReport::ours_succeeded))
}

fn files(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BenchError {
    let path = path.to_owned();
    move |error| BenchError::Files { what, path, error }
}

fn set_up(arguments: &Arguments, scratch: &Scratch) -> Result<Lab, BenchError> {
    let own = std::env::current_exe().map_err(files("find", Path::new("this program")))?;
    let wirehaul = arguments.wirehaul.canonicalize().unwrap_or_else(|_| arguments.wirehaul.clone());
    Ok(Lab {
        bed: Testbed::best_available(arguments.loopback),
        config_dir: scratch.fresh_dir("config").map_err(files("make", scratch.path()))?,
        own_programs: own.parent().unwrap_or(Path::new(".")).to_owned(),
        wirehaul,
    })
}

fn publish(report: &Report, arguments: &Arguments) -> Result<(), BenchError> {
    let path = arguments.results.join(format!("transfer-{}.json", report.started));
    fs::write(&path, serde_json::to_string_pretty(report)?).map_err(files("write", &path))?;
    if arguments.json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        println!("{}\nevery run: {}", report.table(), path.display());
    }
    Ok(())
}

fn contestant(name: &str) -> Option<Box<dyn Contestant>> {
    Some(match name {
        "wirehaul" => Box::new(Wirehaul::new()),
        "sync" => Box::new(Wirehaul::sync()),
        "ceiling" => Box::new(Ceiling),
        "copy" => Box::new(DurableCopy),
        "iperf3" => Box::new(Iperf3),
        "quinn" => Box::new(Quinn::default()),
        "nginx" => Box::new(Nginx::default()),
        "scp" => Box::new(Ssh::new(Copier::Scp)),
        "rsync" => Box::new(Ssh::new(Copier::Rsync)),
        _ => return None,
    })
}

/// The data of one scenario: what to do, what must arrive, and how to say it.
struct Task {
    job: Job,
    expected: Option<Contents>,
    what: String,
}

fn make_task(scenario: Scenario, arguments: &Arguments, scratch: &Scratch) -> Result<Task, BenchError> {
    let gib = arguments.memory_gib;
    if scenario == Scenario::Memory {
        return Ok(Task { job: Job::Memory { bytes: gib << 30 }, expected: None, what: format!("{gib} GiB") });
    }
    let explain = || files("make the data in", scratch.path());
    let directory = scratch.fresh_dir("source").map_err(explain())?;
    let into = scratch.fresh_dir("received").map_err(explain())?;
    let (source, what) = if scenario == Scenario::File {
        let source = directory.join("random.bin");
        data::write_random_file(&source, arguments.file_mib << 20, SEED).map_err(explain())?;
        (source, format!("one file of {} MiB of random bytes", arguments.file_mib))
    } else {
        let source = directory.join("small");
        data::write_small_files(&source, arguments.files, SEED).map_err(explain())?;
        (source, format!("{} files of 1 to 4 KiB", arguments.files))
    };
    let expected = data::contents(&source).map_err(explain())?;
    Ok(Task { job: Job::Files { source, bytes: expected.bytes, into }, expected: Some(expected), what })
}

fn run_scenario(
    scenario: Scenario,
    arguments: &Arguments,
    lab: &Lab,
    scratch: &Scratch,
) -> Result<ScenarioReport, BenchError> {
    let chosen = |name: &&&str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == **name);
    let names = scenario.contestants().iter().filter(chosen);
    let mut contestants: Vec<_> = names.filter_map(|name| contestant(name)).collect();
    let mut reports = Vec::new();
    for contestant in &mut contestants {
        eprintln!("{}: preparing {}", scenario.name(), contestant.name());
        let prepared = contestant.prepare(lab);
        let mut report = ContestantReport::ready(contestant.name(), contestant.settings());
        if let Err(error) = prepared {
            note_failure(&mut report, &error)?;
        }
        reports.push(report);
    }
    let task = make_task(scenario, arguments, scratch)?;
    for round in 1..=arguments.rounds {
        for (contestant, report) in contestants.iter_mut().zip(&mut reports) {
            let is_slow = scenario == Scenario::Tree && contestant.name() == "scp";
            if report.status != Status::Measured || (is_slow && round > arguments.slow_rounds) {
                continue;
            }
            match run_once(contestant.as_mut(), lab, &task) {
                Ok(measurement) => {
                    let (rate, seconds) = (measurement.gbit_per_s(), measurement.seconds);
                    let (scenario, name) = (scenario.name(), contestant.name());
                    eprintln!("{scenario} round {round}: {name:<10} {rate:.3} Gbit/s, {seconds:.2} s");
                    report.add(RunReport::new(round, measurement));
                }
                Err(error) => note_failure(report, &error)?,
            }
        }
    }
    Ok(ScenarioReport::new(scenario, task.what, arguments.rounds, reports))
}

fn note_failure(report: &mut ContestantReport, error: &ContestantError) -> Result<(), BenchError> {
    if error.is_interrupt() {
        return Err(BenchError::Interrupted);
    }
    eprintln!("{}: {error}", report.name);
    report.fail(error);
    Ok(())
}

/// One run with everything around it that is not measured: a warm source, an empty target, a quiet disk, the check.
fn run_once(contestant: &mut dyn Contestant, lab: &Lab, task: &Task) -> Result<Measurement, ContestantError> {
    let (Job::Files { source, into, .. }, Some(expected)) = (&task.job, &task.expected) else {
        return contestant.run(lab, &task.job);
    };
    data::warm(source).map_err(ContestantError::files("read", source))?;
    empty(into).map_err(ContestantError::files("empty", into))?;
    let measurement = contestant.run(lab, &task.job)?;
    let arrived = into.join(source.file_name().unwrap_or_default());
    let contents = data::contents(&arrived).map_err(ContestantError::files("read what arrived at", &arrived))?;
    if contents != *expected {
        let text = format!("{} files and {} bytes in {}", contents.files, contents.bytes, arrived.display());
        return Err(ContestantError::Corrupted(text));
    }
    clear(into, source.is_dir()).map_err(ContestantError::files("empty", into))?;
    Ok(measurement)
}

/// Empties the target for the next contestant.
///
/// A tree is moved aside and deleted with the scratch directory at the end: for a minute after a file was deleted, ext4
/// passes its inode over in a search that is linear (`recently_deleted` in fs/ext4/ialloc.c), so that deleting 100,000
/// files would slow the next contestant's creations several times.
fn clear(directory: &Path, is_tree: bool) -> std::io::Result<()> {
    if is_tree {
        let aside = (0..).map(|number| directory.with_extension(format!("aside-{number}"))).find(|path| !path.exists());
        fs::rename(directory, aside.unwrap_or_default())?;
        fs::create_dir(directory)?;
    }
    empty(directory)
}

/// Empties a directory and waits until the disk has nothing left to write.
fn empty(directory: &Path) -> std::io::Result<()> {
    fs::remove_dir_all(directory)?;
    fs::create_dir(directory)?;
    nix::unistd::sync();
    Ok(())
}
