//! What is drawn: samples of a run just made, or of the lines that `run --json --sample` wrote.

use serde_json::Value;

use crate::lines::LineError;
use crate::metrics::Figures;

/// Goodput is a mean over at least this share of the run: over less, single packets would show.
const GOODPUT_WINDOWS: usize = 200;

/// A run as it is drawn.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What the page is called.
    pub title: String,
    /// The figures of the run in one line.
    pub summary: String,
    /// How long the run took, in virtual seconds; zero where that was not recorded.
    pub virtual_s: f64,
    /// The flows.
    pub tracks: Vec<Track>,
}

/// One flow.
#[derive(Clone, Debug)]
pub struct Track {
    /// Its name.
    pub name: String,
    /// Its congestion controller.
    pub cc: String,
    /// How it stood, in the order of time.
    pub points: Vec<Point>,
}

/// How a flow stood at one time.
#[derive(Clone, Debug, Default)]
pub struct Point {
    /// Seconds from the start of the run.
    pub t_s: f64,
    /// What had arrived.
    pub delivered_bytes: f64,
    /// The rate at which it arrived lately.
    pub goodput_bps: Option<f64>,
    /// The pacer's rate.
    pub pacing_bps: Option<f64>,
    /// The rate that the controller takes to be safe.
    pub bw_bps: Option<f64>,
    /// Smoothed round-trip time.
    pub srtt_s: Option<f64>,
    /// The round-trip time without queues, as the controller has it.
    pub min_rtt_s: Option<f64>,
    /// Congestion window.
    pub cwnd_bytes: f64,
    /// In flight.
    pub inflight_bytes: f64,
    /// The controller's long-term bound on it.
    pub inflight_longterm_bytes: Option<f64>,
    /// Waiting on the way there.
    pub queue_bytes: f64,
    /// What the controller is doing.
    pub state: String,
}

impl Recording {
    /// The recording in the JSON lines of a run.
    ///
    /// # Errors
    /// [`LineError`] where a line is not what such a run writes, or where there are no samples.
    pub fn read(title: &str, lines: &str) -> Result<Self, LineError> {
        let mut parsed = Vec::new();
        for (line, text) in (1..).zip(lines.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            match serde_json::from_str(text) {
                Ok(Value::Object(figures)) => parsed.push((line, figures)),
                _ => return Err(wrong(line, "not a JSON object")),
            }
        }
        Self::from_figures(title, &parsed)
    }

    /// The recording in figures that have the shape of such lines, each with the number of its line.
    ///
    /// # Errors
    /// As [`Recording::read`].
    pub fn from_figures(title: &str, lines: &[(usize, Figures)]) -> Result<Self, LineError> {
        let mut recording =
            Self { title: title.to_owned(), summary: String::new(), virtual_s: 0.0, tracks: Vec::new() };
        for (line, figures) in lines {
            match figures.get("type").and_then(Value::as_str) {
                Some("sample") => {
                    recording.add(figures).ok_or_else(|| wrong(*line, "a sample without `flow` and `t_s`"))?
                }
                Some("summary") => {
                    recording.summary = summary(figures);
                    recording.virtual_s = figures.get("virtual_s").and_then(Value::as_f64).unwrap_or(0.0);
                }
                Some("flow") => recording.name_controller(figures),
                _ => {}
            }
        }
        if recording.tracks.is_empty() {
            return Err(wrong(1, "no samples: record them with `wirehaul-sim run --json --sample 10ms`"));
        }
        recording.tracks.iter_mut().for_each(Track::find_goodput);
        Ok(recording)
    }

    fn add(&mut self, figures: &Figures) -> Option<()> {
        let name = figures.get("flow").and_then(Value::as_str)?;
        let point = Point::read(figures)?;
        let known = self.tracks.iter().position(|track| track.name == name);
        let index = known.unwrap_or_else(|| {
            self.tracks.push(Track { name: name.to_owned(), cc: String::new(), points: Vec::new() });
            self.tracks.len() - 1
        });
        self.tracks.get_mut(index)?.points.push(point);
        Some(())
    }

    fn name_controller(&mut self, figures: &Figures) {
        let text = |name| figures.get(name).and_then(Value::as_str);
        let (Some(name), Some(cc)) = (text("name"), text("cc")) else { return };
        if let Some(track) = self.tracks.iter_mut().find(|track| track.name == name) {
            cc.clone_into(&mut track.cc);
        }
    }

    /// When the run ended, or the last sample was taken.
    #[must_use]
    pub fn end_s(&self) -> f64 {
        let last = self.tracks.iter().filter_map(|track| track.points.last()).map(|point| point.t_s);
        last.fold(self.virtual_s.max(1e-9), f64::max)
    }

    /// The states that any controller was in, in the order of their first appearance.
    #[must_use]
    pub fn states(&self) -> Vec<&str> {
        let mut states: Vec<&str> = Vec::new();
        for point in self.tracks.iter().flat_map(|track| &track.points) {
            if !states.contains(&point.state.as_str()) {
                states.push(&point.state);
            }
        }
        states
    }
}

impl Track {
    /// Its name, and its controller where that is known.
    #[must_use]
    pub fn label(&self) -> String {
        if self.cc.is_empty() { self.name.clone() } else { format!("{} ({})", self.name, self.cc) }
    }

    fn find_goodput(&mut self) {
        let window = (self.points.len() / GOODPUT_WINDOWS).max(1);
        for index in window..self.points.len() {
            let (now, before) = (&self.points[index], &self.points[index - window]);
            let span = now.t_s - before.t_s;
            let bits = (now.delivered_bytes - before.delivered_bytes) * 8.0;
            self.points[index].goodput_bps = (span > 0.0).then_some(bits / span);
        }
    }

    /// The states that its controller was in: which, from when, and until when.
    #[must_use]
    pub fn spells(&self) -> Vec<(&str, f64, f64)> {
        let mut spells: Vec<(&str, f64, f64)> = Vec::new();
        for point in &self.points {
            match spells.last_mut() {
                Some((state, _, to)) if *state == point.state => *to = point.t_s,
                Some((_, _, to)) => {
                    *to = point.t_s;
                    spells.push((&point.state, point.t_s, point.t_s));
                }
                None => spells.push((&point.state, point.t_s, point.t_s)),
            }
        }
        spells
    }
}

impl Point {
    fn read(figures: &Figures) -> Option<Self> {
        let number = |name: &str| figures.get(name).and_then(Value::as_f64);
        let micros = |name: &str| number(name).map(|micros| micros / 1e6);
        Some(Self {
            t_s: number("t_s")?,
            delivered_bytes: number("delivered_bytes").unwrap_or(0.0),
            goodput_bps: None,
            pacing_bps: number("pacing_bps"),
            bw_bps: number("bw_bps"),
            srtt_s: micros("srtt_us"),
            min_rtt_s: micros("min_rtt_us"),
            cwnd_bytes: number("cwnd_bytes").unwrap_or(0.0),
            inflight_bytes: number("inflight_bytes").unwrap_or(0.0),
            inflight_longterm_bytes: number("inflight_longterm_bytes"),
            queue_bytes: number("queue_bytes").unwrap_or(0.0),
            state: figures.get("state").and_then(Value::as_str).unwrap_or_default().to_owned(),
        })
    }
}

fn summary(figures: &Figures) -> String {
    let number = |name: &str| figures.get(name).and_then(Value::as_f64);
    let mut parts = Vec::new();
    if let Some(used) = number("utilisation") {
        parts.push(format!("utilisation {:.1} %", used * 100.0));
    }
    if let Some(jain) = number("jain") {
        parts.push(format!("Jain's index {jain:.3}"));
    }
    if let Some(violations) = number("violations") {
        parts.push(format!("{violations:.0} violations"));
    }
    if let Some(seed) = figures.get("seed").and_then(Value::as_u64) {
        parts.push(format!("seed {seed}"));
    }
    if let Some(hash) = figures.get("trace_hash").and_then(Value::as_str) {
        parts.push(format!("trace hash {hash}"));
    }
    parts.join(" · ")
}

fn wrong(line: usize, reason: &str) -> LineError {
    LineError { line, reason: reason.to_owned() }
}
