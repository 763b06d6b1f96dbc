//! `./x soak`: hours of transfers with kills, moves, surveys and reloads, and a verdict on what is left behind.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use wirehaul::units::{parse_duration, parse_rate};
use wirehaul_benches::interrupt;
use wirehaul_benches::soak::path::{self, Weather};
use wirehaul_benches::soak::verdict::Limits;
use wirehaul_benches::soak::{Options, Transport, run, sample};

/// Half of the cores of a small machine can do this beside other work.
const DEFAULT_RATE: &str = "100mbit";

#[derive(Parser)]
#[command(
    about = "Hours of transfers into one server, with kills, moves, surveys and reloads; needs root",
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    helper: Option<Helper>,
    #[command(flatten)]
    soak: Soak,
}

#[derive(Subcommand)]
enum Helper {
    /// A path that loses and delays, which this program starts for itself
    #[command(hide = true)]
    Path { listen: SocketAddr, forward: SocketAddr, delay_us: u64, loss_ppm: u32, seed: u64 },
    /// The metrics of a server, which this program asks for beside the server
    #[command(hide = true)]
    Metrics { address: SocketAddr },
}

#[derive(Args)]
struct Soak {
    /// How many hours, such as 12 or 0.1
    #[arg(default_value_t = 1.0)]
    hours: f64,
    /// All transfers together send no faster than this: less of it leaves more of the CPUs to others
    #[arg(long, default_value = DEFAULT_RATE)]
    rate: String,
    /// How long a datagram takes, one way
    #[arg(long, default_value = "10ms")]
    delay: String,
    /// How many of a hundred datagrams are lost, each way
    #[arg(long, default_value_t = 0.5)]
    loss: f64,
    /// How the server takes its packets
    #[arg(long, value_enum, default_value_t = Transport::Udp)]
    transport: Transport,
    /// Where randomness starts from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// By how many KiB an hour memory may grow
    #[arg(long, default_value_t = 1024)]
    slope: u32,
    /// Files go below this directory
    #[arg(long, default_value = "target")]
    dir: PathBuf,
    /// The program
    #[arg(long, default_value = "target/release/wirehaul")]
    wirehaul: PathBuf,
    /// Print the lines of JSON alone
    #[arg(long)]
    json: bool,
}

impl Soak {
    fn options(&self) -> Result<Options, String> {
        if !(self.hours.is_finite() && self.hours > 0.0 && self.hours < 10_000.0) {
            return Err(format!("{} hours make no sense", self.hours));
        }
        if !(self.loss >= 0.0 && self.loss < 50.0) {
            return Err(format!("{} % of loss make no sense", self.loss));
        }
        let rate = parse_rate(&self.rate).map_err(|error| format!("--rate {}: {error}", self.rate))?;
        let delay = parse_duration(&self.delay).map_err(|error| format!("--delay {}: {error}", self.delay))?;
        // Trees are as large as the rate carries in seconds, and lie on the disk.
        let rate_bps = rate.as_bits_per_sec().clamp(1_000_000, 2_000_000_000);
        Ok(Options {
            wirehaul: self.wirehaul.clone(),
            dir: self.dir.clone(),
            duration: Duration::from_secs_f64(self.hours * 3600.0),
            rate_bps,
            delay: Duration::from_micros(delay.as_micros()),
            loss_ppm: (self.loss * 1e4) as u32,
            seed: self.seed,
            transport: self.transport,
            limits: Limits { slope_bytes_per_hour: f64::from(self.slope) * 1024.0, ..Limits::default() },
        })
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = interrupt::install() {
        return fail(&format!("signals cannot be caught: {error}"));
    }
    match arguments.helper {
        Some(Helper::Path { listen, forward, delay_us, loss_ppm, seed }) => {
            let weather = Weather { delay: Duration::from_micros(delay_us), loss_ppm };
            let ready = || println!("ready");
            path::run(listen, forward, weather, seed, ready)
                .map_or_else(|error| fail(&error.to_string()), |()| ExitCode::SUCCESS)
        }
        Some(Helper::Metrics { address }) => sample::fetch(address).map_or_else(
            |error| fail(&error.to_string()),
            |page| {
                println!("{page}");
                ExitCode::SUCCESS
            },
        ),
        None => soak(&arguments.soak),
    }
}

fn soak(arguments: &Soak) -> ExitCode {
    let options = match arguments.options() {
        Ok(options) => options,
        Err(error) => return fail(&error),
    };
    let tell = |words: &str, json: &serde_json::Value| {
        // Whoever stopped to read may come back for the exit code.
        let mut out = std::io::stdout().lock();
        if !arguments.json {
            let _ = writeln!(out, "{words}");
        }
        let _ = writeln!(out, "{json}").and_then(|()| out.flush());
    };
    match run(&options, tell) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(error: &str) -> ExitCode {
    eprintln!("soak: {error}");
    ExitCode::FAILURE
}
