//! `./x bench crowd`: a thousand transfers into one `wirehaul serve` at once: whether each gets its share, and what memory each takes.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use wirehaul::crypto::StaticKey;
use wirehaul_benches::crowd::{Crowd, CrowdError, Outcome, Server, crowd, jain, memory_of};
use wirehaul_benches::data::write_random_file;
use wirehaul_benches::scratch::Scratch;
use wirehaul_benches::stats::range;
use wirehaul_benches::testbed::Testbed;

/// How fair it is to be.
const TARGET_JAIN: f64 = 0.9;

#[derive(Parser)]
#[command(about = "Very many transfers into one server at once: the share of each, and the memory of the server")]
struct Arguments {
    /// The program
    #[arg(long)]
    wirehaul: PathBuf,
    /// Files go below this directory
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Transfers
    #[arg(long, default_value_t = 1000)]
    transfers: usize,
    /// MiB of each
    #[arg(long, default_value_t = 8)]
    mib: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was measured.
struct Figures {
    outcomes: Vec<Outcome>,
    /// Resident memory of the server before anybody came, while all were under way, and the most.
    memory: [u64; 3],
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match measure(&arguments) {
        Ok(figures) => report(&arguments, &figures),
        Err(error) => {
            eprintln!("crowd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<Figures, CrowdError> {
    let scratch = Scratch::create(&arguments.dir, "bench-crowd")?;
    let [home, sources, target] = ["home", "sources", "target"].map(|name| scratch.fresh_dir(name));
    let (home, sources, target) = (home?, sources?, target?);
    let one = sources.join("file-0");
    write_random_file(&one, arguments.mib << 20, "crowd")?;
    // Names of one file: what is read is in memory, and what is written is each transfer's own.
    let names: Vec<_> = (1..=arguments.transfers).map(|number| sources.join(format!("file-{number}"))).collect();
    for name in &names {
        fs::hard_link(&one, name)?;
    }
    let bed = Testbed::best_available(true);
    let identity = Arc::new(StaticKey::generate().map_err(|error| CrowdError::Sender(error.to_string()))?);
    let wirehaul = arguments.wirehaul.canonicalize()?;
    let server = Server::start(&bed, &wirehaul, (&home, &target), identity.public(), arguments.transfers)?;
    let id = server.id();
    let (idle, _) = memory_of(id);
    let mut busy = 0;
    let crowd_of =
        Crowd { identity, server: server.address, key: server.key, files: &names, look_after: Duration::from_secs(3) };
    let outcomes = crowd(&crowd_of, || busy = memory_of(id).0)?;
    let (_, most) = memory_of(id);
    server.stop()?;
    Ok(Figures { outcomes, memory: [idle, busy, most] })
}

fn report(arguments: &Arguments, figures: &Figures) -> ExitCode {
    let outcomes = &figures.outcomes;
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    let rates: Vec<_> = outcomes.iter().map(|outcome| outcome.bytes as f64 / outcome.seconds.max(1e-9)).collect();
    let fairness = jain(&rates);
    let (slowest, fastest) = range(&rates).unwrap_or((0.0, 0.0));
    let all: u64 = outcomes.iter().map(|outcome| outcome.bytes).sum();
    let seconds = outcomes.iter().map(|outcome| outcome.seconds).fold(0.0, f64::max);
    let [idle, busy, most] = figures.memory;
    let each = (most.saturating_sub(idle)) as f64 / outcomes.len().max(1) as f64;
    if arguments.json {
        let value = json!({
            "transfers": outcomes.len(), "failed": failed, "bytes_each": arguments.mib << 20, "seconds": seconds,
            "gbit_per_s": all as f64 * 8.0 / seconds / 1e9, "jain": fairness,
            "slowest_bytes_per_s": slowest, "fastest_bytes_per_s": fastest,
            "idle_bytes": idle, "busy_bytes": busy, "peak_bytes": most, "bytes_per_transfer": each,
        });
        println!("{value}");
    } else {
        println!("{} transfers of {} MiB at once into one server, over loopback", outcomes.len(), arguments.mib);
        println!("  took            {seconds:.1} s, {:.2} Gbit/s together", all as f64 * 8.0 / seconds / 1e9);
        println!("  failed          {}", failed);
        println!("  Jain's index    {fairness:.3} (wanted: {TARGET_JAIN})");
        println!("  each            {:.2} to {:.2} MiB/s", slowest / 1048576.0, fastest / 1048576.0);
        println!(
            "  server's memory {:.1} MiB idle, {:.1} MiB after 3 s, {:.1} MiB at most: {:.0} KiB a transfer",
            idle as f64 / 1048576.0,
            busy as f64 / 1048576.0,
            most as f64 / 1048576.0,
            each / 1024.0
        );
        for failed in outcomes.iter().filter(|outcome| outcome.failure.is_some()).take(5) {
            let reason = failed.failure.as_deref().unwrap_or_default();
            println!("  one failed after {:.1} s and {} KiB: {reason}", failed.seconds, failed.bytes >> 10);
        }
    }
    if failed == 0 && fairness >= TARGET_JAIN { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
