//! What a scenario file says its figures must be, and whether they are.

use serde_json::Value;

use super::{
    FlowSpec, ScenarioError, Source,
    schema::{ExpectTable, Figures as FigureTable},
};
use crate::metrics::{Figures, Report};

/// The figures of a flow that are numbers.
pub const FLOW_FIGURES: &[&str] = &[
    "goodput_bps",
    "delivered_bytes",
    "sent_packets",
    "retransmitted_pct",
    "srtt_mean_us",
    "rtt_p99_us",
    "queue_mean_bytes",
    "pacing_error_pct",
    "fct_s",
];
/// The figures of a run that are numbers.
pub const RUN_FIGURES: &[&str] = &["virtual_s", "wall_s", "jain", "utilisation", "violations"];

/// A bound on a figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Whose.
    pub subject: Subject,
    /// The figure.
    pub figure: String,
    /// It must be at least this.
    pub min: Option<f64>,
    /// It must be at most this.
    pub max: Option<f64>,
}

/// Whose figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The run's.
    Run,
    /// Every flow's.
    EachFlow,
    /// That of the flows of one table, or of one of them.
    Flow(String),
}

/// How an expectation turned out.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The flow; `None` for the run.
    pub flow: Option<String>,
    /// The figure.
    pub figure: String,
    /// The bounds.
    pub bounds: (Option<f64>, Option<f64>),
    /// What the figure is; `None` where there is none.
    pub value: Option<f64>,
}

impl Verdict {
    /// Whether the figure is within its bounds. What is not there is not.
    #[must_use]
    pub fn is_met(&self) -> bool {
        let (min, max) = self.bounds;
        self.value.is_some_and(|value| min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max))
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.flow {
            Some(flow) => write!(out, "flow {flow}: {}", self.figure)?,
            None => write!(out, "run: {}", self.figure)?,
        }
        match self.value {
            Some(value) => write!(out, " is {value}")?,
            None => write!(out, " is not there")?,
        }
        match self.bounds {
            (Some(min), Some(max)) => write!(out, ", expected {min} to {max}"),
            (Some(min), None) => write!(out, ", expected at least {min}"),
            (None, Some(max)) => write!(out, ", expected at most {max}"),
            (None, None) => Ok(()),
        }
    }
}

/// Reads `[expect]`.
///
/// # Errors
/// [`ScenarioError`] for a figure or a flow that there is not, and for bounds that nothing can meet.
pub fn read(source: &Source, table: &ExpectTable, flows: &[FlowSpec]) -> Result<Vec<Expectation>, ScenarioError> {
    let mut found = bounds(source, &Subject::Run, &table.run, RUN_FIGURES)?;
    found.extend(bounds(source, &Subject::EachFlow, &table.each_flow, FLOW_FIGURES)?);
    for (name, figures) in &table.flow {
        if !flows.iter().any(|flow| flow.name == *name.get_ref() || flow.table == *name.get_ref()) {
            return Err(source.error(name.span(), format_args!("there is no flow `{name}`")));
        }
        found.extend(bounds(source, &Subject::Flow(name.get_ref().clone()), figures, FLOW_FIGURES)?);
    }
    Ok(found)
}

fn bounds(
    source: &Source,
    subject: &Subject,
    table: &FigureTable,
    known: &[&str],
) -> Result<Vec<Expectation>, ScenarioError> {
    let read = |(name, spanned): (&toml::Spanned<String>, &toml::Spanned<super::schema::BoundsTable>)| {
        if !known.contains(&name.get_ref().as_str()) {
            let reason = format!("there is no figure `{name}` here: use one of {}", known.join(", "));
            return Err(source.error(name.span(), reason));
        }
        let (min, max) = (spanned.get_ref().min, spanned.get_ref().max);
        match (min, max) {
            (None, None) => Err(source.error(spanned.span(), "expected min or max")),
            (min, max) if min.is_some_and(f64::is_nan) || max.is_some_and(f64::is_nan) => {
                Err(source.error(spanned.span(), "`nan` bounds nothing"))
            }
            (Some(min), Some(max)) if min > max => Err(source.error(spanned.span(), "min is above max")),
            _ => Ok(Expectation { subject: subject.clone(), figure: name.get_ref().clone(), min, max }),
        }
    };
    table.iter().map(read).collect()
}

/// Holds a report against what is expected; `run` are the figures of the run as they are written.
#[must_use]
pub fn judge(expectations: &[Expectation], report: &Report, run: &Figures) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for expected in expectations {
        let verdict = |flow: Option<&str>, figures: &Figures| Verdict {
            flow: flow.map(str::to_owned),
            figure: expected.figure.clone(),
            bounds: (expected.min, expected.max),
            value: figures.get(&expected.figure).and_then(Value::as_f64),
        };
        if expected.subject == Subject::Run {
            verdicts.push(verdict(None, run));
            continue;
        }
        let meant = |name: &str, table: &str| match &expected.subject {
            Subject::Flow(wanted) => wanted == name || wanted == table,
            Subject::EachFlow => true,
            Subject::Run => false,
        };
        let flows = report.flows.iter().filter(|flow| meant(&flow.name, &flow.table));
        verdicts.extend(flows.map(|flow| verdict(Some(&flow.name), &flow.figures())));
    }
    verdicts
}
