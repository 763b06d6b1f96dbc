//! `./x bench validation`: the parse that ships, beside one that checks nothing (FRAME-7): nanoseconds, instructions as
//! callgrind counts them, and the difference as a share of what a packet costs anyhow.

use std::hint::black_box;
use std::process::{Command, ExitCode};

use clap::{Parser, ValueEnum};
use wirehaul_benches::clock::Stopwatch;
use wirehaul_benches::stats::{median, range};
use wirehaul_benches::validation::handling::{HandlingError, nanos_per_packet};
use wirehaul_benches::validation::packets::{self, LARGE_BYTES, MIXED_BYTES, SMALL_BYTES};
use wirehaul_benches::validation::unvalidated::unvalidated;
use wirehaul_benches::validation::{SMALL_PACKET_NS, validated};

/// Packets that are parsed in turn: few enough to stay in the second cache, enough that no branch predictor knows them all.
const PACKETS: u64 = 256;
/// Times through them that callgrind counts, beyond those that it subtracts.
const COUNTED: u64 = 40;
/// What validation may cost, in hundredths.
const TARGET_PERCENT: f64 = 1.0;

#[derive(Parser)]
#[command(about = "What validation costs: ns, instructions, and shares of what a packet costs anyhow")]
struct Arguments {
    /// Rounds of each measurement; medians are told
    #[arg(long, default_value_t = 301)]
    rounds: usize,
    /// Times through the packets of one round
    #[arg(long, default_value_t = 200)]
    turns: u64,
    /// Packets of 1500 bytes that are handled in each of the fewer rounds of that
    #[arg(long, default_value_t = 20_000)]
    handled: u64,
    /// Only goes through the packets so often, for callgrind
    #[arg(long, hide = true)]
    only: Option<Parse>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Parse {
    SmallValidated,
    SmallUnvalidated,
    LargeValidated,
    LargeUnvalidated,
    MixedValidated,
    MixedUnvalidated,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(parse) = arguments.only {
        go_through(parse, arguments.turns);
        return ExitCode::SUCCESS;
    }
    match compare(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("validation: {error}");
            ExitCode::FAILURE
        }
    }
}

fn go_through(parse: Parse, turns: u64) {
    let small = packets::data::<SMALL_BYTES>(PACKETS);
    let large = packets::data::<LARGE_BYTES>(PACKETS);
    let mixed = packets::ack_and_data(PACKETS);
    match parse {
        Parse::SmallValidated => checked(&small, turns),
        Parse::SmallUnvalidated => unchecked(&small, turns),
        Parse::LargeValidated => checked(&large, turns),
        Parse::LargeUnvalidated => unchecked(&large, turns),
        Parse::MixedValidated => checked(&mixed, turns),
        Parse::MixedUnvalidated => unchecked(&mixed, turns),
    }
}

fn checked<const N: usize>(packets: &[[u8; N]], turns: u64) {
    // That the compiler does not know what it could leave out.
    let len = black_box(N);
    for _ in 0..turns {
        for packet in packets {
            black_box(validated(&black_box(packet)[..len]));
        }
    }
}

fn unchecked<const N: usize>(packets: &[[u8; N]], turns: u64) {
    for _ in 0..turns {
        for packet in packets {
            black_box(unvalidated(black_box(packet)));
        }
    }
}

/// What one kind of packet costs, per packet.
struct Cost {
    validated_ns: f64,
    unvalidated_ns: f64,
    difference_ns: f64,
    spread_ns: (f64, f64),
    instructions: Option<(f64, f64)>,
}

/// Both parses in turn, so that what slows the machine for a while slows both.
fn measure<const N: usize>(packets: &[[u8; N]], arguments: &Arguments, parses: (Parse, Parse)) -> Cost {
    let per_packet = |seconds: f64| seconds * 1e9 / (arguments.turns * PACKETS) as f64;
    let timed = |run: fn(&[[u8; N]], u64)| {
        let watch = Stopwatch::start();
        run(black_box(packets), arguments.turns);
        per_packet(watch.seconds())
    };
    let (mut with, mut without, mut differences) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        let pair = (timed(checked::<N>), timed(unchecked::<N>));
        with.push(pair.0);
        without.push(pair.1);
        differences.push(pair.0 - pair.1);
    }
    let middle = |values: &[f64]| median(values).unwrap_or(0.0);
    Cost {
        validated_ns: middle(&with),
        unvalidated_ns: middle(&without),
        difference_ns: middle(&differences),
        spread_ns: range(&differences).unwrap_or_default(),
        instructions: count_instructions(parses.0).zip(count_instructions(parses.1)),
    }
}

/// Instructions per packet; `None` without valgrind.
fn count_instructions(parse: Parse) -> Option<f64> {
    let counted = |turns: u64| {
        let own = std::env::current_exe().ok()?;
        let parse = parse.to_possible_value()?;
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(own)
            .args(["--only", parse.get_name(), "--turns", &turns.to_string()])
            .output()
            .ok()?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        told.lines().find_map(|line| line.split("Collected : ").nth(1))?.trim().parse::<f64>().ok()
    };
    // What start-up and the making of packets take is in both.
    Some((counted(1 + COUNTED)? - counted(1)?) / (COUNTED * PACKETS) as f64)
}

fn compare(arguments: &Arguments) -> Result<(), HandlingError> {
    let handled: Result<Vec<f64>, _> = (0..11).map(|_| nanos_per_packet(arguments.handled)).collect();
    let handled = median(&handled?).unwrap_or(f64::INFINITY);
    let small = packets::data::<SMALL_BYTES>(PACKETS);
    let large = packets::data::<LARGE_BYTES>(PACKETS);
    let mixed = packets::ack_and_data(PACKETS);
    let rows = [
        ("DATA, 64 bytes", measure(&small, arguments, (Parse::SmallValidated, Parse::SmallUnvalidated))),
        ("DATA, 1472 bytes", measure(&large, arguments, (Parse::LargeValidated, Parse::LargeUnvalidated))),
        ("ACK and DATA, 300 bytes", measure(&mixed, arguments, (Parse::MixedValidated, Parse::MixedUnvalidated))),
    ];
    debug_assert_eq!(mixed.first().map(|packet| packet.len()), Some(MIXED_BYTES));
    println!(
        "{:<24} {:>10} {:>12} {:>12}   {:<18} instructions",
        "", "validated", "unvalidated", "difference", "(range)"
    );
    for (name, cost) in &rows {
        let (low, high) = cost.spread_ns;
        let instructions = cost.instructions.map_or_else(
            || "not counted: valgrind is not here".to_owned(),
            |(with, without)| format!("{with:.1} and {without:.1}: {:+.1}", with - without),
        );
        println!(
            "{name:<24} {:>7.2} ns {:>9.2} ns {:>9.2} ns   ({low:.2} to {high:.2}){:>4}{instructions}",
            cost.validated_ns, cost.unvalidated_ns, cost.difference_ns, ""
        );
    }
    println!("handling a packet of an MTU of 1500 bytes, opened with the AEAD: {handled:.0} ns");
    share("of handling a packet of 1500 bytes (a)", rows[1].1.difference_ns, handled);
    share("of the time of a 64-byte packet at 10 Gbit/s (b)", rows[0].1.difference_ns, SMALL_PACKET_NS);
    Ok(())
}

fn share(of_what: &str, difference_ns: f64, whole_ns: f64) {
    let percent = 100.0 * difference_ns / whole_ns;
    let verdict = if percent < TARGET_PERCENT { "met" } else { "NOT met" };
    println!("{difference_ns:.2} ns are {percent:.2} % {of_what}: below {TARGET_PERCENT} % is {verdict}");
}
