//! What `wirehaul origin` found, for people.

use std::fmt::Write as _;

use wirehaul_core::cdn::Database;

use super::Found;
use crate::cdn::origin::verdict::Verdict;
use crate::cdn::origin::{Place, Row, provider};

/// Candidates that were not contacted and are listed all the same, without `-v`.
const MOST_ELSEWHERE: usize = 20;

/// Sources of a candidate that are shown, without `-v`.
const MOST_SOURCES: usize = 3;

/// All of it, as lines.
pub fn of(found: &Found<'_>, is_verbose: bool) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_all(&mut text, found, is_verbose);
    text
}

fn write_all(text: &mut String, found: &Found<'_>, is_verbose: bool) -> std::fmt::Result {
    writeln!(text, "{}", headline(found))?;
    let (elsewhere, asked): (Vec<&Row>, Vec<&Row>) = found.report.rows.iter().partition(|row| !row.was_tried);
    for row in asked {
        writeln!(text, "\n{:<12} {}  ({})", row.finding.verdict.name(), place(row), sources(row, is_verbose))?;
        row.finding.evidence.iter().try_for_each(|line| writeln!(text, "  {line}"))?;
    }
    if !elsewhere.is_empty() {
        writeln!(text, "\nnot contacted:")?;
        let shown = if is_verbose { elsewhere.len() } else { MOST_ELSEWHERE };
        let width = elsewhere.iter().take(shown).map(|row| place(row).len()).max().unwrap_or_default();
        for row in elsewhere.iter().take(shown) {
            let why = row.finding.evidence.join("; ");
            let why = why.strip_suffix(": not contacted").unwrap_or(&why);
            writeln!(text, "  {:<width$}  {why}  ({})", place(row), sources(row, is_verbose))?;
        }
        if elsewhere.len() > shown {
            writeln!(text, "  and {} more; -v shows all", elsewhere.len() - shown)?;
        }
    }
    for note in &found.report.notes {
        writeln!(text, "note: {note}")?;
    }
    writeln!(text, "\n{}", conclusion(found))?;
    for (number, advice) in (1..).zip(&found.advice) {
        writeln!(text, "  {number}. {advice}")?;
    }
    Ok(())
}

fn headline(found: &Found<'_>) -> String {
    let addresses: Vec<String> = found.report.addresses.iter().map(ToString::to_string).collect();
    let addresses = if addresses.is_empty() { "no address".to_owned() } else { addresses.join(", ") };
    let in_front = names_of(found.database, found);
    let in_front = if in_front.is_empty() { "no CDN that is known here".to_owned() } else { in_front.join(", ") };
    format!("{}: {in_front} in front, at {addresses}", found.domain)
}

fn names_of<'d>(database: Database<'d>, found: &Found<'_>) -> Vec<&'d str> {
    found.report.in_front.iter().filter_map(|id| provider(&database, *id)).map(|provider| provider.name).collect()
}

fn place(row: &Row) -> String {
    match row.place {
        Place::Address(ip) => ip.to_string(),
        Place::Prefix(prefix) => prefix.to_string(),
    }
}

fn sources(row: &Row, is_verbose: bool) -> String {
    let shown = if is_verbose { row.sources.len() } else { MOST_SOURCES };
    let mut words: Vec<String> = row.sources.iter().take(shown).map(ToString::to_string).collect();
    if row.sources.len() > shown {
        words.push(format!("{} more", row.sources.len() - shown));
    }
    words.join(", ")
}

fn conclusion(found: &Found<'_>) -> String {
    let report = found.report;
    let tried = report.rows.iter().filter(|row| row.was_tried).count();
    let (exposed, unclear) = (report.count(Verdict::Exposed), report.count(Verdict::Unclear));
    let addresses = |count| if count == 1 { "1 address".to_owned() } else { format!("{count} addresses") };
    match (tried, exposed, unclear) {
        (0, ..) => {
            "nothing that was found is inside --owned, so that nothing was contacted; name the origin's own address \
                    there to try it"
                .to_owned()
        }
        (_, 0, 0) => format!("not exposed: {} contacted, and none gives the site away", addresses(tried)),
        (_, 0, unclear) => format!(
            "unclear: {} contacted, and {unclear} may give the site away{}",
            addresses(tried),
            if found.probed_front { "" } else { "; --probe-front compares with what the CDN answers" }
        ),
        (_, exposed, _) => {
            format!("EXPOSED: {exposed} of {} contacted answer for {} past the CDN", addresses(tried), found.domain)
        }
    }
}
