//! What happened in a run, drawn: one HTML page that needs nothing from elsewhere.
//!
//! ```text
//! recording  samples, from a run or from the lines that one wrote       axis    round ticks and units
//! chart      one panel: axes, lines, legend                             states  what each controller was doing when
//! ```

mod axis;
mod chart;
pub mod recording;
mod states;

use std::fmt::Write;

use axis::Quantity;
use chart::{Chart, Frame, Line, Style};
use recording::{Point, Recording, Track};

/// Width and height of the drawing: 16:9.
const SIZE: (f64, f64) = (1600.0, 900.0);
/// Colours that people with any kind of colour vision tell apart (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
/// The second line of a panel, where all lines are of one flow.
const SECOND: &str = "#d55e00";
/// The third.
const THIRD: &str = "#000000";
/// The most flows that the legend names.
const MAX_NAMES: usize = 10;

/// The page.
#[must_use]
pub fn page(recording: &Recording) -> String {
    let title = escape(&recording.title);
    let drawing = drawing(recording);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <style>\nbody {{ margin: 0; background: #fff; }}\nsvg {{ display: block; width: 100vw; max-height: 100vh; }}\n\
         </style>\n</head>\n<body>\n{drawing}</body>\n</html>\n"
    )
}

/// The drawing alone, as SVG.
#[must_use]
pub fn drawing(recording: &Recording) -> String {
    let (width, height) = SIZE;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"15\" fill=\"#222\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    heading(&mut out, recording);
    let end = recording.end_s();
    let frames = [(90.0, 95.0), (880.0, 95.0), (90.0, 400.0), (880.0, 400.0)];
    for (chart, (x, y)) in panels(recording).iter().zip(frames) {
        chart.draw(&mut out, Frame { x, y, width: 690.0, height: 225.0 }, end);
    }
    states::draw(&mut out, recording, Frame { x: 90.0, y: 700.0, width: 1480.0, height: 130.0 }, end);
    out.push_str("</svg>\n");
    out
}

fn heading(out: &mut String, recording: &Recording) {
    let title = escape(&shorten(&recording.title, 120));
    let _ = writeln!(out, "<text x=\"30\" y=\"32\" font-size=\"22\" font-weight=\"bold\">{title}</text>");
    let _ = writeln!(out, "<text x=\"30\" y=\"57\" fill=\"#555\">{}</text>", escape(&recording.summary));
    if recording.tracks.len() < 2 {
        return;
    }
    let mut x = SIZE.0 - 30.0;
    let hidden = recording.tracks.len().saturating_sub(MAX_NAMES);
    let more = (hidden > 0).then(|| (format!("and {hidden} more"), "#222"));
    let named = recording.tracks.iter().take(MAX_NAMES).enumerate();
    let named: Vec<_> = named.map(|(index, track)| (track.label(), flow_colour(index))).chain(more).collect();
    for (label, colour) in named.iter().rev() {
        let _ = writeln!(
            out,
            "<text x=\"{x:.0}\" y=\"57\" text-anchor=\"end\" fill=\"{colour}\" font-weight=\"bold\">{}</text>",
            escape(label)
        );
        x -= 9.0 * label.chars().count() as f64 + 18.0;
    }
}

/// The colour of a flow among several.
fn flow_colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

/// A kind of line: its name, its style, its colour where there is one flow, and its value at a point.
type Kind = (&'static str, Style, &'static str, fn(&Point) -> Option<f64>);

fn panels(recording: &Recording) -> [Chart; 4] {
    let first = COLOURS[0];
    let rates: [Kind; 3] = [
        ("pacing rate", Style::Dashed, SECOND, |point| point.pacing_bps),
        ("bandwidth estimate", Style::Dotted, THIRD, |point| point.bw_bps),
        ("goodput", Style::Solid, first, |point| point.goodput_bps),
    ];
    let trips: [Kind; 2] = [
        ("smoothed", Style::Solid, first, |point| point.srtt_s),
        ("minimum, as the controller has it", Style::Dashed, SECOND, |point| point.min_rtt_s),
    ];
    let windows: [Kind; 3] = [
        ("congestion window", Style::Dashed, SECOND, |point| Some(point.cwnd_bytes)),
        ("long-term bound", Style::Dotted, THIRD, |point| point.inflight_longterm_bytes),
        ("in flight", Style::Solid, first, |point| Some(point.inflight_bytes)),
    ];
    let queue: [Kind; 1] = [("waiting on the way there", Style::Solid, first, |point| Some(point.queue_bytes))];
    [
        chart(recording, "Rate", Quantity::BitsPerSecond, &rates),
        chart(recording, "Round trip", Quantity::Seconds, &trips),
        chart(recording, "Window and in flight", Quantity::Bytes, &windows),
        chart(recording, "Queue", Quantity::Bytes, &queue),
    ]
}

fn chart(recording: &Recording, title: &'static str, quantity: Quantity, kinds: &[Kind]) -> Chart {
    let alone = recording.tracks.len() == 1;
    let mut lines = Vec::new();
    for (name, style, colour, value) in kinds {
        for (index, track) in recording.tracks.iter().enumerate() {
            let colour = if alone { colour } else { flow_colour(index) };
            lines.push(Line { name, style: *style, colour, points: points(track, *value) });
        }
    }
    lines.retain(|line| line.points.iter().any(|(_, value)| value.is_some()));
    join_equal(&mut lines);
    Chart { title, quantity, lines, colours_in_legend: alone }
}

/// Flows over the same links see the same queue: one line for all of them, in no flow's colour.
fn join_equal(lines: &mut Vec<Line>) {
    let mut kept: Vec<Line> = Vec::new();
    for line in lines.drain(..) {
        match kept.iter_mut().find(|known| known.name == line.name && known.points.ends_with(&line.points)) {
            Some(known) => known.colour = THIRD,
            None => kept.push(line),
        }
    }
    *lines = kept;
}

fn points(track: &Track, value: fn(&Point) -> Option<f64>) -> Vec<(f64, Option<f64>)> {
    track.points.iter().map(|point| (point.t_s, value(point))).collect()
}

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Text as it may stand in HTML and SVG.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
