//! What each controller was doing when: a strip per flow, a colour per state.

use std::fmt::Write;

use super::{
    chart::{Frame, text_width, time_axis},
    escape,
    recording::Recording,
};

/// The colours of the states that are known, the same in every drawing.
const KNOWN: [(&str, &str); 9] = [
    ("Startup", "#d55e00"),
    ("SlowStart", "#d55e00"),
    ("Drain", "#000000"),
    ("ProbeBW_DOWN", "#009e73"),
    ("ProbeBW_CRUISE", "#56b4e9"),
    ("CongestionAvoidance", "#56b4e9"),
    ("ProbeBW_REFILL", "#0072b2"),
    ("ProbeBW_UP", "#f0e442"),
    ("ProbeRTT", "#cc79a7"),
];
/// The colour of every other state.
const OTHER: &str = "#999999";
/// The most flows that are shown: strips must stay wide enough to be seen.
const MAX_STRIPS: usize = 16;

/// Draws the strips.
pub fn draw(out: &mut String, recording: &Recording, frame: Frame, end_s: f64) {
    let Frame { x, y, width, height } = frame;
    let _ = writeln!(out, "<text x=\"{x}\" y=\"{:.1}\" font-weight=\"bold\">Controller state</text>", y - 12.0);
    let states = recording.states();
    legend(out, &states, frame);
    let shown = recording.tracks.len().min(MAX_STRIPS);
    let strip = height / shown.max(1) as f64;
    for (index, track) in recording.tracks.iter().take(MAX_STRIPS).enumerate() {
        let top = y + index as f64 * strip;
        for (state, from, to) in track.spells() {
            let (left, right) = (x + from / end_s * width, x + to / end_s * width);
            let _ = writeln!(
                out,
                "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"><title>{}</title></rect>",
                top + strip * 0.06,
                (right - left).max(0.4),
                strip * 0.88,
                colour(state),
                escape(state),
            );
        }
        let name: String = track.name.chars().take(9).collect();
        let (left, middle) = (x - 7.0, top + strip / 2.0 + 5.0);
        let _ = writeln!(
            out,
            "<text x=\"{left:.1}\" y=\"{middle:.1}\" text-anchor=\"end\" font-size=\"{:.0}\">{}</text>",
            strip.clamp(8.0, 15.0),
            escape(&name)
        );
    }
    time_axis(out, frame, end_s);
}

fn colour(state: &str) -> &'static str {
    KNOWN.iter().find(|(known, _)| *known == state).map_or(OTHER, |(_, colour)| colour)
}

fn legend(out: &mut String, states: &[&str], frame: Frame) {
    let mut right = frame.x + frame.width;
    let y = frame.y - 12.0;
    for state in states.iter().rev() {
        let left = right - text_width(state) - 6.0;
        let (box_left, top, colour) = (left - 20.0, y - 12.0, colour(state));
        let _ = writeln!(out, "<text x=\"{left:.1}\" y=\"{y:.1}\" font-size=\"14\">{}</text>", escape(state));
        let _ = writeln!(
            out,
            "<rect x=\"{box_left:.1}\" y=\"{top:.1}\" width=\"14\" height=\"14\" fill=\"{colour}\" stroke=\"#222\"/>"
        );
        right = box_left - 14.0;
    }
}
