//! `wirehaul origin`: whether the origin of a site answers past the CDN in front of it (CDN-7).

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use wirehaul_core::cdn::Database;
use wirehaul_core::cdn_data::EMBEDDED;
use wirehaul_core::time::Duration;

use super::args::{OriginArgs, OutputArgs};
use super::cdn::texts_of;
use super::exit::Exit;
use crate::cdn::detection::NotTried;
use crate::cdn::dns::Dns;
use crate::cdn::folder::{FolderError, Tables};
use crate::cdn::origin::advice::{InFront, advice};
use crate::cdn::origin::contact::Contact;
use crate::cdn::origin::owned::Owned;
use crate::cdn::origin::verdict::Verdict;
use crate::cdn::origin::{OriginError, Place, Question, Report, Row, check, provider};
use crate::cdn::tls::Tls;
use crate::clock::Clock;

mod text;

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot use the facts in --db: {0}")]
    Database(#[from] FolderError),
    #[error("no resolver: this system names none that can be used; --resolver names one")]
    NoResolver(NotTried),
    #[error("cannot wait for answers: {0}")]
    Runtime(#[source] io::Error),
    #[error(transparent)]
    Origin(#[from] OriginError),
}

/// What was found, with what is to be shown beside it.
struct Found<'f> {
    domain: &'f str,
    database: Database<'f>,
    report: &'f Report,
    advice: Vec<String>,
    probed_front: bool,
    took: Duration,
}

/// Looks, and says what it found.
///
/// The findings go to `out`, errors go to `remarks`.
pub fn run(args: &OriginArgs, output: OutputArgs, out: &mut impl Write, remarks: &mut impl Write) -> Exit {
    let clock = Clock::start();
    let began = clock.now();
    let printed = with_database(args.db.as_deref(), |database| {
        let report = look(args, database)?;
        let advice = advice_for(args, database, &report);
        let took = clock.now().saturating_since(began);
        let (domain, probed_front) = (args.domain.as_str(), args.probe_front);
        let found = Found { domain, database, report: &report, advice, probed_front, took };
        Ok((exit_of(&report), print(&found, output, out)))
    });
    let (exit, printed) = match printed {
        Ok(printed) => printed,
        Err(failure) => (Exit::Failed, print_failure(&failure, output, out, remarks)),
    };
    exit.once_printed(printed, "what was found", remarks)
}

/// A script goes on only where nothing gives the site away.
fn exit_of(report: &Report) -> Exit {
    let is_safe = report.count(Verdict::Exposed) == 0 && report.count(Verdict::Unclear) == 0;
    if is_safe { Exit::Done } else { Exit::Failed }
}

/// The facts of a folder, or those that are compiled in.
fn with_database<T>(
    folder: Option<&Path>,
    work: impl FnOnce(Database<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let Some(folder) = folder else { return work(EMBEDDED) };
    let texts = texts_of(folder)?;
    let tables = Tables::build(&texts)?;
    work(tables.view())
}

fn look(args: &OriginArgs, database: Database<'_>) -> Result<Report, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let patience = std::time::Duration::from_nanos(args.timeout.as_nanos());
    runtime.block_on(async {
        let dns = Dns::new(args.resolver, patience).map_err(Failure::NoResolver)?;
        let tls = Tls::new(&[]);
        let contact = Contact { https_port: args.https_port, http_port: args.http_port, patience, tls };
        let owned = Owned::new(args.owned.clone());
        let question = Question {
            domain: &args.domain,
            owned: &owned,
            probes_front: args.probe_front,
            registry: args.rdap.as_ref(),
            contact: &contact,
            dns: &dns,
        };
        Ok(check(&question, database).await?)
    })
}

fn advice_for(args: &OriginArgs, database: Database<'_>, report: &Report) -> Vec<String> {
    if report.count(Verdict::Exposed) == 0 {
        return Vec::new();
    }
    let in_front = report.in_front.iter().filter_map(|id| provider(&database, *id));
    let in_front: Vec<InFront<'_>> =
        in_front.map(|provider| InFront { key: provider.key, name: provider.name }).collect();
    advice(&in_front, &report.exposed_names(&args.domain))
}

fn print(found: &Found<'_>, output: OutputArgs, out: &mut impl Write) -> io::Result<()> {
    if output.json {
        for row in &found.report.rows {
            writeln!(out, "{}", row_json(row))?;
        }
        writeln!(out, "{}", summary_json(found))?;
    } else if !output.quiet {
        write!(out, "{}", text::of(found, output.verbose > 0))?;
    }
    out.flush()
}

fn print_failure(
    failure: &Failure,
    output: OutputArgs,
    out: &mut impl Write,
    remarks: &mut impl Write,
) -> io::Result<()> {
    writeln!(remarks, "wirehaul: {failure}")?;
    if output.json {
        let exit_code = Exit::Failed.code();
        let summary = json!({
            "type": "summary", "command": "origin", "error": failure.to_string(), "exit_code": exit_code,
        });
        writeln!(out, "{summary}")?;
    }
    out.flush()
}

// --- JSON ---

fn row_json(row: &Row) -> Value {
    let from: Vec<String> = row.sources.iter().map(ToString::to_string).collect();
    let (place, ip) = match row.place {
        Place::Address(ip) => (ip.to_string(), Some(ip.to_string())),
        Place::Prefix(prefix) => (prefix.to_string(), None),
    };
    let host = row.sources.iter().find_map(|source| source.host());
    json!({
        "candidate": host.map_or(place, str::to_owned),
        "from": from,
        "ip": ip,
        "owned": row.is_owned,
        "tried": row.was_tried,
        "verdict": row.finding.verdict.name(),
        "evidence": row.finding.evidence,
    })
}

fn summary_json(found: &Found<'_>) -> Value {
    let report = found.report;
    let addresses: Vec<String> = report.addresses.iter().map(ToString::to_string).collect();
    let in_front: Vec<&str> =
        report.in_front.iter().filter_map(|id| provider(&found.database, *id)).map(|provider| provider.key).collect();
    json!({
        "type": "summary",
        "command": "origin",
        "domain": found.domain,
        "ips": addresses,
        "providers": in_front,
        "candidates": report.rows.len(),
        "contacted": report.rows.iter().filter(|row| row.was_tried).count(),
        "exposed": report.count(Verdict::Exposed),
        "unclear": report.count(Verdict::Unclear),
        "notes": report.notes,
        "advice": found.advice,
        "seconds": found.took.as_nanos() as f64 / 1e9,
        "exit_code": exit_of(report).code(),
    })
}
