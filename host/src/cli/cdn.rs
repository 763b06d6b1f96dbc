//! `wirehaul cdn`: whose edge an address is, if it is one, and what says so (CDN-6).

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value, json};
use wirehaul_core::cdn::Database;
use wirehaul_core::cdn_data::{EMBEDDED, FILES};
use wirehaul_core::time::Duration;

use super::args::{CdnArgs, CdnCommand, Cli, OutputArgs};
use super::exit::Exit;
use super::stop::stop_flag;
use crate::cdn::asn::{AsnError, AsnSource};
use crate::cdn::detector::Probes;
use crate::cdn::folder::{FolderError, Tables, Texts};
use crate::cdn::input::Input;
use crate::cdn::offline::Offline;
use crate::cdn::rows::Render;
use crate::cdn::stream::{self, Job, Outcome, Tally};
use crate::clock::Clock;
use crate::events::Level;
use crate::notes::note;

mod ask;
mod json;
#[cfg(unix)]
mod patient;
#[cfg(test)]
mod tests;
mod text;
mod update;

/// Why nothing was looked up.
#[derive(Debug, thiserror::Error)]
enum CdnError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Asn(#[from] AsnError),
    #[error("cannot read {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
}

/// Looks items up, and prints a row for each.
pub fn run(args: &CdnArgs, output: OutputArgs) -> Exit {
    if let Some(CdnCommand::Update(update)) = &args.command {
        return update::run(update, output);
    }
    if args.items.is_empty() && args.file.is_empty() && io::stdin().is_terminal() {
        let error = "what to look up is missing: give at least one ITEM, a --file, or a line each on standard input";
        Cli::usage_error("cdn", error).exit();
    }
    let clock = Clock::start();
    let stop = stop_flag();
    let done = open(args, &stop).and_then(|input| look_up(args, output, clock, &stop, input));
    let took = clock.now().saturating_since(wirehaul_core::time::Instant::ZERO);
    match done {
        Ok(done) => done.end(output, took, stop.load(Ordering::Relaxed)),
        Err(error) => {
            remark(&error.to_string());
            if output.json {
                let summary = summary(None, &Map::new(), took, Some(&error.to_string()), Exit::Failed);
                // There is nowhere left to say it if this fails.
                let _ = writeln!(io::stdout(), "{summary}");
            }
            Exit::Failed
        }
    }
}

/// What is left of it when all rows are printed.
struct Done {
    outcome: Outcome,
    /// How many rows name each provider, by key.
    providers: Map<String, Value>,
}

fn look_up(
    args: &CdnArgs,
    output: OutputArgs,
    clock: Clock,
    stop: &AtomicBool,
    input: Input,
) -> Result<Done, CdnError> {
    let texts = args.db.as_deref().map(texts_of).transpose()?;
    let tables = texts.as_ref().map(Tables::build).transpose()?;
    let database = tables.as_ref().map_or(EMBEDDED, Tables::view);
    let asns = match &args.asn_db {
        Some(path) => AsnSource::open(path, database)?,
        None => AsnSource::of_facts(database),
    };
    if output.verbose > 0 {
        let folder =
            args.db.as_ref().map_or_else(|| "those that are built in".to_owned(), |db| db.display().to_string());
        let date = asns.date().map_or_else(String::new, |date| format!(", {date}"));
        remark(&format!("facts: {folder}; networks of addresses: {}{date}", asns.source()));
    }
    let threshold = args.threshold;
    let outcome = if output.json {
        rows(args, clock, stop, input, &asns, &json::Json { database, threshold })
    } else {
        rows(args, clock, stop, input, &asns, &text::Text { database, threshold, explains: args.explain })
    };
    let providers = counts(&outcome.tally, &database);
    Ok(Done { outcome, providers })
}

/// A folder of facts, and from those that are built in what it has none of.
pub(super) fn texts_of(folder: &Path) -> Result<Texts, FolderError> {
    let mut texts = Texts::read(folder)?;
    texts.or_from(&embedded());
    Ok(texts)
}

/// The facts that are built in, as a folder.
fn embedded() -> Texts {
    let files = FILES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Texts::of(Path::new("(built in)"), files)
}

fn rows(
    args: &CdnArgs,
    clock: Clock,
    stop: &AtomicBool,
    input: Input,
    asns: &AsnSource<'_>,
    render: &impl Render,
) -> Outcome {
    let database = asns.database();
    let offline = Offline { database, asns, prior: args.prior };
    let ask = ask::Asking::new(args, asns, clock);
    let job = Job {
        offline,
        threshold: args.threshold,
        render,
        ask: &ask,
        asks_addresses: args.probes_of_addresses() != Probes::NONE,
        ranges: args.ranges,
        stop,
        clock,
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    stream::run(&job, &args.items, input, threads, io::stdout())
}

fn open(args: &CdnArgs, stop: &Arc<AtomicBool>) -> Result<Input, CdnError> {
    let mut files = args.file.clone();
    if files.is_empty() && args.items.is_empty() {
        files.push("-".into());
    }
    let sources = files.into_iter().map(|path| {
        if path == Path::new("-") {
            return Ok(standard_input(stop));
        }
        // A folder can be opened, but not read.
        match File::open(&path) {
            Ok(_) if path.is_dir() => Err(CdnError::Open { path, source: io::ErrorKind::IsADirectory.into() }),
            Ok(file) => Ok(Box::new(file) as Box<dyn Read + Send>),
            Err(source) => Err(CdnError::Open { path, source }),
        }
    });
    Ok(Input::new(sources.collect::<Result<_, _>>()?))
}

#[cfg(unix)]
fn standard_input(stop: &Arc<AtomicBool>) -> Box<dyn Read + Send> {
    Box::new(patient::Patient::new(io::stdin(), Arc::clone(stop)))
}

#[cfg(not(unix))]
fn standard_input(_: &Arc<AtomicBool>) -> Box<dyn Read + Send> {
    Box::new(io::stdin())
}

// --- the end ---

fn counts(tally: &Tally, database: &Database<'_>) -> Map<String, Value> {
    let named = database.providers.iter().zip(&tally.providers).filter(|(_, count)| **count > 0);
    named.map(|(provider, count)| (provider.key.to_owned(), json!(count))).collect()
}

impl Done {
    fn end(self, output: OutputArgs, took: Duration, was_stopped: bool) -> Exit {
        let Outcome { tally, unread, unasked, unwritten } = self.outcome;
        let error = match (&unwritten, &unasked, &unread) {
            // Whoever reads our output left; that is theirs to do.
            (Some(error), ..) if error.kind() == io::ErrorKind::BrokenPipe => return exit_of(&tally, false),
            (Some(error), ..) => Some(format!("cannot write: {error}")),
            (_, Some(error), _) => Some(format!("cannot ask anybody: {error}; use --probe none")),
            (_, _, Some(error)) => Some(format!("cannot read on: {error}")),
            (None, None, None) => None,
        };
        let exit = match error {
            Some(_) => Exit::Failed,
            None => exit_of(&tally, was_stopped),
        };
        if let Some(error) = &error {
            remark(error);
        }
        if output.json {
            let summary = summary(Some(&tally), &self.providers, took, error.as_deref(), exit);
            // There is nowhere left to say it if this fails.
            let _ = writeln!(io::stdout(), "{summary}");
        } else if !output.quiet && tally.rows > 1 {
            remark(&in_words(&tally, &self.providers));
        }
        exit
    }
}

const fn exit_of(tally: &Tally, was_stopped: bool) -> Exit {
    match tally.errors {
        _ if was_stopped => Exit::Interrupted,
        0 => Exit::Done,
        _ => Exit::Failed,
    }
}

fn summary(
    tally: Option<&Tally>,
    providers: &Map<String, Value>,
    took: Duration,
    error: Option<&str>,
    exit: Exit,
) -> Value {
    let count = |of: fn(&Tally) -> u64| tally.map_or(0, of);
    json!({
        "type": "summary",
        "command": "cdn",
        "inputs": count(|tally| tally.inputs),
        "rows": count(|tally| tally.rows),
        "detected": count(|tally| tally.detected),
        "errors": count(|tally| tally.errors),
        "providers": providers,
        "seconds": took.as_nanos() as f64 / 1e9,
        "error": error,
        "exit_code": exit.code(),
    })
}

fn in_words(tally: &Tally, providers: &Map<String, Value>) -> String {
    let mut counts: Vec<_> = providers.iter().map(|(key, count)| (count.as_u64().unwrap_or(0), key)).collect();
    counts.sort_by(|a, b| b.cmp(a));
    let named: Vec<_> = counts.iter().map(|(count, key)| format!("{key} {count}")).collect();
    let of_whom = if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
    let errors = match tally.errors {
        0 => String::new(),
        1 => "; 1 could not be read".to_owned(),
        errors => format!("; {errors} could not be read"),
    };
    format!("{} of {} rows are edges{of_whom}{errors}", tally.detected, tally.rows)
}

fn remark(text: &str) {
    note(Level::Info, text);
}
