//! `./x bench xdp`: this end of AF_XDP rings alone, and packets per second over a veth pair next to xdpsock and UDP sockets.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use serde_json::json;
use wirehaul_benches::interrupt;
use wirehaul_benches::stats::{median, range};
use wirehaul_benches::xdp::contest::{Comparison, Contestant, Scenario};
use wirehaul_benches::xdp::cost::{WORKS, Work, measure, run};
use wirehaul_benches::xdp::numa::{self, NumaArgs};
use wirehaul_benches::xdp::role::{RoleArgs, play};
use wirehaul_benches::xdp::transfer::{Transfers, WAYS};
use wirehaul_benches::xdp::veth::{Extent, Lab, VethError, count};

/// What a packet may cost, in nanoseconds, in each direction.
const TARGET_NS: f64 = 15.0;

#[derive(Parser)]
#[command(about = "The cost of AF_XDP: this end of the rings alone, and packets per second over a veth pair")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Batches of 64 packets per cost
    #[arg(long, default_value_t = 20_000)]
    batches: usize,
    /// How often all processes of a comparison of rates are started anew
    #[arg(long, default_value_t = 12)]
    starts: usize,
    /// Pairs of slices between two starts
    #[arg(long, default_value_t = 6)]
    pairs: usize,
    /// Milliseconds of a slice
    #[arg(long, default_value_t = 500)]
    slice: u64,
    /// Only this scenario
    #[arg(long)]
    scenario: Option<Scenario>,
    /// Compare ours with itself, which shows how well the method tells equals
    #[arg(long)]
    control: bool,
    /// Times that each transfer is done
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only the costs, without any network
    #[arg(long)]
    costs: bool,
    /// The program whose transfers are compared by transport; without it they are left out
    #[arg(long)]
    wirehaul: Option<PathBuf>,
    /// Bytes of each transfer
    #[arg(long, default_value_t = 2 << 30)]
    bytes: u64,
    /// The kernel runs the filter behind the driver, not in it
    #[arg(long)]
    skb: bool,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Only does this work, for callgrind
    #[arg(long, hide = true)]
    only: Option<Work>,
}

#[derive(Subcommand)]
enum Command {
    /// Plays one end of a pair
    #[command(hide = true)]
    Role(RoleArgs),
    /// Threads and frames on the right NUMA node and on the wrong one
    Numa(NumaArgs),
    /// Reads the counters of interfaces
    #[command(hide = true)]
    Count,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::Role(args)) => return exit_code(play(args)),
        Some(Command::Count) => return exit_code(count()),
        Some(Command::Numa(args)) => return numa(args, arguments.json),
        None => {}
    }
    if let Some(work) = arguments.only {
        let _ = run(work, arguments.batches);
        return ExitCode::SUCCESS;
    }
    if let Err(error) = interrupt::install() {
        return fail(&error.to_string());
    }
    if arguments.scenario.is_some() {
        return match rates(&arguments) {
            Ok(rates) => print_json(&arguments, &json!({ "rates": rates })),
            Err(error) => fail(&error.to_string()),
        };
    }
    let costs: Vec<_> = WORKS.into_iter().filter_map(|work| measure(work, arguments.batches.max(1))).collect();
    if !arguments.json {
        for cost in &costs {
            let instructions = cost.instructions.map_or("not counted".to_owned(), |count| format!("{count:.0}"));
            println!("{:<34} {:>7.1} ns {:>12} instructions", cost.work.describe(), cost.nanoseconds, instructions);
        }
        println!("a packet that is received and one that is sent may cost {TARGET_NS} ns each; 24 Mpps leave 41");
    }
    if arguments.costs {
        return print_json(&arguments, &json!({ "costs": costs }));
    }
    match rates(&arguments).map_err(|error| error.to_string()).and_then(|rates| Ok((rates, transfers(&arguments)?))) {
        Ok((rates, transfers)) => {
            print_json(&arguments, &json!({ "costs": costs, "rates": rates, "transfers": transfers }))
        }
        Err(message) => fail(&message),
    }
}

/// A transfer by each way in turn, so often.
fn transfers(arguments: &Arguments) -> Result<serde_json::Value, String> {
    let Some(wirehaul) = &arguments.wirehaul else { return Ok(json!([])) };
    let lab = Transfers::new(wirehaul).map_err(|error| error.to_string())?;
    let mut rates = vec![Vec::new(); WAYS.len()];
    for _ in 0..arguments.rounds.max(1) {
        for (way, rates) in WAYS.iter().zip(&mut rates) {
            rates.push(lab.run(way, arguments.bytes).map_err(|error| error.to_string())?);
        }
    }
    let by_sockets = rates.first().and_then(|rates| median(rates)).unwrap_or_default();
    let mut found = Vec::new();
    for (way, rates) in WAYS.iter().zip(&rates) {
        let (Some(rate), Some((low, high))) = (median(rates), range(rates)) else { continue };
        if !arguments.json {
            println!(
                "transfer           {way:<10} {rate:>9.2} Gbit/s    ({low:.2} to {high:.2})   {:.2}x of sockets",
                rate / by_sockets
            );
        }
        found.push(json!({ "way": way, "gbit_per_s": rate, "of_sockets": rate / by_sockets }));
    }
    Ok(json!(found))
}

/// Ours beside every rival in every scenario. A rival that is not there is said, and left out.
fn rates(arguments: &Arguments) -> Result<Vec<Comparison>, VethError> {
    let mut lab = Lab::new(arguments.skb)?;
    let slice = Duration::from_millis(arguments.slice.max(100));
    let extent = Extent { starts: arguments.starts.max(1), pairs: arguments.pairs.max(1), slice };
    let mut found = Vec::new();
    for scenario in Scenario::ALL.into_iter().filter(|scenario| arguments.scenario.is_none_or(|only| only == *scenario))
    {
        if arguments.skb && scenario == Scenario::Receive {
            eprintln!(
                "xdp: {} is left out: behind the driver nobody counts what a socket had no room for",
                scenario.name()
            );
            continue;
        }
        let rivals = if arguments.control { &[Contestant::Wirehaul] } else { scenario.rivals() };
        for rival in rivals {
            match lab.compare(scenario, *rival, extent) {
                Ok(comparison) => {
                    if !arguments.json {
                        print_comparison(&comparison);
                    }
                    found.push(comparison);
                }
                Err(error @ VethError::NoPeer) => eprintln!("xdp: {}: {error}", rival.name()),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}

fn print_comparison(comparison: &Comparison) {
    let Some(ratios) = comparison.ratios() else { return };
    let [ours, theirs] = comparison.medians();
    let ([low, high], [smallest, largest]) = (ratios.quartiles, ratios.range);
    println!(
        "{:<17} ours is {:.3}x of {:<9} (quartiles {low:.3} and {high:.3}, from {smallest:.3} to {largest:.3}; {} pairs, {} more were disturbed)",
        comparison.scenario.name(),
        ratios.median,
        comparison.rival.name(),
        comparison.pairs.len(),
        comparison.disturbed,
    );
    let starts: Vec<String> = comparison.by_start().iter().map(|ratio| format!("{ratio:.2}")).collect();
    println!(
        "{:<17} {:.0} and {:.0} packets/s; no room at the socket for {:.0} and {:.0} more; by start: {}",
        "",
        ours.packets_per_s,
        theirs.packets_per_s,
        ours.dropped_per_s,
        theirs.dropped_per_s,
        starts.join(" "),
    );
}

fn numa(args: &NumaArgs, as_json: bool) -> ExitCode {
    if let Err(error) = interrupt::install() {
        return fail(&error.to_string());
    }
    match numa::measure(args) {
        Ok(report) if as_json => {
            println!("{}", json!(report));
            ExitCode::SUCCESS
        }
        Ok(report) => {
            print!("{}", report.to_text());
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error.to_string()),
    }
}

/// How a part that is played ended.
fn exit_code<E: std::fmt::Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn print_json(arguments: &Arguments, found: &serde_json::Value) -> ExitCode {
    if arguments.json {
        println!("{}", json!({ "type": "summary", "bench": "xdp", "found": found }));
    }
    ExitCode::SUCCESS
}

fn fail(message: &str) -> ExitCode {
    eprintln!("xdp: {message}");
    ExitCode::FAILURE
}
