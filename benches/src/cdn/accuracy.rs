//! How often `wirehaul cdn` is right: rows of `item<TAB>expected`, asked of the program itself.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;
use serde_json::Value;

use super::dataset::NAMED;

/// How many bins of posteriors there are.
const BINS: usize = 10;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum AccuracyError {
    /// A file cannot be read, or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A row without an expectation.
    #[error("{path}:{line}: expected `item<TAB>expected`")]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The program does not start, or ends before it should.
    #[error("cannot run the program: {0}")]
    Run(io::Error),
    /// What it printed is not what its documentation says.
    #[error("row {row} of the program's output is not what it should be: {text}")]
    Output {
        /// From 1.
        row: usize,
        /// What it was.
        text: String,
    },
}

/// One row of a file of expectations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// What is asked about.
    pub item: String,
    /// The provider's key; `None` for no edge.
    pub provider: Option<String>,
    /// What kind of row it is, as its third column says.
    pub group: String,
}

/// Reads a file of expectations: `item<TAB>provider`, with `-` for no edge, and if you like a third column that names a group.
///
/// # Errors
/// The file, or the line that is wrong.
pub fn read(path: &Path) -> Result<Vec<Expectation>, AccuracyError> {
    let text = fs::read_to_string(path).map_err(|source| AccuracyError::File { path: path.to_owned(), source })?;
    let rows = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    rows.map(|(at, line)| {
        let mut columns = line.split('\t').map(str::trim);
        let (item, expected) = match (columns.next(), columns.next()) {
            (Some(item), Some(expected)) if !item.is_empty() => (item, expected),
            _ => return Err(AccuracyError::Row { path: path.to_owned(), line: at + 1 }),
        };
        let is_none = matches!(expected.to_ascii_lowercase().as_str(), "" | "-" | "none" | "null" | "origin");
        Ok(Expectation {
            item: item.to_owned(),
            provider: (!is_none).then(|| expected.to_owned()),
            group: columns.next().unwrap_or(if is_none { "no edge" } else { "edge" }).to_owned(),
        })
    })
    .collect()
}

/// How one provider came out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    /// Edges of it that were asked about.
    pub edges: u64,
    /// Of those, how many were not named as it.
    pub missed: u64,
    /// Others that were named as it.
    pub false_alarms: u64,
}

impl Tally {
    /// Missed of its edges, in percent.
    pub fn false_negative_pct(&self) -> f64 {
        percent(self.missed, self.edges)
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// Rows whose posterior is about the same.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Bin {
    /// How many.
    pub rows: u64,
    /// How many of them are edges, of the provider that was named if one was.
    pub edges: u64,
    /// The sum of their posteriors.
    sum: f64,
}

impl Bin {
    /// What they promise.
    pub fn mean(&self) -> f64 {
        self.sum / self.rows.max(1) as f64
    }

    /// What came of it.
    pub fn share(&self) -> f64 {
        self.edges as f64 / self.rows.max(1) as f64
    }
}

/// What came out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Accuracy {
    /// What was probed: `none`, `dns`, `http`, `tls`, `all`.
    pub tier: String,
    /// Each provider that was expected or named.
    pub providers: BTreeMap<String, Tally>,
    /// The same for the older rule.
    pub seed_rule: BTreeMap<String, Tally>,
    /// Rows that are no edges, by group: how many, and how many were named.
    pub groups: BTreeMap<String, (u64, u64)>,
    /// By tenths of the posterior.
    pub bins: Vec<Bin>,
    /// Rows that the program could do nothing with.
    pub errors: u64,
}

impl Accuracy {
    /// Missed of the edges of the six providers that the requirement names, in percent.
    pub fn named_false_negative_pct(&self) -> f64 {
        false_negatives(&self.providers)
    }

    /// The same by the older rule.
    pub fn seed_false_negative_pct(&self) -> f64 {
        false_negatives(&self.seed_rule)
    }

    /// Of what is no edge, how much was named, in percent; `any` leaves out what nobody would take for one.
    pub fn false_positive_pct(&self) -> f64 {
        let hard = self.groups.iter().filter(|(group, _)| group.as_str() != "any");
        let (rows, named) = hard.fold((0, 0), |(rows, named), (_, group)| (rows + group.0, named + group.1));
        percent(named, rows)
    }
}

fn false_negatives(providers: &BTreeMap<String, Tally>) -> f64 {
    let of_named = providers.iter().filter(|(key, _)| NAMED.contains(&key.as_str()));
    let (missed, edges) =
        of_named.fold((0, 0), |(missed, edges), (_, tally)| (missed + tally.missed, edges + tally.edges));
    percent(missed, edges)
}

/// Asks the program about all of them, with these further arguments.
///
/// # Errors
/// The program cannot be run, or says something else than it should.
pub fn ask(
    wirehaul: &Path,
    expectations: &[Expectation],
    tier: &str,
    arguments: &[String],
) -> Result<Accuracy, AccuracyError> {
    let input = tempfile::NamedTempFile::new().map_err(AccuracyError::Run)?;
    let items: String = expectations.iter().flat_map(|row| [row.item.as_str(), "\n"]).collect();
    fs::write(input.path(), items).map_err(|source| AccuracyError::File { path: input.path().to_owned(), source })?;
    let output = Command::new(wirehaul)
        .args(["cdn", "--json", "--probe", tier, "-f"])
        .arg(input.path())
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(AccuracyError::Run)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut rows = text.lines();
    let mut found = Accuracy { tier: tier.to_owned(), bins: vec![Bin::default(); BINS], ..Accuracy::default() };
    for (at, expectation) in expectations.iter().enumerate() {
        let line = rows.next().unwrap_or("nothing");
        let wrong = || AccuracyError::Output { row: at + 1, text: line.to_owned() };
        let row: Value = serde_json::from_str(line).map_err(|_| wrong())?;
        if row["input"] != expectation.item.as_str() {
            return Err(wrong());
        }
        found.count(expectation, &row);
    }
    Ok(found)
}

impl Accuracy {
    fn count(&mut self, expectation: &Expectation, row: &Value) {
        if row.get("error").is_some_and(|error| !error.is_null()) {
            self.errors += 1;
        }
        let expected = expectation.provider.as_deref();
        let named = row["provider"].as_str();
        tally(&mut self.providers, expected, named);
        tally(&mut self.seed_rule, expected, row["seed_verdict"].as_str());
        if expected.is_none() {
            let group = self.groups.entry(expectation.group.clone()).or_default();
            group.0 += 1;
            group.1 += u64::from(named.is_some());
        }
        let Some(posterior) = row["posterior"].as_f64() else { return };
        let place = ((posterior * BINS as f64) as usize).min(BINS - 1);
        let bin = &mut self.bins[place];
        bin.rows += 1;
        bin.sum += posterior;
        bin.edges += u64::from(expected.is_some() && (named.is_none() || named == expected));
    }
}

fn tally(tallies: &mut BTreeMap<String, Tally>, expected: Option<&str>, named: Option<&str>) {
    if let Some(expected) = expected {
        let own = tallies.entry(expected.to_owned()).or_default();
        own.edges += 1;
        own.missed += u64::from(named != Some(expected));
    }
    if let Some(named) = named
        && expected != Some(named)
    {
        tallies.entry(named.to_owned()).or_default().false_alarms += 1;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expectations_are_read_with_every_word_for_nobody() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "# c\n1.2.3.4\tfastly\n1.2.3.5\t-\tvm\n1.2.3.6\torigin\n\n").unwrap();
        let rows = read(file.path()).unwrap();
        let providers: Vec<_> = rows.iter().map(|row| row.provider.as_deref()).collect();
        assert_eq!(providers, [Some("fastly"), None, None]);
        assert_eq!(rows[1].group, "vm");
        fs::write(file.path(), "1.2.3.4\tfastly\n1.2.3.5\n").unwrap();
        assert!(matches!(read(file.path()), Err(AccuracyError::Row { line: 2, .. })));
    }

    #[test]
    fn misses_false_alarms_and_bins_are_counted() {
        let expect = |provider: Option<&str>| Expectation {
            item: "x".to_owned(),
            provider: provider.map(str::to_owned),
            group: "vm".to_owned(),
        };
        let row = |provider: Option<&str>, posterior: f64| json!({ "provider": provider, "posterior": posterior, "seed_verdict": null });
        let mut found = Accuracy { bins: vec![Bin::default(); BINS], ..Accuracy::default() };
        found.count(&expect(Some("fastly")), &row(Some("fastly"), 0.99));
        found.count(&expect(Some("fastly")), &row(None, 0.2));
        found.count(&expect(Some("akamai")), &row(Some("fastly"), 0.95));
        found.count(&expect(None), &row(Some("akamai"), 0.6));
        found.count(&expect(None), &row(None, 0.01));
        let fastly = &found.providers["fastly"];
        assert_eq!((fastly.edges, fastly.missed, fastly.false_alarms), (2, 1, 1));
        assert_eq!((found.providers["akamai"].missed, found.providers["akamai"].false_alarms), (1, 1));
        assert_eq!(found.groups["vm"], (2, 1));
        assert!((found.false_positive_pct() - 50.0).abs() < 1e-9);
        assert!((found.named_false_negative_pct() - 200.0 / 3.0).abs() < 1e-9);
        let bins: Vec<_> = found.bins.iter().map(|bin| (bin.rows, bin.edges)).collect();
        assert_eq!((bins[0], bins[2], bins[6], bins[9]), ((1, 0), (1, 1), (1, 0), (2, 1)));
    }
}
