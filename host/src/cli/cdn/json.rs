//! Rows as JSON lines.

use std::fmt::Display;

use wirehaul_core::cdn::{CentiNats, Database, Probability, Provenance, ProviderId};
use wirehaul_core::time::Duration;

use crate::cdn::detection::{Evidence, Found};
use crate::cdn::rows::{Hole, Place, Render, Row, Sink};

/// Rows as JSON lines.
pub struct Json<'d> {
    /// The names of providers.
    pub database: Database<'d>,
    /// From which posterior on a provider is named.
    pub threshold: Probability,
}

impl Render for Json<'_> {
    fn row(&self, row: &Row<'_, '_>, out: &mut Sink) {
        let (detection, verdict) = (row.detection, row.detection.verdict);
        out.raw(b"{\"input\":\"");
        out.hole(Hole::Input, escaped(row.input), 0);
        out.raw(b"\",\"ip\":");
        match row.place {
            Place::Ip(None) => out.raw(b"null"),
            Place::Ip(Some(ip)) => quoted(out, |out| out.hole(Hole::Ip, ip, 0)),
            Place::Part(prefix) => quoted(out, |out| out.text(prefix)),
        }
        if detection.ips.len() > 1 {
            out.raw(b",\"ips\":");
            list(out, &detection.ips, |out, ip| quoted(out, |out| out.text(ip)));
        }
        let provider = verdict.provider(self.threshold).and_then(|id| self.database.provider(id));
        out.raw(b",\"provider\":");
        string_or_null(out, provider.map(|provider| provider.key));
        out.raw(b",\"provider_name\":");
        string_or_null(out, provider.map(|provider| provider.name));
        out.raw(b",\"kind\":");
        string_or_null(out, provider.map(|provider| provider.kind.name()));
        out.raw(b",\"posterior\":");
        out.text(verdict.posterior);
        out.raw(b",\"seed_score\":");
        out.text(format_args!("{}.{}", verdict.seed_tenths / 10, verdict.seed_tenths % 10));
        out.raw(b",\"seed_verdict\":");
        string_or_null(out, verdict.seed_provider.and_then(|id| self.key(id)));
        out.raw(b",\"asn\":");
        match detection.asn {
            Some(asn) => out.hole(Hole::Asn, asn, 0),
            None => out.raw(b"null"),
        }
        out.raw(b",\"evidence\":");
        list(out, &detection.evidence, |out, evidence| self.evidence(out, evidence));
        out.raw(b",\"ms\":");
        out.text(milliseconds(detection.took));
        out.raw(b"}\n");
    }

    fn error(&self, input: &str, error: &dyn Display, out: &mut Sink) {
        out.raw(b"{\"input\":");
        string(out, input);
        out.raw(b",\"error\":");
        string(out, &error.to_string());
        out.raw(b"}\n");
    }
}

impl<'d> Json<'d> {
    fn key(&self, id: ProviderId) -> Option<&'d str> {
        self.database.provider(id).map(|provider| provider.key)
    }

    fn evidence(&self, out: &mut Sink, evidence: &Evidence<'_>) {
        out.raw(b"{\"signal\":");
        string(out, evidence.signal.name());
        out.raw(b",\"value\":\"");
        match (&evidence.found, Hole::of_evidence(evidence)) {
            (_, Some(hole)) => out.hole(hole, escaped(&evidence.value), 0),
            (Found::NotTried(why), None) => out.text(format_args!("not tried: {}", why.reason())),
            (Found::Nothing, None) if evidence.value.is_empty() => out.raw(b"no match"),
            (Found::Nothing | Found::Fact { .. }, None) => out.text(escaped(&evidence.value)),
        }
        out.raw(b"\"");
        match evidence.found {
            Found::NotTried(_) | Found::Nothing => out.raw(b",\"source\":null,\"date\":null}"),
            Found::Fact { provider, weight, provenance } => {
                from(out, provenance);
                out.raw(b",\"provider\":");
                string_or_null(out, provider.and_then(|id| self.key(id)));
                out.raw(b",\"llr\":");
                out.text(nats(weight));
                out.raw(b"}");
            }
        }
    }
}

fn from(out: &mut Sink, provenance: Provenance<'_>) {
    out.raw(b",\"source\":");
    string_or_null(out, Some(provenance.source).filter(|source| !source.is_empty()));
    out.raw(b",\"date\":");
    match provenance.date {
        Some(date) => quoted(out, |out| out.text(date)),
        None => out.raw(b"null"),
    }
}

/// As a JSON number, which has no plus in front.
fn nats(weight: CentiNats) -> String {
    weight.to_string().trim_start_matches('+').to_owned()
}

/// Milliseconds, with three decimals.
pub fn milliseconds(time: Duration) -> impl Display {
    let micros = time.as_micros();
    format!("{}.{:03}", micros / 1_000, micros % 1_000)
}

fn quoted(out: &mut Sink, write: impl FnOnce(&mut Sink)) {
    out.raw(b"\"");
    write(out);
    out.raw(b"\"");
}

fn list<T>(out: &mut Sink, items: &[T], write: impl Fn(&mut Sink, &T)) {
    out.raw(b"[");
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.raw(b",");
        }
        write(out, item);
    }
    out.raw(b"]");
}

fn string(out: &mut Sink, text: &str) {
    quoted(out, |out| out.text(escaped(text)));
}

fn string_or_null(out: &mut Sink, text: Option<&str>) {
    match text {
        Some(text) => string(out, text),
        None => out.raw(b"null"),
    }
}

/// What stands between the quotes.
fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}
