//! `./x bench latency`: how long a receiver takes to answer while it writes a file, on an idle disk and on a saturated one
//! (URING-5).

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;
use wirehaul_benches::latency::{Disk, Load, Rig, RigError};
use wirehaul_benches::stats::median;

/// How much slower the slowest hundredth of the answers may be on a saturated disk.
const TARGET_RATIO: f64 = 2.0;

#[derive(Parser)]
#[command(
    about = "How long a receiver takes to answer, on an idle disk and on a saturated one, with and without a file"
)]
struct Arguments {
    /// The program
    #[arg(long)]
    wirehaul: PathBuf,
    /// Files go below this directory, whose disk is the one that is meant
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Times that each figure is taken
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds for each
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One combination, and the p50, p99 and maximum of each round in microseconds.
struct Cell {
    io: &'static str,
    load: Load,
    disk: Disk,
    rounds: Vec<[f64; 3]>,
}

impl Cell {
    fn figure(&self, at: usize) -> f64 {
        median(&self.rounds.iter().map(|round| round[at]).collect::<Vec<_>>()).unwrap_or(f64::NAN)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match measure(&arguments) {
        Ok(cells) => {
            print(&cells, arguments.json);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("latency: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<Vec<Cell>, RigError> {
    let mut rig = Rig::new(&arguments.wirehaul, &arguments.dir, arguments.seconds)?;
    let mut cells = Vec::new();
    for io in ["uring", "sync"] {
        for load in [Load::Answers, Load::File] {
            for disk in [Disk::Idle, Disk::Saturated] {
                cells.push(Cell { io, load, disk, rounds: Vec::new() });
            }
        }
    }
    for _ in 0..arguments.rounds {
        for cell in &mut cells {
            let pings = rig.run(cell.io, cell.load, cell.disk)?;
            let quantile = |per_mille| pings.quantile(per_mille).unwrap_or(f64::NAN);
            cell.rounds.push([quantile(500), quantile(990), quantile(1000)]);
        }
    }
    Ok(cells)
}

fn print(cells: &[Cell], as_json: bool) {
    let pairs = cells.chunks_exact(2).filter_map(|pair| pair.first().zip(pair.last()));
    if as_json {
        let cell =
            |cell: &Cell| json!({ "p50_us": cell.figure(0), "p99_us": cell.figure(1), "max_us": cell.figure(2) });
        let pairs: Vec<_> = pairs
            .map(|(idle, busy)| {
                let ratio = busy.figure(1) / idle.figure(1);
                let load = format!("{:?}", idle.load).to_lowercase();
                json!({ "io": idle.io, "load": load, "idle": cell(idle), "saturated": cell(busy), "p99_ratio": ratio })
            })
            .collect();
        println!("{}", json!({ "latency": pairs }));
        return;
    }
    println!("{:<6} {:<8} {:>30} {:>30} {:>6}", "io", "load", "idle disk p50/p99/max us", "saturated disk", "p99");
    for (idle, busy) in pairs {
        let three = |cell: &Cell| format!("{:.0} / {:.0} / {:.0}", cell.figure(0), cell.figure(1), cell.figure(2));
        println!(
            "{:<6} {:<8} {:>30} {:>30} {:>5.2}x",
            idle.io,
            format!("{:?}", idle.load).to_lowercase(),
            three(idle),
            three(busy),
            busy.figure(1) / idle.figure(1)
        );
    }
    println!(
        "round trips, medians of the rounds; wanted: the p99 of a saturated disk within {TARGET_RATIO}x of the idle disk's"
    );
}
