//! `wirehaul-sim run`: a scenario's figures, and whether they are as its file says.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};
use wirehaul_core::time::Duration;
use wirehaul_sim::{
    metrics::{Figures, Report},
    scenario::{
        Scenario, Source,
        drive::{Outcomes, Sample},
        expect::{self, Verdict},
    },
};

use super::{
    Exit,
    clock::Stopwatch,
    examples,
    input::{parse_interval, parse_number, read_text},
};

const HELP: &str = examples!(
    "  wirehaul-sim run sim/scenarios/one-flow.toml
  wirehaul-sim run sim/scenarios/one-flow.toml --set link.bottleneck.loss=1% --set flow.a.cc=cubic --seed 7
  wirehaul-sim run sim/scenarios/one-flow.toml --json --sample 10ms > one-flow.jsonl"
);

/// What every command takes that reads a scenario.
#[derive(Clone, Debug, Default, Args)]
pub struct ScenarioArgs {
    /// Take this seed and not that of the file
    #[arg(long, value_name = "N", value_parser = parse_number, allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Put VALUE in place of what the file says, such as link.bottleneck.rate=20mbit; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Arguments of `wirehaul-sim run`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct RunArgs {
    /// The scenario, in TOML
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How to read it.
    #[command(flatten)]
    scenario: ScenarioArgs,
    /// Print JSON lines; the last one has "type":"summary"
    #[arg(long)]
    json: bool,
    /// With --json, also print how each flow stands every so often in virtual time, such as 10ms: what `plot` draws
    #[arg(long, value_name = "TIME", requires = "json", value_parser = parse_interval, allow_hyphen_values = true)]
    sample: Option<Duration>,
}

/// Reads a scenario as the command line says. An error says where and why, in one line.
pub fn load(file: &Path, args: &ScenarioArgs) -> Result<Scenario, String> {
    let source = Source::new(&file.display().to_string(), read_text(file)?, &args.set);
    let mut scenario = source.and_then(|source| Scenario::load(&source)).map_err(|error| error.to_string())?;
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    Ok(scenario)
}

/// Runs a scenario and reports its figures.
pub fn run(args: &RunArgs) -> Exit {
    let scenario = match load(&args.file, &args.scenario) {
        Ok(scenario) => scenario,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Usage;
        }
    };
    let watch = Stopwatch::start();
    let Outcomes { report, samples } = scenario.run(args.sample);
    let figures = report.run.figures(watch.elapsed());
    let verdicts = expect::judge(&scenario.expectations, &report, &figures);
    let out = io::stdout().lock();
    let written = if args.json {
        write_json(out, &report, &figures, &verdicts, &samples)
    } else {
        write_text(out, &report, &figures)
    };
    if let Err(error) = written {
        eprintln!("stdout: {error}");
        return Exit::Failed;
    }
    let missed: Vec<_> = verdicts.iter().filter(|verdict| !verdict.is_met()).collect();
    missed.iter().for_each(|verdict| eprintln!("not as expected: {verdict}"));
    report.run.violations.iter().for_each(|violation| eprintln!("violation: {violation}"));
    if missed.is_empty() && report.run.violations.is_empty() {
        return Exit::Done;
    }
    eprintln!("again: wirehaul-sim run {}{} --seed {}", args.file.display(), overrides(&args.scenario), scenario.seed);
    Exit::Failed
}

fn overrides(args: &ScenarioArgs) -> String {
    args.set.iter().map(|text| format!(" --set '{}'", text.replace('\'', r"'\''"))).collect()
}

// --- for scripts ---

fn write_json(
    mut out: impl Write,
    report: &Report,
    run: &Figures,
    verdicts: &[Verdict],
    samples: &[Sample],
) -> io::Result<()> {
    for sample in samples {
        writeln!(out, "{}", typed("sample", sample.figures(&report.flows[sample.flow].name)))?;
    }
    for verdict in verdicts {
        let (min, max) = verdict.bounds;
        let figures = json!({
            "type": "expectation", "flow": verdict.flow, "figure": verdict.figure, "min": min, "max": max,
            "value": verdict.value, "met": verdict.is_met(),
        });
        writeln!(out, "{figures}")?;
    }
    for link in &report.links {
        writeln!(out, "{}", typed("link", link.figures()))?;
    }
    for flow in &report.flows {
        writeln!(out, "{}", typed("flow", flow.figures()))?;
    }
    writeln!(out, "{}", typed("summary", run.clone()))
}

fn typed(kind: &str, mut figures: Figures) -> Value {
    figures.insert("type".to_owned(), json!(kind));
    Value::Object(figures)
}

// --- for people ---

/// Columns of the table of flows: heading, figure, by how much it is divided, decimals.
const COLUMNS: &[(&str, &str, f64, usize)] = &[
    ("goodput Mbit/s", "goodput_bps", 1e6, 3),
    ("delivered MB", "delivered_bytes", 1e6, 1),
    ("packets", "sent_packets", 1.0, 0),
    ("resent %", "retransmitted_pct", 1.0, 3),
    ("srtt ms", "srtt_mean_us", 1e3, 2),
    ("p99 rtt ms", "rtt_p99_us", 1e3, 2),
    ("queue kB", "queue_mean_bytes", 1e3, 1),
    ("pacing err %", "pacing_error_pct", 1.0, 3),
    ("fct s", "fct_s", 1.0, 3),
];

fn write_text(mut out: impl Write, report: &Report, run: &Figures) -> io::Result<()> {
    let width = report.flows.iter().map(|flow| flow.name.len()).max().unwrap_or(0).max(4);
    write!(out, "{:width$} {:>6}", "flow", "cc")?;
    COLUMNS.iter().try_for_each(|(heading, ..)| write!(out, "  {heading}"))?;
    writeln!(out)?;
    for flow in &report.flows {
        let figures = flow.figures();
        write!(out, "{:width$} {:>6}", flow.name, flow.cc)?;
        for (heading, figure, divisor, decimals) in COLUMNS {
            let value = number(&figures, figure).map(|value| value / divisor);
            write!(out, "  {:>1$}", decimal(value, *decimals), heading.len())?;
        }
        writeln!(out)?;
    }
    for link in &report.links {
        let figures = link.figures();
        let dropped = figures.get("dropped_packets").and_then(Value::as_object).cloned().unwrap_or_default();
        let dropped: Vec<_> = dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let used = number(&figures, "utilisation").map(|share| share * 100.0);
        let dropped = if dropped.is_empty() { "nothing".to_owned() } else { dropped.join(", ") };
        let (name, direction, queue) = (&link.name, link.direction, link.queue_mean_bytes);
        writeln!(out, "link {name} {direction}: {} % busy, queue {queue} B, dropped {dropped}", decimal(used, 2))?;
    }
    let figure = |name| decimal(number(run, name), 3);
    let hash = run.get("trace_hash").and_then(Value::as_str).unwrap_or("-");
    let (used, jain) = (figure("utilisation"), figure("jain"));
    writeln!(out, "utilisation {used}, jain {jain}, violations {}", report.run.violations.len())?;
    let (virtual_s, wall_s) = (figure("virtual_s"), figure("wall_s"));
    writeln!(out, "{virtual_s} s in {wall_s} s, seed {}, trace hash {hash}", report.run.seed)
}

fn number(figures: &Figures, name: &str) -> Option<f64> {
    figures.get(name).and_then(Value::as_f64)
}

fn decimal(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}
