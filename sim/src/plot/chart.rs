//! One panel: a title, two axes, lines over time, and what they mean.

use std::fmt::Write;

use super::{
    axis::{Quantity, tick_distance, tick_text},
    escape,
};

/// Where a panel's axes stand.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// The left end of the axis of time.
    pub x: f64,
    /// The top of the other axis.
    pub y: f64,
    /// Length of the axis of time.
    pub width: f64,
    /// Length of the other axis.
    pub height: f64,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The measurement that the panel is about.
    Solid,
    /// What the controller wants.
    Dashed,
    /// What the controller believes.
    Dotted,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it shows.
    pub name: &'static str,
    /// How it is drawn.
    pub style: Style,
    /// Its colour.
    pub colour: &'static str,
    /// Seconds, and the value there, if there is one.
    pub points: Vec<(f64, Option<f64>)>,
}

/// A panel.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Its title.
    pub title: &'static str,
    /// What its vertical axis shows.
    pub quantity: Quantity,
    /// Its lines; those in front come last.
    pub lines: Vec<Line>,
    /// Whether colours tell kinds of lines apart; else they tell flows apart.
    pub colours_in_legend: bool,
}

impl Style {
    /// Among several flows what controllers want and believe steps back behind what happens.
    fn attributes(self, alone: bool) -> String {
        let opacity = if alone { 0.85 } else { 0.4 };
        match self {
            Self::Solid => "stroke-width=\"1.8\"".to_owned(),
            Self::Dashed => format!("stroke-width=\"1.2\" stroke-dasharray=\"6 3\" opacity=\"{opacity}\""),
            Self::Dotted => format!("stroke-width=\"1.4\" stroke-dasharray=\"1.5 3\" opacity=\"{opacity}\""),
        }
    }
}

impl Chart {
    /// Draws the panel; the axis of time goes from zero to `end_s`.
    pub fn draw(&self, out: &mut String, frame: Frame, end_s: f64) {
        let most = self.most();
        let (unit, size) = self.quantity.unit(most);
        let distance = tick_distance(most / size, 5.0);
        let top = (most / size / distance).ceil().max(1.0) * distance;
        let Frame { x, y, width, height } = frame;
        let _ = writeln!(out, "<text x=\"{x}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>", y - 12.0, self.title);
        self.legend(out, frame);
        let mut tick = 0.0;
        while tick <= top + distance / 2.0 {
            let at = y + height - tick / top * height;
            let _ = writeln!(out, "<path d=\"M{x} {at:.1}H{:.1}\" stroke=\"#ddd\"/>", x + width);
            let text = tick_text(tick, distance);
            let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", x - 7.0, at + 5.0);
            tick += distance;
        }
        let (middle, left) = (y + height / 2.0, x - 62.0);
        let _ = writeln!(
            out,
            "<text transform=\"translate({left:.1} {middle:.1}) rotate(-90)\" text-anchor=\"middle\">{unit}</text>"
        );
        time_axis(out, frame, end_s);
        let clip = format!("clip-{x:.0}-{y:.0}");
        let _ = writeln!(
            out,
            "<clipPath id=\"{clip}\"><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/></clipPath>"
        );
        let _ = writeln!(out, "<g clip-path=\"url(#{clip})\" fill=\"none\" stroke-linejoin=\"round\">");
        for line in &self.lines {
            let path = path(line, frame, end_s, top * size);
            let (colour, style) = (line.colour, line.style.attributes(self.colours_in_legend));
            let _ = writeln!(out, "<path d=\"{path}\" stroke=\"{colour}\" {style}/>");
        }
        out.push_str("</g>\n");
    }

    /// The greatest value to show. A controller may want far more for a moment: what only dashed and dotted lines reach
    /// in few places is cut off.
    fn most(&self) -> f64 {
        let values = |line: &Line| line.points.iter().filter_map(|(_, value)| *value).collect::<Vec<_>>();
        let mut most = 0.0_f64;
        for line in &self.lines {
            let mut values = values(line);
            values.sort_by(f64::total_cmp);
            let kept = if line.style == Style::Solid { values.len() } else { values.len() * 97 / 100 };
            let reached = kept.checked_sub(1).and_then(|last| values.get(last)).copied().unwrap_or(0.0);
            most = most.max(reached);
        }
        if most > 0.0 { most } else { 1.0 }
    }

    fn legend(&self, out: &mut String, frame: Frame) {
        let mut kinds: Vec<&Line> = Vec::new();
        for line in self.lines.iter().rev() {
            if !kinds.iter().any(|known| known.name == line.name) {
                kinds.push(line);
            }
        }
        let mut right = frame.x + frame.width;
        let y = frame.y - 12.0;
        for line in kinds.iter().rev() {
            let colour = if self.colours_in_legend { line.colour } else { "#222" };
            let left = right - text_width(line.name);
            let (from, to, middle, style) =
                (left - 36.0, left - 6.0, y - 5.0, line.style.attributes(self.colours_in_legend));
            let _ = writeln!(out, "<text x=\"{left:.1}\" y=\"{y:.1}\" font-size=\"14\">{}</text>", escape(line.name));
            let _ =
                writeln!(out, "<path d=\"M{from:.1} {middle:.1}H{to:.1}\" stroke=\"{colour}\" fill=\"none\" {style}/>");
            right = from - 14.0;
        }
    }
}

/// About the width of a text in a legend; fonts differ, so there is room to spare.
pub fn text_width(text: &str) -> f64 {
    9.0 * text.chars().count() as f64
}

/// The axis of time below a frame.
pub fn time_axis(out: &mut String, frame: Frame, end_s: f64) {
    let Frame { x, y, width, height } = frame;
    let bottom = y + height;
    let _ = writeln!(out, "<path d=\"M{x} {y}V{bottom}H{}\" stroke=\"#222\" fill=\"none\"/>", x + width);
    let distance = tick_distance(end_s, width / 90.0);
    let mut tick = 0.0;
    while tick <= end_s * 1.0001 {
        let at = x + tick / end_s * width;
        let text = tick_text(tick, distance);
        let _ = writeln!(out, "<path d=\"M{at:.1} {bottom}v5\" stroke=\"#222\"/>");
        let _ = writeln!(out, "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>", bottom + 21.0);
        tick += distance;
    }
    let (middle, below) = (x + width / 2.0, bottom + 40.0);
    let _ = writeln!(out, "<text x=\"{middle:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">virtual time, s</text>");
}

fn path(line: &Line, frame: Frame, end_s: f64, top: f64) -> String {
    let mut path = String::new();
    let mut pen_down = false;
    for (t, value) in &line.points {
        let Some(value) = value else {
            pen_down = false;
            continue;
        };
        let x = frame.x + t / end_s * frame.width;
        // Not further above than what clips it needs, so that no number grows long.
        let y = (frame.y + frame.height - value / top * frame.height).max(frame.y - 50.0);
        let _ = write!(path, "{}{x:.1} {y:.1}", if pen_down { 'L' } else { 'M' });
        pen_down = true;
    }
    path
}
