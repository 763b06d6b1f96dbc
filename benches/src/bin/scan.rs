//! `./x bench scan`: a network survey next to masscan and zmap, over a veth pair whose other end answers every probe.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use wirehaul_benches::machine::Machine;
use wirehaul_benches::scan::answer::Manner;
use wirehaul_benches::scan::report::{Report, ScenarioReport};
use wirehaul_benches::scan::rig::{Rig, respond};
use wirehaul_benches::scan::run::{Place, Run, RunError, run};
use wirehaul_benches::scan::tool::{Order, Tool};
use wirehaul_benches::scan::{INTERFACE, MOST_TARGETS, series};
use wirehaul_benches::scratch::Scratch;
use wirehaul_benches::{clock, interrupt};

/// How long a run at a given rate takes at least.
const LEAST_SECONDS: u32 = 10;

#[derive(Parser)]
#[command(about = "Compares wirehaul scan with masscan and zmap: alternating runs, medians, ratios of medians")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Rounds without a limit
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Rounds of each rate: each run takes ten seconds and more
    #[arg(long, default_value_t = 1)]
    rate_rounds: u32,
    /// Only these contestants: wirehaul, masscan, zmap, wirehaul-xdp-copy, wirehaul-xdp-skb, wirehaul-packet
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these scenarios: answered, silent, rates
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
    /// Targets of a run without a limit, as a power of two
    #[arg(long, default_value_t = 22, value_parser = clap::value_parser!(u32).range(8..=23))]
    targets: u32,
    /// The rates, in packets per second
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000])]
    rates: Vec<u32>,
    /// Queues of the interfaces in each direction
    #[arg(long, default_value_t = 1)]
    queues: u32,
    /// The CPUs that each contestant may use
    #[arg(long, default_value = "0,1")]
    cpus: String,
    /// The binary to be measured
    #[arg(long, default_value = "target/release/wirehaul")]
    wirehaul: PathBuf,
    /// Where the JSON goes, and the output of the contestants while it runs
    #[arg(long, default_value = "bench-results")]
    results: PathBuf,
    /// Print JSON and not a table
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Plays a part on the other host
    #[command(hide = true, subcommand)]
    Role(Role),
}

#[derive(Subcommand)]
enum Role {
    /// Answers or counts probes until standard input ends
    Respond {
        #[arg(long, value_enum)]
        manner: Manner,
    },
    /// Prints a counter every so many milliseconds
    Sample {
        #[arg(long)]
        counter: String,
        #[arg(long)]
        every: u64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Some(Command::Role(Role::Respond { manner })) => respond(*manner),
        Some(Command::Role(Role::Sample { counter, every })) => {
            series::print(INTERFACE, counter, Duration::from_millis(*every)).map_err(|error| error.to_string())
        }
        None => compare(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("scan: {message}");
            ExitCode::FAILURE
        }
    }
}

/// What is compared: a name, what there is to do, how the other host answers, and how often.
struct Scenario {
    name: String,
    order: Order,
    manner: Manner,
    rounds: u32,
}

fn scenarios(arguments: &Arguments) -> Vec<Scenario> {
    let wanted = |name: &str| arguments.scenario.is_empty() || arguments.scenario.iter().any(|one| one == name);
    let mut found = Vec::new();
    for (name, manner) in [("answered", Manner::Answer), ("silent", Manner::Count)] {
        if wanted(name) {
            let order = Order { targets: 1 << arguments.targets, rate: None };
            found.push(Scenario { name: name.to_owned(), order, manner, rounds: arguments.rounds });
        }
    }
    for rate in arguments.rates.iter().copied().filter(|_| wanted("rates")) {
        let targets = rate.saturating_mul(LEAST_SECONDS).clamp(1, MOST_TARGETS).next_power_of_two();
        let order = Order { targets, rate: Some(rate) };
        found.push(Scenario {
            name: format!("rate {rate}"),
            order,
            manner: Manner::Answer,
            rounds: arguments.rate_rounds,
        });
    }
    found
}

fn compare(arguments: &Arguments) -> Result<(), String> {
    interrupt::install().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let is_wanted = |tool: &Tool| arguments.only.is_empty() || arguments.only.iter().any(|name| name == tool.name());
    if let Some(name) = arguments.only.iter().find(|name| Tool::ALL.iter().all(|tool| tool.name() != name.as_str())) {
        return Err(format!("no contestant is called {name:?}"));
    }
    let tools: Vec<Tool> = Tool::ALL.into_iter().filter(is_wanted).collect();
    let scratch = Scratch::create(&arguments.results, "scan").map_err(|error| error.to_string())?;
    let mut rig = Rig::new(arguments.queues.max(1)).map_err(|error| error.to_string())?;
    let started = clock::utc_stamp();
    let mut reports = Vec::new();
    for scenario in scenarios(arguments) {
        reports.push(run_scenario(&mut rig, &scenario, &tools, arguments, &scratch)?);
    }
    let queues = arguments.queues.max(1);
    let report = Report {
        kind: "summary",
        started,
        machine: Machine::look(scratch.path()),
        testbed: format!(
            "{}, {queues} queues, GRO on; the other end answers in XDP; each contestant on CPUs {}",
            rig.bed().describe(),
            arguments.cpus
        ),
        scenarios: reports,
    };
    publish(&report, arguments).map_err(|error| error.to_string())
}

/// All contestants in turn, round by round; who is first changes.
fn run_scenario(
    rig: &mut Rig,
    scenario: &Scenario,
    tools: &[Tool],
    arguments: &Arguments,
    scratch: &Scratch,
) -> Result<ScenarioReport, String> {
    let is_answered = scenario.manner == Manner::Answer;
    let mut report = ScenarioReport::new(scenario.name.clone(), &scenario.order, is_answered, tools);
    let wirehaul = arguments.wirehaul.canonicalize().unwrap_or_else(|_| arguments.wirehaul.clone());
    for round in 0..scenario.rounds.max(1) {
        let mut turns: Vec<usize> = (0..tools.len()).collect();
        turns.rotate_left(round as usize % tools.len().max(1));
        for turn in turns {
            let (Some(tool), Some(contestant)) = (tools.get(turn), report.contestants.get_mut(turn)) else { continue };
            if contestant.failure.is_some() {
                continue;
            }
            let dir = scratch.fresh_dir("run").map_err(|error| error.to_string())?;
            let place = Place { wirehaul: &wirehaul, cpus: &arguments.cpus, dir: &dir };
            match run(rig, *tool, &scenario.order, scenario.manner, place, round) {
                Ok(found) => {
                    say(&scenario.name, tool.name(), &found);
                    contestant.runs.push(found);
                }
                Err(RunError::Tool(error)) if !interrupt::raised() => {
                    eprintln!("scan: {}: {}: {error}", scenario.name, tool.name());
                    contestant.failure = Some(error.to_string());
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
    report.compare();
    Ok(report)
}

fn say(scenario: &str, tool: &str, run: &Run) {
    let sent = run.told_sent.map_or("does not say how many it sent".to_owned(), |sent| format!("says {sent} sent"));
    eprintln!(
        "{scenario:<12} {tool:<18} {:>9.0} packets/s; {sent}, {} arrived of {}, {} answers, {} found",
        run.packets_per_s, run.probes, run.ordered, run.answers, run.found
    );
}

fn publish(report: &Report, arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let path = arguments.results.join(format!("scan-{}.json", report.started));
    fs::write(&path, serde_json::to_string_pretty(report)?)?;
    if arguments.json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        print!("{}", report.to_text());
        println!("every run: {}", path.display());
    }
    Ok(())
}
