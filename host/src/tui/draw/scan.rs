//! The survey: how far it is, how fast, what answers, and what was dropped.

use ratatui::style::Style;

use super::super::model::{Model, Survey};
use super::canvas::Canvas;
use super::overview::{drop_figure, hits};
use super::words::{clock, count, percent, ppm_of};
use crate::events::SurveyState;
use crate::units::{format_duration, format_size};

/// Columns of what stands before a figure.
const LABEL: u16 = 11;

pub(super) fn draw(model: &Model, canvas: &mut Canvas<'_>) {
    let Some(survey) = model.survey() else {
        canvas.rule(0, "Survey", "");
        let words = match model.command() {
            "scan" => "The survey has not begun yet.",
            _ => "No survey here: `wirehaul scan --tui` shows one.",
        };
        canvas.text(1, 1, words, Style::new());
        return;
    };
    let height = canvas.height();
    let spark = (height.saturating_sub(16) / 2).clamp(2, 8);
    draw_progress(survey, &mut canvas.rows(0, 3));
    draw_sending(survey, &mut canvas.rows(3, spark + 2));
    draw_replies(survey, &mut canvas.rows(5 + spark, spark + 3));
    draw_drops(&survey.state, &mut canvas.rows(8 + 2 * spark, 4));
}

/// The same for the overview, in seven rows or more.
pub(super) fn brief(model: &Model, canvas: &mut Canvas<'_>) {
    let Some(survey) = model.survey() else { return };
    let spark = (canvas.height().saturating_sub(5) / 2).max(1);
    draw_progress(survey, &mut canvas.rows(0, 2));
    let (paint, width) = (canvas.paint, canvas.width());
    let state = &survey.state;
    rate_row(canvas, 2, "sending", &pace(state), &survey.sending, spark);
    let replies = survey.replies.now().unwrap_or(0);
    rate_row(canvas, 2 + spark, "replies", &format!("{}/s", count(replies)), &survey.replies, spark);
    let y = 2 + 2 * spark;
    let half = width / 2;
    let left = &mut canvas.part(0, y, half.saturating_sub(1), 3);
    left.figure(1, 0, ("sent", LABEL), &format!("{} probes", count(state.sent)), Style::new());
    left.figure(1, 1, ("hits", LABEL), &hits(state.hits, state.received), paint.strong());
    drop_figure(left, 1, 2, ("dropped", LABEL), dropped(state));
    canvas.figure(half, y, ("received", LABEL), &count(state.received), Style::new());
    canvas.figure(half, y + 1, ("duplicates", LABEL), &count(state.duplicates), Style::new());
    canvas.figure(half, y + 2, ("no answer", LABEL), &count(state.rejects), Style::new());
}

fn draw_progress(survey: &Survey, canvas: &mut Canvas<'_>) {
    let (paint, width) = (canvas.paint, canvas.width());
    let state = &survey.state;
    let took = state.at.saturating_since(state.began);
    let right = match (state.is_cooling_down, state.left) {
        (true, _) => "all sent, waiting for late replies".to_owned(),
        (false, Some(left)) => format!("{} left", format_duration(left)),
        (false, None) => String::new(),
    };
    canvas.rule(0, "Survey", &right);
    let ppm = ppm_of(state.done_steps, state.steps);
    let words =
        format!("{} {} of {} steps, {}", percent(ppm), count(state.done_steps), count(state.steps), clock(took));
    let columns = super::width_of(&words) as u16;
    let bar = width.saturating_sub(columns + 4);
    canvas.bar(1, 1, bar, ppm, paint.good());
    canvas.text(bar + 2, 1, &words, Style::new());
}

/// How fast it sends, against the cap.
fn pace(state: &SurveyState) -> String {
    match state.cap_pps {
        Some(cap) => format!("{}/s of {}", count(state.pps), count(cap)),
        None => format!("{}/s", count(state.pps)),
    }
}

fn rate_row(canvas: &mut Canvas<'_>, y: u16, label: &str, words: &str, flow: &super::super::model::Flow, height: u16) {
    let (paint, width) = (canvas.paint, canvas.width());
    canvas.figure(1, y, (label, LABEL), words, paint.strong());
    let from = 1 + LABEL + 21;
    let history = flow.history();
    canvas.part(from, y, width.saturating_sub(from + 1), height).spark(history, history.highest(), paint.good());
}

fn draw_sending(survey: &Survey, canvas: &mut Canvas<'_>) {
    let (paint, width, height) = (canvas.paint, canvas.width(), canvas.height());
    let state = &survey.state;
    let sent = format!("{} probes, {} packets, {}", count(state.sent), count(state.packets), format_size(state.bytes));
    canvas.rule(0, "Sending", &pace(state));
    let history = survey.sending.history();
    canvas.part(1, 1, width.saturating_sub(2), height.saturating_sub(2)).spark(
        history,
        history.highest(),
        paint.good(),
    );
    canvas.figure(1, height.saturating_sub(1), ("sent", LABEL), &sent, Style::new());
}

fn draw_replies(survey: &Survey, canvas: &mut Canvas<'_>) {
    let (paint, width, height) = (canvas.paint, canvas.width(), canvas.height());
    let state = &survey.state;
    canvas.rule(0, "Replies", &format!("{}/s", count(survey.replies.now().unwrap_or(0))));
    let history = survey.replies.history();
    canvas.part(1, 1, width.saturating_sub(2), height.saturating_sub(3)).spark(
        history,
        history.highest(),
        paint.good(),
    );
    let (y, half) = (height.saturating_sub(2), width / 2);
    canvas.figure(1, y, ("received", LABEL), &count(state.received), Style::new());
    canvas.figure(half, y, ("hits", LABEL), &hits(state.hits, state.received), paint.strong());
    canvas.figure(1, y + 1, ("duplicates", LABEL), &count(state.duplicates), Style::new());
    canvas.figure(half, y + 1, ("CDN edges", LABEL), &count(state.of_edges), Style::new());
}

/// What was lost of replies and of probes, by who lost it.
fn draw_drops(state: &SurveyState, canvas: &mut Canvas<'_>) {
    canvas.rule(0, "Dropped", &format!("{} in all", count(dropped(state))));
    let (third, drops) = (canvas.width() / 3, &state.drops);
    drop_figure(canvas, 1, 1, ("AF_XDP rings", 16), drops.xdp);
    drop_figure(canvas, third, 1, ("packet sockets", 16), drops.packet);
    drop_figure(canvas, 2 * third, 1, ("our memory", 16), drops.ours);
    drop_figure(canvas, 1, 2, ("interface, in", 16), drops.interface_rx);
    drop_figure(canvas, third, 2, ("interface, out", 16), drops.interface_tx);
    drop_figure(canvas, 2 * third, 2, ("refused to send", 16), drops.refused);
    canvas.figure(1, 3, ("no answer", 16), &count(state.rejects), Style::new());
}

fn dropped(state: &SurveyState) -> u64 {
    let drops = &state.drops;
    let all = [drops.xdp, drops.packet, drops.ours, drops.interface_rx, drops.interface_tx, drops.refused];
    all.into_iter().fold(0, u64::saturating_add)
}
