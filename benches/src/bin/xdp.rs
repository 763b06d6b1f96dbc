//! `./x bench xdp`: this end of AF_XDP rings alone, and packets per second over a veth pair next to xdpsock and UDP sockets.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::json;
use wirehaul_benches::stats::{median, range};
use wirehaul_benches::xdp::cost::{WORKS, Work, measure, run};
use wirehaul_benches::xdp::role::{RoleArgs, play};
use wirehaul_benches::xdp::veth::{Contestant, Lab, Scenario};

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
    /// Times that each rate is taken
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds for each
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Only the costs, without any network
    #[arg(long)]
    costs: bool,
    /// The kernel runs the filter behind the driver, not in it
    #[arg(long)]
    skb: bool,
    /// Print JSON
    #[arg(long)]
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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Role(args)) = &arguments.command {
        return match play(args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error.to_string()),
        };
    }
    if let Some(work) = arguments.only {
        let _ = run(work, arguments.batches);
        return ExitCode::SUCCESS;
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
    match rates(&arguments) {
        Ok(rates) => print_json(&arguments, &json!({ "costs": costs, "rates": rates })),
        Err(message) => fail(&message),
    }
}

/// Every contestant of every scenario in turn, so often; prints medians, ranges, and ours beside the others.
fn rates(arguments: &Arguments) -> Result<serde_json::Value, String> {
    let lab = Lab::new(arguments.skb, arguments.seconds.max(1)).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for scenario in Scenario::ALL {
        let contestants = scenario.contestants();
        let mut rates = vec![Vec::new(); contestants.len()];
        for _ in 0..arguments.rounds.max(1) {
            for (who, rates) in contestants.iter().zip(&mut rates) {
                match lab.measure(scenario, *who) {
                    Ok(rate) => rates.push(rate),
                    Err(error) if *who == Contestant::Wirehaul => return Err(error.to_string()),
                    Err(error) => eprintln!("xdp: {}: {error}", who.name()),
                }
            }
        }
        let ours = rates.first().and_then(|rates| median(rates)).unwrap_or_default();
        for (who, rates) in contestants.iter().zip(&rates) {
            let (Some(rate), Some((low, high))) = (median(rates), range(rates)) else { continue };
            if !arguments.json {
                println!(
                    "{:<18} {:<10} {:>9.0} packets/s ({low:.0} to {high:.0})   ours is {:.2}x",
                    scenario.name(),
                    who.name(),
                    rate,
                    ours / rate
                );
            }
            found.push(json!({ "scenario": scenario, "who": who, "packets_per_s": rate, "ratio": ours / rate }));
        }
    }
    Ok(json!(found))
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
