//! `wirehaul-sim plot`: one page that shows what happened.

use std::{fs, path::PathBuf};

use clap::Args;
use serde_json::json;
use wirehaul_core::time::Duration;
use wirehaul_sim::plot::{self, recording::Recording};

use super::{
    Exit, examples,
    input::{parse_interval, read_text},
    run::{ScenarioArgs, load},
};

const HELP: &str = examples!(
    "  wirehaul-sim plot sim/scenarios/one-flow.toml -o one-flow.html
  wirehaul-sim plot sim/scenarios/one-flow.toml --set link.bottleneck.loss=1% -o lossy.html
  wirehaul-sim run sim/scenarios/one-flow.toml --json --sample 10ms > one-flow.jsonl
  wirehaul-sim plot one-flow.jsonl -o one-flow.html"
);

/// So many samples of each flow, unless the command line says how often: about one for each point that can be seen.
const SAMPLES: u64 = 1200;

/// Arguments of `wirehaul-sim plot`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct PlotArgs {
    /// A scenario in TOML, which is run; or the lines that `run --json --sample` printed
    #[arg(value_name = "FILE.toml|RESULT")]
    file: PathBuf,
    /// Write the page here
    #[arg(short, long, value_name = "OUT.html")]
    output: PathBuf,
    /// How to read a scenario.
    #[command(flatten)]
    scenario: ScenarioArgs,
    /// Look at a scenario's flows this often in virtual time [default: 1200 times in the run]
    #[arg(long, value_name = "TIME", value_parser = parse_interval, allow_hyphen_values = true)]
    sample: Option<Duration>,
}

/// Draws.
pub fn plot(args: &PlotArgs) -> Exit {
    let recording = match recording(args) {
        Ok(recording) => recording,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Usage;
        }
    };
    if let Err(error) = fs::write(&args.output, plot::page(&recording)) {
        eprintln!("{}: {error}", args.output.display());
        return Exit::Failed;
    }
    Exit::Done
}

fn recording(args: &PlotArgs) -> Result<Recording, String> {
    let name = args.file.display();
    if args.file.extension().is_none_or(|extension| extension != "toml") {
        if args.scenario.seed.is_some() || !args.scenario.set.is_empty() || args.sample.is_some() {
            return Err(format!("{name}: --seed, --set and --sample need a scenario (FILE.toml)"));
        }
        let lines = read_text(&args.file)?;
        return Recording::read(&name.to_string(), &lines).map_err(|error| error.within(name));
    }
    let scenario = load(&args.file, &args.scenario)?;
    let interval = args.sample.unwrap_or_else(|| scenario.duration.mul_ratio(1, SAMPLES).max(Duration::from_nanos(1)));
    let outcomes = scenario.run(Some(interval));
    let typed = |kind: &str, mut figures: wirehaul_sim::metrics::Figures| {
        figures.insert("type".to_owned(), json!(kind));
        (0, figures)
    };
    let flows = &outcomes.report.flows;
    let samples = outcomes.samples.iter().map(|sample| typed("sample", sample.figures(&flows[sample.flow].name)));
    let mut lines: Vec<_> = samples.collect();
    lines.extend(flows.iter().map(|flow| typed("flow", flow.figures())));
    lines.push(typed("summary", outcomes.report.run.figures(std::time::Duration::ZERO)));
    let title = if scenario.description.is_empty() { name.to_string() } else { scenario.description };
    Recording::from_figures(&title, &lines).map_err(|error| format!("{name}: {}", error.reason))
}
