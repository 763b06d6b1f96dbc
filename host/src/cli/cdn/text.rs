//! Rows for people: columns that are aligned as far as they can be before the last row is known.

use std::fmt::Display;
use std::net::IpAddr;

use wirehaul_core::cdn::{Database, Probability, ProviderId, Signal};

use crate::cdn::detection::{Detection, Evidence, Found};
use crate::cdn::rows::{Hole, Place, Render, Row, Sink};

const INPUT_WIDTH: usize = 26;
const PROVIDER_WIDTH: usize = 22;
const KIND_WIDTH: usize = 6;
const POSTERIOR_WIDTH: usize = 8;
const ASN_WIDTH: usize = 12;

const SIGNAL_WIDTH: usize = 8;
const VALUE_WIDTH: usize = 34;
const SAYS_WIDTH: usize = 24;
const DATE_WIDTH: usize = 12;

/// Rows for people.
pub struct Text<'d> {
    /// The names of providers.
    pub database: Database<'d>,
    /// From which posterior on a provider is named.
    pub threshold: Probability,
    /// Whether all evidence is shown.
    pub explains: bool,
}

impl Render for Text<'_> {
    fn row(&self, row: &Row<'_, '_>, out: &mut Sink) {
        let (detection, verdict) = (row.detection, row.detection.verdict);
        match row.place {
            Place::Ip(Some(ip)) if is_offline_address(row, ip) => out.hole(Hole::Ip, ip, INPUT_WIDTH),
            Place::Ip(_) => out.padded(row.input, INPUT_WIDTH),
            Place::Part(prefix) => out.padded(prefix, INPUT_WIDTH),
        }
        out.raw(b" ");
        let provider = verdict.provider(self.threshold).and_then(|id| self.database.provider(id));
        out.padded(provider.map_or("-", |provider| provider.name), PROVIDER_WIDTH);
        out.padded(provider.map_or("-", |provider| provider.kind.name()), KIND_WIDTH);
        let ppm = verdict.posterior.ppm();
        out.padded(format_args!("0.{:04}", ppm / 100), POSTERIOR_WIDTH);
        match detection.asn {
            Some(asn) => out.hole(Hole::AsnName, format_args!("AS{asn}"), ASN_WIDTH),
            None => out.padded("-", ASN_WIDTH),
        }
        self.because(detection, out);
        if let Place::Ip(Some(ip)) = row.place
            && !is_offline_address(row, ip)
        {
            let others = detection.ips.len().saturating_sub(1);
            out.text(format_args!("  {ip}"));
            if others > 0 {
                out.text(format_args!(" and {others} more"));
            }
        }
        if let Place::Ip(None) = row.place {
            out.text(format_args!("  no address: {}", why_no_address(detection)));
        }
        out.raw(b"\n");
        if self.explains {
            self.explain(detection, out);
        }
    }

    fn has_moulds(&self) -> bool {
        !self.explains
    }

    fn error(&self, input: &str, error: &dyn Display, out: &mut Sink) {
        out.padded(input.escape_debug(), INPUT_WIDTH);
        out.text(format_args!(" error: {error}\n"));
    }
}

/// Whether the row is about an address that stands for itself or is one of a prefix: then it is not said twice.
fn is_offline_address(row: &Row<'_, '_>, ip: IpAddr) -> bool {
    let is_prefix = || row.input.contains('/') && !row.input.contains("://");
    row.input.is_empty() || is_prefix() || row.input.parse() == Ok(ip)
}

/// What names say, or that nobody was asked.
fn why_no_address(detection: &Detection<'_>) -> &'static str {
    let not_tried = detection.evidence.iter().find_map(|evidence| match evidence.found {
        Found::NotTried(why) if evidence.signal.name() == Signal::Cname.name() => Some(why.reason()),
        _ => None,
    });
    not_tried.unwrap_or("there is none of this name")
}

impl<'d> Text<'d> {
    fn key(&self, id: Option<ProviderId>) -> &'d str {
        id.and_then(|id| self.database.provider(id)).map_or("all", |provider| provider.key)
    }

    /// The signals that speak for whoever is likeliest.
    fn because(&self, detection: &Detection<'_>, out: &mut Sink) {
        let mut last = None;
        for evidence in &detection.evidence {
            let Found::Fact { provider, weight, .. } = evidence.found else { continue };
            let name = evidence.signal.name();
            let speaks = provider == detection.verdict.likeliest && weight.0 > 0;
            if speaks && provider.is_some() && last != Some(name) {
                out.raw(if last.is_some() { b"+" } else { b"" });
                out.text(name);
                last = Some(name);
            }
        }
        if last.is_none() {
            out.raw(b"-");
        }
    }

    fn explain(&self, detection: &Detection<'_>, out: &mut Sink) {
        line(out, "signal", "value", "says", "date", "source");
        for evidence in &detection.evidence {
            self.evidence(evidence, out);
        }
        let verdict = detection.verdict;
        let named = verdict.seed_provider.map_or("nobody", |id| self.key(Some(id)));
        let tenths = verdict.seed_tenths;
        out.text(format_args!("    seed score {}.{}, which names {named}", tenths / 10, tenths % 10));
        if let Some(id) = verdict.likeliest
            && verdict.provider(self.threshold).is_none()
        {
            let (key, threshold) = (self.key(Some(id)), self.threshold);
            out.text(format_args!("; {key} is likeliest, below the threshold of {threshold}"));
        }
        out.raw(b"\n");
    }

    fn evidence(&self, evidence: &Evidence<'_>, out: &mut Sink) {
        let signal = evidence.signal.name();
        let value = evidence.value.escape_debug().to_string();
        match evidence.found {
            Found::NotTried(why) => line(out, signal, "-", &format!("not tried: {}", why.reason()), "", ""),
            Found::Nothing if value.is_empty() => line(out, signal, "-", "no match", "", ""),
            Found::Nothing => line(out, signal, &value, "nothing", "", ""),
            Found::Fact { provider, weight, provenance } => {
                let date = provenance.date.map_or_else(|| "-".to_owned(), |date| date.to_string());
                let source = if provenance.source.is_empty() { "-" } else { provenance.source };
                line(out, signal, &value, &format!("{weight} {}", self.key(provider)), &date, source);
            }
        }
    }
}

fn line(out: &mut Sink, signal: &str, value: &str, says: &str, date: &str, source: &str) {
    let columns = [(signal, SIGNAL_WIDTH), (value, VALUE_WIDTH), (says, SAYS_WIDTH), (date, DATE_WIDTH), (source, 0)];
    let start = out.bytes.len();
    out.raw(b"    ");
    for (text, width) in columns {
        out.padded(text, width);
        if width > 0 {
            out.raw(b" ");
        }
    }
    let end = out.bytes.get(start..).unwrap_or_default().trim_ascii_end().len();
    out.bytes.truncate(start + end);
    out.raw(b"\n");
}
