//! `./x bench validation`: the parse that ships, beside one that only keeps within its buffer and one that checks nothing
//! at all (FRAME-7): nanoseconds, instructions as callgrind counts them, and the differences as shares of what a packet
//! costs anyhow.

use std::hint::black_box;
use std::process::{Command, ExitCode};

use clap::{Parser, ValueEnum};
use wirehaul_benches::clock::Stopwatch;
use wirehaul_benches::stats::{median, range};
use wirehaul_benches::validation::bounded::bounded;
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
    SmallBounded,
    SmallUnvalidated,
    LargeValidated,
    LargeBounded,
    LargeUnvalidated,
    MixedValidated,
    MixedBounded,
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
        Parse::SmallBounded => within(&small, turns),
        Parse::SmallUnvalidated => unchecked(&small, turns),
        Parse::LargeValidated => checked(&large, turns),
        Parse::LargeBounded => within(&large, turns),
        Parse::LargeUnvalidated => unchecked(&large, turns),
        Parse::MixedValidated => checked(&mixed, turns),
        Parse::MixedBounded => within(&mixed, turns),
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

fn within<const N: usize>(packets: &[[u8; N]], turns: u64) {
    let len = black_box(N);
    for _ in 0..turns {
        for packet in packets {
            black_box(bounded(&black_box(packet)[..len]));
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

/// What one kind of packet costs, per packet: validated, within bounds, and unvalidated.
struct Cost {
    ns: [f64; 3],
    /// What validation adds to the second and to the third, and the range of the former over the rounds.
    added_ns: [f64; 2],
    spread_ns: (f64, f64),
    instructions: [Option<f64>; 3],
}

/// The parses in turn, so that what slows the machine for a while slows all.
fn measure<const N: usize>(packets: &[[u8; N]], arguments: &Arguments, parses: [Parse; 3]) -> Cost {
    let per_packet = |seconds: f64| seconds * 1e9 / (arguments.turns * PACKETS) as f64;
    let timed = |run: fn(&[[u8; N]], u64)| {
        let watch = Stopwatch::start();
        run(black_box(packets), arguments.turns);
        per_packet(watch.seconds())
    };
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        rounds.push([timed(checked::<N>), timed(within::<N>), timed(unchecked::<N>)]);
    }
    let all = |figure: &dyn Fn(&[f64; 3]) -> f64| -> Vec<f64> { rounds.iter().map(figure).collect() };
    let middle = |figure: &dyn Fn(&[f64; 3]) -> f64| median(&all(figure)).unwrap_or(0.0);
    Cost {
        ns: [0, 1, 2].map(|parse| middle(&|round| round[parse])),
        added_ns: [1, 2].map(|parse| middle(&|round| round[0] - round[parse])),
        spread_ns: range(&all(&|round| round[0] - round[1])).unwrap_or_default(),
        instructions: parses.map(count_instructions),
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
    use Parse::{
        LargeBounded, LargeUnvalidated, LargeValidated, MixedBounded, MixedUnvalidated, MixedValidated, SmallBounded,
        SmallUnvalidated, SmallValidated,
    };
    let rows = [
        ("DATA, 64 bytes", measure(&small, arguments, [SmallValidated, SmallBounded, SmallUnvalidated])),
        ("DATA, 1472 bytes", measure(&large, arguments, [LargeValidated, LargeBounded, LargeUnvalidated])),
        ("ACK and DATA, 300 bytes", measure(&mixed, arguments, [MixedValidated, MixedBounded, MixedUnvalidated])),
    ];
    debug_assert_eq!(mixed.first().map(|packet| packet.len()), Some(MIXED_BYTES));
    println!(
        "{:<24} {:>14} {:>14} {:>14}   {:<16} instructions",
        "", "validated", "in bounds", "unvalidated", "rules (range)"
    );
    for (name, cost) in &rows {
        let [validated, bounded, unvalidated] = cost.ns.map(|ns| format!("{ns:.2} ns"));
        let (low, high) = cost.spread_ns;
        let rules = format!("{:.2} ({low:.2} to {high:.2})", cost.added_ns[0]);
        let instructions = cost.instructions.map(|count| count.map_or("not counted".to_owned(), |n| format!("{n:.0}")));
        let instructions = instructions.join(", ");
        println!("{name:<24} {validated:>14} {bounded:>14} {unvalidated:>14}   {rules:<22} {instructions}");
    }
    println!("handling a packet of an MTU of 1500 bytes, opened with the AEAD: {handled:.0} ns");
    for (place, beside) in ["one that keeps within its buffer", "one that checks nothing"].into_iter().enumerate() {
        println!("beside {beside}:");
        share("of handling a packet of 1500 bytes (a)", rows[1].1.added_ns[place], handled);
        share("of the time of a 64-byte packet at 10 Gbit/s (b)", rows[0].1.added_ns[place], SMALL_PACKET_NS);
    }
    Ok(())
}

fn share(of_what: &str, difference_ns: f64, whole_ns: f64) {
    let percent = 100.0 * difference_ns / whole_ns;
    let verdict = if percent < TARGET_PERCENT { "met" } else { "NOT met" };
    println!("  {difference_ns:.2} ns are {percent:.2} % {of_what}: below {TARGET_PERCENT} % is {verdict}");
}
