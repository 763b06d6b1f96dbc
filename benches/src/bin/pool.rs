//! What the buffer pool costs next to crossbeam's `ArrayQueue` and a `Mutex<Vec>`, and its memory for many sessions next to a
//! pool for each.

use std::process::ExitCode;

use clap::Parser;
use serde_json::json;
use wirehaul_benches::pool::cost::{BURST, CONTESTANTS, Contestant, Cost, Pattern, find, measure};
use wirehaul_benches::pool::memory::{Comparison, DEFAULT_SLOTS_PER_SESSION, HEALTHY_SHARE, Load, Memory};

const THREADS: [usize; 3] = [1, 2, 4];
/// Ticks from burst to burst: sessions that are busy rarely, sometimes and often.
const IDLE_TICKS: [u32; 3] = [200, 50, 15];

#[derive(Parser)]
#[command(about = "The cost of the buffer pool next to others, and its memory for many sessions")]
struct Arguments {
    /// How many times each cost is measured
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Takes and puts per thread and round
    #[arg(long, default_value_t = 1_000_000)]
    operations: usize,
    /// Sessions of the memory comparison
    #[arg(long, default_value_t = 1000)]
    sessions: u32,
    /// Workers of the memory comparison
    #[arg(long, default_value_t = 4)]
    workers: u32,
    /// Its length in ticks
    #[arg(long, default_value_t = 5000)]
    ticks: u32,
    /// What its draws begin with
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let costs = measure(&THREADS, arguments.rounds.max(1), arguments.operations.max(1));
    let Arguments { sessions, workers, ticks, seed, .. } = arguments;
    let loads = IDLE_TICKS.map(|idle_ticks| Load {
        sessions: sessions.max(1),
        workers: workers.max(1),
        ticks: ticks.max(1),
        idle_ticks,
        held_ticks: 8,
        seed,
    });
    let comparisons: Vec<_> = loads.into_iter().filter_map(Comparison::run).collect();
    if arguments.json {
        println!("{}", json!({ "type": "summary", "bench": "pool", "cost": costs, "memory": comparisons }));
    } else {
        print_costs(&costs);
        comparisons.iter().for_each(print_memory);
    }
    if costs.is_empty() || comparisons.len() < loads.len() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn print_costs(costs: &[Cost]) {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    println!("ns per take and put on each thread, {cpus} CPUs, median; in brackets times as long as ours");
    for (pattern, name) in [(Pattern::One, "one at a time".to_owned()), (Pattern::Burst, format!("{BURST} at a time"))]
    {
        println!("{name:<20}{:>20}{:>20}{:>20}", "1 thread", "2 threads", "4 threads");
        for contestant in CONTESTANTS {
            print!("  {:<18}", contestant.name());
            for threads in THREADS {
                let ours = find(costs, Contestant::Magazine, pattern, threads).unwrap_or(f64::NAN);
                let nanos = find(costs, contestant, pattern, threads).unwrap_or(f64::NAN);
                print!("{:>20}", format!("{nanos:.2} ({:.1}x)", nanos / ours));
            }
            println!();
        }
    }
    let one = |threads| find(costs, Contestant::Magazine, Pattern::One, threads).unwrap_or(f64::NAN);
    println!("two threads against one: {:.2}x", one(2) / one(1));
}

fn print_memory(comparison: &Comparison) {
    let load = comparison.load;
    println!(
        "\n{} sessions, a burst every {} ticks, at most {:.1} buffers a session lent at once (seed {})",
        load.sessions, load.idle_ticks, comparison.peak_per_session, load.seed
    );
    println!("{:<44}{:>12}{:>12}{:>12}", "", "reserved", "touched", "exhausted");
    let print = |name: String, memory: &Memory| {
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        let share = format!("{:.3} %", memory.exhausted_share() * 100.0);
        let (reserved, touched) = (mib(memory.reserved_bytes), mib(memory.touched_bytes));
        println!("{name:<44}{reserved:>12}{touched:>12}{share:>12}");
    };
    let (own, shared, smallest) = (&comparison.per_session, &comparison.shared, &comparison.shared_smallest);
    let healthy = HEALTHY_SHARE * 100.0;
    print(format!("a pool per session: {} slots for {healthy} %", own.slots_per_pool), own);
    print(format!("one pool: {DEFAULT_SLOTS_PER_SESSION} per session"), shared);
    print(format!("one pool: {} slots for {healthy} %", smallest.slots_per_pool), smallest);
    println!(
        "one pool of default size takes {:.0} % less, {:.0} % less of it touched",
        comparison.saving() * 100.0,
        comparison.touched_saving() * 100.0
    );
}
