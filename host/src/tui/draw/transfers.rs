//! Each transfer in a row, and all of the one that is chosen.

use ratatui::style::Style;
use wirehaul_core::time::Duration;

use super::super::model::{History, Model, Shown, Transfer, words_of};
use super::canvas::{Canvas, wrap};
use super::figures::{bytes_per_second, done_ppm, packets, path, pools, speeds, transfer_head, transfer_row};
use super::overview::counts;
use super::words::{count, of, percent, rate};
use crate::events::{SessionFigures, TransferEnd};
use crate::units::{format_duration, format_size};

/// Rows of what is known of one transfer, without sparklines.
const DETAIL: u16 = 8;
/// Columns of what stands before a figure.
const LABEL: u16 = 14;
/// Rows of what is known of all workers.
const WORKERS: u16 = 6;

pub(super) fn draw(model: &Model, canvas: &mut Canvas<'_>) {
    let (transfers, height) = (model.transfers(), canvas.height());
    canvas.rule(0, "Transfers", &counts(model));
    if transfers.is_empty() {
        let words = match (model.command(), model.survey().is_some()) {
            (_, true) => "A survey moves no files: it is in view 3.",
            ("send", _) => "No transfer yet.",
            _ => "Nobody has sent anything yet. The log, in view 6, has what senders need.",
        };
        canvas.text(1, 1, words, Style::new());
        return;
    }
    // A third for the list, if it is that long; the sparklines have what is left.
    let most = if height >= 34 { height / 3 } else { height.saturating_sub(2 + DETAIL + 3) };
    let rows = u16::try_from(transfers.len()).unwrap_or(u16::MAX).min(most.max(2));
    transfer_head(canvas, 1);
    let chosen = model.look().transfer.and_then(|id| transfers.position(id)).unwrap_or(0);
    let first = (chosen + 1).saturating_sub(usize::from(rows));
    for (row, shown) in transfers.shown().enumerate().skip(first).take(usize::from(rows)) {
        transfer_row(canvas, 2 + (row - first) as u16, shown, row == chosen);
    }
    let y = 2 + rows;
    if let Some(shown) = transfers.shown().nth(chosen) {
        let place = format!("{} of {}", count(chosen as u64 + 1), count(transfers.len() as u64));
        canvas.rule(y, &words_of(shown.state()), &place);
        draw_one(model, shown, &mut canvas.rows(y + 1, height.saturating_sub(y + 1)));
    }
}

fn draw_one(model: &Model, shown: Shown<'_>, canvas: &mut Canvas<'_>) {
    let (width, height) = (canvas.width(), canvas.height());
    let state = shown.state();
    let remote = state.remote.map(|remote| format!(" at {remote}")).unwrap_or_default();
    let done = format!(
        "{} of {} ({}){remote}",
        format_size(state.done_bytes),
        format_size(state.total_bytes),
        percent(done_ppm(shown))
    );
    canvas.figure(1, 0, ("done", LABEL), &done, Style::new());
    let with_workers = height >= DETAIL + WORKERS + 9;
    let room = height.saturating_sub(DETAIL - 1 + if with_workers { WORKERS } else { 0 });
    let mut y = 2;
    match shown {
        Shown::Live(transfer) => {
            canvas.figure(1, 1, ("rate", LABEL), &speeds(transfer, model), Style::new());
            y += draw_history(transfer, &mut canvas.rows(y, room));
        }
        Shown::Over(end) => y = 1 + draw_end(end, &mut canvas.rows(1, 3)),
    }
    let half = width / 2;
    path(&mut canvas.part(0, y, half, 4), state);
    session(&mut canvas.part(half, y, width - half, 5), &state.figures);
    if with_workers {
        canvas.rule(y + 5, "All workers", "");
        packets(&mut canvas.part(0, y + 6, width, 4), model);
        pools(canvas, y + 10, 10, model);
    }
}

/// Sparklines of the last minute, one or three as there is room; the rows that took.
fn draw_history(transfer: &Transfer, canvas: &mut Canvas<'_>) -> u16 {
    let height = canvas.height();
    let (rates, rtt, inflight) = (transfer.flow.history(), &transfer.rtt, &transfer.inflight);
    let highest = rate(rates.highest());
    if height < 9 {
        let each = height.min(6);
        spark(canvas, 0, ("last minute", &highest), rates, each);
        return each;
    }
    let each = (height / 3).min(8);
    spark(canvas, 0, ("rate", &highest), rates, each);
    spark(canvas, each, ("in flight", &format_size(inflight.highest())), inflight, each);
    let highest = format_duration(Duration::from_nanos(rtt.highest()));
    spark(canvas, 2 * each, ("round trip", &highest), rtt, each);
    3 * each
}

/// A sparkline with what it is about and its highest value in front.
fn spark(canvas: &mut Canvas<'_>, y: u16, (what, highest): (&str, &str), history: &History, height: u16) {
    let (paint, width) = (canvas.paint, canvas.width());
    canvas.text_within(1, y, 13, what, paint.label());
    canvas.text_within(1, y + 1, 13, highest, Style::new());
    canvas.part(15, y, width.saturating_sub(16), height).spark(history, history.highest(), paint.good());
}

/// What became of it; the rows that took.
fn draw_end(end: &TransferEnd, canvas: &mut Canvas<'_>) -> u16 {
    let speed = rate(bytes_per_second(end.stored_bytes, end.took));
    let files = of(end.files, "file", "files");
    let verified = if end.verified { ", every hash verified" } else { "" };
    let resumed = match end.resumed_bytes {
        0 => String::new(),
        bytes => format!(", {} were there already", format_size(bytes)),
    };
    let came = format!("{files}, {} in {}, {speed}", format_size(end.stored_bytes), format_duration(end.took));
    canvas.figure(1, 0, ("moved", LABEL), &came, Style::new());
    let paint = canvas.paint;
    match &end.failure {
        Some(failure) => {
            let room = usize::from(canvas.width().saturating_sub(16));
            canvas.text(1, 1, "not complete", paint.bad());
            for (row, line) in wrap(failure, room).iter().take(2).enumerate() {
                canvas.text(15, 1 + row as u16, line, paint.bad());
            }
        }
        None => canvas.figure(1, 1, ("complete", LABEL), &format!("yes{verified}{resumed}"), paint.good()),
    }
    4
}

/// More of a session, in five rows.
fn session(canvas: &mut Canvas<'_>, figures: &SessionFigures) {
    let plain = Style::new();
    let moved = |packets, bytes| format!("{} packets, {}", count(packets), format_size(bytes));
    canvas.figure(1, 0, ("sent", 10), &moved(figures.sent_packets, figures.sent_bytes), plain);
    canvas.figure(1, 1, ("received", 10), &moved(figures.received_packets, figures.received_bytes), plain);
    let style = if figures.rejects > 0 { canvas.paint.warning() } else { plain };
    let refused = match figures.rejects {
        0 => "none".to_owned(),
        rejects => of(rejects, "packet", "packets"),
    };
    canvas.figure(1, 2, ("refused", 10), &refused, style);
    let largest = match figures.datagram_bytes {
        0 => "not known yet".to_owned(),
        bytes => format!("up to {bytes} bytes"),
    };
    canvas.figure(1, 3, ("datagrams", 10), &largest, plain);
    let (epochs, moves) = (u64::from(figures.epochs), u64::from(figures.migrations));
    let rest = format!("{}, {}", of(epochs, "key change", "key changes"), of(moves, "move", "moves"));
    canvas.figure(1, 4, ("session", 10), &rest, plain);
}
