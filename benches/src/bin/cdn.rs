//! What telling CDN edges from origins costs, and how often it is right.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde_json::json;
use wirehaul_benches::cdn::accuracy::{Accuracy, ask, read};
use wirehaul_benches::cdn::command::{run, write_addresses};
use wirehaul_benches::cdn::dataset::{Half, draw, hold_out};
use wirehaul_benches::cdn::lookups::{CONTESTANTS, Contestant, Cost, Load, measure};
use wirehaul_benches::machine::Machine;
use wirehaul_benches::stats::{median, range};

#[derive(Parser)]
#[command(about = "What telling CDN edges from origins costs, and how often it is right")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Looks into the tables per second, millions of addresses from a file to JSON, and one from a cold start
    Speed(Speed),
    /// Asks about `item<TAB>expected` rows, and says how often the answer is wrong
    Accuracy(Rightness),
    /// Writes such rows, drawn from the lists
    Draw(Drawing),
}

#[derive(Args)]
struct Speed {
    /// The program
    #[arg(long)]
    wirehaul: PathBuf,
    /// How many times everything is measured
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Addresses in the file
    #[arg(long, default_value_t = 10_000_000)]
    addresses: u64,
    /// An ASN database to ask as well, as MMDB
    #[arg(long)]
    asn_db: Option<PathBuf>,
    /// Where the files are written
    #[arg(long, default_value = "/var/tmp")]
    dir: PathBuf,
    /// What random numbers begin with
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Rightness {
    /// Rows of `item<TAB>provider`, `-` for no edge
    file: PathBuf,
    /// The program
    #[arg(long)]
    wirehaul: PathBuf,
    /// What is probed; several times for several tables
    #[arg(long = "probe", default_value = "none")]
    tiers: Vec<String>,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Further arguments for `wirehaul cdn`, as `--db DIR --asn-db FILE`
    #[arg(last = true)]
    further: Vec<String>,
}

#[derive(Args)]
struct Drawing {
    /// Where to
    out: PathBuf,
    /// Addresses of each list
    #[arg(long, default_value_t = 2_000)]
    per_list: usize,
    /// Which half of all networks
    #[arg(long, value_enum, default_value = "evaluate")]
    half: Half,
    /// What random numbers begin with
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Draw only what is no edge, and write a folder of facts here that lacks the lists' halves that the rows are drawn from
    #[arg(long, conflicts_with = "half")]
    hold_out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().what {
        What::Speed(arguments) => speed(&arguments),
        What::Accuracy(arguments) => accuracy(&arguments),
        What::Draw(arguments) => write_rows(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cdn: {error}");
            ExitCode::FAILURE
        }
    }
}

// --- speed ---

fn speed(arguments: &Speed) -> Result<(), Box<dyn Error>> {
    let costs = measure(arguments.rounds, arguments.seed);
    let scratch = tempfile::tempdir_in(&arguments.dir)?;
    let list = scratch.path().join("addresses");
    write_addresses(&list, arguments.addresses, arguments.seed)?;
    let out = scratch.path().join("rows");
    let mut command: Vec<String> = ["--json", "-q", "-f"].map(str::to_owned).to_vec();
    command.push(list.display().to_string());
    let asn_db = arguments.asn_db.as_deref().map(|path| ["--asn-db".to_owned(), path.display().to_string()]);
    let mut bulk = vec![("to nowhere", command.clone(), None), ("to a file", command.clone(), Some(out.as_path()))];
    if let Some(asn_db) = asn_db {
        command.extend(asn_db);
        bulk.push(("to nowhere, with an ASN database", command, None));
    }
    let mut seconds = vec![Vec::new(); bulk.len()];
    let mut bytes = 0;
    for _ in 0..arguments.rounds.clamp(1, 5) {
        for (taken, (_, command, into)) in seconds.iter_mut().zip(&bulk) {
            let run = run(&arguments.wirehaul, command, *into)?;
            taken.push(run.seconds);
            bytes = bytes.max(run.bytes);
        }
    }
    let cold = cold_starts(&arguments.wirehaul, arguments.rounds * 20)?;
    let machine = Machine::look(&arguments.dir);
    if arguments.json {
        let bulk: Vec<_> =
            bulk.iter().zip(&seconds).map(|((name, ..), taken)| json!({ "run": name, "seconds": taken })).collect();
        let summary = json!({
            "type": "summary", "bench": "cdn", "machine": machine, "lookups": costs, "addresses": arguments.addresses,
            "bulk": bulk, "output_bytes": bytes, "cold_start_ms": cold,
        });
        println!("{summary}");
        return Ok(());
    }
    println!("{}\n", machine.describe());
    print_costs(&costs);
    println!(
        "\n{} addresses from a file to JSON ({:.2} GB of it), median seconds",
        arguments.addresses,
        bytes as f64 / 1e9
    );
    for ((name, ..), taken) in bulk.iter().zip(&seconds) {
        let (least, most) = range(taken).unwrap_or_default();
        println!("  {name:<34}{:>8.2}   ({least:.2} to {most:.2})", median(taken).unwrap_or(f64::NAN));
    }
    let (least, most) = range(&cold).unwrap_or_default();
    println!(
        "\none address, from start to exit: {:.2} ms ({least:.2} to {most:.2})",
        median(&cold).unwrap_or(f64::NAN)
    );
    Ok(())
}

/// Milliseconds of so many runs for one address.
fn cold_starts(wirehaul: &Path, count: usize) -> std::io::Result<Vec<f64>> {
    let arguments = ["--json", "104.16.132.229"].map(str::to_owned);
    (0..count.max(1)).map(|_| run(wirehaul, &arguments, None).map(|run| run.seconds * 1e3)).collect()
}

fn print_costs(costs: &[Cost]) {
    println!("a look for one address: ns, million looks a second on one CPU, and how many times as fast ours is");
    for (family, load, what) in [
        (4, Load::Any, "IPv4, any address"),
        (4, Load::Listed, "IPv4, listed"),
        (6, Load::Any, "IPv6, any address"),
        (6, Load::Listed, "IPv6, listed"),
    ] {
        println!("{what}");
        for contestant in CONTESTANTS {
            let found = costs.iter().find(|c| c.contestant == contestant && c.family == family && c.load == load);
            let Some(Cost { nanos, millions_per_s, ours_is_faster_by, .. }) = found else { continue };
            let ratio =
                if contestant == Contestant::Wirehaul { String::new() } else { format!("{ours_is_faster_by:.1}x") };
            println!("  {:<20}{nanos:>10.2}{millions_per_s:>10.1}{ratio:>10}", contestant.name());
        }
    }
}

// --- accuracy ---

fn accuracy(arguments: &Rightness) -> Result<(), Box<dyn Error>> {
    let expectations = read(&arguments.file)?;
    let ask = |tier: &String| ask(&arguments.wirehaul, &expectations, tier, &arguments.further);
    let found = arguments.tiers.iter().map(ask).collect::<Result<Vec<_>, _>>()?;
    if arguments.json {
        println!(
            "{}",
            json!({ "type": "summary", "bench": "cdn-accuracy", "rows": expectations.len(), "tiers": found })
        );
    } else {
        found.iter().for_each(print_accuracy);
    }
    Ok(())
}

fn print_accuracy(found: &Accuracy) {
    println!("--probe {}", found.tier);
    println!("{:<20}{:>8}{:>9}{:>9}{:>14}{:>18}", "", "edges", "missed", "FN %", "false alarms", "older rule FN %");
    for (key, tally) in &found.providers {
        let older = found.seed_rule.get(key).map_or(0.0, |tally| tally.false_negative_pct());
        println!(
            "  {key:<18}{:>8}{:>9}{:>9.2}{:>14}{older:>18.2}",
            tally.edges,
            tally.missed,
            tally.false_negative_pct(),
            tally.false_alarms
        );
    }
    println!("  of what is no edge");
    for (group, (rows, named)) in &found.groups {
        println!("    {group:<30}{rows:>8} rows, {named} named");
    }
    println!(
        "  the six: FN {:.2} % (older rule {:.2} %); FP {:.3} %; {} rows that were errors",
        found.named_false_negative_pct(),
        found.seed_false_negative_pct(),
        found.false_positive_pct(),
        found.errors
    );
    println!("  posterior      rows   mean   edges");
    for (at, bin) in found.bins.iter().enumerate().filter(|(_, bin)| bin.rows > 0) {
        println!(
            "  {:.1} to {:.1}{:>8}{:>8.3}{:>8.3}",
            at as f64 / 10.0,
            (at + 1) as f64 / 10.0,
            bin.rows,
            bin.mean(),
            bin.share()
        );
    }
}

fn write_rows(arguments: &Drawing) -> Result<(), Box<dyn Error>> {
    let rows = match &arguments.hold_out {
        None => draw(arguments.per_list, arguments.half, arguments.seed),
        Some(folder) => {
            let held = hold_out(arguments.per_list, arguments.seed);
            for (name, text) in &held.files {
                let path = folder.join(name);
                path.parent().map(std::fs::create_dir_all).transpose()?;
                std::fs::write(path, text)?;
            }
            held.rows
        }
    };
    let text: String = rows.iter().map(|row| format!("{}\t{}\t{}\n", row.ip, row.expected, row.from)).collect();
    std::fs::write(&arguments.out, text)?;
    eprintln!("{} rows in {}", rows.len(), arguments.out.display());
    Ok(())
}
